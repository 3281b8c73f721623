"""A topic of Kafka as a place for the contract of sinks, and what the live tests of the sink share."""

from __future__ import annotations

import secrets
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import msgspec
from tests.contract.sink_contract import Place

from spikebridge.kafka.client import Partition
from spikebridge.kafka.connection import Connection, connect

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest
    from tests.live.servers.kafka import Cluster

    from spikebridge.spikes.record import Record


def everything(cluster: Cluster, topic: str, partitions: int = 1) -> list[Record]:
    """Return all records of a topic, as anybody may read them, partition by partition."""
    reader = connect(Connection.model_validate({"servers": cluster.bootstrap().split(",")})).reader()
    try:
        found: list[Record] = []
        for partition in (Partition(topic, number) for number in range(partitions)):
            first, end = reader.bounds(partition)
            found += reader.read(partition, range(first, end))
        return found
    finally:
        reader.close()


@contextmanager
def kafka_place(request: pytest.FixtureRequest) -> Iterator[Place]:
    """Give a topic that is new, and not there while the place is blocked."""
    cluster: Cluster = request.getfixturevalue("kafka")
    topic = f"documents-{secrets.token_hex(4)}"
    cluster.create_topic(topic)

    def delivered() -> list[str]:
        return [msgspec.json.decode(record.value)["id"] for record in everything(cluster, topic)]

    @contextmanager
    def blocked() -> Iterator[str]:
        cluster.delete_topic(topic)
        yield topic
        cluster.create_topic(topic)

    settings: dict[str, Any] = {"servers": cluster.bootstrap().split(","), "topic": topic}
    yield Place(settings=settings, delivered=delivered, blocked=blocked, exactly_once=False)
