"""A limit for the whole of a request and its answer, which the time-out of a socket is not: that begins anew with every byte."""

from __future__ import annotations

import socket
from contextlib import contextmanager, suppress
from threading import Lock, Timer
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class Deadline:
    """For one connection at a time, used by one thread."""

    def __init__(self) -> None:
        """Hold nothing yet."""
        self._lock = Lock()
        self._held: socket.socket | None = None
        self._passed = False

    def hold(self, connection: socket.socket) -> None:
        """Name the connection that is asked now; one that was made too late is shut down at once."""
        with self._lock:
            self._held = connection
            self._shut_if_passed()

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """Shut the connection down when the time has passed; the block ends with `TimeoutError` then, whatever it made of that."""
        self._passed = False
        timer = Timer(seconds, self._pass)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            timer.join()
            if self._passed:
                raise TimeoutError(f"no answer in time: it did not end within {seconds:g} s")

    def _pass(self) -> None:
        with self._lock:
            self._passed = True
            self._shut_if_passed()

    def _shut_if_passed(self) -> None:
        if self._passed and self._held is not None:
            with suppress(OSError):
                # Not the method of a TLS socket: that one would have its reader go on without decrypting.
                socket.socket.shutdown(self._held, socket.SHUT_RDWR)
