"""Where recent hits lie, so that an alert finds the records of the spikes that counted."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

CHUNK = 1 << 16
"""Small additions are joined up to this many rows, so that a walk over long stretches stays a few array operations."""


class _Chunk(NamedTuple):
    device: NDArray[np.int32]
    offset: NDArray[np.int64]
    now: NDArray[np.int64]


class Recent:
    """
    An index of (device, offset, append time) of records with hits, in log order: 20 bytes each.

    Only the newest `most` rows are searched, whatever else is still held: what an alert finds must not depend on when memory was freed.
    """

    def __init__(self, keep_ns: int, most: int = 1 << 22) -> None:
        """Begin empty."""
        self.keep_ns = keep_ns
        self._most = most
        self._chunks: list[_Chunk] = []
        self._small: list[_Chunk] = []
        self._small_rows = 0

    def add(self, device: NDArray[np.int32], offset: NDArray[np.int64], now: NDArray[np.int64]) -> None:
        """Append rows."""
        self._small.append(_Chunk(device, offset, now))
        self._small_rows += len(device)
        if self._small_rows >= CHUNK:
            self._join()

    def back(self, device: int, before_offset: int, since_ns: int) -> Iterator[tuple[int, int]]:
        """Yield (offset, append time) of the device's records before an offset, the latest first."""
        self._join()
        searched = 0
        last = before_offset
        for chunk in reversed(self._chunks):
            high = int(np.searchsorted(chunk.offset, before_offset))
            low = max(0, high - (self._most - searched))
            searched += high - low
            for at in (np.flatnonzero(chunk.device[low:high] == device) + low)[::-1].tolist():
                if chunk.now[at] < since_ns:
                    return
                if chunk.offset[at] != last:
                    last = int(chunk.offset[at])
                    yield last, int(chunk.now[at])
            if searched >= self._most:
                return

    def forget(self, now_ns: int) -> None:
        """Drop what lies out of the look-back, or beyond the newest rows."""
        self._join()
        while self._chunks and int(self._chunks[0].now[-1]) < now_ns - self.keep_ns:
            del self._chunks[0]
        rows = sum(len(chunk.device) for chunk in self._chunks)
        while self._chunks and rows - len(self._chunks[0].device) > 2 * self._most:
            rows -= len(self._chunks.pop(0).device)

    def drop(self, devices: NDArray[np.int32]) -> None:
        """Forget these devices: their indices may be given to others."""
        self._join()
        for chunk in self._chunks:
            chunk.device[np.isin(chunk.device, devices)] = -1

    def _join(self) -> None:
        if self._small:
            if self._chunks and len(self._chunks[-1].device) < CHUNK:
                self._small.insert(0, self._chunks.pop())
            self._chunks.append(_Chunk(*(np.concatenate(column) for column in zip(*self._small, strict=True))))
            self._small, self._small_rows = [], 0
