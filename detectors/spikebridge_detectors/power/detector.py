"""The detector of power: windows of what a device draws in, alarms out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from spikebridge_detectors.errors import ModelError
from spikebridge_detectors.windows import detector, pieces
from spikebridge_detectors.windows.pieces import Carried

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from spikebridge_detectors.alarm import Alarm
    from spikebridge_detectors.capture.series import Samples
    from spikebridge_detectors.windows.detector import Learned

WINDOW = 20
"""Samples in a window; one ends with each sample."""

MOST_CHANNELS = 5
NAMES = ("mean", "variance", "range")
"""The columns of a channel."""


@dataclass(frozen=True, slots=True)
class Power:
    """Finds windows whose mean, variance and range, or any two of them together, aren't the device's own."""

    share: float = detector.SHARE

    def learn(self, samples: Samples) -> Learned:
        """Return what was learned from normal samples of one device, with a column for each channel."""
        return self.learn_windows(measured(samples.values))

    def learn_windows(self, windows: NDArray[np.float64]) -> Learned:
        """Return what was learned from windows that are measured already."""
        return detector.learn(windows, [0] * windows.shape[1], self.share)

    def scan(self, samples: Samples, state: Learned) -> list[Alarm]:
        """Return the alarms in samples of one device, each at the end of its window."""
        return advance(state, Carried(), samples)


def advance(learned: Learned, carried: Carried, samples: Samples) -> list[Alarm]:
    """Return the alarms in a piece of one device's samples."""
    return pieces.advance(learned, carried, samples.time_ns, samples.values, measured, (WINDOW, 1))


def measured(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return mean, variance and range of each channel in each window of samples [sample, channel], as [window, column]."""
    if not 0 < values.shape[1] <= MOST_CHANNELS:
        raise ModelError(f"expected 1 to {MOST_CHANNELS} channels, found {values.shape[1]}")
    if len(values) < WINDOW:
        return np.zeros((0, len(NAMES) * values.shape[1]))
    held = np.lib.stride_tricks.sliding_window_view(np.ascontiguousarray(values), WINDOW, axis=0)
    columns = np.stack([held.mean(axis=2), held.var(axis=2), held.max(axis=2) - held.min(axis=2)], axis=2)
    found: NDArray[np.float64] = columns.reshape(len(held), -1)
    return found
