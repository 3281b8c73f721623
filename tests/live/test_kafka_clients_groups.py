"""Both Kafka clients keep a group's partitions and positions as `client.py` promises, on a real broker."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from kafka import KafkaConsumer
from kafka.admin import MemberToRemove
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from tests.live.kafka_makers import LIBRARIES, PATIENCE_S, QUICK_S, Maker, Member, awaited, messages, settle
from tests.live.servers.kafka import Cluster
from tests.live.servers.missing import needed

from spikebridge.errors import LogBusy, LogRefused, LogUnavailable
from spikebridge.kafka.client import CALL_S, MAX_METADATA_BYTES, Partition, Place

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.live

REQUEST_S = CALL_S / 2
"""What both clients give a single request."""


@pytest.fixture(params=LIBRARIES)
def maker(request: pytest.FixtureRequest, kafka: Cluster) -> Iterator[Maker]:
    """Each library in turn."""
    with Maker(kafka, request.param) as maker:
        yield maker


@pytest.fixture(scope="module")
def fragile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Start a broker for this module alone, to be frozen."""
    with needed(), Cluster(tmp_path_factory.mktemp("fragile")) as cluster:
        yield cluster


@pytest.fixture(params=LIBRARIES)
def breaker(request: pytest.FixtureRequest, fragile: Cluster) -> Iterator[Maker]:
    """Each library in turn, on the broker that may be broken."""
    with Maker(fragile, request.param) as maker:
        yield maker
    fragile.brokers[0].thaw()


def all_of(topic: str, count: int) -> set[Partition]:
    """Return a topic's partitions."""
    return {Partition(topic, number) for number in range(count)}


def test_the_only_member_gets_all_partitions_and_reads_none(maker: Maker, unique: str) -> None:
    """With records there and no position committed, neither an error nor a jump; no poll takes long."""
    maker.topic(unique, 4)
    for number in range(4):
        maker.producer().append(messages(unique, [b"x" * 1_000] * 100, number))
    member = Member(maker.group(unique, unique))
    settle(member, owned=4)
    end = time.monotonic() + 2
    while time.monotonic() < end:
        assert not any(member.poll())
    assert member.owned == all_of(unique, 4)
    assert [set(change.given) for change in member.changes] == [all_of(unique, 4)]
    assert member.longest_s < QUICK_S
    assert list(maker.admin().members(unique).values()) == [frozenset(all_of(unique, 4))]
    assert maker.admin().committed(unique) == {}


def test_every_new_group_gets_its_partitions_at_once(maker: Maker, unique: str) -> None:
    """The first metadata meet the first join in each of them: a library that forgets a join then would leave one of many without any."""
    maker.topic(unique, 2)
    for number in range(20):
        member = Member(maker.group(f"{unique}-{number}", unique))
        settle(member, owned=2)
        member.group.close()


def test_positions_are_kept_with_their_metadata(maker: Maker, unique: str) -> None:
    """3,500 bytes of it, beside a plain one; set back too; never committed is None; who only asks sees the same."""
    maker.topic(unique, 3)
    long, plain, never = (Partition(unique, number) for number in range(3))
    member = Member(maker.group(unique, unique))
    settle(member, owned=3)
    assert member.group.committed(never) is None
    assert member.commit({long: Place(7, "m" * 3_500), plain: Place(1_000_000)}) == ""
    assert member.group.committed(long) == Place(7, "m" * 3_500)
    assert member.group.committed(plain) == Place(1_000_000, "")
    assert member.commit({plain: Place(5, "back")}) == ""
    assert member.group.committed(plain) == Place(5, "back")
    assert member.group.committed(never) is None
    assert maker.admin().committed(unique) == {long: Place(7, "m" * 3_500), plain: Place(5, "back")}


