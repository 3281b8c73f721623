"""Both Kafka clients go on when one of three brokers dies: nothing is lost, nothing out of order, and everybody finds the successor."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from tests.live.kafka_makers import LIBRARIES, Maker, Member, appended, awaited, gather, settle, values

from spikebridge.errors import LogUnavailable
from spikebridge.kafka.client import CALL_S, Partition, Place

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.live.servers.kafka import Cluster

    from spikebridge.spikes.record import Record

pytestmark = pytest.mark.live


@pytest.fixture(params=LIBRARIES)
def maker(request: pytest.FixtureRequest, kafka3: Cluster) -> Iterator[Maker]:
    """Each library in turn; whatever died is alive again afterwards."""
    with Maker(kafka3, request.param) as maker:
        yield maker
    kafka3.start()
    kafka3.await_in_sync()


def committed(member: Member, partition: Partition, offset: int) -> bool:
    """Try once more; nobody answers while there is no coordinator."""
    said: list[str] = []
    try:
        member.group.commit({partition: Place(offset)}, said.append)
        awaited(lambda: (member.poll(), said)[1], 3 * CALL_S)
    except LogUnavailable:
        return False
    return said == [""]


def told(member: Member, partition: Partition, place: Place) -> bool:
    """Ask once more where the group stands."""
    try:
        member.poll()
        return member.group.committed(partition) == place
    except LogUnavailable:
        return False


def test_appending_goes_on_with_another_leader(maker: Maker, unique: str) -> None:
    """Whoever appends all again after an error, in order, finds each record's first copy in order, and none missing."""
    maker.topic(unique)
    partition, producer, reader = Partition(unique, 0), maker.producer(), maker.reader()
    reader.follow(partition, 0)
    sent: list[bytes] = []
    died = 0.0
    for number in range(30):
        some = [b"%03d-%03d" % (number, one) for one in range(20)]
        if number == 10:
            maker.cluster.leader(unique).kill()
            died = time.monotonic()
        awaited(lambda some=some: appended(producer, unique, some), 6 * CALL_S)  # type: ignore[misc]
        sent += some
    assert time.monotonic() - died < 6 * CALL_S
    found: dict[Partition, list[Record]] = {}

    def complete() -> bool:
        gather(found, reader, 0.2)
        return set(sent) <= set(values(found.get(partition, [])))

    awaited(complete, 3 * CALL_S)
    assert list(dict.fromkeys(values(found[partition]))) == sent
    assert [record.offset for record in found[partition]] == list(range(len(found[partition])))


def test_a_group_goes_on_with_another_coordinator(maker: Maker, unique: str) -> None:
    """Positions are kept and committed again; who asks about the group, too, finds the new coordinator."""
    maker.topic(unique, 3)
    partition, admin = Partition(unique, 0), maker.admin()
    member = Member(maker.group(unique, unique))
    settle(member, owned=3)
    assert member.commit({partition: Place(5, "before")}) == ""
    assert admin.committed(unique) == {partition: Place(5, "before")}
    maker.cluster.coordinator(unique).kill()
    awaited(lambda: told(member, partition, Place(5, "before")), 6 * CALL_S)
    awaited(lambda: committed(member, partition, 6), 6 * CALL_S)
    settle(member, owned=3)
    assert admin.committed(unique) == {partition: Place(6)}
    assert list(admin.members(unique).values()) == [frozenset(member.owned)]


def test_a_position_is_told_though_another_broker_has_just_become_the_coordinator(maker: Maker, unique: str) -> None:
    """The one that is asked is alive, and says that it isn't it any more: the answer comes from the other, in the same call."""
    maker.topic(unique)
    partition, cluster = Partition(unique, 0), maker.cluster
    member = Member(maker.group(unique, unique))
    settle(member, owned=1)
    assert member.commit({partition: Place(5, "before")}) == ""
    cluster.give_back(unique)
    meant = cluster.coordinator(unique)
    meant.kill()
    awaited(lambda: cluster.coordinator(unique) is not meant)
    meant.start()
    cluster.await_in_sync()
    awaited(lambda: told(member, partition, Place(5, "before")), 6 * CALL_S)
    cluster.give_back(unique)
    assert member.group.committed(partition) == Place(5, "before")

    def given_back() -> bool:
        cluster.give_back(unique)
        return cluster.coordinator(unique) is meant

    awaited(given_back)
