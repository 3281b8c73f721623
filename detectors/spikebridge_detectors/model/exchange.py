"""Models for other frameworks and from them, each time with a count of the spikes that differ."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np

from spikebridge_detectors.errors import ModelError
from spikebridge_detectors.model.file import chained, self_test, written
from spikebridge_detectors.model.floating import Floating, floating, on_grid, run
from spikebridge_detectors.model.header import Layer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spikebridge_detectors.model.file import Model
    from spikebridge_detectors.model.header import Training


class Compared(NamedTuple):
    """How many spikes the outputs have for the recorded input, and how many differ in floating point."""

    spikes: int
    differing: int


def given_away(model: Model) -> list[Floating]:
    """Return the layers of a model in floating point, if they stand behind one another."""
    self_test(model, chained)
    return [floating(layer) for layer in model.layers]


def taken_over(layers: Sequence[Floating], like: Model, *, version: int, training: Training, bits: int) -> bytes:
    """
    Return an unsigned model with these layers, on the grid of so many bits, and all else of another model.

    Thresholds of device classes aren't kept: they belong to the network that they were found for.
    """
    shapes, wanted = ([one.weights.shape for one in some] for some in (layers, like.layers))
    if shapes != wanted:
        raise ModelError(
            f"expected layers of {_shapes(wanted)} units and inputs, as {like.header.name} has, found {_shapes(shapes)}"
        )
    held = [on_grid(layer, bits) for layer in layers]
    said = [
        Layer.of(layer, old.name, sources=old.sources, step_ns=old.step_ns, bits=bits)
        for layer, old in zip(held, like.header.layers, strict=True)
    ]
    classes: dict[str, dict[str, int]] = {name: {} for name in like.header.classes}
    header = msgspec.structs.replace(like.header, version=version, layers=tuple(said), classes=classes, training=training)
    return written(header, held, like.recorded)


def compared(model: Model, layers: Sequence[Floating]) -> Compared:
    """Run layers over what the model recorded, and compare the outputs."""
    outputs = run(layers, model.recorded).take([output.unit for output in model.header.outputs], axis=0)
    return Compared(int(np.bitwise_count(model.expected).sum()), int(np.bitwise_count(outputs ^ model.expected).sum()))


def _shapes(shapes: Sequence[tuple[int, ...]]) -> str:
    return ", ".join("x".join(map(str, shape)) for shape in shapes)
