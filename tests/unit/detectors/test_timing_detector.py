"""The detector of timing on generated traffic: what it finds, and that pieces and clocks make no difference."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.detectors.traffic import packets, poller

from spikebridge_detectors.capture.columns import Packets, Transport
from spikebridge_detectors.elapsed import DAY_NS, SECOND_NS
from spikebridge_detectors.errors import ModelError
from spikebridge_detectors.evaluate.data import between, joined, some
from spikebridge_detectors.evaluate.inject import KINDS, inject
from spikebridge_detectors.rules import Rules
from spikebridge_detectors.timing.calibrate import Budget
from spikebridge_detectors.timing.detector import GOES_ON, TOLD_EACH, Running, Timing, advance, end
from spikebridge_detectors.timing.learning import SURPRISING_MINUTES, counted
from spikebridge_detectors.timing.marks import Seen, encode
from spikebridge_detectors.timing.ticks import Thresholds

if TYPE_CHECKING:
    from spikebridge_detectors.alarm import Alarm
    from spikebridge_detectors.timing.learning import Learned

HOUR_NS = 3600 * SECOND_NS


@pytest.fixture(scope="module")
def learned() -> Learned:
    """Three clean days of a poller."""
    return Timing().learn(poller(hours=72))


@pytest.fixture(scope="module")
def later() -> Packets:
    """Two other days of it."""
    return poller(hours=48, seed=2)


def test_its_own_days_raise_little(learned: Learned, later: Packets) -> None:
    """What it does habitually is no alarm; now and then it says something odd."""
    assert len(Timing().scan(later, learned)) <= 2


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"shuffle"}))
def test_quiet_attacks_are_found(learned: Learned, later: Packets, kind: str) -> None:
    """Within the attack, and not in the same hour without it; a poller's gaps are alike, so there is nothing to shuffle."""
    start = 20 * HOUR_NS
    attacked = inject(later, kind, start, np.random.default_rng(3))
    assert attacked is not None

    def within(alarms: list[Alarm]) -> int:
        return sum(start <= alarm.time_ns <= start + KINDS[kind] * SECOND_NS for alarm in alarms)

    assert within(Timing().scan(attacked, learned)) > within(Timing().scan(later, learned))


@settings(max_examples=15, deadline=None)
@given(cuts=st.lists(st.integers(0, 6000), max_size=5))
def test_pieces_make_no_difference(learned: Learned, later: Packets, cuts: list[int]) -> None:
    """Wherever the packets are cut, the alarms are the same."""
    attacked = later
    for kind, hour in (("scan", 5), ("silence", 20), ("regular", 22), ("exfiltration", 25)):
        more = inject(attacked, kind, hour * HOUR_NS, np.random.default_rng(3))
        assert more is not None
        attacked = more
    running, found = Running(), []
    for first, last in zip([0, *sorted(cuts)], [*sorted(cuts), None], strict=True):
        found += advance(learned, running, Packets._make(column[first:last] for column in attacked))
    assert found + end(learned, running) == Timing().scan(attacked, learned)


def test_what_an_alarm_told_is_not_told_again_for_three_hours(learned: Learned) -> None:
    """An answer that comes late all day is a few alarms, not one each quarter of an hour."""
    alarms = Timing().scan(poller(hours=24, answer=0.5), learned)
    assert alarms
    assert len(alarms) <= 3 * 24 / 3
    assert alarms[-1].time_ns > 20 * HOUR_NS


def test_an_attack_that_goes_on_is_told_again_after_ten_minutes_then_each_hour(learned: Learned) -> None:
    """Five hours of a slow scan set neurons off each few minutes; each tells it when it begins to, and seldom afterwards."""
    packets = poller(hours=8, seed=2)
    for hour in range(2, 7):
        packets = inject(packets, "scan", hour * HOUR_NS, np.random.default_rng(hour)) or pytest.fail("too few")
    alarms = [alarm for alarm in Timing().scan(packets, learned) if 2 * HOUR_NS <= alarm.time_ns <= 7 * HOUR_NS]
    told = {kind: [alarm.time_ns for alarm in alarms if alarm.kind == kind] for kind in ("spread", "lasting")}
    for times in told.values():
        assert 5 <= len(times) <= 7
        gaps_s = np.diff(times) / SECOND_NS
        assert GOES_ON <= gaps_s[0] < 2 * GOES_ON
        assert (gaps_s[1:] >= TOLD_EACH).all()


