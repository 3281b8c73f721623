"""The process that does the work: `spikebridge run` on the demonstration's directory, started, killed and stopped from here."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from spikebridge.errors import SpikebridgeError

if TYPE_CHECKING:
    from spikebridge.demo.directory import Place

STOP_S = 30.0
_SHOWN_LINES = 8


class Worker:
    """One process at a time; what it says goes to a file."""

    def __init__(self, place: Place) -> None:
        """Nothing runs before `start`."""
        self._place = place
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Return the process id, 0 when none runs."""
        return self._process.pid if self._process else 0

    def start(self) -> None:
        """Start it, in a session of its own: Ctrl-C at the terminal is for us."""
        with self._place.worker_log.open("ab") as log:
            command = [sys.executable, "-m", "spikebridge", "run", "--config", str(self._place.config)]
            self._process = subprocess.Popen(  # noqa: S603 -- our own command
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )

    def alive(self) -> None:
        """Raise, with the last lines that it said, if it has ended by itself."""
        if self._process is not None and self._process.poll() is not None:
            code = self._process.returncode
            self._process = None
            self._fail(f"the worker ended with exit code {code}")

    def kill(self) -> None:
        """End it as a power cut would: nothing is finished, nothing is written."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def stop(self) -> None:
        """Let it finish the batch in hand and commit."""
        if self._process is None:
            return
        process, self._process = self._process, None
        process.terminate()
        try:
            code = process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            self._fail(f"the worker did not stop within {STOP_S:.0f} s")
        if code:
            self._fail(f"the worker stopped with exit code {code}")

    def drain(self) -> None:
        """Read the log to its end, wait for every sink, and exit."""
        with self._place.worker_log.open("ab") as log:
            command = [sys.executable, "-m", "spikebridge", "run", "--once", "--config", str(self._place.config)]
            code = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=False).returncode  # noqa: S603 -- as above
        if code:
            self._fail(f"`run --once` ended with exit code {code}")

    def _fail(self, what: str) -> None:
        said = self._place.worker_log.read_text(encoding="utf-8", errors="replace").splitlines()[-_SHOWN_LINES:]
        raise SpikebridgeError("\n".join([f"{what}; the end of {self._place.worker_log}:", *said]))
