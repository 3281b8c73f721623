"""Delta: spikes say when a signal moved, and how far; a signal that stays sends none."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from spikebridge_detectors.encode.signal import Encoded, bounded, by_sample, expect, samples

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MOST_STEPS = (1 << 24) - 1


class Delta(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    A reference follows the signal on a lattice of `step` from `low` to `high`, and moves only if they are a step apart or more.

    How far it moves, in steps, is sent in binary: lines 0 to bits - 1 are the digits of a move up, the rest those of a move down.
    At most `bits` spikes a sample, none where the signal stays less than a step from the reference, and none for NaN.
    """

    step: float
    low: float
    high: float

    def __post_init__(self) -> None:
        """Refuse a range that isn't one, and a lattice of too many points."""
        expect("delta: high", f"a finite distance above low ({self.low})", self.high, fits=0 < self.high - self.low < math.inf)
        expect("delta: step", "a finite number above 0", self.step, fits=0 < self.step < math.inf)
        steps = (self.high - self.low) / self.step
        expect("delta: step", f"at most {_MOST_STEPS} steps from low to high", steps, fits=steps <= _MOST_STEPS)

    @property
    def top(self) -> int:
        """Return the highest point of the lattice; `low` is 0."""
        return math.ceil((self.high - self.low) / self.step)

    @property
    def bits(self) -> int:
        """Return the digits of a move from one end to the other."""
        return self.top.bit_length()

    @property
    def lines(self) -> int:
        """Return how many lines there are."""
        return 2 * self.bits

    def spikes(self, values: NDArray[Any], reference: NDArray[np.integer] | None = None) -> Encoded:
        """Return the spikes of a signal, a step for each sample, and the reference of each device: `low` to begin with."""
        bounded("delta", values, max(self.lines, 32))
        start = self._started(reference, values.shape[:-1])
        path = _followed(*self._between(values), start)
        move = np.diff(path, axis=-1, prepend=start[..., np.newaxis])
        digits = (np.abs(move)[..., np.newaxis] >> np.arange(self.bits, dtype=np.int32) & 1).astype(np.bool_)
        up = move[..., np.newaxis] > 0
        ends = path[..., -1] if path.shape[-1] else start
        return Encoded(by_sample(np.concatenate((digits & up, digits & ~up), axis=-1)), ends)

    def values(self, spikes: NDArray[np.bool_], reference: NDArray[np.integer] | None = None) -> NDArray[np.float64]:
        """Return the signal that spikes came from: less than a step off where it was inside the range."""
        digits = samples("delta", spikes, self.lines).astype(np.int64)
        start = self._started(reference, digits.shape[:-2])
        weight = 1 << np.arange(self.bits)
        move = digits[..., : self.bits] @ weight - digits[..., self.bits :] @ weight
        found: NDArray[np.float64] = self.low + self.step * (start[..., np.newaxis] + np.cumsum(move, axis=-1))
        return found

    def _started(self, reference: NDArray[np.integer] | None, shape: tuple[int, ...]) -> NDArray[np.int32]:
        start = np.zeros(shape, np.int64) if reference is None else np.asarray(reference, np.int64)
        expect("delta: reference", f"the shape {shape}", start.shape, fits=start.shape == shape)
        expect("delta: reference", f"0 to {self.top}", start, fits=bool(((start >= 0) & (start <= self.top)).all()))
        return start.astype(np.int32)

    def _between(self, values: NDArray[Any]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Return the points below and above each sample: between them the reference stays. For NaN these are the ends."""
        signal = np.asarray(values, np.float64)
        nan = np.isnan(signal)
        at = np.clip((np.clip(np.where(nan, self.low, signal), self.low, self.high) - self.low) / self.step, 0, self.top)
        return np.where(nan, 0, np.floor(at)).astype(np.int32), np.where(nan, self.top, np.ceil(at)).astype(np.int32)


def _followed(low: NDArray[np.int32], high: NDArray[np.int32], start: NDArray[np.int32]) -> NDArray[np.int32]:
    """
    Return the reference behind each sample: that before it, clipped to `low` and `high`.

    Two clips behind one another are one clip, so all are joined in pairs, over distances that double.
    """
    apart = 1
    while apart < low.shape[-1]:
        ends = low[..., apart:], high[..., apart:]
        joined = np.clip(low[..., :-apart], *ends), np.clip(high[..., :-apart], *ends)
        low = np.concatenate((low[..., :apart], joined[0]), axis=-1)
        high = np.concatenate((high[..., :apart], joined[1]), axis=-1)
        apart *= 2
    return np.clip(start[..., np.newaxis], low, high)
