"""
Generated series: what a small device draws, how a machine shakes, and how strong a radio is heard, as they are and with something wrong.

    power       mining     a high and even draw            encryption  steps of a cipher while it should idle
                flooded    its radio answers without end
    vibration   added      a tone that wasn't there        damped      less movement than before
                smooth     the motor without its noise     loose       knocks at each fourth turn
                loaded     pushed to one side: along one axis it can't move past its rest
    rf          regular    frames by a timer               smooth      no fading and no ripple, as one that is synthesized
                jammed     noise for a third of the time   second      another, weaker transmitter between the frames
                nearer     one 4 dB louder in its place    replayed    its own recording, which fades once more

Power is current and voltage of the supply, ten samples a second; vibration two axes, a thousand samples a second;
rf the strength of one channel in steps of half a dB as a cheap receiver gives it, a thousand samples a second.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from spikebridge_detectors.errors import ModelError

if TYPE_CHECKING:
    from numpy.typing import NDArray

VERSION = 1
MOST_SAMPLES = 1 << 20
POWER_WRONG = ("mining", "encryption", "flooded")
VIBRATION_WRONG = ("added", "damped", "smooth", "loose", "loaded")
RF_WRONG = ("regular", "smooth", "jammed", "second", "nearer", "replayed")

_RATE = 1000.0
_DIGITS = 6
"""So many digits are the same on every processor: what a sine has behind them isn't."""

_WORK, _REST = 0.004, 0.006


def power(count: int, seed: int, wrong: str = "") -> NDArray[np.float64]:
    """Return so many samples [sample, channel] of one device: amperes, and the volts that they leave."""
    luck = _luck(count, seed, wrong, POWER_WRONG, 1)
    works = _switched(count, luck)
    idle, busy = 0.25 * luck.uniform(0.98, 1.02), 0.8 * luck.uniform(0.98, 1.02)
    noise = luck.normal(0, 0.012, count)
    amperes = np.where(works, busy + luck.normal(0, 0.06, count), idle) + noise
    amperes += 0.18 * (luck.random(count) < np.where(works, 0.05, 0.02))
    if wrong == "mining":
        amperes = busy + 0.02 + 0.5 * noise
    elif wrong == "encryption":
        amperes = idle + 0.25 * (np.arange(count) // 3 % 2) + noise
    elif wrong == "flooded":
        amperes = np.where(works, busy, idle) + noise + 0.18 * (luck.random(count) < 0.6)  # noqa: PLR2004  more often than not
    volts = 5 - 0.2 * amperes + luck.normal(0, 0.004, count)
    return _rounded([amperes, volts])


def vibration(count: int, seed: int, wrong: str = "") -> NDArray[np.float64]:
    """Return so many samples [sample, axis] of one machine that turns at its speed."""
    luck = _luck(count, seed, wrong, VIBRATION_WRONG, 2)
    turns = np.cumsum(luck.uniform(23, 27) * (1 + 0.01 * luck.normal(0, 1, count))) / _RATE
    size, phases = luck.uniform(0.9, 1.1), luck.uniform(0, 1, 3)
    axes = []
    for axis in range(2):
        waves = sum(
            size / (order + 1) * np.sin(2 * np.pi * (order * turns + phase + axis / 4)) for order, phase in enumerate(phases, 1)
        )
        noise = luck.normal(0, 0.12, count)
        signal = waves + (0 if wrong == "smooth" else noise)
        if wrong == "added":
            signal = signal + 0.5 * np.sin(2 * np.pi * 180 * np.arange(count) / _RATE)
        elif wrong == "damped":
            signal = 0.55 * waves + noise
        elif wrong == "loaded":
            signal = (np.minimum(waves, 0) if axis else waves) + noise
        elif wrong == "loose":
            signal = signal + 1.2 * (turns % 4 < 0.1) * np.sign(luck.normal(0, 1, count))  # noqa: PLR2004  a tenth of a turn
        axes.append(signal)
    return _rounded(axes)


def rf(count: int, seed: int, wrong: str = "") -> NDArray[np.float64]:
    """Return so many samples [sample, 1] of one transmitter's channel, in dBm: some 25 frames a second above a floor."""
    luck = _luck(count, seed, wrong, RF_WRONG, 3)
    floor, level, jitter = luck.uniform(-96, -95), luck.uniform(-62, -61), luck.uniform(2.2, 2.8)
    other = np.random.default_rng([VERSION, 3, seed, 1])
    frames = _frames(count, luck, 40.0, 0.0 if wrong == "regular" else jitter)
    strength = np.full(count, level + (4 if wrong == "nearer" else 0))
    if wrong != "smooth":
        strength += _fading(count, luck) + luck.normal(0, 0.6, count)
    if wrong == "replayed":
        strength += _fading(count, other)
    heard = np.where(frames, strength, floor + luck.normal(0, 1.5, count))
    if wrong == "jammed":
        noise = floor + 9 + other.normal(0, 3, count)
        heard = np.where(np.repeat(other.random(count // 100 + 1) < 1 / 3, 100)[:count], np.maximum(heard, noise), heard)
    elif wrong == "second":
        heard = np.maximum(heard, np.where(_frames(count, other, 130.0, 20.0), level - 9 + other.normal(0, 0.6, count), heard))
    return _rounded([np.round(2 * heard) / 2])


def _frames(count: int, luck: np.random.Generator, apart: float, jitter: float) -> NDArray[np.bool_]:
    """Return when a transmitter is on the air: frames of 6 or 14 samples, which begin so many apart, some of them later as the air was taken."""
    most = int(2 * count / apart) + 2
    late = np.where(luck.random(most) < 0.1, luck.exponential(4, most), 0) if jitter else np.zeros(most)  # noqa: PLR2004  one in ten
    begins = np.cumsum(np.maximum(apart + jitter * luck.normal(0, 1, most) + late, 1)).astype(np.int64)
    lengths = np.where(luck.random(most) < 0.25, 14, 6)  # noqa: PLR2004  one in four
    change = np.zeros(count + 1, np.int64)
    np.add.at(change, np.minimum(begins, count), 1)
    np.add.at(change, np.minimum(begins + lengths, count), -1)
    found: NDArray[np.bool_] = np.cumsum(change[:-1]) > 0
    return found


def _fading(count: int, luck: np.random.Generator) -> NDArray[np.float64]:
    """Return a level that wanders by a dB within seconds."""
    knots = luck.normal(0, 0.8, count // 500 + 2)
    found: NDArray[np.float64] = np.interp(np.arange(count), np.arange(len(knots)) * 500, knots)
    return found


def _luck(count: int, seed: int, wrong: str, known: tuple[str, ...], kind: int) -> np.random.Generator:
    """Return the luck of one device, whatever is wrong with it."""
    if not 1 <= count <= MOST_SAMPLES:
        raise ModelError(f"samples: expected 1 to {MOST_SAMPLES}, found {count}")
    if wrong and wrong not in known:
        raise ModelError(f'what is wrong: expected one of {", ".join(known)}, found "{wrong}"')
    return np.random.default_rng([VERSION, kind, seed])


def _switched(count: int, luck: np.random.Generator) -> NDArray[np.bool_]:
    """Return when the device works: it begins and ends by luck."""
    ends = np.cumsum(np.where(np.arange(count) % 2, luck.geometric(_WORK, count), luck.geometric(_REST, count)))
    found: NDArray[np.bool_] = np.searchsorted(ends, np.arange(count), side="right") % 2 == 1
    return found


def _rounded(channels: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    found: NDArray[np.float64] = np.stack(channels, axis=1).round(_DIGITS)
    return found
