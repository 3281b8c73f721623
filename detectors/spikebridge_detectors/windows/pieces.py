"""Windows over samples that come in pieces of any size: those that the next windows have too are carried."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from spikebridge_detectors.windows import detector

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from spikebridge_detectors.alarm import Alarm
    from spikebridge_detectors.windows.detector import Learned

    Measure = Callable[[NDArray[Any]], NDArray[np.float64]]
    """Makes the windows [window, column] of rows [sample, ...]."""


@dataclass(slots=True)
class Carried:
    """The rows that belong to the next windows too, and their times."""

    time_ns: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    rows: NDArray[Any] | None = None


def advance(
    learned: Learned, carried: Carried, time_ns: NDArray[np.int64], rows: NDArray[Any], measured: Measure, cut: tuple[int, int]
) -> list[Alarm]:
    """Return the alarms in a piece of one device's rows, each at the end of its window; `cut` is a window's length, and one `every` so many."""
    length, every = cut
    if carried.rows is not None:
        rows = np.concatenate((carried.rows, rows))
    time_ns = np.concatenate((carried.time_ns, time_ns))
    found = measured(rows)
    over = len(found) * every
    carried.rows, carried.time_ns = rows[over:].copy(), time_ns[over:].copy()
    return detector.scan(learned, found, time_ns[length - 1 :: every])
