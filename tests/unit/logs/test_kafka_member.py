"""Positions on their way to the group: one request at a time, the newest wins, what fails is tried again and stops no other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spikebridge.errors import LogBusy, LogUnavailable
from spikebridge.kafka.client import Changes, Partition, Place
from spikebridge.logs.kafka import member as members
from spikebridge.logs.kafka.member import Member
from spikebridge.testing import FakeClock
from spikebridge.testing.kafka import MemoryKafka

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from spikebridge.testing.kafka import MemoryGroup

SECOND = 1_000_000_000
A, B, C = (Partition("spikes", number) for number in range(3))


class Requests:
    """A group that notes what is committed together."""

    def __init__(self, group: MemoryGroup) -> None:
        """Hand everything through."""
        self._group = group
        self.holds_taken = group.holds_taken
        self.made: list[dict[Partition, int]] = []
        self.poll, self.committed, self.close = group.poll, group.committed, group.close

    def commit(self, places: Mapping[Partition, Place], done: Callable[[str], None]) -> None:
        """Note it."""
        self.made.append({partition: place.offset for partition, place in places.items()})
        self._group.commit(places, done)


class Bench:
    """A member of a group over three partitions, on a clock that is moved."""

    def __init__(self, instance: str = "") -> None:
        """Join, and be given everything."""
        self.clock = FakeClock()
        self.kafka = MemoryKafka(self.clock)
        self.kafka.create("spikes", 3)
        self.requests = Requests(self.kafka.client(instance).group("group", ["spikes"]))
        self.member = Member(self.requests, lambda: self.clock.monotonic() / SECOND, self.sleep)
        self.member.hear()
        assert self.member.changes() == Changes(given=frozenset({A, B, C}))

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


def test_one_request_is_in_flight_and_the_newest_position_follows(bench: Bench) -> None:
    """Positions that are passed before the answer comes are never sent; what is wanted of other partitions goes with them."""
    for offset in range(1, 6):
        bench.member.keep(A, Place(offset))
        bench.member.keep(B, Place(offset * 10))
    assert bench.requests.made == [{A: 1}]
    assert bench.member.committed(A) == Place(5)

    bench.member.hear()
    assert bench.requests.made == [{A: 1}, {A: 5, B: 50}]
    for _ in range(3):
        bench.member.hear()
    assert len(bench.requests.made) == 2
    assert bench.at(A, B, C) == [5, 50, -1]


def test_a_commit_that_fails_is_made_again_with_the_position_of_then(bench: Bench) -> None:
    """After a pause, not at once."""
    bench.kafka.commits += ["no coordinator", "no coordinator"]
    bench.member.keep(A, Place(1))
    bench.member.hear()
    bench.member.keep(A, Place(2))
    assert bench.requests.made == [{A: 1}]

    bench.sleep(members.RETRY_S)
    bench.member.hear()
    bench.member.keep(A, Place(3))
    for _ in range(2):
        bench.sleep(2 * members.RETRY_S)
        bench.member.hear()
        bench.member.hear()
    assert bench.requests.made == [{A: 1}, {A: 2}, {A: 3}]
    assert bench.at(A) == [3]


def test_one_that_can_not_be_committed_keeps_no_other_from_it(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """The topic of one partition is gone, for example: a request with it fails as a whole."""
    caplog.set_level("INFO")
    bench.kafka.spoiled.add(B)
    bench.member.keep(B, Place(7))
    for offset in range(1, 200):
        bench.member.keep(A, Place(offset))
        bench.member.keep(C, Place(offset * 2))
        bench.member.hear()
        bench.sleep(0.01)
    bench.member.settle(A)
    bench.member.settle(C)

    assert bench.at(A, B, C) == [199, -1, 398]
    assert bench.clock.monotonic() < 2.1 * SECOND
    assert sum(B in request for request in bench.requests.made) < 15
    with pytest.raises(LogUnavailable, match=r"spikes-1: the position could not be committed within 5 s: spikes-1: refused"):
        bench.member.settle(B)
    bench.kafka.spoiled.clear()
    bench.sleep(members.RETRY_S)
    bench.member.settle(B)
    assert bench.at(B) == [7]
    assert caplog.text.count("positions are not committed yet") < 200


def test_settling_waits_for_the_newest_position(bench: Bench) -> None:
    """On return the group has it, whatever was in flight before."""
    bench.member.keep(A, Place(1))
    bench.member.keep(A, Place(2, "metadata"))
    bench.kafka.commits += ["", "not now"]
    bench.member.settle(A)

    assert bench.kafka.groups["group"].positions[A] == Place(2, "metadata")
    assert bench.clock.monotonic() < SECOND
    bench.member.settle(C)


def test_settling_ends(bench: Bench) -> None:
    """With what went wrong; the position is still wanted then."""
    bench.member.keep(A, Place(1))
    bench.kafka.commits += ["busy"] * 1_000
    bench.member.keep(A, Place(2))
    with pytest.raises(LogUnavailable, match="spikes-0: the position could not be committed within 5 s: busy"):
        bench.member.settle(A)
    assert members.SETTLE_S * SECOND <= bench.clock.monotonic() < (members.SETTLE_S + 1) * SECOND

    bench.kafka.commits.clear()
    bench.sleep(members.RETRY_S)
    bench.member.hear()
    bench.member.hear()
    assert bench.at(A) == [2]


def test_nothing_is_committed_for_a_partition_that_is_forgotten(bench: Bench) -> None:
    """Not what waits, and not again what fails in flight."""
    bench.kafka.commits.append("busy")
    bench.member.keep(A, Place(1))
    bench.member.keep(A, Place(2))
    bench.member.forget(A)
    for _ in range(3):
        bench.sleep(1)
        bench.member.hear()

    assert bench.requests.made == [{A: 1}]
    assert bench.member.committed(A) is None


def test_what_is_handed_over_is_committed_once(bench: Bench) -> None:
    """A later try would only set back whoever owns it then."""
    bench.member.keep(A, Place(1))
    bench.member.keep(A, Place(2))
    bench.member.keep(B, Place(5))
    bench.member.release(A)
    bench.member.hear()
    bench.member.hear()
    assert bench.at(A, B) == [2, 5]

    bench.kafka.spoiled.add(A)
    bench.member.keep(A, Place(3))
    bench.member.keep(B, Place(6))
    bench.member.release(A)
    for _ in range(9):
        bench.sleep(1)
        bench.member.hear()
    assert bench.at(A, B) == [2, 6]
    assert [request for request in bench.requests.made if A in request][-1] == {A: 3}
    assert bench.member.committed(A) == Place(2)


def test_the_end_commits_what_is_left(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """In every partition that takes it; what doesn't work is said, and nothing is raised."""
    bench.kafka.spoiled.add(A)
    for partition in (A, B, C):
        bench.member.keep(partition, Place(8))
    bench.member.close()

    assert bench.at(A, B, C) == [-1, 8, 8]
    assert "positions of the end were not committed, so whoever goes on repeats a little: spikes-0" in caplog.text
    with pytest.raises(LogUnavailable, match="closed"):
        bench.member.hear()


