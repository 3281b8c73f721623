"""Batches of a fetch are read as the library itself reads them, whatever their bytes."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import crc32c
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kafka import TopicPartition, errors
from kafka.consumer.fetcher import Fetcher
from kafka.protocol.consumer import IsolationLevel
from kafka.record import MemoryRecords
from kafka.record.default_records import DefaultRecordBatchBuilder
from kafka.record.memory_records import MemoryRecordsBuilder

from spikebridge.kafka.kafka_python import batches, records
from spikebridge.spikes.record import Record

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

HERE = TopicPartition("spikes", 0)
GZIP = 1
APPEND_TIME = 0x08
TRANSACTIONAL, CONTROL = 0x10, 0x20
HEAD = struct.Struct(">qiibIhiqqqhii")
NOW_MS = 1_790_000_000_000

sizes = st.one_of(st.integers(0, 70), st.sampled_from([126, 127, 128, 8_190, 8_192]))
texts = st.one_of(st.none(), st.builds(lambda size, octet: bytes([octet]) * size, sizes, st.integers(0, 255)))
headers = st.lists(st.tuples(st.text(max_size=5), st.one_of(st.none(), st.binary(max_size=5))), max_size=2)
sent = st.tuples(st.integers(-(1 << 40), 1 << 40), texts, texts, headers)


def packed(some: Sequence[tuple[int, bytes | None, bytes | None, Any]], *, compression: int = 0, offset: int = 7) -> bytes:
    """Write a batch as the library's producer does; times are relative to the first."""
    builder = DefaultRecordBatchBuilder(2, compression, 0, -1, -1, -1, 1 << 30)
    for number, (delta_ms, key, value, heads) in enumerate(some):
        builder.append(number, NOW_MS + delta_ms, key, value, heads)
    made = builder.build()
    return patched(bytes(made), {0: offset})


def patched(batch: bytes, fields: dict[int, int], body: bytes | None = None) -> bytes:
    """Change fields of a batch's head by their number, and its body; length and checksum follow."""
    head = list(HEAD.unpack_from(batch))
    body = batch[HEAD.size :] if body is None else body
    for number, value in fields.items():
        head[number] = value
    head[1] = HEAD.size - 12 + len(body)
    made = bytearray(HEAD.pack(*head) + body)
    struct.pack_into(">I", made, 17, crc32c.crc32c(bytes(made[21:])))
    return bytes(made)


def outcome(kind: Any, data: bytes, at_once: int = 1_000_000, begin: int = 0, aborted: Sequence[Any] = ()) -> list[Any]:
    """Read a fetch to its end by takes of a size: the records, where each take ends, and what is wrong."""
    made = kind(begin, HERE, MemoryRecords(data), isolation_level=IsolationLevel.READ_COMMITTED, aborted_transactions=aborted)
    found: list[Any] = []
    while made:
        try:
            some = made.take(at_once)
        except errors.CorruptRecordError:
            return [*found, "corrupt"]
        except Exception as error:  # noqa: BLE001 -- whatever the library raises
            return [*found, type(error)]
        found += [(one.offset, _ns(one), one.value or b"", one.key) for one in some]
        found.append(made.next_fetch_offset)
    return found


def _ns(one: Any) -> int:
    return int(one.append_ns) if isinstance(one, Record) else one.timestamp * 1_000_000


def same(data: bytes, **how: Any) -> list[Any]:
    """Check that we read a fetch as the library does."""
    found = outcome(batches.PartitionRecords, data, **how)
    assert found == outcome(Fetcher.PartitionRecords, data, **how)
    return found


