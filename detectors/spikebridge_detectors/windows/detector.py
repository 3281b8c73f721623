"""Learning windows and judging them; what windows hold is up to the detectors that use this."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from spikebridge_detectors.alarm import Alarm
from spikebridge_detectors.errors import ModelError
from spikebridge_detectors.windows import sums
from spikebridge_detectors.windows.bins import encode, learn_edges
from spikebridge_detectors.windows.habits import pairs, strengthen
from spikebridge_detectors.windows.surprise import Habits, surprises

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from spikebridge_detectors.windows.habits import Pairs
    from spikebridge_detectors.windows.sums import Thresholds

LEAST_WINDOWS, MOST_WINDOWS = 100, 1 << 17
SHARE = 0.01
"""So large a share of normal windows may be told."""


@dataclass(frozen=True, slots=True, eq=False)
class Learned:
    """What was learned of one device: this and the network is all that its alarms come from."""

    edges: NDArray[np.float64]
    habits: Habits
    thresholds: Thresholds


def learn(values: NDArray[np.float64], groups: Sequence[int], share: float = SHARE) -> Learned:
    """Learn from normal windows [window, column]; each half of them is judged by what the other taught."""
    if not LEAST_WINDOWS <= len(values) <= MOST_WINDOWS:
        todo = "more recordings or longer ones" if len(values) < LEAST_WINDOWS else "fewer recordings or shorter ones"
        raise ModelError(f"training: expected {LEAST_WINDOWS} to {MOST_WINDOWS} windows, found {len(values)}: give {todo}")
    made = pairs(groups)
    first, second = values[: len(values) // 2], values[len(values) // 2 :]
    counts = [_counts(*_taught(made, one), other) for one, other in ((first, second), (second, first))]
    edges, habits = _taught(made, values)
    return Learned(edges, habits, sums.calibrated(np.concatenate(counts), share))


def scores(learned: Learned, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how odd each window is, in deviations of normal ones."""
    return sums.scores(learned.thresholds, _counts(learned.edges, learned.habits, values))


def scan(learned: Learned, values: NDArray[np.float64], time_ns: NDArray[np.int64], device: int = 0) -> list[Alarm]:
    """Return an alarm for each window in which a neuron fires, named after the first that does."""
    counts = _counts(learned.edges, learned.habits, values)
    fired = sums.told(learned.thresholds, counts)
    return [
        Alarm(int(time_ns[at]), device, sums.NEURONS[neuron], float(counts[at, neuron]) / max(1, learned.thresholds.vth[neuron]))
        for at in np.flatnonzero(fired.any(axis=1)).tolist()
        for neuron in [int(fired[at].argmax())]
    ]


def _taught(made: Pairs, values: NDArray[np.float64]) -> tuple[NDArray[np.float64], Habits]:
    edges = learn_edges(values)
    return edges, Habits(made, strengthen(made, encode(edges, values)))


def _counts(edges: NDArray[np.float64], habits: Habits, values: NDArray[np.float64]) -> NDArray[np.int64]:
    lines = encode(edges, values)
    return sums.counted(habits.pairs, lines, surprises(habits, lines))
