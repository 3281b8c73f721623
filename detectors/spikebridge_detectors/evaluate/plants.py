"""
How well detectors of traffic do on recordings of plants: Modbus, MMS, IEC 60870-5-104.

What is learned from days elsewhere is learned from parts of a recording here. The budget is one false alarm per device-hour.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from spikebridge_detectors.elapsed import SECOND_NS, gaps
from spikebridge_detectors.errors import ModelError
from spikebridge_detectors.evaluate import baselines, report
from spikebridge_detectors.evaluate.baselines import Minutes
from spikebridge_detectors.evaluate.protocol import TOLERANCE_NS, incidents, judged, poisson
from spikebridge_detectors.evaluate.recordings import read
from spikebridge_detectors.evaluate.series import auc
from spikebridge_detectors.lif import UNIT
from spikebridge_detectors.rules import Rules
from spikebridge_detectors.timing import learning
from spikebridge_detectors.timing.calibrate import Budget
from spikebridge_detectors.timing.detector import Timing
from spikebridge_detectors.timing.marks import Seen, encode
from spikebridge_detectors.timing.ticks import COUNTED

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from spikebridge_detectors.alarm import Detector
    from spikebridge_detectors.capture.columns import Packets
    from spikebridge_detectors.evaluate.data import Truth
    from spikebridge_detectors.evaluate.protocol import Trial
    from spikebridge_detectors.evaluate.recordings import Plant, Recording

PLANTS = "<!-- plants -->"
"""Where a page has these tables."""

PER_DAY = 24.0
MOST_PER_HOUR = 2.0
"""A row with more false alarms than this doesn't count."""

_OF_RULES = 0.2
_HOUR_NS = 3600 * SECOND_NS


Learned = dict[tuple[str, str], dict[str, tuple[Any, ...]]]
"""What was learned: by recording and device, then by row."""


class Tried(NamedTuple):
    """What detectors found of a recording: attacks, false alarms in how many device-hours, and scores of normal and odd windows."""

    trials: list[Trial]
    false: int
    hours: float
    usual: list[float]
    odd: list[float]


class _Row(NamedTuple):
    """Detectors that are switched on together, how late they may tell, and what scores windows, if anything does."""

    name: str
    detectors: tuple[Detector[Any], ...]
    late_ns: int = TOLERANCE_NS
    scores: Callable[[tuple[Any, ...], Packets], NDArray[np.float64]] | None = None


def measured(folder: Path, tell: Callable[[str], None]) -> dict[str, Any]:
    """Return a row for each plant and each kind of detector; `tell` hears what is done next."""
    tell("reading the recordings of plants")
    found: list[dict[str, Any]] = []
    for plant in read(folder, tell):
        rows = _rows(plant)
        learned = _learned(plant, rows, tell)
        for row in rows if learned else ():
            tell(f"{plant.name}: {row.name}")
            tried = {one.name: _tried(plant, row, one, learned) for one in plant.recordings}
            found.append(_told(plant, row, tried))
    if not found:
        raise ModelError(f"{folder}: expected a host that can be learned from other recordings or the other half, found none")
    return {"plants": found}


def _learned(plant: Plant, rows: list[_Row], tell: Callable[[str], None]) -> Learned:
    """Return what the detectors of each row learned, by recording and device; a device that one can't learn is told and left out."""
    found: Learned = {}
    for recording in plant.recordings:
        for device, packets in recording.learned.items():
            try:
                found[recording.name, device] = {row.name: tuple(one.learn(packets) for one in row.detectors) for row in rows}
            except ModelError as error:
                tell(f"not measured: {plant.name}, {recording.name}: {device}: {error}")
    return found


def _rows(plant: Plant) -> list[_Row]:
    """Return everything with the same budget; what judges windows may tell one later."""
    day_s, late_ns = plant.day_s, TOLERANCE_NS + plant.window_s * SECOND_NS
    timing, names = Timing(Budget(per_day=PER_DAY), day_s), ("rate", "silence", "ewma")

    def surprise(learned: tuple[Any, ...], packets: Packets) -> NDArray[np.float64]:
        return surprises(learned[0], packets, plant.window_s)

    def score(learned: tuple[Any, ...], packets: Packets) -> NDArray[np.float64]:
        found: NDArray[np.float64] = learned[0].score.scores(baselines.windows(packets, plant.window_s), np.inf)
        return found

    return [
        _Row("timing and rules", (timing, Rules(names, PER_DAY * _OF_RULES, day_s))),
        _Row("timing", (timing,), scores=surprise),
        _Row("rules with the whole budget", (Rules(names, PER_DAY, day_s),)),
        *(
            _Row(name, (Minutes(name, kind, PER_DAY, window_s=plant.window_s, day_s=day_s),), late_ns, score)
            for name, kind in baselines.scores("window").items()
        ),
    ]


