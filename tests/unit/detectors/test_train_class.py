"""Learning a class of devices: what any of them does habitually is normal for all, and one alone is learned as ever."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from tests.unit.detectors.traffic import poller

from spikebridge_detectors.errors import ModelError
from spikebridge_detectors.timing import learning
from spikebridge_detectors.timing.calibrate import Budget
from spikebridge_detectors.timing.marks import Seen, encode
from spikebridge_detectors.timing.surprise import surprises

if TYPE_CHECKING:
    from spikebridge_detectors.capture.columns import Packets
    from spikebridge_detectors.timing.learning import Learned


def learned(*devices: Packets) -> Learned:
    """Learn some devices as one class."""
    days = learning.cut(devices)
    return learning.learned(days, [learning.judged(days, part) for part in range(learning.parts(days))], Budget())


def surprising(what: Learned, packets: Packets) -> float:
    """Return how many of a device's packets surprise."""
    return float(np.mean(np.any(surprises(what.habits, encode(what.alphabet, packets, Seen())), axis=0)))


def test_a_device_that_does_what_another_of_its_class_does_is_no_surprise() -> None:
    """Two rhythms in one class: both are familiar, to each alone only its own."""
    slow, quick = poller(every=300, seed=1), poller(every=60, seed=2, answer=1.0)
    both, alone = learned(slow, quick), learning.learn(slow, Budget())
    assert surprising(both, slow) < 0.02
    assert surprising(both, quick) < 0.02
    assert surprising(alone, quick) > 0.3


def test_the_order_of_devices_changes_nothing_that_is_learned_of_gaps() -> None:
    """None of them is forgotten because others came after it."""
    one, other = poller(every=60, seed=3), poller(every=60, seed=4, answer=0.5)
    first, second = learned(one, other), learned(other, one)
    assert np.array_equal(first.habits.gap, second.habits.gap)
    assert np.array_equal(first.habits.own, second.habits.own)
    assert first.thresholds == second.thresholds


def test_a_device_twice_in_a_class_teaches_what_it_teaches_once() -> None:
    """The same days with the same budget for each: weights and what is familiar stay."""
    packets = poller(seed=5)
    once, twice = learning.learn(packets, Budget()), learned(packets, packets)
    assert np.array_equal(once.habits.gap, twice.habits.gap)
    assert np.array_equal(once.habits.own, twice.habits.own)
    assert once.habits.expected == twice.habits.expected


def test_a_device_of_too_few_days_is_refused_in_a_class_too() -> None:
    """Whatever the others have."""
    with pytest.raises(ModelError, match="expected packets of 3 to 31 days, found 2"):
        learned(poller(), poller(hours=47))
