"""Three rhythms of the same device that only order and pace tell apart: short and long gaps by turns, four of each, and an even pace."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from spikebridge_detectors.encode.bins import Bins
from spikebridge_detectors.raster import pack
from spikebridge_detectors.train.gradients.plan import QUIET, Examples

if TYPE_CHECKING:
    from numpy.typing import NDArray

ARRIVALS, FLUSH = 28, 4
ENCODER = Bins(low=0.25, high=4, count=6)
BY_TURNS, FOUR_OF_EACH = 0, 1


def examples(count: int, seed: int) -> Examples:
    """Return windows of arrivals, each gap off by a fifth, silent steps behind them."""
    luck = np.random.default_rng(seed)
    labels = luck.integers(QUIET, 2, count).astype(np.int16)
    signal = np.concatenate([ENCODER.spikes(_gaps(labels, luck)), np.zeros((FLUSH, count, ENCODER.lines), np.bool_)])
    return Examples(words=pack(signal), labels=labels)


def _gaps(labels: NDArray[np.int16], luck: np.random.Generator) -> NDArray[np.float64]:
    at = np.arange(ARRIVALS) + luck.integers(0, 8, (len(labels), 1))
    kind = labels[:, None]
    short = np.where(kind == BY_TURNS, at % 2 == 0, at // 4 % 2 == 0)
    gaps = np.where(kind == QUIET, 1.0, np.where(short, 0.5, 2.0))
    return gaps * np.exp(luck.normal(0, 0.2, gaps.shape))
