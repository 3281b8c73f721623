"""
What goes with what, learned without labels: inhibitory spike-timing-dependent plasticity in integers.

A context is a line of another column, or the one line that is active in each window. At each of its spikes all its synapses onto a
column fade by 1, and the one onto the active line grows, the less the stronger it is:

    w(context, every line) -= 1    w(context, active line) += 2 ** ((255 * 8 - w) / (8 * 32))    0 <= w <= 255 * 8

Fading and growth are even where w / 8 = 255 - 32 * log2(1 / p): inhibition is a logarithm of how often the line goes with the context.
Growth is a whole number, so w / 8 stops at 236 where that is always.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from spikebridge_detectors.windows.bins import BINS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

ALWAYS = -1
PASSES = 8
MOST = 254
_PARTS = 8
_HALVES = 32
_FULL = 255 * _PARTS
_GROWS = np.maximum(1, np.round(2.0 ** ((_FULL - np.arange(_FULL + 1)) / (_PARTS * _HALVES)))).astype(np.int64)


class Pairs(NamedTuple):
    """Of each pair the column that is the context, or ALWAYS, and the column that is expected from it; those with ALWAYS come first."""

    given: NDArray[np.int64]
    column: NDArray[np.int64]

    @property
    def alone(self) -> int:
        """Return how many pairs have no other column as context."""
        return int((self.given == ALWAYS).sum())


def pairs(groups: Sequence[int]) -> Pairs:
    """Return each column by itself, and each with each other column of its group, both ways."""
    count = range(len(groups))
    both = [(given, column) for given in count for column in count if given != column and groups[given] == groups[column]]
    every = np.array([(ALWAYS, column) for column in count] + both, np.int64)
    return Pairs(every[:, 0], every[:, 1])


def contexts(made: Pairs, lines: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the active line of each pair's context, [window, pair]: 0 for ALWAYS."""
    return np.where(made.given == ALWAYS, 0, lines[:, np.maximum(made.given, 0)])


def strengthen(made: Pairs, lines: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the inhibition [pair, context's line, line] after eight passes over windows, even and from 0 to 254."""
    weights = np.zeros((len(made.given), BINS, BINS), np.int64)
    every = np.arange(len(made.given))
    given, active = contexts(made, lines), lines[:, made.column]
    for _ in range(PASSES):
        for context, line in zip(given, active, strict=True):
            held = weights[every, context]
            met = held[every, line]
            np.maximum(held - 1, 0, out=held)
            held[every, line] = np.minimum(held[every, line] + _GROWS[met], _FULL)
            weights[every, context] = held
    return np.minimum(weights // _PARTS, MOST) & ~1
