"""Reading from any offset."""

# ruff: noqa: SLF001  the library's own error codes begin with an underscore

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from spikebridge.errors import LogRefused, LogUnavailable
from spikebridge.kafka.client import CALL_S, MAX_READ_BYTES, Fetched, Partition
from spikebridge.kafka.confluent import consumer
from spikebridge.kafka.confluent.admin import ConfluentAdmin
from spikebridge.kafka.confluent.reach import MISSING, Heard
from spikebridge.spikes.record import record

if TYPE_CHECKING:
    from collections.abc import Sequence

    from confluent_kafka import Message

    from spikebridge.errors import LogError
    from spikebridge.kafka.confluent.reach import Reach
    from spikebridge.spikes.record import Record

_NS_PER_MS = 1_000_000
_AGAIN_S = 1.0
_POLL_RECORDS = 500
_POLL_BYTES = 4 << 20
"""A poll ends with so much: a caller that pauses what it has enough of would have the rest read again."""

_RECORD_BYTES = 200

_SEEK_RECORDS = 64
"""Records between two wanted ones from which on another fetch is less work than reading on."""

_GONE = MISSING | {KafkaError._AUTO_OFFSET_RESET, KafkaError._LOG_TRUNCATION, KafkaError.OFFSET_OUT_OF_RANGE}
# A consumer must name a group also if it joins none: what the broker thinks of this one is of no interest.
# A broker that comes back may not know a partition's leader yet; by default nobody would ask again for five minutes.
_SETTINGS: dict[str, Any] = consumer.SETTINGS | {"group.id": "spikebridge-reader", "topic.metadata.refresh.interval.ms": 10_000}
_FOLLOWING: dict[str, Any] = _SETTINGS | {
    "fetch.min.bytes": 1,
    "fetch.wait.max.ms": 500,
    "fetch.max.bytes": 32 << 20,
    "max.partition.fetch.bytes": 4 << 20,
    "queued.max.messages.kbytes": 64 << 10,
    "fetch.queue.backoff.ms": 10,
}
_SINGLE: dict[str, Any] = _SETTINGS | {
    "enable.partition.eof": True,
    "fetch.wait.max.ms": 10,
    "max.partition.fetch.bytes": 1 << 20,
    "queued.min.messages": 1,
    "queued.max.messages.kbytes": 4 << 10,
    "fetch.queue.backoff.ms": 10,
}


