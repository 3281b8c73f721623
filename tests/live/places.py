"""Where the sinks that need a server are held to the contract of all sinks; nothing is started before a test asks for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.live.kafka_places import kafka_place
from tests.live.search_places import search_place

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    import pytest
    from tests.contract.sink_contract import Place

PLACES: dict[str, Callable[[pytest.FixtureRequest], AbstractContextManager[Place]]] = {
    "elasticsearch": search_place("elasticsearch"),
    "kafka": kafka_place,
    "opensearch": search_place("opensearch"),
}
"""By the sink's name in the registry; the servers are fixtures that a place asks its request for."""
