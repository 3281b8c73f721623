"""
Layer 1: a neuron for each line of each pair, that fires the oftener the less its context made the line familiar.

A window is held for 64 steps. The line excites its neuron by 254 a step, the context inhibits it by what was learned, and what is left
adds up without a leak until the neuron fires: how often it does is a look-up in the weights, which is what runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from spikebridge_detectors.errors import ModelError
from spikebridge_detectors.lif import Layer, Reset, truncated
from spikebridge_detectors.windows.bins import BINS
from spikebridge_detectors.windows.habits import ALWAYS, MOST, Pairs, contexts

if TYPE_CHECKING:
    from numpy.typing import NDArray

STEPS = 64
FORGETS = 4095
_VTH = 4 * MOST


@dataclass(frozen=True, slots=True, eq=False)
class Habits:
    """What goes with what: inhibition [pair, context's line, line]."""

    pairs: Pairs
    weights: NDArray[np.int64]

    def __post_init__(self) -> None:
        """Refuse what synapses can't hold."""
        shape = (len(self.pairs.given), BINS, BINS)
        if self.weights.shape != shape:
            raise ModelError(f"weights: expected {shape}, found {self.weights.shape}")
        if self.weights.min() < 0 or self.weights.max() > MOST or (self.weights & 1).any():
            raise ModelError(f"weights: expected even ones from 0 to {MOST}, found {self.weights.min()} to {self.weights.max()}")

    @property
    def inputs(self) -> int:
        """Return how many lines come in: those of the columns, and the one that is always active."""
        return self.pairs.alone * BINS + 1


def surprises(habits: Habits, lines: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return how often each pair's neurons fire, [window, pair]: 0 to 12."""
    return STEPS // periods(habits, lines)


def periods(habits: Habits, lines: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return after how many steps each pair's neuron of the active line fires, [window, pair]: more than 64 where it doesn't."""
    left = MOST - inhibited(habits, lines)
    return np.where(left > 0, _VTH // np.maximum(left, 1) + 1, STEPS + 1)


def inhibited(habits: Habits, lines: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return how much the context inhibits each pair's active line, [window, pair]."""
    made = habits.pairs
    held: NDArray[np.int64] = habits.weights[np.arange(len(made.given)), contexts(made, lines), lines[:, made.column]]
    return held


def layer(habits: Habits) -> Layer:
    """Return the neurons that `surprises` looks up."""
    made = habits.pairs
    weights = np.zeros((len(made.given), BINS, habits.inputs), np.int64)
    for pair, (given, column) in enumerate(zip(*made, strict=True)):
        if given == ALWAYS:
            weights[pair, :, -1] = -habits.weights[pair, 0]
        else:
            weights[pair, :, given * BINS : (given + 1) * BINS] = -habits.weights[pair].T
        weights[pair, np.arange(BINS), column * BINS + np.arange(BINS)] = MOST
    flat = truncated(weights.reshape(-1, habits.inputs), sign="mixed")
    return Layer(weights=flat, du=FORGETS, dv=0, vth=_VTH, bias=np.zeros(len(flat), np.int32), reset=Reset(STEPS, 2))


def spikes(habits: Habits, lines: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return windows as spikes [step, 1, line], each held for 64 steps."""
    raster = np.zeros((len(lines), 1, habits.inputs), np.bool_)
    raster[np.arange(len(lines))[:, np.newaxis], 0, np.arange(lines.shape[1]) * BINS + lines] = True
    raster[:, :, -1] = True
    return np.repeat(raster, STEPS, axis=0)
