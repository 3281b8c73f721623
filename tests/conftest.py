"""Settings that every test shares: how hard hypothesis looks."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

# Deadlines would measure the machine. Too slow data is a question of `make test-long`, not of one example.
_COMMON = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])

# The same examples each time, so that what turns red is the change. To search for new ones: `make test-long` outside of CI.
settings.register_profile("short", _COMMON, max_examples=100, derandomize=True)
settings.register_profile("long", _COMMON, max_examples=2_000, derandomize="CI" in os.environ)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "short"))
