"""
Layers in floating point, as other frameworks have them, and the way from there onto the hardware's grid.

    u      = keep_u * u + weights @ spikes of the step before
    v      = keep_v * v + u + bias
    spike  = v > threshold, and v = 0 then

It is the integer neuron of `lif` but for truncation: one unit here is 64 there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from spikebridge_detectors.errors import ModelError
from spikebridge_detectors.lif import UNIT, Layer
from spikebridge_detectors.model.header import MANTISSAS
from spikebridge_detectors.model.synapses import rounded, sign_of
from spikebridge_detectors.raster import pack, unpack

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_LEAK = 4096
_MOST_VTH = (1 << 17) - 1
_MOST_CURRENT = (1 << 15) - 1
_MOST_EXPONENT = 7
_MOST_WEIGHT = 256
_LOST = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Floating:
    """One layer: weights as [unit, input], a bias for each unit."""

    weights: NDArray[np.float64]
    keep_u: float
    keep_v: float
    threshold: float
    bias: NDArray[np.float64]


def floating(layer: Layer) -> Floating:
    """Return a layer of the hardware in floating point; a periodic reset has no counterpart there."""
    if layer.reset:
        raise ModelError("expected neurons without a periodic reset, which other frameworks don't have")
    return Floating(
        weights=layer.weights.astype(np.float64) * 2.0**layer.exponent,
        keep_u=(_LEAK - 1 - layer.du) / _LEAK,
        keep_v=(_LEAK - layer.dv) / _LEAK,
        threshold=float(layer.vth),
        bias=layer.bias / UNIT,
    )


def on_grid(layer: Floating, bits: int) -> Layer:
    """
    Return the layer that hardware can hold and that is nearest to this one.

    What fits as it is stays as it is. Otherwise weights, threshold and biases are scaled together, so that the largest weight uses all bits.
    """
    finite = [np.isfinite(value).all() for value in (layer.weights, layer.bias, layer.threshold)]
    if (
        not all(finite)
        or not layer.weights.any()
        or layer.threshold <= 0
        or not (0 <= layer.keep_u < 1 and 0 <= layer.keep_v <= 1)
    ):
        raise ModelError("expected finite weights that aren't all 0, a threshold above 0, and leaks between 0 and 1")
    sign = sign_of(layer.weights)
    exact = (_fitted(layer, bits, 1.0, exponent) for exponent in range(_MOST_EXPONENT + 1))
    for found in exact:
        if found and _same(floating(found), layer):
            return found
    scale = (_MOST_WEIGHT - (1 << 8 - bits + (sign == "mixed"))) / float(np.abs(layer.weights).max())
    for exponent in range(_MOST_EXPONENT, -1, -1):
        if found := _fitted(layer, bits, scale * 2**exponent, exponent):
            return found
    raise ModelError(
        "expected threshold, biases and sums of weights that hardware holds beside the largest weight, found larger ones"
    )


def run(layers: Sequence[Floating], words: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Run from zero over [input, word] packed spikes and return the last layer's, each layer a step late as on hardware."""
    spikes = unpack(words[None])[:, 0].astype(np.float64)
    for layer in layers:
        came = np.vstack([np.zeros((1, len(layer.bias))), spikes[:-1] @ layer.weights.T])
        u, v = np.zeros_like(layer.bias), np.zeros_like(layer.bias)
        fired = np.zeros(came.shape)
        for step, current in enumerate(came):
            u = layer.keep_u * u + current
            v = layer.keep_v * v + u + layer.bias
            fired[step] = v > layer.threshold
            v[v > layer.threshold] = 0
        spikes = fired
    words = pack(spikes.astype(np.bool_)[:, None])
    return words.reshape(words.shape[1:])


def _same(one: Floating, other: Floating) -> bool:
    """Say whether weights and threshold are equal, but for what is lost when they pass through a file of floats."""
    close = (np.allclose(one.weights, other.weights, rtol=_LOST, atol=0), np.isclose(one.threshold, other.threshold, rtol=_LOST))
    return all(close)


def _fitted(layer: Floating, bits: int, scale: float, exponent: int) -> Layer | None:
    """Return the layer at this scale, or nothing if a number is beyond its range."""
    weights = rounded(layer.weights * scale / 2**exponent, bits, sign_of(layer.weights))
    bias = np.rint(layer.bias * scale * UNIT)
    shift = next((one for one in range(_MOST_EXPONENT) if np.abs(bias).max() <= MANTISSAS[-1] << one), _MOST_EXPONENT)
    mantissas = np.rint(bias / 2**shift)
    vth = round(layer.threshold * scale)
    sums = weights.clip(0).sum(axis=1).max(), -weights.clip(None, 0).sum(axis=1).min()
    fits = (
        np.abs(layer.weights * scale / 2**exponent).max() <= _MOST_WEIGHT
        and np.abs(mantissas).max() <= MANTISSAS[-1]
        and 0 < vth <= _MOST_VTH
        and int(max(sums)) << exponent <= _MOST_CURRENT
    )
    if not fits:
        return None
    return Layer(
        weights=weights,
        exponent=exponent,
        du=min(max(round(_LEAK - 1 - _LEAK * layer.keep_u), 0), _LEAK - 1),
        dv=min(max(round(_LEAK - _LEAK * layer.keep_v), 0), _LEAK - 1),
        vth=vth,
        bias=(mantissas * 2**shift).astype(np.int32),
    )
