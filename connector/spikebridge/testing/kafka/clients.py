"""Reading, appending and asking over memory."""

from __future__ import annotations

import re
from threading import get_ident
from typing import TYPE_CHECKING

from spikebridge.errors import LogMissing, LogRefused, LogTooLarge, LogUnavailable
from spikebridge.kafka.client import MAX_READ_BYTES, MAX_RECORD_BYTES, Fetched
from spikebridge.kafka.hashing import murmur2
from spikebridge.testing.kafka.groups import MemoryGroup

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spikebridge.kafka.client import NewTopic, Outgoing, Partition, Place, TopicFacts
    from spikebridge.spikes.record import Record
    from spikebridge.testing.kafka import MemoryKafka
    from spikebridge.testing.kafka.topics import MemoryPartition

RIGHTS = frozenset({"Alter", "AlterConfigs", "Create", "Delete", "Describe", "DescribeConfigs", "Read", "Write"})


class MemoryReader:
    """`Reader` over memory; `threads` are those that have used it."""

    def __init__(self, kafka: MemoryKafka) -> None:
        """Follow nothing yet."""
        self._kafka = kafka
        self._next: dict[Partition, int] = {}
        self._paused: set[Partition] = set()
        self._ends: dict[Partition, int] = {}
        self.threads: set[int] = set()
        self.closed = False

    @property
    def paused(self) -> frozenset[Partition]:
        """Return what rests, for a test to look at."""
        return frozenset(self._paused)

    def follow(self, partition: Partition, offset: int) -> None:
        """Begin there."""
        self.threads.add(get_ident())
        self._next[partition] = offset
        self._paused.discard(partition)

    def leave(self, partition: Partition) -> None:
        """Forget it; its end is remembered, as a client may do."""
        self._next.pop(partition, None)
        self._paused.discard(partition)

    def pause(self, partition: Partition) -> None:
        """Let it rest."""
        if partition in self._next:
            self._paused.add(partition)

    def resume(self, partition: Partition) -> None:
        """Go on."""
        self._paused.discard(partition)

    def poll(self, wait_s: float) -> Fetched:
        """Return at most `fetch` records of each partition; with none, let the time pass as the test has it."""
        fetched = self._fetch()
        if not fetched.records and not fetched.missing and wait_s > 0:
            self._kafka.wait(wait_s)
            return self._fetch()
        return fetched

    def _fetch(self) -> Fetched:
        records: dict[Partition, list[Record]] = {}
        missing: set[Partition] = set()
        self.threads.add(get_ident())
        with self._kafka.lock:
            self._kafka.reach("reading")
            for partition, position in list(self._next.items()):
                if partition in self._paused or not self._kafka.has(partition):
                    continue
                held = self._kafka.partition(*partition)
                if not held.first <= position <= held.end:
                    missing.add(partition)
                    self.leave(partition)
                    continue
                found = held.since(position, self._kafka.fetch)
                more = len(found) == self._kafka.fetch
                self._next[partition] = found[-1].offset + 1 if more else held.end
                self._ends[partition] = held.end
                if found:
                    records[partition] = found
        return Fetched(records, frozenset(missing))

    def read(self, partition: Partition, offsets: Sequence[int]) -> list[Record]:
        """Return single records."""
        with self._kafka.lock:
            found = self._there(partition).at(offsets)
        if sum(len(record.value) for record in found) > MAX_READ_BYTES:
            raise LogRefused(f"{partition}: more than {MAX_READ_BYTES:,} bytes in one call")
        return found

    def bounds(self, partition: Partition) -> tuple[int, int]:
        """Return them as they are now."""
        with self._kafka.lock:
            held = self._there(partition)
            return held.first, held.end

    def offset_at(self, partition: Partition, append_ns: int) -> int:
        """Search the append times."""
        with self._kafka.lock:
            return self._there(partition).offset_at(append_ns)

    def known_end(self, partition: Partition) -> int:
        """Return the end as the last fetch had it."""
        self.threads.add(get_ident())
        return self._ends.get(partition, -1)

    def topic_id(self, topic: str) -> str:
        """Return the id of now."""
        with self._kafka.lock:
            self._kafka.reach("metadata")
            return self._kafka.topics[topic].id if topic in self._kafka.topics else ""

    def close(self) -> None:
        """Note it."""
        self.closed = True

    def _there(self, partition: Partition) -> MemoryPartition:
        self.threads.add(get_ident())
        self._kafka.reach(f"asking about {partition}")
        if not self._kafka.has(partition):
            raise LogMissing(f"{partition}: there is no such topic or partition")
        return self._kafka.partition(*partition)


