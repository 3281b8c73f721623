"""Both Kafka clients read and append as `client.py` promises, on a real broker; groups and refusals have files of their own."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from kafka import KafkaProducer, TopicPartition
from tests.live.kafka_makers import LIBRARIES, PATIENCE_S, Maker, appended_after, awaited, gather, messages, read, values

from spikebridge.errors import LogMissing, LogRefused, LogTooLarge
from spikebridge.kafka.client import CALL_S, MAX_READ_BYTES, MAX_RECORD_BYTES, NewTopic, Outgoing, Partition

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.live.servers.kafka import Cluster

    from spikebridge.spikes.record import Record

pytestmark = pytest.mark.live

BOUNDED_S = 2 * CALL_S + 3
"""A call and the search for its cause."""


@pytest.fixture(params=LIBRARIES)
def maker(request: pytest.FixtureRequest, kafka: Cluster) -> Iterator[Maker]:
    """Each library in turn."""
    with Maker(kafka, request.param) as maker:
        yield maker


def test_records_come_back_as_they_were_appended(maker: Maker, unique: str) -> None:
    """Offset, append time by the broker's clock in whole milliseconds, value and key; an empty value stays one."""
    maker.topic(unique, 2)
    begin_ns = time.time_ns()
    sent = [
        Outgoing(unique, b"device-1", b"one", 0),
        Outgoing(unique, None, b"other", 1),
        Outgoing(unique, b"device-2", b"", 0, (("content-type", b"application/json"),)),
    ]
    assert maker.producer().append(sent) == [0, 0, 1]
    reader = maker.reader()
    reader.follow(Partition(unique, 0), 0)
    reader.follow(Partition(unique, 1), 0)
    found = read(reader, 3)
    assert [(record.offset, record.value, record.key) for record in found[Partition(unique, 0)]] == [
        (0, b"one", b"device-1"),
        (1, b"", b"device-2"),
    ]
    assert [(record.offset, record.value, record.key) for record in found[Partition(unique, 1)]] == [(0, b"other", None)]
    for record in [*found[Partition(unique, 0)], *found[Partition(unique, 1)]]:
        assert record.append_ns % 1_000_000 == 0
        assert begin_ns - 1_000_000_000 < record.append_ns < time.time_ns() + 1_000_000_000


def test_a_deleted_value_reads_as_an_empty_one(maker: Maker, unique: str) -> None:
    """A tombstone of a compacted topic, written by somebody else."""
    maker.topic(unique, cleanup_policy="compact")
    other = KafkaProducer(**maker.cluster.client())
    other.send(unique, None, b"key").get(PATIENCE_S)
    other.close()
    reader = maker.reader()
    reader.follow(Partition(unique, 0), 0)
    (record,) = read(reader, 1)[Partition(unique, 0)]
    assert (record.value, record.key) == (b"", b"key")


KEYS = {b"21": -973932308, b"foobar": -790332482, b"a-little-bit-long-string": -985981536, b"abc": 479470107}
"""Java's murmur2 of some keys, as Kafka's own client has them in its tests."""


def test_a_key_goes_where_kafkas_own_client_sends_it(maker: Maker, unique: str) -> None:
    """By murmur2, whichever library appends: one device must not lie in two partitions."""
    maker.topic(unique, 12)
    maker.producer().append([Outgoing(unique, key, key) for key in KEYS])
    reader = maker.reader()
    for number in range(12):
        reader.follow(Partition(unique, number), 0)
    found = {record.key: partition.number for partition, records in read(reader, len(KEYS)).items() for record in records}
    assert found == {key: (value & 0x7FFFFFFF) % 12 for key, value in KEYS.items()}


