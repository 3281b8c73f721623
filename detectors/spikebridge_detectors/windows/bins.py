"""Population code of windows: each column of numbers has twelve lines, of which the one whose stretch holds the number is active."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from spikebridge_detectors.errors import ModelError

if TYPE_CHECKING:
    from numpy.typing import NDArray

BINS = 12
FAR = (0, BINS - 1)
"""The lines of what lies beyond all that was learned from, by a quarter of its range."""

MOST_COLUMNS = 64
_BEYOND = 0.25
_QUANTILES = (0.01, *(part / 8 for part in range(1, 8)), 0.99)


def learn_edges(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return where each line but the first begins, [edge, column], from windows [window, column]: eighths, a hundredth at each end, and far."""
    if values.ndim != 2 or not 0 < values.shape[1] <= MOST_COLUMNS or not len(values):  # noqa: PLR2004  a table
        raise ModelError(f"training: expected windows of 1 to {MOST_COLUMNS} columns, found {values.shape}")
    if not np.isfinite(values).all():
        raise ModelError("training: expected finite numbers, found others")
    low, high = values.min(axis=0), values.max(axis=0)
    beyond = _BEYOND * (high - low)
    return np.vstack((low - beyond, np.quantile(values, _QUANTILES, axis=0), np.nextafter(high + beyond, np.inf)))


def encode(edges: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the active line of each column, [window, column]; NaN and infinity are in the line at the end that they lie beyond."""
    if values.shape[1:] != edges.shape[1:]:
        raise ModelError(f"expected windows of {edges.shape[1]} columns, found {values.shape}")
    lines = np.empty(values.shape, np.int64)
    for column in range(values.shape[1]):
        lines[:, column] = np.searchsorted(edges[:, column], values[:, column], side="right")
    return lines