@given(
    st.lists(sent, min_size=1, max_size=8), st.sampled_from([1, 50]), st.sampled_from([0, GZIP]), st.booleans(), st.integers(1, 9)
)
def test_what_the_library_writes_is_read_as_it_reads_it(
    some: list[Any],
    times: int,
    compression: int,
    stamped: bool,
    at_once: int,
) -> None:
    """Short batches by the loop and long ones in columns, packed or not, with times of the broker or of the sender."""
    data = packed(some * times, compression=compression)
    if stamped:
        data = patched(data, {5: APPEND_TIME | HEAD.unpack_from(data)[5], 8: NOW_MS + 5})
    assert len(same(data)) == len(some) * times + 1
    same(data + packed(some, offset=1_000), at_once=at_once, begin=8)


@given(st.lists(sent, min_size=1, max_size=4), st.sampled_from([1, 60]), st.data())
def test_whatever_is_changed_in_a_batch_is_read_or_refused_as_the_library_does(
    some: list[Any], times: int, data: st.DataObject
) -> None:
    """What stands before something corrupt is read, then it is told; neither reader takes what the other refuses."""
    whole = packed(some * times)
    body = bytearray(whole[HEAD.size :])
    for _ in range(data.draw(st.integers(0, 3))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(body)))
    tail = data.draw(st.binary(max_size=12))
    how = data.draw(st.sampled_from(["changed", "cut", "longer"]))
    body = {"changed": body, "cut": body[:cut], "longer": body + tail}[how]
    count = data.draw(st.sampled_from([len(some) * times, 0, 1, 127, 128, 129, 1 << 30, -1]))
    times_ms = data.draw(
        st.sampled_from([{}, {7: -1}, {7: 1 << 62}, {7: -(1 << 62)}, {0: (1 << 63) - 5}, {5: APPEND_TIME, 8: 1 << 60}])
    )
    same(patched(whole, {12: count, **times_ms}, bytes(body)))


@pytest.mark.parametrize("many", [1, 200])
@pytest.mark.parametrize(
    "record",
    [
        b"\x01\x00",  # a length below nothing
        b"\x0c\x00\x00\x00\x03\x01\x00",  # a key of -2 bytes
        b"\x0c\x00\x00\x00\x01\x03\x00",  # a value of -2 bytes
        b"\x0c\x00\x00\x00\x01\x7f\x00",  # a value longer than its record, of a length below nothing
        b"\x0c\x00\x00\x00\x01\x7e\x00",  # a value longer than its record
        b"\x0c\x00\x00\x00\x7e\x01\x00",  # a key longer than its record
        b"\x0e\x80\x01\x00\x00\x01\x01\x00",  # attributes of two bytes
        b"\x0c\x00\x00\x00\x01\x01\x01",  # headers, -1 of them
        b"\x0c\x00\x00\x00\x01\x01\x02",  # headers that aren't there
        b"\x10\x00\x00\x00\x01\x01\x02\x01\x00",  # a header without a name
        b"\x12\x00\x00\x00\x01\x01\x02\x02\xff\x00",  # a header's name that is no text
        b"\x10\x00\x00\x00\x01\x01\x02\x00\x03",  # a header of -2 bytes
        b"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01\x00",  # a number without an end
        b"\x0e\x00\x00\x00\x01\x01\x80\x00",  # no headers, in two bytes
        b"\x8c\x00\x00\x00\x00\x01\x01\x00",  # a length in more bytes than it takes
    ],
)
def test_what_is_wrong_by_one_byte_is_what_the_library_says_of_it(record: bytes, many: int) -> None:
    """Each of these stands behind records that are good."""
    whole = packed([(0, b"k", b"v", [])] * many)
    assert same(patched(whole, {12: many + 1}, whole[HEAD.size :] + record))


@pytest.mark.parametrize("times", [1, 100])
@pytest.mark.parametrize("compression", [0, GZIP])
@pytest.mark.parametrize("heads", [[], [("kind", b"x")], [("kind", None), ("é", b"")]])
def test_good_batches_are_never_left_to_the_library(times: int, compression: int, heads: list[Any]) -> None:
    """With headers or without, packed or not, with a key or without: else nothing is won."""
    some: list[Any] = [(3, None, b"v" * 300, heads), (-3, b"k" * 200, None, heads), (1 << 30, b"", b"v" * 20_000, heads)]
    batch = MemoryRecords(packed(some * times, compression=compression)).next_batch()
    assert len(records.read_batch(batches.unpacked(batch))) == 3 * times


