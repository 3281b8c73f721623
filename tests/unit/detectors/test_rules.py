"""The simple rules: what each finds, that pieces don't matter, and that nothing grows under attack."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from spikebridge_detectors.capture.columns import Packets
from spikebridge_detectors.errors import ModelError
from spikebridge_detectors.rules import RULES, Rules, Running, advance
from spikebridge_detectors.rules.ewma import Average
from spikebridge_detectors.rules.peers import MOST_KNOWN, MOST_MET, Watching
from spikebridge_detectors.rules.rate import Rate
from spikebridge_detectors.rules.threshold import DAY, Budget, threshold

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from spikebridge_detectors.alarm import Alarm

S = 10**9
MINUTE = 60


def packets(seconds: Any, peer: Any = 0, device: int = 3) -> Packets:
    """Return packets at such seconds."""
    time_ns = np.asarray(np.asarray(seconds) * S, np.int64)
    return at(time_ns, peer, device)


def at(time_ns: NDArray[np.int64], peer: Any = 0, device: int = 3) -> Packets:
    """Return packets at such nanoseconds."""
    rest = np.zeros(len(time_ns), np.int64)
    kinds = (np.int64, np.int32, np.bool_, np.int32, np.uint8, np.uint16, np.uint16, np.uint32, np.uint8)
    columns = (time_ns, rest + device, rest, np.broadcast_to(peer, rest.shape), rest, rest, rest, rest, rest)
    return Packets._make(column.astype(kind) for column, kind in zip(columns, kinds, strict=True))


def poller(days: float, every: float = 20.0, start: float = 0.0) -> NDArray[np.float64]:
    """Return the seconds of a device that speaks in regular turns, with a little jitter."""
    turns = np.arange(start, start + days * DAY, every)
    return np.asarray(turns + np.random.default_rng(5).uniform(0, 0.5, len(turns)))


NORMAL = packets(poller(4))
LATER = 4 * DAY
LEARNED = Rules().learn(NORMAL)


def kinds(alarms: list[Alarm]) -> list[str]:
    """Return the kinds of alarms."""
    return [alarm.kind for alarm in alarms]


def test_a_device_that_goes_on_as_it_was_raises_nothing() -> None:
    """Two days more of the same."""
    assert Rules().scan(packets(poller(2, start=LATER)), LEARNED) == []


def test_a_flood_is_told_of_within_the_window_by_the_packet_that_was_too_much() -> None:
    """A thousand packets in a second: one alarm, some twenty packets after its start."""
    flood = LATER + 1803 + np.arange(1000) / 1000
    seconds = np.sort(np.concatenate((poller(0.1, start=LATER), flood)))
    found = Rules(("rate",)).scan(packets(seconds), Rules(("rate",)).learn(NORMAL))
    assert kinds(found) == ["rate"]
    assert (LATER + 1803) * S < found[0].time_ns < (LATER + 1803.05) * S
    assert found[0].device == 3
    assert found[0].score > 1


def test_a_silence_is_told_of_once_at_the_time_when_it_was_too_long() -> None:
    """Whether packets come again or the clock alone goes on."""
    seconds = poller(0.1, start=LATER)
    seconds = seconds[(seconds < LATER + 1800) | (seconds > LATER + 5400)]
    last = seconds[seconds < LATER + 1800][-1]
    rule = Rules(("silence",))
    learned = rule.learn(NORMAL)
    found = rule.scan(packets(seconds), learned)
    assert kinds(found) == ["silence"]
    assert last + 59.9 <= found[0].time_ns / S < last + 180
    running = Running.of(learned)
    assert advance(running, packets(seconds[seconds < LATER + 1800])) == []
    waited = [advance(running, packets([]), now_ns=int((last + after) * S)) for after in (30, 300, 3000)]
    assert [kinds(alarms) for alarms in waited] == [[], ["silence"], []]
    assert waited[1][0].time_ns == found[0].time_ns
    assert advance(running, packets(seconds[seconds > LATER + 5400])) == []


def test_a_minute_unlike_those_before_is_told_of_when_it_is_over() -> None:
    """Fifteen packets more in one minute, spread so that no ten seconds hold too many."""
    busy = LATER + 30 * MINUTE + np.arange(2, 58, 3.5)
    seconds = np.sort(np.concatenate((poller(0.1, start=LATER), busy)))
    first = seconds[0]
    assert kinds(Rules(("rate",)).scan(packets(seconds), Rules(("rate",)).learn(NORMAL))) == []
    found = Rules(("ewma",)).scan(packets(seconds), Rules(("ewma",)).learn(NORMAL))
    assert kinds(found) == ["ewma"]
    assert found[0].time_ns / S == pytest.approx(first + 31 * MINUTE, abs=1)


def test_new_peers_count_where_there_were_none_and_once_a_day() -> None:
    """With a budget that allows it the first is told of, but not again that day; peers of training never are."""
    peers = np.arange(len(NORMAL.time_ns)) % 5
    rule = Rules(("peers",), per_day=1.0)
    learned = rule.learn(NORMAL._replace(peer=peers.astype(np.int32)))
    seconds = poller(1.5, start=LATER)
    who = np.arange(len(seconds)) % 5
    assert rule.scan(packets(seconds, who), learned) == []
    strange = np.where((seconds > LATER + 5000) & (np.arange(len(seconds)) % 7 == 0), 9, who)
    found = rule.scan(packets(seconds, strange), learned)
    assert kinds(found) == ["peers", "peers"]
    assert found[1].time_ns - found[0].time_ns > 0.5 * DAY * S


def test_to_have_seen_no_new_peer_is_not_taken_for_more_than_it_is() -> None:
    """With a budget below one alarm in all the training two new peers within ten minutes are needed."""
    rule = Rules(("peers",), per_day=0.05)
    learned = rule.learn(NORMAL)
    seconds = poller(0.1, start=LATER)
    assert rule.scan(packets(seconds, np.where(seconds > LATER + 5000, 9, 0)), learned) == []
    assert kinds(rule.scan(packets(seconds, np.clip((seconds - LATER - 5000) // 60, 0, 2)), learned)) == ["peers"]


def test_a_peer_of_less_than_a_day_of_training_is_not_known() -> None:
    """An attacker who was there while the device was learned is no friend, also one who worked over midnight."""
    peers = np.where((NORMAL.time_ns > DAY * S) & (NORMAL.time_ns < (2 * DAY - 60) * S), 9, 0)
    rule = Rules(("peers",), per_day=1.0)
    learned: Any = rule.learn(NORMAL._replace(peer=peers.astype(np.int32)))
    assert learned[0].known.tolist() == [0]


def test_the_worst_day_of_training_does_not_deafen() -> None:
    """A flood and a long silence on one day: the thresholds stay where they would be."""
    seconds = poller(4)
    flood = DAY + 3600 + np.arange(20_000) / 1000
    quiet = (seconds < DAY + 7200) | (seconds > DAY + 10_800)
    dirty = np.sort(np.concatenate((seconds[quiet], flood)))
    clean: Any = Rules(("rate", "silence")).learn(NORMAL)
    learned: Any = Rules(("rate", "silence")).learn(packets(dirty))
    assert learned[0].most < 1.5 * clean[0].most
    assert learned[1].longest_s < 1.5 * clean[1].longest_s


def test_a_device_that_is_off_for_half_a_day_is_never_too_quiet() -> None:
    """On three days of four."""
    seconds = poller(5)
    seconds = seconds[seconds % DAY < 0.4 * DAY]
    learned: Any = Rules(("silence",)).learn(packets(seconds))
    assert learned[0].longest_s == math.inf
    assert Rules(("silence",)).scan(packets(np.append(seconds, 8 * DAY)), learned) == []


@given(
    arrays(np.float64, st.integers(0, 80), elements=st.floats(0, 400)),
    st.lists(st.integers(0, 80), max_size=4),
    st.integers(0, 1 << 30),
)
def test_pieces_and_waiting_do_not_matter(apart: Any, cuts: list[int], seed: int) -> None:
    """The alarms are those of one piece, also where the clock was asked in between; silent stretches and bursts among the packets."""
    luck = np.random.default_rng(seed)
    seconds = LATER + np.cumsum(np.where(luck.random(len(apart)) < 0.7, apart / 1000, apart))
    whole = packets(seconds, luck.choice([0, 0, 0, 1, 2, -1], len(seconds)))
    end = int((seconds[-1] if len(seconds) else LATER) * S) + 4000 * S
    once = advance(Running.of(LEARNED), whole, end)
    running = Running.of(LEARNED)
    pieces: list[Alarm] = []
    edges = [0, *sorted(cuts), len(seconds)]
    for first, last in pairwise(edges):
        piece = Packets._make(column[first:last] for column in whole)
        pieces += advance(running, piece, int(whole.time_ns[last]) if last < len(seconds) else end)
    assert [alarm[:3] for alarm in sorted(pieces)] == [alarm[:3] for alarm in sorted(once)]
    heard = [alarm for alarm in pieces if alarm.kind != "silence"], [alarm for alarm in once if alarm.kind != "silence"]
    assert [alarm.score for alarm in sorted(heard[0])] == pytest.approx([alarm.score for alarm in sorted(heard[1])])


@settings(max_examples=30)
@given(arrays(np.int64, st.integers(1, 60), elements=st.integers(-(1 << 63), (1 << 63) - 1) | st.integers(0, 10 * S)))
def test_no_clock_is_too_odd(time_ns: Any) -> None:
    """Falling, repeating, jumping from one end of time to the other: at most an alarm for each rule and packet."""
    running = Running.of(LEARNED)
    found = advance(running, at(time_ns), now_ns=0)
    assert len(found) <= 2 * len(RULES) * len(time_ns)


def test_a_flood_of_strangers_fills_nothing() -> None:
    """A hundred thousand random sources: a bounded memory, and one alarm of each rule that it concerns in each window."""
    seconds = LATER + np.arange(100_000) / 10_000
    running = Running.of(LEARNED)
    found = advance(running, packets(seconds, np.arange(100_000)))
    assert sorted(kinds(found)) == ["peers", "rate"]
    watch = running.watches[list(RULES).index("peers")]
    assert isinstance(watch, Watching)
    assert len(watch.met) == MOST_MET


def test_a_device_that_meets_very_many_keeps_those_that_it_met_longest() -> None:
    """No more than are remembered, and the one who was always there among them."""
    peers = np.where(np.arange(len(NORMAL.time_ns)) % 2, 7000, np.arange(len(NORMAL.time_ns)) % 4000)
    learned: Any = Rules(("peers",)).learn(NORMAL._replace(peer=peers.astype(np.int32)))
    assert len(learned[0].known) == MOST_KNOWN
    assert 7000 in learned[0].known


def test_silent_minutes_are_taken_in_at_once_as_one_by_one() -> None:
    """The same mean and variance."""
    one, other = Average(2.0, 0.7), Average(2.0, 0.7)
    for _ in range(50):
        one.advance(0.0)
    other.rest(50)
    assert (other.mean, other.var) == pytest.approx((one.mean, one.var))


def test_a_threshold_is_passed_as_often_as_the_budget_says() -> None:
    """Scores with a power for a tail, drawn anew each hour for thirty days: over many draws the mean is near what was asked for."""
    luck = np.random.default_rng(11)
    second = np.arange(30 * 24) * 3600
    passed = []
    for _ in range(200):
        level = threshold(second, luck.pareto(3, len(second)) + 1, Budget(3.0, 30.0))
        passed.append((luck.pareto(3, len(second)) + 1 > level).sum())
    assert 1.5 < np.mean(passed) < 6


def test_a_heavy_tail_does_not_let_everything_pass() -> None:
    """A device that is mostly still and at times does a lot: what it never did three times over is too much."""
    second = np.arange(5 * 24) * 3600
    score = np.where(second % DAY == 3600, 600.0, np.where(second % DAY == 7200, 10.0, 1.0))
    assert threshold(second, score, Budget(0.1, 5.0)) == 1800.0


def test_training_that_teaches_nothing_is_refused() -> None:
    """None, too short, too long; and rules that aren't there."""
    with pytest.raises(ModelError, match="training: expected 1 to"):
        Rules().learn(packets([]))
    with pytest.raises(ModelError, match="3 to 31 days, found 2"):
        Rules().learn(packets(poller(1.5)))
    with pytest.raises(ModelError, match="3 to 31 days, found 41"):
        Rules().learn(packets(poller(40.5, every=3600)))
    with pytest.raises(ModelError, match=r'rules: expected some of rate, .*found "pace"'):
        Rules(("pace",))
    with pytest.raises(ModelError, match="each once"):
        Rules(("rate", "rate"))
    with pytest.raises(ModelError, match="found none"):
        Rules(())
    with pytest.raises(ModelError, match="per_day"):
        Rules(per_day=0)


def test_hours_stand_for_days_where_no_more_was_recorded() -> None:
    """The worst of them is left out as the worst day is: a flood in the second of four hours raises no threshold."""
    usual, flood = np.arange(0, 4 * 3600, 10.0), 5400 + np.arange(2000) / 1000
    hours = Rules(("rate",), per_day=24.0, day_s=3600)
    learned = hours.learn(packets(np.sort(np.concatenate((usual, flood)))))
    assert [alarm.kind for alarm in hours.scan(packets(flood), learned)] == ["rate"]
    with pytest.raises(ModelError, match="3 to 31 days, found 1"):
        Rules().learn(packets(usual))


def test_each_rule_stands_alone() -> None:
    """As a detector of its own."""
    for name in RULES:
        rule = Rules((name,))
        assert len(rule.learn(NORMAL)) == 1
    assert isinstance(Rules(("rate",)).learn(NORMAL)[0], Rate)
