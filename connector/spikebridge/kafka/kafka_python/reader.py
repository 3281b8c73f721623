"""Reading from any offset."""

# ruff: noqa: SLF001  what the library does wrong inside can be answered only there

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Any

from kafka import TopicPartition, errors

from spikebridge.errors import LogRefused
from spikebridge.kafka.client import CALL_S, MAX_READ_BYTES, Fetched, Partition, without_leader
from spikebridge.kafka.kafka_python import consumer
from spikebridge.kafka.kafka_python.reach import milliseconds

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from spikebridge.kafka.kafka_python.reach import Reach
    from spikebridge.spikes.record import Record

_SLICE_S = 0.25
"""How long the first try may take."""

_SEEK_RECORDS = 64
"""Records between two wanted ones from which on another fetch is less work than reading on."""

# Fault: a fetch leaves out a partition whose records come in just then, and no other is sent to that broker before it has ended: they wait so long.
_FOLLOWING = {
    "fetch_max_bytes": 32 << 20,
    "max_partition_fetch_bytes": 4 << 20,
    "max_poll_records": 10_000,
    "fetch_max_wait_ms": 50,
}
_ASKING = {
    "fetch_max_bytes": 1 << 20,
    "max_partition_fetch_bytes": 1 << 20,
    "max_poll_records": _SEEK_RECORDS,
    "fetch_max_wait_ms": 10,
}


