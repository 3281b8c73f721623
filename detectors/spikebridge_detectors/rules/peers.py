"""More peers in ten minutes than usual that the device never spoke with before."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from spikebridge_detectors.rules.finding import Finding
from spikebridge_detectors.rules.threshold import DAY, Budget, threshold
from spikebridge_detectors.rules.windows import Count

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from spikebridge_detectors.rules.clock import Piece

WINDOW_S = 600
MOST_KNOWN = 1024
MOST_MET = 256
_LEAST = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class Peers:
    """Who was met at times a day apart, so that an attack in training isn't trusted; and how many others are normal."""

    known: NDArray[np.int32]
    most: float

    @classmethod
    def learn(cls, piece: Piece, budget: Budget) -> Peers:
        """Learn from days of a device's packets; each day is scored by the peers of the others."""
        day = piece.second // DAY
        seconds, scores = [], []
        for number in np.unique(day):
            inside = day == number
            judge = Watching(cls(_known(piece.second[~inside], piece.peer[~inside]), _LEAST))
            second = piece.second[inside]
            new = judge.new(second, piece.peer[inside])
            seconds.append(second[new])
            scores.append(judge.count.advance(second[new] // WINDOW_S).astype(np.float64))
        most = threshold(np.concatenate(seconds), np.concatenate(scores), budget)
        least = _LEAST if budget.events >= 1 else 1.0  # to have seen none doesn't say that they are rarer than one in the time
        return cls(_known(piece.second, piece.peer), max(most, least))

    def begin(self) -> Watching:
        """Return what watches the packets to come."""
        return Watching(self)


@dataclass(slots=True)
class Watching:
    """The new peers of the day, each of which counts once; where they are too many to remember, each packet of another one counts."""

    learned: Peers
    count: Count = field(default_factory=Count)
    day: int = -1
    met: NDArray[np.int32] = field(default_factory=lambda: np.empty(0, np.int32))

    def advance(self, piece: Piece) -> list[Finding]:
        """Return the packets of the peer that was one too many: one a window at most."""
        new = self.new(piece.second, piece.peer)
        number = self.count.advance(piece.second[new] // WINDOW_S)
        passing = int(self.learned.most) + 1
        return [Finding(int(piece.time_ns[at]), "peers", passing / self.learned.most) for at in new[number == passing].tolist()]

    def wait(self, _second: int) -> list[Finding]:
        """Return nothing: who doesn't come isn't new."""
        return []

    def new(self, second: NDArray[np.int64], peer: NDArray[np.int32]) -> NDArray[np.int64]:
        """Return which packets are the first of a new peer on their day, and remember the peers."""
        strange = np.flatnonzero(~np.isin(peer, self.learned.known))
        day = second[strange] // DAY
        found = [strange[:0]]
        for number in np.unique(day).tolist():
            if number != self.day:
                self.day, self.met = number, self.met[:0]
            found.append(self._new(strange[day == number], peer))
        return np.concatenate(found)

    def _new(self, at: NDArray[np.int64], peer: NDArray[np.int32]) -> NDArray[np.int64]:
        at = at[~np.isin(peer[at], self.met)]
        nobody = peer[at] < 0
        _, first = np.unique(np.where(nobody, -1, peer[at]), return_index=True)
        first = np.sort(first[~nobody[first]])[: MOST_MET - len(self.met)]
        self.met = np.concatenate((self.met, peer[at[first]]))
        again = nobody if len(self.met) < MOST_MET else ~np.isin(peer[at], self.met)
        again[first] = True
        return at[again]


def _known(second: NDArray[np.int64], peer: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return who was met at times a day apart or more, those of the longest time first if they are too many."""
    order = np.lexsort((second, peer))
    first = np.flatnonzero(np.diff(peer[order].astype(np.int64), prepend=np.int64(-2)))
    last = np.append(first[1:], len(order))[: len(first)] - 1
    apart = second[order][last] - second[order][first]
    longest = np.argsort(-apart, kind="stable")[:MOST_KNOWN]
    known = peer[order][first[longest[apart[longest] >= DAY]]]
    return np.sort(known[known >= 0])