def test_many_are_appended_in_order_and_arrive_once(maker: Maker, unique: str) -> None:
    """More than any batch holds, over two partitions, and each offset is the record's own."""
    maker.topic(unique, 2)
    sent = [Outgoing(unique, None, b"%d" % number + b"." * 900, number % 2) for number in range(6_000)]
    offsets = maker.producer().append(sent)
    assert offsets == [number // 2 for number in range(6_000)]
    reader = maker.reader()
    reader.follow(Partition(unique, 0), 0)
    reader.follow(Partition(unique, 1), 0)
    found = read(reader, 6_000)
    assert values(found[Partition(unique, 0)]) == [message.value for message in sent[::2]]
    assert values(found[Partition(unique, 1)]) == [message.value for message in sent[1::2]]


def test_nothing_is_appended_when_nothing_is_given(maker: Maker, unique: str) -> None:
    """No message, no offset, no connection."""
    assert maker.producer().append([]) == []


def test_a_record_that_is_too_large_is_refused_before_anything_is_sent(maker: Maker, unique: str) -> None:
    """Also what stands before it in the same call; the producer goes on."""
    maker.topic(unique)
    producer = maker.producer()
    with pytest.raises(LogTooLarge, match=unique):
        producer.append(messages(unique, [b"small", b"x" * MAX_RECORD_BYTES]))
    assert maker.reader().bounds(Partition(unique, 0)) == (0, 0)
    assert producer.append(messages(unique, [b"small"])) == [0]


def test_a_record_that_the_topic_refuses_is_refused_for_good(maker: Maker, unique: str) -> None:
    """Only the broker knows a topic's own limit; the producer goes on with others."""
    maker.topic(unique, max_message_bytes="10000")
    producer = maker.producer()
    with pytest.raises(LogTooLarge, match=unique):
        producer.append(messages(unique, [b"x" * 20_000]))
    assert producer.append(messages(unique, [b"small"])) == [0]


def test_which_record_the_topic_refuses_is_said_and_what_is_there_all_the_same(maker: Maker, unique: str) -> None:
    """So that nobody appends those again: each is in the log once when the rest is appended."""
    maker.topic(unique, 2, max_message_bytes="10000")
    sent = [Outgoing(unique, None, b"x" * 20_000 if number == 5 else b"%d" % number, number % 2) for number in range(10)]
    producer = maker.producer()
    with pytest.raises(LogTooLarge, match=unique) as told:
        producer.append(sent)
    assert told.value.at == 5
    left = [message for number, message in enumerate(sent) if number != 5 and number not in told.value.appended]
    assert {0, 1, 2, 3, 4} <= told.value.appended.keys()
    producer.append(left)
    reader = maker.reader()
    reader.follow(Partition(unique, 0), 0)
    reader.follow(Partition(unique, 1), 0)
    found = read(reader, 9)
    assert sorted(values(found[Partition(unique, 0)])) == [b"0", b"2", b"4", b"6", b"8"]
    assert sorted(values(found[Partition(unique, 1)])) == [b"1", b"3", b"7", b"9"]


def test_what_is_refused_for_another_reason_than_its_size_is_not_too_large(maker: Maker, unique: str) -> None:
    """A record without a key in a topic that was set to compaction: good in itself, and taken once somebody mends the topic."""
    maker.topic(unique, cleanup_policy="compact")
    producer = maker.producer()
    with pytest.raises(LogRefused, match=unique) as told:
        producer.append([Outgoing(unique, None, b"small", 0)] * 2)
    assert told.type is LogRefused
    assert producer.append([Outgoing(unique, b"key", b"small", 0)]) == [0]


def test_appending_to_what_is_not_there_says_so(maker: Maker, unique: str) -> None:
    """No such topic, no such partition; nothing is created by asking."""
    producer = maker.producer()
    begin = time.monotonic()
    with pytest.raises(LogMissing, match=unique):
        producer.append(messages(unique, [b"one"]))
    assert time.monotonic() - begin < BOUNDED_S
    maker.topic(unique)
    with pytest.raises(LogMissing, match=unique):
        producer.append(messages(unique, [b"one"], partition=7))
    assert producer.append(messages(unique, [b"one"])) == [0]


def test_a_reader_pauses_resumes_leaves_and_goes_back(maker: Maker, unique: str) -> None:
    """Nothing of a paused partition comes, nothing of it is lost, and one that is followed anew starts where it was told to."""
    maker.topic(unique, 2)
    first, second = Partition(unique, 0), Partition(unique, 1)
    producer, reader = maker.producer(), maker.reader()
    producer.append([*messages(unique, [b"a0", b"a1", b"a2"], 0), *messages(unique, [b"b0"], 1)])
    reader.follow(first, 0)
    reader.follow(second, 0)
    read(reader, 4)
    reader.pause(first)
    producer.append([*messages(unique, [b"a3"], 0), *messages(unique, [b"b1"], 1)])
    assert {partition: values(records) for partition, records in read(reader, 1).items()} == {second: [b"b1"]}
    reader.resume(first)
    assert {partition: values(records) for partition, records in read(reader, 1).items()} == {first: [b"a3"]}
    reader.leave(second)
    reader.leave(second)
    reader.pause(second)
    reader.resume(second)
    reader.follow(first, 1)
    producer.append(messages(unique, [b"b2"], 1))
    assert {partition: values(records) for partition, records in read(reader, 3).items()} == {first: [b"a1", b"a2", b"a3"]}
    reader.follow(second, 1)
    assert {partition: values(records) for partition, records in read(reader, 2).items()} == {second: [b"b1", b"b2"]}


def test_what_was_fetched_for_a_paused_partition_comes_after_it_is_resumed(maker: Maker, unique: str) -> None:
    """Pausing again and again between the polls, as back-pressure does, neither loses nor repeats a record."""
    maker.topic(unique)
    partition = Partition(unique, 0)
    maker.producer().append(messages(unique, [b"%d" % number + b"." * 2_000 for number in range(3_000)]))
    reader = maker.reader()
    reader.follow(partition, 0)
    found: dict[Partition, list[Record]] = {}
    end = time.monotonic() + PATIENCE_S
    while len(found.get(partition, [])) < 3_000 and time.monotonic() < end:
        gather(found, reader, 0.2)
        reader.pause(partition)
        before = len(found.get(partition, []))
        gather(found, reader, 0.02)
        assert len(found.get(partition, [])) == before
        reader.resume(partition)
    assert [record.offset for record in found[partition]] == list(range(3_000))


def test_a_poll_waits_no_longer_than_asked(maker: Maker, unique: str) -> None:
    """With nothing followed, at the end of a log, and not at all when there is something."""
    maker.topic(unique)
    producer, reader = maker.producer(), maker.reader()
    for _ in range(2):
        took_s = []
        for _ in range(3):
            begin = time.monotonic()
            assert reader.poll(0.3).records == {}
            took_s.append(time.monotonic() - begin)
        assert min(took_s) < 0.8, "the quickest: the machine may be busy"
        reader.follow(Partition(unique, 0), 0)
        reader.poll(1.0)
    with ThreadPoolExecutor(1) as pool:
        begin = time.monotonic()
        written = pool.submit(appended_after, 0.2, producer, unique)
        assert values(reader.poll(10.0).records[Partition(unique, 0)]) == [b"one"]
        assert time.monotonic() - begin < 8
        assert written.result()


def test_an_offset_outside_the_log_is_missing_and_the_others_are_read(maker: Maker, unique: str) -> None:
    """Below what retention has left, and beyond the end; each is told once, and rests until it is followed anew."""
    maker.topic(unique, 3)
    low, high, good = (Partition(unique, number) for number in range(3))
    producer, reader = maker.producer(), maker.reader()
    for number in range(3):
        producer.append(messages(unique, [b"%d" % offset for offset in range(10)], number))
    with maker.cluster.admin() as admin:
        admin.delete_records({TopicPartition(unique, 0): 5})
    reader.follow(low, 2)
    reader.follow(high, 99)
    reader.follow(good, 0)
    missing: list[Partition] = []
    found: list[bytes] = []
    end = time.monotonic() + PATIENCE_S
    while (len(missing) < 2 or len(found) < 10) and time.monotonic() < end:
        fetched = reader.poll(0.2)
        missing += fetched.missing
        found += values(fetched.records.get(good, []))
        assert set(fetched.records) <= {good}
    assert (sorted(missing), found) == ([low, high], [b"%d" % offset for offset in range(10)])
    assert not any(reader.poll(0.7))
    assert reader.bounds(low) == (5, 10)
    reader.follow(low, 5)
    assert [record.offset for record in read(reader, 5)[low]] == [5, 6, 7, 8, 9]


def test_single_records_are_read_by_offset(maker: Maker, unique: str) -> None:
    """In order, near and far apart; what is gone or not there yet is left out, and what is followed isn't disturbed."""
    maker.topic(unique)
    partition = Partition(unique, 0)
    maker.producer().append(messages(unique, [b"%d" % offset + b"." * 5_000 for offset in range(2_000)]))
    with maker.cluster.admin() as admin:
        admin.delete_records({TopicPartition(unique, 0): 100})
    reader = maker.reader()
    reader.follow(partition, 1_990)
    wanted = [1_999, 5, 99, 100, 101, 101, 700, 705, 1_500, 2_000, 9_999]
    for _ in range(2):
        found = reader.read(partition, wanted)
        assert [record.offset for record in found] == [100, 101, 700, 705, 1_500, 1_999]
        assert all(record.value.startswith(b"%d." % record.offset) for record in found)
    assert reader.read(partition, [3, 2_500]) == []
    assert reader.read(partition, []) == []
    assert [record.offset for record in read(reader, 10)[partition]] == list(range(1_990, 2_000))


def test_no_more_than_the_limit_is_read_in_one_call(maker: Maker, unique: str) -> None:
    """Evidence of a frame as large as they come, asked for too often, must not fill the memory."""
    maker.topic(unique)
    producer = maker.producer()
    count = MAX_READ_BYTES // 1_000_000 + 2
    for _ in range(count):
        producer.append(messages(unique, [b"x" * 1_000_000]))
    reader = maker.reader()
    with pytest.raises(LogRefused, match=unique):
        reader.read(Partition(unique, 0), range(count))
    assert len(reader.read(Partition(unique, 0), range(3))) == 3


def test_what_a_transaction_aborted_is_not_read(maker: Maker, unique: str) -> None:
    """Nor its markers, which have offsets but no records: asked for one at the end of the log, a reader doesn't wait for it."""
    maker.topic(unique)
    other = KafkaProducer(**maker.cluster.client(), transactional_id=unique)
    other.init_transactions()
    for value, ended in ((b"kept", other.commit_transaction), (b"aborted", other.abort_transaction)):
        other.begin_transaction()
        other.send(unique, value, partition=0).get(PATIENCE_S)
        ended()
    other.close()
    reader = maker.reader()
    assert awaited(lambda: reader.bounds(Partition(unique, 0)) == (0, 4))
    reader.follow(Partition(unique, 0), 0)
    assert values(read(reader, 1)[Partition(unique, 0)]) == [b"kept"]
    begin = time.monotonic()
    assert values(reader.read(Partition(unique, 0), [0, 1, 2, 3])) == [b"kept"]
    assert time.monotonic() - begin < CALL_S


def test_offsets_are_found_by_append_time(maker: Maker, unique: str) -> None:
    """The first at that time or later, to the millisecond upwards; the end when there is none."""
    maker.topic(unique)
    partition = Partition(unique, 0)
    producer, reader = maker.producer(), maker.reader()
    assert reader.offset_at(partition, 0) == 0
    for value in (b"one", b"two", b"three"):
        producer.append(messages(unique, [value]))
        time.sleep(0.02)
    reader.follow(partition, 0)
    times = [record.append_ns for record in read(reader, 3)[partition]]
    assert [reader.offset_at(partition, asked) for asked in (0, times[0], times[0] + 1, times[1], times[2])] == [0, 0, 1, 1, 2]
    assert reader.offset_at(partition, times[2] + 1) == 3
    assert reader.offset_at(partition, -1) == 0


def test_a_topic_that_is_not_there_is_missing(maker: Maker, unique: str) -> None:
    """Quickly, and by name; one that is made meanwhile is found."""
    reader = maker.reader()
    begin = time.monotonic()
    with pytest.raises(LogMissing, match=unique):
        reader.bounds(Partition(unique, 0))
    with pytest.raises(LogMissing, match=unique):
        reader.offset_at(Partition(unique, 0), 0)
    assert reader.topic_id(unique) == ""
    assert time.monotonic() - begin < 5
    maker.topic(unique)
    assert reader.bounds(Partition(unique, 0)) == (0, 0)
    with pytest.raises(LogMissing, match=unique):
        reader.bounds(Partition(unique, 5))


def test_a_topic_made_anew_has_another_id_while_it_is_read(maker: Maker, unique: str) -> None:
    """
    Deleted and made again within a moment, a reader's position may lie in the new one: the id tells, and a deleted one has none.

    The libraries go on reading at the old position and say nothing.
    """
    maker.topic(unique)
    partition, reader = Partition(unique, 0), maker.reader()
    maker.producer().append(messages(unique, [b"old"] * 5))
    reader.follow(partition, 0)
    read(reader, 5)
    old = reader.topic_id(unique)
    assert old == maker.admin().describe([unique])[unique].id
    maker.cluster.delete_topic(unique)
    maker.topic(unique)
    new = maker.admin().describe([unique])[unique].id
    assert new != old
    maker.producer().append(messages(unique, [b"new"] * 8))
    awaited(lambda: (reader.poll(0.1), reader.topic_id(unique) == new)[1])
    reader.follow(partition, 0)
    assert values(read(reader, 8)[partition]) == [b"new"] * 8
    maker.cluster.delete_topic(unique)
    awaited(lambda: (reader.poll(0.1), reader.topic_id(unique) == "")[1])
    with pytest.raises(LogMissing, match=unique):
        reader.bounds(partition)


def test_topics_are_created_described_and_listed(maker: Maker, unique: str) -> None:
    """As they are in the cluster, with all values in force; what isn't there is left out, and what is there isn't made again."""
    admin = maker.admin()
    maker.topic(unique, 3, retention_ms="86400000", cleanup_policy="compact")
    facts = admin.describe([unique, f"{unique}-none"])
    assert set(facts) == {unique}
    assert (facts[unique].partitions, facts[unique].replicas, facts[unique].leaderless) == (3, 1, frozenset())
    expected = {
        "message.timestamp.type": "LogAppendTime",
        "retention.ms": "86400000",
        "cleanup.policy": "compact",
        "max.message.bytes": "1048588",
        "unclean.leader.election.enable": "false",
    }
    assert {name: facts[unique].configs[name] for name in expected} == expected
    assert unique in admin.topics()
    assert not [name for name in admin.topics() if name.startswith("__")]
    assert admin.cluster_id() == maker.admin().cluster_id() != ""
    assert admin.brokers() == 1
    assert admin.describe([]) == {}
    for wrong in (
        NewTopic(unique, 3, 1, {}),
        NewTopic(f"{unique}-x", 1, 7, {}),
        NewTopic(f"{unique}-x", 1, 1, {"nonsense": "1"}),
    ):
        with pytest.raises(LogRefused, match=wrong.name):
            admin.create([wrong])
    assert f"{unique}-x" not in admin.topics()


def test_everything_closes_twice(maker: Maker, unique: str) -> None:
    """Used and unused."""
    maker.topic(unique)
    producer = maker.producer()
    producer.append(messages(unique, [b"one"]))
    for made in (producer, maker.producer(), maker.reader(), maker.admin(), maker.group(unique, unique)):
        made.close()
        made.close()
