"""Latency: the sooner something arrives after what was before it, the earlier its spike."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from spikebridge_detectors.encode.signal import Encoded, bounded, by_window, expect, windows

if TYPE_CHECKING:
    from numpy.typing import NDArray

_LEAST_STEPS, _MOST_STEPS = 2, 4096
_LONGEST_NS = 86_400 * 10**9
_TOP = (1 << 63) - 1


class Latency(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    One line; each arrival becomes `steps` steps of `step_ns`, with a spike in the step that its gap ends in.

    The last step holds all that is longer. At most one spike an arrival: the very first, which has no gap, has none.
    """

    step_ns: int
    steps: int

    def __post_init__(self) -> None:
        """Refuse a window that isn't one."""
        expect("latency: steps", f"{_LEAST_STEPS} to {_MOST_STEPS}", self.steps, fits=_LEAST_STEPS <= self.steps <= _MOST_STEPS)
        expect("latency: step_ns", f"1 to {_LONGEST_NS}", self.step_ns, fits=1 <= self.step_ns <= _LONGEST_NS)

    @property
    def lines(self) -> int:
        """Return how many lines there are."""
        return 1

    def spikes(self, time_ns: NDArray[np.int64], last_ns: NDArray[np.int64] | None = None) -> Encoded:
        """Return the spikes of arrivals, and each device's last time."""
        bounded("latency", time_ns, self.steps)
        gap = gaps(time_ns, last_ns)
        step = np.minimum(gap // self.step_ns, self.steps - 1)
        if last_ns is None:
            step[..., :1] = -1
        last = time_ns[..., -1] if time_ns.shape[-1] else last_ns
        return Encoded(by_window(step[..., np.newaxis] == np.arange(self.steps)), last)

    def values(self, spikes: NDArray[np.bool_]) -> NDArray[np.float64]:
        """
        Return gaps in nanoseconds, to within half a step; NaN without a spike.

        The last step tells only that a gap was at least as long as is returned.
        """
        window = windows("latency", spikes, self.steps)
        step = window.argmax(axis=-1)
        gap = np.where(step < self.steps - 1, (step + 0.5) * self.step_ns, step * float(self.step_ns))
        return np.where(window.any(axis=-1), gap, np.nan)


def gaps(time_ns: NDArray[np.int64], last_ns: NDArray[np.int64] | None = None) -> NDArray[np.int64]:
    """
    Return the nanoseconds since the arrival before: 0 where time falls, and the next gap counts from there.

    Without `last_ns`, which is one time for each device, the first gap is 0.
    """
    earlier = np.concatenate((time_ns[..., :1], time_ns[..., :-1]), axis=-1)
    if last_ns is not None:
        shape = time_ns.shape[:-1]
        expect("latency: last_ns", f"the shape {shape}", last_ns.shape, fits=last_ns.shape == shape)
        earlier[..., :1] = last_ns[..., np.newaxis]
    apart = time_ns.astype(np.uint64) - earlier.astype(np.uint64)  # exact where time rises, also beyond 63 bits
    return np.where(time_ns >= earlier, np.minimum(apart, _TOP), 0).astype(np.int64)
