"""The partitions of a group, each under steps of its own: given, taken, lost, failing, and closed at the end."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from spikebridge.app import crew as crews
from spikebridge.app.crew import Crew
from spikebridge.errors import LogBusy, LogMissing, LogReplaced, LogUnavailable
from spikebridge.kafka.client import Partition, Place
from spikebridge.logs.kafka.intake import Intake
from spikebridge.logs.kafka.member import Member
from spikebridge.testing import FakeClock
from spikebridge.testing.kafka import MemoryKafka
from spikebridge.testing.kafka.groups import MemoryGroup

if TYPE_CHECKING:
    from collections.abc import Callable

SECOND = 1_000_000_000
A, B, C = (Partition("spikes", number) for number in range(3))


class Taking:
    """Steps that take records and commit how far they came; they fail while the bench says so."""

    def __init__(self, bench: Bench, partition: Partition) -> None:
        """Go on where the group stands."""
        bench.built.append(partition)
        if partition in bench.unbuildable:
            raise LogUnavailable("its id is not known")
        self._bench = bench
        self._partition = partition
        place = bench.member.committed(partition)
        self._position = place.offset if place else 0

    def step(self) -> int:
        """Take what has come."""
        error = self._bench.failing.get(self._partition)
        if error is not None:
            raise error
        records = self._bench.intake.take(self._partition, self._position, 1 << 20)
        for record in records:
            self._bench.taken.append((self._partition.number, record.offset))
            self._position = record.offset + 1
        if records:
            self._bench.member.keep(self._partition, Place(self._position))
        self._bench.during(self._partition)
        return len(records)

    def close(self) -> None:
        """Commit."""
        self._bench.closed.append(self._partition)
        error = self._bench.failing.get(self._partition)
        if error is not None:
            raise error
        self._bench.member.keep(self._partition, Place(self._position))


class Bench:
    """A crew over a topic of three partitions."""

    def __init__(self, kafka: MemoryKafka | None = None, instance: str = "") -> None:
        """Join."""
        self.clock = FakeClock()
        self.kafka = kafka or MemoryKafka(self.clock)
        if kafka is None:
            self.kafka.create("spikes", 3)
        self.member = Member(self.kafka.client(instance).group("group", ["spikes"]), self.monotonic, self.sleep)
        self.reader = self.kafka.client().reader()
        self.intake = Intake(self.reader, self.monotonic)
        self.built: list[Partition] = []
        self.closed: list[Partition] = []
        self.taken: list[tuple[int, int]] = []
        self.unbuildable: set[Partition] = set()
        self.failing: dict[Partition, Exception] = {}
        self.during: Callable[[Partition], None] = lambda _: None
        self.opened = ExitStack()
        self.crew = Crew("spikes", self.member, self.intake, lambda partition: Taking(self, partition), self.opened)

    def rounds(self, count: int = 4) -> None:
        """Step a few times."""
        for _ in range(count):
            self.crew.step()

    def patient(self) -> None:
        """Let back-off pass."""
        self.clock.advance(60 * SECOND)

    def monotonic(self) -> float:
        """Read the clock of waiting."""
        return self.clock.monotonic() / SECOND

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.clock.advance(round(seconds * SECOND))

    def at(self, *partitions: Partition) -> list[int]:
        """Return where the group stands."""
        positions = self.kafka.groups["group"].positions
        return [positions[partition].offset if partition in positions else -1 for partition in partitions]


@pytest.fixture
def bench() -> Bench:
    """Join alone."""
    return Bench()


def test_every_partition_is_stepped_through(bench: Bench) -> None:
    """What lies in each is taken and committed; idle rounds say that there was nothing."""
    for partition in (A, B, C):
        bench.kafka.append("spikes", [b"v"] * (partition.number + 1), partition.number)
    bench.rounds()
    assert bench.crew.partitions == [A, B, C]
    assert sorted(bench.taken) == [(0, 0), (1, 0), (1, 1), (2, 0), (2, 1), (2, 2)]
    assert bench.crew.step() == 0
    assert bench.at(A, B, C) == [1, 2, 3]


@pytest.mark.parametrize("error", [LogUnavailable("no leader"), ZeroDivisionError("ours")])
def test_one_that_fails_delays_no_other(bench: Bench, error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    """It is tried again later, said once, named in the crew's error, and works again."""
    bench.failing[B] = error
    for at in range(3):
        for number in range(3):
            bench.kafka.append("spikes", [b"v"], number)
        bench.rounds(2)
        bench.patient()
        assert (0, at) in bench.taken
        assert (2, at) in bench.taken
    assert bench.crew.error in ("spikes-1: no leader", "spikes-1: unexpected ZeroDivisionError: ours")
    assert caplog.text.count("trying again") == 1
    assert bench.crew.step() == 1, "what fails is not done"

    bench.failing.clear()
    bench.patient()
    bench.rounds()
    assert [offset for number, offset in bench.taken if number == 1] == [0, 1, 2]
    assert bench.crew.error == ""
    assert bench.built == [A, B, C]


