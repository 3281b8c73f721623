"""Evidence again: the neurons of both layers, from the state on, give what the quick forms gave, wherever the state was taken."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.detectors.traffic import attacked, packets, poller, some

from spikebridge_detectors.capture.kinds import from_rows, to_rows
from spikebridge_detectors.elapsed import DAY_NS, SECOND_NS
from spikebridge_detectors.network import Network
from spikebridge_detectors.repeat import ran
from spikebridge_detectors.timing.again import first_layer, second_layer
from spikebridge_detectors.timing.detector import Running, Timing, advance
from spikebridge_detectors.timing.evidence import pack, unpack
from spikebridge_detectors.timing.ticks import Thresholds
from spikebridge_detectors.timing.trace import Trace, traced

if TYPE_CHECKING:
    from spikebridge_detectors.capture.columns import Packets
    from spikebridge_detectors.timing.learning import Learned

HOUR_NS = 3600 * SECOND_NS
TOUCHY = Thresholds(spread=1500, lasting=2500, burst=10, spell=20, silence=62)


@pytest.fixture(scope="module")
def learned() -> Learned:
    """Three clean days of a poller."""
    return Timing().learn(poller(hours=72))


@pytest.fixture(scope="module", name="attacked")
def attacked_() -> Packets:
    """Six other hours of it, with attacks."""
    return attacked(6, scan=1, silence=3, exfiltration=4)


def from_here(learned: Learned, found: Packets, cut: int, count: int, wait: int | None = None) -> Trace:
    """Return what happens from a cut on, told from the packed state and the packed packets alone."""
    running = Running()
    advance(learned, running, some(found, 0, cut))
    rest = from_rows(to_rows(some(found, cut, cut + count)))
    until_ns = None if wait is None else int(found.time_ns[cut + count - 1]) + wait * SECOND_NS
    return traced(*unpack(pack(learned, running)), rest, until_ns)


@settings(max_examples=6, deadline=None)
@given(
    cut=st.integers(0, 1200),
    count=st.integers(1, 120),
    wait=st.none() | st.sampled_from((0, 1, 2, 59, 90, 3000)),
    touchy=st.booleans(),
)
def test_the_neurons_give_what_the_quick_forms_gave(
    learned: Learned, attacked: Packets, cut: int, count: int, wait: int | None, touchy: bool
) -> None:
    """Both layers, for any state and any stretch behind it; and the alarms are those of an undisturbed run."""
    learned = replace(learned, thresholds=TOUCHY) if touchy else learned
    trace = from_here(learned, attacked, cut, count, wait)
    parts = second_layer(trace)
    assert {part.name for part in parts} == {"spread", "lasting", "burst", "spell", "block", "relay", "timer", "silence"}
    assert ran("NumPy", [first_layer(trace), *parts], Network.run).differing == {}

    running = Running()
    advance(learned, running, some(attacked, 0, cut))
    undisturbed = advance(learned, running, some(attacked, cut, cut + count))
    assert sorted(trace.alarms[: len(undisturbed)]) == sorted(undisturbed)


@settings(max_examples=6, deadline=None)
@given(
    gaps=st.lists(
        st.sampled_from((0, 10**6, 5 * 10**8, SECOND_NS, 2 * SECOND_NS, 61 * SECOND_NS, 63 * SECOND_NS, -SECOND_NS, HOUR_NS)),
        min_size=4,
        max_size=25,
    ),
    cut=st.floats(0, 0.9),
    seed=st.integers(0, 99),
)
def test_odd_clocks_make_no_difference(learned: Learned, gaps: list[int], cut: float, seed: int) -> None:
    """Seconds in a row, many packets in one, silences and times that fall."""
    luck = np.random.default_rng(seed)
    found = packets(np.cumsum(gaps), transport=luck.integers(0, 9, len(gaps)), outgoing=luck.random(len(gaps)) < 0.5)
    at = int(cut * len(gaps))
    trace = from_here(replace(learned, thresholds=TOUCHY), found, at, len(gaps) - at, 100)
    parts = second_layer(trace)
    assert len(parts) == 8
    assert ran("NumPy", [first_layer(trace), *parts], Network.run).differing == {}


def test_another_weight_or_threshold_shows(learned: Learned, attacked: Packets) -> None:
    """What was learned otherwise answers otherwise."""
    trace = from_here(learned, attacked, 100, 400)
    assert trace.surprised.any()
    other = replace(trace.learned, habits=replace(trace.learned.habits, gap=np.full_like(trace.learned.habits.gap, 254)))
    assert ran("NumPy", [first_layer(trace._replace(learned=other))], Network.run).verdict == "differs"
    touchy = replace(trace.learned, thresholds=TOUCHY)
    parts = zip(second_layer(trace), second_layer(trace._replace(learned=touchy)), strict=True)
    mixed = [known._replace(layer=wrong.layer) for known, wrong in parts]
    assert set(ran("NumPy", mixed, Network.run).differing) >= {"burst", "spell"}


def test_more_steps_than_a_day_and_a_half_are_not_run(learned: Learned) -> None:
    """However few packets they are: a hostile clock costs nothing."""
    trace = traced(learned, Running(), packets(np.arange(1000) * DAY_NS))
    assert second_layer(trace) == []
