"""Both Kafka clients come back from a broker that named no servers when it went: librdkafka doesn't by itself."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from tests.live.kafka_makers import LIBRARIES, PATIENCE_S, Maker, Member, awaited, gather, messages, read, settle, values
from tests.live.kafka_proxy import Proxy
from tests.live.servers.kafka import Cluster
from tests.live.servers.missing import needed

from spikebridge.errors import LogUnavailable
from spikebridge.kafka.client import CALL_S, Partition, Place

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from spikebridge.spikes.record import Record

pytestmark = pytest.mark.live

AWAY_S = 2 * CALL_S
"""Longer than a client is silent before it asks, and says that nobody answers."""


@pytest.fixture(scope="module")
def proxied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Cluster, Proxy]]:
    """Start a broker that is reached, and sends its clients, through a proxy."""
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
        client = maker.client(servers=[f"127.0.0.1:{proxy.port}"])
        maker.topic(unique, 2)
        partition, paused = Partition(unique, 0), Partition(unique, 1)
        reader, admin = maker.reader(client), maker.admin(client)
        member = Member(maker.group(f"group-{unique}", unique, client=client))
        searching = maker.group(f"searching-{unique}", pattern=f"{unique}-later", client=client)
        maker.producer().append([*messages(unique, [b"one"]), *messages(unique, [b"one"], 1)])
        for each in (partition, paused):
            reader.follow(each, 0)
        read(reader, 2)
        reader.pause(paused)
        settle(member, owned=2)
        searching.poll()

        with proxy.forgetting():
            silent = {"reader": lambda: reader.poll(0.1), "member": member.poll, "searching": searching.poll}
            end = time.monotonic() + AWAY_S
            while time.monotonic() < end or (silent and library == "confluent"):
                assert time.monotonic() < end + PATIENCE_S, f"{list(silent)} didn't say that nobody answers"
                for who, poll in list(silent.items()):
                    if not answered(poll):
                        del silent[who]
            assert answered(admin.topics) is (library != "confluent")

        maker.producer().append([*messages(unique, [b"two"]), *messages(unique, [b"two"], 1)])
        maker.topic(f"{unique}-later")
        found: dict[Partition, list[Record]] = {}
        awaited(lambda: answered(lambda: gather(found, reader, 0.1)) and found, 2 * PATIENCE_S)
        assert {where: values(records) for where, records in found.items()} == {partition: [b"two"]}
        reader.resume(paused)
        assert values(read(reader, 1)[paused]) == [b"two"]
        assert unique in admin.topics()
        awaited(lambda: answered(member.poll) and len(member.owned) == 2, 2 * PATIENCE_S)
        awaited(lambda: not member.commit({partition: Place(2, "two")}))
        assert member.group.committed(partition) == Place(2, "two")
        awaited(lambda: searching.poll().given, 2 * PATIENCE_S)


def answered(ask: Callable[[], object]) -> bool:
    """Ask, and say whether somebody answered."""
    with suppress(LogUnavailable):
        ask()
        return True
    return False
