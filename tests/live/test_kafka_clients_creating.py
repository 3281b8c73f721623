"""Neither Kafka client has a topic made by asking for it, also where a broker would make it."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from tests.live.kafka_makers import LIBRARIES, Maker, Member, messages
from tests.live.servers.kafka import Cluster
from tests.live.servers.missing import needed

from spikebridge.errors import LogMissing, LogUnavailable
from spikebridge.kafka.client import Partition

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.live

JOINED_S = 3.0


@pytest.fixture(scope="module")
def generous(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Start a broker that makes topics unasked."""
    with needed(), Cluster(tmp_path_factory.mktemp("generous"), auto_create=True) as cluster:
        yield cluster


def joined(maker: Maker, topic: str) -> None:
    """Belong to a group for a topic for a while."""
    member = Member(maker.group(topic, topic))
    end = time.monotonic() + JOINED_S
    while time.monotonic() < end:
        with suppress(LogMissing, LogUnavailable):
            member.poll()
        time.sleep(0.05)


def polled(maker: Maker, topic: str) -> None:
    """Read a topic for a while."""
    reader = maker.reader()
    reader.follow(Partition(topic, 0), 0)
    end = time.monotonic() + JOINED_S
    while time.monotonic() < end:
        with suppress(LogMissing, LogUnavailable):
            reader.poll(0.2)


QUESTIONS: dict[str, Callable[[Maker, str], object]] = {
    "bounds": lambda maker, topic: maker.reader().bounds(Partition(topic, 0)),
    "offset at": lambda maker, topic: maker.reader().offset_at(Partition(topic, 0), 0),
    "read": lambda maker, topic: maker.reader().read(Partition(topic, 0), [0]),
    "id": lambda maker, topic: maker.reader().topic_id(topic),
    "describe": lambda maker, topic: maker.admin().describe([topic]),
    "allowed": lambda maker, topic: maker.admin().allowed([topic]),
    "append": lambda maker, topic: maker.producer().append(messages(topic, [b"one"])),
    "group": joined,
    "poll": polled,
}


@pytest.mark.parametrize("question", QUESTIONS)
@pytest.mark.parametrize("library", LIBRARIES)
def test_a_topic_that_is_not_there_is_not_made_by_asking(generous: Cluster, library: str, unique: str, question: str) -> None:
    """Made so it would have the broker's defaults: one partition, and times by the writers' clocks."""
    with Maker(generous, library) as maker:
        with suppress(LogMissing):
            QUESTIONS[question](maker, unique)
        assert unique not in maker.admin().topics()