def test_more_metadata_than_a_broker_keeps_is_refused_at_once(maker: Maker, unique: str) -> None:
    """Counted in bytes; the position before stays, and the member goes on."""
    maker.topic(unique)
    partition = Partition(unique, 0)
    member = Member(maker.group(unique, unique))
    settle(member, owned=1)
    assert member.commit({partition: Place(1, "m" * MAX_METADATA_BYTES)}) == ""
    said: list[str] = []
    for long in ("m" * (MAX_METADATA_BYTES + 1), "ü" * (MAX_METADATA_BYTES // 2 + 1)):
        with pytest.raises(LogRefused, match=unique):
            member.group.commit({partition: Place(2, long)}, said.append)
    assert member.group.committed(partition) == Place(1, "m" * MAX_METADATA_BYTES)
    assert member.commit({partition: Place(3)}) == ""
    assert said == []


def test_several_commits_under_way_end_with_the_last(maker: Maker, unique: str) -> None:
    """Begun without waiting for each other; each is answered, and the newest position stays."""
    maker.topic(unique)
    partition = Partition(unique, 0)
    member = Member(maker.group(unique, unique))
    settle(member, owned=1)
    said: list[str] = []
    for offset in range(20):
        member.group.commit({partition: Place(offset)}, said.append)
    awaited(lambda: (member.poll(), len(said) == 20)[1])
    assert said == [""] * 20
    assert member.group.committed(partition) == Place(19)


def test_partitions_move_one_by_one_to_a_new_member_and_back(maker: Maker, unique: str) -> None:
    """Who keeps a partition isn't told anything about it; who is to give one up may still commit its position."""
    maker.topic(unique, 4)
    first = Member(maker.group(unique, unique))
    settle(first, owned=4)
    second = Member(maker.group(unique, unique))
    said: list[str] = []

    def moved() -> bool:
        taken = first.poll().taken
        if taken:
            first.group.commit({partition: Place(11, "left") for partition in taken}, said.append)
        second.poll()
        return len(first.owned) == len(second.owned) == 2

    awaited(moved)
    awaited(lambda: (first.poll(), said)[1])
    assert said == [""]
    assert first.owned | second.owned == all_of(unique, 4)
    assert [(len(change.given), len(change.taken), len(change.lost)) for change in first.changes] == [(4, 0, 0), (0, 2, 0)]
    assert [(len(change.given), len(change.taken), len(change.lost)) for change in second.changes] == [(2, 0, 0)]
    for partition in second.owned:
        assert second.group.committed(partition) == Place(11, "left")
    second.group.close()
    settle(first, owned=4)
    assert max(first.longest_s, second.longest_s) < QUICK_S


def test_a_pattern_takes_the_topics_whose_whole_name_matches(maker: Maker, unique: str) -> None:
    """And those that are made later; no others."""
    for name in (f"{unique}-a", f"{unique}-b", f"x{unique}-a", f"{unique}-ax"):
        maker.topic(name)
    member = Member(maker.group(unique, pattern=f"{unique}-[a-c]"))
    settle(member, owned=2)
    assert member.owned == {Partition(f"{unique}-a", 0), Partition(f"{unique}-b", 0)}
    maker.topic(f"{unique}-c")
    settle(member, owned=3)
    assert Partition(f"{unique}-c", 0) in member.owned
    assert member.longest_s < QUICK_S


def test_a_static_member_that_comes_back_finds_its_partitions(maker: Maker, unique: str) -> None:
    """Within the session nobody else is disturbed: not by its end, nor by its return."""
    maker.topic(unique, 4)
    stays, leaves = (Member(maker.group(unique, unique, instance=name)) for name in ("stays", "leaves"))
    settle(stays, leaves, owned=4)
    owned, told = set(leaves.owned), len(stays.changes)
    leaves.group.close()
    back = Member(maker.group(unique, unique, instance="leaves"))
    awaited(lambda: (stays.poll(), back.poll(), back.owned)[2])
    end = time.monotonic() + 4
    while time.monotonic() < end:
        stays.poll()
        back.poll()
    assert back.owned == owned
    assert len(stays.changes) == told
    assert set(maker.admin().members(unique)) == {"stays", "leaves"}


def test_who_is_displaced_by_another_of_the_same_name_is_told(maker: Maker, unique: str) -> None:
    """Both would go on else, each throwing the other out: the older one stops, and the text says why."""
    maker.topic(unique, 2)
    first = Member(maker.group(unique, unique, instance="same"))
    settle(first, owned=2)
    second = Member(maker.group(unique, unique, instance="same"))
    settle(second, owned=2)
    with pytest.raises(LogBusy, match="another instance uses this name"):
        awaited(lambda: first.poll().lost)
    with pytest.raises(LogBusy, match="another instance uses this name"):
        first.poll()
    first.group.close()
    end = time.monotonic() + 4
    while time.monotonic() < end:
        second.poll()
    assert second.owned == all_of(unique, 2)
    assert second.commit({Partition(unique, 0): Place(1)}) == ""


def evict(maker: Maker, group: str, member: str) -> None:
    """Throw a member out, as the broker does with one that was silent for too long."""
    with maker.cluster.admin() as admin:
        admin.remove_group_members(group, [MemberToRemove(member_id=member)])


def test_an_evicted_member_loses_its_partitions_and_is_given_them_anew(maker: Maker, unique: str) -> None:
    """Others may have owned them in between: what was known of them is of no use."""
    maker.topic(unique, 2)
    member = Member(maker.group(unique, unique))
    settle(member, owned=2)
    (name,) = maker.admin().members(unique)
    evict(maker, unique, name)
    awaited(lambda: (member.poll(), len(member.changes) > 1 and member.owned == all_of(unique, 2))[1])
    lost = {partition for change in member.changes for partition in change.lost}
    assert lost == all_of(unique, 2)
    assert name not in maker.admin().members(unique)
    assert member.commit({Partition(unique, 0): Place(1)}) == ""


def test_a_member_evicted_while_it_joins_loses_its_partitions_too(maker: Maker, unique: str) -> None:
    """
    The libraries call nothing then, and go on with the old partitions under a new id.

    A third member that doesn't poll holds the rebalance up, so that the eviction meets a join under way.
    """
    maker.topic(unique, 4)
    slow = KafkaConsumer(
        **maker.cluster.client(),
        group_id=unique,
        partition_assignment_strategy=[CooperativeStickyAssignor],
        heartbeat_interval_ms=500,
    )
    slow.subscribe([unique])
    member = Member(maker.group(unique, unique))
    awaited(lambda: (slow.poll(3_000), member.poll(), len(slow.assignment()) == len(member.owned) == 2)[2])
    held = set(member.owned)
    (name,) = (name for name, owned in maker.admin().members(unique).items() if owned == held)
    newcomer = Member(maker.group(unique, unique))
    end = time.monotonic() + 6
    while time.monotonic() < end:
        newcomer.poll()
        member.poll()
    assert (member.owned, newcomer.owned) == (held, set())
    evict(maker, unique, name)
    slow.close(timeout_ms=5_000)
    settle(member, newcomer, owned=4)
    assert {partition for change in member.changes for partition in change.lost} == held


def test_a_commit_of_an_evicted_member_is_refused(maker: Maker, unique: str) -> None:
    """A position is the owner's; who isn't any more hears so, and goes on."""
    maker.topic(unique)
    partition = Partition(unique, 0)
    member = Member(maker.group(unique, unique))
    settle(member, owned=1)
    assert member.commit({partition: Place(5)}) == ""
    (name,) = maker.admin().members(unique)
    evict(maker, unique, name)
    said: list[str] = []
    member.group.commit({partition: Place(6)}, said.append)
    awaited(lambda: (member.poll(), said)[1])
    assert unique in said[0]
    awaited(lambda: (member.poll(), any(change.lost for change in member.changes))[1])
    settle(member, owned=1)
    assert member.group.committed(partition) == Place(5)
    assert member.commit({partition: Place(7)}) == ""


def test_partitions_of_a_deleted_topic_are_taken_and_given_when_it_is_there_again(maker: Maker, unique: str) -> None:
    """The broker forgets their positions with the topic."""
    maker.topic(unique, 2)
    maker.topic(f"{unique}-stays")
    member = Member(maker.group(unique, unique, f"{unique}-stays"))
    settle(member, owned=3)
    assert member.commit({Partition(unique, 0): Place(5), Partition(f"{unique}-stays", 0): Place(6)}) == ""
    maker.cluster.delete_topic(unique)
    settle(member, owned=1)
    maker.topic(unique, 2)
    settle(member, owned=3)
    assert member.group.committed(Partition(unique, 0)) is None
    assert member.group.committed(Partition(f"{unique}-stays", 0)) == Place(6)


def answer(ask: Callable[[Any], Any], about: object) -> tuple[Any, ...]:
    """Ask once more, () where nobody answers: a broker that thaws may first be shut out of its cluster, and let in again."""
    try:
        return (ask(about),)
    except LogUnavailable:
        return ()


def test_a_question_after_one_that_timed_out_gets_its_own_answer(breaker: Maker, unique: str) -> None:
    """A library that keeps the older question would give its answer to the newer one: a position that was true once."""
    breaker.topic(unique)
    partition, broker = Partition(unique, 0), breaker.cluster.brokers[0]
    member = Member(breaker.group(unique, unique, session="60s"))
    settle(member, owned=1)
    assert member.commit({partition: Place(5, "old")}) == ""
    assert member.group.committed(partition) == Place(5, "old")
    for pause_s, offset in ((REQUEST_S - 0.5, 6), (CALL_S + 0.1, 7)):  # when one library or the other has just given up
        (before,) = awaited(lambda: answer(member.group.committed, partition))
        with ThreadPoolExecutor(1) as pool:
            broker.freeze()
            asked = pool.submit(member.group.committed, partition)
            time.sleep(pause_s)
            broker.thaw()
            with suppress(LogUnavailable):
                assert asked.result(2 * CALL_S) == before
        awaited(lambda offset=offset: answer(member.commit, {partition: Place(offset, "new")}) == ("",))  # type: ignore[misc]
        assert awaited(lambda: answer(member.group.committed, partition)) == (Place(offset, "new"),)


def test_a_group_closes_in_time_while_the_broker_is_frozen(breaker: Maker, unique: str) -> None:
    """And whoever waits for a commit hears that nobody knows."""
    breaker.topic(unique)
    member = Member(breaker.group(unique, unique))
    settle(member, owned=1)
    breaker.cluster.brokers[0].freeze()
    said: list[str] = []
    member.group.commit({Partition(unique, 0): Place(1)}, said.append)
    begin = time.monotonic()
    for _ in range(60):
        member.poll()
    assert time.monotonic() - begin < QUICK_S, "polls waited for the broker"
    begin = time.monotonic()
    member.group.close()
    member.group.close()
    assert time.monotonic() - begin < PATIENCE_S  # one of the libraries would wait until the broker is back
    assert len(said) == 1
    assert said[0]
