"""
The service on three brokers and Elasticsearch, killed, frozen and robbed of brokers: nothing is lost, twice, foreign or different.

What must come out is computed from the records in the spike log, at their real append times. `python -m tests.live.kills` runs a trial by hand.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest
from tests.live.kills.run import Plan, run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.live.kills.verdict import Verdict
    from tests.live.servers.elasticsearch import Elasticsearch
    from tests.live.servers.kafka import Cluster

    Judge = Callable[[Plan], Verdict]

FULL_S = 3_600


@pytest.fixture
def judged(tmp_path: Path, kafka3: Cluster, elasticsearch: Elasticsearch) -> Judge:
    """Carry out a plan on the shared servers, tell its course on standard output, and return the verdict."""

    def say(text: str) -> None:
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()

    return lambda plan: run(plan, tmp_path, kafka3, elasticsearch, say)


@pytest.mark.live
@pytest.mark.timeout(1_800)
def test_kafka_python_comes_through_20_kills_and_5_dead_brokers(judged: Judge) -> None:
    """Deaths at every named point and at any time, two stops of 12 s, two reloads, each with alerts under way."""
    found = judged(Plan("kafka-python", kills=20, brokers=5, freezes=2))
    assert found.problems == []
    assert found.alerts >= 4_000


@pytest.mark.live
@pytest.mark.timeout(1_200)
def test_confluent_comes_through_5_kills(judged: Judge) -> None:
    """And a dead broker, and a stop of 12 s."""
    found = judged(Plan("confluent", kills=5, brokers=1, freezes=1, reloads=1))
    assert found.problems == []
    assert found.alerts >= 1_000


@pytest.mark.live_full
@pytest.mark.timeout(FULL_S)
def test_a_position_committed_before_its_alerts_is_found_out(judged: Judge) -> None:
    """The trial sees that alerts are missing, everywhere the same."""
    found = judged(Plan("confluent", kills=4, reloads=0, sabotage="late-alerts"))
    assert found.counts["alert topic"]["missing"] > 0
    assert found.counts["Elasticsearch"]["missing"] == found.counts["HEC"]["missing"] == found.counts["alert topic"]["missing"]


@pytest.mark.live_full
@pytest.mark.timeout(FULL_S)
def test_a_takeover_without_replay_is_found_out(judged: Judge) -> None:
    """The trial sees that alerts are missing or foreign, and that others say what the records don't."""
    found = judged(Plan("confluent", kills=4, reloads=0, sabotage="no-replay"))
    assert found.wrong("alert topic") > 0
    assert found.counts["alert topic"]["unlike the reference"] > 0
    assert found.wrong("Elasticsearch") > 0


@pytest.mark.live_full
@pytest.mark.timeout(FULL_S)
def test_kafka_python_comes_through_100_kills(judged: Judge) -> None:
    """With 8 dead brokers and 8 stops of 12 s, half of them while the other instance joins."""
    found = judged(Plan("kafka-python", kills=100, brokers=8, freezes=8))
    assert found.problems == []
    assert found.alerts >= 20_000


@pytest.mark.live_full
@pytest.mark.timeout(FULL_S)
def test_kafka_python_with_static_names_comes_through_20_kills(judged: Judge) -> None:
    """A restart within the session gets its partitions back."""
    assert judged(Plan("kafka-python", kills=20, brokers=2, freezes=2, static=True)).problems == []


@pytest.mark.live_full
@pytest.mark.timeout(FULL_S)
def test_confluent_comes_through_20_kills(judged: Judge) -> None:
    """With dead brokers and stops."""
    assert judged(Plan("confluent", kills=20, brokers=4, freezes=4)).problems == []


@pytest.mark.live_full
@pytest.mark.timeout(FULL_S)
@pytest.mark.parametrize("client", ["kafka-python", "confluent"])
def test_a_rebalance_every_5_s_for_2_minutes_changes_nothing(judged: Judge, client: str) -> None:
    """A third instance joins and leaves all the time."""
    assert judged(Plan(client, kills=2, churn_s=120)).problems == []
