"""Windows of `length` samples, one `every` so many, whose numbers depend on a scale that is learned first: vibration and rf."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import numpy as np

from spikebridge_detectors.errors import ModelError
from spikebridge_detectors.windows import detector

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from spikebridge_detectors.alarm import Alarm
    from spikebridge_detectors.capture.series import Samples
    from spikebridge_detectors.windows.detector import Learned

MOST_SAMPLES = 1 << 14


class Scale(NamedTuple):
    """What the samples of each channel are compared with: a middle, and how far from it they usually are."""

    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Well:
    """What was learned of a device that is well: this and the network is all that its alarms come from."""

    scale: Scale
    windows: Learned
    length: int
    every: int


@dataclass(frozen=True, slots=True)
class Scaled(ABC):
    """Learns and judges windows of samples."""

    columns: ClassVar[int]
    """Columns of each channel."""
    most_overlap: ClassVar[int] = MOST_SAMPLES
    """A sample is in so many windows at most: bounds the work that each makes."""

    length: int
    every: int
    share: float = detector.SHARE

    def __post_init__(self) -> None:
        """Refuse windows that leave samples out, or hold too many."""
        if not 1 <= self.every <= self.length <= MOST_SAMPLES:
            raise ModelError(f"expected 1 <= every <= length <= {MOST_SAMPLES}, found every {self.every}, length {self.length}")
        if self.length > self.most_overlap * self.every:
            raise ModelError(
                f"expected length at most {self.most_overlap} times every, found every {self.every}, length {self.length}"
            )

    @abstractmethod
    def scaled(self, values: NDArray[np.float64]) -> Scale:
        """Return the scale of samples [sample, channel]."""

    @abstractmethod
    def measured(self, scale: Scale, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the windows of a recording, [window, column]."""

    @abstractmethod
    def scan(self, samples: Samples, state: Well) -> list[Alarm]:
        """Return the alarms in samples of one device, each at the end of its window."""

    def learn(self, pieces: Sequence[NDArray[np.float64]]) -> Well:
        """Return what was learned from recordings [sample, channel] of a device that is well."""
        return self.taught(self.scaled(np.concatenate(pieces)), pieces)

    def taught(self, scale: Scale, pieces: Sequence[NDArray[np.float64]]) -> Well:
        """Return what recordings teach once their scale is known."""
        held = np.concatenate([self.measured(scale, piece) for piece in pieces])
        return Well(scale, detector.learn(held, self.groups(len(scale.mean)), self.share), self.length, self.every)

    @classmethod
    def groups(cls, channels: int) -> list[int]:
        """Return which columns belong together: those of a channel."""
        groups: list[int] = np.repeat(np.arange(channels), cls.columns).tolist()
        return groups
