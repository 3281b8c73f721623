"""
A file of JSON lines, one document a line: for a log shipper, or for reading.

::

    sinks:
      lines: {type: file, path: alerts.jsonl, format: ecs, rotate_size: 100MB, keep: 5}
      here: {type: file, path: "-"}
"""

from __future__ import annotations

import hashlib
import os
import stat
import sys
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

import msgspec
from pydantic import AfterValidator, Field, ValidationInfo

from spikebridge import registry
from spikebridge.alerts import read_finding
from spikebridge.errors import SinkRefused, SinkUnavailable
from spikebridge.formats import FormatName
from spikebridge.probe import Check, writable
from spikebridge.validation import Content, Size, from_directory

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from spikebridge.alerts import AlertEntry

STDOUT = "-"
RECENT_LINES = 2_000
"""Lines that are known again after a restart: more than a delivery on the spool writes between two commits of its cursor."""

_BLOCK_BYTES = 1 << 20


def _output(path: str, info: ValidationInfo) -> str:
    return path if path == STDOUT else from_directory(path, info)


class Settings(Content):
    """Where the lines go and what they look like."""

    path: Annotated[str, AfterValidator(_output)] = Field(
        min_length=1, description="The file, relative to the configuration; `-` is standard output."
    )
    format: FormatName = Field(
        "json", description="The shape of a document; `spikebridge list formats` names them. Default json."
    )
    rotate_size: Size = Field(
        100_000_000, description="A file that has reached this size becomes PATH.1, and a new one begins. Default 100MB."
    )
    keep: int = Field(5, ge=1, le=1_000, description="So many rotated files are kept, PATH.1 is the newest. Default 5.")


class FileSink:
    """
    Append JSON lines to a file, on the disk when acknowledged, rotated by size; `-` is standard output.

    A file holds whole lines only: what a crash cut short is removed on the next start, and written anew.
    On the spool exactly once: lines among the last 2,000 are not written again, so what was written but not yet noted by the cursor when
    the process died appears once, as long as nobody else changes the file or the format. On standard output it may appear again.
    On Kafka at least once: more lines than that may lie behind the last commit when a process dies, and after a rebalance the file of another
    instance gets what lay in between too.
    A file that was renamed or deleted is begun anew.
    """

    def __init__(self, settings: Settings, _data: Path) -> None:
        """Open nothing yet."""
        self.settings = settings
        self._encode = registry.load("formats", settings.format).encode
        self._path = Path(settings.path)
        self._file: BinaryIO | None = None
        self._recent: deque[bytes] = deque(maxlen=RECENT_LINES)

    def open(self) -> None:
        """Open the file for appending, repair its end, remember its last lines."""
        if self._file is not None:
            return
        try:
            self._file = self._opened()
        except OSError as error:
            raise SinkUnavailable(f"{self.settings.path}: {error.strerror}") from error

    def write(self, findings: Sequence[AlertEntry]) -> int:
        """Append the lines that are new and wait for the disk; what can't be read is refused."""
        lines, refused = self._lines(findings)
        try:
            written = self._append(lines)
        except OSError as error:
            self.close()
            raise SinkUnavailable(f"{self.settings.path}: {error.strerror}") from error
        if refused:
            raise SinkRefused(refused)
        return len(lines) - written

    def close(self) -> None:
        """Close the file; standard output stays open."""
        file, self._file = self._file, None
        if file is not None and self.settings.path != STDOUT:
            file.close()

    def _opened(self) -> BinaryIO:
        if self.settings.path == STDOUT:
            return sys.stdout.buffer
        self._path.parent.mkdir(parents=True, exist_ok=True)
        file = self._begun()
        end, lines = _tail(file)
        file.truncate(end)
        if len(lines) < RECENT_LINES and self._rotated(1).exists():
            with self._rotated(1).open("rb") as before:
                lines = _tail(before)[1] + lines
        self._recent.clear()
        self._recent.extend(map(_digest, lines))
        return file

    def _begun(self) -> BinaryIO:
        """Open the file, and have the disk know its name."""
        file = self._path.open("ab+", buffering=0)
        directory = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
        return file

    def _lines(self, findings: Sequence[AlertEntry]) -> tuple[list[bytes], dict[str, str]]:
        lines: list[bytes] = []
        refused: dict[str, str] = {}
        for entry in findings:
            try:
                lines.append(self._encode(read_finding(entry.body)) + b"\n")
            except msgspec.MsgspecError as error:
                refused[entry.id] = f"no finding that this version can read: {error}"
        return lines, refused

    def _append(self, lines: Sequence[bytes]) -> int:
        """Append what is new, and return how much that is."""
        if self._file is None:
            self._file = self._opened()
        if self.settings.path == STDOUT:
            self._file.write(b"".join(lines))
            self._file.flush()
            return len(lines)
        known = set(self._recent)
        fresh = {digest: line for line in lines if (digest := _digest(line)) not in known}
        if not self._is_there(self._file):
            self.close()
            self._file = self._begun()
        elif os.fstat(self._file.fileno()).st_size >= self.settings.rotate_size:
            self._rotate(self._file)
            self._file = self._begun()
        rest = memoryview(b"".join(fresh.values()))
        while rest:
            rest = rest[self._file.write(rest) :]
        os.fsync(self._file.fileno())
        self._recent.extend(fresh)
        return len(fresh)

    def _is_there(self, file: BinaryIO) -> bool:
        """Say whether the path still names the file: a log rotator renames it, and what is deleted takes lines in silence."""
        try:
            return os.path.samestat(self._path.stat(), os.fstat(file.fileno()))
        except FileNotFoundError:
            return False

    def _rotate(self, file: BinaryIO) -> None:
        """Shift PATH.1 to PATH.2 and so on, oldest first: a crash in between leaves a gap in the numbers, never a loss."""
        file.close()
        self._file = None
        for number in range(self.settings.keep - 1, 0, -1):
            if self._rotated(number).exists():
                self._rotated(number).replace(self._rotated(number + 1))
        self._path.replace(self._rotated(1))

    def _rotated(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}")


def probe(settings: Settings, _tenant: str) -> Iterator[Check]:
    """Look at the directory, then at the file itself if it is there, for `doctor`."""
    if settings.path == STDOUT:
        yield Check("output", True, "standard output")
        return
    path = Path(settings.path)
    directory = writable(path.parent)
    yield directory
    if directory.ok:
        yield _appendable(path)


def _appendable(path: Path) -> Check:
    """Say whether a file can be read and appended to, as `open` does it; one that isn't there isn't made."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            what = "a directory" if path.is_dir() else "no file of bytes"
            return Check("file", False, f"{path}: {what}", "name a file that the sink has for itself")
        path.open("ab+").close()
    except FileNotFoundError:
        return Check("file", True, f"{path}: not there yet")
    except OSError as error:
        return Check("file", False, f"{path}: {error.strerror}", "let this user read and write it, or name another")
    return Check("file", True, f"{path}: takes lines")


def _tail(file: BinaryIO) -> tuple[int, list[bytes]]:
    """Return where the last whole line ends, and the last whole lines: `RECENT_LINES` or more, or all."""
    start = file.seek(0, os.SEEK_END)
    data = b""
    while start > 0 and data.count(b"\n") <= RECENT_LINES:
        size = min(_BLOCK_BYTES, start)
        start -= size
        file.seek(start)
        data = file.read(size) + data
    end = data.rfind(b"\n") + 1
    lines = data[:end].splitlines(keepends=True)
    return start + end, lines[1:] if start else lines


def _digest(line: bytes) -> bytes:
    return hashlib.blake2b(line, digest_size=16).digest()
