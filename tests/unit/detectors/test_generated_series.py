"""Generated series of power, vibration and rf: the same for a seed, bounded, and wrong in the way that is said."""

from __future__ import annotations

import numpy as np
import pytest

from spikebridge_detectors.errors import ModelError
from spikebridge_detectors.traffic.series import MOST_SAMPLES, POWER_WRONG, RF_WRONG, VIBRATION_WRONG, power, rf, vibration


@pytest.mark.parametrize(("made", "channels"), [(power, 2), (vibration, 2), (rf, 1)])
def test_a_seed_is_one_device(made: object, channels: int) -> None:
    """Its channels, finite, the same each time; another seed is another device."""
    assert callable(made)
    one = made(5000, 1)

    assert one.shape == (5000, channels)
    assert np.isfinite(one).all()
    assert np.array_equal(one, made(5000, 1))
    assert not np.array_equal(one, made(5000, 2))


def test_power_is_wrong_as_it_is_said() -> None:
    """Mining is high and even, encryption goes up and down, and a flood has more peaks."""
    normal, mining, encryption, flooded = (power(20_000, 3, wrong)[:, 0] for wrong in ("", *POWER_WRONG))

    assert mining.mean() > normal.mean()
    assert mining.std() < 0.02 < normal.std()
    assert 0.1 < encryption.std() < 0.15
    assert np.abs(np.diff(flooded)).mean() > 1.3 * np.abs(np.diff(normal)).mean()


def test_vibration_is_wrong_as_it_is_said() -> None:
    """A tone more, less movement, no noise, knocks, one side only."""
    normal, added, damped, smooth, loose, loaded = (vibration(20_000, 3, wrong)[:, 1] for wrong in ("", *VIBRATION_WRONG))
    spectrum = np.abs(np.fft.rfft(added)) - np.abs(np.fft.rfft(normal))

    assert spectrum.argmax() == 180 * 20
    assert damped.std() < 0.7 * normal.std()
    assert np.abs(np.diff(smooth)).mean() < 0.9 * np.abs(np.diff(normal)).mean()
    assert np.abs(np.diff(loose)).max() > 1.5 * np.abs(np.diff(normal)).max()
    assert loaded.max() < 0.5 * normal.max()
    assert loaded.min() == pytest.approx(normal.min(), abs=0.01)


def test_a_radio_is_wrong_as_it_is_said() -> None:
    """Steps of half a dB; frames by a timer, a level that stays, noise, a second level, a stronger one."""
    normal, regular, smooth, jammed, second, nearer, replayed = (rf(40_000, 3, wrong)[:, 0] for wrong in ("", *RF_WRONG))
    apart = [np.diff(np.flatnonzero(np.diff((one > -78).astype(int)) == 1)) for one in (normal, regular)]

    assert np.array_equal(normal * 2, np.round(normal * 2))
    assert 2 < apart[0].std() < 5
    assert set(apart[1].tolist()) == {40}
    assert len(set(smooth[smooth > -78].tolist())) == 1 < len(set(normal[normal > -78].tolist()))
    assert 0.2 < ((jammed < -78) & (jammed > -90)).mean() < 0.4
    assert ((second > -75) & (second < -66)).sum() > 1000 > ((normal > -75) & (normal < -66)).sum() == 0
    assert np.array_equal(replayed[normal < -78], normal[normal < -78])
    assert replayed[replayed > -78].std() > 1.1 * normal[normal > -78].std()
    assert np.median(nearer[nearer > -78]) == np.median(normal[normal > -78]) + 4


def test_what_is_not_there_is_refused() -> None:
    """By name, and by number before anything is made."""
    with pytest.raises(ModelError, match='what is wrong: expected one of mining, encryption, flooded, found "smooth"'):
        power(10, 1, "smooth")
    for count in (0, MOST_SAMPLES + 1):
        with pytest.raises(ModelError, match=f"samples: expected 1 to {MOST_SAMPLES}, found {count}"):
            vibration(count, 1)
