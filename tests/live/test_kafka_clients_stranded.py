"""Both Kafka clients come back from a broker that named no servers when it went: librdkafka doesn't by itself."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from tests.live.kafka_makers import (
    LIBRARIES,
    PATIENCE_S,
    Maker,
    Member,
    appended,
    awaited,
    gather,
    messages,
    read,
    settle,
    values,
)
from tests.live.kafka_proxy import Proxy
from tests.live.servers.kafka import Cluster
from tests.live.servers.missing import needed

from spikebridge.errors import LogUnavailable
from spikebridge.kafka.client import CALL_S, Partition, Place

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from spikebridge.spikes.record import Record

pytestmark = pytest.mark.live

GONE_S = CALL_S + 3
"""Longer than the clients wait until they ask again who the servers are."""


@pytest.fixture(scope="module")
def proxied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Cluster, Proxy]]:
    """Start a broker that sends its clients through a proxy."""
    with needed():
        cluster = Cluster(tmp_path_factory.mktemp("proxied"))
        with Proxy(cluster.brokers[0].address()) as proxy:
            cluster.send_through(proxy.port)
            with cluster:
                yield cluster, proxy


@pytest.mark.parametrize("library", LIBRARIES)
def test_all_goes_on_when_a_broker_that_named_no_servers_is_back(
    proxied: tuple[Cluster, Proxy], unique: str, library: str
) -> None:
    """What is followed goes on where it was, what is paused stays so, a member owns its partitions again, and questions are answered."""
    cluster, proxy = proxied
    with Maker(cluster, library) as maker:
        maker.topic(unique, 2)
        partition, paused = Partition(unique, 0), Partition(unique, 1)
        reader, admin, producer = maker.reader(), maker.admin(), maker.producer()
        member = Member(maker.group(f"group-{unique}", unique))
        producer.append([*messages(unique, [b"one"]), *messages(unique, [b"one"], 1)])
        for each in (partition, paused):
            reader.follow(each, 0)
        read(reader, 2)
        reader.pause(paused)
        settle(member, owned=2)

        with proxy.forgetting() as forgot:
            end = time.monotonic() + GONE_S
            while time.monotonic() < end or not forgot:
                for ask in (lambda: reader.poll(0.1), member.poll, admin.cluster_id):
                    unless_out_of_reach(ask)

        awaited(lambda: appended(producer, unique, [b"two"]))
        producer.append(messages(unique, [b"two"], 1))
        found: dict[Partition, list[Record]] = {}
        awaited(lambda: unless_out_of_reach(lambda: gather(found, reader, 0.1)) or found, 2 * PATIENCE_S)
        assert values(found[partition])[:1] == [b"two"]
        assert paused not in found
        reader.resume(paused)
        assert values(read(reader, 1)[paused]) == [b"two"]
        assert awaited(lambda: unless_out_of_reach(admin.cluster_id))
        awaited(lambda: unless_out_of_reach(member.poll) and len(member.owned) == 2, 2 * PATIENCE_S)
        awaited(lambda: not member.commit({partition: Place(2, "two")}))
        assert member.group.committed(partition) == Place(2, "two")


def unless_out_of_reach(ask: Callable[[], object]) -> object:
    """Return the answer, None while nobody answers."""
    with suppress(LogUnavailable):
        return ask()
    return None
