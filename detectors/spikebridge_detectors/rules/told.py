"""An alarm of a rule in words: what was measured, and what is normal."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from spikebridge_detectors.capture.kinds import from_rows
from spikebridge_detectors.rules import ewma, rate
from spikebridge_detectors.rules.evidence import unpack
from spikebridge_detectors.rules.windows import runs

if TYPE_CHECKING:
    from spikebridge_detectors.alarm import Alarm
    from spikebridge_detectors.evidence import Evidence
    from spikebridge_detectors.rules.ewma import Minute


_FEW = 10


class Told(NamedTuple):
    """An alarm: what was measured and how much of it is normal, in `unit`; of a minute how many packets it had, and how many are usual."""

    alarm: Alarm
    held: float
    threshold: float
    unit: str
    packets: int | None = None
    usual: float | None = None
    low: float | None = None
    high: float | None = None


def told(evidence: Evidence, alarm: Alarm) -> Told:
    """Say what an alarm of the evidence comes from."""
    counts, waits, averages = unpack(evidence.state).watches
    if alarm.kind == "rate" and isinstance(counts, rate.Watching):
        return Told(alarm, int(counts.learned.most) + 1, int(counts.learned.most), f"packets within {rate.WINDOW_S} s")
    if alarm.kind == "ewma" and isinstance(averages, ewma.Watching):
        return _minute(evidence, alarm, averages)
    longest_s: float = waits.learned.longest_s  # type: ignore[attr-defined]  # unpack gives them in this order
    return Told(alarm, alarm.score * longest_s, longest_s, "s")


def sentence(said: Told, device: str) -> str:
    """Return it as one sentence."""
    if said.packets is not None:
        usual, low, high = (
            f"{one:.1f}" if one < _FEW else f"{one:,.0f}" for one in (said.usual or 0, said.low or 0, said.high or 0)
        )
        packets = f"{said.packets:,} packet{'s' * (said.packets != 1)}"
        off = f"{said.held:.1f} deviations off, where {said.threshold:.1f} are the most"
        return f"{device}: {packets} in a minute, where about {usual} ({low} to {high}) are normal: {off}"
    if said.unit == "s":
        return f"{device}: no packet for {said.held:,.0f} s, where {said.threshold:,.0f} s are the longest"
    return f"{device}: {said.held:,.0f} {said.unit}, where {said.threshold:,.0f} are the most"


def _minute(evidence: Evidence, alarm: Alarm, watching: ewma.Watching) -> Told:
    """Find the minute again, with the average before it."""
    found = next(one for one in _judged(evidence, watching) if abs(one.z) / watching.most == alarm.score)
    low, usual, high = (found.mean + off * watching.most * found.deviation for off in (-1, 0, 1))
    numbers = [max(math.expm1(one), 0.0) for one in (usual, low, high)]
    return Told(alarm, abs(found.z), watching.most, "deviations", found.packets, *numbers)


def _judged(evidence: Evidence, watching: ewma.Watching) -> list[Minute]:
    """Return the minutes that are over in the evidence."""
    clock = unpack(evidence.state).clock
    piece = clock.advance(from_rows(evidence.input))
    _, windows, counts = runs(piece.second // ewma.WINDOW_S)
    if evidence.said.until_ns is not None:
        windows, counts = np.append(windows, clock.at(evidence.said.until_ns) // ewma.WINDOW_S), np.append(counts, 0)
    judged = []
    for window, count in zip(windows.tolist(), counts.tolist(), strict=True):
        judged += watching.until(window)
        watching.packets += count
    return judged
