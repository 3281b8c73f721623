"""Frames as columns, and the two ways in which a batch holds their rows: still packed, or as arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from spikebridge.spikes.frame import read_rows
from spikebridge.spikes.layout import KIND_EVENTS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Ints = NDArray[np.int64]
    Places = NDArray[np.intp]

FEW = 256
"""When fewer than one row in so many is asked for, rows are cut out one by one."""


@dataclass(frozen=True, slots=True)
class FlatRows:
    """Rows as arrays; frame f begins at `first[f]` and has `n[f]` rows. No weights: all are 1."""

    first: Ints
    n: Ints
    neuron: NDArray[np.uint32]
    time: Ints
    weight: Ints | None

    def neurons(self, frames: Places) -> NDArray[np.uint32]:
        """Return the neurons of these frames, one frame after the other."""
        return self.neuron[spread(self.first[frames], self.n[frames])]

    def times(self, frames: Places, frame_of: Places, row: Places) -> Ints:
        """Return the times of single rows."""
        found: Ints = self.time[self.first[frames[frame_of]] + row]
        return found

    def weights(self, frames: Places, frame_of: Places, row: Places) -> Ints | None:
        """Return how many spikes each row stands for."""
        return None if self.weight is None else self.weight[self.first[frames[frame_of]] + row]

    def take(self, order: Places) -> FlatRows:
        """Put the frames in another order; no row is moved."""
        return FlatRows(self.first[order], self.n[order], self.neuron, self.time, self.weight)


@dataclass(frozen=True, slots=True)
class PackedRows:
    """The rows of events frames, left in their bytes: `at` is where the payload of each frame begins."""

    values: Sequence[bytes]
    at: Ints
    n: Ints
    start_ns: Ints
    step_ns: Ints
    last: Ints
    """The step of each frame's last row, beyond which no row lies."""

    def neurons(self, frames: Places) -> NDArray[np.uint32]:
        """Return the neurons of these frames, one frame after the other."""
        at = self.at[frames]
        return np.frombuffer(self._cut(frames, at, at + 4 * self.n[frames]), "<u4")

    def times(self, frames: Places, frame_of: Places, row: Places) -> Ints:
        """Return the times of single rows; only the frames that hold them are opened."""
        n, at = self.n[frames], self.at[frames]
        if len(row) * FEW < int(n.sum()):
            begin = (at + 4 * n).take(frame_of) + 4 * row
            steps = np.frombuffer(self._cut(frames.take(frame_of), begin, begin + 4), "<u4")
        else:
            opened = np.zeros(len(frames), np.bool_)
            opened[frame_of] = True
            begin, size = (at + 4 * n)[opened], n[opened]
            joined = np.frombuffer(self._cut(frames[opened], begin, begin + 4 * size), "<u4")
            first = np.zeros(len(frames), np.int64)
            first[opened] = np.cumsum(size) - size
            steps = joined.take(first.take(frame_of) + row)
        last, step = self.last[frames].astype(np.uint32), self.step_ns[frames]
        found: Ints = np.minimum(steps, last.take(frame_of)).astype(np.int64)
        found *= step[0] if len(step) and (step == step[0]).all() else step.take(frame_of)
        found += self.start_ns[frames].take(frame_of)
        return found

    def weights(self, frames: Places, frame_of: Places, row: Places) -> Ints | None:  # noqa: ARG002 -- one protocol
        """Return None: a row of an events frame is one spike."""
        return None

    def flat(self) -> FlatRows:
        """Open all frames."""
        first = np.cumsum(self.n) - self.n
        pieces = [read_rows(value, KIND_EVENTS, (n, 0), at) for value, n, at in self._frames()]
        neuron = np.concatenate([piece[0] for piece in pieces]) if pieces else np.zeros(0, np.uint32)
        steps = np.concatenate([piece[1] for piece in pieces]) if pieces else np.zeros(0, np.int64)
        time = np.repeat(self.start_ns, self.n) + steps * np.repeat(self.step_ns, self.n)
        return FlatRows(first, self.n, neuron, time, None)

    def _frames(self) -> zip[tuple[bytes, int, int]]:
        return zip(self.values, self.n.tolist(), self.at.tolist(), strict=True)

    def _cut(self, frames: Places, begin: Ints, end: Ints) -> bytes:
        values = self.values
        return b"".join(
            [values[at][one:other] for at, one, other in zip(frames.tolist(), begin.tolist(), end.tolist(), strict=True)]
        )


@dataclass(frozen=True, slots=True)
class Columns:
    """The frames of some of a batch's records: the columns of `Batch`, before pieces are joined."""

    record: Places
    device: NDArray[np.int32]
    layer: NDArray[np.int32]
    role: NDArray[np.uint8]
    n: Ints
    start_ns: Ints
    end_ns: Ints
    boot: NDArray[np.uint64]
    seq: NDArray[np.uint64]
    crc: NDArray[np.uint32]
    rows: PackedRows | FlatRows

    @property
    def spikes(self) -> int:
        """Count the spikes, with their weights."""
        weight = self.rows.weight if isinstance(self.rows, FlatRows) else None
        return int(self.n.sum() if weight is None else weight.sum())


def spread(first: Ints, n: Ints) -> Ints:
    """Return first[0], first[0] + 1, ... n[0] of them, then first[1], ..."""
    ends = np.cumsum(n)
    places: Ints = np.arange(int(ends[-1]) if len(ends) else 0, dtype=np.int64) + np.repeat(first - (ends - n), n)
    return places
