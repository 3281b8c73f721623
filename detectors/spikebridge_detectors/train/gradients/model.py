"""From a model to one of the same shape with other weights: labels are places in its list of outputs."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from spikebridge_detectors.errors import ModelError
from spikebridge_detectors.model.file import chained, self_test, written
from spikebridge_detectors.model.header import Layer

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from spikebridge_detectors.model.file import Model
    from spikebridge_detectors.model.header import Training
    from spikebridge_detectors.train.gradients.learn import Learned
    from spikebridge_detectors.train.gradients.plan import Examples, Plan

_MOST_WORDS = 128


def shaped(like: Model, plan: Plan) -> Plan:
    """Return the plan with the layers of a model; it must be a chain on one clock."""
    self_test(like, chained)
    if any(layer.reset for layer in like.layers):
        raise ModelError("expected neurons without a periodic reset: gradients are learned without")
    return replace(plan, hidden=tuple(layer.units for layer in like.layers[:-1]), outputs=like.layers[-1].units)


def by_unit(like: Model, examples: Examples) -> Examples:
    """Return the examples with units of the last layer for labels, in place of outputs."""
    outputs = like.header.outputs
    if examples.labels.max() >= len(outputs):
        raise ModelError(
            f"labels: expected at most {len(outputs) - 1}, as there are {len(outputs)} outputs, found {examples.labels.max()}"
        )
    if examples.words.shape[1] != len(like.header.inputs):
        raise ModelError(f"spikes: expected {len(like.header.inputs)} lines, found {examples.words.shape[1]}")
    units = np.array([output.unit for output in outputs])
    labels = np.where(examples.labels < 0, examples.labels, units[examples.labels.clip(min=0)])
    return replace(examples, labels=labels.astype(np.int16))


def retrained(like: Model, learned: Learned, examples: Examples, *, version: int, training: Training, bits: int) -> bytes:
    """
    Return an unsigned model with the weights that were learned, and all else of another.

    It is tried with an example of each output that it has learned, one behind another. Thresholds of device classes aren't kept.
    """
    if learned.differing:
        raise ModelError(f"expected snnTorch to have the spikes of our neurons, found {learned.differing:,} that differ")
    said = tuple(
        Layer.of(layer, old.name, sources=old.sources, step_ns=old.step_ns, bits=bits, sign="mixed")
        for layer, old in zip(learned.layers, like.header.layers, strict=True)
    )
    classes: dict[str, dict[str, int]] = {name: {} for name in like.header.classes}
    header = msgspec.structs.replace(like.header, version=version, layers=said, classes=classes, training=training)
    return written(header, learned.layers, _recorded(examples), chained)


def _recorded(examples: Examples) -> NDArray[np.uint32]:
    """Return the first example of each output."""
    taught = [int(np.flatnonzero(examples.labels == label)[0]) for label in np.unique(examples.labels[examples.labels >= 0])]
    if not taught:
        raise ModelError("labels: expected examples of an output, found none")
    recorded: NDArray[np.uint32] = np.concatenate([examples.words[one] for one in taught], axis=1)
    return recorded[:, :_MOST_WORDS]
