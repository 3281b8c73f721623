"""One library may be exchanged for the other between two starts, or in half of the instances: they agree on what lies in the cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from kafka import KafkaConsumer, TopicPartition
from kafka.structs import OffsetAndMetadata
from tests.live.kafka_makers import LIBRARIES, Maker, Member, awaited, messages, read, settle, values

from spikebridge.errors import LogDenied, LogRefused
from spikebridge.kafka.client import MAX_METADATA_BYTES, Outgoing, Partition, Place

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.live.servers.kafka import Cluster

pytestmark = pytest.mark.live


@pytest.fixture(params=LIBRARIES)
def maker(request: pytest.FixtureRequest, kafka: Cluster) -> Iterator[Maker]:
    """Each library in turn."""
    with Maker(kafka, request.param) as maker:
        yield maker


@pytest.fixture
def other(maker: Maker) -> Iterator[Maker]:
    """Whatever library `maker` isn't."""
    (library,) = set(LIBRARIES) - {maker.library}
    with Maker(maker.cluster, library) as other:
        yield other


def test_a_position_is_read_by_the_other_library_as_it_was_written(maker: Maker, other: Maker, unique: str) -> None:
    """With its metadata to the last byte and not one more, the longest and the empty ones too."""
    maker.topic(unique, 4)
    places = {
        Partition(unique, 0): Place(7, "m" * MAX_METADATA_BYTES),
        Partition(unique, 1): Place(8, "größer"),
        Partition(unique, 2): Place(9),
    }
    member = Member(maker.group(unique, unique))
    settle(member, owned=4)
    assert member.commit(places) == ""
    member.group.close()
    assert other.admin().committed(unique) == places
    successor = Member(other.group(unique, unique))
    settle(successor, owned=4)
    assert {partition: successor.group.committed(partition) for partition in places} == places
    assert successor.group.committed(Partition(unique, 3)) is None


def test_a_position_that_somebody_else_wrote_is_read_and_its_metadata_are_not_ours(maker: Maker, unique: str) -> None:
    """Whatever they are: never an exception that nobody expects."""
    maker.topic(unique)
    stranger = KafkaConsumer(**maker.cluster.client(), group_id=unique)
    stranger.commit({TopicPartition(unique, 0): OffsetAndMetadata(3, "ümläut", -1)})
    stranger.close()
    for _ in range(5):
        assert maker.admin().committed(unique)[Partition(unique, 0)].offset == 3
    member = Member(maker.group(unique, unique))
    settle(member, owned=1)
    found = member.group.committed(Partition(unique, 0))
    assert found is not None
    assert found.offset == 3
    assert found.metadata != ""


def test_both_name_cluster_and_topic_alike_and_send_a_key_to_one_partition(maker: Maker, other: Maker, unique: str) -> None:
    """All three are part of alert ids."""
    maker.topic(unique, 7)
    assert maker.admin().cluster_id() == other.admin().cluster_id()
    assert maker.admin().describe([unique])[unique] == other.admin().describe([unique])[unique]
    assert maker.reader().topic_id(unique) == other.reader().topic_id(unique) == maker.admin().describe([unique])[unique].id != ""
    keys = [b"", b"\0", *(b"device-%d" % number for number in range(50))]
    for some in (maker, other):
        some.producer().append([Outgoing(unique, key, b"x") for key in keys])
    reader = maker.reader()
    for number in range(7):
        reader.follow(Partition(unique, number), 0)
    found = read(reader, 2 * len(keys))
    where = {key: [partition for partition, records in found.items() for record in records if record.key == key] for key in keys}
    assert {len(partitions) for partitions in where.values()} == {2}
    assert all(first == second for first, second in where.values())


