"""
What all encoders share: signals are [sample] or [device, sample], spikes [step, line] or [step, device, line] as the engine takes them.

What a signal holds never fails: not a number is no spike, what lies outside a range counts as its end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from spikebridge_detectors.errors import ModelError

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST_CELLS = 1 << 25
"""So many steps times lines of all devices are encoded at once, at most."""

MOST_LINES = 1024


class Encoded(NamedTuple):
    """Spikes, and what the next call begins with: None as long as nothing came."""

    spikes: NDArray[np.bool_]
    state: NDArray[Any] | None


def expect(place: str, expected: str, found: object, *, fits: bool) -> None:
    """Refuse a setting that doesn't fit."""
    if not fits:
        raise ModelError(f"{place}: expected {expected}, found {found}")


def bounded(encoder: str, signal: NDArray[Any], cells: int) -> None:
    """Refuse a signal without samples' axis, or one whose samples of so many cells each are too many."""
    expect(encoder, "a signal of [sample] or [device, sample]", f"{signal.ndim} axes", fits=signal.ndim in {1, 2})
    expect(
        encoder, f"at most {MOST_CELLS} steps times lines at once", signal.size * cells, fits=signal.size * cells <= MOST_CELLS
    )


def by_sample(lines: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return [..., sample, line] as the engine takes it: a step for each sample."""
    return np.moveaxis(lines, -2, 0)


def by_window(steps: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return [..., sample, step] as the engine takes it: on one line, the steps of a sample behind those of the one before."""
    spikes = steps.reshape(*steps.shape[:-2], steps.shape[-2] * steps.shape[-1])
    return np.moveaxis(spikes, -1, 0)[..., np.newaxis]


def windows(encoder: str, spikes: NDArray[np.bool_], steps: int) -> NDArray[np.bool_]:
    """Return [..., sample, step]: the inverse of `by_window`."""
    whole = spikes.ndim in {2, 3} and spikes.shape[-1] == 1 and spikes.shape[0] % steps == 0
    expect(encoder, f"spikes of one line in windows of {steps} steps", spikes.shape, fits=whole)
    line = np.moveaxis(spikes[..., 0], 0, -1)
    return line.reshape(*line.shape[:-1], line.shape[-1] // steps, steps)


def samples(encoder: str, spikes: NDArray[np.bool_], lines: int) -> NDArray[np.bool_]:
    """Return [..., sample, line]: the inverse of `by_sample`."""
    expect(encoder, f"spikes of {lines} lines", spikes.shape, fits=spikes.ndim in {2, 3} and spikes.shape[-1] == lines)
    return np.moveaxis(spikes, 0, -2)
