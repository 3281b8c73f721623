"""
A minute with far more or fewer packets than those before it, by an average that forgets.

    x      log(1 + packets of the minute)
    z      (x - mean) / sqrt(var + 0.1)                 an alarm where its size passes what is normal
    mean   += 0.05 * (x - mean)
    var    = 0.95 * (var + 0.05 * (x - mean)**2)        with the mean from before
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from spikebridge_detectors.elapsed import SECOND_NS
from spikebridge_detectors.rules.finding import Finding
from spikebridge_detectors.rules.threshold import Budget, threshold
from spikebridge_detectors.rules.windows import runs

if TYPE_CHECKING:
    from spikebridge_detectors.rules.clock import Piece

WINDOW_S = 60
_WEIGHT, _LEAST_VAR = 0.05, 0.1
_LEAST = 3.0


@dataclass(slots=True)
class Average:
    """Mean and variance, of which the past fades."""

    mean: float = 0.0
    var: float = 0.0

    def advance(self, x: float) -> float:
        """Return how far x is off, in deviations, and take it in."""
        off = x - self.mean
        z = off / self.deviation
        self.mean += _WEIGHT * off
        self.var = (1 - _WEIGHT) * (self.var + _WEIGHT * off * off)
        return z

    @property
    def deviation(self) -> float:
        """Return what counts as one deviation."""
        return math.sqrt(self.var + _LEAST_VAR)

    def rest(self, windows: int) -> None:
        """Take in so many windows without a packet at once."""
        kept = (1 - _WEIGHT) ** windows
        self.var = kept * (self.var + self.mean * self.mean * (1 - kept))
        self.mean *= kept


class Minute(NamedTuple):
    """A minute that is over, how many packets it had, and how far off the average of those before that is; `mean` and `deviation` are of logarithms."""

    window: int
    packets: int
    z: float
    mean: float
    deviation: float


@dataclass(frozen=True, slots=True)
class Ewma:
    """So far off a minute is still normal; the average begins where the training ended."""

    most: float
    mean: float
    var: float

    @classmethod
    def learn(cls, piece: Piece, budget: Budget) -> Ewma:
        """Learn from days of a device's packets."""
        _, windows, counts = runs(piece.second // WINDOW_S)
        x = np.log1p(counts)
        average = Average(float(x.mean()), float(x.var()))
        judge = Watching(math.inf, average)
        judged: list[Minute] = []
        for window, count in zip(windows.tolist(), counts.tolist(), strict=True):
            judged += judge.until(window)
            judge.packets += count
        second = np.array([minute.window * WINDOW_S for minute in judged], np.int64)
        score = np.array([abs(minute.z) for minute in judged], np.float64)
        return cls(max(threshold(second, score, budget), _LEAST), average.mean, average.var)

    def begin(self) -> Watching:
        """Return what watches the packets to come."""
        return Watching(self.most, Average(self.mean, self.var))


@dataclass(slots=True)
class Watching:
    """The average, the minute that isn't over yet, when by the device's clock it is, and whether the one before was silent."""

    most: float
    average: Average
    window: int | None = None
    packets: int = 0
    ends_ns: int = 0
    silent: bool = False

    def advance(self, piece: Piece) -> list[Finding]:
        """Return the minutes that are over and aren't normal, at their end."""
        found: list[Finding] = []
        first, windows, counts = runs(piece.second // WINDOW_S)
        last = first + counts - 1
        left_ns = ((windows + 1) * WINDOW_S - piece.second[last] - 1) * SECOND_NS + piece.left_ns[last]
        for window, count, at, left in zip(windows.tolist(), counts.tolist(), last.tolist(), left_ns.tolist(), strict=True):
            found += self._found(window)
            self.packets += count
            self.ends_ns = int(piece.time_ns[at]) + left
        return found

    def wait(self, second: int) -> list[Finding]:
        """Return the minutes that are over by then and aren't normal."""
        return [] if self.window is None else self._found(second // WINDOW_S)

    def _found(self, window: int) -> list[Finding]:
        begun, ends_ns = self.window or 0, self.ends_ns
        judged = self.until(window)
        self.ends_ns += max(window - begun, 0) * WINDOW_S * SECOND_NS
        return [
            Finding(ends_ns + (minute.window - begun) * WINDOW_S * SECOND_NS, "ewma", abs(minute.z) / self.most)
            for minute in judged
            if abs(minute.z) > self.most
        ]

    def until(self, window: int) -> list[Minute]:
        """Judge the minutes before one that begins; of silent ones in a row the first, which is the furthest off."""
        if self.window is None:
            self.window = window
        begun, over = self.window, window - self.window
        judged: list[Minute] = []
        if over > 0:
            judged += self._judged(begun, self.packets)
            self.window, self.packets = window, 0
        if over > 1:
            judged += self._judged(begun + 1, 0)
            self.average.rest(over - 2)
        return judged

    def _judged(self, window: int, packets: int) -> list[Minute]:
        if self.silent and not packets:
            self.average.rest(1)
            return []
        self.silent = not packets
        mean, deviation = self.average.mean, self.average.deviation
        return [Minute(window, packets, self.average.advance(math.log1p(packets)), mean, deviation)]
