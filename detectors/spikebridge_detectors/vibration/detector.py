"""The detector of vibration: samples of one machine in, alarms out, in pieces of any size."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from spikebridge_detectors.vibration.encode import NAMES, Moved, events, learn_scale
from spikebridge_detectors.windows import pieces
from spikebridge_detectors.windows.pieces import Carried
from spikebridge_detectors.windows.well import Scaled

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from spikebridge_detectors.alarm import Alarm
    from spikebridge_detectors.capture.series import Samples
    from spikebridge_detectors.windows.well import Scale, Well


@dataclass(slots=True)
class Running:
    """What is carried from piece to piece: the last samples, and what happened in the windows that aren't over."""

    moved: Moved = field(default_factory=Moved)
    carried: Carried = field(default_factory=Carried)


@dataclass(frozen=True, slots=True)
class Vibration(Scaled):
    """Finds windows in which a machine moves, crosses or turns unlike itself."""

    columns: ClassVar[int] = len(NAMES)
    length: int = 64
    every: int = 16

    def scaled(self, values: NDArray[np.float64]) -> Scale:
        """Return mean and deviation of each channel."""
        return learn_scale(values)

    def measured(self, scale: Scale, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the windows of a recording, [window, column]."""
        return _windows(events(scale, values, Moved()), self.length, self.every)

    def scan(self, samples: Samples, state: Well) -> list[Alarm]:
        """Return the alarms in samples of one machine, each at the end of its window."""
        return advance(state, Running(), samples)


def advance(learned: Well, running: Running, samples: Samples) -> list[Alarm]:
    """Return the alarms in a piece of one machine's samples."""
    happened = events(learned.scale, samples.values, running.moved)
    cut = learned.length, learned.every
    measured = partial(_windows, length=learned.length, every=learned.every)
    return pieces.advance(learned.windows, running.carried, samples.time_ns, happened, measured, cut)


def _windows(happened: NDArray[np.int64], length: int, every: int) -> NDArray[np.float64]:
    """Return what happened in each window, summed."""
    total = np.concatenate((np.zeros_like(happened[:1]), np.cumsum(happened, axis=0)))
    first = np.arange(0, len(happened) - length + 1, every)
    found: NDArray[np.float64] = (total[first + length] - total[first]).astype(np.float64)
    return found
