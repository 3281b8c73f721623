"""A model as the service runs it, and why some aren't."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from spikebridge.errors import SchemaError
from spikebridge.limits import SECOND
from spikebridge.spikes.events import read_layer
from spikebridge_detectors.errors import ModelError
from spikebridge_detectors.model.file import chained, opened
from spikebridge_detectors.model.header import INPUTS, RUN_MEMORY_S
from spikebridge_detectors.network import Network

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from spikebridge.detect.file import ModelFile
    from spikebridge.limits import Limits
    from spikebridge_detectors.model.file import Model
    from spikebridge_detectors.model.header import Header, Window

MOST_STEPS = 32_768
"""No frame makes a network take more steps, and no state remembers more."""

MOST_OUTPUTS = 32
"""What fires at every step of the longest frame is a million rows."""


@dataclass(frozen=True, slots=True, eq=False)
class Line:
    """
    One model for one device class: `key` tells whether another revision's is the same.

    `step_ns` 0 is a step for each event. `units` are those of the last layer that speak, `neurons` what mappings call them.
    """

    key: tuple[str, str]
    model: str
    digest: str
    network: Network
    inputs: int
    step_ns: int
    window: Window | None
    memory_ns: int
    layer: int | str
    units: NDArray[np.intp]
    neurons: NDArray[np.uint32]

    @property
    def remembered_ns(self) -> int:
        """How long what a device sent may matter for a later frame: its state, or how many steps its frames have cost."""
        return self.memory_ns if self.step_ns or not self.window else 0

    @property
    def resets(self) -> bool:
        """Whether it matters how many steps a device has done."""
        return any(layer.reset for layer in self.network.layers)

    def steps(self, span_ns: int, rows: int) -> int:
        """Return how many steps a frame is: for each event one, or all that its time touches."""
        return span_ns // self.step_ns + 1 if self.step_ns else rows

    def cost(self, span_ns: int, rows: int) -> int:
        """Return how many steps a frame makes the network take."""
        steps = self.steps(span_ns, rows)
        return -(-steps // self.window.steps) * (self.window.steps + self.window.flush) if self.window else steps

    def budget(self, limits: Limits) -> int:
        """Return how many steps the frames of a device may cost in one interval: twice what time there is, with all that may come late."""
        if not self.step_ns:
            return 1 << 62
        span_ns = self.memory_ns + limits.late_ns + limits.future_ns
        return max(MOST_STEPS, 2 * self.cost(span_ns, 0))


def unfit(header: Header) -> list[str]:
    """Say why the service doesn't run a model that is good in itself."""
    if not header.runs_in_service:
        return [f"memory_s: expected 1 to {RUN_MEMORY_S}, found {header.memory_s}: this network runs in `sense`"]
    said = header.layers
    found = []
    for before, layer in zip((INPUTS, *(one.name for one in said[:-1])), said, strict=True):
        if layer.sources != (before,) or layer.step_ns != said[0].step_ns:
            found.append(f"layer {layer.name}: expected spikes of {before} alone, on its clock: this network runs in `sense`")
    if any(output.layer != said[-1].name for output in header.outputs):
        found.append(f"outputs: expected neurons of layer {said[-1].name} alone: this network runs in `sense`")
    if len(header.outputs) > MOST_OUTPUTS:
        found.append(f"outputs: expected at most {MOST_OUTPUTS}, found {len(header.outputs)}")
    step_ns = said[0].step_ns
    if step_ns and header.memory_s * SECOND // step_ns > MOST_STEPS:
        steps = header.memory_s * SECOND // step_ns
        found.append(f"memory_s: expected at most {MOST_STEPS:,} steps, found {steps:,}: this network runs in `sense`")
    if header.window and header.window.steps + header.window.flush > MOST_STEPS:
        steps = header.window.steps + header.window.flush
        found.append(f"window: expected at most {MOST_STEPS:,} steps with the flush, found {steps:,}")
    return found


def alone(model: Model, words: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Run a model for its self-test, if the service runs it at all."""
    found = unfit(model.header)
    if found:
        raise ModelError("\n".join(found))
    return chained(model, words)


@lru_cache(maxsize=128)
def lines_of(file: ModelFile) -> tuple[Line, ...]:
    """Open a model of a revision: one line for each device class that it serves."""
    try:
        model = opened(file.file)
    except ModelError as error:
        raise SchemaError(f"model {file.name} of a revision can't be read: {error}") from None
    found = unfit(model.header)
    if found or (model.header.name, model.digest) != (file.name, file.digest):
        reason = "; ".join(found) or "it isn't the one that the revision names"
        raise SchemaError(f"model {file.name} of a revision can't be run: {reason}")
    return tuple(_line(model, name) for name in sorted(model.header.classes))


def serving(files: Sequence[ModelFile]) -> dict[str, Line]:
    """Return what serves each device class."""
    return {line.key[1]: line for file in files for line in lines_of(file)}


def longest_memory_ns(files: Sequence[ModelFile]) -> int:
    """Return how long models remember, at most."""
    return max((line.remembered_ns for line in serving(files).values()), default=0)


def _line(model: Model, device_class: str) -> Line:
    header = model.header
    last = header.layers[-1]
    return Line(
        key=(model.digest, device_class),
        model=f"{header.name} {header.version}",
        digest=model.digest,
        network=Network(model.for_class(device_class)),
        inputs=len(header.inputs),
        step_ns=last.step_ns or 0,
        window=header.window,
        memory_ns=header.memory_s * SECOND,
        layer=read_layer(last.name),
        units=np.array([output.unit for output in header.outputs], np.intp),
        neurons=np.array([output.neuron for output in header.outputs], np.uint32),
    )
