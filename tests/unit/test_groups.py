"""Stages that live in consumer groups: joined, displaced, kept while their sink is away, drained, and left with what they did committed."""

from __future__ import annotations

import random
import time
from contextlib import ExitStack, contextmanager
from threading import Event, Thread
from typing import TYPE_CHECKING, Any, cast

import pytest
from tests.reference.plant import ALERTS, Plant
from tests.unit.logs.test_kafka_alerts import an_alert

from spikebridge.app import groups
from spikebridge.app.crew import Crew
from spikebridge.app.groups import GroupCourier, Grouped
from spikebridge.app.logs import Route, Runtime
from spikebridge.errors import LogBusy, LogUnavailable, SinkUnavailable
from spikebridge.filter import Filter
from spikebridge.kafka.client import Partition, Place
from spikebridge.logs.kafka import alerts, sealed
from spikebridge.logs.kafka.alerts import AlertPartition
from spikebridge.logs.kafka.intake import Intake
from spikebridge.logs.kafka.member import Member
from spikebridge.metrics import Metrics
from spikebridge.testing import FakeClock, FlakySink, MemoryLetters, MemorySink

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from spikebridge.alerts import AlertEntry
    from spikebridge.app.worker import Steps
    from spikebridge.testing.kafka import MemoryReader

GROUP = "deliver.siem"


class Idle:
    """Steps that do nothing."""

    def step(self) -> int:
        """Find nothing."""
        return 0

    def close(self) -> None:
        """Leave nothing."""


def crew_of(plant: Plant, instance: str = "", build: Callable[[Partition], Steps] = lambda _: Idle()) -> Crew:
    """Join the group of a sink."""
    member = Member(plant.kafka.client(instance).group(GROUP, [ALERTS]))
    return Crew("siem", member, Intake(plant.kafka.client().reader()), build)


class CountingLetters(MemoryLetters):
    """Dead letters that count how often somebody looks for some."""

    looks = 0

    def wanted(self, sink: str, limit: int) -> list[AlertEntry]:
        """Count."""
        self.looks += 1
        return super().wanted(sink, limit)


class Courier:
    """A courier to a sink in memory, with its surroundings."""

    def __init__(self, plant: Plant, sink: MemorySink, instance: str = "") -> None:
        """Begin with nothing running."""
        self.plant = plant
        self.sink = sink
        self.ending = Event()
        self.letters = CountingLetters()
        unused = cast("Any", None)
        runtime = Runtime(unused, unused, Metrics(), self.letters, FakeClock(), random.Random(1).random, self.ending)
        self.courier = GroupCourier(Route("siem", sink, Filter()), runtime, lambda courier: self.join(courier, instance))

    def join(self, courier: GroupCourier, instance: str) -> Crew:
        """Join the sink's group."""
        member = Member(self.plant.kafka.client(instance).group(GROUP, [ALERTS]))
        intake = Intake(self.reader())

        def build(partition: Partition) -> Steps:
            self.begin(partition)
            return courier.deliver(partition, AlertPartition(self.plant.home(ALERTS), partition, member, intake))

        return Crew("siem", member, intake, build)

    def reader(self) -> MemoryReader:
        """Make what it reads with."""
        return self.plant.kafka.client().reader()

    def begin(self, partition: Partition) -> None:
        """Hear that the steps of a partition are about to be made."""

    @contextmanager
    def running(self) -> Iterator[GroupCourier]:
        """Run it beside the test."""
        thread = Thread(target=self.courier.run)
        thread.start()
        try:
            yield self.courier
        finally:
            self.ending.set()
            thread.join()

    def has(self) -> list[str]:
        """Return what the sink has."""
        return sorted(entry.id for entry in list(self.sink.findings))


@pytest.fixture
def plant() -> Plant:
    """Begin with an alert topic of two partitions; what waits for records waits a moment."""
    plant = Plant()
    plant.kafka.create(ALERTS, 2)
    plant.kafka.wait = lambda seconds: time.sleep(min(0.01, seconds))
    return plant


def append(plant: Plant, *numbers: int) -> None:
    """Append alerts, one after the other in each partition."""
    for number in numbers:
        plant.topic().append([an_alert(number)], number % 2)


def until(holds: Callable[[], object], seconds: float = 60) -> None:
    """Wait for something that another thread does."""
    give_up = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < give_up, "it did not happen in time"
        time.sleep(0.005)


