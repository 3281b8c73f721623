"""The contract of sinks with real servers behind them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.contract.sink_contract import Place, SinkContract
from tests.live.places import PLACES

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.live


class TestOnServers(SinkContract):
    """What needs a server."""

    @pytest.fixture(params=sorted(PLACES))
    def kind(self, request: pytest.FixtureRequest) -> str:
        """One kind after the other."""
        return str(request.param)

    @pytest.fixture
    def place(self, kind: str, request: pytest.FixtureRequest) -> Iterator[Place]:
        """Give it its server."""
        with PLACES[kind](request) as place:
            yield place
