"""Weights on the grid that synapses of few bits hold: rounded to it, pruned, and packed as bits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from spikebridge_detectors.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from spikebridge_detectors.lif import Sign

_WEIGHT_BITS = 8
_LARGEST = 256


def sign_of(weights: NDArray[Any]) -> Sign:
    """Return the sign that synapses need for these weights; zeros alone are excitatory."""
    return "excitatory" if weights.min() >= 0 else "inhibitory" if weights.max() <= 0 else "mixed"


def rounded(weights: NDArray[Any], bits: int = _WEIGHT_BITS, sign: Sign | None = None) -> NDArray[np.int16]:
    """
    Return the nearest weights that synapses of so many bits hold, of two that are as near the higher magnitude's (for mixed ones the higher).

    The chip floors, which moves every odd mixed weight down by one and so a whole layer; what is rounded first, it leaves as it is.
    The error is at most half a step: 2**(7 - bits), and twice that for mixed synapses; more only beyond the ends of the range.
    """
    if not np.isfinite(weights).all():
        raise ModelError("expected finite weights, found NaN or infinity")
    sign = sign or sign_of(weights)
    shift, turned = _dropped(bits, sign), -1 if sign == "inhibitory" else 1
    step = 1 << shift
    steps = np.floor(np.asarray(weights, np.float64) * turned / step + 0.5)
    held = np.clip(steps, -_LARGEST // step if sign == "mixed" else 0, _LARGEST // step - 1) * step
    return (held * turned).astype(np.int16)


def pruned(weights: NDArray[Any], keep: float, bits: int = _WEIGHT_BITS, sign: Sign | None = None) -> NDArray[np.int16]:
    """
    Return weights of which at most the share `keep`, the largest by magnitude, isn't 0, on the grid.

    They are pruned before they are rounded: the chip's floor would turn a small negative weight into a whole step.
    Without a sign it is that of all weights before: without the pruned ones it may be another, with another grid.
    """
    if not 0 <= keep <= 1:
        raise ModelError(f"expected a share of 0 to 1 to keep, found {keep}")
    sign = sign or sign_of(weights)
    left = np.array(weights, np.float64)
    smallest = np.argsort(np.abs(left), axis=None, kind="stable")[: left.size - int(left.size * keep)]
    left.flat[smallest] = 0
    return rounded(left, bits, sign)


def pack(weights: NDArray[np.int16], bits: int, sign: Sign, *, sparse: bool) -> bytes:
    """Return weights row by row, lowest bit first, filled up with zeros to a byte; sparse ones behind a bit each that says which aren't 0."""
    on_grid = weights == rounded(weights, bits, sign)
    if not on_grid.all():
        unit, line = np.argwhere(~on_grid)[0]
        raise ModelError(
            f"weight of unit {unit}, input {line}: expected one that {sign} synapses of {bits} bits hold, found {weights[unit, line]}"
        )
    codes = (weights.ravel() * (-1 if sign == "inhibitory" else 1)) >> _dropped(bits, sign)
    if not sparse:
        return _bits(codes, bits)
    return _bits(codes != 0, 1) + _bits(codes[codes != 0], bits)


def unpack(take: Callable[[int], bytes], shape: tuple[int, int], bits: int, sign: Sign, *, sparse: bool) -> NDArray[np.int16]:
    """Return what `pack` was given; `take` hands over so many bytes, or says that there are not so many."""
    count = shape[0] * shape[1]
    if sparse:
        there = _numbers(take, count, 1).astype(np.bool_)
        codes = np.zeros(count, np.int16)
        codes[there] = _numbers(take, int(there.sum()), bits)
        if not codes[there].all():
            raise ModelError("expected sparse weights without zeros")
    else:
        codes = _numbers(take, count, bits)
    if sign == "mixed":
        codes -= (codes >> (bits - 1)) << bits
    return ((codes << _dropped(bits, sign)) * (-1 if sign == "inhibitory" else 1)).astype(np.int16).reshape(shape)


def _dropped(bits: int, sign: Sign) -> int:
    return _WEIGHT_BITS - bits + (sign == "mixed")


def _bits(codes: NDArray[Any], bits: int) -> bytes:
    single = codes[:, None].astype(np.int16) >> np.arange(bits, dtype=np.int16) & 1
    return np.packbits(single.astype(np.uint8), axis=None, bitorder="little").tobytes()


def _numbers(take: Callable[[int], bytes], count: int, bits: int) -> NDArray[np.int16]:
    """Read so many numbers without a sign."""
    octets = np.frombuffer(take(-(-count * bits // 8)), np.uint8)
    single = np.unpackbits(octets, bitorder="little")
    if single[count * bits :].any():
        raise ModelError("expected zeros behind the last weight")
    return single[: count * bits].reshape(count, bits) @ (1 << np.arange(bits, dtype=np.int16))
