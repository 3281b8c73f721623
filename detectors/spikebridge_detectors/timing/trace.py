"""What a stretch of packets does in a device's network: packet by packet, second by second, up to its alarms."""

from __future__ import annotations

from copy import deepcopy
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from spikebridge_detectors.capture.columns import Packets
from spikebridge_detectors.elapsed import SECOND_NS, elapsed
from spikebridge_detectors.timing.detector import advance, end
from spikebridge_detectors.timing.learning import weighed
from spikebridge_detectors.timing.marks import Lines, encode
from spikebridge_detectors.timing.surprise import cells, surprises

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from spikebridge_detectors.alarm import Alarm
    from spikebridge_detectors.timing.detector import Running
    from spikebridge_detectors.timing.learning import Learned
    from spikebridge_detectors.timing.ticks import Tick


class Trace(NamedTuple):
    """
    What happened from a state on.

    Of each packet what the device's clock said, in seconds, the whole second, its lines, whether each of its gaps surprised, and how much of that counted: what an alarm told doesn't.
    `ticks` are the seconds that layer 2 was given, and nothing came behind them up to the end of second `until`.
    """

    learned: Learned
    start: Running
    packets: Packets
    clock_s: NDArray[np.float64]
    second: NDArray[np.int64]
    lines: Lines
    surprised: NDArray[np.bool_]
    counted: NDArray[np.int64]
    ticks: list[Tick]
    until: int | None
    alarms: list[Alarm]


def traced(learned: Learned, start: Running, packets: Packets, until_ns: int | None = None) -> Trace:
    """Go on from a state, which stays as it is, with packets that evidence holds; `until_ns` as in `advance`."""
    running = deepcopy(start)
    clock_s, second = _seconds(running, packets.time_ns)
    lines = encode(learned.alphabet, packets, deepcopy(start.seen))
    surprised = np.stack(surprises(learned.habits, lines), axis=1)
    heard = surprised.copy()
    ticks = {} if running.tick is None else {running.tick.second: running.tick}
    alarms: list[Alarm] = []
    edges = [*np.flatnonzero(np.diff(second, prepend=-1)).tolist(), len(second)]
    for first, last in pairwise(edges):
        alarms += advance(learned, running, Packets._make(column[first:last] for column in packets))
        if running.tick is not None:
            ticks[running.tick.second] = running.tick
        met = cells(Lines._make(column[first:last] for column in lines))
        heard[first:last] &= running.told[met] <= second[first]
    until = None
    if until_ns is not None:
        alarms += advance(learned, running, Packets._make(column[:0] for column in packets), until_ns)
        until = running.elapsed_ns // SECOND_NS - 1
    alarms += end(learned, running)
    counted = weighed(heard[:, 0], heard[:, 1], lines.new)
    return Trace(learned, start, packets, clock_s, second, lines, surprised, counted, list(ticks.values()), until, alarms)


def _seconds(running: Running, time_ns: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return what the device's own clock says at each packet, and its whole seconds."""
    whole, part = divmod(running.elapsed_ns, SECOND_NS)
    since = elapsed(time_ns, running.last_ns) + part
    return whole + since / SECOND_NS, since // SECOND_NS + whole
