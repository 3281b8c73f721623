"""What others do: that each finds what it is made for, so that a loss of theirs isn't ours."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from spikebridge_detectors.capture.columns import Packets
from spikebridge_detectors.errors import ModelError
from spikebridge_detectors.evaluate import autoencoders
from spikebridge_detectors.evaluate.baselines import (
    MOST_WINDOWS,
    Autoencoders,
    Cusum,
    Ewma,
    Isolation,
    Minutes,
    Packet,
    oracle,
    rows,
    windows,
)
from spikebridge_detectors.evaluate.data import Capture
from spikebridge_detectors.evaluate.forest import grow
from spikebridge_detectors.evaluate.measure import clean

S = 10**9
DAY = 86_400


def packets(seconds: Any, length: Any = 100) -> Packets:
    """Return packets at such seconds, in their order."""
    seconds = np.sort(seconds)
    rest = np.zeros(len(seconds), np.int64)
    kinds = (np.int64, np.int32, np.bool_, np.int32, np.uint8, np.uint16, np.uint16, np.uint32, np.uint8)
    columns = ((seconds * S).astype(np.int64), rest, rest, rest, rest + 1, rest, rest, np.broadcast_to(length, rest.shape), rest)
    return Packets._make(column.astype(kind) for column, kind in zip(columns, kinds, strict=True))


def usual(first: float, days: float, rate: float = 0.2, seed: int = 1) -> Any:
    """Return the seconds of a device that speaks at random."""
    luck = np.random.default_rng(seed)
    return first * DAY + np.cumsum(luck.exponential(1 / rate, int(days * DAY * rate)))


NORMAL = packets(usual(0, 4))
LATER = usual(5, 0.3, seed=2)


@pytest.mark.parametrize("score", [Packet, Cusum, Ewma, Autoencoders])
def test_a_busy_hour_is_found(score: type[Any]) -> None:
    """Ten times as much as usual, at most a few minutes after its start."""
    busy = 5 * DAY + 10_000 + np.arange(0, 3600, 0.5)
    one = Minutes("odd", score)
    learned = one.learn(NORMAL)
    found = [alarm.time_ns / S - 5 * DAY - 10_000 for alarm in one.scan(packets(np.concatenate((LATER, busy))), learned)]
    assert any(0 < seconds < 300 for seconds in found)
    assert all(alarm.score > 1 for alarm in one.scan(packets(np.concatenate((LATER, busy))), learned))
    assert len(one.scan(packets(LATER), learned)) <= 3


@pytest.mark.parametrize("score", [Packet, Cusum, Isolation])
def test_a_silent_hour_is_found(score: type[Any]) -> None:
    """Minutes without a packet are minutes too."""
    since = LATER - 5 * DAY
    one = Minutes("odd", score)
    found = one.scan(packets(LATER[(since < 10_000) | (since > 13_600)]), one.learn(NORMAL))
    assert any(10_000 < alarm.time_ns / S - 5 * DAY < 11_000 for alarm in found)


def test_a_little_more_for_hours_adds_up() -> None:
    """A fifth more: the sum finds it, single minutes don't."""
    more = np.concatenate((LATER, usual(5, 0.3, rate=0.06, seed=3)))
    found = {}
    for score in (Packet, Cusum):
        one = Minutes("odd", score)
        found[score] = len(one.scan(packets(more), one.learn(NORMAL)))
    assert found[Cusum] > found[Packet]


def test_the_forest_tells_what_is_far_from_the_rest() -> None:
    """A cloud, a point far outside and one in its middle; the same cuts lead to the same scores."""
    luck = np.random.default_rng(7)
    cloud = luck.normal(size=(1000, 4))
    forest = grow(cloud, np.random.default_rng(1))
    far, middle = forest.scores(np.array([[9.0, -9.0, 9.0, 9.0], [0.0, 0.0, 0.0, 0.0]]))
    usual_scores = forest.scores(cloud)
    assert far > usual_scores.max()
    assert middle < np.median(usual_scores)
    assert 0.4 < usual_scores.mean() < 0.6
    assert np.array_equal(grow(cloud, np.random.default_rng(1)).scores(cloud), usual_scores)


def test_a_forest_of_equal_points_finds_all_of_them_equal() -> None:
    """Nothing to cut, or a single point."""
    for count in (1, 2, 300):
        scores = grow(np.ones((count, 3)), np.random.default_rng(1)).scores(np.ones((5, 3)))
        assert len(set(scores.tolist())) == 1


