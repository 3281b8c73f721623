"""What counts as found, as a false alarm and as its rate."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from spikebridge_detectors.elapsed import DAY_NS, SECOND_NS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from spikebridge_detectors.alarm import Alarm
    from spikebridge_detectors.evaluate.data import Truth

LEARNED_DAYS = 5
"""What comes before is learned and calibrated on, what comes after is reported."""

TOLERANCE_NS = 10 * SECOND_NS
"""An alarm so long after the end of an attack is still its own: a second must be over before it is judged."""

INCIDENT_NS = 600 * SECOND_NS
"""Alarms of one device that are no further than this from the first of them are one false alarm."""

_HALVINGS = 60


class Trial(NamedTuple):
    """One attack, and after how many seconds it was found and by what; nothing where it wasn't."""

    device: str
    kind: str
    seconds: float | None
    by: str


class Rate(NamedTuple):
    """False alarms, the device-days that they came in, their rate and its exact 95 % Poisson interval."""

    alarms: int
    days: float
    rate: float
    low: float
    high: float


def judged(alarms: Sequence[Alarm], truth: Truth, late_ns: int = TOLERANCE_NS) -> Trial:
    """Say whether one of the device's alarms lies within the attack, or so little after it."""
    start, end = round(truth.start * SECOND_NS), round(truth.end * SECOND_NS) + late_ns
    for alarm in sorted(alarms):
        if start <= alarm.time_ns <= end:
            return Trial(truth.device, truth.kind, (alarm.time_ns - start) / SECOND_NS, alarm.kind)
    return Trial(truth.device, truth.kind, None, "")


def incidents(alarms: Sequence[Alarm], start_ns: int, attacks: Sequence[Truth] = ()) -> list[Alarm]:
    """Return the first of each group of alarms after a time, none within an attack or ten minutes after it."""
    spans = [(round(attack.start * SECOND_NS), round(attack.end * SECOND_NS) + INCIDENT_NS) for attack in attacks]
    found: list[Alarm] = []
    for alarm in sorted(alarms):
        if alarm.time_ns < start_ns or any(start <= alarm.time_ns <= end for start, end in spans):
            continue
        if not found or alarm.time_ns - found[-1].time_ns > INCIDENT_NS:
            found.append(alarm)
    return found


def rate(alarms: int, span_ns: int) -> Rate:
    """Return the rate of alarms over a time."""
    days = span_ns / DAY_NS
    low, high = poisson(alarms)
    return Rate(alarms, days, alarms / days, low / days, high / days)


def poisson(count: int, level: float = 0.95) -> tuple[float, float]:
    """Return the exact interval of the mean that a count was drawn from."""
    tail = (1 - level) / 2
    low = _root(lambda mean: 1 - _at_most(count - 1, mean) - tail, count) if count else 0.0
    return low, _root(lambda mean: tail - _at_most(count, mean), count)


def _at_most(count: int, mean: float) -> float:
    if mean <= 0:
        return 1.0
    return math.fsum(math.exp(k * math.log(mean) - mean - math.lgamma(k + 1)) for k in range(count + 1))


def _root(rising: Callable[[float], float], count: int) -> float:
    low, high = 0.0, 2.0 * count + 20.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if rising(middle) < 0 else (low, middle)
    return (low + high) / 2
