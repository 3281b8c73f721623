"""Models of power, vibration and rf that learned two channels which hum, and series in which a stretch is odd."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from spikebridge_detectors.capture.series import Samples
from spikebridge_detectors.model.file import opened
from spikebridge_detectors.model.header import Training
from spikebridge_detectors.power.detector import Power
from spikebridge_detectors.rf.detector import Rf
from spikebridge_detectors.vibration.detector import Vibration
from spikebridge_detectors.windows.model import About, modelled

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from spikebridge_detectors.model.file import Model
    from spikebridge_detectors.windows.well import Scaled

STEP_NS = 100_000_000


def hum(seed: int, count: int = 8000) -> NDArray[np.float64]:
    """Return two channels that hum."""
    luck = np.random.default_rng(seed)
    waves = np.sin(np.arange(count)[:, None] / np.array([7.0, 5.0]))
    noise: NDArray[np.float64] = waves + luck.normal(0, 0.2, (count, 2))
    return noise


def odd_hum(seed: int, count: int, odd: slice) -> Samples:
    """Return samples of which some are odd, ten a second."""
    values = hum(seed, count)
    values[odd] = 8.0 + np.random.default_rng(seed + 1).normal(0, 3.0, values[odd].shape)
    return Samples(np.arange(count) * STEP_NS, values, [""] * count)


@cache
def power_data() -> bytes:
    """Return a model of power."""
    normal = hum(1)
    return _power(Samples(np.arange(len(normal)) * STEP_NS, normal, [""] * len(normal)))


def taught_power(samples: Samples) -> Model:
    """Return a model of power that learned these samples of two channels."""
    return opened(_power(samples))


def _power(samples: Samples) -> bytes:
    about = About("power", "power-x", 1, "Generated.", ("x",), Training(data="generated"))
    return modelled(Power().learn(samples), [0] * 6, about)


def scaled_data(kind: str, how: Scaled) -> bytes:
    """Return a model of vibration or rf."""
    well = how.learn([hum(1)])
    scale = {"scale_mean": tuple(well.scale.mean.tolist()), "scale_deviation": tuple(well.scale.deviation.tolist())}
    about = About(kind, f"{kind}-x", 1, "Generated.", ("x",), Training(data="generated"))
    return modelled(well.windows, how.groups(2), about, length=well.length, every=well.every, **scale)


@cache
def model_data(kind: str) -> bytes:
    """Return a model of that kind."""
    if kind == "power":
        return power_data()
    return scaled_data(kind, Vibration() if kind == "vibration" else Rf(64, 16))


def model(kind: str) -> Model:
    """Return it read."""
    return opened(model_data(kind))
