"""One of each stage at a time: a lock that dies with its holder."""

from __future__ import annotations

import fcntl
import os
from typing import TYPE_CHECKING, Self

from spikebridge.errors import LogBusy, LogError

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType


class Claim:
    """
    The right to run a stage of a spool, until `release` or the end of the process, however it ends.

    The kernel holds the lock; the file only says whose it is, and stays behind.
    """

    def __init__(self, directory: Path, stage: str) -> None:
        """Take it at once or raise `LogBusy` with the holder's process id; ":" separates the parts of a stage's name."""
        path = directory / f"{stage.replace(':', '-')}.lock"
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise LogError(f"{path}: {error.strerror}") from error
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(self._descriptor, 32, 0).decode(errors="replace").strip()
            self.release()
            raise LogBusy(f"{directory}: process {holder} runs the {stage} stage of this spool; stop it first") from None
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Let the next one have it; twice does nothing."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> Self:
        """Hold it for the block."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Release it."""
        self.release()
