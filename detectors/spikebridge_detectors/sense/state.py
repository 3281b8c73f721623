"""The directory of one sensor: its state, rows to learn from, and evidence of alarms."""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
from contextlib import suppress
from typing import TYPE_CHECKING, BinaryIO, Self

import msgspec

from spikebridge_detectors.errors import ModelError
from spikebridge_detectors.model.container import save
from spikebridge_detectors.sense import saved as files
from spikebridge_detectors.sense.saved import Saved, Source
from spikebridge_detectors.windows.evidence import beside

if TYPE_CHECKING:
    from pathlib import Path

STATE = "sense.state"
MOST_EVIDENCE = 1000
MOST_MODELS = 64
MOST_SOURCES = 64
_KNOWN_BY = 4096


class State:
    """
    What lies on the disk; one process at a time.

    What ends with an error before anything was `dealt` with leaves the disk as it was.
    """

    def __init__(self, folder: Path) -> None:
        """Open or begin it."""
        made = [path for path in (folder / "lock", folder, *folder.parents) if not path.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._lock = (folder / "lock").open("wb")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            found = files.read(folder / STATE)
        except BlockingIOError as error:
            self._lock.close()
            raise ModelError(f"{folder}: another process senses with this state") from error
        except (ModelError, OSError):
            self._lock.close()
            raise
        self.new = found is None
        self.saved = self._before = found or Saved(boot=_boot())
        self.dealt = False
        self._read: BinaryIO | None = None
        self._made = made
        self._evidence = sorted((folder / "evidence").glob("*.spkev"), key=lambda path: path.stat().st_mtime_ns)

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, error: object, *_: object) -> None:
        """Let others have it."""
        if error and not self.dealt:
            self._back()
        self._lock.close()

    def begin(self, file: BinaryIO) -> Source | None:
        """
        Return how far a capture was read, from its beginning on if it is a new one; None for one before the last.

        One of which nothing was dealt with is new: what begins with it may be any capture.
        """
        self._read = file
        known = [source for source in self.saved.sources if source.rows]
        for source in known:
            if _same(source, file):
                return source if source is self.saved.sources[-1] else None
        source = Source(*_head(file))
        self._begin([*known, source][-MOST_SOURCES:], self.saved.boot)
        return source

    def begin_live(self) -> Source:
        """Return a source that can't be read again: its frames get a boot id of their own."""
        source = Source(0, b"")
        self._begin([*self.saved.sources, source][-MOST_SOURCES:], _boot())
        return source

    def save(self, saved: Saved) -> None:
        """Put the state in place of the one before; a capture shorter than 4 KiB is known by what of it is there now."""
        if self._read is not None and saved.sources and saved.sources[-1].length < _KNOWN_BY:
            length, digest = _head(self._read)
            source = msgspec.structs.replace(saved.sources[-1], length=length, digest=digest)
            saved = msgspec.structs.replace(saved, sources=[*saved.sources[:-1], source])
        files.write(self.folder / STATE, saved)
        self.saved = saved

    def keep(self, name: str, evidence: bytes) -> None:
        """Keep evidence of one alarm, and give up the oldest where there is too much."""
        path = self.folder / "evidence" / f"{name}.spkev"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(evidence)
        self._evidence = [one for one in self._evidence if one != path] + [path]
        while len(self._evidence) > MOST_EVIDENCE:
            self._evidence.pop(0).unlink(missing_ok=True)

    def keep_model(self, digest: str, data: bytes) -> None:
        """Keep a model that evidence names, beside it, and give up the one longest out of use where there are too many."""
        path = beside(self.folder / "evidence", digest)
        path.parent.mkdir(exist_ok=True)
        save(path, data)
        others = [one for one in path.parent.glob(f"*{path.suffix}") if one != path]
        others.sort(key=lambda one: one.stat().st_mtime_ns, reverse=True)
        for old in others[MOST_MODELS - 1 :]:
            old.unlink()

    def _back(self) -> None:
        """Put what was there in its place again, if it was only nothing."""
        if not self.new:
            if self.saved is not self._before:
                files.write(self.folder / STATE, self._before)
            return
        (self.folder / STATE).unlink(missing_ok=True)
        for path in self._made:
            with suppress(OSError):  # somebody else's file in it
                path.unlink() if path.name == "lock" and path.parent == self.folder else path.rmdir()

    def _begin(self, sources: list[Source], boot: int) -> None:
        self.save(msgspec.structs.replace(self.saved, boot=boot, sources=sources, seen_before=self.saved.seen))


def _boot() -> int:
    return secrets.randbelow((1 << 62) - 1) + 1


def _same(source: Source, file: BinaryIO) -> bool:
    return 0 < source.length <= _KNOWN_BY and (source.length, source.digest) == _head(file, source.length)


def _head(file: BinaryIO, most: int = _KNOWN_BY) -> tuple[int, bytes]:
    """Return how long the beginning of a file is, and its digest, and leave the file where it is read."""
    head = os.pread(file.fileno(), most, 0)
    return len(head), hashlib.sha256(head).digest()
