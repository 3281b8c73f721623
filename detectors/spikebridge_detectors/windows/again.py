"""
The neurons of both layers for one window, each with the spikes that reached it, as the look-up knows them.

A window is held for 64 steps. Each current comes a step later, and layer 1 begins anew at step 1, so a neuron with `left` of its
excitation fires at each multiple of vth // left + 1 up to 64. Layer 2 hears that a step later still, and fires whenever more than its threshold
has come since it did.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from spikebridge_detectors.lif import State
from spikebridge_detectors.repeat import Part
from spikebridge_detectors.windows import sums
from spikebridge_detectors.windows.bins import BINS
from spikebridge_detectors.windows.surprise import STEPS, periods, spikes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from spikebridge_detectors.lif import Layer
    from spikebridge_detectors.windows.evidence import Seen

_BEHIND = 2
"""So many steps after the last input both layers have answered."""


def parts(found: Seen) -> list[Part]:
    """Return both layers, the first cut as it is in the model."""
    raster, fired = lines_of(found), first_layer(found)
    said, layers, count = found.model.header.layers, found.model.layers, len(sums.NEURONS)
    made, at = [], 0
    for one, layer in zip(said[:-count], layers[:-count], strict=True):
        made.append(_part(one.name, layer, raster, fired[:, at : at + layer.units]))
        at += layer.units
    for one, layer in zip(said[-count:], layers[-count:], strict=True):
        made.append(_part(one.name, layer, fired, _summed(layer, fired)))
    return made


def lines_of(found: Seen) -> NDArray[np.bool_]:
    """Return when each line is active, [step, line]."""
    lines = spikes(found.encoder.learned.habits, found.lines[np.newaxis])[:, 0]
    return np.concatenate((lines, np.zeros((_BEHIND, lines.shape[1]), np.bool_)))


def first_layer(found: Seen) -> NDArray[np.bool_]:
    """Return when each neuron of layer 1 fires, [step, unit]: so often as the look-up says, evenly."""
    habits = found.encoder.learned.habits
    every = periods(habits, found.lines[np.newaxis])[0]
    fired = np.zeros((STEPS + _BEHIND, len(every), BINS), np.bool_)
    for pair in np.flatnonzero(every <= STEPS).tolist():
        fired[every[pair] : STEPS + 1 : every[pair], pair, found.lines[habits.pairs.column[pair]]] = True
    return fired.reshape(len(fired), -1)


def _summed(layer: Layer, fired: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return when a neuron that adds up fires, [step, 1]."""
    came = fired.astype(np.int64) @ layer.weights[0].astype(np.int64)
    told, held = np.zeros((len(fired), 1), np.bool_), 0
    for step, more in enumerate(came[:-1].tolist(), 1):
        held += more
        if held > layer.vth:
            told[step], held = True, 0
    return told


def _part(name: str, layer: Layer, raster: NDArray[np.bool_], fired: NDArray[np.bool_]) -> Part:
    return Part(name, layer, State.zero(layer, 1), raster, fired)
