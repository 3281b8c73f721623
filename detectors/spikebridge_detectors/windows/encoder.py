"""How a model makes windows of samples: power, vibration and rf differ in what they measure, and in what they compare with before."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from spikebridge_detectors.errors import ModelError
from spikebridge_detectors.power import detector as power
from spikebridge_detectors.rf import detector as rf
from spikebridge_detectors.rf import encode as envelope
from spikebridge_detectors.vibration import detector as vibration
from spikebridge_detectors.vibration import encode as moves
from spikebridge_detectors.windows.model import learned_from
from spikebridge_detectors.windows.pieces import Carried
from spikebridge_detectors.windows.well import Scale, Scaled, Well

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from spikebridge_detectors.alarm import Alarm
    from spikebridge_detectors.capture.series import Samples
    from spikebridge_detectors.model.file import Model
    from spikebridge_detectors.windows.detector import Learned


class Kind(NamedTuple):
    """The columns of a channel, how many channels there may be, and what learns them where they have a scale."""

    columns: tuple[str, ...]
    most_channels: int
    scaled: Scaled | None = None

    def groups(self, channels: int) -> list[int]:
        """Return which columns belong together: those of a channel, or all where there is no scale."""
        return self.scaled.groups(channels) if self.scaled else [0] * (channels * len(self.columns))


KINDS = {
    "power": Kind(power.NAMES, power.MOST_CHANNELS),
    "vibration": Kind(moves.NAMES, moves.MOST_CHANNELS, vibration.Vibration()),
    "rf": Kind(envelope.NAMES, envelope.MOST_CHANNELS, rf.Rf()),
}


class Encoder(NamedTuple):
    """What a model makes of so many channels; `scale` is that of vibration and rf."""

    kind: str
    learned: Learned
    channels: int
    length: int
    every: int
    scale: Scale | None

    @property
    def columns(self) -> tuple[str, ...]:
        """Return what is measured of each channel."""
        return KINDS[self.kind].columns

    @property
    def carries(self) -> bool:
        """Return whether a window is compared with what was before it."""
        return self.kind == "vibration"

    def skip(self, values: NDArray[np.float64], moved: moves.Moved) -> None:
        """Take samples as those before a window."""
        if self.carries and self.scale:
            with np.errstate(invalid="ignore"):
                moves.events(self.scale, values, moved)

    def measured(self, values: NDArray[np.float64], moved: moves.Moved) -> NDArray[np.float64]:
        """Return the columns of one window as [1, column]."""
        if len(values) != self.length:
            raise ModelError(f"input: expected the {self.length} samples of one window, found {len(values)}")
        with np.errstate(invalid="ignore", over="ignore"):
            if self.scale is None:
                return power.measured(values)
            if not self.carries:
                return envelope.windows(self.scale, values, self.length, self.every)
            summed: NDArray[np.float64] = moves.events(self.scale, values, moved).sum(axis=0, keepdims=True).astype(np.float64)
            return summed

    def judge(self) -> Callable[[Samples], list[Alarm]]:
        """Return what judges samples of one device from the first on, piece by piece."""
        learned, carried = self.learned, Carried()
        if self.scale is None:
            return lambda samples: power.advance(learned, carried, samples)
        well = Well(self.scale, learned, self.length, self.every)
        if not self.carries:
            return lambda samples: rf.advance(well, carried, samples)
        going = vibration.Running()
        return lambda samples: vibration.advance(well, going, samples)


def encoder_of(model: Model) -> Encoder:
    """Return it; refuse windows that no detector makes."""
    learned, settings = learned_from(model)
    name, kind = model.header.name, model.header.encoder.name
    how = KINDS[kind]
    channels, rest = divmod(len(settings.groups), len(how.columns))
    if rest or not 1 <= channels <= how.most_channels:
        raise ModelError(
            f"{name}: expected {len(how.columns)} columns for each of 1 to {how.most_channels} channels, found {len(settings.groups)}"
        )
    if how.scaled is None:
        return Encoder(kind, learned, channels, power.WINDOW, 1, None)
    cut = replace(how.scaled, length=settings.length, every=settings.every)
    scale = Scale(np.array(settings.scale_mean), np.array(settings.scale_deviation))
    if not scale.mean.shape == scale.deviation.shape == (channels,):
        raise ModelError(f"{name}: expected mean and deviation of {channels} channels, found {scale.mean.shape[0]}")
    return Encoder(kind, learned, channels, cut.length, cut.every, scale)
