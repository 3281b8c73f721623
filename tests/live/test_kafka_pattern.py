"""A log's pattern on a real broker, by both clients: what the service writes is in no subscription, and in no comparison."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from tests.live.kafka_makers import LIBRARIES, Maker, Member, settle

from spikebridge.kafka.client import Partition
from spikebridge.logs.kafka import Settings
from spikebridge.logs.kafka.checked import spike_topics
from spikebridge.sinks.kafka import Settings as KafkaSink

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.live.servers.kafka import Cluster

pytestmark = pytest.mark.live


@pytest.fixture(params=LIBRARIES)
def maker(request: pytest.FixtureRequest, kafka: Cluster) -> Iterator[Maker]:
    """Each library in turn."""
    with Maker(kafka, request.param) as maker:
        yield maker


def test_a_pattern_takes_nothing_that_a_service_writes(maker: Maker, unique: str) -> None:
    """Neither at the start nor where it is made later, though all of it matches."""
    tenant = unique.replace("-", "_")
    servers = maker.cluster.bootstrap("PLAINTEXT").split(",")
    names = {kind: f"{unique}.{kind}" for kind in ("alerts", "revisions", "dead_letters")}
    log: dict[str, Any] = {"servers": servers, "pattern": rf"{unique}.*|spikebridge-.*-{tenant}|__.*", **names}
    sink = KafkaSink.model_validate({"servers": servers, "topic": f"{unique}.out"})
    settings = Settings.model_validate(log).apart("default", [sink])
    for name in (f"{unique}-a", names["alerts"], names["revisions"], f"{unique}.out", f"spikebridge-dead-letters-{tenant}"):
        maker.topic(name)
    member = Member(maker.group(unique, pattern=settings.matching))
    settle(member, owned=1)
    assert member.owned == {Partition(f"{unique}-a", 0)}
    for name in (names["dead_letters"], f"spikebridge-alerts-{tenant}", f"{unique}-b"):
        maker.topic(name)
    settle(member, owned=2)
    assert member.owned == {Partition(f"{unique}-{name}", 0) for name in "ab"}
    assert spike_topics(settings, maker.admin()) == [f"{unique}-a", f"{unique}-b"]
