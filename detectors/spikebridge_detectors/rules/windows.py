"""Counting in windows of fixed length."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(slots=True)
class Count:
    """How many events the last window had so far."""

    window: int = -1
    events: int = 0

    def advance(self, window: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the how manieth of its window each event is; `window` never falls."""
        if not window.size:
            return window
        first, _, lengths = runs(window)
        number = np.arange(1, len(window) + 1) - np.repeat(first, lengths)
        if int(window[0]) == self.window:
            number[: lengths[0]] += self.events
        self.window, self.events = int(window[-1]), int(number[-1])
        return number


def runs(window: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return where each window begins among its events, its number, and how many events it has."""
    first = np.flatnonzero(np.diff(window, prepend=window[:1] - 1))
    return first, window[first], np.diff(first, append=len(window))
