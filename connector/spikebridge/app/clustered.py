"""A service on Kafka topics: as many instances as there are partitions, each with its share."""

from __future__ import annotations

import logging
from contextlib import ExitStack, closing, suppress
from typing import TYPE_CHECKING, cast
from weakref import WeakValueDictionary

from spikebridge import metrics as numbers
from spikebridge.app.chosen import RevisionsWithoutAbsence
from spikebridge.app.crew import Crew
from spikebridge.app.groups import GroupCourier, Grouped
from spikebridge.app.incidents import Correlating
from spikebridge.app.networks import ReadyRevisions, VerifiedRevisions
from spikebridge.app.readable import ReadableRevisions, Refusals
from spikebridge.app.reading import Reading, Watcher
from spikebridge.app.status import StageStatus
from spikebridge.app.unappended import MAX_LETTER_BYTES, MAX_REASON, Unappended
from spikebridge.app.worker import Worker
from spikebridge.correlate import READER as INCIDENTS
from spikebridge.correlate import IncidentStage
from spikebridge.errors import LogError, LogMissing
from spikebridge.kafka.client import Outgoing
from spikebridge.limits import SECOND
from spikebridge.logs.kafka.alerts import AlertPartition
from spikebridge.logs.kafka.checked import CheckedTopics
from spikebridge.logs.kafka.intake import Intake
from spikebridge.logs.kafka.member import Member
from spikebridge.logs.kafka.revisions import RevisionsTopic
from spikebridge.logs.kafka.spikes import AlertTopic, SpikeCommits, SpikePartition
from spikebridge.mapping.evidence import Identity
from spikebridge.pipeline import SpikesStage

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from threading import Event

    from spikebridge.app.logs import Route, Runtime
    from spikebridge.app.worker import Steps
    from spikebridge.config import Log
    from spikebridge.kafka.client import Client, Partition, Producer, Reader
    from spikebridge.logs import Numbered
    from spikebridge.logs.kafka import Settings
    from spikebridge.logs.kafka.sealed import Home
    from spikebridge.mapping.engine import DeadRecord

SPIKES = "spikes"
CORRELATE_IDLE_S = 0.02
LOOK_EVERY_S = 5.0

_log = logging.getLogger(__name__)


class TopicWatcher(Watcher):
    """Keeps refused records in the dead-letter topic too, where every instance's are together."""

    def __init__(self, runtime: Runtime, topic: str, producer: Producer) -> None:
        """Append with the producer of the spikes stage's own thread."""
        super().__init__(runtime)
        self._topic = topic
        self._producer = producer

    def dead(self, log: str, partition: int, records: Sequence[DeadRecord]) -> None:
        """Have the topic acknowledge them, then the store: the position moves past them next."""
        self._producer.append([self._letter(log, partition, record) for record in records])
        super().dead(log, partition, records)

    def _letter(self, log: str, partition: int, record: DeadRecord) -> Outgoing:
        origin = {
            "log": log,
            "partition": str(partition),
            "offset": str(record.offset),
            "part": str(record.part),
            "reason": record.reason[:MAX_REASON],
            "size": str(len(record.raw)),
        }
        key = f"{log}/{partition}/{record.offset}/{record.part}"
        headers = tuple((name, text.encode()) for name, text in origin.items())
        return Outgoing(self._topic, key.encode(), record.raw[:MAX_LETTER_BYTES], headers=headers)


