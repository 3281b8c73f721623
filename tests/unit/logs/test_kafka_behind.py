"""What `status` says waits for a group."""

from __future__ import annotations

import pytest
from tests.live.delivering import an_alert
from tests.reference.plant import ALERTS, HERE, Plant

from spikebridge.kafka.client import Partition
from spikebridge.logs.kafka import sealed
from spikebridge.logs.kafka.behind import LOOKED_AT, behind

THERE = Partition(ALERTS, 0)


def waits(plant: Plant, position: int, partition: Partition = THERE) -> int:
    """Return how much waits from a position on."""
    reader = plant.kafka.client().reader()
    return behind(reader, partition, position, reader.bounds(partition)[1], entries=partition is THERE)


def test_what_is_none_of_ours_at_the_end_waits_for_no_reader() -> None:
    """A position moves with the next alert only, so without that a sink that has everything would be behind for ever."""
    plant = Plant()
    plant.kafka.append(ALERTS, [sealed.seal(an_alert(1, "default")), b"rubbish", b"{}"])

    assert waits(plant, 0) == 3
    assert waits(plant, 1) == 0
    plant.kafka.append(ALERTS, [b"more", sealed.seal(an_alert(1, "default")), b"rubbish"])
    assert waits(plant, 1) == 2


def test_for_the_spikes_stage_every_record_counts_and_the_end_of_a_transaction_none() -> None:
    """What is no spikes becomes a dead letter there."""
    plant = Plant()
    plant.kafka.append(HERE.topic, [b"rubbish"])
    plant.kafka.partition(HERE.topic).skip(3)

    assert waits(plant, 0, HERE) == 4
    assert waits(plant, 1, HERE) == 0


@pytest.mark.parametrize(("rubbish", "left"), [(LOOKED_AT, 0), (LOOKED_AT + 5, 5)])
def test_no_more_is_looked_at_than_a_bound(rubbish: int, left: int) -> None:
    """The rest is taken to wait."""
    plant = Plant()
    plant.kafka.append(ALERTS, [b"rubbish"] * rubbish)

    assert waits(plant, 0) == left