def test_whoever_is_displaced_stays_out_and_goes_on_saying_so(plant: Plant) -> None:
    """Two instances under one name would displace each other without end."""
    joined: list[Crew] = []

    def join() -> Crew:
        joined.append(crew_of(plant, "plant-1"))
        return joined[-1]

    grouped = Grouped("siem", join)
    for _ in range(3):
        grouped.step()
    other = crew_of(plant, "plant-1")
    for _ in range(3):
        with pytest.raises(LogBusy, match="another instance uses the name plant-1"):
            grouped.step()
    other.step()

    assert len(joined) == 1
    assert grouped.crew is None
    assert other.partitions == [Partition(ALERTS, 0), Partition(ALERTS, 1)]
    grouped.close()
    other.close()


def test_a_join_is_tried_again(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    """And a group that gives nothing counts as work for a while: what is ours may be on its way."""
    failures = [LogUnavailable("no coordinator")]

    def join() -> Crew:
        if failures:
            raise failures.pop()
        return crew_of(plant)

    grouped = Grouped("siem", join)
    with pytest.raises(LogUnavailable):
        grouped.step()
    others = [crew_of(plant), crew_of(plant)]
    for other in others:
        other.step()
    assert grouped.step()
    assert grouped.step()
    assert not grouped.settled()
    monkeypatch.setattr(groups, "JOIN_S", 0.0)
    assert not grouped.step()
    assert grouped.settled()
    others[0].close()
    grouped.step()
    assert grouped.settled()
    assert grouped.crew is not None
    assert len(grouped.crew.partitions) == 1
    grouped.close()
    assert len(plant.kafka.groups[GROUP].seats) == 1


def test_a_courier_delivers_what_there_is_and_commits_it_at_the_end(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    """From every partition, and says when it is drained, how it is, and how much waits."""
    monkeypatch.setattr(groups, "SETTLED_S", 0.1)
    append(plant, *range(7))
    courier = Courier(plant, MemorySink())
    assert not courier.courier.drained()
    with courier.running() as running:
        until(running.drained)
        assert courier.has() == [f"id-{number}" for number in range(7)]
        health = running.health()
        assert (health.up, health.position, health.lag, health.error) == (True, 7, 0, "")

    positions = plant.kafka.groups[GROUP].positions
    assert {partition.number: place.offset for partition, place in positions.items()} == {0: 4, 1: 3}
    assert not courier.sink.opened
    again = Courier(plant, MemorySink())
    with again.running() as running:
        append(plant, 7)
        until(again.has)
        assert again.has() == ["id-7"]


@pytest.mark.parametrize("foreign", ["rubbish", "marker"])
def test_a_courier_is_done_though_the_last_offsets_hold_no_entry(
    plant: Plant, monkeypatch: pytest.MonkeyPatch, foreign: str
) -> None:
    """Whatever was left at the end of the alert topic is nothing that `run --once` could wait for."""
    monkeypatch.setattr(groups, "SETTLED_S", 0.1)
    monkeypatch.setattr(alerts, "FETCH_S", 0.2)
    append(plant, 0, 1)
    for number in range(2):
        if foreign == "rubbish":
            plant.kafka.append(ALERTS, [b"rubbish", b"more"], number)
        else:
            plant.kafka.partition(ALERTS, number).skip(1)
    courier = Courier(plant, MemorySink())
    with courier.running() as running:
        until(running.drained)
        assert courier.has() == ["id-0", "id-1"]
        assert running.health()[1:] == (True, 2, 0, None, "")


def test_a_sink_that_is_away_costs_no_membership(plant: Plant) -> None:
    """The partitions stay ours, nobody is displaced, and what waits is delivered when the sink is back."""
    sink = FlakySink(away=1_000_000)
    courier = Courier(plant, sink, "plant-1")
    append(plant, 0, 1)
    with courier.running() as running:
        until(lambda: sink.attempts > 3)
        state = plant.kafka.groups[GROUP]
        polls = plant.kafka.groups[GROUP].polls
        until(lambda: plant.kafka.groups[GROUP].polls > polls + 5)
        assert [len(seat.owned) for seat in state.seats] == [2]
        assert not running.health().up
        assert "away for a while" in running.health().error
        assert not running.drained()
        sink.away = 0
        until(lambda: courier.has() == ["id-0", "id-1"])


def test_a_partition_that_goes_while_the_sink_is_away_is_let_go(plant: Plant) -> None:
    """Its new owner delivers it."""
    away = Courier(plant, FlakySink(away=1_000_000))
    append(plant, 0, 1)
    with away.running():
        until(lambda: cast("FlakySink", away.sink).attempts > 2)
        well = Courier(plant, MemorySink())
        with well.running():
            until(lambda: len(plant.kafka.groups[GROUP].seats) == 2)
            for number in (0, 1):
                plant.kafka.move(GROUP, Partition(ALERTS, number), 1)
            until(lambda: well.has() == ["id-0", "id-1"])
    assert away.has() == []


def test_letters_are_looked_for_once_for_all_partitions(plant: Plant) -> None:
    """As often as one partition does: while the clock stands still nobody looks again, in whatever partition alerts come."""
    courier = Courier(plant, MemorySink())
    letter = an_alert(9)
    courier.letters.kept["siem", letter.id] = letter, "bad"
    courier.letters.asked.add(("siem", letter.id))
    with courier.running():
        append(plant, *range(4))
        until(lambda: len(courier.has()) == 5)
        append(plant, *range(4, 8))
        until(lambda: len(courier.has()) == 9)
    assert courier.has() == sorted(f"id-{number}" for number in (*range(8), 9))
    assert courier.letters.looks == 1


class LateSink(MemorySink):
    """A sink that is told a moment later that it has something, and asks for that as long as it may."""

    def __init__(self) -> None:
        """Nothing was written."""
        super().__init__()
        self.wait: Callable[[float], bool] = Event().wait
        self.linger: Callable[[float], bool] = Event().wait
        self.writes = 0

    def write(self, findings: Sequence[AlertEntry]) -> int:
        """Have it at once, and know it once told to stop."""
        self.writes += 1
        known = super().write(findings)
        while not self.wait(0.01):
            pass
        if self.linger(0.3):
            raise SinkUnavailable("not acknowledged")
        return known


@pytest.mark.parametrize("why", ["end", "hand-over"])
def test_what_was_sent_when_it_was_time_to_stop_is_committed(plant: Plant, why: str) -> None:
    """Whoever goes on sends nothing a second time; what waits for its turn in another partition is not begun."""
    late, well = Courier(plant, LateSink()), Courier(plant, MemorySink())
    append(plant, 0, 1)
    with ExitStack() as running:
        running.enter_context(late.running())
        until(lambda: cast("LateSink", late.sink).writes)
        if why == "end":
            running.close()
        running.enter_context(well.running())
        if why == "hand-over":
            until(lambda: len(plant.kafka.groups[GROUP].seats) == 2)
            for number in (0, 1):
                plant.kafka.move(GROUP, Partition(ALERTS, number), 1)
        until(lambda: len(late.has() + well.has()) >= 2)
        time.sleep(0.1)
    assert cast("LateSink", late.sink).writes == 1
    assert sorted(late.has() + well.has()) == ["id-0", "id-1"]


@pytest.mark.parametrize("newer", ["alert", "position"])
def test_a_partition_that_can_not_be_read_delays_no_other(plant: Plant, newer: str) -> None:
    """In a rolling upgrade one holds what only newer instances can read: that one waits, and says so."""
    value = sealed.seal(an_alert(1))
    courier = Courier(plant, MemorySink())
    if newer == "alert":
        plant.kafka.append(ALERTS, [value[:1] + b"\x02" + value[2:]], 1)
    else:
        plant.kafka.client().group(GROUP, [ALERTS]).close()
        plant.kafka.groups[GROUP].positions[Partition(ALERTS, 1)] = Place(0, "5abc")
    with courier.running() as running:
        append(plant, 0)
        until(lambda: courier.has() == ["id-0"])
        until(lambda: "newer version" in running.health().error)
        append(plant, 2, 4)
        until(lambda: courier.has() == ["id-0", "id-2", "id-4"])
        assert not running.health().up
        assert not running.drained()


def test_an_alert_topic_made_anew_is_delivered_from_its_beginning(plant: Plant) -> None:
    """Without a restart; what was read of the new one before it was noticed comes a second time."""
    courier = Courier(plant, MemorySink())
    append(plant, *range(4))
    with courier.running():
        until(lambda: len(courier.has()) == 4)
        with plant.kafka.lock:
            plant.kafka.delete(ALERTS)
            plant.kafka.create(ALERTS, 2)
            append(plant, *range(10, 16))
        until(lambda: len(set(courier.has())) == 10)
    assert set(courier.has()) == {f"id-{number}" for number in (*range(4), *range(10, 16))}


def test_rebalances_cost_a_sink_nothing(plant: Plant) -> None:
    """Handed over in good order, an alert is written once."""
    courier, other = Courier(plant, MemorySink()), Courier(plant, MemorySink())
    with courier.running(), other.running():
        for number in range(40):
            append(plant, number)
            if number % 4 == 0 and GROUP in plant.kafka.groups:
                plant.kafka.rebalance(GROUP)
            time.sleep(0.005)
        until(lambda: len(courier.has()) + len(other.has()) >= 40)
    assert sorted(courier.has() + other.has()) == sorted(f"id-{number}" for number in range(40))