class KafkaPythonReader:
    """
    Reads partitions from any offset, for no group.

    Questions have a consumer of their own: a broker answers in the order of a connection, and while it waits for records it answers nothing.
    """

    def __init__(self, reach: Reach) -> None:
        """Connect; nothing is followed."""
        self._reach = reach
        self._consumer = consumer.connected(reach, "reader", _FOLLOWING)
        self._contact = consumer.Contact(reach, self._consumer)
        self._second: Any = None

    def follow(self, partition: Partition, offset: int) -> None:
        """Read on from here in the next polls."""
        wanted = TopicPartition(*partition)
        self._consumer.assign([*(self._consumer.assignment() - {wanted}), wanted])
        self._consumer.seek(wanted, offset)
        self._consumer.resume(wanted)

    def leave(self, partition: Partition) -> None:
        """Read this one no more; what was not followed is left already."""
        followed = self._consumer.assignment()
        if TopicPartition(*partition) in followed:
            self._consumer.assign(list(followed - {TopicPartition(*partition)}))

    def pause(self, partition: Partition) -> None:
        """Bring no more of it until `resume`; what `poll` has not handed out is kept."""
        if TopicPartition(*partition) in self._consumer.assignment():
            self._consumer.pause(TopicPartition(*partition))

    def resume(self, partition: Partition) -> None:
        """Go on where it was paused."""
        if TopicPartition(*partition) in self._consumer.assignment():
            self._consumer.resume(TopicPartition(*partition))

    def poll(self, wait_s: float) -> Fetched:
        """Return what has come, at once if there is something, after `wait_s` at the latest."""
        missing: frozenset[TopicPartition] = frozenset()
        found: dict[Any, list[Record]] = {}
        with self._reach.told("reading"):
            try:
                found = self._consumer.poll(timeout_ms=round(wait_s * 1000))
            except errors.OffsetOutOfRangeError as error:
                missing = frozenset(error.args[0])
            except errors.LogTruncationError as error:
                missing = frozenset(error.divergent_offsets)
        for partition in missing:
            self.leave(Partition(*partition))
        if not found:
            self._contact.check("reading")
        return Fetched(
            {Partition(*partition): some for partition, some in found.items()},
            frozenset(Partition(*partition) for partition in missing),
        )

    def read(self, partition: Partition, offsets: Sequence[int]) -> list[Record]:
        """Return single records by offset, those that are gone left out; what is followed isn't disturbed."""
        first, end = self.bounds(partition)
        wanted = deque(sorted({offset for offset in offsets if first <= offset < end}))
        if not wanted:
            return []
        library = self._asking()
        library.assign([TopicPartition(*partition)])
        library.seek(TopicPartition(*partition), wanted[0])
        try:
            with self._reach.told(f"reading {len(wanted)} records of {partition}"):
                return self._collect(library, TopicPartition(*partition), wanted)
        finally:
            library.assign([])

    def _collect(self, library: Any, partition: TopicPartition, wanted: deque[int]) -> list[Record]:
        """Read forward from one wanted offset to the next; those that are passed without a record are gone."""
        found: list[Record] = []
        room = MAX_READ_BYTES
        end = time.monotonic() + CALL_S
        while wanted:
            left_s = end - time.monotonic()
            if left_s <= 0:
                raise errors.KafkaTimeoutError(f"{len(wanted)} records not read within {CALL_S:g} s")
            try:
                some = library.poll(timeout_ms=round(left_s * 1000)).get(partition, [])
            except errors.OffsetOutOfRangeError:  # retention was quicker
                library.seek(partition, self.bounds(Partition(*partition))[0])
                some = []
            chosen = set(wanted)
            fresh = [one for one in some if one.offset in chosen]
            room -= sum(len(one.value) for one in fresh)
            if room < 0:
                raise LogRefused(f"{self._reach.where}: {Partition(*partition)}: more than {MAX_READ_BYTES:,} bytes in one call")
            found += fresh
            position = library.position(partition, timeout_ms=milliseconds(CALL_S))
            while wanted and wanted[0] < position:
                wanted.popleft()
            if wanted and wanted[0] - position > _SEEK_RECORDS:
                library.seek(partition, wanted[0])
        return found

    def known_end(self, partition: Partition) -> int:
        """Return the next offset to be written as the newest fetch had it."""
        asked = TopicPartition(*partition)
        end = self._consumer.highwater(asked) if asked in self._consumer.assignment() else None
        return -1 if end is None else int(end)

    def bounds(self, partition: Partition) -> tuple[int, int]:
        """Return (first offset kept, next offset to be written), asked of the broker now."""
        asked, library = TopicPartition(*partition), self._asking()
        first = self._ask(partition, lambda limit_ms: library.beginning_offsets([asked], timeout_ms=limit_ms)[asked])
        end = self._ask(partition, lambda limit_ms: library.end_offsets([asked], timeout_ms=limit_ms)[asked])
        return first, end

    def offset_at(self, partition: Partition, append_ns: int) -> int:
        """Return the first offset whose append time is `append_ns` or later; the end if there is none."""
        asked, library = TopicPartition(*partition), self._asking()
        append_ms = max(0, -(-append_ns // 1_000_000))
        _, end = self.bounds(partition)  # asked first: what is appended before the second answer may be late enough
        found = self._ask(partition, lambda limit_ms: library.offsets_for_times({asked: append_ms}, timeout_ms=limit_ms)[asked])
        return end if found is None else int(found.offset)

    def _ask(self, partition: Partition, question: Callable[[int], Any]) -> Any:
        """
        Ask until there is an answer or the time is up.

        Fault: about a topic that has gone, or that nobody leads, the library asks on and on; so the time is cut in slices, each longer
        than the one before, with a look at the metadata before each.
        """
        what = f"asking about {partition}"
        end, slice_s = time.monotonic() + CALL_S, _SLICE_S
        while True:
            if partition.number not in consumer.partitions(self._reach, self._asking(), partition.topic):
                raise self._reach.log_error(what, errors.UnknownTopicOrPartitionError())
            if not consumer.has_leader(self._reach, self._asking(), partition):
                raise without_leader(self._reach.where, partition)
            try:
                return question(milliseconds(min(slice_s, max(0.0, end - time.monotonic()))))
            except errors.KafkaError as error:
                if time.monotonic() > end or not isinstance(error, errors.RetriableError):
                    raise self._reach.log_error(what, error) from error
            slice_s *= 2

    def topic_id(self, topic: str) -> str:
        """Return the topic's id as the newest metadata have it, "" while it isn't there."""
        return str(self._consumer._cluster.topic_id(topic)) if consumer.partitions(self._reach, self._consumer, topic) else ""

    def close(self) -> None:
        """Let go; twice does nothing, and nothing is raised."""
        consumer.closed(self._consumer)
        if self._second is not None:
            consumer.closed(self._second)

    def _asking(self) -> Any:
        if self._second is None:
            self._second = consumer.connected(self._reach, "reader", _ASKING)
        return self._second
