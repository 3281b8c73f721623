"""
An alarm of timing in words: which neuron, what surprised, and what was learned of it.

What was learned of a pair is a histogram: its twelve weights over bins in the logarithm of the gap. A gap strengthens the bins beside
its own as well, so each bin counts by the least of its weight and those beside it (if none is left so, by its own). The baseline is the
median bin, and one deviation to both sides:

    mean, variance = those of the bins' middles, weighed, and a twelfth of a bin's width squared for what lies inside a bin
    sigma = |log(gap) - mean| / deviation

Weights stop at 254 and fade, so this is coarser than the gaps were; the deviation is never less than 0.29 of a bin, and the first and
the last bin, which are open, count as wide as the others. Where one of these and the bin beside it are left, either may have been it.
"""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from spikebridge_detectors.capture.columns import Transport
from spikebridge_detectors.capture.kinds import LENGTHS
from spikebridge_detectors.elapsed import SECOND_NS, UNKNOWN_NS
from spikebridge_detectors.lif import UNIT
from spikebridge_detectors.timing.again import trains
from spikebridge_detectors.timing.detector import TOLD_BEFORE
from spikebridge_detectors.timing.marks import COMMON, GAP_EDGES, OTHER_PAIR, OWN_EDGES, steps
from spikebridge_detectors.timing.ticks import COUNTED, COUNTERS, RELAYED, RELAYS, Spike

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from spikebridge_detectors.alarm import Alarm
    from spikebridge_detectors.timing.again import Trains
    from spikebridge_detectors.timing.trace import Trace

MOST_SURPRISES = 1000
SPANS = {"burst": "20 s", "spell": "5 min", "spread": "10 min", "lasting": "34 min"}
"""How long each counter remembers."""

_MEMORIES = 5
_UNKNOWN_SIGMA = 2.0
_GENERIC = ("TCP that opens a connection", "TCP", "UDP", "ICMP", "of another protocol")
_FLAGS = ("", ", opening", ", closing")
_UNITS = (("s", SECOND_NS), ("ms", 10**6), ("us", 10**3))
_LONG = (("days", 86_400 * SECOND_NS), ("h", 3600 * SECOND_NS), ("min", 60 * SECOND_NS))


class Baseline(NamedTuple):
    """What was usual for a gap: the median bin in words and its middle, one deviation to both sides; and how far off this one is."""

    usual: str
    usual_ns: float
    low_ns: float
    high_ns: float
    sigma: float


class Surprise(NamedTuple):
    """
    One packet that counted: what it is, what came before it, and both gaps, each with what was learned of it if it was the surprise.

    A pair that isn't `known` has a baseline only of the gap in its own stream: what all pairs learned that end in this kind of packet.
    """

    time_ns: int
    packet: str
    before: str
    gap_ns: int
    own_ns: int
    gap: Baseline | None
    own: Baseline | None
    surprised: tuple[bool, bool]
    known: bool
    counted: int

    @property
    def sigma(self) -> float:
        """Return how far the odder of both gaps is off, 0 if nothing was learned of the pair."""
        return max((one.sigma for one in (self.gap, self.own) if one), default=0.0)


class Told(NamedTuple):
    """An alarm: what the neuron held and how much it bears, in `unit`; what filled it since it fired last, newest first, and how many synapses surprised before the packets of the evidence."""

    alarm: Alarm
    held: float
    threshold: float
    unit: str
    surprises: list[Surprise]
    earlier: int
    spike: Spike | None