def test_one_that_can_not_be_built_yet_is_built_later(bench: Bench) -> None:
    """The id of a topic may not be known at once: the partition is ours all the same, and isn't told a second time."""
    bench.unbuildable.add(A)
    bench.kafka.append("spikes", [b"v"], 0)
    bench.kafka.append("spikes", [b"v"], 1)
    bench.rounds()
    assert bench.taken == [(1, 0)]
    assert bench.crew.error == "spikes-0: its id is not known"

    bench.unbuildable.clear()
    bench.patient()
    bench.rounds()
    assert bench.taken == [(1, 0), (0, 0)]


def test_a_log_that_was_replaced_gets_steps_made_anew(bench: Bench) -> None:
    """What waited of the old one is let go."""
    bench.kafka.append("spikes", [b"v"] * 2, 0)
    bench.rounds()
    bench.failing[A] = LogReplaced("made again")
    bench.rounds(1)
    bench.failing.clear()
    bench.kafka.partition("spikes").append(b"v", None, 0)
    bench.patient()
    bench.rounds()

    assert bench.built == [A, B, C, A]
    assert bench.taken == [(0, 0), (0, 1), (0, 2)]


def test_a_partition_that_is_taken_is_closed_and_committed_before_another_has_it(bench: Bench) -> None:
    """Whoever gets it goes on at the next record."""
    bench.kafka.append("spikes", [b"v"] * 5, 2)
    bench.rounds()
    other = Bench(bench.kafka)
    bench.kafka.move("group", C, 1)
    for _ in range(4):
        bench.rounds(1)
        other.rounds(1)
    bench.kafka.append("spikes", [b"v"], 2)
    for _ in range(4):
        bench.rounds(1)
        other.rounds(1)

    assert C in bench.closed
    assert C in other.crew.partitions
    assert C not in bench.crew.partitions
    assert other.taken == [(2, 5)]
    assert bench.at(C) == [6]


def test_a_partition_that_was_lost_is_dropped(bench: Bench) -> None:
    """Nothing is closed or committed for it; what comes back begins where the group stands."""
    bench.kafka.append("spikes", [b"v"] * 5, 0)
    bench.rounds()
    bench.kafka.commits += ["busy"]
    bench.kafka.append("spikes", [b"v"], 0)
    bench.rounds(1)
    bench.kafka.evict("group")
    bench.kafka.groups["group"].positions[A] = Place(3)
    bench.rounds()

    assert bench.closed == []
    assert bench.built == [A, B, C, A, B, C]
    assert bench.taken == [*((0, offset) for offset in range(6)), *((0, offset) for offset in range(3, 6))]


def test_an_idle_rebalance_gives_everything_anew(bench: Bench) -> None:
    """Closed, handed over to ourselves, built again: nothing is taken twice, nothing left out."""
    for at in range(4):
        for number in range(3):
            bench.kafka.append("spikes", [b"v"] * 2, number)
        bench.rounds(3)
        bench.kafka.rebalance("group")
        bench.rounds(2)
        assert sorted(bench.taken) == [(number, offset) for number in range(3) for offset in range(2 * at + 2)]
    assert bench.crew.partitions == [A, B, C]
    assert len(bench.built) == 15


def test_what_can_not_be_committed_at_a_hand_over_is_not_tried_for_ever(bench: Bench) -> None:
    """Its new owner would be set back."""
    bench.kafka.append("spikes", [b"v"], 0)
    bench.rounds()
    bench.kafka.spoiled.add(A)
    bench.kafka.append("spikes", [b"v"], 0)
    bench.rounds(1)
    Bench(bench.kafka)
    bench.kafka.move("group", A, 1)
    bench.rounds(6)
    bench.kafka.spoiled.clear()
    bench.kafka.groups["group"].positions[A] = Place(99)
    bench.rounds(6)

    assert bench.at(A) == [99]


