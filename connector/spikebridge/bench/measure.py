"""How a case is measured: best of several repeats after a warm-up, in one process, on one core."""

from __future__ import annotations

import os
import platform
import resource
import time
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One figure. `ratio` is to the named peer in the same run; `must` and `aim` are the targets, in the same unit."""

    name: str
    value: float
    unit: str
    must: float | None = None
    aim: float | None = None
    peer: str = ""
    ratio: float | None = None
    conditions: dict[str, Any] = {}


def seconds(work: Callable[[], object], repeats: int) -> float:
    """Return the best time of several repeats, the first of which only warms up."""
    best = float("inf")
    for _ in range(repeats + 1):
        started = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - started)
    return best


def resident_mb() -> float:
    """Return what this process holds in memory now."""
    with open("/proc/self/statm", encoding="ascii") as statm:  # noqa: PTH123 -- not a file of anybody's
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def peak_mb() -> float:
    """Return the most that this process has held so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def machine() -> dict[str, Any]:
    """Describe the machine, so that a figure can be read."""
    model = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as info:  # noqa: PTH123 -- not a file of anybody's
            model = next(line.split(":", 1)[1].strip() for line in info if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    return {"cpu": model, "cores": os.cpu_count(), "python": platform.python_version(), "system": platform.system()}
