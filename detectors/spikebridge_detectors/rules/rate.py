"""More packets in ten seconds than the device ever sends or gets: a flood, a scan in a hurry, a runaway heartbeat."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from spikebridge_detectors.rules.finding import Finding
from spikebridge_detectors.rules.threshold import Budget, threshold
from spikebridge_detectors.rules.windows import Count, runs

if TYPE_CHECKING:
    from spikebridge_detectors.rules.clock import Piece

WINDOW_S = 10
_LEAST = 20.0


@dataclass(frozen=True, slots=True)
class Rate:
    """So many packets in ten seconds are still normal."""

    most: float

    @classmethod
    def learn(cls, piece: Piece, budget: Budget) -> Rate:
        """Learn from days of a device's packets."""
        first, _, counts = runs(piece.second // WINDOW_S)
        return cls(max(threshold(piece.second[first], counts.astype(np.float64), budget), _LEAST))

    def begin(self) -> Watching:
        """Return what watches the packets to come."""
        return Watching(self)


@dataclass(slots=True)
class Watching:
    """Counts the packets of a window."""

    learned: Rate
    count: Count = field(default_factory=Count)

    def advance(self, piece: Piece) -> list[Finding]:
        """Return the packets that were one too many: one a window at most."""
        number = self.count.advance(piece.second // WINDOW_S)
        passing = int(self.learned.most) + 1
        return [
            Finding(int(piece.time_ns[at]), "rate", passing / self.learned.most)
            for at in np.flatnonzero(number == passing).tolist()
        ]

    def wait(self, _second: int) -> list[Finding]:
        """Return nothing: what doesn't come isn't too much."""
        return []
