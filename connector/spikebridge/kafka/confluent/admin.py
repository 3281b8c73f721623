"""Questions about the cluster, and the making of topics."""

from __future__ import annotations

import base64
import time
import uuid
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeVar

from confluent_kafka import (
    OFFSET_INVALID,
    ConsumerGroupTopicPartitions,
    IsolationLevel,
    KafkaException,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka import admin as partly_typed

from spikebridge.errors import LogDenied, LogMissing, LogRefused, LogUnavailable
from spikebridge.kafka.client import CALL_S, Partition, TopicFacts, check_settings_readable, operation, without_leader
from spikebridge.kafka.confluent import consumer
from spikebridge.kafka.confluent.reach import REQUEST_S, Heard, has_nobody_to_ask

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from concurrent.futures import Future

    from spikebridge.kafka.client import NewTopic, Place
    from spikebridge.kafka.confluent.reach import Reach

library: Any = partly_typed
"""Its types leave out half of what it exports."""

T = TypeVar("T")

_PAUSE_S = 0.1
_SLICE_S = 1.0
"""How long the first try may take."""

_OFFSETS_SLICE_S = 0.25
"""The same where nobody may lead the partition: so long the library waits for somebody."""

_HEADROOM_S = 1.0
"""The library itself gives up at a time limit; this is for the way back."""


class ConfluentAdmin:
    """What `setup`, `doctor` and `status` ask, and what every start asks once."""

    def __init__(self, reach: Reach) -> None:
        """Connect."""
        reach.check("admin")
        self._reach, self._heard = reach, Heard()
        self._admin = self._connected()

    def _connected(self) -> Any:
        with self._reach.told("admin", self._heard):
            return library.AdminClient(self._reach.settings(self._heard, {}))

    def cluster_id(self) -> str:
        """Return the cluster's id."""

        def ask(limit_s: float) -> str:
            with self._told("asking for the cluster"):
                return str(self._admin.cluster_id(timeout=limit_s))

        return self._insisted(ask)

    def brokers(self) -> int:
        """Return how many brokers are alive."""
        return len(self._insisted(lambda limit_s: self._listed("asking for the cluster", limit_s)).brokers)

    def topics(self) -> list[str]:
        """Return the names of all topics that we may see, internal ones left out."""
        names = list(self._insisted(lambda limit_s: self._listed("asking for all topics", limit_s)).topics)
        return sorted(name for name, topic in self._there(names).items() if not topic.is_internal)

    def describe(self, topics: Sequence[str]) -> dict[str, TopicFacts]:
        """Return the topics that are there; others are left out."""
        there = self._there(topics)
        check_settings_readable(self._reach.where, {name: _allowed(topic) for name, topic in there.items()})
        asked = [library.ConfigResource(library.ConfigResource.Type.TOPIC, name) for name in there]

        def ask(limit_s: float) -> dict[str, Any]:
            answers = self._admin.describe_configs(asked, request_timeout=limit_s) if asked else {}
            return {
                resource.name: self._answer(f"asking for the settings of topic {resource.name}", answer, limit_s)
                for resource, answer in answers.items()
            }

        configs = self._insisted(ask)
        return {name: _facts(topic, configs[name]) for name, topic in there.items()}

    def allowed(self, topics: Sequence[str]) -> dict[str, frozenset[str]]:
        """Return what we may do with the topics that are there and that we may see."""
        some = TopicCollection(list(topics))
        answers = self._admin.describe_topics(some, include_authorized_operations=True, request_timeout=CALL_S) if topics else {}
        found = {}
        for name, answer in answers.items():
            with suppress(LogMissing, LogDenied):
                found[name] = _allowed(self._answer("asking for our rights", answer))
        return found

    def create(self, topics: Sequence[NewTopic]) -> None:
        """Create topics; one that is there already is `LogRefused`."""
        wanted = [library.NewTopic(topic.name, topic.partitions, topic.replicas, config=dict(topic.configs)) for topic in topics]
        answers = self._admin.create_topics(wanted, operation_timeout=REQUEST_S, request_timeout=CALL_S) if wanted else {}
        failed: list[LogRefused] = []
        for name, answer in answers.items():
            try:
                self._answer(f"creating topic {name}", answer)
            except LogRefused as error:
                failed.append(error)
        if failed:
            raise LogRefused("; ".join(map(str, failed)))
        self._await_leaders([topic.name for topic in topics])

    def _await_leaders(self, names: Sequence[str]) -> None:
        end = time.monotonic() + CALL_S
        while time.monotonic() < end:
            there = self._there(names)
            if len(there) == len(names) and not any(_leaderless(topic) for topic in there.values()):
                return
            time.sleep(_PAUSE_S)

    def committed(self, group: str) -> dict[Partition, Place]:
        """Return all positions of a group."""

        def ask(limit_s: float) -> Any:
            answers = self._admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)], request_timeout=limit_s)
            return self._answer(f"asking for positions of group {group}", answers[group], limit_s)

        found = self._insisted(ask).topic_partitions
        return {Partition(place.topic, place.partition): consumer.place(place) for place in found if place.offset >= 0}

    def members(self, group: str) -> dict[str, frozenset[Partition]]:
        """Return who is in a group, by instance id (else member id), and what each owns."""

        def ask(limit_s: float) -> Any:
            answers = self._admin.describe_consumer_groups([group], request_timeout=limit_s)
            return self._answer(f"asking for members of group {group}", answers[group], limit_s)

        return {
            member.group_instance_id or member.member_id: frozenset(
                Partition(owned.topic, owned.partition) for owned in member.assignment.topic_partitions
            )
            for member in self._insisted(ask).members
        }

    def topic_id(self, topic: str) -> str:
        """Return a topic's id, "" while it isn't there."""
        there = self._there([topic])
        return _id(there[topic]) if there else ""

    def bounds(self, partition: Partition) -> tuple[int, int]:
        """Return (first offset kept, next offset to be written), asked of the broker now."""
        first, end = self._offsets(partition, library.OffsetSpec.earliest(), library.OffsetSpec.latest())
        return first, end

    def offset_at(self, partition: Partition, append_ms: int) -> int:
        """Return the first offset whose append time is `append_ms` or later, -1 if there is none."""
        (found,) = self._offsets(partition, library.OffsetSpec.for_timestamp(append_ms))
        return found

    def _offsets(self, partition: Partition, *specs: Any) -> list[int]:
        """
        Ask until there is an answer, nobody leads the partition, or the time is up.

        Fault: of what isn't there it is said that nobody leads it, and so it is where somebody was just elected.
        """
        what = f"asking about {partition}"

        def ask(limit_s: float) -> list[int] | None:
            answers = [
                self._admin.list_offsets(
                    {TopicPartition(*partition): spec}, isolation_level=IsolationLevel.READ_COMMITTED, request_timeout=limit_s
                )
                for spec in specs
            ]
            try:
                return [self._offset(what, limit_s, *answer.values()) for answer in answers]
            except LogUnavailable:
                there = self._there_now([partition.topic], limit_s).get(partition.topic)
                if there is None or partition.number >= len(there.partitions):
                    raise LogMissing(f"{self._reach.where}: {what}: there is no such topic or partition") from None
                if partition.number in _leaderless(there):
                    return None
                raise

        found = self._insisted(ask, _OFFSETS_SLICE_S)
        if found is None:
            raise without_leader(self._reach.where, partition)
        return found

    def _offset(self, what: str, limit_s: float, answer: Future[Any]) -> int:
        found = int(self._answer(what, answer, limit_s).offset)
        # Fault: when the time is up, there is an answer without an error, and no offset in it.
        if found == OFFSET_INVALID:
            raise LogUnavailable(f"{self._reach.where}: {what}: no answer within {CALL_S:g} s")
        return found

    def close(self) -> None:
        """Let go; twice does nothing, and nothing is raised."""
        self._admin.__exit__(None, None, None)

    def _listed(self, what: str, limit_s: float) -> Any:
        with self._told(what):
            return self._admin.list_topics(timeout=limit_s)

    def _there(self, names: Sequence[str]) -> dict[str, Any]:
        return self._insisted(lambda limit_s: self._there_now(names, limit_s))

    def _there_now(self, names: Sequence[str], limit_s: float) -> dict[str, Any]:
        some = TopicCollection(list(names))
        answers = self._admin.describe_topics(some, include_authorized_operations=True, request_timeout=limit_s) if names else {}
        there = {}
        for name, answer in answers.items():
            try:
                there[name] = self._answer(f"asking for topic {name}", answer, limit_s)
            except LogMissing:
                continue
        return there

    def _insisted(self, ask: Callable[[float], T], slice_s: float = _SLICE_S) -> T:
        """
        Ask until there is an answer or `CALL_S` is over; `ask` is told how long it may take.

        Fault: whom to ask is settled by metadata that are five minutes old. When that broker dies the library waits for it until the time
        is up, again for each question, and takes a whole core to do so: enough to starve the other brokers of a small machine.
        So the time is cut in slices, each longer than the one before, with fresh metadata in between.
        """
        end = time.monotonic() + CALL_S
        anew = False
        while True:
            try:
                return ask(max(_PAUSE_S, min(slice_s, end - time.monotonic())))
            except LogUnavailable:
                if time.monotonic() >= end:
                    raise
            if has_nobody_to_ask(self._admin, None, self._heard) and not anew:
                # Fault: it may be stranded, as `Reach.stranded` says.
                before, self._admin, anew = self._admin, self._connected(), True
                before.__exit__(None, None, None)
            time.sleep(_PAUSE_S)
            slice_s *= 2

    def _answer(self, what: str, answer: Future[Any], limit_s: float = CALL_S) -> Any:
        with self._told(what):
            try:
                return answer.result(limit_s + _HEADROOM_S)
            except TimeoutError as error:
                raise LogUnavailable(f"{self._reach.where}: {what}: no answer in time") from error

    @contextmanager
    def _told(self, what: str) -> Iterator[None]:
        try:
            with self._reach.told(what, self._heard):
                try:
                    yield
                except KafkaException:
                    self._admin.poll(0)  # what was heard is told only here
                    raise
        finally:
            self._heard.forget()


def _facts(topic: Any, configs: Mapping[str, Any]) -> TopicFacts:
    return TopicFacts(
        id=_id(topic),
        partitions=len(topic.partitions),
        replicas=min((len(partition.replicas) for partition in topic.partitions), default=0),
        configs={name: str(config.value) for name, config in configs.items()},
        leaderless=_leaderless(topic),
    )


def _leaderless(topic: Any) -> frozenset[int]:
    return frozenset(partition.id for partition in topic.partitions if partition.leader is None or partition.leader.id < 0)


def _allowed(topic: Any) -> frozenset[str]:
    return frozenset(operation(one.name) for one in topic.authorized_operations or ())


def _id(topic: Any) -> str:
    """Write a topic's id as the other client does: it is part of alert ids."""
    return str(uuid.UUID(bytes=base64.b64decode(f"{topic.topic_id}==")))
