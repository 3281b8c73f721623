"""A device's state in bytes: going on from it gives what going on from the original does, and nothing else is taken."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.detectors.traffic import attacked, packets, poller, some

from spikebridge_detectors.elapsed import DAY_NS, SECOND_NS
from spikebridge_detectors.errors import ModelError
from spikebridge_detectors.timing.detector import CELLS, TOLD_FOR, Running, Timing, advance, end
from spikebridge_detectors.timing.evidence import SIZE, STATE, pack, unpack
from spikebridge_detectors.timing.learning import Learned
from spikebridge_detectors.timing.marks import BINS, COMMON, MARKS, OTHER_PAIR, PAIRS, Alphabet
from spikebridge_detectors.timing.surprise import Habits
from spikebridge_detectors.timing.ticks import Thresholds, Tick

if TYPE_CHECKING:
    from spikebridge_detectors.capture.columns import Packets

HOUR_NS = 3600 * SECOND_NS
TOUCHY = Thresholds(spread=1, lasting=1, burst=1, spell=1, silence=3)
"""An alarm at each surprise: what was told fills up."""


@pytest.fixture(scope="module")
def learned() -> Learned:
    """Three clean days of a poller."""
    return Timing().learn(poller(hours=72))


@pytest.fixture(scope="module", name="attacked")
def attacked_() -> Packets:
    """Eight other hours of it, with attacks."""
    return attacked(8, scan=1, silence=3, exfiltration=5)


@settings(max_examples=20, deadline=None)
@given(cut=st.integers(1, 1500), wait=st.none() | st.integers(0, 3000), touchy=st.booleans())
def test_going_on_from_it_is_going_on(learned: Learned, attacked: Packets, cut: int, wait: int | None, touchy: bool) -> None:
    """Wherever it is taken, while packets come or none does: the same alarms, and the same state afterwards."""
    learned = replace(learned, thresholds=TOUCHY) if touchy else learned
    running = Running()
    now_ns = None if wait is None else int(attacked.time_ns[cut - 1]) + wait * SECOND_NS
    advance(learned, running, some(attacked, 0, cut), now_ns)
    state = pack(learned, running)
    again, restored = unpack(state)

    assert len(state) == SIZE
    assert pack(again, restored) == state
    rest = some(attacked, cut, None)
    alarms = advance(learned, running, rest) + end(learned, running)
    assert alarms or not touchy
    assert advance(again, restored, rest) + end(again, restored) == alarms
    assert pack(again, restored) == pack(learned, running)


def test_it_can_be_taken_behind_each_alarm(learned: Learned, attacked: Packets) -> None:
    """While synapses were told and have surprised within the half hour."""
    learned, running, found = replace(learned, thresholds=TOUCHY), Running(), 0
    for first in range(0, 300, 5):
        found += len(advance(learned, running, some(attacked, first, first + 5)))
        _, restored = unpack(pack(learned, running))
        assert pack(learned, restored) == pack(learned, running)
    assert found > 9


@settings(max_examples=60, deadline=None)
@given(
    times=st.lists(st.integers(-(1 << 63), (1 << 63) - 1) | st.integers(0, DAY_NS) | st.integers(0, 9 * SECOND_NS), min_size=2),
    seed=st.integers(0, 99),
    cut=st.floats(0.1, 0.9),
)
def test_hostile_clocks_and_packets_make_no_difference(learned: Learned, times: list[int], seed: int, cut: float) -> None:
    """Times that fall, repeat or jump by centuries, protocols and flags of any kind, an alarm at each surprise."""
    luck, touchy = np.random.default_rng(seed), replace(learned, thresholds=TOUCHY)
    found = packets(times, transport=luck.integers(0, 256, len(times)), flags=luck.integers(0, 256, len(times)))
    at = max(1, int(cut * len(times)))
    running = Running()
    advance(touchy, running, some(found, 0, at))
    again, restored = unpack(pack(touchy, running))
    rest = some(found, at, None)
    assert advance(again, restored, rest) + end(again, restored) == advance(touchy, running, rest) + end(touchy, running)
    assert pack(again, restored) == pack(touchy, running)


def worst() -> tuple[Learned, Running]:
    """Return a state in which every number is as long as it can be, and every synapse has a time of its own."""
    luck = np.random.default_rng(8)
    gap, own = 2 * luck.integers(0, 128, (2, PAIRS, BINS))
    habits = Habits(gap, own, 128)
    pairs = luck.permutation(MARKS * MARKS).clip(0, OTHER_PAIR).reshape(MARKS, MARKS)
    alphabet = Alphabet((1 << 32) - 1 - np.arange(COMMON), np.ones(MARKS, np.bool_), pairs)
    second = (1 << 61) - 1
    running = Running(
        last_ns=-(1 << 63), elapsed_ns=second * SECOND_NS + 999_999_999, tick=Tick(second, 1 << 40), device=(1 << 31) - 1
    )
    running.seen.mark[:], running.seen.met[:] = MARKS - 1, True
    running.seen.last[:], running.seen.own[:] = -(1 << 63), (1 << 63) - 1
    held = running.held
    held.counters = dict.fromkeys(held.counters, (1 << 23) - 1)
    held.counted = held.heard = second - 5
    held.blocked, held.block, held.timed, held.hold, held.timer = second + 2, 72_192, second - 1, second + 1, 1 - (1 << 23)
    running.ended_ns = {second - 5: -(1 << 63), second: (1 << 63) - 1, 7: 7}
    running.surprised[:] = second - TOLD_FOR
    running.told[:] = second + 1 + luck.permutation(TOLD_FOR)[:CELLS]
    running.told[::2], running.surprised[::2] = 0, second - luck.permutation(1800)[: CELLS // 2]
    return Learned(alphabet, habits, Thresholds(131_071, 131_071, 131_071, 131_071, 32_000)), running


def test_the_worst_state_fits_and_comes_back_whole() -> None:
    """Nothing of it is cut: each synapse's time, each pair, each weight."""
    learned, running = worst()
    state = pack(learned, running)
    again, restored = unpack(state)
    tells = np.arange(CELLS) // BINS % PAIRS != OTHER_PAIR

    assert len(state) == SIZE <= 4096
    assert np.array_equal(again.alphabet.pairs, learned.alphabet.pairs)
    assert np.array_equal(again.alphabet.common, learned.alphabet.common)
    assert np.array_equal(again.habits.gap, learned.habits.gap)
    assert np.array_equal(again.habits.own, learned.habits.own)
    assert again.thresholds == learned.thresholds
    assert np.array_equal(restored.told[tells], running.told[tells])
    assert np.array_equal(restored.surprised[::2][tells[::2]], running.surprised[::2][tells[::2]])
    assert restored.held == running.held
    assert restored.ended_ns == {at: running.ended_ns[at] for at in list(running.ended_ns)[:2]}
    assert restored.tick == Tick((1 << 61) - 1, 127)


