"""The network of windows run over recorded spikes: layers of one clock, each with its sources before it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from spikebridge_detectors.errors import ModelError
from spikebridge_detectors.lif import State, advance
from spikebridge_detectors.raster import pack, unpack

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from spikebridge_detectors.model.file import Model

_ALL = "inputs"


def run(model: Model, words: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Run from zero over [line, word] and return [output, word]."""
    said = model.header.layers
    spikes = {_ALL: unpack(words[None])}
    for one, layer in zip(said, model.layers, strict=True):
        if one.step_ns != said[0].step_ns or not spikes.keys() >= set(one.sources):
            raise ModelError(f"layer {one.name}: expected the clock of the others, and sources before it, found others")
        spikes[one.name] = advance(layer, State.zero(layer, 1), np.concatenate([spikes[name] for name in one.sources], axis=2))
    rows = np.stack([spikes[output.layer][:, 0, output.unit] for output in model.header.outputs], axis=1)
    fired: NDArray[np.uint32] = pack(rows[:, None])[0]
    return fired