class Clustered:
    """
    Both logs in topics of one cluster.

    Each stage, and each sink, is a consumer group of its own; mappings and inventory come from the revisions topic, which
    `spikebridge publish` writes.
    """

    def __init__(self, runtime: Runtime, source: Log, client: Callable[[Settings], Client]) -> None:
        """
        Reach the cluster once, and refuse topics that can't keep what is promised.

        A cluster that can't be reached, refuses us or lacks a topic is waited for: every stage tries on, and says what it waits for.
        """
        self._runtime = runtime
        self._settings = settings = cast("Settings", source.settings)
        self._names = settings.names(runtime.config.tenant)
        self._client = client(settings)
        self._topics = CheckedTopics(settings, self._names, self._client, runtime.config.limits.look_back_ns)
        self._groups: list[Grouped] = []
        self._gone = ""
        self._refusals = Refusals(runtime.metrics)
        self._begun: dict[Partition, Home] = {}
        # Only looked at here: what a partition holds in memory goes with its steps, also where it was lost and nobody closed them.
        self._stages: WeakValueDictionary[Partition, Reading] = WeakValueDictionary()
        self._logs: WeakValueDictionary[Partition, SpikePartition] = WeakValueDictionary()
        try:
            self._topics.check()
        except LogError as error:
            _log.error("%s; waiting for it", error)

    def check(self) -> None:
        """Raise what the stages would wait for; the spikes stage waits for a first revision too."""
        self._topics.check()
        if all(group.name != SPIKES for group in self._groups):
            return
        with closing(self._client.reader()) as reader:
            if not self._readable(reader).known():
                where = f"kafka {self._settings.where}: topic {self._names.revisions}"
                raise LogMissing(f"{where}: expected a revision, found none; publish one with: spikebridge publish")

    def readers(self) -> list[Worker]:
        """Read the partitions of the spike topics that the group gives to this instance."""
        self._groups.append(Grouped(SPIKES, self._spikes_crew))
        return [Worker(SPIKES, self._groups[-1])]

    def correlators(self) -> list[Worker]:
        """Correlate the partitions of the alert topic that the group gives to this instance."""
        self._groups.append(Grouped("incidents", self._incidents_crew))
        return [Worker("incidents", self._groups[-1], CORRELATE_IDLE_S)]

    def troubles(self) -> list[StageStatus]:
        """Return what partitions fail with while their neighbours go on, and which topics are gone."""
        partitions = [StageStatus(name=group.name, error=group.trouble()) for group in self._groups]
        return [*partitions, StageStatus(name="topics", error=self._gone)]

    def courier(self, route: Route) -> GroupCourier:
        """Deliver the partitions of the alert topic that the sink's group gives to this instance."""

        def join(courier: GroupCourier) -> Crew:
            self._topics.check()
            with ExitStack() as opened:
                intake = Intake(opened.enter_context(closing(self._client.reader())))
                member = self._member(f"deliver.{route.name}")

                def build(partition: Partition) -> Steps:
                    home = self._topics.home(intake.reader, partition.topic)
                    return courier.deliver(
                        partition, AlertPartition(home, partition, member, intake, foreign=self._foreign(courier.reader))
                    )

                return Crew(courier.reader, member, intake, build, opened.pop_all())

        return GroupCourier(route, self._runtime, join)

    def watch(self, stop: Event) -> None:
        """Watch the topics, and no files: those of one instance are not those of another."""
        while not stop.wait(LOOK_EVERY_S):
            with suppress(LogError):  # a cluster out of reach is told by every stage
                before, self._gone = self._gone, self._topics.gone()
                if self._gone != before:
                    _log.log(*((logging.ERROR, self._gone) if self._gone else (logging.INFO, "every topic is there again")))

    def revision(self) -> int | None:
        """Return the highest number that is in force in one of our partitions."""
        return max((stage.revision.number for _, stage, _ in self._live()), default=None)

    def refused(self) -> list[str]:
        """Return nothing: `publish` refuses."""
        return []

    def keep_house(self) -> None:
        """Do nothing: the brokers let go of what is old."""

    def measure(self) -> None:
        """Set the gauges of our partitions."""
        furthest: dict[str, int] = {}
        for partition, stage, log in self._live():
            furthest[log.id] = max(furthest.get(log.id, 0), log.clock.ahead_ns, key=abs)
            self._runtime.metrics.set(numbers.REVISION, stage.revision.number, log=log.id)
            lag = max(0, log.known_end() - stage.position)
            self._runtime.metrics.set(numbers.LAG, lag, log=log.id, partition=str(partition.number))
        for log_id, ahead_ns in furthest.items():
            self._runtime.metrics.set(numbers.APPEND_AHEAD, ahead_ns / SECOND, log=log_id)

    def close(self) -> None:
        """Let go of the connection that every start makes."""
        self._topics.close()

    def _live(self) -> list[tuple[Partition, SpikesStage, SpikePartition]]:
        """Return the partitions that are ours and at work, from any thread."""
        crews = [group.crew for group in self._groups]
        ours = {partition for crew in crews if crew for partition in crew.partitions}
        read = [(partition, one.stage, self._logs.get(partition)) for partition, one in list(self._stages.items())]
        return [
            (partition, stage, log)
            for partition, stage, log in read
            if partition in ours and stage and log and not stage.replaying
        ]

    def _spikes_crew(self) -> Crew:
        """Open everything, and join last: no member is left behind where something can't be opened."""
        self._topics.check()
        runtime, settings, client = self._runtime, self._settings, self._client
        with ExitStack() as opened:
            intake, producer = (
                Intake(opened.enter_context(closing(client.reader()))),
                opened.enter_context(closing(client.producer())),
            )
            revisions = self._revisions(opened.enter_context(closing(client.reader())), producer)
            member = Member(client.group(self._names.group, settings.topics, settings.matching))
            watcher = TopicWatcher(runtime, self._names.dead_letters, producer)
            alerts = self._alerts(producer)

            def build(partition: Partition) -> Steps:
                def stage() -> SpikesStage:
                    home = self._topics.home(intake.reader, partition.topic)
                    switches = self._topics.switches(partition.topic)
                    log = SpikePartition(
                        home, partition, intake, producer, clock=runtime.clock, switches=switches, keys=settings.keys
                    )
                    identity = Identity(runtime.config.tenant, home.log, partition.number, live=switches == "marker")
                    commits = SpikeCommits(home, partition, member, alerts, log.same, self._begun)
                    self._logs[partition] = log
                    known = revisions if switches == "marker" else RevisionsWithoutAbsence(revisions, partition)
                    return SpikesStage(identity, log, commits, ReadyRevisions(known), watcher, runtime.clock)

                self._stages[partition] = steps = Reading(stage, watcher, runtime.metrics)
                return steps

            return Crew(SPIKES, member, intake, build, opened.pop_all())

    def _revisions(self, reader: Reader, producer: Producer) -> Numbered:
        """Follow what is good of the revisions topic; where keys are named, only what we trust comes into force through us."""
        runtime, revisions = self._runtime, self._readable(reader, producer)
        keys = runtime.config.model_keys
        return VerifiedRevisions(revisions, keys, runtime.metrics) if keys else revisions

    def _readable(self, reader: Reader, producer: Producer | None = None) -> ReadableRevisions:
        return ReadableRevisions(RevisionsTopic(self._names.revisions, reader, producer), self._refusals)

    def _incidents_crew(self) -> Crew:
        self._topics.check()
        runtime, client = self._runtime, self._client
        with ExitStack() as opened:
            intake, producer = (
                Intake(opened.enter_context(closing(client.reader()))),
                opened.enter_context(closing(client.producer())),
            )
            revisions = self._readable(opened.enter_context(closing(client.reader())), producer)
            member = self._member("incidents")
            alerts = self._alerts(producer)

            def build(partition: Partition) -> Steps:
                def stage() -> IncidentStage:
                    home = self._topics.home(intake.reader, partition.topic)
                    log = AlertPartition(home, partition, member, intake, alerts, self._foreign(INCIDENTS))
                    return IncidentStage(runtime.config.tenant, log, revisions, runtime.metrics, runtime.clock)

                return Correlating(stage)

            return Crew(INCIDENTS, member, intake, build, opened.pop_all())

    def _foreign(self, reader: str) -> Callable[[], None]:
        """Return what counts the records that a reader passes over."""
        metrics = self._runtime.metrics
        metrics.inc(numbers.PASSED_OVER, 0, reader=reader)
        return lambda: metrics.inc(numbers.PASSED_OVER, reader=reader)

    def _member(self, stage: str) -> Member:
        return Member(self._client.group(f"{self._names.group}.{stage}", [self._names.alerts]))

    def _alerts(self, producer: Producer) -> AlertTopic:
        unappended = Unappended(self._runtime, self._names.dead_letters, producer)
        return AlertTopic(self._names.alerts, self._runtime.config.tenant, producer, unappended.keep)
