"""Properties of which one example costs much: few in `make test`, many in `make test-long`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, TypeVar

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from collections.abc import Callable

SEARCH = 2_000
LONG = 500 if "CI" in os.environ else SEARCH
"""Examples of a property in `make test-long`. In CI they are the same each time, and what they could find was found when they were new."""

Test = TypeVar("Test", bound="Callable[..., None]")


def fuzz(few: int, many: int) -> Callable[[Test], Test]:
    """Try so many examples in each; both are chosen by the test's own cost, the profile only says which of them holds."""
    count = many * LONG // SEARCH if settings.get_current_profile_name() == "long" else few

    def marked(test: Test) -> Test:
        both: Test = pytest.mark.fuzz(settings(max_examples=count)(test))
        return both

    return marked