def test_autoencoders_tell_what_breaks_a_rule_of_two_features() -> None:
    """Two features that always go together don't, each as usual by itself; and the same training leads to the same scores."""
    luck = np.random.default_rng(7)
    level = luck.uniform(size=(4000, 1))
    points = np.hstack([level, level + luck.normal(0, 0.01, (4000, 1)), luck.uniform(size=(4000, 1))])
    ensemble = autoencoders.learn(points, np.random.default_rng(1))
    torn, whole = ensemble.scores(np.array([[0.1, 0.9, 0.5], [0.9, 0.9, 0.5]]))
    assert torn > 3 * whole
    assert np.array_equal(autoencoders.learn(points, np.random.default_rng(1)).scores(points), ensemble.scores(points))


def test_features_that_go_together_share_an_autoencoder() -> None:
    """Three at most, and one that never changes is with nobody before the others are."""
    luck = np.random.default_rng(7)
    one, other = luck.normal(size=(2, 500, 1))
    points = np.hstack([one, other, one + 0.1 * other, other, np.ones((500, 1)), one])
    groups = sorted(map(sorted, autoencoders.grouped(points, 3)))
    assert groups == [[0, 2, 5], [1, 3, 4]]
    assert sorted(map(sorted, autoencoders.grouped(points, 2))) == [[0, 5], [1, 3], [2, 4]]


def test_autoencoders_stand_what_is_far_outside() -> None:
    """A finite score, higher than any of training, also where a feature never changed."""
    points = np.hstack([np.random.default_rng(7).uniform(size=(300, 2)), np.ones((300, 1))])
    ensemble = autoencoders.learn(points, np.random.default_rng(1))
    far = ensemble.scores(np.array([[1e6, -1e6, 1.0]]))
    assert np.isfinite(far).all()
    assert far > ensemble.scores(points).max()


def test_hours_and_other_windows_are_judged_alike() -> None:
    """What is said of minutes and days holds of ten seconds and hours."""
    one = Minutes("odd", Packet, per_day=24.0, window_s=10, day_s=3600)
    learned = one.learn(packets(usual(0, 0.2)))
    busy = packets(np.concatenate((usual(5, 0.02, seed=2), 5 * DAY + 2000 + np.arange(0, 60, 0.05))))
    assert any(2000 < alarm.time_ns / S - 5 * DAY < 2080 for alarm in one.scan(busy, learned))


def test_a_device_as_even_as_clockwork_has_a_threshold_too() -> None:
    """Its sums never rise above 0 in training: what does later is an alarm, with a score that is a number."""
    one = Minutes("odd", Cusum)
    learned = one.learn(packets(np.arange(0, 3 * DAY, 10.0)))
    alarms = one.scan(packets(3 * DAY + np.arange(0, 3600, 1.0)), learned)
    assert alarms
    assert all(np.isfinite(alarm.score) for alarm in alarms)


def test_minutes_hold_what_was_sent_in_them() -> None:
    """Two packets, a minute without, one packet."""
    found = windows(packets(np.array([5.0, 6.0, 130.0])))
    assert found.end_ns.tolist() == [60 * S, 120 * S, 180 * S]
    assert np.allclose(np.expm1(found.level), [2, 0, 1])
    assert np.isfinite(found.features).all()


def test_thresholds_chosen_afterwards_hold_the_budget() -> None:
    """And are as low as it allows: of a capture that is busier later, the learned ones raise more."""
    busy = packets(np.concatenate((usual(0, 5), usual(5, 2, rate=1, seed=4))))
    capture = Capture({"pump": busy}, [], 7 * DAY * S)
    row = rows()[0]
    row.learn(capture.devices)
    assert clean(row, capture).all.rate > 1.0
    assert clean(oracle(row, capture), capture).all.rate <= 1.0


def test_what_has_too_many_minutes_is_refused() -> None:
    """Before room is made for them; and training of one day."""
    with pytest.raises(ModelError, match=f"at most {MOST_WINDOWS} windows of 60 s"):
        windows(packets(np.array([0.0, 60.0 * MOST_WINDOWS])))
    with pytest.raises(ModelError, match="two days"):
        Minutes("odd", Packet).learn(packets(usual(0, 0.5)))
    assert Minutes("odd", Packet).scan(packets(np.array([])), Minutes("odd", Packet).learn(NORMAL)) == []