def told(trace: Trace, alarm: Alarm) -> Told:
    """Say what an alarm of a trace comes from."""
    threshold, unit = _threshold(trace, alarm.kind)
    known = trains(trace)
    spike = _spike(trace, known, alarm)
    if alarm.kind == "silence":
        return Told(alarm, alarm.score * threshold, threshold, unit, [], 0, spike)
    second = spike.second if spike else int(trace.second.max(initial=0))
    since = second - round(_MEMORIES * 4096 / COUNTERS[alarm.kind])
    for one in known.spikes if known else []:
        if one.neuron == alarm.kind and one.second < second:
            since = max(since, one.second)
    fills = (trace.counted > 0) & (trace.second > since) & (trace.second <= second)
    if known and alarm.kind in RELAYS:
        fills &= known.active["relay"][trace.second + 1 - known.start]
    at = np.flatnonzero(fills)[::-1][:MOST_SURPRISES]
    start = trace.start.elapsed_ns // SECOND_NS
    earlier = int((trace.start.surprised > max(since, start - TOLD_BEFORE)).sum())
    return Told(alarm, alarm.score * threshold, threshold, unit, _surprises(trace, at), earlier, spike)


def sentence(said: Told, device: str) -> str:
    """Return it as one sentence."""
    alarm = said.alarm
    if alarm.kind == "silence":
        return f"{device} was silent for {said.held:,.0f} s, where {said.threshold:,.0f} s are the most that was learned"
    text = f"{device}: {said.held:.1f} {said.unit} within about {SPANS[alarm.kind]}, where {said.threshold:.1f} are the most"
    oddest = max(said.surprises, key=_oddness, default=None)
    return f"{text}; the oddest: {described(oddest)}" if oddest else text


def _oddness(one: Surprise) -> float:
    """Return how odd a packet is: a pair that wasn't learned is as odd as two deviations."""
    return one.sigma if one.known else max(one.sigma, _UNKNOWN_SIGMA)


def described(one: Surprise) -> str:
    """Return one surprise in words."""
    after, own = f"{_gap(one.gap_ns)} after {one.before or 'nothing'}", f"{_gap(one.own_ns)} after the last of its kind"
    found = []
    if not one.known:
        found.append(f"{after}: a pair that wasn't learned")
    elif one.surprised[0]:
        found.append(f"{after}, {_learned(one.gap)}")
    if one.own or (one.known and one.surprised[1]):
        found.append(f"{own}, {_learned(one.own)}")
    return f"{one.packet}, {'; '.join(found)}"


def kind_of(code: int) -> str:
    """Return the kind of packet that a code is, in words."""
    outgoing, transport, flags, length, service = code & 1, code >> 1 & 7, code >> 4 & 3, code >> 6 & 7, code >> 9
    name = Transport(transport).name if transport < len(Transport) else "OTHER"
    port = f" {service}" if service else ""
    edges = [0, *LENGTHS.tolist()]
    size = f"{edges[length]}-{edges[length + 1] - 1} bytes" if length < len(LENGTHS) else f"{edges[-1]} bytes or more"
    return f"{'outgoing' if outgoing else 'incoming'} {name}{port}, {size}{_FLAGS[flags % len(_FLAGS)]}"


def mark_of(common: NDArray[np.int64], mark: int) -> str:
    """Return a mark in words, nothing for none."""
    if mark < 0:
        return ""
    if mark < COMMON:
        return kind_of(int(common[mark]))
    kind, outgoing = divmod(mark - COMMON, 2)
    return f"other {'outgoing' if outgoing else 'incoming'} {_GENERIC[kind]}"


def baseline(weights: NDArray[np.int64], edges: NDArray[np.int64], gap_ns: int) -> Baseline | None:
    """Return what a pair's weights say was usual, and how far off a gap is; nothing if they say nothing."""
    if not weights.any():
        return None
    beside = np.pad(weights, 1, mode="edge")
    core = np.minimum(np.minimum(beside[:-2], beside[2:]), weights)
    core = core if core.any() else weights
    place = np.log(edges.astype(np.float64))
    width = float(place[1] - place[0])
    middle = place[0] + width * (np.arange(len(core)) - 0.5)
    mean = float(np.average(middle, weights=core))
    deviation = float(np.sqrt(np.average((middle - mean) ** 2, weights=core) + width**2 / 12))
    median = int(np.searchsorted(np.cumsum(core), core.sum() / 2))
    usual_ns = float(np.exp(middle[median]))
    usual = duration(usual_ns) if 0 < median < len(edges) else bin_of(edges, median)
    seen = float(np.clip(np.log(max(gap_ns, 1)), place[0] - 2 * width, place[-1] + 2 * width))
    low_ns, high_ns = float(np.exp(mean - deviation)), float(np.exp(mean + deviation))
    return Baseline(usual, usual_ns, low_ns, high_ns, abs(seen - mean) / deviation)


