"""The second layer, worked out from event to event, against its neurons run second by second."""

from __future__ import annotations

from copy import deepcopy

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from spikebridge_detectors.errors import ModelError
from spikebridge_detectors.lif import State, advance
from spikebridge_detectors.timing.ticks import COUNT_LINES, COUNTERS, Held, Neuron, Spike, Thresholds, Tick, neurons, scan

LOW = Thresholds(spread=1500, lasting=2500, burst=40, spell=90, silence=60)


def network(thresholds: Thresholds, ticks: dict[int, int], steps: int) -> set[tuple[int, str]]:
    """Run the neurons step by step, each with the spikes of the step before, and return who fired when."""
    made = neurons(thresholds)
    states = {name: State.zero(neuron.layer, 1) for name, neuron in made.items()}
    fired: set[tuple[int, str]] = set()
    for step in range(steps):
        count = min(ticks.get(step, 0), 127)
        lines = {f"count_{bit}": bool(count >> bit & 1) for bit in range(COUNT_LINES)}
        lines |= {"error": count > 0, "packet": step in ticks, "packet_before": step - 1 in ticks}
        lines |= {name: fires(neuron, states[name]) for name, neuron in made.items()}
        for name, neuron in made.items():
            advance(neuron.layer, states[name], np.array([[[lines[source] for source in neuron.sources]]]))
        fired |= {(step, name) for name in (*COUNTERS, "silence") if lines[name]}
    return fired


def fires(neuron: Neuron, state: State) -> bool:
    """Say whether a neuron fires in the step to come: what comes in that step doesn't matter to it."""
    return bool(advance(neuron.layer, deepcopy(state), np.zeros((1, 1, neuron.layer.inputs), np.bool_))[0, 0, 0])


TICKS = st.lists(
    st.tuples(st.sampled_from((1, 1, 1, 2, 3, 17, 40, 59, 60, 61, 62, 63, 64, 65, 200)), st.sampled_from((0, 0, 1, 2, 9, 300))),
    max_size=30,
)


@settings(max_examples=10, deadline=None)
@given(ticks=TICKS, cut=st.integers(0, 60))
@example(ticks=[(1, 1)] * 60, cut=7)
@example(ticks=[(62, 1), (1, 0), (1, 0), (62, 0), (2, 0), (1, 0), (200, 1)], cut=3)
def test_events_give_the_spikes_of_the_neurons(ticks: list[tuple[int, int]], cut: int) -> None:
    """For any seconds with packets, any surprises in them and any cut between two pieces."""
    seconds = (np.cumsum([gap for gap, _ in ticks]) - 1).tolist() if ticks else []
    found = [Tick(second, count) for second, (_, count) in zip(seconds, ticks, strict=True)]
    steps = (seconds[-1] if seconds else 0) + 100
    held = Held()
    spikes = scan(LOW, held, found[:cut]) + scan(LOW, held, found[cut:], until=steps)
    assert {(spike.step, spike.neuron) for spike in spikes if spike.step < steps} == network(LOW, dict(found), steps)


def test_a_silence_is_told_once_and_again_after_nine_hours() -> None:
    """The timer is held down as long as nothing comes."""
    held = Held()
    spikes = scan(LOW, held, [Tick(0, 0)], until=70_000)
    assert [spike.step for spike in spikes] == [63, 32_636, 65_209]
    assert scan(LOW, held, [Tick(70_000 + at, 0) for at in range(4)]) == []


def test_a_flood_fires_in_the_second_it_begins() -> None:
    """However many surprises a second holds, they count as 127."""
    assert scan(LOW, Held(), [Tick(5, 1 << 40)]) == [
        Spike(6, "burst", 5, 127 * 16 / 40),
        Spike(6, "spell", 5, 127 * 16 / 90),
    ]


@pytest.mark.parametrize("wrong", [{"spread": 0}, {"burst": 1 << 17}, {"silence": 32_001}])
def test_what_a_neuron_cannot_hold_is_refused(wrong: dict[str, int]) -> None:
    """The message names the neuron."""
    with pytest.raises(ModelError, match=f"threshold of {next(iter(wrong))}: expected 1 to"):
        LOW._replace(**wrong).checked()