def surprises(learned: learning.Learned, packets: Packets, window_s: int) -> NDArray[np.float64]:
    """Return how near each window by itself came to an alarm: by what surprised in it, and by the longest silence up to its end."""
    end_ns = baselines.windows(packets, window_s).end_ns
    at = np.searchsorted(end_ns, packets.time_ns, side="right")
    counted = learning.counted(learned.habits, encode(learned.alphabet, packets, Seen()))
    gap_ns = gaps(packets.time_ns, int(packets.time_ns[0]))
    silent_ns = end_ns - packets.time_ns[np.searchsorted(packets.time_ns, end_ns, side="right") - 1]
    np.maximum.at(silent_ns, at, gap_ns)
    silent: NDArray[np.float64] = silent_ns / (learned.thresholds.silence * SECOND_NS)
    surprised = np.bincount(at, counted, minlength=len(end_ns)) * COUNTED / (learned.thresholds.burst * UNIT)
    return surprised + silent


def _tried(plant: Plant, row: _Row, recording: Recording, learned: Learned) -> Tried:
    (start_ns, end_ns), false, hours = recording.span_ns, 0, 0.0
    trials: list[Trial] = []
    usual, odd = list[float](), list[float]()
    for device, packets in recording.judged.items():
        if (recording.name, device) not in learned:
            continue
        states = learned[recording.name, device][row.name]
        pairs = zip(row.detectors, states, strict=True)
        alarms = [alarm for detector, state in pairs for alarm in detector.scan(packets, state, end_ns)]
        attacks = [attack for attack in recording.attacks if attack.device == device]
        trials += [judged(alarms, attack, row.late_ns) for attack in attacks]
        if not attacks:
            false, hours = false + len(incidents(alarms, 0)), hours + (end_ns - start_ns) / _HOUR_NS
        if row.scores is not None:
            scores, bad = row.scores(states, packets), _odd(packets, attacks, plant.window_s)
            usual += scores[~bad].tolist()
            odd += scores[bad].tolist()
    return Tried(trials, false, hours, usual, odd)


def _odd(packets: Packets, attacks: list[Truth], window_s: int) -> NDArray[np.bool_]:
    """Return which windows have any of an attack in them."""
    end_ns = baselines.windows(packets, window_s).end_ns
    odd = np.zeros(len(end_ns), np.bool_)
    for attack in attacks:
        odd |= (end_ns > attack.start * SECOND_NS) & (end_ns - window_s * SECOND_NS <= attack.end * SECOND_NS)
    return odd


def _told(plant: Plant, row: _Row, tried: dict[str, Tried]) -> dict[str, Any]:
    trials = [trial for one in tried.values() for trial in one.trials]
    false, hours = sum(one.false for one in tried.values()), sum(one.hours for one in tried.values())
    low, high = poisson(false)
    aucs = {name: round(auc(np.array(one.usual), np.array(one.odd)), 3) for name, one in tried.items() if one.odd and one.usual}
    return {
        "plant": plant.name,
        "detectors": row.name,
        "window_seconds": plant.window_s,
        "auc": aucs or None,
        "attacks": report.trials(trials),
        "false": {
            "alarms": false,
            "device_hours": round(hours, 2),
            "per_hour": round(false / hours, 2) if hours else None,
            "interval": [round(low / hours, 2), round(high / hours, 2)] if hours else None,
        },
    }


def text(measured: dict[str, Any]) -> str:
    """Return the rows as a table for a reader."""
    measured = report.escaped(measured)
    lines = [
        "Recordings of plants, one false alarm per device-hour allowed; learned from other recordings or the other half:",
        "",
        "| plant | detectors | AUC of windows | attacks found | median seconds | false alarms per device-hour (95 %) |",
        "|---|---|---|---|---|---|",
    ]
    for row in measured["plants"]:
        best = _best(measured["plants"], row)
        aucs = ", ".join(f"{name} {value:.3f}{_lost(value, best[name])}" for name, value in (row["auc"] or {}).items()) or "-"
        found, false = row["attacks"], row["false"]
        attacks = f"{found['found']}/{found['of']}" if found["of"] else "-"
        seconds = "-" if found["median_seconds"] is None else str(found["median_seconds"])
        lines.append(f"| {row['plant']} | {row['detectors']} | {aucs} | {attacks} | {seconds} | {_rate(false)} |")
    return "\n".join(lines) + "\n"


def _rate(false: dict[str, Any]) -> str:
    """Return false alarms for a reader; a dash where each host is attacked, so that none can be false."""
    if false["per_hour"] is None:
        return "-"
    held = "" if false["per_hour"] <= MOST_PER_HOUR else ", **does not count: above 2**"
    return (
        f"{false['per_hour']:.2f} ({false['interval'][0]:.2f}-{false['interval'][1]:.2f}) in {false['device_hours']:.1f} h{held}"
    )


def _best(rows: list[dict[str, Any]], row: dict[str, Any]) -> dict[str, float]:
    """Return for each recording the best AUC that others have there, where the row is the network's; others are compared with nothing."""
    others = [other["auc"] for other in rows if other["plant"] == row["plant"] and other is not row and other["auc"]]
    compared = others if row["detectors"] == "timing" else []
    return {name: max((other[name] for other in compared), default=0.0) for name in row["auc"] or {}}


def _lost(value: float, best: float) -> str:
    return " **lost**" if value < best else ""
