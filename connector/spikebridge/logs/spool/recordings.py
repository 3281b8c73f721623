"""Recordings beside the live log: files that the spikes stage reads once, each as a log of its own."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import uuid
from typing import TYPE_CHECKING, NamedTuple

from spikebridge.errors import LogError, LogFull
from spikebridge.logs.spool.file import SpoolPart

if TYPE_CHECKING:
    from pathlib import Path

_DISK_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class Input(NamedTuple):
    """
    A recording that waits or has been read: `number` is its input number, `id` the SHA-256 of the file, `path` our copy.

    `added_ns` is the time at which it counts as read (`logs.recording` needs it for records without a time before them).
    """

    number: int
    id: str
    path: Path
    name: str
    added_ns: int
    drained: bool


class RecordingsPart(SpoolPart):
    """Take recordings in, and let them go once they are read."""

    def add_recording(self, path: Path) -> Input:
        """Copy a file into the spool, durably; one that is or was already there is not taken twice."""
        directory = self._file.directory / "recordings"
        taken = directory / f".{uuid.uuid4().hex}.part"
        try:
            directory.mkdir(exist_ok=True)
            log_id = _copy(path, taken)
            known = self._recording(log_id)
            if known is not None and (known.drained or known.path.is_file()):
                return known
            taken.replace(directory / f"{log_id}.rec")
            _sync(directory)
            _sync(self._file.directory)
        except OSError as error:
            kind = LogFull if error.errno in _DISK_FULL else LogError
            raise kind(f"{error.filename or taken}: {error.strerror}") from error
        finally:
            taken.unlink(missing_ok=True)
        with self._file.database.transaction() as connection:
            connection.execute(
                "INSERT OR IGNORE INTO inputs (number, log, name, added_ns) VALUES ((SELECT max(number) + 1 FROM inputs), ?, ?, ?)",
                (log_id, path.name, self._file.wall()),
            )
        return next(recording for recording in self.recordings() if recording.id == log_id)

    def recordings(self) -> list[Input]:
        """Return all recordings in the order in which they came."""
        with self._file.database.reading() as connection:
            rows = connection.execute(
                "SELECT number, log, name, added_ns, drained FROM inputs WHERE number > 0 ORDER BY number"
            ).fetchall()
        directory = self._file.directory / "recordings"
        return [
            Input(number, log, directory / f"{log}.rec", name, added, bool(drained)) for number, log, name, added, drained in rows
        ]

    def drained(self, number: int) -> None:
        """Note that a recording was read to its end, and remove our copy; its position stays, so that it isn't read again."""
        with self._file.database.transaction() as connection:
            connection.execute("UPDATE inputs SET drained = 1 WHERE number = ?", (number,))
        for recording in self.recordings():
            if recording.number == number:
                recording.path.unlink(missing_ok=True)

    def _recording(self, log_id: str) -> Input | None:
        return next((recording for recording in self.recordings() if recording.id == log_id), None)


def _copy(source: Path, target: Path) -> str:
    """Copy to the disk and return the SHA-256 of what was copied."""
    with source.open("rb") as reading, target.open("wb") as writing:
        shutil.copyfileobj(reading, writing, 1024 * 1024)
        writing.flush()
        os.fsync(writing.fileno())
    with target.open("rb") as copied:
        return hashlib.file_digest(copied, "sha256").hexdigest()


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