def test_another_occasion_is_told_at_once(learned: Learned) -> None:
    """Two floods half an hour apart, of a kind that isn't the device's own."""
    before = poller(hours=3, seed=2)
    times = np.concatenate([at * HOUR_NS + np.arange(900) * 10_000_000 for at in (1.0, 1.5)]).astype(np.int64)
    flood = packets(times, transport=Transport.TCP, flags=2, target_port=23, length=60)
    alarms = Timing().scan(joined([before, flood]), learned)
    bursts = [alarm.time_ns / HOUR_NS for alarm in alarms if alarm.kind == "burst"]
    assert bursts == pytest.approx([1.0, 1.5], abs=0.01)


def test_each_silence_is_told(learned: Learned) -> None:
    """Also where the one before was over only minutes ago."""
    found = poller(hours=2, seed=2)
    minute = found.time_ns // (60 * SECOND_NS)
    alarms = Timing().scan(some(found, ~(((minute >= 40) & (minute < 46)) | ((minute >= 48) & (minute < 54)))), learned)
    silences = [alarm.time_ns / SECOND_NS / 60 for alarm in alarms if alarm.kind == "silence"]
    assert silences == pytest.approx([42, 50], abs=2)


def test_an_occasion_is_shorter_where_parts_of_a_recording_stand_for_days() -> None:
    """Five minutes apart two attacks are one on a device that is watched for days, and two where ten minutes stand for a day."""
    learned = replace(Timing(day_s=600).learn(poller(hours=1, every=10)), thresholds=Thresholds(9999, 9999, 60, 9999, 600))
    times = np.concatenate([at * SECOND_NS + np.arange(100) * 10_000_000 for at in (1000, 1300)])
    flood = packets(times, transport=Transport.TCP, flags=2, target_port=23, length=60)
    attacked = joined([poller(hours=1, every=10, seed=2), flood])
    for day_s, count in ((600, 2), (86_400, 1)):
        alarms = [alarm for alarm in Timing(day_s=day_s).scan(attacked, learned) if alarm.time_ns < 2000 * SECOND_NS]
        assert len({alarm.time_ns // (100 * SECOND_NS) for alarm in alarms if alarm.kind == "burst"}) == count


def test_a_silence_that_lasts_to_the_end_of_a_capture_is_told(learned: Learned) -> None:
    """If whoever scans knows that the capture went on: by the network as by the rules, and not before it is too long."""
    clean = poller(hours=2, seed=2)
    last_ns = int(clean.time_ns[-1])
    rules = Rules(("silence",))
    ruled = rules.learn(poller(hours=72))
    for until_ns, kinds in ((None, []), (last_ns + 5 * SECOND_NS, []), (3 * HOUR_NS, ["silence"])):
        assert [alarm.kind for alarm in Timing().scan(clean, learned, until_ns)] == kinds
        assert [alarm.kind for alarm in rules.scan(clean, ruled, until_ns)] == kinds


def test_what_is_rare_on_a_busy_device_is_familiar_too() -> None:
    """Two streams that slide past each other make gaps that are rare among thousands of packets: not half of the minutes may surprise."""

    def busy(hours: int, seed: int) -> Packets:
        luck = np.random.default_rng(seed)
        asks = [np.arange(0, hours * 3600, every) + luck.uniform(0, every) for every in (2.03, 5.01)]
        asks = [one + luck.normal(0, 0.006, len(one)) for one in asks]
        streams = [packets((one.clip(0) * SECOND_NS).astype(np.int64), length=60 + 9 * at) for at, one in enumerate(asks)]
        return joined(streams)

    learned, later = Timing().learn(busy(72, 1)), busy(24, 2)
    count = counted(learned.habits, encode(learned.alphabet, later, Seen()))
    minutes = len(np.unique(later.time_ns[count > 0] // (60 * SECOND_NS)))
    assert minutes < 2 * SURPRISING_MINUTES
    attacked = inject(later, "scan", 10 * HOUR_NS, np.random.default_rng(3)) or pytest.fail("too few")
    assert any(10 * HOUR_NS <= alarm.time_ns <= 11 * HOUR_NS for alarm in Timing().scan(attacked, learned))


def test_a_silence_is_heard_while_it_lasts(learned: Learned, later: Packets) -> None:
    """Nobody must wait for the packet that ends it, and the packet then doesn't tell it again."""
    running = Running()
    before = between(later, 0, HOUR_NS)
    assert advance(learned, running, before) == []
    last = int(before.time_ns[-1])
    alarms = [
        alarm for at in range(1, 60) for alarm in advance(learned, running, between(later, 0, 0), last + at * 10 * SECOND_NS)
    ]
    assert [alarm.kind for alarm in alarms] == ["silence"]
    assert 0 < alarms[0].time_ns - last - learned.thresholds.silence * SECOND_NS < 10 * SECOND_NS
    assert advance(learned, running, between(later, 2 * HOUR_NS, 2 * HOUR_NS + 600 * SECOND_NS)) == []


@settings(max_examples=30, deadline=None)
@given(times=st.lists(st.integers(-(1 << 63), (1 << 63) - 1) | st.integers(0, DAY_NS), min_size=1, max_size=60))
def test_hostile_clocks_give_a_bounded_number_of_alarms(learned: Learned, times: list[int]) -> None:
    """Times that fall, repeat or jump by centuries: no crash, at most five alarms for each packet, and times that fit."""
    luck = np.random.default_rng(len(times))
    found = packets(times, transport=luck.integers(0, 9, len(times)), flags=luck.integers(0, 256, len(times)))
    alarms = Timing().scan(found, learned)
    assert len(alarms) <= 5 * len(times)
    assert all(alarm.score > 1 for alarm in alarms)


def test_an_attack_on_a_day_of_training_is_not_learned(later: Packets) -> None:
    """An hour of scanning on one day teaches nothing: the next scan is found."""
    start = 30 * HOUR_NS
    attacked = inject(poller(hours=96), "scan", start, np.random.default_rng(4))
    assert attacked is not None
    again = inject(later, "scan", 20 * HOUR_NS, np.random.default_rng(5))
    assert again is not None
    alarms = Timing().scan(again, Timing().learn(attacked))
    assert any(20 * HOUR_NS <= alarm.time_ns <= 21 * HOUR_NS for alarm in alarms)


def test_a_device_that_is_gone_is_missed_once(learned: Learned) -> None:
    """However long nothing comes."""
    clean = poller(hours=2, seed=2)
    for days in (1, 30):
        assert [alarm.kind for alarm in Timing().scan(clean, learned, days * DAY_NS)] == ["silence"]


@pytest.mark.parametrize(("night_h", "threshold"), [(6, 25_936), (12, 32_000)])
def test_a_device_that_is_off_each_night_is_not_missed_each_night(night_h: int, threshold: int) -> None:
    """Nights may be a fifth longer than those that were learned; where they are longer than the timer counts, no silence is told."""
    week = poller(hours=168)
    awake = some(week, week.time_ns % DAY_NS >= night_h * HOUR_NS)
    learned = Timing().learn(between(awake, 0, 120 * HOUR_NS))
    assert learned.thresholds.silence == pytest.approx(threshold, abs=60)
    after = between(awake, 120 * HOUR_NS, 168 * HOUR_NS)
    assert not [alarm for alarm in Timing().scan(after, learned) if alarm.kind == "silence"]
    ended = Timing().scan(after, learned, 180 * HOUR_NS)
    assert [alarm.kind for alarm in ended if alarm.kind == "silence"] == (["silence"] if night_h < 9 else [])


def test_a_device_that_is_rarely_heard_is_not_missed_each_time() -> None:
    """Its silences span days; nine hours are the most that a timer counts."""
    rare = packets(np.arange(8) * DAY_NS)
    learned = Timing().learn(between(rare, 0, 4 * DAY_NS))
    assert learned.thresholds.silence == 32_000
    assert Timing().scan(rare, learned) == []


def test_hours_stand_for_days_where_no_more_was_recorded() -> None:
    """What was learned of three hours of a quick poller tells a scan later; as days they are refused."""
    early, later = poller(hours=3, every=10), poller(hours=2, every=10, seed=2)
    timing = Timing(Budget(per_day=24.0), day_s=3600)
    learned = timing.learn(early)
    start = HOUR_NS // 2
    attacked = inject(later, "scan", start, np.random.default_rng(3))
    assert attacked is not None
    assert any(start <= alarm.time_ns <= start + HOUR_NS for alarm in timing.scan(attacked, learned))
    assert len(timing.scan(later, learned)) <= 2
    with pytest.raises(ModelError, match="3 to 31 days, found 1"):
        Timing().learn(early)


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (packets(np.empty(0, np.int64)), "training: expected 1 to 16777216 packets of a device, found 0"),
        (packets([0, DAY_NS]), "training: expected packets of 3 to 31 days, found 2"),
        (packets(np.arange(40) * DAY_NS), "training: expected packets of 3 to 31 days, found 40"),
    ],
)
def test_training_has_its_bounds(found: Packets, message: str) -> None:
    """Too little says what is missing, too much is refused before it is counted."""
    with pytest.raises(ModelError, match=message):
        Timing().learn(found)
