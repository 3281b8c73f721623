"""
Records of a fetch, a batch at a time.

Fault: the library makes three objects of every record, more work than all that is done with it afterwards. So batches that are as they should be
are read here, and whatever is odd in one, down to its last byte, is left to the library's own reader: it decides what is corrupt, and says it.
"""

# ruff: noqa: SLF001  how the library keeps a batch is known only there

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any

from kafka import errors
from kafka.consumer.fetcher import Fetcher

from spikebridge.kafka.kafka_python import records
from spikebridge.spikes.record import record

if TYPE_CHECKING:
    from collections.abc import Iterator

    from spikebridge.spikes.record import Record

MOST_RECORDS = 100_000
MOST_BYTES = 32 << 20
"""A small batch may unpack to a very large one, and records in a list take more than their bytes."""

_MAGIC = 2


class PartitionRecords(Fetcher.PartitionRecords):  # type: ignore[misc]
    """What the library fetched of a partition, handed out as our records; which transactions were aborted is its own business."""

    next_fetch_offset: int

    def take(self, n: int | None = None) -> list[Record]:
        """Return the next records, and stand behind the last of them."""
        found: list[Record] = super().take(n)
        if found:
            self.next_fetch_offset = max(self.next_fetch_offset, found[-1].offset + 1)
        return found

    def _unpack_records(self, _tp: Any, fetched: Any, _keys: Any, _values: Any) -> Iterator[Record]:
        return chain.from_iterable(self._batches(fetched))

    def _batches(self, fetched: Any) -> Iterator[list[Record]]:
        last = None
        while (batch := fetched.next_batch()) is not None:
            last = batch
            if not batch.validate_crc():
                raise errors.CorruptRecordError(f"{self.topic_partition}: the batch at {batch.base_offset} fails its checksum")
            if batch.magic == _MAGIC:
                self.leader_epoch = batch.leader_epoch
                if self._is_aborted(batch) or batch.is_control_batch:
                    self.next_fetch_offset = batch.next_offset
                    continue
            yield from read_batch(batch)
        if last is not None and last.magic == _MAGIC:
            self.next_fetch_offset = last.next_offset
        self.drain()

    def _is_aborted(self, batch: Any) -> bool:
        """Keep account of aborted transactions, and say whether a batch is of one."""
        if not batch.has_producer_id():
            return False
        self._consume_aborted_transactions_up_to(batch.last_offset)
        if self._contains_abort_marker(batch):
            self.aborted_producer_ids.discard(batch.producer_id)
            return False
        return bool(self._is_batch_aborted(batch))


def read_batch(batch: Any) -> Iterator[list[Record]]:
    """Return a batch's records, some at a time: what stands before something corrupt is handed out before the library's error is raised."""
    if batch.magic == _MAGIC:
        try:
            found = records.read_batch(unpacked(batch))
        except records.Odd:
            pass
        else:
            yield found
            return
    for one in batch:
        if not one.validate_crc():
            raise errors.CorruptRecordError(f"the record at {one.offset} fails its checksum")
        yield [record((one.offset, (one.timestamp or 0) * records.NS_PER_MS, one.value or b"", one.key))]


def unpacked(batch: Any) -> records.Batch:
    """Have the library unpack a batch, which it does when it begins to read it; one that is very large is `Odd`, as the library makes no more records than are asked for."""
    if batch.records_count > MOST_RECORDS:
        raise records.Odd
    iter(batch)
    if len(batch._buffer) > MOST_BYTES:
        raise records.Odd
    body, stamped = bytes(batch._buffer), batch.max_timestamp if batch.timestamp_type else None
    return records.Batch(body, batch._pos, batch.records_count, batch.base_offset, batch.first_timestamp, stamped)
