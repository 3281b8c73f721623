"""Input frames as columns, and which of them fit their model."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from spikebridge.detect.served import MOST_STEPS
from spikebridge.spikes.columns import spread
from spikebridge.spikes.layout import HEADER, KIND_COUNT, KIND_WINDOW, Header

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from spikebridge.detect.served import Line

    Ints = NDArray[np.int64]
    Places = NDArray[np.intp]


class Inputs(NamedTuple):
    """
    Frames in log order, at their effective times, each with `n` of the rows, one frame's behind the other's.

    `line` is a place in the lines in force, -1 for none.
    """

    line: NDArray[np.int32]
    device: NDArray[np.int32]
    append_ns: Ints
    start_ns: Ints
    end_ns: Ints
    n: Ints
    neuron: NDArray[np.uint32]
    time: Ints

    def take(self, at: Places) -> Inputs:
        """Return some of the frames with their rows."""
        rows = spread((np.cumsum(self.n) - self.n)[at], self.n[at])
        return Inputs(
            self.line[at],
            self.device[at],
            self.append_ns[at],
            self.start_ns[at],
            self.end_ns[at],
            self.n[at],
            self.neuron[rows],
            self.time[rows],
        )


def fault(line: Line, value: bytes, span_ns: int, neurons: NDArray[np.uint32]) -> str:
    """Say why a good frame doesn't fit the model; nothing of one that does."""
    head = Header(*HEADER.unpack_from(value))
    if head.kind == KIND_COUNT:
        return f"kind: expected events or window for model {line.model}, found count"
    if head.kind == KIND_WINDOW:
        if head.step_ns != line.step_ns:
            wanted = f"windows of steps of {line.step_ns} ns" if line.step_ns else "events, a step for each,"
            return f"step: expected {wanted} for model {line.model}, found windows of {head.step_ns} ns"
        names = np.frombuffer(value, "<u4", head.channels, head.payload_at)
        if len(names) != line.inputs or (np.sort(names) != np.arange(line.inputs)).any():
            return f"channels: expected the {line.inputs} lines of model {line.model}, 0 to {line.inputs - 1}, each once"
    elif len(neurons) and int(neurons.max()) >= line.inputs:
        return f"neuron: expected a line below {line.inputs} for model {line.model}, found {neurons.max()}"
    cost = line.cost(span_ns, len(neurons))
    if cost > MOST_STEPS:
        return f"time span: expected at most {MOST_STEPS:,} steps of model {line.model}, found {cost:,}"
    return ""
