"""
What a window of a radio's envelope is told by: its floor, its level on the air, how both vary, and the rhythm of its frames.

A channel is the strength of one frequency at even distances, as a receiver's RSSI or the amplitude of an envelope. It is on the air from
where it rises above the middle by a quarter of the deviation until it falls below the middle by as much; a window begins on the air if
it begins above the middle.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from spikebridge_detectors.errors import ModelError
from spikebridge_detectors.windows.well import Scale

if TYPE_CHECKING:
    from numpy.typing import NDArray

NAMES = ("floor", "floor noise", "level", "level spread", "ripple", "share on the air", "frames", "log jitter")
"""The columns of a channel; jitter is the deviation of the distances between beginnings of frames, a quarter of a sample at least, as log2."""

MOST_CHANNELS = 2
"""So many fit a model file."""
_ROUNDS = 64
_REACH = 0.25
_LEAST_FRAMES = 3
_LEAST_JITTER = 0.25
_DIGITS = 6
"""So many digits of a logarithm are the same on every processor."""

_AT_ONCE = 1 << 18


def learn_scale(values: NDArray[np.float64]) -> Scale:
    """Return the middle between floor and level of samples [sample, channel], and half their distance; a channel that stays is taken as it is."""
    if not len(values) or not 0 < values.shape[1] <= MOST_CHANNELS or not np.isfinite(values).all():
        raise ModelError(f"training: expected finite samples of 1 to {MOST_CHANNELS} channels, found {values.shape}")
    found = np.array([_halved(channel) for channel in values.T])
    return Scale(found[:, 0], np.where(found[:, 1] > 0, found[:, 1], 1.0))


def windows(scale: Scale, values: NDArray[np.float64], length: int, every: int) -> NDArray[np.float64]:
    """Return the columns of windows of samples [sample, channel], as [window, channel * 8 + column]."""
    if values.shape[1:] != scale.mean.shape:
        raise ModelError(f"expected samples of {len(scale.mean)} channels, found {values.shape}")
    if len(values) < length:
        return np.zeros((0, len(NAMES) * len(scale.mean)))
    held = np.lib.stride_tricks.sliding_window_view(values, length, axis=0)[::every]
    most = max(1, _AT_ONCE // (length * len(scale.mean)))
    return np.concatenate([_measured(scale, held[first : first + most]) for first in range(0, len(held), most)])


def _halved(channel: NDArray[np.float64]) -> tuple[float, float]:
    """Return the middle between the means of what lies above it and below it, and half their distance."""
    middle, half = float((channel.min() + channel.max()) / 2), 0.0
    for _ in range(_ROUNDS):
        above = channel > middle
        if above.all() or not above.any():
            break
        high, low = float(channel[above].mean()), float(channel[~above].mean())
        before, middle, half = middle, (high + low) / 2, (high - low) / 2
        if middle == before:
            break
    return middle, half


def _measured(scale: Scale, held: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the columns of windows [window, channel, sample]."""
    values = np.ascontiguousarray(held)
    reach = _REACH * scale.deviation[:, np.newaxis]
    air = _on_air(values - scale.mean[:, np.newaxis], reach)
    with np.errstate(invalid="ignore", over="ignore"):
        floor, noise = _spread(values, ~air, values.min(axis=2))
        level, spread = _spread(values, air, values.max(axis=2))
        both = air[:, :, 1:] & air[:, :, :-1]
        ripple = _sum(np.abs(np.diff(values, axis=2)), both) / np.maximum(both.sum(axis=2), 1)
    began = air & ~np.concatenate((air[:, :, :1], air[:, :, :-1]), axis=2)
    frames, jitter = began.sum(axis=2), _jitter(began)
    columns = np.stack((floor, noise, level, spread, ripple, air.mean(axis=2), frames, jitter), axis=2)
    found: NDArray[np.float64] = columns.reshape(len(values), -1)
    return found


def _on_air(above: NDArray[np.float64], reach: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which samples are on the air: between both limits it stays as it was; NaN changes nothing."""
    changes = (above > reach) | (above < -reach)
    changes[:, :, 0] = True
    last = np.maximum.accumulate(np.where(changes, np.arange(above.shape[2]), 0), axis=2)
    found: NDArray[np.bool_] = np.take_along_axis(above > 0, last, axis=2)
    return found


def _spread(
    values: NDArray[np.float64], which: NDArray[np.bool_], none: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean and deviation of some samples of each window; where there are none, `none` and 0."""
    count = which.sum(axis=2)
    mean = np.where(count, _sum(values, which) / np.maximum(count, 1), none)
    deviation = np.sqrt(_sum((values - mean[:, :, np.newaxis]) ** 2, which) / np.maximum(count, 1))
    return mean, deviation


def _sum(values: NDArray[np.float64], which: NDArray[np.bool_]) -> NDArray[np.float64]:
    found: NDArray[np.float64] = np.where(which, values, 0.0).sum(axis=2)
    return found


def _jitter(began: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return log2 of the deviation of the distances between frames; with less than three frames it is the least."""
    number = np.arange(began.shape[2])
    before = np.maximum.accumulate(np.where(began, number, -1), axis=2)
    before = np.concatenate((np.full_like(before[:, :, :1], -1), before[:, :, :-1]), axis=2)
    counts = began & (before >= 0)
    distance = np.where(counts, number - before, 0)
    count = np.maximum(counts.sum(axis=2), 1)
    total, squares = distance.sum(axis=2), (distance**2).sum(axis=2)
    deviation = np.sqrt(np.maximum(count * squares - total**2, 0)) / count
    enough = counts.sum(axis=2) >= _LEAST_FRAMES - 1
    found: NDArray[np.float64] = np.log2(np.maximum(np.where(enough, deviation, 0.0), _LEAST_JITTER)).round(_DIGITS)
    return found
