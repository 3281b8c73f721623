"""Rate: the higher a value, the more spikes, spread evenly over a window of steps."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from spikebridge_detectors.encode.signal import bounded, by_window, expect, windows

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MOST_STEPS = 4096


class Rate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    One line; each value becomes `steps` steps, of which none has a spike at `low` or below, and all have at `high` or above.

    At most `steps` spikes a value. NaN has none.
    """

    low: float
    high: float
    steps: int

    def __post_init__(self) -> None:
        """Refuse a range that isn't one."""
        expect("rate: steps", f"1 to {_MOST_STEPS}", self.steps, fits=1 <= self.steps <= _MOST_STEPS)
        expect("rate: high", f"a finite distance above low ({self.low})", self.high, fits=0 < self.high - self.low < math.inf)

    @property
    def lines(self) -> int:
        """Return how many lines there are."""
        return 1

    def spikes(self, values: NDArray[Any]) -> NDArray[np.bool_]:
        """Return the spikes of values, `steps` steps for each."""
        bounded("rate", values, self.steps)
        inside = np.clip(np.nan_to_num(np.asarray(values, np.float64), nan=self.low), self.low, self.high)
        count = np.rint((inside - self.low) / (self.high - self.low) * self.steps).astype(np.int64)[..., np.newaxis]
        due = np.arange(self.steps + 1) * count // self.steps
        return by_window(due[..., 1:] > due[..., :-1])

    def values(self, spikes: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Return the values that spikes came from, to within half a spike: (high - low) / steps / 2 for those in the range."""
        count = windows("rate", spikes, self.steps).sum(axis=-1)
        found: NDArray[np.float64] = self.low + (self.high - self.low) * (count / self.steps)
        return found
