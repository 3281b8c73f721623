"""
The real servers as fixtures: started when a test first asks for one, stopped at the end, in directories of pytest's.

Tests share them, so each keeps to topics and indices of its own (`unique`); one that breaks a server starts one for itself.
"""

from __future__ import annotations

import gc
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.live.running import Site
from tests.live.search_fixtures import (  # noqa: F401  pytest finds fixtures by their names here
    elasticsearch,
    elasticsearch8,
    elasticsearch_secured,
    opensearch,
    opensearch_secured,
    unique,
)
from tests.live.servers.kafka import Cluster
from tests.live.servers.missing import needed

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Apache Kafka, one broker."""
    with needed(), Cluster(tmp_path_factory.mktemp("kafka")) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def kafka3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Apache Kafka, three brokers, for a module that kills them; a test leaves them alive and in sync."""
    with needed(), Cluster(tmp_path_factory.mktemp("kafka3"), nodes=3) as cluster:
        yield cluster


@pytest.fixture(
    params=[
        pytest.param("kafka-python", marks=pytest.mark.live),
        pytest.param("confluent", marks=pytest.mark.live_full),
    ]
)
def library(request: pytest.FixtureRequest) -> str:
    """Name the Kafka library of a test that runs with each; it is marked by this, and by nothing else."""
    return str(request.param)


@pytest.fixture
def site(kafka: Cluster, tmp_path: Path, library: str) -> Iterator[Site]:
    """Topics of this test alone, for instances with each library in turn."""
    with Site(kafka, tmp_path, library=library) as site:
        yield site


@pytest.fixture(autouse=True)
def _what_kafka_python_leaves_open() -> Iterator[None]:
    """Collect, while nobody minds, the sockets that kafka-python 3.0 doesn't close when a broker refuses it."""
    yield
    gc.collect()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let sockets be collected without a word in these tests alone; elsewhere such a warning is an error."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.filterwarnings("ignore:unclosed <(socket|ssl):ResourceWarning"))
