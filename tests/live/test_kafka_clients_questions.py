"""Both Kafka clients are answered while any one of three brokers is dead, and once the cluster knows of it at next to no cost."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest
from tests.live.kafka_makers import LIBRARIES, Maker, awaited

from spikebridge.errors import LogUnavailable
from spikebridge.kafka.client import CALL_S, Partition

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.live.servers.kafka import Cluster

    from spikebridge.kafka.client import Admin, Reader

pytestmark = pytest.mark.live

ROUNDS = 4
PAUSE_S = 1.0


def answered(question: Callable[[], object]) -> bool:
    """Ask once; while the brokers haven't noticed that one is dead nobody may know."""
    try:
        question()
    except LogUnavailable:
        return False
    return True


def awaited_absent(maker: Maker) -> None:
    """Wait until the other two name it no more: until then each may say that it is to be asked, and librdkafka waits by connecting."""
    admin = maker.admin()
    awaited(lambda: admin.brokers() == len(maker.cluster.brokers) - 1)


def questions(reader: Reader, admin: Admin, topic: str) -> list[Callable[[], object]]:
    """
    Return what the stages ask all the time, and at a start.

    Positions and members of groups are not among them: librdkafka aborts the process when a broker dies over such a question.
    """
    return [
        lambda: reader.topic_id(topic),
        lambda: reader.bounds(Partition(topic, 0)),
        lambda: reader.offset_at(Partition(topic, 1), 0),
        lambda: admin.describe([topic]),
    ]


@pytest.mark.timeout(400)
@pytest.mark.parametrize("library", LIBRARIES)
def test_questions_are_answered_without_any_one_broker(kafka3: Cluster, library: str, unique: str) -> None:
    """Also without the one that answered until then: within the time of two calls; where it is known to be dead, at once and at little cost."""
    with Maker(kafka3, library) as maker:
        maker.topic(unique, 3)
        asked = questions(maker.reader(), maker.admin(), unique)
        for question in asked:
            question()
        for broker in kafka3.brokers:
            broker.kill()
            for question in asked:
                awaited(lambda question=question: answered(question), 2 * CALL_S)  # type: ignore[misc]
            awaited_absent(maker)
            for question in asked:
                question()
            cpu_s, took_s = sum(os.times()[:2]), 0.0
            for _ in range(ROUNDS):
                took_s -= time.monotonic()
                for question in asked:
                    question()
                took_s += time.monotonic()
                time.sleep(PAUSE_S)
            cpu_s = sum(os.times()[:2]) - cpu_s
            assert took_s < CALL_S, "a question waited for the dead broker"
            assert cpu_s < 0.5 * (ROUNDS * PAUSE_S + took_s), "a client never rests"
            broker.start()
            kafka3.await_in_sync()
