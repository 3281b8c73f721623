"""Learning from measured values: quarters held back, told little as they are and much once they are changed."""

from __future__ import annotations

import numpy as np
import pytest

from spikebridge_detectors.capture.series import Samples
from spikebridge_detectors.train import series
from spikebridge_detectors.train.series import CHANGES, Settings
from spikebridge_detectors.windows.well import Well


def silent(_what: str, _done: int, _of: int) -> None:
    """Hear nothing."""


def recording(seed: int = 1, count: int = 3000) -> Samples:
    """Return two channels that swing together, twenty samples a second."""
    luck, swing = np.random.default_rng(seed), np.sin(np.arange(count) / 30)
    values = np.stack((10 + swing, 5 - swing), axis=1) + luck.normal(0, 0.2, (count, 2))
    return Samples(np.arange(count) * 50_000_000, values, [])


KINDS = [
    Settings("power", ("volts", "amperes")),
    Settings("vibration", ("x", "y")),
    Settings("rf", ("x", "y"), length=256, every=16),
]


@pytest.mark.parametrize("settings", KINDS, ids=lambda settings: settings.kind)
def test_quarters_held_back_are_told_once_they_are_changed(settings: Settings) -> None:
    """Seldom as they are; louder and smoothed ones often."""
    shares = {trial.change: trial.told / trial.windows for trial in series.trials([recording(1), recording(2)], settings, silent)}
    assert list(shares) == list(CHANGES)
    assert shares["unchanged"] < 0.1
    assert shares["louder"] > 0.3
    assert shares["smoothed"] > 0.4


def test_recordings_that_are_too_short_to_hold_back_are_not_measured() -> None:
    """What can't be known isn't made up."""
    assert series.trials([recording(count=120)], KINDS[0], silent) == []


@pytest.mark.parametrize("settings", KINDS, ids=lambda settings: settings.kind)
def test_each_number_of_a_window_has_a_name_and_a_group(settings: Settings) -> None:
    """As many as the detector learned."""
    learned = series.learn([recording().values], settings)
    windows = learned.windows if isinstance(learned, Well) else learned
    assert windows.edges.shape[1] == len(settings.columns) == len(settings.groups)
    assert windows.habits.pairs.alone == len(settings.columns)


def test_changes_do_what_they_are_called() -> None:
    """Deviations halve and grow by half, means stay or rise by a deviation, and noise is averaged out."""
    values = recording().values
    for change, factor in (("louder", 1.5), ("calmer", 0.5), ("unchanged", 1.0), ("shifted", 1.0)):
        assert CHANGES[change](values).std(axis=0) == pytest.approx(factor * values.std(axis=0))
    assert CHANGES["shifted"](values).mean(axis=0) == pytest.approx(values.mean(axis=0) + values.std(axis=0))
    smooth = CHANGES["smoothed"](values)
    assert smooth.shape == values.shape
    assert smooth[10] == pytest.approx(values[6:11].mean(axis=0))