def test_both_say_alike_what_we_may_do(maker: Maker, other: Maker, unique: str) -> None:
    """In Kafka's words; a topic that we may not see isn't named."""
    maker.topic(unique)
    maker.cluster.allow("alice", "READ DESCRIBE_CONFIGS", "TOPIC", unique)
    maker.topic(f"{unique}-hidden")
    maker.cluster.allow("bob", "READ", "TOPIC", f"{unique}-hidden")
    asked = [unique, f"{unique}-hidden", f"{unique}-none"]
    found = [some.admin(some.client("SASL_PLAINTEXT")).allowed(asked) for some in (maker, other)]
    assert found[0] == found[1] == {unique: frozenset({"Read", "Describe", "DescribeConfigs"})}


def test_members_of_both_share_a_group(maker: Maker, other: Maker, unique: str) -> None:
    """One after the other may change its library, while the group goes on."""
    maker.topic(unique, 4)
    first = Member(maker.group(unique, unique))
    settle(first, owned=4)
    second = Member(other.group(unique, unique))
    settle(first, second, owned=4)
    assert len(first.owned) == len(second.owned) == 2
    assert second.commit({partition: Place(5, "here") for partition in second.owned}) == ""
    moved = set(second.owned)
    second.group.close()
    settle(first, owned=4)
    assert {first.group.committed(partition) for partition in moved} == {Place(5, "here")}


def test_what_comes_after_a_refused_record_is_not_appended(maker: Maker, unique: str) -> None:
    """A later alert in the log and an earlier one not: readers that keep the highest would lose it."""
    maker.topic(unique, max_message_bytes="10000")
    small = [b"%d" % number + b"." * 900 for number in range(30)]
    sent = messages(unique, [*small[:20], b"x" * 20_000, *small[20:]])
    with pytest.raises(LogRefused, match=unique):
        maker.producer().append(sent)
    reader = maker.reader()
    end = reader.bounds(Partition(unique, 0))[1]
    reader.follow(Partition(unique, 0), 0)
    found = values(read(reader, end).get(Partition(unique, 0), []))
    assert list(dict.fromkeys(found)) == small[: len(set(found))]
    assert len(set(found)) <= 20


def test_records_that_only_together_exceed_the_limit_of_the_topic_are_appended(maker: Maker, unique: str) -> None:
    """The broker's limit is one of batches, which the operator knows nothing of."""
    maker.topic(unique, max_message_bytes="10000")
    sent = [b"%d" % number + b"." * 900 for number in range(40)]
    assert len(maker.producer().append(messages(unique, sent))) == 40
    reader = maker.reader()
    reader.follow(Partition(unique, 0), 0)
    end = reader.bounds(Partition(unique, 0))[1]
    assert list(dict.fromkeys(values(read(reader, end)[Partition(unique, 0)]))) == sent


def test_a_paused_partition_that_is_followed_anew_is_read(maker: Maker, unique: str) -> None:
    """Followed means followed; the pause was the old one's."""
    maker.topic(unique)
    partition, reader = Partition(unique, 0), maker.reader()
    maker.producer().append(messages(unique, [b"0", b"1", b"2"]))
    reader.follow(partition, 0)
    read(reader, 3)
    reader.pause(partition)
    reader.follow(partition, 1)
    assert values(read(reader, 2)[partition]) == [b"1", b"2"]
    reader.pause(partition)
    reader.leave(partition)
    reader.follow(partition, 2)
    assert values(read(reader, 1)[partition]) == [b"2"]


def test_who_may_not_read_is_told_again_and_again_until_he_may(maker: Maker, unique: str) -> None:
    """Describing is allowed, reading isn't; then it is, and the reader goes on by itself."""
    maker.topic(unique)
    partition = Partition(unique, 0)
    maker.producer().append(messages(unique, [b"one"]))
    maker.cluster.allow("alice", "DESCRIBE", "TOPIC", unique)
    reader = maker.reader(maker.client("SASL_PLAINTEXT"))
    reader.follow(partition, 0)
    for _ in range(2):
        with pytest.raises(LogDenied, match=unique):
            awaited(lambda: reader.poll(0.1).records)
    maker.cluster.allow("alice", "READ", "TOPIC", unique)

    def allowed() -> list[bytes]:
        try:
            return values(reader.poll(0.1).records.get(partition, []))
        except LogDenied:
            return []

    assert awaited(allowed) == [b"one"]
