"""Networks: layers behind one another, run over words of packed spikes for any number of devices."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from spikebridge_detectors import lif
from spikebridge_detectors.errors import ModelError
from spikebridge_detectors.raster import pack, unpack

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

BLOCK = 256
"""So many devices are run together: what they carry fits the core's cache."""


@dataclass(frozen=True, slots=True)
class Network:
    """Layers, the outputs of each the inputs of the next."""

    layers: tuple[lif.Layer, ...]

    def __post_init__(self) -> None:
        """Refuse layers that don't fit together."""
        for number, (before, after) in enumerate(pairwise(self.layers), 2):
            if before.units != after.inputs:
                raise ModelError(
                    f"layer {number}: expected {before.units} inputs, as layer {number - 1} has units, found {after.inputs}"
                )

    @property
    def inputs(self) -> int:
        """Return how many inputs the first layer has."""
        return self.layers[0].inputs

    @property
    def outputs(self) -> int:
        """Return how many units the last layer has."""
        return self.layers[-1].units

    def zero(self, devices: int) -> list[lif.State]:
        """Return the state of devices that have seen nothing."""
        return [lif.State.zero(layer, devices) for layer in self.layers]

    def run(self, states: Sequence[lif.State], words: NDArray[np.uint32]) -> NDArray[np.uint32]:
        """Run over [device, input, word] packed spikes, return the last layer's, and leave the states where they end."""
        self.check(states, words)
        devices, _, count = words.shape
        outputs = np.empty((devices, self.outputs, count), np.uint32)
        for first in range(0, devices, BLOCK):
            some = slice(first, first + BLOCK)
            outputs[some] = pack(self._through([state.part(some) for state in states], unpack(words[some])))
        for state in states:
            state.step += count * 32
        return outputs

    def check(self, states: Sequence[lif.State], words: NDArray[np.uint32]) -> None:
        """Refuse spikes or states that aren't this network's and of as many devices."""
        devices, inputs, _ = words.shape
        if inputs != self.inputs:
            raise ModelError(f"expected spikes of {self.inputs} inputs, found {inputs}")
        wanted = [(devices, layer.units) for layer in self.layers]
        found = [state.v.shape for state in states]
        if found != wanted or any(not (state.current.shape == state.u.shape == state.v.shape) for state in states):
            raise ModelError(f"expected states of {wanted} devices and units, found {found}")

    def _through(self, states: Sequence[lif.State], spikes: NDArray[np.bool_]) -> NDArray[np.bool_]:
        for layer, state in zip(self.layers, states, strict=True):
            spikes = lif.advance(layer, state, spikes)
        return spikes
