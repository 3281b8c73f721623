"""Membership in a consumer group."""

# ruff: noqa: SLF001  the library's own error codes begin with an underscore

from __future__ import annotations

import re
import time
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from spikebridge.errors import LogBusy, LogDenied, LogRefused, LogUnavailable
from spikebridge.kafka.client import CALL_S, MAX_METADATA_BYTES, Changes, Partition, Place
from spikebridge.kafka.confluent import consumer
from spikebridge.kafka.confluent.reach import MISSING, Heard, milliseconds
from spikebridge.kafka.connection import MAX_POLL_S

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from spikebridge.kafka.confluent.reach import Reach
    from spikebridge.kafka.connection import Membership

_NS_PER_S = 1_000_000_000
_JOIN_S = 0.05
"""How long a poll waits while nothing is held."""

_AGAIN_S = 0.05
_JOINING = frozenset((KafkaError.ILLEGAL_GENERATION, KafkaError.REBALANCE_IN_PROGRESS))
_MOVING = frozenset((KafkaError.COORDINATOR_LOAD_IN_PROGRESS, KafkaError.COORDINATOR_NOT_AVAILABLE, KafkaError.NOT_COORDINATOR))
"""The group is about to be another broker's."""

_LOOK_S = 10.0
_LOOK_LIMIT_S = 0.5
# What is said of topics and partitions is said to readers: here none is read, and one that isn't there gives no partitions.
_OF_PARTITIONS = MISSING | frozenset(
    (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE, KafkaError._MAX_POLL_EXCEEDED)
)


class _Commit(NamedTuple):
    """Positions, and who is told."""

    places: dict[Partition, Place]
    done: list[Callable[[str], None]]


