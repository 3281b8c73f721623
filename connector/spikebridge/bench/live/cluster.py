"""The broker as the bench uses it: topics made for one run, filled before anything is measured."""

from __future__ import annotations

import importlib.util
import secrets
import time
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from spikebridge.kafka.client import NewTopic, Outgoing, Partition
from spikebridge.kafka.connection import Connection, connect

if TYPE_CHECKING:
    from collections.abc import Iterable

    from spikebridge.bench.live.load import Load
    from spikebridge.kafka.client import Client, Producer
    from spikebridge.spikes.record import Record

PREFIX = "spikebridge-bench"
_AT_ONCE = 5_000
_READ_S = 60.0
_PAUSE_S = 0.1
_KEPT_MS = 72 * 3_600_000


class Filled(NamedTuple):
    """A topic with its load: how many records, and their bytes."""

    topic: str
    partitions: int
    records: int
    bytes: int


class Broker:
    """A cluster without credentials, for topics whose names begin with `PREFIX` and a word of this run."""

    def __init__(self, server: str) -> None:
        """Choose the faster client that is installed to fill topics with."""
        self.server = server
        self.word = f"{PREFIX}-{secrets.token_hex(3)}"
        self._made = 0
        fast = importlib.util.find_spec("confluent_kafka") is not None
        self.client: Client = connect(Connection(servers=[server], client="confluent" if fast else "kafka-python"))
        self._producer: Producer | None = None

    def unique(self, what: str) -> str:
        """Return a name that nobody has used."""
        self._made += 1
        return f"{self.word}-{what}-{self._made}"

    def make(self, name: str, partitions: int, **configs: str) -> None:
        """Create a topic as `setup kafka` would: stamped by the broker, kept for days."""
        dotted = {key.replace("_", "."): value for key, value in configs.items()}
        wanted = {"message.timestamp.type": "LogAppendTime", "retention.ms": str(_KEPT_MS)} | dotted
        admin = self.client.admin()
        try:
            admin.create([NewTopic(name, partitions, 1, wanted)])
        finally:
            admin.close()

    def fill(self, what: str, partitions: int, load: Iterable[Load]) -> Filled:
        """Make a topic and append the load, each record under its device's key."""
        topic = self.unique(what)
        self.make(topic, partitions)
        records = size = 0
        each = iter(load)
        while some := list(islice(each, _AT_ONCE)):
            self.append(topic, some)
            records += len(some)
            size += sum(len(one.value) for one in some)
        return Filled(topic, partitions, records, size)

    def append(self, topic: str, some: Iterable[Load]) -> None:
        """Append records and wait for the broker's word."""
        if self._producer is None:
            self._producer = self.client.producer()
        self._producer.append([Outgoing(topic, one.device.encode(), one.value, one.partition) for one in some])

    def ends(self, topic: str, partitions: int) -> int:
        """Return how many records a topic holds, markers and ticks included."""
        reader = self.client.reader()
        try:
            return sum(end - first for first, end in (reader.bounds(Partition(topic, at)) for at in range(partitions)))
        finally:
            reader.close()

    def read(self, topic: str, partitions: int) -> list[Record]:
        """Return all that a topic holds now."""
        reader = self.client.reader()
        try:
            ends = {place: reader.bounds(place)[1] for place in (Partition(topic, at) for at in range(partitions))}
            for place in ends:
                reader.follow(place, 0)
            found: list[Record] = []
            end = time.monotonic() + _READ_S
            while len(found) < sum(ends.values()) and time.monotonic() < end:
                for records in reader.poll(_PAUSE_S).records.values():
                    found += records
        finally:
            reader.close()
        return found

    def unread(self, group: str, topic: str, partitions: int) -> int:
        """Return how many records of a topic a group has not committed."""
        admin = self.client.admin()
        try:
            places = admin.committed(group)
        finally:
            admin.close()
        stood = sum(place.offset for partition, place in places.items() if partition.topic == topic)
        return max(0, self.ends(topic, partitions) - stood)

    def close(self) -> None:
        """Let go."""
        if self._producer is not None:
            self._producer.close()
