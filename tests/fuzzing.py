"""Properties of which one example costs much: few in `make test`, many in `make test-long`."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from collections.abc import Callable

Test = TypeVar("Test", bound="Callable[..., None]")


def fuzz(few: int, many: int) -> Callable[[Test], Test]:
    """Try so many examples in each; both are chosen by the test's own cost, the profile only says which of them holds."""
    count = many if settings.get_current_profile_name() == "long" else few

    def marked(test: Test) -> Test:
        both: Test = pytest.mark.fuzz(settings(max_examples=count)(test))
        return both

    return marked
