"""A log under its stage: when it counts as read to its end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest
from tests.reference.plant import SPIKES, Owner, Plant
from tests.reference.simulation import LIMITS, rule

from spikebridge.app.reading import EMPTY_S, Reading, Watcher, refused_key
from spikebridge.errors import LogMissing, LogUnavailable
from spikebridge.mapping.rules import RuleSet
from spikebridge.metrics import Metrics
from spikebridge.spikes.parts import read_record
from spikebridge.spikes.record import Record

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spikebridge.mapping.engine import DeadRecord, Taken
    from spikebridge.pipeline import SpikesStage

SPIKE = msgspec.json.encode({"device_id": "cam", "neuron_id": 5})


class Quiet(Watcher):
    """Counts nothing."""

    def __init__(self) -> None:
        """Keep nothing."""

    def opened(self, stage: SpikesStage) -> None:
        """Ignore it."""

    def batch(self, stage: SpikesStage, records: int, taken: Taken) -> None:
        """Ignore it."""

    def dead(self, log: str, partition: int, records: Sequence[DeadRecord]) -> None:
        """Ignore them."""


class Reader:
    """A partition where nothing may be appended, read in rounds of a second."""

    def __init__(self, plant: Plant) -> None:
        """Read to the end."""
        self.plant = plant
        self.owner = Owner(plant, switches="commit")
        self.reading = Reading(self.owner.built, Quiet(), Metrics(), plant.monotonic)
        self.rounds(3)

    def rounds(self, count: int) -> int:
        """Do what a crew does; return what the last round says is left."""
        left = 0
        for _ in range(count):
            self.plant.sleep(1)
            self.owner.member.hear()
            self.owner.intake.fill(0.0)
            left = self.reading.step()
        return left


@pytest.fixture
def plant() -> Plant:
    """Publish a rule."""
    plant = Plant()
    plant.publish(RuleSet(rules=[rule("single", (5, 5), suppress=1)], limits=LIMITS))
    return plant


def test_offsets_that_bring_nothing_are_the_end_after_a_while(plant: Plant) -> None:
    """Not at once, for records may be on their way; and what is added later is read."""
    plant.append(SPIKE)
    reader = Reader(plant)
    assert reader.rounds(1) == 0
    plant.kafka.partition(SPIKES).skip(2)
    assert reader.rounds(round(EMPTY_S)) == 2
    assert reader.rounds(3) == 0
    plant.append(SPIKE)
    reader.rounds(3)
    assert reader.rounds(1) == 0
    assert [entry.source[1] for entry in plant.entries()] == [0, 3]


def test_what_is_added_begins_the_time_anew(plant: Plant) -> None:
    """Whatever it is."""
    reader = Reader(plant)
    for lag in range(1, 6):
        plant.kafka.partition(SPIKES).skip(1)
        assert reader.rounds(round(EMPTY_S) - 1) == lag
    assert reader.rounds(3) == 0


def test_an_error_begins_the_time_anew(plant: Plant) -> None:
    """While a broker is away nothing can come."""
    plant.kafka.partition(SPIKES).skip(1)
    reader = Reader(plant)
    for _ in range(3):
        assert reader.rounds(round(EMPTY_S) - 2) == 1
        plant.kafka.away = True
        plant.sleep(2 * EMPTY_S)
        with pytest.raises(LogUnavailable):
            reader.reading.step()
        plant.kafka.away = False
        plant.sleep(2 * EMPTY_S)
    assert reader.rounds(1) == 1


def test_a_batch_that_can_not_be_settled_waits_and_costs_no_replay(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    """The topic for what is refused is gone: the stage stays, and goes on once it is there again."""
    reader = Reader(plant)
    stage = reader.reading.stage

    def gone(*_: object) -> None:
        raise LogMissing("there is no such topic or partition")

    with monkeypatch.context() as patched:
        patched.setattr(reader.owner, "dead", gone)
        plant.append(b"no spikes")
        for _ in range(3):
            with pytest.raises(LogMissing):
                reader.rounds(3)
    assert reader.reading.stage is stage
    plant.append(SPIKE)
    reader.rounds(3)
    assert [entry.source[1] for entry in plant.entries()] == [1]
    assert len(reader.owner.dead_records) == 1


def test_a_sender_makes_no_labels_of_its_own() -> None:
    """Numbers of elements are no kinds of fault; what concerns no key is about the record."""
    values = [b"[1,2]", b'[{"device_id":"a","neuron_id":"x"}]', b'{"device_id":"x","neuron_id":[1,-2]}', b'{"device_id":5}', b"{"]
    reasons = [bad.reason for value in values for bad in read_record(Record(0, 0, value), 0).refused]

    assert [refused_key(reason) for reason in reasons] == ["record", "record", "neuron_id", "neuron_id", "device_id", "record"]
