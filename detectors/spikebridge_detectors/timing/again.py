"""
The neurons of both layers, each with the spikes that reached it in a stretch of packets, as the quick forms know them.

Layer 1 forgets at each step, so it begins from nothing. Of layer 2 each neuron begins where the quick form knows what it holds:

    counters         one step after the last second that is counted, those behind the relay another one later
    block            when the relay was let through or held back last: either way it fires then, and v = 0
    timer            where it was last worked out, with the silence that is still on its way to it
    relay, silence   they forget at each step too
"""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from spikebridge_detectors.elapsed import SECOND_NS
from spikebridge_detectors.lif import UNIT, State, advance
from spikebridge_detectors.repeat import MOST_STEPS, Part
from spikebridge_detectors.timing.marks import BINS
from spikebridge_detectors.timing.surprise import layer, spikes
from spikebridge_detectors.timing.ticks import COUNT_LINES, COUNTERS, MOST_COUNT, RELAYS, Held, leaked, neurons, scan

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from spikebridge_detectors.timing.ticks import Neuron, Spike, Tick
    from spikebridge_detectors.timing.trace import Trace

_BLOCK_FORGETS = 512
"""After so many steps nothing is left in the block."""


class Trains(NamedTuple):
    """In which steps each line and neuron is active: from step `start` on, all for as many steps; and the spikes that alarms are."""

    start: int
    active: dict[str, NDArray[np.bool_]]
    spikes: list[Spike]

    def between(self, names: tuple[str, ...], first: int) -> NDArray[np.bool_]:
        """Return some of them from a step on, [step, name]."""
        return np.stack([self.active[name][first - self.start :] for name in names], axis=1)


def first_layer(trace: Trace) -> Part:
    """Return layer 1: a step for each packet, and one in which the last is answered."""
    made = layer(trace.learned.habits)
    raster = np.concatenate((spikes(trace.lines)[:, 0], np.zeros((1, made.inputs), np.bool_)))
    fired = np.zeros((len(raster), 2 * BINS), np.bool_)
    at = np.arange(1, len(raster))
    fired[at, trace.lines.gap] |= trace.surprised[:, 0]
    fired[at, BINS + trace.lines.own] |= trace.surprised[:, 1]
    return Part("layer 1", made, State.zero(made, 1), raster, fired)


def second_layer(trace: Trace) -> list[Part]:
    """Return the neurons of layer 2; none where a second went on after it was over, or for more than a day and a half."""
    held, counted = trace.start.held, _counted(trace)
    known = trains(trace)
    if known is None:
        return []
    made = neurons(trace.learned.thresholds)
    parts = []
    for name, leak in COUNTERS.items():
        first = counted + (2 if name in RELAYS else 1)
        value = leaked(held.counters[name], leak, counted - held.counted)
        parts.append(_part(known, name, made[name], first, v=value))
    at, block = _blocked(held, counted)
    parts.append(_part(known, "block", made["block"], at, u=block))
    parts.append(_part(known, "relay", made["relay"], counted + 1))
    parts.append(_part(known, "timer", made["timer"], held.timed, v=held.timer))
    parts.append(_part(known, "silence", made["silence"], held.timed + 1))
    return parts


def trains(trace: Trace) -> Trains | None:
    """Return what the quick forms say of each line and neuron, up to where they know it."""
    start, counted = trace.start.held, _counted(trace)
    first = min(start.timed, counted - _BLOCK_FORGETS)
    last = max([trace.until or 0, *(tick.second for tick in trace.ticks)])
    if any(tick.second <= counted for tick in trace.ticks) or last + 3 - first > MOST_STEPS:
        return None
    held, found, relayed = deepcopy(start), [], []
    thresholds = trace.learned.thresholds
    for tick in trace.ticks:
        found += scan(thresholds, held, [tick])
        if tick.surprises and held.blocked == tick.second + 2:
            relayed.append(tick.second + 1)
    if trace.until is not None:
        found += scan(thresholds, held, (), until=trace.until)
    steps = held.timed + 2 - first
    told = {name: [spike.step for spike in found if spike.neuron == name] for name in (*COUNTERS, "silence")}
    if start.hold is not None:
        told["silence"].append(start.hold - 1)
    if start.blocked == counted + 2:
        relayed.append(counted + 1)
    told["relay"] = relayed
    active = _lines(trace.ticks) | told
    known = Trains(first, {name: _train(at, first, steps) for name, at in active.items()}, found)
    made = neurons(thresholds)
    for name, place, u, v in (("block", *_blocked(start, counted), 0), ("timer", start.timed, 0, start.timer)):
        known.active[name] = _train([], first, steps)
        part = _part(known, name, made[name], place, u=u, v=v)
        known.active[name][place + 1 - first :] = advance(part.layer, part.state, part.spikes[:, np.newaxis])[:, 0, 0]
        if u > made[name].layer.vth * UNIT:
            known.active[name][place - first] = True
    return known


def _lines(ticks: list[Tick]) -> dict[str, list[int]]:
    """Return the steps in which each input line is active."""
    count = {tick.second: min(tick.surprises, MOST_COUNT) for tick in ticks}
    found = {f"count_{bit}": [at for at, number in count.items() if number >> bit & 1] for bit in range(COUNT_LINES)}
    return found | {
        "error": [at for at, number in count.items() if number],
        "packet": list(count),
        "packet_before": [at + 1 for at in count],
    }


def _train(at: list[int], first: int, steps: int) -> NDArray[np.bool_]:
    active = np.zeros(steps, np.bool_)
    active[[step - first for step in at if first <= step < first + steps]] = True
    return active


def _part(known: Trains, name: str, neuron: Neuron, after: int, *, u: int = 0, v: int = 0) -> Part:
    """Return a neuron from the step behind `after` on, at whose end it holds u and v."""
    came = known.between(neuron.sources, after)
    state = State.zero(neuron.layer, 1)
    state.u[:], state.v[:] = u, v
    if len(came):
        state.current[:] = came[0].astype(np.float64) @ neuron.layer.weights[0] * 2.0**neuron.layer.exponent
    return Part(name, neuron.layer, state, came[1:], known.between((name,), after)[1:])


def _counted(trace: Trace) -> int:
    """Return the last second of which all surprises are counted in the state."""
    second = trace.start.elapsed_ns // SECOND_NS
    return second if trace.start.held.timed > second else second - 1


def _blocked(held: Held, counted: int) -> tuple[int, int]:
    """Return a step, and what the block holds there."""
    return (counted, 0) if counted - held.blocked >= _BLOCK_FORGETS else (held.blocked, held.block)
