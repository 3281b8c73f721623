"""A loop in a thread of its own."""

from __future__ import annotations

import logging
import time
from threading import Event, Thread
from typing import TYPE_CHECKING, Protocol

from spikebridge.errors import SpikebridgeError

if TYPE_CHECKING:
    from collections.abc import Callable

IDLE_S = 0.005
FIRST_BACK_OFF_S = 0.1
LONGEST_BACK_OFF_S = 30.0

_log = logging.getLogger(__name__)


class Steps(Protocol):
    """What a worker does again and again."""

    def step(self) -> int:
        """Do what is due; return how much that was, 0 when there was nothing. What is raised is tried again."""

    def close(self) -> None:
        """Leave everything so that another process may go on."""


class Worker:
    """
    Runs steps until told to stop: again at once while there is work, soon when there is none, with back-off after an error.

    `error` is what the last step failed with, "" after one that didn't. `idle_ns` is when (monotonic) the last step began if it found
    nothing to do, else 0.
    """

    def __init__(self, name: str, steps: Steps, idle_s: float = IDLE_S) -> None:
        """Nothing runs before `start`."""
        self.name = name
        self.error = ""
        self.idle_ns = 0
        self._steps = steps
        self._idle_s = idle_s
        self._stop = Event()
        self._thread = Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Have it finish the step in hand and close; `join` waits for that."""
        self._stop.set()

    def join(self) -> None:
        """Wait for the end of a worker that was started."""
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        back_off_s = FIRST_BACK_OFF_S
        while not self._stop.is_set():
            if not self._tried(self._once):
                self._stop.wait(back_off_s)
                back_off_s = min(2 * back_off_s, LONGEST_BACK_OFF_S)
                continue
            back_off_s = FIRST_BACK_OFF_S
            if self.idle_ns:
                self._stop.wait(self._idle_s)
        self._tried(self._steps.close)

    def _once(self) -> None:
        began_ns = time.monotonic_ns()
        self.idle_ns = 0 if self._steps.step() else began_ns

    def _tried(self, action: Callable[[], None]) -> bool:
        try:
            action()
        except SpikebridgeError as error:
            self._failed(str(error))
        except Exception as error:  # noqa: BLE001 -- a mistake of ours must not end the service in silence
            self._failed(f"unexpected {type(error).__name__}: {error}", error)
        else:
            if self.error:
                _log.info("%s: works again", self.name)
            self.error = ""
            return True
        self.idle_ns = 0
        return False

    def _failed(self, error: str, cause: Exception | None = None) -> None:
        if error != self.error:
            _log.error("%s: %s; trying again", self.name, error, exc_info=cause)
        self.error = error
