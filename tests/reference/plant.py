"""Everything between a Kafka client and the stages, over a cluster in memory and a clock that is moved."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spikebridge.errors import SpikebridgeError
from spikebridge.kafka.client import Partition
from spikebridge.logs.kafka import sealed
from spikebridge.logs.kafka.alerts import AlertPartition
from spikebridge.logs.kafka.intake import Intake
from spikebridge.logs.kafka.member import Member
from spikebridge.logs.kafka.revisions import RevisionsTopic
from spikebridge.logs.kafka.sealed import Home
from spikebridge.logs.kafka.spikes import AlertTopic, SpikeCommits, SpikePartition
from spikebridge.mapping.evidence import Identity
from spikebridge.mapping.rules import RuleSet, rule_set_content
from spikebridge.pipeline import SpikesStage
from spikebridge.testing import FakeClock
from spikebridge.testing.kafka import MemoryKafka

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spikebridge.alerts import AlertEntry
    from spikebridge.logs import Commit, Record, Revisions, Switches
    from spikebridge.mapping.engine import DeadRecord, Taken

SECOND = 1_000_000_000
SPIKES, ALERTS, REVISIONS = "spikes", "alerts", "revisions"
HERE = Partition(SPIKES, 0)


class Plant:
    """A cluster with our topics, for one tenant; what waits lets the clock go on."""

    def __init__(self, partitions: int = 1, clock: FakeClock | None = None) -> None:
        """Create the topics."""
        self.clock = clock or FakeClock()
        self.kafka = MemoryKafka(self.clock, self.sleep)
        self.kafka.create(SPIKES, partitions)
        self.kafka.create(ALERTS)
        self.kafka.create(REVISIONS)
        self.refused: list[tuple[AlertEntry, str]] = []

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.clock.advance(round(seconds * SECOND))

    def monotonic(self) -> float:
        """Read the clock of waiting."""
        return self.clock.monotonic() / SECOND

    def home(self, topic: str) -> Home:
        """Return a topic's ids of now."""
        return Home(self.kafka.id, self.kafka.topics[topic].id)

    def intake(self) -> Intake:
        """Make an intake."""
        return Intake(self.kafka.client().reader(), self.monotonic)

    def member(self, group: str, topic: str = SPIKES, instance: str = "") -> Member:
        """Join a group."""
        return Member(self.kafka.client(instance).group(group, [topic]), self.monotonic, self.sleep)

    def revisions(self) -> RevisionsTopic:
        """Follow the revisions."""
        client = self.kafka.client()
        return RevisionsTopic(REVISIONS, client.reader(), client.producer(), self.monotonic)

    def publish(self, *sets: RuleSet) -> list[int]:
        """Publish rule sets and return their numbers."""
        return [self.revisions().publish(rule_set_content(rule_set)) for rule_set in sets]

    def topic(self) -> AlertTopic:
        """Append to the alert topic."""
        return AlertTopic(ALERTS, "default", self.kafka.client().producer(), lambda entry, why: self.refused.append((entry, why)))

    def reader(self, group: str, *, appends: bool = False) -> AlertReading:
        """Read the alert topic under a group."""
        return AlertReading(self, group, self.topic() if appends else None)

    def arriving(self) -> Arriving:
        """Return the spike log, whose polls wait."""
        producer = self.kafka.client().producer()
        return Arriving(self.home(SPIKES), HERE, self.intake(), producer, clock=self.clock, switches="marker", keys=False)

    def append(self, *values: bytes, key: bytes | None = None) -> None:
        """Append as senders do, each a second after the one before."""
        for value in values:
            self.kafka.append(SPIKES, [value], key=key)
            self.sleep(1)

    def entries(self) -> list[AlertEntry]:
        """Return what lies in the alert topic."""
        return [sealed.unseal(record) for record in self.kafka.partition(ALERTS).records]

    def bodies(self) -> list[AlertEntry]:
        """Return the same without the places that the log gave them."""
        return [entry._replace(offset=-1, append_ns=0) for entry in self.entries()]

    def known(self) -> Commit | None:
        """Return where the spikes stage stands, as its group has it."""
        place = self.kafka.groups["stage"].positions.get(HERE)
        return None if place is None else sealed.read_commit(place, self.home(SPIKES))


class AlertReading:
    """A reader of the alert topic's only partition, with its group; `foreign` counts what is no entry."""

    def __init__(self, plant: Plant, group: str, alerts: AlertTopic | None) -> None:
        """Join."""
        self.member = plant.member(group, ALERTS)
        self.foreign = 0
        here = Partition(ALERTS, 0)
        self.log = AlertPartition(plant.home(ALERTS), here, self.member, plant.intake(), alerts, self._count)

    def _count(self) -> None:
        self.foreign += 1


class Owner:
    """A stage over a partition, in a life of its own. `dead` are the records that it refused."""

    def __init__(
        self, plant: Plant, *, switches: Switches = "marker", keys: bool = False, revisions: Revisions | None = None
    ) -> None:
        """Join; nothing is opened yet."""
        self.plant = plant
        self.dead_records: list[DeadRecord] = []
        self.begun: dict[Partition, Home] = {}
        self.member = plant.member("stage")
        self.intake = plant.intake()
        self._how = (switches, keys)
        self._revisions = revisions or plant.revisions()
        self.stage = self.built()

    def built(self) -> SpikesStage:
        """Make the stage, over the topic as it is now."""
        switches, keys = self._how
        home = self.plant.home(SPIKES)
        producer = self.plant.kafka.client().producer()
        self.log = SpikePartition(home, HERE, self.intake, producer, clock=self.plant.clock, switches=switches, keys=keys)
        self.commits = SpikeCommits(home, HERE, self.member, self.plant.topic(), begun=self.begun)
        identity = Identity("default", home.log, 0, live=switches == "marker")
        return SpikesStage(identity, self.log, self.commits, self._revisions, self, self.plant.clock)

    def step(self) -> int:
        """Do what a crew does in a round."""
        self.member.hear()
        self.intake.fill(0.0)
        if self.stage.replaying:
            return self.stage.replay() or 1
        return self.stage.step()

    def open(self) -> Owner:
        """Rewind, and replay to the committed position."""
        self.stage.rewind()
        for _ in range(1_000):
            if not self.stage.replaying:
                return self
            self.step()
        raise AssertionError("the replay has no end")

    def drain(self) -> Owner:
        """Match all that there is, and have the position committed."""
        idle = 0
        while idle < 3:
            idle = 0 if self.step() else idle + 1
        self.plant.sleep(1.5)
        self.step()
        self.member.settle(HERE)
        return self

    def leave(self) -> None:
        """End in good order."""
        self.stage.close()
        self.member.close()

    def batch(self, stage: SpikesStage, records: int, taken: Taken) -> None:
        """Hear of a batch."""

    def dead(self, _log: str, _partition: int, records: Sequence[DeadRecord]) -> None:
        """Keep what was refused."""
        self.dead_records += records


class Arriving(SpikePartition):
    """A partition whose polls wait for what is on its way, as no stage may."""

    def poll(self, position: int, max_bytes: int) -> list[Record]:
        """Poll until something came, or nothing does."""
        for _ in range(2):
            records = super().poll(position, max_bytes)
            if records:
                return records
            self._intake.fill(0.0)
        return super().poll(position, max_bytes)


def refusal(action: object) -> str:
    """Return what an action was refused with."""
    assert callable(action)
    try:
        action()
    except SpikebridgeError as error:
        return str(error)
    return ""
