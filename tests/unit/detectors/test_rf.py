"""Windows of a radio's envelope: what is measured of them, pieces of any size, and what is told of generated radios."""

from __future__ import annotations

import numpy as np
import pytest

from spikebridge_detectors.capture.series import Samples
from spikebridge_detectors.errors import ModelError
from spikebridge_detectors.rf import detector as rf
from spikebridge_detectors.rf.detector import Rf
from spikebridge_detectors.rf.encode import MOST_CHANNELS, NAMES, learn_scale, windows
from spikebridge_detectors.traffic import series
from spikebridge_detectors.windows.pieces import Carried
from spikebridge_detectors.windows.well import MOST_SAMPLES, Scale

SCALE = Scale(np.array([-80.0]), np.array([16.0]))


def measured(values: list[float]) -> dict[str, float]:
    """Return the columns of one window."""
    found = windows(SCALE, np.array(values)[:, np.newaxis], len(values), 1)
    assert found.shape == (1, len(NAMES))
    return dict(zip(NAMES, found[0].tolist(), strict=True))


def frames(*begins: int, count: int = 40, level: float = -60.0) -> list[float]:
    """Return a floor of -96 with frames of two samples."""
    found = np.full(count, -96.0)
    for begin in begins:
        found[begin : begin + 2] = level, level + 2
    return found.tolist()


def test_a_window_is_measured() -> None:
    """Means and deviations of both parts, steps within frames, how often and how evenly they begin."""
    even, uneven = measured(frames(4, 14, 24, 34)), measured(frames(4, 12, 24, 34))
    assert (even["floor"], even["floor noise"], even["level"], even["level spread"]) == (-96, 0, -59, 1)
    assert (even["ripple"], even["share on the air"], even["frames"]) == (2, 8 / 40, 4)
    assert even["log jitter"] == -2
    assert uneven["log jitter"] == pytest.approx(np.log2(np.std([8, 12, 10])), abs=1e-6)
    assert {name for name in NAMES if even[name] != uneven[name]} == {"log jitter"}


def test_a_window_without_a_frame_or_with_nothing_else_has_numbers_too() -> None:
    """What isn't there is the strongest or the weakest sample, and doesn't vary."""
    silent, full = measured([-96.0, -95.0] * 5), measured([-60.0, -59.0] * 5)
    assert (silent["level"], silent["level spread"], silent["ripple"], silent["frames"]) == (-95, 0, 0, 0)
    assert (full["floor"], full["floor noise"], full["share on the air"], full["frames"]) == (-60, 0, 1, 0)
    assert silent["log jitter"] == full["log jitter"] == -2


def test_a_frame_lasts_until_the_envelope_falls_well_below_the_middle() -> None:
    """What wavers between both limits is neither a beginning nor an end."""
    wavers = measured([-96, -60, -79, -81, -78, -60, -96, -79, -81, -96])
    assert (wavers["frames"], wavers["share on the air"]) == (1, 0.5)


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf, 1e308])
def test_any_number_may_come(odd: float) -> None:
    """No warning and no crash; the other windows are as they were."""
    values = series.rf(4096, 1)
    values[100] = odd
    scale = learn_scale(series.rf(4096, 2))
    found, calm = windows(scale, values, 1024, 256), windows(scale, series.rf(4096, 1), 1024, 256)
    assert np.array_equal(found[1:], calm[1:])
    assert not np.array_equal(found[0], calm[0])


def test_the_scale_lies_between_floor_and_level() -> None:
    """However seldom it is on the air; a channel that stays has a scale too, and more channels or no samples have none."""
    found = learn_scale(np.array([[-96.0], [-94.0]] * 50 + [[-60.0]]))
    assert (found.mean[0], found.deviation[0]) == (-77.5, 17.5)
    still = learn_scale(np.full((9, 1), -90.0))
    assert (still.mean[0], still.deviation[0]) == (-90, 1)
    for values in (np.zeros((0, 1)), np.zeros((9, MOST_CHANNELS + 1)), np.full((9, 1), np.nan)):
        with pytest.raises(ModelError, match=f"expected finite samples of 1 to {MOST_CHANNELS} channels"):
            learn_scale(values)


def test_windows_are_the_same_alone_and_among_many_and_bounded() -> None:
    """To the last bit, more of them than are measured at once too; what is too short or too long is none."""
    values = np.asfortranarray(np.hstack([series.rf(9000, 1), series.rf(9000, 2)]))
    scale = learn_scale(values)
    many = windows(scale, values, 64, 1)
    assert len(many) == 9000 - 63 > (1 << 18) // (64 * 2)
    for at in (0, 1, 2047, 2048, 2049, 8936):
        assert np.array_equal(many[at : at + 1], windows(scale, values[at : at + 64], 64, 1))
    assert windows(scale, values[:63], 64, 1).shape == (0, 16)
    with pytest.raises(ModelError, match="samples of 2 channels"):
        windows(scale, values[:, :1], 64, 1)
    with pytest.raises(ModelError, match=f"length <= {MOST_SAMPLES}"):
        Rf(length=MOST_SAMPLES + 1)
    with pytest.raises(ModelError, match="length at most 32 times every, found every 7, length 256"):
        Rf(length=256, every=7)
    assert Rf(length=256, every=8).length == 256


def test_alarms_are_the_same_whatever_the_pieces() -> None:
    """Each at the time of its window's last sample."""
    one = Rf(length=256, every=64)
    well = one.learn([series.rf(20_000, 1)])
    values = np.concatenate((series.rf(1000, 2), series.rf(1000, 2, "smooth"), series.rf(777, 2)))
    whole = Samples(np.arange(len(values)) * 1_000_000, values, [""] * len(values))
    carried, found = Carried(), []
    for first in range(0, len(values), 91):
        found += rf.advance(well, carried, Samples._make(column[first : first + 91] for column in whole))
    assert found == one.scan(whole, well) != []
    assert {alarm.time_ns % 64_000_000 for alarm in found} == {255 % 64 * 1_000_000}


def test_a_radio_that_was_learned_is_known_again_and_others_are_told() -> None:
    """Of the radio itself hardly a window, of all that goes wrong almost each; its own recording passes, as the card says."""
    one = Rf()
    well = one.learn([series.rf(200_000, 7)])

    def told(values: np.ndarray) -> float:
        ends = range(0, len(values) - one.length + 1, one.every)
        return len(one.scan(Samples(np.arange(len(values)), values, []), well)) / len(ends)

    assert told(series.rf(200_000, 7)[:60_000]) < 0.05
    assert {wrong: told(series.rf(30_000, 7, wrong)) > 0.8 for wrong in series.RF_WRONG} == {
        wrong: wrong != "replayed" for wrong in series.RF_WRONG
    }
