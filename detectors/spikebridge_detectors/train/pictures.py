"""What the page shows of what was learned: weights, and a day with attacks in it as the neurons saw it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from spikebridge_detectors import plot
from spikebridge_detectors.elapsed import DAY_NS, SECOND_NS
from spikebridge_detectors.evaluate.data import between
from spikebridge_detectors.evaluate.inject import KINDS, inject
from spikebridge_detectors.lif import UNIT
from spikebridge_detectors.plot import Line, Span
from spikebridge_detectors.timing.detector import Running, advance
from spikebridge_detectors.timing.marks import BINS, GAP_EDGES, MARKS, OTHER_PAIR, OWN_EDGES, Seen, encode
from spikebridge_detectors.timing.surprise import surprises
from spikebridge_detectors.timing.ticks import COUNTERS, leaked
from spikebridge_detectors.timing.told import bin_of, duration, mark_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from spikebridge_detectors.alarm import Alarm
    from spikebridge_detectors.capture.columns import Packets
    from spikebridge_detectors.timing.learning import Learned
    from spikebridge_detectors.timing.marks import Alphabet

STEP_S = 30
SHOWN = (("scan", 0.2), ("exfiltration", 0.5), ("silence", 0.8))
"""The attacks of the day that is shown, and where in it they are, as a share."""

_PATHS = (*COUNTERS, "silence")
_MOST_SCORE = 2.0
_AROUND_NS = 1800 * SECOND_NS


class Day(NamedTuple):
    """A day of one device with attacks in it: packets, what was attacked when (seconds since it began), and when it began."""

    packets: Packets
    spans: list[Span]
    begins: int


def attacked(clean: Packets, begins: int, seed: int) -> Day:
    """Put the attacks that are shown into a day."""
    luck, packets, spans = np.random.default_rng([seed, 1 << 16]), clean, []
    for kind, share in SHOWN:
        start = begins + round(share * DAY_NS) + int(luck.integers(0, _AROUND_NS))
        changed = inject(packets, kind, start, luck)
        if changed is not None:
            packets, since = changed, (start - begins) / SECOND_NS
            spans.append(Span(kind, since, since + KINDS[kind]))
    return Day(packets, spans, begins)


def weights(learned: Learned) -> list[str]:
    """Return what was learned to expect after each pair, of both kinds of gap."""
    gap, own = _columns(GAP_EDGES), _columns(OWN_EDGES)
    named = _pairs(learned.alphabet)
    return [
        plot.heat(
            held[: len(named)],
            title=f"Layer 1: learned inhibition of {title}",
            rows=named,
            columns=columns,
            unit=f"inhibition, by where a gap's bin begins; up to {learned.habits.expected} a gap is a surprise",
        )
        for held, title, columns in (
            (learned.habits.gap, "the gap to the packet before", gap),
            (learned.habits.own, "the gap in the own stream", own),
        )
    ]


def scores(learned: Learned, day: Day) -> tuple[str, list[Alarm]]:
    """Return how near each path of layer 2 came to its threshold over a day, and the alarms."""
    running, alarms = Running(), []
    values: dict[str, list[tuple[float, float]]] = {name: [] for name in _PATHS}
    for start in range(0, DAY_NS, STEP_S * SECOND_NS):
        now = day.begins + start + STEP_S * SECOND_NS
        piece = between(day.packets, now - STEP_S * SECOND_NS, now)
        if running.last_ns is None and not len(piece.time_ns):
            continue
        found = advance(learned, running, piece, now)
        for alarm in found:
            values[alarm.kind].append(((alarm.time_ns - day.begins) / SECOND_NS, alarm.score))
        alarms += found
        for name, score in _held(learned, running).items():
            values[name].append(((now - day.begins) / SECOND_NS, score))
    lines = [
        Line(name, *np.minimum(np.array(sorted(points)).reshape(-1, 2), (np.inf, _MOST_SCORE)).T)
        for name, points in values.items()
    ]
    return (
        plot.lines(
            lines,
            title="Layer 2: what each path holds",
            x="time of the day held back (s)",
            y=f"multiples of its threshold, {_MOST_SCORE:g} at most",
            levels=[("told above this", 1.0)],
            spans=day.spans,
        ),
        alarms,
    )


def raster(learned: Learned, day: Day, alarms: list[Alarm]) -> str:
    """Return the spikes of both layers around the first attack of a day: surprises by their gaps, and what was told."""
    middle = day.spans[0] if day.spans else Span("", 0.0, 3600.0)
    start, end = middle.start - _AROUND_NS / SECOND_NS, middle.end + _AROUND_NS / SECOND_NS
    shown = between(day.packets, round(day.begins + start * SECOND_NS), round(day.begins + end * SECOND_NS))
    seconds = (shown.time_ns - day.begins) / SECOND_NS
    lines = encode(learned.alphabet, shown, Seen())
    gap, own = surprises(learned.habits, lines)
    first, second = ([bin_of(edges, at) for at in range(BINS)] for edges in (GAP_EDGES, OWN_EDGES))
    rows: list[tuple[str, NDArray[np.float64]]] = [("packets", seconds)]
    for names, said, fired, line in ((first, "gap", gap, lines.gap), (second, "own gap", own, lines.own)):
        rows += [(f"layer 1: {said} {names[at]}", seconds[fired & (line == at)]) for at in range(BINS)]
    for name in _PATHS:
        times = [(alarm.time_ns - day.begins) / SECOND_NS for alarm in alarms if alarm.kind == name]
        rows.append((f"layer 2: {name}", np.array([time for time in times if start <= time <= end])))
    title = f"Spikes around an attack of our own ({middle.label})" if middle.label else "Spikes of an hour"
    return plot.raster(
        rows,
        title=title,
        x="time of the day held back (s)",
        spans=[span for span in day.spans if span.start < end and span.end > start],
    )


def _held(learned: Learned, running: Running) -> dict[str, float]:
    """Return what each path holds now, in multiples of its threshold."""
    now, held = running.elapsed_ns // SECOND_NS, running.held
    found = {}
    for name, leak in COUNTERS.items():
        found[name] = leaked(held.counters[name], leak, now - held.counted) / (getattr(learned.thresholds, name) * UNIT)
    found["silence"] = (now - held.heard) / learned.thresholds.silence
    return found


def _pairs(alphabet: Alphabet) -> list[str]:
    """Return what each pair of marks is that was learned, in words."""
    found = {
        int(alphabet.pairs[before, mark]): f"{mark_of(alphabet.common, mark)} after {mark_of(alphabet.common, before)}"
        for before in range(MARKS)
        for mark in range(MARKS)
        if alphabet.pairs[before, mark] != OTHER_PAIR
    }
    return [found[at] for at in range(len(found))]


def _columns(edges: NDArray[np.int64]) -> list[str]:
    """Return where each bin begins."""
    return ["0", *(duration(float(edge)) for edge in edges.tolist())]
