"""The cluster in memory: what is tried over it can only be trusted as far as its groups hand over as real ones do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spikebridge.errors import LogMissing, LogRefused, LogUnavailable
from spikebridge.kafka.client import MAX_METADATA_BYTES, MAX_RECORD_BYTES, NewTopic, Outgoing, Partition, Place
from spikebridge.kafka.hashing import murmur2
from spikebridge.testing import FakeClock
from spikebridge.testing.kafka import MemoryKafka

if TYPE_CHECKING:
    from spikebridge.kafka.client import Client
    from spikebridge.testing.kafka import MemoryGroup

PARTITIONS = [Partition("spikes", number) for number in range(5)]
MS = 1_000_000


@pytest.fixture
def kafka() -> MemoryKafka:
    """Begin with a topic."""
    kafka = MemoryKafka(FakeClock(1_700_000_000_123_456_789))
    kafka.create("spikes", 5)
    return kafka


HAPPENINGS = st.lists(
    st.one_of(
        st.tuples(st.just("poll"), st.integers(0, 3)),
        st.tuples(st.just("join"), st.integers(0, 3)),
        st.tuples(st.just("leave"), st.integers(0, 3)),
        st.tuples(st.just("move"), st.integers(0, 14)),
        st.tuples(st.just("rebalance"), st.just(0)),
    ),
    max_size=50,
)


@given(HAPPENINGS)
def test_no_partition_has_two_owners_and_in_the_end_each_has_one(happenings: list[tuple[str, int]]) -> None:
    """Whoever is told that a partition was taken has it until its next poll; shares are even unless one was moved on purpose."""
    kafka = MemoryKafka(FakeClock())
    kafka.create("spikes", 5)
    members: list[tuple[MemoryGroup, set[Partition], set[Partition]]] = []

    def poll(at: int) -> None:
        member, held, told = members[at]
        changes = member.poll()
        assert changes.taken <= held
        assert not changes.lost
        assert not changes.given & (held - told)
        held -= told
        told.clear()
        told |= changes.taken
        for _, others, _ in members:
            assert not changes.given & others
        held |= changes.given

    for name, number in [*happenings, ("join", 0), *(("poll", at) for _ in range(4) for at in range(5))]:
        if name == "join" and len(members) < 4:
            members.append((kafka.client().group("group", ["spikes"]), set(), set()))
        elif name == "poll" and number < len(members):
            poll(number)
        elif name == "leave" and number < len(members):
            members.pop(number)[0].close()
        elif name == "move" and members:
            kafka.move("group", PARTITIONS[number % 5], number % len(members))
        elif name == "rebalance" and members:
            kafka.rebalance("group")

    assert sorted(partition for _, held, _ in members for partition in held) == PARTITIONS
    if not any(name == "move" for name, _ in happenings):
        assert max(len(held) for _, held, _ in members) - min(len(held) for _, held, _ in members) <= 1


def test_whoever_was_put_out_hears_it_late(kafka: MemoryKafka) -> None:
    """Another owns its partitions before that, and what it commits meanwhile doesn't count."""
    one, two = (kafka.client().group("group", ["spikes"]) for _ in range(2))
    first = one.poll().given
    two.poll()
    kafka.evict("group", 0)
    said: list[str] = []
    one.commit({PARTITIONS[0]: Place(5)}, said.append)
    assert two.poll().given >= first
    assert one.poll().lost == first
    assert said == ["group group, commit: the group has gone on without us"]
    assert one.committed(PARTITIONS[0]) is None


def test_a_static_member_gets_its_partitions_back(kafka: MemoryKafka) -> None:
    """Nobody else has them in between."""
    one, two = kafka.client("one").group("group", ["spikes"]), kafka.client("two").group("group", ["spikes"])
    one.poll()
    two.poll()
    before = kafka.client().admin().members("group")["one"]
    one.close()
    assert not two.poll().given
    assert kafka.client("one").group("group", ["spikes"]).poll().given == before


def test_records_are_stamped_and_keyed_as_brokers_and_clients_do(kafka: MemoryKafka) -> None:
    """Whole milliseconds, murmur2, holes, retention, and positions that are not in the log."""
    client: Client = kafka.client()
    offsets = client.producer().append(
        [Outgoing("spikes", b"cam", b"v"), Outgoing("spikes", b"cam", b"w"), Outgoing("spikes", None, b"x", 1)]
    )
    number = murmur2(b"cam", 5)
    held = kafka.partition("spikes", number)
    assert offsets[:2] == [0, 1]
    assert [record.append_ns % MS for record in held.records] == [0, 0]

    held.skip(2)
    kafka.append("spikes", [b"y"], number)
    reader = client.reader()
    where = Partition("spikes", number)
    assert [record.offset for record in reader.read(where, [4, 3, 0, 9])] == [0, 4]
    assert reader.offset_at(where, held.records[0].append_ns + 1) == 5
    held.drop_before(1)
    assert reader.bounds(where) == (1, 5)
    reader.follow(where, 0)
    assert reader.poll(0.0).missing == {where}
    reader.follow(where, 1)
    assert [record.offset for record in reader.poll(0.0).records[where]] == [1, 4]
    assert reader.known_end(where) == 5


def test_what_a_cluster_refuses_is_refused(kafka: MemoryKafka) -> None:
    """Too much of anything, what isn't there, what is there already, and everything while nobody answers."""
    client = kafka.client()
    with pytest.raises(LogRefused):
        client.producer().append([Outgoing("spikes", None, bytes(MAX_RECORD_BYTES), 0)])
    with pytest.raises(LogRefused):
        client.group("group", ["spikes"]).commit({PARTITIONS[0]: Place(1, "x" * (MAX_METADATA_BYTES + 1))}, print)
    with pytest.raises(LogRefused):
        client.admin().create([NewTopic("spikes", 1, 1, {})])
    with pytest.raises(LogMissing):
        client.reader().bounds(Partition("other", 0))
    with pytest.raises(LogMissing):
        client.producer().append([Outgoing("other", None, b"", 0)])
    kafka.away = True
    for ask in (client.admin().cluster_id, client.group("group", ["spikes"]).poll, lambda: client.reader().poll(0.0)):
        with pytest.raises(LogUnavailable):
            ask()
