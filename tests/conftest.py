"""What every test shares: how hard hypothesis looks, that Ctrl-C is heard, and a log that no test before has turned elsewhere."""

from __future__ import annotations

import logging
import os
import signal
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings
from tests.fuzzing import LONG

if TYPE_CHECKING:
    from collections.abc import Iterator

# Deadlines would measure the machine. Too slow data is a question of `make test-long`, not of one example.
_COMMON = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])

# The same examples each time, so that what turns red is the change. To search for new ones: `make test-long` outside of CI.
settings.register_profile("short", _COMMON, max_examples=100, derandomize=True)
settings.register_profile("glance", _COMMON, max_examples=10, derandomize=True)
settings.register_profile("long", _COMMON, max_examples=LONG, derandomize="CI" in os.environ)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "short"))

# Whoever was begun in the background by a script ignores Ctrl-C, and so would the processes that tests interrupt.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _log_as_it_was() -> Iterator[None]:
    """Put the log back where it was: `run` in a test's own process turns it to standard error, and from those who listen later."""
    logger = logging.getLogger("spikebridge")
    before = logger.handlers, logger.propagate, logger.level
    yield
    logger.handlers, logger.propagate = before[0], before[1]
    logger.setLevel(before[2])
