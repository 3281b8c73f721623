"""
The search servers as fixtures, started when a test first asks for one, and shared by the session.

Tests keep to indices and templates of their own (`unique`), and give settings that they change back.
One that stops or reconfigures a server starts its own: `with Elasticsearch(NEWEST, {"thread_pool.write.queue_size": 1}) as server`.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import pytest
from tests.live.servers import elasticsearch as elastic
from tests.live.servers import opensearch as open_search
from tests.live.servers.elasticsearch import Elasticsearch
from tests.live.servers.missing import needed
from tests.live.servers.opensearch import OpenSearch

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def elasticsearch() -> Iterator[Elasticsearch]:
    """Elasticsearch 9 over plain HTTP, for everyone."""
    with needed(), Elasticsearch(elastic.NEWEST) as server:
        yield server


@pytest.fixture(scope="session")
def elasticsearch_secured() -> Iterator[Elasticsearch]:
    """Elasticsearch 9 with TLS, users and API keys."""
    with needed(), Elasticsearch(elastic.NEWEST, secured=True) as server:
        yield server


@pytest.fixture(scope="session")
def elasticsearch8() -> Iterator[Elasticsearch]:
    """Elasticsearch 8 over plain HTTP, for everyone."""
    with needed(), Elasticsearch(elastic.OLDER) as server:
        yield server


@pytest.fixture(scope="session")
def opensearch() -> Iterator[OpenSearch]:
    """OpenSearch 3.8 over plain HTTP, for everyone."""
    with needed(), OpenSearch(open_search.NEWEST) as server:
        yield server


@pytest.fixture(scope="session")
def opensearch_secured() -> Iterator[OpenSearch]:
    """OpenSearch 3.4 with TLS, users and roles."""
    with needed(), OpenSearch(open_search.WITH_SECURITY, secured=True) as server:
        yield server


@pytest.fixture
def unique() -> str:
    """Return a name that no other test uses, for an index, a template, a tenant."""
    return f"test-{secrets.token_hex(6)}"
