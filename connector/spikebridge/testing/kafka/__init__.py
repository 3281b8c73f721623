"""
A Kafka cluster in memory that fails as it is told to: what is above a client is tried over it, in one process and without waiting.

It keeps what `spikebridge.kafka.client` says of a client, and does to it what happens to a real one: members are evicted and displaced,
partitions move, commits and appends fail with or without effect, retention passes, topics are deleted and made again.

::

    kafka = MemoryKafka(FakeClock())
    kafka.create("spikes", partitions=2)
    kafka.appends += ["after"]  # the next append reaches the log, and its answer is lost
    client = kafka.client()
"""

from __future__ import annotations

import uuid
from collections import deque
from threading import RLock
from typing import TYPE_CHECKING, Literal

from spikebridge.errors import LogUnavailable
from spikebridge.kafka.client import Partition
from spikebridge.testing.kafka.clients import MemoryClient, MemoryProducer, MemoryReader
from spikebridge.testing.kafka.groups import GroupState, MemoryGroup
from spikebridge.testing.kafka.topics import CONFIGS, MemoryPartition, MemoryTopic

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

__all__ = ["MemoryClient", "MemoryGroup", "MemoryKafka", "MemoryPartition", "MemoryProducer", "MemoryReader", "MemoryTopic"]


class MemoryKafka:
    """
    The cluster; a test sets what is public.

    `appends`: how the next appends end, "" well, "before" and "refused" without effect, "half" with some of it, "after" with all of it.
    `commits`: what the next commits are refused with, "" not at all; `spoiled` partitions refuse every one. `away`: nobody answers;
    `coordinators_away`: nobody does who keeps a group.
    `fetch`: so many records of a partition come at once. `wait` is what a reader does while there is nothing.
    """

    def __init__(self, clock: Callable[[], int], wait: Callable[[float], object] = lambda _: None) -> None:
        """Begin without topics; `clock` is the brokers' wall clock in ns."""
        self.id = str(uuid.uuid4())
        self.clock = clock
        self.wait = wait
        self.lock = RLock()
        self.topics: dict[str, MemoryTopic] = {}
        self.groups: dict[str, GroupState] = {}
        self.appends: deque[Literal["", "before", "refused", "half", "after"]] = deque()
        self.commits: deque[str] = deque()
        self.spoiled: set[Partition] = set()
        self.away = False
        self.coordinators_away = False
        self.fetch = 1_000
        self.made: list[MemoryReader | MemoryProducer] = []

    def client(self, instance: str = "") -> MemoryClient:
        """Reach the cluster."""
        return MemoryClient(self, instance)

    def create(self, name: str, partitions: int = 1, configs: Mapping[str, str] = CONFIGS) -> MemoryTopic:
        """Make a topic, in place of one that is there."""
        with self.lock:
            self.topics[name] = MemoryTopic(partitions, CONFIGS | dict(configs))
            return self.topics[name]

    def delete(self, name: str) -> None:
        """Delete a topic, and what groups kept of it."""
        with self.lock:
            del self.topics[name]
            for group in self.groups.values():
                group.positions = {partition: place for partition, place in group.positions.items() if partition.topic != name}

    def append(self, topic: str, values: Sequence[bytes], partition: int = 0, key: bytes | None = None) -> None:
        """Append as a sender does."""
        with self.lock:
            for value in values:
                self.partition(topic, partition).append(value, key, self.clock())

    def partition(self, topic: str, number: int = 0) -> MemoryPartition:
        """Return one partition's records."""
        return self.topics[topic].partitions[number]

    def has(self, partition: Partition) -> bool:
        """Say whether there is such a partition."""
        return partition.topic in self.topics and partition.number < len(self.topics[partition.topic].partitions)

    def partitions(self, matches: Callable[[str], bool]) -> list[Partition]:
        """Return all partitions of the topics that match."""
        return [
            Partition(name, number)
            for name in sorted(self.topics)
            if matches(name)
            for number in range(len(self.topics[name].partitions))
        ]

    def evict(self, group: str, member: int = 0) -> None:
        """Put a member out, as after a pause: it doesn't know before its next poll, and its partitions are free at once."""
        with self.lock:
            state = self.groups[group]
            state.remove(state.seats[member])

    def move(self, group: str, partition: Partition, member: int) -> None:
        """Have a partition belong to this member from now on, whoever has it."""
        with self.lock:
            state = self.groups[group]
            state.pinned[partition] = state.seats[member]

    def rebalance(self, group: str) -> None:
        """Take every partition from its owner; who gets it is decided anew, and may be the same."""
        with self.lock:
            for seat in self.groups[group].seats:
                seat.releases |= seat.owned

    def reach(self, what: str, *, coordinator: bool = False) -> None:
        """Answer, unless the brokers are away that it takes."""
        if self.away or (coordinator and self.coordinators_away):
            raise LogUnavailable(f"memory: {what}: nobody answers")

    def refusal(self, partitions: Collection[Partition]) -> str:
        """Return what a commit is refused with."""
        said = self.commits.popleft() if self.commits else ""
        spoiled = sorted(self.spoiled & set(partitions))
        return (
            said
            or ("memory: nobody answers" if self.away or self.coordinators_away else "")
            or (f"{spoiled[0]}: refused" if spoiled else "")
        )
