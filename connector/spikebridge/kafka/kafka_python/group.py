"""Membership in a consumer group."""

# ruff: noqa: SLF001  what the library does wrong inside can be answered only there

from __future__ import annotations

import time
from threading import Condition, Thread
from typing import TYPE_CHECKING

from kafka import ConsumerRebalanceListener, TopicPartition, errors
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.structs import MemberState, OffsetAndMetadata

from spikebridge.errors import LogBusy, LogError, LogRefused, LogUnavailable
from spikebridge.kafka.client import MAX_METADATA_BYTES, Changes, Partition, Place
from spikebridge.kafka.connection import MAX_POLL_S
from spikebridge.kafka.kafka_python import consumer
from spikebridge.kafka.kafka_python.causes import reason
from spikebridge.kafka.kafka_python.reach import REQUEST_S, milliseconds

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from spikebridge.kafka.connection import Membership
    from spikebridge.kafka.kafka_python.reach import Reach

_JOIN_S = 30.0
"""Long enough for a join: one that ends later is thrown away."""

_SEARCH_S = 1.0
"""How long the coordinator is looked for at a time."""

_PAUSE_S = 0.05
_SILENT_S = 30.0
"""An owner that has not polled for so long is polled for no more: `MAX_POLL_S` begins."""

_CLOSE_S = 0.2
_POSITION_S = REQUEST_S - 1
"""An owner of many partitions asks again for this one rather than wait for a coordinator that is away."""

_COMMITS = 50
"""So many may be under way: the broker takes them in their order, and the library tries none a second time."""


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]
    """
    Notes what moves.

    Fault: it is called on the library's IO thread, where every call that waits fails or hangs; so nothing else is done here.
    """

    def __init__(self) -> None:
        self.taken: set[Partition] = set()
        self.lost: set[Partition] = set()

    def on_partitions_assigned(self, assigned: AbstractSet[TopicPartition]) -> None:
        """Note nothing: the assignment is looked at."""

    def on_partitions_revoked(self, revoked: AbstractSet[TopicPartition]) -> None:
        self.taken |= {Partition(*partition) for partition in revoked}

    def on_partitions_lost(self, lost: AbstractSet[TopicPartition]) -> None:
        self.lost |= {Partition(*partition) for partition in lost}


