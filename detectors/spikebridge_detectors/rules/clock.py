"""The clock of one device: how long its packets have been coming, in pieces of any size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from spikebridge_detectors.elapsed import DAY_NS, SECOND_NS, gaps

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from spikebridge_detectors.capture.columns import Packets


class Piece(NamedTuple):
    """
    Packets of one device with the gap before each, and with the second since the first that each came in.

    Time never falls here, and no gap counts for more than a day. `left_ns` is what each second still had to run.
    """

    time_ns: NDArray[np.int64]
    gap_ns: NDArray[np.int64]
    second: NDArray[np.int64]
    left_ns: NDArray[np.int64]
    peer: NDArray[np.int32]


@dataclass(slots=True)
class Clock:
    """Where the packets so far ended: the last one's time, and what passed since the first."""

    last_ns: int | None = None
    second: int = 0
    part_ns: int = 0

    def advance(self, packets: Packets) -> Piece:
        """Return the packets with their times, and go on to the last of them."""
        piece = self._timed(packets.time_ns, packets.peer)
        if len(packets.time_ns):
            self.last_ns, self.second = int(piece.time_ns[-1]), int(piece.second[-1])
            self.part_ns = SECOND_NS - int(piece.left_ns[-1])
        return piece

    def at(self, now_ns: int) -> int:
        """Return the second that a time is in, and stay where the last packet was."""
        return int(self._timed(np.array([now_ns]), np.zeros(1, np.int32)).second[0])

    def _timed(self, time_ns: NDArray[np.int64], peer: NDArray[np.int32]) -> Piece:
        gap = np.minimum(gaps(time_ns, self.last_ns), DAY_NS)
        if self.last_ns is None:
            gap[:1] = 0
        part = self.part_ns + np.cumsum(gap % SECOND_NS)
        second = self.second + np.cumsum(gap // SECOND_NS) + part // SECOND_NS
        return Piece(time_ns, gap, second, SECOND_NS - part % SECOND_NS, peer)
