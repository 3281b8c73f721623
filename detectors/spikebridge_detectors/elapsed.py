"""Time as a device's packets tell it: it never falls, and no gap counts for more than a day."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

SECOND_NS = 1_000_000_000
DAY_NS = 86_400 * SECOND_NS
MOST_TIME_NS = (1 << 63) - 1
PIECE = 1 << 16
"""So many gaps of a day each still fit 64 bits."""

UNKNOWN_NS = 1 << 62


def gaps(time_ns: NDArray[np.int64], before: int | None) -> NDArray[np.int64]:
    """Return the gap before each time: 0 where time falls, `UNKNOWN_NS` at most, and just that where nothing came before."""
    if not time_ns.size:
        return time_ns.copy()
    first = UNKNOWN_NS if before is None else int(_apart(time_ns[:1], np.array([before]))[0])
    return np.concatenate((np.array([first]), _apart(time_ns[1:], time_ns[:-1])))


def _apart(later: NDArray[np.int64], earlier: NDArray[np.int64]) -> NDArray[np.int64]:
    apart = later - earlier
    apart[(later >= earlier) & ((apart < 0) | (apart > UNKNOWN_NS))] = UNKNOWN_NS  # the difference didn't fit 64 bits
    return np.where(later >= earlier, apart, 0)


def elapsed(time_ns: NDArray[np.int64], before: int | None) -> NDArray[np.int64]:
    """Return the nanoseconds since `before`, or since the first time, at each of at most `PIECE` times."""
    steps = np.minimum(gaps(time_ns, before), DAY_NS)
    if before is None:
        steps[:1] = 0
    return np.cumsum(steps)