class KafkaPythonGroup:
    """
    A member of a consumer group that reads nothing.

    A thread of its own polls the library's coordinator, never its consumer, and waits while its owner has partitions to give up.
    Fault: a join that ends between two polls is thrown away, and begun anew for all members, again and again; and before it has been
    polled once more the member sends no heartbeats.
    Fault: the consumer's poll reads, wants a position for each partition, and joins again in the poll in which partitions were taken,
    so that their positions could not be committed any more.
    """

    holds_taken = True

    def __init__(self, reach: Reach, membership: Membership, name: str, topics: Sequence[str], pattern: str) -> None:
        """Connect and subscribe; the group is joined in the background."""
        self._reach = reach
        self._what = f"group {name}"
        self._came_back = bool(membership.instance)
        session_ms = membership.session_ns // 1_000_000
        settings = {
            "group_id": name,
            "group_instance_id": membership.instance or None,
            "session_timeout_ms": session_ms,
            "heartbeat_interval_ms": min(3_000, session_ms // 3),
            "max_poll_interval_ms": milliseconds(MAX_POLL_S),
            "partition_assignment_strategy": [CooperativeStickyAssignor],
            "max_in_flight_requests_per_connection": 2 * _COMMITS,
        }
        self._consumer = consumer.connected(reach, self._what, settings)
        self._contact = consumer.Contact(reach, self._consumer)
        self._listener = _Listener()
        if pattern:
            self._consumer.subscribe(pattern=rf"(?:{pattern})\Z", listener=self._listener)
        else:
            self._consumer.subscribe(topics=list(topics), listener=self._listener)
        self._coordinator = self._consumer._coordinator
        self._news = Condition()  # guards what follows
        self._pending: list[Callable[[str], None]] = []
        self._answers: list[tuple[Callable[[str], None], str]] = []
        self._polled_s = time.monotonic()
        self._polls_to_wait = 0
        self._closed = False
        self._error: LogError | None = None
        self._member = ""
        self._assigned: frozenset[Partition] = frozenset()
        self._lost: set[Partition] = set()
        self._taken: set[Partition] = set()
        self._held: frozenset[Partition] = frozenset()
        self._thread = Thread(target=self._run, name=f"kafka-{self._what}", daemon=True)
        self._thread.start()

    def poll(self) -> Changes:
        """Say what changed; the membership lives on in the background, as long as this is called."""
        with self._news:
            self._polled_s = time.monotonic()
            self._polls_to_wait = max(0, self._polls_to_wait - 1)
            answers, self._answers = self._answers, []
            error, self._error = self._error, self._error if isinstance(self._error, LogBusy) else None
        for done, text in answers:
            done(text)
        if error is not None:
            raise error
        return self._changes()

    def _changes(self) -> Changes:
        with self._news:
            lost = self._held & self._lost
            taken = self._held & (self._taken | (self._held - self._assigned)) - lost
            given = self._assigned - (self._held - lost - taken)
            self._lost, self._taken, self._held = set(), set(), self._assigned
        return Changes(given=given, taken=taken, lost=lost)

    def _run(self) -> None:
        while True:
            with self._news:
                while not self._closed and (self._polls_to_wait or time.monotonic() - self._polled_s > _SILENT_S):
                    self._news.wait(_PAUSE_S)
                if self._closed:
                    return
            try:
                settled = self._coordinated()
            except LogError as error:
                settled = True
                with self._news:
                    self._error = error
            with self._news:
                if settled and not self._closed:
                    self._news.wait(_PAUSE_S)

    def _coordinated(self) -> bool:
        """Let the library do one step, note what it changed, and say whether there is time for a pause."""
        coordinator = self._coordinator
        with self._reach.told(self._what):
            # Fault: a join that new metadata caused is forgotten when a poll ends before its answer has come, and nothing ever ends it.
            if coordinator.rejoining and not coordinator.stable():
                coordinator.request_rejoin()
            coordinator.poll(timeout_ms=milliseconds(_SEARCH_S if coordinator.coordinator_unknown() else _JOIN_S))
            # Fault: a static member that another one displaced is not told; only its heartbeats are switched off.
            if coordinator.stable() and not coordinator.rejoining and not coordinator._heartbeat_enabled:
                raise errors.FencedInstanceIdError
            # Fault: topics that we may not see are noted on the IO thread and raised nowhere.
            denied = self._consumer._cluster.unauthorized_topics
            if denied:
                raise errors.TopicAuthorizationFailedError(sorted(denied))
            self._note()
        self._contact.check(self._what)
        return not coordinator.rejoining

    def _note(self) -> None:
        metadata = self._consumer.group_metadata()
        lost, self._listener.lost = self._listener.lost, set()
        taken, self._listener.taken = self._listener.taken, set()
        with self._news:
            # Fault: a member that was evicted while a join was under way comes back with its old partitions, under a new id, and
            # nothing is called. Others may have owned them in between: what was held is lost, and given anew.
            if metadata.member_id != self._member:
                lost |= self._assigned
            self._lost |= lost
            self._taken |= taken
            self._assigned -= lost | taken
            if metadata.member_id and metadata.state is MemberState.STABLE:
                self._member = metadata.member_id
                if self._came_back:
                    # Fault (the broker's): whoever comes back under its name gets its share of the last distribution without a word to
                    # the others. If it had died before it handed over what was another's by then, that would be nobody's for ever;
                    # one more join, now with what it owns, has it distributed.
                    self._came_back = False
                    self._coordinator.request_rejoin()
                self._assigned = frozenset(Partition(*partition) for partition in self._consumer.assignment())
            if self._held & taken:
                self._polls_to_wait = 2  # one that tells the owner, and the one after it has finished with them

    def committed(self, partition: Partition) -> Place | None:
        """Return what the group last committed, None if never."""
        # Fault: after a question that timed out, the next one gets the older one's answer, which the library keeps by partition.
        self._coordinator._offset_fetch_futures.clear()
        with self._reach.told(f"{self._what}, position of {partition}"):
            found = self._consumer.committed(TopicPartition(*partition), metadata=True, timeout_ms=milliseconds(_POSITION_S))
        return Place.read(found.offset, found.metadata) if found else None

    def commit(self, places: Mapping[Partition, Place], done: Callable[[str], None]) -> None:
        """Begin to commit; `done` is called by a later `poll`, or by `close`."""
        begin = f"{self._reach.where}: {self._what}"
        for partition, place in places.items():
            size = len(place.metadata.encode())
            if size > MAX_METADATA_BYTES:
                raise LogRefused(
                    f"{begin}, position of {partition}: {size:,} bytes of metadata, Kafka keeps {MAX_METADATA_BYTES:,}"
                )
        with self._news:
            if len(self._pending) >= _COMMITS:
                raise LogUnavailable(f"{begin}: {_COMMITS} commits are under way and not answered")
            self._pending.append(done)

        def answered(outcome: object) -> None:
            """Note it, on the library's IO thread."""
            text = f"{begin}, commit: {reason(outcome)}" if isinstance(outcome, Exception) else ""
            with self._news:
                if done in self._pending:
                    self._pending.remove(done)
                    self._answers.append((done, text))

        if self._coordinator.coordinator_unknown():
            answered(errors.CoordinatorNotAvailableError())
            return
        offsets = {
            TopicPartition(*partition): OffsetAndMetadata(place.offset, place.written, -1) for partition, place in places.items()
        }
        # Fault: the public method calls back for older commits, in whatever thread, and at once with the background an answer is lost.
        self._coordinator._do_commit_offsets_async(offsets).add_both(answered)

    def close(self) -> None:
        """Leave the group, unless the membership is static; twice does nothing, and nothing is raised."""
        with self._news:
            self._closed = True
            self._news.notify_all()
        self._thread.join(_CLOSE_S)
        consumer.closed(self._consumer)
        with self._news:
            text = f"{self._reach.where}: {self._what}, commit: closed before the answer came"
            answers = [*self._answers, *((done, text) for done in self._pending)]
            self._answers, self._pending = [], []
        for done, said in answers:
            done(said)
