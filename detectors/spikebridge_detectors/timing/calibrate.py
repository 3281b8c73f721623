"""Thresholds from clean days: all paths together may raise as many alarms as the budget says, and one level of rarity is common to all."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from spikebridge_detectors.lif import UNIT
from spikebridge_detectors.peaks import peaks
from spikebridge_detectors.timing.ticks import COUNTED, COUNTERS, MOST_SILENCE, MOST_VTH, RELAYED, Held, Thresholds, Tick, scan

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

INCIDENT_SECONDS = 600
"""Alarms of one device this close to the first of them are one."""

_FLOORS = {"spread": 2.5 * RELAYED, "lasting": 2.5 * RELAYED, "burst": 4.0 * COUNTED, "spell": 4.0 * COUNTED, "silence": 60.0}
_QUIET = 25
"""Gaps below so many seconds, or twice as many, are no silence."""

_LONGER = 1.2
"""Nights differ in length."""

_HIGHEST = 10
_FEWEST = 3
_SPREAD, _SPREAD_SILENCE = 0.1, 0.05
_RAREST, _COMMONEST = 1e-3, 3.0
_HALVINGS = 10
_NEVER = Thresholds(MOST_VTH, MOST_VTH, MOST_VTH, MOST_VTH, MOST_SILENCE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """
    What the days of training may raise.

    `per_day` alarms on an average day, `spared` of the worst days left out, so that an attack among them doesn't deafen the detector.
    The thresholds of counters found so are raised by `margin`; a silence must be rarer than other alarms by `silence`.
    """

    per_day: float = 1.0
    spared: int = 1
    margin: float = 1.6
    silence: float = 4.0


class Clean(NamedTuple):
    """The seconds of one day, its surprises found by what other days taught, and the second of the first packet after it."""

    ticks: list[Tick]
    until: int | None


def calibrated(days: Sequence[Clean], length: float, budget: Budget) -> Thresholds:
    """Return the thresholds at which the days would have raised what the budget allows; `length` is that of all, in days."""
    tails = _tails(days)
    brief = [_brief(day) for day in days]
    allowed = budget.per_day * length * (1 - budget.spared / len(days))
    low, high = math.log(_RAREST), math.log(_COMMONEST)
    for _ in range(_HALVINGS):
        level = (low + high) / 2
        thresholds = _thresholds(tails, math.exp(level) * length, budget.silence, 1.0)
        alarms = sorted(_incidents(thresholds, day) for day in brief)
        if sum(alarms[: len(alarms) - budget.spared]) <= allowed:
            low = level
        else:
            high = level
    found = _thresholds(tails, math.exp(low) * length, budget.silence, budget.margin)
    return found._replace(silence=_silence(days, found.silence, allowed / budget.silence, budget.spared))


def _silence(days: Sequence[Clean], least: int, allowed: float, spared: int) -> int:
    """Return the least, or what is longer than all but as many silences of the days as are allowed: a device that is off each night has no tail."""
    long = [[gap for _, gap in _gaps(day) if gap > least] for day in days]
    for silence in sorted({least}.union(*long)):
        counts = sorted(sum(gap > silence for gap in gaps) for gaps in long)
        if sum(counts[: len(counts) - spared]) <= allowed:
            return least if silence == least else min(round(silence * _LONGER), MOST_SILENCE)
    return least


def _brief(day: Clean) -> Clean:
    """Return a day without the seconds that set nothing off: none of them surprises or stands beside a silence."""
    second = np.array([tick.second for tick in day.ticks], np.int64)
    ends = np.append(second[1:], second[-1:] if day.until is None else day.until)
    long = ends - second >= _QUIET
    kept = np.array([tick.surprises > 0 for tick in day.ticks], np.bool_) | long | np.append(True, long[:-1])[: len(second)]
    kept |= np.diff(second // _QUIET, prepend=-1) != 0
    return day._replace(ticks=[day.ticks[at] for at in np.flatnonzero(kept).tolist()])


def _incidents(thresholds: Thresholds, day: Clean) -> int:
    """Count the alarms of a day, those close to another as one."""
    count, last = 0, -INCIDENT_SECONDS
    for step in sorted(spike.step for spike in scan(thresholds, _begun(day), day.ticks, day.until)):
        if step - last >= INCIDENT_SECONDS:
            count, last = count + 1, step
    return count


def _begun(day: Clean) -> Held:
    """Return neurons that begin with the first packet of the day."""
    return Held(timed=day.ticks[0].second) if day.ticks else Held()


def _tails(days: Sequence[Clean]) -> dict[str, list[float]]:
    """Return the highest values that each path reached on the days, none within half an hour of a higher one."""
    tails: dict[str, list[float]] = {name: [] for name in (*COUNTERS, "silence")}
    for day in days:
        for name, reached in _reached(day).items():
            seconds, values = zip(*reached, strict=True) if reached else ((), ())
            tails[name] += peaks(np.array(seconds), np.array(values), _HIGHEST)
    return {name: sorted(values, reverse=True)[:_HIGHEST] for name, values in tails.items()}


def _reached(day: Clean) -> dict[str, list[tuple[int, float]]]:
    """Return what each path holds at each second where it grows, as nothing sets it off."""
    reached: dict[str, list[tuple[int, float]]] = {name: [] for name in COUNTERS}
    held = Held()
    for tick in day.ticks:
        if tick.surprises:
            scan(_NEVER, held, [tick])
            for name, value in held.counters.items():
                reached[name].append((tick.second, value))
    reached["silence"] = [(second, float(gap)) for second, gap in _gaps(day)]
    return reached


def _gaps(day: Clean) -> Iterator[tuple[int, int]]:
    """Return when each silence began and how many seconds it lasted, the last up to the first packet after the day."""
    seconds = [tick.second for tick in day.ticks] + ([] if day.until is None else [day.until])
    return ((before, after - before) for before, after in pairwise(seconds))


def _thresholds(tails: dict[str, list[float]], events: float, rarer: float, margin: float) -> Thresholds:
    """Return where each tail, taken as exponential, is passed by so many events; that of silence in the logarithm of seconds."""
    found = {}
    for name, values in tails.items():
        if name == "silence":
            value = _tail([math.log(value) for value in values], events / rarer, _SPREAD_SILENCE)
            found[name] = round(max(math.exp(min(value, math.log(MOST_SILENCE))), _FLOORS[name]))
        else:
            value = max(_tail(values, events, _SPREAD * min(values, default=0.0)), _FLOORS[name]) * margin
            found[name] = min(round(value / UNIT), MOST_VTH)
    return Thresholds(**found).checked()


def _tail(values: list[float], events: float, least: float) -> float:
    """Return what is passed by so many events; the scale is set by the median, so that one outage or attack doesn't."""
    if len(values) < _FEWEST:
        return max(values, default=0.0)
    low = min(values)
    scale = max((median(values) - low) / math.log(2), least)
    return low + scale * math.log(len(values) / events)
