"""A server on loopback that answers for ever, a byte now and then: in the headers or in the body."""

from __future__ import annotations

import socket
from contextlib import suppress
from threading import Event, Thread
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    import ssl

EVERY_S = 0.05
"""Far below any time-out of a read."""

STARTS = {
    "headers": b"HTTP/1.1 200 OK\r\nx-slow: ",
    "body": b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100000\r\n\r\n",
    "endless body": b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n",
}


class Dripping:
    """For a `with` block; `start` is what is sent at once, `tls` makes it https."""

    def __init__(self, start: bytes, tls: ssl.SSLContext | None = None) -> None:
        """Listen on a free port."""
        self._start, self._tls, self._end = start, tls, Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self._listener.getsockname()[1]}"

    def _serve(self) -> None:
        while not self._end.is_set():
            with suppress(OSError):
                connection, _ = self._listener.accept()
                with self._tls.wrap_socket(connection, server_side=True) if self._tls else connection as asked:
                    asked.recv(65_536)
                    asked.sendall(self._start)
                    while not self._end.wait(EVERY_S):
                        asked.sendall(b" ")

    def __enter__(self) -> Self:
        """Serve one connection after the other."""
        self._thread = Thread(target=self._serve)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End."""
        self._end.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()