def test_what_is_ours_goes_on_while_the_group_is_out_of_reach(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """The coordinator is one broker, and partitions have others; it is said, and positions are committed later."""
    bench.rounds()
    bench.kafka.coordinators_away = True
    bench.kafka.append("spikes", [b"v"] * 3, 1)
    bench.rounds()
    assert bench.taken == [(1, 0), (1, 1), (1, 2)]
    assert "group group: nobody answers" in bench.crew.error
    assert bench.at(B) == [-1]
    assert caplog.text.count("the group is out of reach") == 1

    bench.kafka.coordinators_away = False
    bench.rounds()
    bench.patient()
    bench.rounds()
    assert bench.crew.error == ""
    assert bench.at(B) == [3]


def test_waiting_keeps_the_membership_and_ends_when_the_partition_goes(bench: Bench) -> None:
    """A sink that is away must not cost the partition, nor hold it when it is another's."""
    bench.rounds()
    other = Bench(bench.kafka)
    waited: list[tuple[Partition, bool]] = []

    def during(partition: Partition) -> None:
        bench.during = lambda _: None
        assert not bench.crew.wait(20.0)
        assert 20 <= bench.monotonic() < 21
        bench.kafka.move("group", partition, 1)
        waited.append((partition, bench.crew.wait(30.0)))

    bench.during = during
    bench.rounds(1)
    for _ in range(3):
        bench.rounds(1)
        other.rounds(1)
    assert waited == [(A, True)]
    assert bench.monotonic() < 21
    assert A in other.crew.partitions
    assert not bench.crew.wait(0.0)


def test_a_hand_over_waits_for_what_a_step_has_begun(bench: Bench) -> None:
    """Nobody else is given the partition, and its position can be committed; no other that goes is stepped through any more."""
    bench.rounds()
    other = Bench(bench.kafka)
    lingered: list[tuple[Partition, bool]] = []
    stepped: list[Partition] = []

    def during(partition: Partition) -> None:
        bench.during = stepped.append
        for leaving in (A, B, C):
            bench.kafka.move("group", leaving, 1)
        assert bench.crew.wait(30.0)
        for _ in range(3):
            lingered.append((partition, bench.crew.linger(5.0)))
            other.rounds(1)
            assert {A, B}.isdisjoint(other.crew.partitions)
        bench.member.keep(partition, Place(7))
        assert bench.at(partition) == [7]

    bench.during = during
    bench.rounds(1)
    assert lingered == [(A, False)] * 3
    assert stepped == []
    assert 15 <= bench.monotonic() < 16
    for _ in range(3):
        bench.rounds(1)
        other.rounds(1)
    assert other.crew.partitions == [A, B, C]


@pytest.mark.parametrize("holds_taken", [True, False])
def test_nobody_lingers_for_what_another_may_own(bench: Bench, monkeypatch: pytest.MonkeyPatch, *, holds_taken: bool) -> None:
    """A partition that was lost, or one that was taken where the client gives up at once what is taken."""
    bench.rounds()
    lingered: list[bool] = []

    def during(partition: Partition) -> None:
        bench.during = lambda _: None
        if holds_taken:
            bench.kafka.evict("group")
        else:
            monkeypatch.setattr(MemoryGroup, "holds_taken", False)
            Bench(bench.kafka)
            bench.kafka.move("group", partition, 1)
        lingered.append(bench.crew.linger(5.0))

    bench.during = during
    bench.rounds(1)
    assert lingered == [True]
    assert bench.monotonic() < 1


def test_whoever_is_displaced_hears_it_in_the_middle_of_waiting_too() -> None:
    """The wait ends, and the next step says so."""
    bench = Bench(instance="plant-1")
    bench.rounds()

    def during(_: Partition) -> None:
        bench.kafka.client("plant-1").group("group", ["spikes"])
        assert bench.crew.wait(30.0)

    bench.during = during
    with pytest.raises(LogBusy, match="another instance uses the name plant-1"):
        bench.rounds()


def test_the_end_closes_everything_whatever_fails(bench: Bench) -> None:
    """Positions of those that can be closed are committed, then the group is left, then everything is let go."""
    let_go: list[str] = []
    bench.opened.callback(lambda: let_go.append("opened"))
    for number in range(3):
        bench.kafka.append("spikes", [b"v"], number)
    bench.rounds()
    bench.failing |= {A: LogMissing("gone"), B: ZeroDivisionError("ours")}
    bench.crew.close()

    assert bench.closed == [A, B, C]
    assert bench.at(A, B, C) == [1, 1, 1]
    assert bench.reader.closed
    assert let_go == ["opened"]
    assert bench.kafka.groups["group"].seats == []
    assert crews.FETCH_S <= 0.05


class Insisting(Taking):
    """Steps that always say that there is work, as those of a partition far behind the end of its log do."""

    def step(self) -> int:
        """Take what has come."""
        super().step()
        return 1


def test_rounds_that_fetch_nothing_wait_a_moment_though_there_is_work(bench: Bench) -> None:
    """Without that they would look again and again, and keep the client's own thread from fetching."""
    bench.crew = Crew("spikes", bench.member, bench.intake, lambda partition: Insisting(bench, partition), bench.opened)
    waited: list[float] = []
    bench.kafka.wait = waited.append
    bench.rounds()
    assert waited
    assert set(waited) == {crews.STARVED_S}

    waited.clear()
    for number in range(3):
        bench.kafka.append("spikes", [b"v"], number)
    bench.rounds(1)
    assert sorted(bench.taken) == [(0, 0), (1, 0), (2, 0)]
    assert not waited, "what has come is never waited for"
