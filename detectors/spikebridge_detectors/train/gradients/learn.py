"""Networks learned by gradients: what the child answers is held to the hardware's ranges, and to our own engine, spike for spike."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np

from spikebridge_detectors.errors import BackendError
from spikebridge_detectors.lif import Layer
from spikebridge_detectors.model.synapses import rounded
from spikebridge_detectors.network import Network
from spikebridge_detectors.raster import WORD_STEPS
from spikebridge_detectors.train.gradients.plan import QUIET, question

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from spikebridge_detectors.train.gradients.plan import Examples, Plan
    from spikebridge_detectors.train.gradients.process import Progress, Torch

_HEAD = 4
_MOST_HEAD = 4096
_NEURONS = 12
_LEAKS = range(4096)
_THRESHOLDS = range(1, 1 << 17)
_BIAS_UNIT, _MANTISSA = 8, 4095
_CURRENTS = range(-(1 << 15), 1 << 15)


class Learned(NamedTuple):
    """Layers that hardware can hold, our spikes for all examples, how many of snnTorch's differ from them, and who computed."""

    layers: tuple[Layer, ...]
    outputs: NDArray[np.uint32]
    differing: int
    versions: dict[str, str]


def learn(
    plan: Plan, examples: Examples, torch: Torch, *, checkpoint: Path | None = None, progress: Callable[[Progress], None]
) -> Learned:
    """
    Learn, or go on from the checkpoint if the file is there; the same plan and examples give the same layers, stopped in between or not.

    Spikes that differ mean that the child computes another neuron than ours: its weights are good for nothing then.
    """
    examples.check(plan)
    count, lines, words = examples.words.shape
    sizes = [*zip((lines, *plan.hidden), (*plan.hidden, plan.outputs), strict=True)]
    spike_bytes = 4 * count * plan.outputs * words
    body = sum(_NEURONS + 4 * units + 2 * units * inputs for inputs, units in sizes) + spike_bytes
    answer = torch.asked(question(plan, examples, checkpoint), _HEAD + _MOST_HEAD + body, progress)
    versions, arrays = _cut(answer, body)
    layers, at = [], 0
    for number, (inputs, units) in enumerate(sizes, 1):
        end = at + _NEURONS + 4 * units + 2 * units * inputs
        layers.append(_layer(arrays[at:end], inputs, units, f"layer {number}", plan))
        at = end
    theirs = np.frombuffer(arrays[at:], "<u4").reshape(count, plan.outputs, words)
    network = Network(tuple(layers))
    ours: NDArray[np.uint32] = network.run(network.zero(count), examples.words)
    return Learned(tuple(layers), ours, int(np.bitwise_count(ours ^ theirs).sum()), versions)


def told(outputs: NDArray[np.uint32], wanted: float) -> NDArray[np.int16]:
    """Return which output of each example has most spikes, of equals the first, or `QUIET` where none has half of what was wanted."""
    counts = np.bitwise_count(outputs).sum(axis=2, dtype=np.int64)
    least = wanted * outputs.shape[2] * WORD_STEPS / 2
    return np.where(counts.max(axis=1) >= least, counts.argmax(axis=1), QUIET).astype(np.int16)


def _cut(answer: bytes, body: int) -> tuple[dict[str, str], bytes]:
    """Return who computed, and the arrays, if the answer is exactly as long as it must be."""
    length = struct.unpack_from("<I", answer)[0] if len(answer) >= _HEAD else 0
    if len(answer) != _HEAD + length + body:
        raise BackendError(
            f"snnTorch: expected an answer of {body} bytes behind its header, found {len(answer) - _HEAD - length}"
        )
    try:
        versions = msgspec.json.decode(answer[_HEAD : _HEAD + length], type=dict[str, str])
    except msgspec.DecodeError as error:
        raise BackendError(f"snnTorch: expected versions in front of the answer, found: {error}") from error
    return versions, answer[_HEAD + length :]


def _layer(data: bytes, inputs: int, units: int, name: str, plan: Plan) -> Layer:
    du, dv, vth = struct.unpack_from("<3i", data)
    bias = np.frombuffer(data, "<i4", units, _NEURONS).astype(np.int32)
    weights = np.frombuffer(data, "<i2", units * inputs, _NEURONS + 4 * units).reshape(units, inputs).astype(np.int16)
    sums = weights.clip(min=0).sum(axis=1, dtype=np.int64).max(), weights.clip(max=0).sum(axis=1, dtype=np.int64).min()
    faults = {
        f"du {du}": du not in _LEAKS,
        f"dv {dv}": dv not in _LEAKS,
        f"vth {vth}": vth not in _THRESHOLDS,
        "biases that hardware can't hold": bool(
            (bias % _BIAS_UNIT).any() or np.abs(bias.astype(np.int64)).max() > _MANTISSA * _BIAS_UNIT
        ),
        f"weights that {plan.bits} bits can't hold": not np.array_equal(rounded(weights, plan.bits, "mixed"), weights),
        "weights whose sums 16 bits can't carry": any(int(one) not in _CURRENTS for one in sums),
        "more weights than may stay": np.count_nonzero(weights) > int(weights.size * plan.keep),
    }
    found = [fault for fault, there in faults.items() if there]
    if found:
        raise BackendError(f"snnTorch: {name}: expected what hardware holds, found {', '.join(found)}")
    return Layer(weights=weights, du=du, dv=dv, vth=vth, bias=bias)