def bin_of(edges: NDArray[np.int64], number: int) -> str:
    """Return a bin in words."""
    if number == 0:
        return f"under {duration(float(edges[0]))}"
    if number == len(edges):
        return f"over {duration(float(edges[-1]))}"
    return f"{duration(float(edges[number - 1]))} to {duration(float(edges[number]))}"


def duration(nanoseconds: float) -> str:
    """Return a duration with two digits that count, in the unit that suits it."""
    if nanoseconds >= 180 * SECOND_NS:
        name, unit = next(one for one in _LONG if nanoseconds >= 2 * one[1] or one[0] == "min")
    else:
        name, unit = next((one for one in _UNITS if nanoseconds >= one[1]), _UNITS[-1])
    value = nanoseconds / unit
    return f"{value:,.0f} {name}" if value >= 10 or value == int(value) else f"{value:.1f} {name}"  # noqa: PLR2004


def _surprises(trace: Trace, at: NDArray[np.int64]) -> list[Surprise]:
    common, pairs, habits = trace.learned.alphabet.common, trace.learned.alphabet.pairs, trace.learned.habits
    step = steps(common, trace.packets, deepcopy(trace.start.seen))
    found = []
    for one in at.tolist():
        mark, pair = int(step.mark[one]), int(trace.lines.pair[one])
        surprised = bool(trace.surprised[one, 0]), bool(trace.surprised[one, 1])
        known = pair != OTHER_PAIR
        own = habits.own[pair] if known else habits.own[np.setdiff1d(pairs[:, mark], OTHER_PAIR)].sum(axis=0)
        gap_ns, own_ns = int(step.gap_ns[one]), int(step.own_ns[one])
        found.append(
            Surprise(
                time_ns=int(trace.packets.time_ns[one]),
                packet=mark_of(common, mark),
                before=mark_of(common, int(step.before[one])),
                gap_ns=gap_ns,
                own_ns=own_ns,
                gap=baseline(habits.gap[pair], GAP_EDGES, gap_ns) if known and surprised[0] else None,
                own=baseline(own, OWN_EDGES, own_ns) if surprised[1] else None,
                surprised=surprised,
                known=known,
                counted=int(trace.counted[one]),
            )
        )
    return found


def _threshold(trace: Trace, kind: str) -> tuple[float, str]:
    value: int = getattr(trace.learned.thresholds, kind)
    if kind == "silence":
        return float(value), "seconds"
    if kind in RELAYS:
        return value * UNIT / RELAYED, "half minutes with a surprise"
    return value * UNIT / COUNTED, "surprises"


def _spike(trace: Trace, known: Trains | None, alarm: Alarm) -> Spike | None:
    """Return the spike that an alarm is: those of a kind are in the same order."""
    number = [one for one in trace.alarms if one.kind == alarm.kind].index(alarm)
    spikes = [spike for spike in known.spikes if spike.neuron == alarm.kind] if known else []
    return spikes[number] if number < len(spikes) else None


def _gap(gap_ns: int) -> str:
    return "no known time" if gap_ns >= UNKNOWN_NS else duration(gap_ns)


def _learned(known: Baseline | None) -> str:
    if known is None:
        return "of which nothing was learned"
    inside = known.usual[0].isdigit()
    between = f" ({duration(known.low_ns)} to {duration(known.high_ns)})" if inside else ""
    return f"against a learned {known.usual}{between}, {known.sigma:.1f} sigma"
