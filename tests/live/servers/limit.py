"""What is fetched, built or started has a limit of its own, and doesn't count against that of the test which is the first to need it."""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

FETCH_S = 3_600.0
"""For programs that aren't in the cache, built or not, over a slow line and on a busy machine."""


@contextmanager
def own_limit(limit_s: float) -> Iterator[None]:
    """Put the test's end, which is pytest-timeout's alarm, off by `limit_s`, and then back to what was left; nothing in other threads."""
    left_s = signal.getitimer(signal.ITIMER_REAL)[0]
    if not left_s or threading.current_thread() is not threading.main_thread():
        yield
        return
    signal.setitimer(signal.ITIMER_REAL, left_s + limit_s)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, left_s)