class ConfluentReader:
    """
    Reads partitions from any offset, for no group.

    What is asked goes through an admin: a consumer tells only in its polls, which bring records, why nobody answers.
    """

    def __init__(self, reach: Reach) -> None:
        """Connect; nothing is followed."""
        self._reach, self._heard = reach, Heard()
        self._admin = ConfluentAdmin(reach)
        self._consumer: Consumer | None = self._connected()
        self._single: Consumer | None = None
        self._next: dict[Partition, int] = {}
        self._paused: set[Partition] = set()
        self._failed: LogError | None = None
        self._failing: dict[Partition, float] = {}

    def _connected(self) -> Consumer:
        with self._reach.told("reader", self._heard):
            return Consumer(self._reach.settings(self._heard, _FOLLOWING))

    def follow(self, partition: Partition, offset: int) -> None:
        """Read on from here in the next polls."""
        self.leave(partition)
        with self._reach.told(f"{partition}", self._heard):
            self._open().incremental_assign([TopicPartition(*partition, offset)])
        self._next[partition] = offset
        # Fault: a pause outlives what was paused, and can be ended only where there is something.
        if partition in self._paused:
            self.resume(partition)

    def leave(self, partition: Partition) -> None:
        """Read this one no more; what was not followed is left already."""
        self._failing.pop(partition, None)
        if self._next.pop(partition, None) is not None:
            with self._reach.told(f"{partition}", self._heard):
                self._open().incremental_unassign([TopicPartition(*partition)])

    def pause(self, partition: Partition) -> None:
        """Bring no more of it until `resume`; what `poll` has not handed out is read again."""
        if partition in self._next:
            self._paused.add(partition)
            with self._reach.told(f"{partition}", self._heard):
                self._open().pause([TopicPartition(*partition)])

    def resume(self, partition: Partition) -> None:
        """Go on where it was paused."""
        if partition in self._next:
            self._paused.discard(partition)
            with self._reach.told(f"{partition}", self._heard):
                self._open().resume([TopicPartition(*partition)])

    def poll(self, wait_s: float) -> Fetched:
        """Return what has come, at once if there is something, after `wait_s` at the latest."""
        if self._failed:
            failed, self._failed = self._failed, None
            raise failed
        library = self._open()
        self._follow_failing()
        with self._reach.told("reading", self._heard):
            # Fault: `consume` waits until it has as many as it was asked for, or until its time is up.
            first = library.poll(wait_s)
            fetched = self._sorted(_more(library, first) if first is not None else [])
        if fetched.records:
            self._heard.forget()
        elif self._next and self._reach.stranded("reading", self._heard, library, next(iter(self._next)).topic):
            self._open_anew()
        return fetched

    def _open_anew(self) -> None:
        """Read on where we are, by another consumer."""
        stranded, library = self._open(), self._connected()
        with self._reach.told("reader", self._heard):
            library.incremental_assign([TopicPartition(*partition, offset) for partition, offset in self._next.items()])
            library.pause([TopicPartition(*partition) for partition in self._paused & self._next.keys()])
        self._consumer = library
        consumer.closed(stranded)

    def _follow_failing(self) -> None:
        # Fault: what doesn't go away is told once; of a partition that is followed anew it is told again.
        now = time.monotonic()
        for partition, since in list(self._failing.items()):
            if now - since > _AGAIN_S and partition not in self._paused:
                self.follow(partition, self._next[partition])

    def _sorted(self, messages: Sequence[Message]) -> Fetched:
        """Sort by partition; an error that is more than a missing position is raised by the next poll, so that no record is lost with it."""
        records: dict[tuple[str, int], list[Record]] = {}
        missing: set[Partition] = set()
        for message in messages:
            key = _key(message)
            if key not in self._next:
                continue
            error = message.error()
            if error is None:
                records.setdefault(key, []).append(_record(message))
            elif error.code() in _GONE:
                missing.add(Partition(*key))
            else:
                self._failing[Partition(*key)] = time.monotonic()
                self._failed = self._reach.log_error(f"reading {Partition(*key)}", error, self._heard)
        for partition in missing:
            self.leave(partition)
        for key, some in records.items():
            self._next[Partition(*key)] = some[-1].offset + 1
        return Fetched({Partition(*key): some for key, some in records.items()}, frozenset(missing))

    def read(self, partition: Partition, offsets: Sequence[int]) -> list[Record]:
        """Return single records by offset, those that are gone left out; what is followed isn't disturbed."""
        first, end = self.bounds(partition)
        wanted = deque(sorted({offset for offset in offsets if first <= offset < end}))
        if not wanted:
            return []
        what = f"reading {len(wanted)} records of {partition}"
        heard = Heard()
        with self._reach.told(what, heard):
            single = self._single = self._single or Consumer(self._reach.settings(heard, _SINGLE))
            try:
                return self._collected(single, partition, wanted, what)
            except (KafkaException, LogUnavailable):
                self._single = None  # it may be stranded
                consumer.closed(single)
                raise
            finally:
                if self._single:
                    single.unassign()

    def _collected(self, library: Consumer, partition: Partition, wanted: deque[int], what: str) -> list[Record]:
        """Read forward from one wanted offset to the next; those that are passed without a record are gone."""
        found: list[Record] = []
        room = MAX_READ_BYTES
        end = time.monotonic() + CALL_S
        position: int | None = None
        while wanted:
            if position is None or wanted[0] - position > _SEEK_RECORDS:
                position = wanted[0]
                library.assign([TopicPartition(*partition, position)])
            message = library.poll(max(0.0, end - time.monotonic()))
            if message is None:
                raise LogUnavailable(f"{self._reach.where}: {what}: not done within {CALL_S:g} s")
            if _key(message) != partition:
                continue
            error = message.error()
            if error is None:
                one = _record(message)
                position = one.offset + 1
                if one.offset in wanted:
                    room -= len(one.value)
                    found.append(one)
            elif error.code() == KafkaError._PARTITION_EOF:
                position = message.offset() or 0
            elif error.code() in _GONE:  # retention was quicker
                position = None
                wanted.popleft()
            else:
                raise KafkaException(error)
            if room < 0:
                raise LogRefused(f"{self._reach.where}: {partition}: more than {MAX_READ_BYTES:,} bytes in one call")
            while wanted and position is not None and wanted[0] < position:
                wanted.popleft()
        return found

    def known_end(self, partition: Partition) -> int:
        """Return the next offset to be written as the newest fetch had it."""
        known: tuple[int, int] | None = self._open().get_watermark_offsets(TopicPartition(*partition), cached=True)
        return max(-1, known[1]) if known else -1

    def bounds(self, partition: Partition) -> tuple[int, int]:
        """Return (first offset kept, next offset to be written), asked of the broker now."""
        return self._admin.bounds(partition)

    def offset_at(self, partition: Partition, append_ns: int) -> int:
        """Return the first offset whose append time is `append_ns` or later; the end if there is none."""
        # asked first: what is appended before the second answer may be late enough
        _, end = self._admin.bounds(partition)
        found = self._admin.offset_at(partition, max(0, -(-append_ns // _NS_PER_MS)))
        return end if found < 0 else found

    def topic_id(self, topic: str) -> str:
        """Return the topic's id, asked of the broker now, "" while it isn't there."""
        return self._admin.topic_id(topic)

    def close(self) -> None:
        """Let go; twice does nothing, and nothing is raised."""
        libraries, self._consumer, self._single = (self._consumer, self._single), None, None
        for library in libraries:
            if library is not None:
                consumer.closed(library)
        self._admin.close()

    def _open(self) -> Consumer:
        if self._consumer is None:
            raise LogUnavailable(f"{self._reach.where}: reading: closed")
        return self._consumer


def _more(library: Consumer, first: Message) -> list[Message]:
    """Return a message with those that are there behind it, until they are many bytes."""
    found, size = [first], 0
    while size < _POLL_BYTES and (some := library.consume(_POLL_RECORDS, 0)):
        found += some
        size += sum(map(len, some)) + len(some) * _RECORD_BYTES
    return found


def _key(message: Message) -> tuple[str, int]:
    """Name the partition, as plain as possible: it is done for every record."""
    return message.topic(), message.partition()  # type: ignore[return-value]  # None only in errors, which match no partition


def _record(message: Message) -> Record:
    return record((message.offset(), message.timestamp()[1] * _NS_PER_MS, message.value() or b"", message.key()))  # type: ignore[arg-type]
