"""Rows of packets on disk, to learn a device from: when they came and of what kind they were, not who the peer was."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from spikebridge_detectors.capture.columns import MOST_PACKETS, Packets
from spikebridge_detectors.capture.kinds import ROW, from_rows, to_rows
from spikebridge_detectors.rules.clock import Clock

if TYPE_CHECKING:
    from pathlib import Path

SEGMENT = 1 << 14
"""So many rows a file holds; what is dropped is dropped by the file."""


class Rows:
    """
    Rows of one device in files of `SEGMENT` rows: the segments from `first` on, with `count` rows in all.

    What was written after the last save is cut off when they are opened again. What is dropped stays on the disk until the next save,
    since an older one may still name it.
    """

    def __init__(self, folder: Path, first: int = 0, count: int = 0) -> None:
        """Open what was saved; `lost` says how many rows of it are gone from the disk."""
        self.first, self.count = first, count
        self._folder = folder
        self._held = bytearray()
        self.lost = self._restore()

    def __len__(self) -> int:
        """Return how many rows there are."""
        return self.count + len(self._held) // ROW.itemsize

    def add(self, packets: Packets) -> None:
        """Keep packets; they are on the disk after `flush`, or once they are many."""
        for at in range(0, len(packets.time_ns), SEGMENT):
            self._held += to_rows(Packets._make(column[at : at + SEGMENT] for column in packets))
        if len(self._held) >= SEGMENT * ROW.itemsize:
            self.flush()

    def flush(self) -> None:
        """Write what is held."""
        while self._held:
            room = (SEGMENT - self.count % SEGMENT) * ROW.itemsize
            self._folder.mkdir(parents=True, exist_ok=True)
            with self._path(self.first + self.count // SEGMENT).open("ab") as file:
                file.write(self._held[:room])
            self.count += min(room, len(self._held)) // ROW.itemsize
            del self._held[:room]

    def drop(self) -> int:
        """Give up the oldest segment, and return how many rows that were."""
        self.flush()
        rows = min(SEGMENT, self.count)
        self.first, self.count = self.first + 1, self.count - rows
        return rows

    def cleared(self) -> None:
        """Take the files of dropped segments away: a save that doesn't name them is on the disk."""
        for path, number in self._files():
            if number < self.first:
                path.unlink()

    def forget(self) -> None:
        """Drop everything: it was learned."""
        self._held.clear()
        self.first, self.count = self.first + self.count // SEGMENT + 1, 0

    def read(self) -> Packets:
        """Return all of them as packets."""
        self.flush()
        pieces = [from_rows(self._path(self.first + at).read_bytes()) for at in range(-(-self.count // SEGMENT))]
        return Packets._make(np.concatenate(column) for column in zip(*(pieces or [from_rows(b"")]), strict=True))

    def _restore(self) -> int:
        """Cut the files to what was saved; where one is shorter than that, it and what follows are given up."""
        wanted = self.count
        for path, number in self._files():
            if number >= self.first and self.count <= (number - self.first) * SEGMENT:
                path.unlink()
        for at in range(-(-self.count // SEGMENT)):
            path, size = self._path(self.first + at), min(SEGMENT, wanted - at * SEGMENT) * ROW.itemsize
            there = path.stat().st_size if path.exists() else 0
            if there > size:
                with path.open("r+b") as file:
                    file.truncate(size)
            elif there < size:
                self.first, self.count = (self.first, at * SEGMENT) if at else (self.first + 1, 0)
                break
        if self.count < wanted:
            for path, number in self._files():
                if number >= self.first + self.count // SEGMENT:
                    path.unlink()
        return wanted - self.count

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:010}.rows"

    def _files(self) -> list[tuple[Path, int]]:
        if not self._folder.is_dir():
            return []
        return [(path, int(path.stem)) for path in sorted(self._folder.glob("*.rows")) if path.stem.isdecimal()]


def newest(packets: Packets, seconds: int) -> Packets:
    """Return the packets of the last so many seconds."""
    clock, count = Clock(), len(packets.time_ns)
    pieces = [Packets._make(column[at : at + MOST_PACKETS] for column in packets) for at in range(0, max(count, 1), MOST_PACKETS)]
    second = np.concatenate([clock.advance(piece).second for piece in pieces])
    from_here = int(np.searchsorted(second, clock.second - seconds, side="right"))
    return Packets._make(column[from_here:] for column in packets)
