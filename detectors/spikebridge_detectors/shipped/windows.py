"""`power.spike`, `vibration.spike` and `rf.spike`: windows of generated series, learned from what is normal alone."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from spikebridge_detectors.model.header import Training
from spikebridge_detectors.power.detector import Power, measured
from spikebridge_detectors.rf.detector import Rf
from spikebridge_detectors.shipped import energy
from spikebridge_detectors.traffic import series
from spikebridge_detectors.vibration.detector import Vibration
from spikebridge_detectors.windows import detector, surprise
from spikebridge_detectors.windows.bins import BINS, encode
from spikebridge_detectors.windows.encoder import KINDS
from spikebridge_detectors.windows.model import About, modelled
from spikebridge_detectors.windows.sums import Thresholds
from spikebridge_detectors.windows.well import Scale, Scaled, Well

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from spikebridge_detectors.windows.detector import Learned

TRAINED = range(100, 106)
RADIOS = range(100, 124)
HELD_OUT = range(320, 326)
"""Devices, machines and radios that had no part in it."""

_SAMPLES, _TRIED = 20_000, 8_000
RADIO_SAMPLES, RADIO_TRIED = 30_000, 60_000
_DIGITS = 6
_APART = 10
"""Of the windows of power, which begin with each sample, every tenth is learned."""


def learned_power() -> Learned:
    """Return what devices teach of their power."""
    held = np.concatenate([_power(seed, _SAMPLES)[::_APART] for seed in TRAINED])
    return _tidied(Power().learn_windows(held))


def learned_vibration() -> Well:
    """Return what machines teach of how they shake."""
    return _learned(Vibration(), [series.vibration(_SAMPLES, seed) for seed in TRAINED])


def learned_rf() -> Well:
    """Return what radios teach of how they are heard."""
    return _learned(Rf(), [series.rf(RADIO_SAMPLES, seed) for seed in RADIOS])


def power_file() -> bytes:
    """Return `power.spike`."""
    learned = learned_power()
    about = "Windows of current and voltage that aren't those of an appliance at work or at rest. It learned from generated series alone."
    said = About("power", "power", 1, about, ("appliance",), _training("six normal appliances"))
    return modelled(learned, [0] * learned.edges.shape[1], said)


def vibration_file() -> bytes:
    """Return `vibration.spike`."""
    about = "Windows in which a motor moves, crosses or turns unlike itself. It learned from generated series alone."
    return _scaled_file(
        learned_vibration(), About("vibration", "vibration", 1, about, ("motor",), _training("six normal motors"))
    )


def rf_file() -> bytes:
    """Return `rf.spike`."""
    about = "Windows in which a radio's channel is too even, too full, or another's. It learned from generated envelopes alone."
    return _scaled_file(learned_rf(), About("rf", "rf", 1, about, ("radio",), _training("24 normal radios")))


def power_card() -> str:
    """Return the table of `power.spike`."""
    learned = learned_power()
    shares = {wrong: [_told(learned, _power(seed, _TRIED, wrong)) for seed in HELD_OUT] for wrong in ("", *series.POWER_WRONG)}
    return f"{_table(shares)}\n\n{_spent(learned, _power(HELD_OUT.start, _TRIED))}"


def vibration_card() -> str:
    """Return the table of `vibration.spike`."""
    return _scaled_card(Vibration(), learned_vibration(), partial(series.vibration, _TRIED), series.VIBRATION_WRONG)


def rf_card() -> str:
    """Return the table of `rf.spike`."""
    return _scaled_card(Rf(), learned_rf(), partial(series.rf, RADIO_TRIED), series.RF_WRONG)


def _learned(how: Scaled, recordings: Sequence[NDArray[np.float64]]) -> Well:
    """Return what recordings teach, as it is on every processor."""
    scale = Scale(*(np.round(part, _DIGITS) for part in how.scaled(np.concatenate(recordings))))
    well = how.taught(scale, recordings)
    return replace(well, windows=_tidied(well.windows))


def _scaled_file(well: Well, about: About) -> bytes:
    """Return the model of windows that have a scale."""
    mean, deviation = (tuple(part.tolist()) for part in well.scale)
    own = {"length": well.length, "every": well.every, "scale_mean": mean, "scale_deviation": deviation}
    return modelled(well.windows, KINDS[about.kind].groups(len(mean)), about, **own)


def _scaled_card(how: Scaled, well: Well, made: Callable[[int, str], NDArray[np.float64]], wrongs: Sequence[str]) -> str:
    """Return the table of a model of windows that have a scale."""
    shares = {
        wrong: [_told(well.windows, how.measured(well.scale, made(seed, wrong))) for seed in HELD_OUT] for wrong in ("", *wrongs)
    }
    return f"{_table(shares)}\n\n{_spent(well.windows, how.measured(well.scale, made(HELD_OUT.start, '')))}"


def _spent(learned: Learned, windows: NDArray[np.float64]) -> str:
    """Tell what a window would cost on the chip; each spike of layer 1 reaches one neuron."""
    lines = encode(learned.edges, windows)
    made = surprise.layer(learned.habits)
    reached = (made.weights != 0).sum(axis=0)
    active = np.arange(lines.shape[1]) * BINS + lines
    synapses = surprise.STEPS * (reached[active].sum(axis=1).mean() + reached[-1])
    synapses += surprise.surprises(learned.habits, lines).sum(axis=1).mean()
    return f"Counted on normal windows: {energy.told(synapses, surprise.STEPS * (made.units + 2), 'a window')}"


def _power(seed: int, count: int, wrong: str = "") -> NDArray[np.float64]:
    """Return windows of a device."""
    return np.round(measured(series.power(count, seed, wrong)), _DIGITS)


def _told(learned: Learned, windows: NDArray[np.float64]) -> float:
    """Return the share of windows in which a neuron fires."""
    return len(detector.scan(learned, windows, np.arange(len(windows)))) / len(windows)


def _tidied(learned: Learned) -> Learned:
    """Leave out the digits that differ from processor to processor."""
    (first, second), (one, other), most = learned.thresholds.mean, learned.thresholds.spread, learned.thresholds.most
    mean, spread = (round(first, _DIGITS), round(second, _DIGITS)), (round(one, _DIGITS), round(other, _DIGITS))
    return replace(learned, thresholds=Thresholds(mean, spread, round(most, _DIGITS)))


def _table(shares: dict[str, list[float]]) -> str:
    rows = ["| series | windows told, mean | least of six | most of six |", "|---|---|---|---|"]
    rows += [f"| {wrong or 'normal'} | {np.mean(own):.1%} | {min(own):.1%} | {max(own):.1%} |" for wrong, own in shares.items()]
    return "\n".join(rows)


def _training(what: str) -> Training:
    return Training(
        data=f"generated series of {what}",
        generator=f"spikebridge_detectors.traffic.series version {series.VERSION}",
        seed=TRAINED.start,
    )