class MemoryProducer:
    """`Producer` over memory; it fails as the next of the cluster's `appends` says."""

    def __init__(self, kafka: MemoryKafka) -> None:
        """Begin."""
        self._kafka = kafka
        self.threads: set[int] = set()
        self.closed = False

    def append(self, messages: Sequence[Outgoing]) -> list[int]:
        """Append all, some or none, and say whether."""
        self.threads.add(get_ident())
        for at, one in enumerate(messages):
            if one.size > MAX_RECORD_BYTES:
                raise LogTooLarge(f"topic {one.topic}: a record of {one.size:,} bytes is more than {MAX_RECORD_BYTES:,}", at=at)
        with self._kafka.lock:
            self._kafka.reach("appending")
            fault = self._kafka.appends.popleft() if self._kafka.appends else ""
            many = {"": len(messages), "after": len(messages), "half": len(messages) // 2, "before": 0, "refused": 0}[fault]
            offsets: list[int] = []
            for message in messages[:many]:
                self._judge(message, offsets)
                offsets.append(self._append(message))
        if fault == "refused":
            raise LogRefused("appending: the timestamp of the message is out of acceptable range")
        if fault:
            raise LogUnavailable("appending: no answer came")
        return offsets

    def _judge(self, message: Outgoing, before: list[int]) -> None:
        """Refuse what is larger than its topic's `max.message.bytes`, once what stands before it is in the log."""
        topic = self._kafka.topics.get(message.topic)
        if topic is not None and message.size > int(topic.configs.get("max.message.bytes", MAX_RECORD_BYTES)):
            text = f"topic {message.topic}: a record of {message.size:,} bytes is more than the topic takes"
            raise LogTooLarge(text, at=len(before), appended=dict(enumerate(before)))

    def _append(self, message: Outgoing) -> int:
        if message.topic not in self._kafka.topics:
            raise LogMissing(f"topic {message.topic}: there is no such topic or partition")
        number = message.partition
        if number is None:
            number = murmur2(message.key or b"", len(self._kafka.topics[message.topic].partitions))
        held = self._kafka.partition(message.topic, number)
        return held.append(message.value, message.key, self._kafka.clock(), message.headers)

    def close(self) -> None:
        """Note it."""
        self.closed = True


class MemoryAdmin:
    """`Admin` over memory."""

    def __init__(self, kafka: MemoryKafka) -> None:
        """Begin."""
        self._kafka = kafka

    def cluster_id(self) -> str:
        """Return the cluster's id."""
        self._kafka.reach("cluster")
        return self._kafka.id

    def brokers(self) -> int:
        """Be one."""
        return 1

    def topics(self) -> list[str]:
        """Return all names."""
        return sorted(self._kafka.topics)

    def describe(self, topics: Sequence[str]) -> dict[str, TopicFacts]:
        """Return those that are there."""
        with self._kafka.lock:
            self._kafka.reach("describing")
            return {name: self._kafka.topics[name].facts for name in topics if name in self._kafka.topics}

    def allowed(self, topics: Sequence[str]) -> dict[str, frozenset[str]]:
        """Allow everything."""
        return dict.fromkeys(self.describe(topics), RIGHTS)

    def create(self, topics: Sequence[NewTopic]) -> None:
        """Create them, one after the other."""
        for topic in topics:
            if topic.name in self._kafka.topics:
                raise LogRefused(f"topic {topic.name}: it is there already")
            self._kafka.create(topic.name, topic.partitions, topic.configs)

    def committed(self, group: str) -> dict[Partition, Place]:
        """Return a group's positions."""
        with self._kafka.lock:
            return dict(self._kafka.groups[group].positions) if group in self._kafka.groups else {}

    def members(self, group: str) -> dict[str, frozenset[Partition]]:
        """Return who owns what."""
        with self._kafka.lock:
            seats = self._kafka.groups[group].seats if group in self._kafka.groups else []
            return {seat.instance or f"member-{id(seat):x}": frozenset(seat.owned) for seat in seats}

    def close(self) -> None:
        """Do nothing."""


class MemoryClient:
    """`Client` over memory; with an instance name its memberships are static."""

    def __init__(self, kafka: MemoryKafka, instance: str = "") -> None:
        """Ask nothing yet."""
        self._kafka = kafka
        self._instance = instance

    def group(self, name: str, topics: Sequence[str], pattern: str = "") -> MemoryGroup:
        """Join a group."""
        whole = re.compile(pattern) if pattern else None
        matches = whole.fullmatch if whole else set(topics).__contains__
        return MemoryGroup(self._kafka, name, self._instance, lambda topic: bool(matches(topic)))

    def reader(self) -> MemoryReader:
        """Make a reader."""
        made = MemoryReader(self._kafka)
        self._kafka.made.append(made)
        return made

    def producer(self) -> MemoryProducer:
        """Make a producer."""
        made = MemoryProducer(self._kafka)
        self._kafka.made.append(made)
        return made

    def admin(self) -> MemoryAdmin:
        """Make an admin."""
        return MemoryAdmin(self._kafka)
