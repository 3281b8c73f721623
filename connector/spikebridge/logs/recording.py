"""
The past out of a file: frames, or JSON lines, as a log of its own.

Its id is the SHA-256 of the file's bytes, so it is the same log wherever it lies. It has no ticks, raises no gaps and takes no appends.
The append time of a record is the largest end time so far; before the first time in it, the time at which it is read.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from spikebridge.errors import FrameError, LogError, LogMissing
from spikebridge.limits import Limits
from spikebridge.spikes.batch import ROLE_TICK
from spikebridge.spikes.decode import Decoder
from spikebridge.spikes.files import read_values
from spikebridge.spikes.frame import is_frame, unpack
from spikebridge.spikes.layout import MAGIC
from spikebridge.spikes.names import Devices, Layers
from spikebridge.spikes.record import Record

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from io import BufferedReader

    from numpy.typing import NDArray

    from spikebridge.logs import Switches

    Ints = NDArray[np.int64]

DECODED_AT_ONCE = 1_024
CHUNK = 1 << 20
ROLE_AT = 6


class Recording:
    """
    A file of frames or of JSON lines, as a log of its own.

    Only an index of 24 bytes a record is in memory; values are read when they are asked for. `ticks` were left out.
    `now_ns` is the time at which it counts as read.
    """

    partition = 0
    switches: Switches = "never"

    def __init__(self, path: Path | str, now_ns: int, frame_ns: int = Limits().frame_ns) -> None:
        """Read the file once, from end to end."""
        self.path = Path(path)
        self.ticks = 0
        with self._opened() as stream:
            self.id = hashlib.file_digest(stream, "sha256").hexdigest()
            stream.seek(0)
            self._begin, sizes, self._append_ns = self._index(stream, now_ns, frame_ns)
        self._bytes = np.concatenate([[0], np.cumsum(sizes)])
        self._largest = np.maximum.accumulate(self._append_ns)

    def append(self, values: Sequence[bytes]) -> int:
        """Refuse: the past is what it is."""
        raise LogError(f"{self.path}: a recording takes no more records, found {len(values)}")

    def poll(self, position: int, max_bytes: int) -> list[Record]:
        """Return records of at most `max_bytes` together, or one."""
        end = len(self._begin)
        if not 0 <= position <= end:
            raise LogMissing(f"{self.path}: record {position} is not in the recording: it holds 0 to {end - 1}")
        fits = int(np.searchsorted(self._bytes, self._bytes[position] + max_bytes, side="right")) - 1
        return self.read(range(position, min(end, max(fits, position + 1))))

    def read(self, offsets: Sequence[int]) -> list[Record]:
        """Return records by offset."""
        kept = [offset for offset in offsets if 0 <= offset < len(self._begin)]
        if not kept:
            return []
        with self._opened() as stream:
            return [self._record(stream, offset) for offset in kept]

    def offset_at(self, append_ns: int) -> int:
        """Return the first offset at which the largest append time so far is `append_ns` or later."""
        return int(np.searchsorted(self._largest, append_ns))

    def bounds(self) -> tuple[int, int]:
        """Return 0 and the number of records."""
        return 0, len(self._begin)

    def place(self, offset: int) -> int:
        """Return the byte at which a record begins in the file."""
        return int(self._begin[offset])

    def last_append_ns(self) -> int:
        """Return the append time of the last record, 0 for an empty file."""
        return int(self._append_ns[-1]) if len(self._append_ns) else 0

    @contextmanager
    def _opened(self) -> Iterator[BufferedReader]:
        try:
            with self.path.open("rb") as stream:
                yield stream
        except FileNotFoundError:
            raise LogMissing(f"there is no recording at {self.path}") from None
        except OSError as error:
            raise LogError(f"{self.path}: {error.strerror}") from error

    def _record(self, stream: BufferedReader, offset: int) -> Record:
        size = int(self._bytes[offset + 1] - self._bytes[offset])
        value = os.pread(stream.fileno(), size, int(self._begin[offset]))
        if len(value) != size:
            raise LogMissing(f"{self.path}: record {offset} is gone: the file was cut since it was read first")
        return Record(offset, int(self._append_ns[offset]), value)

    def _index(self, stream: BufferedReader, now_ns: int, frame_ns: int) -> tuple[Ints, Ints, Ints]:
        """Return where each record begins, its size and its append time."""
        begins: list[Ints] = []
        sizes: list[Ints] = []
        times: list[Ints] = []
        largest = 0
        values = _placed(stream, self.path)
        while some := list(islice(values, DECODED_AT_ONCE)):
            kept = [(begin, value) for begin, value in some if not _is_tick(value)]
            self.ticks += len(some) - len(kept)
            ends = _end_times([value for _, value in kept], largest or now_ns, frame_ns)
            if not largest:
                ends[ends == now_ns] = 0  # a record without a time of its own took the one it was given
            ends = np.maximum.accumulate(np.maximum(ends, largest))
            largest = int(ends[-1]) if len(ends) else largest
            begins.append(np.array([begin for begin, _ in kept], np.int64))
            sizes.append(np.array([len(value) for _, value in kept], np.int64))
            times.append(np.where(ends > 0, ends, now_ns))
        return _joined(begins), _joined(sizes), _joined(times)


def _end_times(values: Sequence[bytes], append_ns: int, frame_ns: int) -> Ints:
    """Return the latest time in each value, 0 where nothing in it can be read; what has no time takes `append_ns`."""
    records = [Record(at, append_ns, value) for at, value in enumerate(values)]
    ends = np.zeros(len(records), np.int64)
    if records:
        batch = Decoder(Devices(), Layers(), frame_ns).decode(records)
        np.maximum.at(ends, batch.record, batch.end_ns)
    return ends


def _placed(stream: BufferedReader, path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield each value with the byte at which it begins."""
    framed = stream.read(len(MAGIC)) == MAGIC
    stream.seek(0)
    if framed:
        yield from read_values(stream)
        return
    with path.open("rb") as again:
        begins = enumerate(_line_begins(again), 1)
        for number, value in read_values(stream):
            yield next(begin for line, begin in begins if line == number), value


def _line_begins(stream: BufferedReader) -> Iterator[int]:
    """Yield the byte at which each line begins."""
    passed = 0
    yield passed
    while chunk := stream.read(CHUNK):
        yield from (np.flatnonzero(np.frombuffer(chunk, np.uint8) == ord("\n")) + passed + 1).tolist()
        passed += len(chunk)


def _is_tick(value: bytes) -> bool:
    if not is_frame(value) or value[ROLE_AT : ROLE_AT + 1] != bytes([ROLE_TICK]):
        return False
    try:
        unpack(value, 0)
    except FrameError:
        return False
    return True


def _joined(pieces: list[Ints]) -> Ints:
    return np.concatenate(pieces) if pieces else np.zeros(0, np.int64)
