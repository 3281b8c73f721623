"""The fixed-point neuron as its equations say it, in integers, one device and one step at a time: what the quick one must equal."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from spikebridge_detectors.lif import Layer


class Reference:
    """One layer of one device."""

    def __init__(self, layer: Layer, u: int = 0, v: int = 0) -> None:
        """Begin with the same u and v in each neuron."""
        self.layer = layer
        self.u = np.full(layer.units, u, np.int64)
        self.v = np.full(layer.units, v, np.int64)
        self.current = np.zeros(layer.units, np.int64)
        self.step = 0

    def advance(self, spikes: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Do one step."""
        layer = self.layer
        self.step += 1
        if layer.reset and self.step % layer.reset.interval == layer.reset.offset % layer.reset.interval:
            self.u[:] = self.v[:] = 0
        u = _leaked(self.u, 4096 - (layer.du + 1)) + (self.current << 6)
        u = np.where(u > 1 << 23, u - (1 << 24), np.where(u <= -(1 << 23), u + (1 << 24), u))
        v = _leaked(self.v, 4096 - layer.dv) + u + layer.bias
        v = np.clip(v, 1 - (1 << 23), (1 << 23) - 1)
        fired: NDArray[np.bool_] = v > layer.vth << 6
        self.u, self.v = u, np.where(fired, 0, v)
        summed = layer.weights.astype(np.int64) @ spikes.astype(np.int64)
        self.current = summed << layer.exponent if layer.exponent > 0 else summed >> -layer.exponent
        return fired


def _leaked(value: NDArray[np.int64], share: int) -> NDArray[np.int64]:
    product = value * share
    leaked: NDArray[np.int64] = np.sign(product) * (np.abs(product) >> 12)
    return leaked