class ConfluentGroup:
    """A member of a consumer group that fetches nothing: every partition is paused when it is given."""

    holds_taken = False

    def __init__(self, reach: Reach, membership: Membership, name: str, topics: Sequence[str], pattern: str) -> None:
        """Connect and subscribe; the group is joined in the polls."""
        self._what = f"group {name}"
        reach.check(self._what)
        self._reach = reach
        self._settings = _settings(name, membership)
        self._consumer: Consumer | None = self._connected()
        self._busy: LogBusy | None = None
        self._denied: LogDenied | None = None
        self._held: set[Partition] = set()
        self._given: set[Partition] = set()
        self._taken: set[Partition] = set()
        self._lost: set[Partition] = set()
        self._sent: _Commit | None = None
        self._give_up_s = self._again_s = 0.0
        self._waiting = _Commit({}, [])
        self._topics: list[str] = []
        self._pattern = re.compile(pattern) if pattern else None
        self._looked_s = -_LOOK_S
        if not self._pattern:
            self._subscribe(self._open(), list(topics))

    def _connected(self) -> Consumer:
        heard = Heard()
        with self._reach.told(self._what, heard):
            library = Consumer(self._reach.settings(heard, self._settings | {"on_commit": partial(self._on_commit, heard)}))
        self._heard = heard
        return library

    def poll(self) -> Changes:
        """Keep the membership alive and say what changed."""
        library = self._open()
        self._look_for_topics(library)
        try:
            with self._reach.told(self._what, self._heard):
                message = library.poll(0 if self._held else _JOIN_S)
                error = None if message is None else message.error()
                if error is not None and error.code() not in _OF_PARTITIONS:
                    raise KafkaException(error)
                # Fault: a member that was put out goes on as one until a callback tells it, which may be several polls later.
                if self._held and not library.memberid():
                    self._gone(self._held, self._lost)
        except LogBusy as busy:
            self._busy = busy
            raise
        except LogDenied as denied:
            self._denied = denied
            raise
        self._go_on_committing()
        if self._reach.stranded(self._what, self._heard, library, self._topics[0] if self._topics else None):
            self._join_anew()
            library = self._open()
        # Fault: that we may not join is told once.
        if self._denied and not library.memberid():
            raise self._denied
        self._denied = None
        changes = Changes(frozenset(self._given), frozenset(self._taken), frozenset(self._lost))
        self._given, self._taken, self._lost = set(), set(), set()
        return changes

    def _join_anew(self) -> None:
        """Join again, as another consumer: what was held is lost, and what was to be committed is not."""
        library = self._connected()
        if self._topics:
            self._subscribe(library, self._topics)
        self._gone(self._held, self._lost)
        self.close()
        self._consumer, self._denied = library, None

    def _look_for_topics(self, library: Consumer) -> None:
        """
        Subscribe to what matches the pattern now; where nobody answers, what was found before stays.

        Fault: the library's own patterns are those of C, which know nothing of half of Python's.
        """
        now = time.monotonic()
        if not self._pattern or now - self._looked_s < _LOOK_S:
            return
        try:
            known = library.list_topics(timeout=_LOOK_LIMIT_S).topics
        except KafkaException:
            self._looked_s = now - _LOOK_S + 1
            return
        self._looked_s = now
        found = sorted(filter(self._pattern.fullmatch, known))
        if found and found != self._topics:
            self._subscribe(library, found)

    def _subscribe(self, library: Consumer, topics: list[str]) -> None:
        with self._reach.told(self._what, self._heard):
            library.subscribe(topics, on_assign=self._on_given, on_revoke=self._on_taken, on_lost=self._on_lost)
        self._topics = topics

    def _on_given(self, library: Consumer, partitions: list[TopicPartition]) -> None:
        for partition in partitions:
            partition.offset = 0  # a position that is never read from: without one the library asks for ours
        library.incremental_assign(partitions)
        library.pause(partitions)
        if library is self._consumer:
            given = _names(partitions)
            self._held |= given
            self._given |= given

    def _on_taken(self, library: Consumer, partitions: list[TopicPartition]) -> None:
        library.incremental_unassign(partitions)
        if library is self._consumer:
            self._gone(_names(partitions), self._taken)

    def _on_lost(self, library: Consumer, partitions: list[TopicPartition]) -> None:
        library.incremental_unassign(partitions)
        if library is self._consumer:
            self._gone(_names(partitions), self._lost)

    def _gone(self, partitions: set[Partition], where: set[Partition]) -> None:
        # What came and went between two polls was never told.
        where |= (partitions & self._held) - self._given
        self._given -= partitions
        self._held = self._held - partitions

    def committed(self, partition: Partition) -> Place | None:
        """Return what the group last committed, None if never."""
        end_s = time.monotonic() + CALL_S
        with self._reach.told(f"{self._what}, position of {partition}", self._heard):
            while True:
                try:
                    return self._position(partition, max(0.0, end_s - time.monotonic()))
                except KafkaException as error:
                    # Fault: the library looks for the new coordinator, and leaves it to the next call to ask there.
                    if error.args[0].code() not in _MOVING or time.monotonic() + _AGAIN_S > end_s:
                        raise
                time.sleep(_AGAIN_S)

    def _position(self, partition: Partition, limit_s: float) -> Place | None:
        (found,) = self._open().committed([TopicPartition(*partition)], timeout=limit_s)
        if found.error is not None:
            raise KafkaException(found.error)
        return None if found.offset < 0 else consumer.place(found)

    def commit(self, places: Mapping[Partition, Place], done: Callable[[str], None]) -> None:
        """Begin to commit; `done` is called by a later `poll`, or by `close`."""
        for partition, place in places.items():
            size = len(place.metadata.encode())
            if size > MAX_METADATA_BYTES:
                raise LogRefused(
                    f"{self._reach.where}: {self._what}, position of {partition}: "
                    f"{size:,} bytes of metadata, Kafka keeps {MAX_METADATA_BYTES:,}"
                )
        self._open()
        self._waiting.places.update(places)
        self._waiting.done.append(done)
        if not self._sent:
            self._send()

    def _go_on_committing(self) -> None:
        now = time.monotonic()
        if self._sent and now > self._give_up_s:
            self._answered(f"{self._reach.where}: {self._what}, commit: no answer within {CALL_S:g} s")
        if self._sent and self._again_s and now > self._again_s:
            self._request(self._sent)

    def _send(self) -> None:
        """
        Send what waits, all at once, and nothing more before the answer.

        Fault: of two commits under way the first may be tried again after the second.
        """
        self._sent, self._waiting = self._waiting, _Commit({}, [])
        self._give_up_s = time.monotonic() + CALL_S
        self._request(self._sent)

    def _request(self, commit: _Commit) -> None:
        self._again_s = 0.0
        offsets = [TopicPartition(*partition, place.offset, place.metadata) for partition, place in commit.places.items()]
        try:
            self._open().commit(offsets=offsets, asynchronous=True)
        except KafkaException as error:
            self._answered(str(self._reach.log_error(f"{self._what}, commit", error.args[0], self._heard)))

    def _on_commit(self, heard: Heard, error: KafkaError | None, offsets: list[TopicPartition]) -> None:
        answered = {(offset.topic, offset.partition, offset.offset) for offset in offsets}
        if (
            heard is not self._heard
            or not self._sent
            or answered != {(*partition, place.offset) for partition, place in self._sent.places.items()}
        ):
            return  # to one that was given up, or of a consumer that was replaced
        failed = error or next((offset.error for offset in offsets if offset.error is not None), None)
        if failed is not None and failed.code() in _JOINING:
            # Fault: what is taken is given up at once, and the next join is under way before anybody could commit.
            self._again_s = time.monotonic() + _AGAIN_S
        elif failed is not None:
            self._answered(str(self._reach.log_error(f"{self._what}, commit", failed, self._heard)))
        else:
            self._heard.forget()
            self._answered("")

    def _answered(self, text: str) -> None:
        sent, self._sent = self._sent, None
        for done in sent.done if sent else ():
            done(text)
        if self._waiting.done and not self._sent:
            self._send()

    def close(self) -> None:
        """Leave the group, unless the membership is static; twice does nothing, and nothing is raised."""
        library, self._consumer = self._consumer, None
        if library is not None:
            consumer.closed(library)
        pending = [*(self._sent.done if self._sent else ()), *self._waiting.done]
        self._sent, self._waiting = None, _Commit({}, [])
        for done in pending:
            done(f"{self._reach.where}: {self._what}, commit: closed before the answer came")

    def _open(self) -> Consumer:
        if self._busy:
            raise self._busy
        if self._consumer is None:
            raise LogUnavailable(f"{self._reach.where}: {self._what}: closed")
        return self._consumer


def _settings(name: str, membership: Membership) -> dict[str, Any]:
    session_s = membership.session_ns / _NS_PER_S
    settings = consumer.SETTINGS | {
        "group.id": name,
        "partition.assignment.strategy": "cooperative-sticky",
        "session.timeout.ms": milliseconds(session_s),
        "heartbeat.interval.ms": milliseconds(min(3.0, session_s / 3)),
        "max.poll.interval.ms": milliseconds(MAX_POLL_S),
        "topic.metadata.refresh.interval.ms": milliseconds(_LOOK_S),
    }
    return settings | ({"group.instance.id": membership.instance} if membership.instance else {})


def _names(partitions: list[TopicPartition]) -> set[Partition]:
    return {Partition(partition.topic, partition.partition) for partition in partitions}
