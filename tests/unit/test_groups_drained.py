"""When a courier from a consumer group has all that there is, as `run --once` asks it: brokers answer late, and partitions come and go."""

from __future__ import annotations

import time
from contextlib import contextmanager
from threading import Event
from typing import TYPE_CHECKING

import pytest
from tests.reference.plant import ALERTS, Plant
from tests.unit.logs.test_kafka_alerts import an_alert
from tests.unit.test_groups import GROUP, Courier, append, until

from spikebridge.app import groups
from spikebridge.delivery import LETTERS_AT_ONCE
from spikebridge.kafka.client import Partition
from spikebridge.testing import MemorySink
from spikebridge.testing.kafka import MemoryReader

if TYPE_CHECKING:
    from collections.abc import Iterator

    from spikebridge.app.groups import GroupCourier
    from spikebridge.testing.kafka import MemoryKafka

LAST = Partition(ALERTS, 1)


class Gate:
    """Holds who comes to it while it is shut; `held` once somebody stands there."""

    def __init__(self) -> None:
        """Stand open."""
        self.open = Event()
        self.open.set()
        self.held = Event()
        self._first = 0

    def shut(self, after: int = 0) -> None:
        """Let so many more through."""
        self._first = after
        self.open.clear()

    def __call__(self) -> None:
        """Go through."""
        self._first -= 1
        if self._first < 0 and not self.open.is_set():
            self.held.set()
            self.open.wait()


class LateReader(MemoryReader):
    """A reader that hears late where the last partition ends: through a gate, as it was when it asked."""

    def __init__(self, kafka: MemoryKafka, gate: Gate) -> None:
        """Follow nothing yet."""
        super().__init__(kafka)
        self._gate = gate

    def bounds(self, partition: Partition) -> tuple[int, int]:
        """Ask, then wait."""
        found = super().bounds(partition)
        if partition == LAST:
            self._gate()
        return found


class LateCourier(Courier):
    """A courier for which the end of the last partition, and its steps, come through gates."""

    def __init__(self, plant: Plant) -> None:
        """Begin with both open."""
        super().__init__(plant, MemorySink())
        self.bounds = Gate()
        self.begins = Gate()

    def reader(self) -> MemoryReader:
        """Have it answer late."""
        return LateReader(self.plant.kafka, self.bounds)

    def begin(self, partition: Partition) -> None:
        """Have the last one's steps begin late."""
        if partition == LAST:
            self.begins()

    @contextmanager
    def running(self) -> Iterator[GroupCourier]:
        """Run it beside the test, and leave no gate shut."""
        with super().running() as courier:
            try:
                yield courier
            finally:
                self.bounds.open.set()
                self.begins.open.set()


@pytest.fixture
def plant(monkeypatch: pytest.MonkeyPatch) -> Plant:
    """Begin with an alert topic of two partitions, and with couriers that take no time without work for a sign."""
    monkeypatch.setattr(groups, "SETTLED_S", 0.0)
    plant = Plant()
    plant.kafka.create(ALERTS, 2)
    plant.kafka.wait = lambda seconds: time.sleep(min(0.01, seconds))
    return plant


@pytest.mark.parametrize("looks", [0, 1, 2])
def test_a_courier_is_done_once_the_broker_has_said_where_each_partition_ends(plant: Plant, looks: int) -> None:
    """However late that comes, and whatever was said before: alerts may have come since."""
    courier = LateCourier(plant)
    courier.bounds.shut(after=looks)
    with courier.running() as running:
        assert courier.bounds.held.wait(60)
        append(plant, 1, 3, 5)
        assert not running.drained()
        courier.bounds.open.set()
        until(running.drained)
        assert courier.has() == ["id-1", "id-3", "id-5"]


def test_a_partition_that_comes_back_is_not_done_for_what_it_was_before(plant: Plant) -> None:
    """It was another's meanwhile, or was made anew: nothing is known of it until its steps begin."""
    courier = LateCourier(plant)
    with courier.running() as running:
        until(running.drained)
        courier.begins.shut()
        plant.kafka.rebalance(GROUP)
        assert courier.begins.held.wait(60)
        append(plant, 1, 3, 5)
        assert not running.drained()
        courier.begins.open.set()
        until(running.drained)
        assert courier.has() == ["id-1", "id-3", "id-5"]


def ask(courier: Courier, count: int) -> None:
    """Keep so many letters and ask for them."""
    for letter in map(an_alert, range(1_000, 1_000 + count)):
        courier.letters.kept["siem", letter.id] = letter, "bad"
        courier.letters.asked.add(("siem", letter.id))


def test_a_courier_is_done_once_no_letter_waits(plant: Plant) -> None:
    """However many were asked for: they are no work of a partition."""
    courier = Courier(plant, MemorySink())
    ask(courier, 2 * LETTERS_AT_ONCE + 50)
    with courier.running() as running:
        until(running.drained)
        assert len(courier.has()) == 2 * LETTERS_AT_ONCE + 50
    assert courier.letters.kept == {}


def test_a_courier_without_a_partition_does_not_wait_for_letters(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    """It can't deliver them: they stay asked for."""
    monkeypatch.setattr(groups, "JOIN_S", 0.1)
    owner, other = Courier(plant, MemorySink()), Courier(plant, MemorySink())
    with owner.running() as first:
        until(first.drained)
        for number in (0, 1):
            plant.kafka.move(GROUP, Partition(ALERTS, number), 0)
        ask(other, 1)
        with other.running() as second:
            until(second.drained)
    assert len(other.letters.asked) == 1
