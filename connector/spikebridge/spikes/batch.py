"""
A batch: records of a spike log decoded to columns.

Columns are per frame (what one record holds for one device and layer, in the order of the log); rows (single spikes) stay packed
until a rule asks for them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]

ROLE_INPUT, ROLE_OUTPUT, ROLE_TICK = 0, 1, 2
SUMMARY = 0xFFFF_FFFF
"""The neuron of a row that summarises a whole layer."""


class Refused(NamedTuple):
    """A record, or a part of one, that is no spikes: it becomes a dead letter."""

    record: int
    part: int
    reason: str
    raw: bytes


class Rows(Protocol):
    """The spikes of a batch's frames. `frames` are positions in the frame columns, in any order."""

    def neurons(self, frames: NDArray[np.intp]) -> NDArray[np.uint32]:
        """Return the neurons of these frames, one frame after the other."""

    def times(self, frames: NDArray[np.intp], frame_of: NDArray[np.intp], row: NDArray[np.intp]) -> Ints:
        """Return times before re-timing, ns: of row `row[i]` of frame `frames[frame_of[i]]`."""

    def weights(self, frames: NDArray[np.intp], frame_of: NDArray[np.intp], row: NDArray[np.intp]) -> Ints | None:
        """Return how many spikes each of those rows stands for; None when all are 1."""


@dataclass(slots=True)
class Batch:
    """
    Records (R of them, ascending offsets) and their frames (F, in log order).

    `start_ns` and `end_ns` span all rows that the frame's record holds for the frame's device: they are re-timed as one.
    `layer` is a wire number (0 to 65,535) or a code from `Layers`. `boot` 0 is not checked for duplicates.
    Frames of role tick are no frames here: their records only carry time. `values` are the records' bytes.
    """

    offset: Ints
    append_ns: Ints
    record: NDArray[np.intp]
    device: NDArray[np.int32]
    layer: NDArray[np.int32]
    role: NDArray[np.uint8]
    n: NDArray[np.int64]
    start_ns: Ints
    end_ns: Ints
    boot: NDArray[np.uint64]
    seq: NDArray[np.uint64]
    crc: NDArray[np.uint32]
    rows: Rows
    refused: list[Refused] = field(default_factory=list)
    spikes: int = 0
    values: Sequence[bytes] = ()
