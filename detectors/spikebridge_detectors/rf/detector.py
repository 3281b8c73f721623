"""The detector of radio: samples of an envelope in, alarms out, in pieces of any size."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from spikebridge_detectors.rf.encode import NAMES, learn_scale, windows
from spikebridge_detectors.windows import pieces
from spikebridge_detectors.windows.pieces import Carried
from spikebridge_detectors.windows.well import Scaled

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from spikebridge_detectors.alarm import Alarm
    from spikebridge_detectors.capture.series import Samples
    from spikebridge_detectors.windows.well import Scale, Well


@dataclass(frozen=True, slots=True)
class Rf(Scaled):
    """Finds windows in which a channel is unlike itself: frames too even in time or strength, noise, another transmitter, another level."""

    columns: ClassVar[int] = len(NAMES)
    most_overlap: ClassVar[int] = 32
    length: int = 1024
    every: int = 256

    def scaled(self, values: NDArray[np.float64]) -> Scale:
        """Return the middle between floor and level of each channel, and half their distance."""
        return learn_scale(values)

    def measured(self, scale: Scale, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the windows of a recording, [window, column]."""
        return windows(scale, values, self.length, self.every)

    def scan(self, samples: Samples, state: Well) -> list[Alarm]:
        """Return the alarms in samples of one channel or several, each at the end of its window."""
        return advance(state, Carried(), samples)


def advance(learned: Well, carried: Carried, samples: Samples) -> list[Alarm]:
    """Return the alarms in a piece of one receiver's samples."""
    measured = partial(windows, learned.scale, length=learned.length, every=learned.every)
    return pieces.advance(learned.windows, carried, samples.time_ns, samples.values, measured, (learned.length, learned.every))