@given(
    st.lists(st.tuples(st.sampled_from([11, 22, -1]), st.sampled_from(["data", "abort", "commit", "plain"])), max_size=12),
    st.data(),
)
def test_aborted_transactions_are_left_out_as_the_library_leaves_them_out(
    steps: list[tuple[int, str]], data: st.DataObject
) -> None:
    """Markers hold no record of ours, and positions pass them."""
    fetched, offset = b"", 0
    begun: dict[int, int] = {}
    aborted: list[Any] = []
    for producer, what in steps:
        if what in ("abort", "commit"):
            marker = packed([(0, struct.pack(">hh", 0, what == "commit"), b"\0" * 6, [])], offset=offset)
            fetched += patched(marker, {5: CONTROL | TRANSACTIONAL, 9: producer})
            if what == "abort" and producer in begun:
                aborted.append(_Aborted(producer, begun.pop(producer)))
            offset += 1
        else:
            kind = TRANSACTIONAL if what == "data" else 0
            fetched += patched(packed([(0, b"k", b"v", [])] * 3, offset=offset), {5: kind, 9: producer})
            if kind:
                begun.setdefault(producer, offset)
            offset += 3
    same(fetched, at_once=data.draw(st.integers(1, 7)), begin=data.draw(st.integers(0, max(0, offset - 1))), aborted=aborted)


class _Aborted:
    """An aborted transaction as a broker names it."""

    def __init__(self, producer_id: int, first_offset: int) -> None:
        self.producer_id = producer_id
        self.first_offset = first_offset


@pytest.mark.parametrize(("many", "size"), [(batches.MOST_RECORDS + 1, 0), (3, batches.MOST_BYTES)])
def test_of_a_batch_that_unpacks_to_very_much_no_more_records_are_made_than_asked_for(many: int, size: int) -> None:
    """A sender decides what a batch unpacks to."""
    batch = MemoryRecords(packed([(0, None, b"v" * size, [])] * many, compression=GZIP)).next_batch()
    found = batches.read_batch(batch)
    assert [len(next(found)), len(next(found))] == [1, 1]


def test_a_batch_that_fails_its_checksum_is_corrupt() -> None:
    """Whatever stands before it is read."""
    good, bad = packed([(0, b"k", b"v", [])]), bytearray(packed([(0, b"k", b"w", [])], offset=8))
    bad[-2] ^= 1
    assert same(good + bytes(bad))[-1] == "corrupt"


@pytest.mark.parametrize("magic", [0, 1])
def test_older_formats_are_read_by_the_library(magic: int) -> None:
    """A segment may have been written before there was another."""
    builder = MemoryRecordsBuilder(magic, 0, 1 << 20)
    for number in range(3):
        builder.append(NOW_MS + number, b"k", b"%d" % number)
    builder.close()
    made = batches.PartitionRecords(0, HERE, MemoryRecords(bytes(builder.buffer())))
    found = made.take()
    assert [(one.offset, one.value, one.key) for one in found] == [(at, b"%d" % at, b"k") for at in range(3)]
    assert found[2].append_ns == (0 if magic == 0 else (NOW_MS + 2) * 1_000_000)


@pytest.mark.parametrize("read", [records.read_few, records.read_many])
def test_both_readers_read_alike(read: Callable[[records.Batch], list[Record]]) -> None:
    """The loop is the plain one; which is used is a matter of speed alone."""
    whole = packed([(number * 70, b"k" * number, b"v" * number * 3, []) for number in range(200)])
    body = whole[HEAD.size :]
    expected = [Record(7 + at, (NOW_MS + at * 70) * 1_000_000, b"v" * at * 3, b"k" * at) for at in range(200)]
    assert read(records.Batch(body, 0, 200, 7, NOW_MS, None)) == expected
