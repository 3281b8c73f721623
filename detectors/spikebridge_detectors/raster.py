"""Rasters: which unit fired at which step, as bits in words of 32 steps or as one boolean for each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

WORD_STEPS = 32


def unpack(words: NDArray[np.uint32]) -> NDArray[np.bool_]:
    """
    Return spikes as [step, device, unit] from words as [device, unit, word]: bit t of a word is its step t.

    The inverse of `pack`, exact.
    """
    devices, units, count = words.shape
    octets = np.ascontiguousarray(words, "<u4").view(np.uint8).reshape(devices, units, 4 * count)
    return np.unpackbits(octets, axis=2, bitorder="little").view(np.bool_).transpose(2, 0, 1)


def pack(spikes: NDArray[np.bool_]) -> NDArray[np.uint32]:
    """Return words as [device, unit, word] from spikes as [step, device, unit]; the last word ends in steps without a spike."""
    steps, devices, units = spikes.shape
    octets = np.packbits(spikes.transpose(1, 2, 0), axis=2, bitorder="little")
    whole = np.zeros((devices, units, -(-steps // WORD_STEPS) * 4), np.uint8)
    whole[:, :, : octets.shape[2]] = octets
    return whole.view("<u4")
