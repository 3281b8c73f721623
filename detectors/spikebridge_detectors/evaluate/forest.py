"""Isolation forest: what few random cuts set apart from the rest is odd."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

TREES = 100
SAMPLE = 256
_DEPTH = 8
_LEAF = -1
_EULER = 0.5772156649015329


@dataclass(frozen=True, slots=True, eq=False)
class Forest:
    """Trees as heaps [tree, node]: the children of node n are 2n + 1 and 2n + 2; a leaf has no feature, and the depth that it stands for."""

    feature: NDArray[np.int64]
    cut: NDArray[np.float64]
    depth: NDArray[np.float64]
    usual: float

    def scores(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return how odd points [point, feature] are: 2 ** -(mean depth / usual depth), from 0 to 1."""
        trees = np.arange(len(self.feature))[:, np.newaxis]
        rows = np.arange(len(points))
        node = np.zeros((len(self.feature), len(points)), np.int64)
        for _ in range(_DEPTH):
            feature = self.feature[trees, node]
            right = points[rows, np.maximum(feature, 0)] >= self.cut[trees, node]
            node = np.where(feature == _LEAF, node, 2 * node + 1 + right)
        found: NDArray[np.float64] = 2.0 ** -(self.depth[trees, node].mean(axis=0) / self.usual)
        return found


def grow(points: NDArray[np.float64], luck: np.random.Generator) -> Forest:
    """Grow trees, each from a sample of the points."""
    count = min(SAMPLE, len(points))
    nodes = 2 ** (_DEPTH + 1) - 1
    forest = Forest(np.full((TREES, nodes), _LEAF), np.zeros((TREES, nodes)), np.zeros((TREES, nodes)), max(_path(count), 1.0))
    for tree in range(TREES):
        _split(forest, tree, points[luck.choice(len(points), count, replace=False)], luck)
    return forest


def _split(forest: Forest, tree: int, sample: NDArray[np.float64], luck: np.random.Generator) -> None:
    """Cut a sample at random, and its parts again, until a part is one point or lies too deep."""
    waiting = [(0, 0, sample)]
    while waiting:
        node, depth, part = waiting.pop()
        low, high = part.min(axis=0), part.max(axis=0)
        varied = np.flatnonzero(high > low)
        if depth == _DEPTH or not varied.size:
            forest.depth[tree, node] = depth + _path(len(part))
            continue
        feature = int(luck.choice(varied))
        cut = max(luck.uniform(low[feature], high[feature]), np.nextafter(low[feature], math.inf))
        forest.feature[tree, node], forest.cut[tree, node] = feature, cut
        right = part[:, feature] >= cut
        waiting += [(2 * node + 1, depth + 1, part[~right]), (2 * node + 2, depth + 1, part[right])]


def _path(count: int) -> float:
    """Return the mean depth of a point in a tree of so many that is cut to the end."""
    if count <= 1:
        return 0.0
    return 2 * (math.log(count - 1) + _EULER) - 2 * (count - 1) / count if count > 2 else 1.0  # noqa: PLR2004  the formula's own case
