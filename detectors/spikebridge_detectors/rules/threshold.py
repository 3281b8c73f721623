"""Thresholds from days of training: so high that a device's own days would have raised what the budget allows."""

from __future__ import annotations

import math
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

from spikebridge_detectors.peaks import peaks

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

DAY = 86_400
_HIGHEST = 10
_FEWEST = 3
_LEAST_POWER = 0.1
_MOST_BEYOND = 3.0


class Budget(NamedTuple):
    """How many alarms all days of training together may raise; `days` is how many they are, of `day_s` seconds each."""

    events: float
    days: float
    day_s: int = DAY


def threshold(second: NDArray[np.int64], score: NDArray[np.float64], budget: Budget) -> float:
    """
    Return what the scores would have passed as often as the budget says: all of them, and the tail that the highest suggest.

    The worst day is left out, so that one outage or attack in training doesn't deafen. The tail is taken as a power, set by the median,
    and ends at three times the highest: that of a device that does a lot at times would let any flood pass.
    """
    highest, events = _highest(second, score, budget)
    if len(highest) < _FEWEST:
        return max(highest, default=0.0)
    low = highest[-1]
    power = max(math.log2(median(highest) / low), _LEAST_POWER)
    fitted = min(low * math.pow(len(highest) / events, power), _MOST_BEYOND * highest[0])
    return max(fitted, highest[min(int(events), len(highest) - 1)])


def reached(second: NDArray[np.int64], score: NDArray[np.float64], budget: Budget) -> float:
    """Return what the scores did pass as often as the budget says: for scores that have no tail."""
    highest, events = _highest(second, score, budget)
    return highest[min(int(events), len(highest) - 1)] if highest else 0.0


def _highest(second: NDArray[np.int64], score: NDArray[np.float64], budget: Budget) -> tuple[list[float], float]:
    """Return the highest scores of all days but the worst, and how many alarms they may raise."""
    events = budget.events * (1 - 1 / max(budget.days, 2.0))
    return peaks(*_without_worst_day(second, score, budget.day_s), max(_HIGHEST, 2 * math.ceil(events))), events


def _without_worst_day(
    second: NDArray[np.int64], score: NDArray[np.float64], day_s: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    if not score.size:
        return second, score
    rest = second // day_s != second[score.argmax()] // day_s
    return second[rest], score[rest]
