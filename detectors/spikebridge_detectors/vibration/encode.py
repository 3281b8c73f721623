"""What vibration is told by: spikes of the moves beyond two step sizes, of zero crossings and of turning points."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from spikebridge_detectors.encode.delta import Delta
from spikebridge_detectors.errors import ModelError
from spikebridge_detectors.windows.well import Scale

if TYPE_CHECKING:
    from numpy.typing import NDArray

NAMES = ("coarse moves", "fine moves", "crossings of the mean", "turns")
"""The columns of a channel."""

MOST_CHANNELS = 16
_REACH = 8.0
_PIECE = 1 << 14
MOVES = tuple(Delta(step=step, low=-_REACH, high=_REACH) for step in (1.0, 0.25))


@dataclass(slots=True)
class Moved:
    """What the next sample is compared with: the references of both step sizes, the last sample and the last move of each channel."""

    references: list[NDArray[np.int32] | None] = field(default_factory=lambda: [None] * len(MOVES))
    last: NDArray[np.float64] | None = None
    move: NDArray[np.float64] | None = None


def learn_scale(values: NDArray[np.float64]) -> Scale:
    """Return mean and deviation of samples [sample, channel]; a channel that stays is taken as it is."""
    if not len(values) or not 0 < values.shape[1] <= MOST_CHANNELS or not np.isfinite(values).all():
        raise ModelError(f"training: expected finite samples of 1 to {MOST_CHANNELS} channels, found {values.shape}")
    deviation = values.std(axis=0)
    return Scale(values.mean(axis=0), np.where(deviation > 0, deviation, 1.0))


def events(scale: Scale, values: NDArray[np.float64], moved: Moved) -> NDArray[np.int64]:
    """
    Return at each sample what happened, [sample, channel * 4 + column].

    Columns are steps moved at the large and at the small step size, a crossing of the mean, and a turn. NaN moves nothing.
    """
    if values.shape[1:] != scale.mean.shape:
        raise ModelError(f"expected samples of {len(scale.mean)} channels, found {values.shape}")
    pieces = [(values[first : first + _PIECE] - scale.mean) / scale.deviation for first in range(0, len(values), _PIECE)]
    return np.concatenate([np.zeros((0, len(NAMES) * len(scale.mean)), np.int64), *(_piece(piece, moved) for piece in pieces)])


def _piece(signal: NDArray[np.float64], moved: Moved) -> NDArray[np.int64]:
    sent = []
    for number, code in enumerate(MOVES):
        encoded = code.spikes(signal.T, moved.references[number])
        moved.references[number] = encoded.state
        sent.append(encoded.spikes.astype(np.int64) @ np.tile(1 << np.arange(code.bits), 2))
    before = signal[:1] if moved.last is None else moved.last[np.newaxis]
    path = np.concatenate((before, signal))
    move = np.diff(path, axis=0)
    moves = np.concatenate((np.zeros_like(move[:1]) if moved.move is None else moved.move[np.newaxis], move))
    moved.last, moved.move = signal[-1].copy(), move[-1].copy()
    crossed = (path[1:] > 0) != (path[:-1] > 0)
    turned = np.sign(moves[1:]) * np.sign(moves[:-1]) < 0
    return np.stack([*sent, crossed, turned], axis=2).astype(np.int64).reshape(len(signal), -1)
