"""Nothing for longer than the device is ever quiet."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from spikebridge_detectors.elapsed import SECOND_NS
from spikebridge_detectors.rules.finding import Finding
from spikebridge_detectors.rules.threshold import Budget, threshold

if TYPE_CHECKING:
    from spikebridge_detectors.rules.clock import Piece

_LEAST_S = 60.0
_MOST_S = 43_200.0


@dataclass(frozen=True, slots=True)
class Silence:
    """So many seconds without a packet are still normal; infinite for a device that is quiet for half a day."""

    longest_s: float

    @classmethod
    def learn(cls, piece: Piece, budget: Budget) -> Silence:
        """Learn from days of a device's packets."""
        longest = max(threshold(piece.second, piece.gap_ns / SECOND_NS, budget), _LEAST_S)
        return cls(longest if longest <= _MOST_S else math.inf)

    def begin(self) -> Watching:
        """Return what watches the packets to come."""
        return Watching(self)


@dataclass(slots=True)
class Watching:
    """The last packet, and whether the silence since was told of: it is told of once, until a packet comes again."""

    learned: Silence
    last_ns: int = 0
    last_second: int | None = None
    told: bool = False

    def advance(self, piece: Piece) -> list[Finding]:
        """Return the silences before packets, at the time that each became too long."""
        if not len(piece.time_ns):
            return []
        long = np.flatnonzero(piece.gap_ns > self.learned.longest_s * SECOND_NS)
        found = [
            self._finding(int(piece.time_ns[at - 1]) if at else self.last_ns, int(piece.gap_ns[at]) / SECOND_NS)
            for at in long.tolist()
            if at or not self.told
        ]
        self.last_ns, self.last_second, self.told = int(piece.time_ns[-1]), int(piece.second[-1]), False
        return found

    def wait(self, second: int) -> list[Finding]:
        """Return the silence that lasts, once."""
        if self.told or self.last_second is None or second - self.last_second <= self.learned.longest_s + 1:
            return []
        self.told = True
        return [self._finding(self.last_ns, second - self.last_second)]

    def _finding(self, after_ns: int, seconds: float) -> Finding:
        return Finding(after_ns + round(self.learned.longest_s * SECOND_NS), "silence", seconds / self.learned.longest_s)
