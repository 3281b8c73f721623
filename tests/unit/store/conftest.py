"""A store of its own for each test."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from spikebridge.database import Database, Schema
from spikebridge.store import Store
from spikebridge.store.schema import FAULTS, SCHEMA

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """Open a new store."""
    with Store(tmp_path) as opened:
        yield opened


@pytest.fixture
def older(tmp_path: Path) -> Callable[[int, str], None]:
    """Make a store as an older version left it, with one row in it."""

    def make(version: int, row: str) -> None:
        schema = Schema(SCHEMA.what, SCHEMA.application_id, SCHEMA.steps[:version])
        with closing(Database(tmp_path / "store.db", schema, FAULTS)) as database, database.transaction() as connection:
            connection.execute(row)

    return make
