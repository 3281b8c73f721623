"""
Layer 2: two neurons count the spikes of a window, one those of columns alone, one those of columns together.

Each fires above its threshold. A spike for a line that is far from all that was learned counts eight, to the neuron of columns alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from spikebridge_detectors.errors import ModelError
from spikebridge_detectors.lif import Layer, Reset
from spikebridge_detectors.windows.bins import BINS, FAR
from spikebridge_detectors.windows.surprise import FORGETS, STEPS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from spikebridge_detectors.windows.habits import Pairs

NEURONS = ("alone", "together")
_HIGHEST = (1 << 17) - 1
_LEAST_SPREAD = 1.0
FAR_COUNTS = 8


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Of both neurons: spikes that a normal window has, their deviation, and how many deviations are too many."""

    mean: tuple[float, float]
    spread: tuple[float, float]
    most: float

    @property
    def vth(self) -> tuple[int, ...]:
        """Return how many spikes each neuron counts without firing."""
        found = [mean + self.most * spread for mean, spread in zip(self.mean, self.spread, strict=True)]
        if not all(-1 < vth < _HIGHEST + 1 for vth in found):
            raise ModelError(f"thresholds: expected 0 to {_HIGHEST} spikes, found {found}")
        return tuple(map(int, found))


def counted(pairs: Pairs, lines: NDArray[np.int64], fired: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return what both neurons count in a window, [window, neuron]."""
    alone = fired[:, : pairs.alone] * np.where(np.isin(lines, FAR), FAR_COUNTS, 1)
    return np.stack([alone.sum(axis=1), fired[:, pairs.alone :].sum(axis=1)], axis=1)


def calibrated(counts: NDArray[np.int64], share: float) -> Thresholds:
    """Return the thresholds at which at most so large a share of normal windows would be told."""
    mean, spread = counts.mean(axis=0), np.maximum(counts.std(axis=0), _LEAST_SPREAD)
    larger = np.sort(((counts - mean) / spread).max(axis=1))
    most = float(larger[-1 - int(share * len(larger))])
    return Thresholds((float(mean[0]), float(mean[1])), (float(spread[0]), float(spread[1])), most)


def scores(thresholds: Thresholds, counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the larger of both neurons' deviations for each window."""
    found: NDArray[np.float64] = ((counts - np.array(thresholds.mean)) / np.array(thresholds.spread)).max(axis=1)
    return found


def told(thresholds: Thresholds, counts: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return whether each neuron fires in a window, [window, neuron]."""
    return counts > np.array(thresholds.vth)


def layers(thresholds: Thresholds, pairs: Pairs) -> tuple[Layer, Layer]:
    """Return each neuron as a layer over the spikes of the first: what `told` looks up. It fires once at least where that is true."""
    made = []
    for neuron, vth in enumerate(thresholds.vth):
        weights = np.zeros((len(pairs.given), BINS), np.int16)
        weights[slice(pairs.alone) if neuron == 0 else slice(pairs.alone, None)] = 1
        if neuron == 0:
            weights[: pairs.alone, FAR] = FAR_COUNTS
        made.append(
            Layer(weights=weights.reshape(1, -1), du=FORGETS, dv=0, vth=vth, bias=np.zeros(1, np.int32), reset=Reset(STEPS, 3))
        )
    return made[0], made[1]