def test_brokers_that_are_away_stop_no_one_who_keeps_positions(bench: Bench) -> None:
    """Only who wants to be certain hears of it."""
    bench.kafka.away = True
    bench.member.keep(A, Place(1))
    with pytest.raises(LogUnavailable, match="nobody answers"):
        bench.member.settle(A)
    bench.member.keep(A, Place(2))
    bench.kafka.away = False
    bench.sleep(1)
    bench.member.settle(A)
    assert bench.at(A) == [2]


def test_who_is_displaced_hears_it_for_good() -> None:
    """Another instance came under our static name."""
    bench = Bench("plant-1")
    bench.kafka.client("plant-1").group("group", ["spikes"])
    for _ in range(2):
        with pytest.raises(LogBusy, match="another instance uses the name plant-1"):
            bench.member.hear()
    with pytest.raises(LogBusy):
        bench.member.keep(A, Place(1))
    bench.member.close()


def test_changes_are_told_once_and_known_before_they_are_asked_for(bench: Bench) -> None:
    """A delivery that waits must learn that its partition went."""
    other = bench.kafka.client().group("group", ["spikes"])
    bench.member.hear()
    moved = next(partition for partition in (A, B, C) if bench.member.leaving(partition))
    assert other.poll() == Changes()
    bench.member.hear()
    assert bench.member.leaving(moved)
    assert other.poll() == Changes(given=frozenset({moved}))

    assert bench.member.changes() == Changes(taken=frozenset({moved}))
    assert bench.member.changes() == Changes()
    assert not bench.member.leaving(moved)


