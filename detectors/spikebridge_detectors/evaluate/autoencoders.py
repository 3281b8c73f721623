"""
Small autoencoders side by side and one above them, after KitNET (Mirsky and others, "Kitsune", NDSS 2018); our own reimplementation.

Features that go together share an autoencoder, three at most. Each learns to reproduce its own in one pass, a step for each point:

    y = s(x W + b)        s the logistic function, x scaled to 0..1 by what training held
    z = s(y W^T + c)      as many y as three quarters of x
    error = sqrt(mean((x - z)^2))

The one above has these errors as its x; its error is the score.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST_FEATURES = 3
_RATE = 0.1
_HIDDEN = 0.75
_LEAST_RANGE = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class Autoencoder:
    """Weights [feature, hidden] and both biases, and what training held."""

    weights: NDArray[np.float64]
    hidden: NDArray[np.float64]
    visible: NDArray[np.float64]
    low: NDArray[np.float64]
    width: NDArray[np.float64]

    def errors(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return how badly each point [point, feature] is reproduced."""
        x = (points - self.low) / self.width
        z = _logistic(_logistic(x @ self.weights + self.hidden) @ self.weights.T + self.visible)
        found: NDArray[np.float64] = np.sqrt(((x - z) ** 2).mean(axis=1))
        return found


@dataclass(frozen=True, slots=True, eq=False)
class Ensemble:
    """Groups of features, an autoencoder for each, and the one above."""

    groups: list[list[int]]
    below: list[Autoencoder]
    above: Autoencoder

    def scores(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return how odd points [point, feature] are."""
        return self.above.errors(_errors(self.groups, self.below, points))


def learn(points: NDArray[np.float64], luck: np.random.Generator) -> Ensemble:
    """Learn from points [point, feature] in their order."""
    groups = grouped(points, MOST_FEATURES)
    below = [_learn(points[:, group], luck) for group in groups]
    return Ensemble(groups, below, _learn(_errors(groups, below, points), luck))


def grouped(points: NDArray[np.float64], most: int) -> list[list[int]]:
    """Return features in groups of so many at most, those that correlate best joined first."""
    varied = points.std(axis=0) > _LEAST_RANGE
    alike = np.zeros((points.shape[1], points.shape[1]))
    if varied.any():
        alike[np.ix_(varied, varied)] = np.corrcoef(points[:, varied], rowvar=False)
    groups = [[feature] for feature in range(points.shape[1])]
    for pair in np.argsort(-np.triu(alike, 1), axis=None, kind="stable").tolist():
        one, other = (next(group for group in groups if feature in group) for feature in divmod(pair, len(alike)))
        if one is not other and len(one) + len(other) <= most:
            one += other
            groups.remove(other)
    return groups


def _errors(groups: list[list[int]], below: list[Autoencoder], points: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.stack([one.errors(points[:, group]) for group, one in zip(groups, below, strict=True)], axis=1)


def _learn(points: NDArray[np.float64], luck: np.random.Generator) -> Autoencoder:
    count = points.shape[1]
    low = points.min(axis=0)
    width = np.maximum(points.max(axis=0) - low, _LEAST_RANGE)
    weights = luck.uniform(-1 / count, 1 / count, (count, math.ceil(_HIDDEN * count)))
    hidden, visible = np.zeros(weights.shape[1]), np.zeros(count)
    for x in (points - low) / width:
        y = _logistic(x @ weights + hidden)
        off = x - _logistic(weights @ y + visible)
        back = (off @ weights) * y * (1 - y)
        weights += _RATE * (np.outer(x, back) + np.outer(off, y))
        hidden += _RATE * back
        visible += _RATE * off
    return Autoencoder(weights, hidden, visible, low, width)


def _logistic(x: NDArray[np.float64]) -> NDArray[np.float64]:
    found: NDArray[np.float64] = 1 / (1 + np.exp(-np.clip(x, -60, 60)))
    return found
