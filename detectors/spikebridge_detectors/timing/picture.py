"""A raster of what led to an alarm: input lines, what surprised layer 1, and the neurons of layer 2."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from spikebridge_detectors.plot import raster
from spikebridge_detectors.timing.again import trains
from spikebridge_detectors.timing.marks import GAP_EDGES, OTHER_PAIR, OWN_EDGES
from spikebridge_detectors.timing.ticks import COUNTERS
from spikebridge_detectors.timing.told import bin_of, mark_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from spikebridge_detectors.timing.told import Told
    from spikebridge_detectors.timing.trace import Trace

_SECOND_LAYER = ("relay", "block", *COUNTERS, "timer", "silence")


def picture(trace: Trace, said: Told, device: str) -> str:
    """Return an SVG; its times are seconds before and after the alarm."""
    at = float(said.spike.step) if said.spike else float(trace.clock_s[-1]) if len(trace.clock_s) else 0.0
    when = trace.clock_s - at
    lines, surprised = trace.lines, trace.surprised
    common, pairs = trace.learned.alphabet.common, trace.learned.alphabet.pairs
    rows = [(_pair(common, pairs, pair), when[lines.pair == pair]) for pair in np.unique(lines.pair).tolist()]
    kinds = (("gap", GAP_EDGES, lines.gap), ("own gap", OWN_EDGES, lines.own))
    for name, edges, line in kinds:
        rows += [(f"{name} {bin_of(edges, one)}", when[line == one]) for one in np.unique(line).tolist()]
    for number, (name, edges, line) in enumerate(kinds):
        odd = surprised[:, number]
        rows += [(f"1: odd {name} {bin_of(edges, one)}", when[odd & (line == one)]) for one in np.unique(line[odd]).tolist()]
    known = trains(trace)
    if known is not None:
        for name in _SECOND_LAYER:
            steps = np.flatnonzero(known.active[name]) + known.start
            rows.append((f"2: {name}", steps.astype(np.float64) - at))
    return raster(rows, title=f"{said.alarm.kind} of {device}", x="seconds from the alarm")


def _pair(common: NDArray[np.int64], pairs: NDArray[np.int64], pair: int) -> str:
    found = np.argwhere(pairs == pair)
    if pair == OTHER_PAIR or not len(found):
        return "a pair that wasn't learned"
    return f"{mark_of(common, int(found[0][1]))} after {mark_of(common, int(found[0][0]))}"