def test_what_is_too_long_ago_is_left_out(learned: Learned) -> None:
    """Half an hour after it surprised, and three hours after it was told, a synapse has nothing to say."""
    running = Running(last_ns=0, elapsed_ns=20_000 * SECOND_NS)
    running.held.timed = 20_000
    empty = pack(learned, running)
    running.surprised[5], running.told[6] = 20_000 - 1800, 20_000
    assert pack(learned, running) == empty
    running.surprised[5] += 1
    assert pack(learned, running) != empty
    running.surprised[5], running.told[6] = 0, 20_001
    assert pack(learned, running) != empty


@settings(max_examples=300, deadline=None)
@given(at=st.integers(0, SIZE - 1), value=st.integers(0, 255))
def test_an_altered_byte_is_refused_or_gives_a_bounded_state(at: int, value: int) -> None:
    """No crash but the error that says where, and whatever is taken runs in bounded time."""
    learned, running = worst()
    state = bytearray(pack(learned, running))
    state[at] = value
    try:
        again, restored = unpack(bytes(state))
    except ModelError:
        return
    assert len(advance(again, restored, packets([0, SECOND_NS]))) <= 12
    assert pack(again, restored)


def changed(name: str, value: object) -> bytes:
    """Return a state in which one field says something else."""
    said = np.frombuffer(pack(Timing().learn(packets(np.arange(4) * DAY_NS)), Running()), STATE).copy()
    said[name][0] = value
    return said.tobytes()


@pytest.mark.parametrize(
    ("state", "told"),
    [
        (b"", f"expected {SIZE} bytes of format 1, found 0"),
        (bytes(SIZE), f"expected {SIZE} bytes of format 1, found {SIZE} of 00"),
        (changed("kinds", 7), "kinds"),
        (changed("mark", -2), "mark"),
        (changed("timed", -2), "timed"),
        (changed("timed", 5), "timed"),
        (changed("hold", 3), "hold"),
        (changed("timer", 1 << 30), "timer: expected at most its threshold"),
        (changed("counters", -1), "counters"),
        (changed("heard", 1), "heard"),
        (changed("second", 1), "second"),
        (changed("surprises", 200), "surprises"),
        (changed("device", -1), "device"),
        (changed("expected", 129), "expected: expected 0 to 128, found 129"),
        (changed("thresholds", 0), "threshold of spread: expected 1 to"),
        (changed("pairs", 255), "pairs: expected 0 to 39, found 63"),
        (changed("cells", 255), "cells: expected 0 to 12600"),
        (changed("cells", 0), None),
    ],
)
def test_what_no_device_comes_to_is_refused(state: bytes, told: str | None) -> None:
    """Each field has its range, and the message names it."""
    if told is None:
        assert unpack(state)
        return
    with pytest.raises(ModelError, match=told):
        unpack(state)


def test_a_state_that_contradicts_itself_is_not_packed(learned: Learned) -> None:
    """Rather no evidence than one from which something else would follow."""
    running = Running(last_ns=0, elapsed_ns=20_000 * SECOND_NS)
    running.held.timed = 20_000
    running.surprised[5], running.told[5] = 20_000, 20_000 + 1700
    with pytest.raises(ModelError, match="don't surprise while they are told"):
        pack(learned, running)
    with pytest.raises(ModelError, match="the second that isn't over to be 0, found 3"):
        pack(learned, Running(tick=Tick(3, 1)))
