"""
Both layers of timing as their neurons, run over recorded spikes: how a model file of timing is tried.

A recorded step is a second with one packet at most. Layer 1 takes a step for each packet; what it finds is counted, as binary lines,
in the second after it, as the detector does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from spikebridge_detectors.errors import ModelError
from spikebridge_detectors.lif import Layer, State, advance
from spikebridge_detectors.raster import pack, unpack
from spikebridge_detectors.timing.learning import weighed
from spikebridge_detectors.timing.marks import BINS, LINES, PAIRS
from spikebridge_detectors.timing.ticks import COUNT_LINES, MOST_COUNT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from spikebridge_detectors.model.file import Model

ENCODED = (
    *(f"pair-{number}" for number in range(PAIRS)),
    *(f"gap-{number}" for number in range(BINS)),
    *(f"own-{number}" for number in range(BINS)),
)
"""The lines of layer 1."""

COUNTS = tuple(f"count_{bit}" for bit in range(COUNT_LINES))
BETWEEN = ("packet", "packet_before", "error", *COUNTS)
"""The lines of layer 2, which are worked out; nothing is recorded on them."""

INPUTS = (*ENCODED, "new", *BETWEEN)
FIRST = "surprise"


def run(model: Model, words: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Run from zero over [line, word] and return [output, word]."""
    said = model.header.layers
    if model.header.inputs != INPUTS or said[0].name != FIRST or said[0].sources != ENCODED:
        raise ModelError(f"expected the lines of timing and layer {FIRST} of them, found another network")
    raster = unpack(words[None])[:, 0]
    second = {one.name: (one.sources, layer) for one, layer in zip(said[1:], model.layers[1:], strict=True)}
    fired = ticked(second, counted(model.layers[0], raster))
    rows = np.stack([fired[output.layer][:, output.unit] for output in model.header.outputs], axis=1)
    answered: NDArray[np.uint32] = pack(rows[:, None])[0]
    return answered


def counted(layer: Layer, raster: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return how much surprised in each step, -1 where no packet came; layer 1 answers a step late, so one more follows the last."""
    came = np.flatnonzero(raster[:, :LINES].any(axis=1))
    steps = np.concatenate((raster[came, :LINES], np.zeros((1, LINES), np.bool_)))
    answers = advance(layer, State.zero(layer, 1), steps[:, None])[1:, 0]
    gap, own = (np.logical_or.reduce(some, axis=1) for some in (answers[:, :BINS], answers[:, BINS:]))
    found = np.full(len(raster), -1)
    found[came] = weighed(gap, own, raster[came, LINES])
    return found


def ticked(layers: Mapping[str, tuple[Sequence[str], Layer]], counts: NDArray[np.int64]) -> dict[str, NDArray[np.bool_]]:
    """Run the layers a second at a time, all with the spikes of the second before; return [step, unit] of each."""
    states = {name: State.zero(layer, 1) for name, (_, layer) in layers.items()}
    fired = {name: np.zeros((len(counts), layer.units), np.bool_) for name, (_, layer) in layers.items()}
    before = False
    for step, surprises in enumerate(counts.tolist()):
        lines = _between(surprises, before=before)
        for name, (_, layer) in layers.items():
            fired[name][step] = advance(layer, states[name], np.zeros((1, 1, layer.inputs), np.bool_))[0, 0]
        for name, (sources, layer) in layers.items():
            spikes = [bit for source in sources for bit in (fired[source][step] if source in fired else (lines[source],))]
            states[name].current[0] = np.floor((layer.weights @ np.array(spikes, np.int64)) * 2.0**layer.exponent)
        before = surprises >= 0
    return fired


def _between(surprises: int, *, before: bool) -> dict[str, bool]:
    """Return the lines of layer 2 in a second: -1 is none with a packet."""
    count = min(max(surprises, 0), MOST_COUNT)
    lines = {name: bool(count >> bit & 1) for bit, name in enumerate(COUNTS)}
    return lines | {"packet": surprises >= 0, "packet_before": before, "error": count > 0}