def test_whoever_was_put_out_has_lost_everything(bench: Bench) -> None:
    """And what comes back is given anew."""
    bench.kafka.evict("group")
    bench.member.hear()
    assert bench.member.changes() == Changes(given=frozenset({A, B, C}), lost=frozenset({A, B, C}))

    bench.kafka.rebalance("group")
    bench.member.hear()
    assert bench.member.changes() == Changes(taken=frozenset({A, B, C}))
    bench.member.hear()
    assert bench.member.changes() == Changes(given=frozenset({A, B, C}))


def test_what_is_lost_is_not_committed_any_more(bench: Bench) -> None:
    """Its next owner would be set back; nor is it waited for."""
    bench.member.keep(A, Place(1))
    bench.member.keep(A, Place(2))
    bench.kafka.evict("group")
    with pytest.raises(LogUnavailable, match=r"spikes-0.*another's now"):
        bench.member.settle(A)
    for _ in range(3):
        bench.sleep(members.RETRY_S)
        bench.member.hear()
    assert bench.requests.made == [{A: 1}]


HAPPENINGS = st.lists(st.sampled_from(["hear", "ask", "other", "evict", "rebalance", "move"]), max_size=30)


@given(HAPPENINGS)
def test_changes_asked_for_late_come_to_the_same(happenings: list[str]) -> None:
    """However many polls lie between two looks: the same partitions are held, and none is kept that was gone in between."""
    bench = Bench()
    other = bench.kafka.client().group("group", ["spikes"])
    held = {A: 0, B: 0, C: 0}  # by a number that is new whenever a partition is given anew
    shadow = dict(held)
    polled: list[Changes] = []
    poll = bench.requests.poll

    def noted() -> Changes:
        polled.append(poll())
        return polled[-1]

    bench.requests.poll = noted
    for at, happening in enumerate([*happenings, "hear", "ask"], 1):
        if happening == "hear":
            bench.member.hear()
            for partition in polled[-1].taken | polled[-1].lost:
                del shadow[partition]
            shadow |= dict.fromkeys(polled[-1].given, at)
        elif happening == "ask":
            changes = bench.member.changes()
            assert not changes.taken & changes.lost
            for partition in changes.taken | changes.lost:
                held.pop(partition, None)
            assert not changes.given & held.keys()
            held |= {partition: shadow[partition] for partition in changes.given}
            assert held == shadow
        elif happening == "other":
            other.poll()
        elif happening == "move":
            bench.kafka.move("group", B, at % len(bench.kafka.groups["group"].seats))
        elif happening == "evict":
            bench.kafka.evict("group", at % len(bench.kafka.groups["group"].seats))
            bench.member.hear()
            for partition in polled[-1].taken | polled[-1].lost:
                shadow.pop(partition, None)
            shadow |= dict.fromkeys(polled[-1].given, at)
            other.poll()
        else:
            bench.kafka.rebalance("group")
