"""
What a device does habitually, learned without labels: inhibitory spike-timing-dependent plasticity in integers.

At each spike of a pair's line its synapse onto the gap line that is active, and those onto its neighbours, grow; at each `fades`-th
spike all of its synapses fade before that:

    w(pair, every line) -= 1    w(pair, active line) += 64    w(pair, the two beside it) += 16    0 <= w <= 255

A gap is familiar once it makes up more than about one in 64 `fades` of what follows a pair.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from spikebridge_detectors.timing.marks import BINS, OTHER_PAIR, PAIRS

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST = 255
_BESIDE, _GROWS = np.array([-1, 0, 1]), np.array([16, 64, 16])


class _Changes(NamedTuple):
    """What is done to weights, each by one change: w becomes min(high, max(low, w + by))."""

    by: NDArray[np.int64]
    low: NDArray[np.int64]
    high: NDArray[np.int64]

    def at(self, which: NDArray[np.bool_] | NDArray[np.int64]) -> _Changes:
        """Return some of them."""
        return _Changes._make(column[which] for column in self)

    def then(self, other: _Changes) -> _Changes:
        """Return what both do, one after the other: a change of the same form."""
        low, high = (np.clip(bound + other.by, other.low, other.high) for bound in (self.low, self.high))
        return _Changes(self.by + other.by, low, high)


def strengthen(pair: NDArray[np.int64], line: NDArray[np.int64], fades: int = 1) -> NDArray[np.int64]:
    """
    Return the weights [pair, line] after one pass over what was seen.

    Fading is worked out when a synapse is met again, which is the same as fading at once, since it stops at 0.
    """
    faded, total = _faded(pair, fades)
    lines = line[:, None] + _BESIDE
    met = np.flatnonzero((lines >= 0) & (lines < BINS))
    place = (pair[:, None] * BINS + lines).ravel()[met]
    order = np.argsort(place.astype(np.int16), kind="stable")
    place, met = place[order], met[order]
    now, grows = faded[met // len(_BESIDE)], _GROWS[met % len(_BESIDE)]
    first = np.diff(place, prepend=-1) != 0
    last = np.diff(place, append=-1) != 0
    since = np.where(first, 0, np.diff(now, prepend=0))
    held = _joined(place, _Changes(grows - since, grows, np.full(len(now), MOST)))
    weights = np.zeros(PAIRS * BINS, np.int64)
    weights[place[last]] = np.clip(held.by, held.low, held.high) - (np.repeat(total, BINS)[place[last]] - now[last])
    learned: NDArray[np.int64] = np.maximum(weights, 0).reshape(PAIRS, BINS)
    learned[OTHER_PAIR] = 0
    return learned


def _faded(pair: NDArray[np.int64], fades: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return how often the synapses of its pair had faded at each spike, and how often those of each pair had at the end."""
    order = np.argsort(pair, kind="stable")
    count = np.bincount(pair, minlength=PAIRS)
    faded = np.empty(len(pair), np.int64)
    faded[order] = (np.arange(1, len(pair) + 1) - np.repeat(np.cumsum(count) - count, count)) // fades
    return faded, count // fades


def _joined(place: NDArray[np.int64], changes: _Changes) -> _Changes:
    """Return one change for each place, which does what all of its changes do one after the other: halves of them at a time."""
    while True:
        first = np.flatnonzero(np.diff(place, prepend=-1) != 0)
        count = np.diff(first, append=len(place))
        if not len(place) or count.max() == 1:
            return changes
        odd = (np.arange(len(place)) - np.repeat(first, count)) % 2 == 1
        both = np.flatnonzero(odd)
        joined = changes.at(both - 1).then(changes.at(both))
        for column, values in zip(changes, joined, strict=True):
            column[both - 1] = values
        place, changes = place[~odd], changes.at(~odd)
