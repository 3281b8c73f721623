"""
Layer 1: 24 neurons that fire when a gap isn't what the pair before it made familiar.

Each gap line excites a neuron of its own; the lines of pairs inhibit all, as much as was learned. A neuron fires if its line is active
and the inhibition is at most `expected`. It forgets each step at once, so the layer is a look-up in its weights, which is what runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from spikebridge_detectors.errors import ModelError
from spikebridge_detectors.lif import Layer, truncated
from spikebridge_detectors.timing.habits import MOST
from spikebridge_detectors.timing.marks import BINS, LINES, PAIRS, Lines

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST_EXPECTED = 128
_EXCITES = 254
_FORGETS = 4095


@dataclass(frozen=True, slots=True, eq=False)
class Habits:
    """What a device does: inhibition [pair, bin] of both kinds of gap, and how much of it is still a surprise."""

    gap: NDArray[np.int64]
    own: NDArray[np.int64]
    expected: int

    def __post_init__(self) -> None:
        """Refuse what synapses can't hold."""
        for name, weights in (("gap", self.gap), ("own", self.own)):
            if weights.shape != (PAIRS, BINS):
                raise ModelError(f"{name}: expected weights of {PAIRS} pairs and {BINS} bins, found {weights.shape}")
            if weights.min() < 0 or weights.max() > MOST or (weights & 1).any():
                raise ModelError(f"{name}: expected even weights from 0 to {MOST - 1}, found {weights.min()} to {weights.max()}")
        if not 0 <= self.expected <= MOST_EXPECTED:
            raise ModelError(f"expected: expected 0 to {MOST_EXPECTED}, found {self.expected}")


def surprises(habits: Habits, lines: Lines) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return for each packet whether the gap in its protocol was a surprise, and whether that in its own stream was."""
    return habits.gap[lines.pair, lines.gap] <= habits.expected, habits.own[lines.pair, lines.own] <= habits.expected


def cells(lines: Lines) -> NDArray[np.int64]:
    """Return the two synapses that each packet meets, [packet, 2]: its pair onto its gap, and onto the gap in its own stream."""
    return np.stack([lines.pair * BINS + lines.gap, PAIRS * BINS + lines.pair * BINS + lines.own], axis=1)


def layer(habits: Habits) -> Layer:
    """Return the neurons that `surprises` looks up: exact, since weights are even and what they keep of a step is below a unit."""
    weights = np.zeros((2 * BINS, LINES), np.int64)
    weights[:BINS, :PAIRS] = -habits.gap.T
    weights[BINS:, :PAIRS] = -habits.own.T
    weights[np.arange(2 * BINS), PAIRS + np.arange(2 * BINS)] = _EXCITES
    vth = 2 * (_EXCITES - habits.expected) - 1
    bias = np.zeros(2 * BINS, np.int32)
    return Layer(weights=truncated(weights, sign="mixed"), exponent=1, du=_FORGETS, dv=_FORGETS, vth=vth, bias=bias)


def spikes(lines: Lines) -> NDArray[np.bool_]:
    """Return the lines as spikes [packet, 1, line]."""
    raster = np.zeros((len(lines.pair), 1, LINES), np.bool_)
    for at in (lines.pair, PAIRS + lines.gap, PAIRS + BINS + lines.own):
        raster[np.arange(len(at)), 0, at] = True
    return raster
