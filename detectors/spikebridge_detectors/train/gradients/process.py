"""The child: started with limits of time and memory, its progress passed on, and ended with all that it started."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
import threading
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import msgspec

from spikebridge_detectors.errors import BackendError
from spikebridge_detectors.train.gradients.environment import with_snntorch

if TYPE_CHECKING:
    from collections.abc import Callable

CHILD = Path(__file__).with_name("child.py")

_LINE = 4096
_TOLD_LINES = 20


class Progress(msgspec.Struct, frozen=True, rename={"number": "pass"}):
    """One pass over the examples is done: which, the mean loss in it, and the share of examples that were told rightly."""

    number: int
    loss: float
    right: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Torch:
    """A Python that has snnTorch, and what a run in it may take."""

    python: Path
    limit_s: float = 3600.0
    memory: int = 4 << 30

    @classmethod
    def found(cls, limit_s: float = 3600.0) -> Torch:
        """Return the one on this machine; without one, the error says how to get it."""
        return cls(python=with_snntorch(), limit_s=limit_s)

    def asked(self, question: bytes, most: int, progress: Callable[[Progress], None]) -> bytes:
        """Start a process, hand it the question, pass on how far it is, and return its answer, of which nothing behind `most` is read."""
        with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as answer:
            given.write(question)
            given.seek(0)
            with self._started(given, answer) as process:
                late = threading.Event()
                timer = threading.Timer(self.limit_s, _late, (process, late))
                timer.start()
                try:
                    told = _followed(process, progress)
                    code = process.wait()
                finally:
                    timer.cancel()
                    _end(process)
            if late.is_set():
                raise BackendError(f"snnTorch: expected an end within {self.limit_s:g} s, found none")
            if code:
                raise BackendError(f"snnTorch: the process ended with {code}: {told}")
            answer.seek(0)
            return answer.read(most + 1)

    def _started(self, given: BinaryIO, answer: BinaryIO) -> subprocess.Popen[bytes]:
        environ = {name: os.environ[name] for name in ("HOME", "PATH", "TMPDIR") if name in os.environ}
        try:
            return subprocess.Popen(  # noqa: S603 -- the interpreter that was found or named, and our own file
                [str(self.python), "-I", str(CHILD), str(self.memory)],
                cwd="/",
                env={**environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
                stdin=given,
                stdout=answer,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as error:
            raise BackendError(f"snnTorch: {self.python}: {error.strerror}") from error


def _followed(process: subprocess.Popen[bytes], progress: Callable[[Progress], None]) -> str:
    """Pass on each line that tells how far it is until there are no more; return the last of the others."""
    others: deque[str] = deque(maxlen=_TOLD_LINES)
    if process.stderr:
        while line := process.stderr.readline(_LINE):
            try:
                progress(msgspec.json.decode(line, type=Progress))
            except msgspec.DecodeError:
                others.append(line.decode(errors="replace").rstrip())
    return "\n".join(others)


def _late(process: subprocess.Popen[bytes], late: threading.Event) -> None:
    late.set()
    _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the process and all that it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
