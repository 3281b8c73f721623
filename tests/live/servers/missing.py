"""What a machine lacks is a reason to skip a live test where its user works, and a failure where nobody would notice: in CI."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator


class Missing(Exception):  # noqa: N818  nothing went wrong: this machine can't run it
    """A server can't be started here; the text says what is missing and what to do."""


@contextmanager
def needed() -> Iterator[None]:
    """Turn `Missing` into a skip with its reason, and into a failure when `CI` is set."""
    try:
        yield
    except Missing as missing:
        if os.environ.get("CI"):
            pytest.fail(f"a live test can't run, and in CI none may be skipped: {missing}", pytrace=False)
        pytest.skip(str(missing))
