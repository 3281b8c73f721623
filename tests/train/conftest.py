"""Torch and what runs in it, for the tests here."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.train import environment

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def python() -> Path:
    """Return a Python with torch, snnTorch and Norse."""
    return environment.ready()
