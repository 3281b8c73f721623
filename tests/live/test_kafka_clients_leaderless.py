"""Both Kafka clients say at once that nobody leads a partition: whoever steps through many can't wait for the one that is offline."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from tests.live.kafka_makers import LIBRARIES, Maker, awaited, messages

from spikebridge.errors import LogUnavailable
from spikebridge.kafka.client import CALL_S, NewTopic, Partition

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.live.servers.kafka import Cluster

    from spikebridge.kafka.client import Reader

pytestmark = pytest.mark.live

PARTITIONS = 3


def questions(reader: Reader, partition: Partition) -> list[Callable[[], object]]:
    """Return what the stages ask of a partition."""
    return [
        lambda: reader.bounds(partition),
        lambda: reader.offset_at(partition, 0),
        lambda: reader.read(partition, [0]),
    ]


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_partition_without_a_leader_is_refused_at_once(kafka3: Cluster, library: str, unique: str) -> None:
    """It has one copy, and that broker is dead; the others are answered meanwhile, and it, too, once the broker is back."""
    with Maker(kafka3, library) as maker:
        admin, reader = maker.admin(), maker.reader()
        admin.create([NewTopic(unique, PARTITIONS, 1, {})])
        for number in range(PARTITIONS):
            maker.producer().append(messages(unique, [b"one"], number))
            assert reader.bounds(Partition(unique, number)) == (0, 1)
        broker = kafka3.leader(unique)
        broker.kill()
        try:
            awaited(lambda: admin.describe([unique])[unique].leaderless == {0}, 3 * CALL_S)
            took_s = 0.0
            for one in (reader, reader, maker.reader()):  # whose metadata are old, of now, and of now from the first
                for question in questions(one, Partition(unique, 0)):
                    took_s -= time.monotonic()
                    with pytest.raises(LogUnavailable, match=f"{unique}-0 has no leader now"):
                        question()
                    took_s += time.monotonic()
                for number in range(1, PARTITIONS):
                    for question in questions(one, Partition(unique, number)):
                        question()
            assert took_s < CALL_S, "one of them waited for the leader"
        finally:
            broker.start()
            kafka3.await_in_sync()

        def again() -> bool:
            try:
                return reader.bounds(Partition(unique, 0)) == (0, 1)
            except LogUnavailable:
                return False

        awaited(again, CALL_S)
