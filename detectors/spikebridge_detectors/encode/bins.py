"""Bins: one line for each stretch of values, spaced by ratio."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from spikebridge_detectors.encode.signal import MOST_LINES, bounded, by_sample, expect, samples

if TYPE_CHECKING:
    from numpy.typing import NDArray

_LEAST_LINES = 3


class Bins(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    `count` lines: the first is what lies below `low`, the last what is `high` or above, the others share the rest in equal ratios.

    One spike a value at most. NaN has none.
    """

    low: float
    high: float
    count: int

    def __post_init__(self) -> None:
        """Refuse what has no ratio."""
        expect("bins: count", f"{_LEAST_LINES} to {MOST_LINES}", self.count, fits=_LEAST_LINES <= self.count <= MOST_LINES)
        expect("bins: low", "a finite number above 0", self.low, fits=0 < self.low < math.inf)
        expect("bins: high", f"a finite number above low ({self.low})", self.high, fits=self.low < self.high < math.inf)
        expect(
            "bins: high",
            f"room for {self.count} bins above low ({self.low})",
            self.high,
            fits=bool((np.diff(self.edges) > 0).all()),
        )

    @property
    def lines(self) -> int:
        """Return how many lines there are."""
        return self.count

    @property
    def edges(self) -> NDArray[np.float64]:
        """Return where each line but the first begins."""
        return np.geomspace(self.low, self.high, self.count - 1)

    def spikes(self, values: NDArray[Any]) -> NDArray[np.bool_]:
        """Return the spikes of values, a step for each."""
        bounded("bins", values, self.count)
        signal = np.asarray(values, np.float64)
        line = np.where(np.isnan(signal), -1, np.searchsorted(self.edges, signal, side="right"))
        return by_sample(line[..., np.newaxis] == np.arange(self.count))

    def values(self, spikes: NDArray[np.bool_]) -> NDArray[np.float64]:
        """
        Return values to within a factor of (high / low) ** (1 / (count - 2) / 2); NaN without a spike.

        The first line tells only that a value was below `low`, the last that it was `high` or above.
        """
        line = samples("bins", spikes, self.count)
        edges = self.edges
        middle = np.concatenate(([self.low], np.sqrt(edges[:-1]) * np.sqrt(edges[1:]), [self.high]))
        return np.where(line.any(axis=-1), middle[line.argmax(axis=-1)], np.nan)
