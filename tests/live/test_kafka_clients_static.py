"""A member with a name that dies while it hands partitions over, and comes back under its name, leaves none without an owner."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

import pytest
from tests.live.kafka_makers import Maker, Member, awaited, settle
from tests.live.kills.instances import ROOT
from tests.live.servers.process import Server

from spikebridge.kafka.connection import Connection, Membership, connect

if TYPE_CHECKING:
    from pathlib import Path

    from tests.live.servers.kafka import Cluster

pytestmark = pytest.mark.live

PARTITIONS = 12
SESSION_S = 60
"""So long the first is still a member after its death: it comes back within it, also where a process takes its time to begin."""


@pytest.mark.parametrize(
    "library",
    [
        "kafka-python",
        pytest.param(
            "confluent",
            marks=pytest.mark.xfail(
                strict=True,
                reason="librdkafka has no call by which a member joins anew, so its names are not safe",
            ),
        ),
    ],
)
def test_no_partition_is_left_without_an_owner(kafka: Cluster, library: str, unique: str, tmp_path: Path) -> None:
    """
    It owned all, heard nothing more, and died with the new distribution in its hands.

    The broker gives it back its share of that without a word to the others: what it was to hand over would be nobody's.
    """
    with Maker(kafka, library) as maker:
        maker.topic(unique, PARTITIONS)
        first = Server(
            "first", [sys.executable, __file__, library, kafka.bootstrap(), unique], tmp_path, env={"PYTHONPATH": str(ROOT)}
        )
        first.start(lambda: "owns all" in first.tail())
        second = Member(maker.group(unique, unique, instance="second", session=f"{SESSION_S}s"))
        admin = maker.admin()
        awaited(lambda: (second.poll(), 0 < len(admin.members(unique).get("first", ())) < PARTITIONS)[1])
        assert not second.owned
        first.kill()
        again = Member(maker.group(unique, unique, instance="first", session=f"{SESSION_S}s"))
        settle(again, second, owned=PARTITIONS)


def own_all(library: str, servers: str, topic: str) -> None:
    """Join until everything is ours, and do nothing more."""
    connection = Connection.model_validate({"servers": servers.split(","), "client": library})
    membership = Membership.model_validate({"instance": "first", "session": f"{SESSION_S}s"})
    group = connect(connection, membership).group(topic, [topic])
    owned: set[object] = set()
    while len(owned) < PARTITIONS:
        owned |= group.poll().given
        time.sleep(0.02)
    sys.stdout.write("owns all\n")
    sys.stdout.flush()
    time.sleep(600)


if __name__ == "__main__":
    own_all(*sys.argv[1:])
