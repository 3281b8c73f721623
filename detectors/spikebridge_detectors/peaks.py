"""The highest of what days of training held, each occasion once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

APART_SECONDS = 1800
"""What is no further from a higher value belongs to its occasion."""


def peaks(second: NDArray[np.int64], value: NDArray[np.float64], most: int) -> list[float]:
    """Return so many of the highest values above 0, falling, none within half an hour of a higher one."""
    found: list[float] = []
    while len(found) < most and value.size and value.max() > 0:
        top = int(value.argmax())
        found.append(float(value[top]))
        apart = np.abs(second - second[top]) > APART_SECONDS
        second, value = second[apart], value[apart]
    return found
