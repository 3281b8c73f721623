"""
The same neurons as `lif`, compiled: what NumPy gives, spike for spike and state for state, several times as fast.

Needs the extra `compiled`; `engine` chooses it where it is installed. A layer goes device by device, 32 steps at a time: for each bit that is set its
weights are added, then all neurons take one step after the other together.
Nothing is kept on disk: the first call in a process compiles, which takes a few seconds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numba
import numpy as np

from spikebridge_detectors.lif import LEAK, UNIT, WRAP, largest_current
from spikebridge_detectors.raster import WORD_STEPS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from spikebridge_detectors.lif import Layer, State
    from spikebridge_detectors.network import Network

_compile: Any = numba.njit(nogil=True, error_model="numpy")

_BRUIJN = 0x077CB531
"""Times a power of two, its five highest bits are another number for each."""
_EXPONENT = np.zeros(WORD_STEPS, np.uint8)
for _at in range(WORD_STEPS):
    _EXPONENT[(_BRUIJN << _at) % (1 << WORD_STEPS) >> 27] = _at


def run(network: Network, states: Sequence[State], words: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Do what `Network.run` does."""
    network.check(states, words)
    for layer, state in zip(network.layers, states, strict=True):
        words = _advance(layer, state, words)
    return words


def _advance(layer: Layer, state: State, words: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Run a layer over [device, input, word] packed spikes; return its own, and leave the state where it ends."""
    fired = np.empty((words.shape[0], layer.units, words.shape[2]), np.uint32)
    weights = np.ascontiguousarray(layer.weights.T, np.int32 if largest_current(layer) < 1 << 31 else np.int64)
    parameters = (
        2.0**layer.exponent,
        (LEAK - 1 - layer.du) / LEAK,
        (LEAK - layer.dv) / LEAK,
        float(layer.vth * UNIT),
        *(layer.reset or (0, 0)),
    )
    held = (state.current, state.u, state.v)
    _devices(weights, layer.bias.astype(np.float64), parameters, held, state.step, np.ascontiguousarray(words), fired)
    state.step += words.shape[2] * WORD_STEPS
    return fired


@_compile
def _weigh(weights: NDArray[np.signedinteger], words: NDArray[np.uint32], sums: NDArray[np.signedinteger]) -> None:
    """Sum the weights of the inputs that spike, as [step, unit]; the lowest bit that is set goes first."""
    sums[:] = 0
    for line in range(weights.shape[0]):
        word, row = words[line], weights[line]
        while word:
            lowest = word & (~word + np.uint32(1))
            word ^= lowest
            into = sums[_EXPONENT[np.uint32(lowest * np.uint32(_BRUIJN)) >> np.uint32(27)]]
            for unit in range(into.size):
                into[unit] += row[unit]


@_compile
def _leak(u: NDArray[np.float64], keep: float, current: NDArray[np.float64]) -> None:
    """Advance u by a step; it wraps once."""
    for unit in range(u.size):
        now = np.trunc(u[unit] * keep) + current[unit] * UNIT
        now -= 2.0 * WRAP if now > WRAP else 0.0
        now += 2.0 * WRAP if now <= -WRAP else 0.0
        u[unit] = now + 0.0


@_compile
def _fire(  # noqa: PLR0913, PLR0917 -- compiled: arrays and numbers, no objects
    v: NDArray[np.float64],
    keep: float,
    u: NDArray[np.float64],
    bias: NDArray[np.float64],
    above: float,
    bit: np.uint32,
    bits: NDArray[np.uint32],
) -> None:
    """Advance v by a step; it saturates, and where it is above the threshold the bit is set and it is 0."""
    for unit in range(v.size):
        now = np.trunc(v[unit] * keep) + u[unit] + bias[unit]
        v[unit] = min(max(now, 1.0 - WRAP), WRAP - 1.0) + 0.0
    for unit in range(v.size):
        bits[unit] |= bit if v[unit] > above else np.uint32(0)
        v[unit] = 0.0 if v[unit] > above else v[unit]


@_compile
def _devices(  # noqa: PLR0913, PLR0917 -- compiled: arrays and numbers, no objects
    weights: NDArray[np.signedinteger],
    bias: NDArray[np.float64],
    parameters: tuple[float, float, float, float, int, int],
    held: tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]],
    done: int,
    words: NDArray[np.uint32],
    fired: NDArray[np.uint32],
) -> None:
    """Advance each device by all words, its state in place."""
    scale, keep_u, keep_v, above, interval, offset = parameters
    sums = np.empty((WORD_STEPS, bias.size), weights.dtype)
    bits = np.empty(bias.size, np.uint32)
    for device in range(words.shape[0]):
        current, u, v = held[0][device], held[1][device], held[2][device]
        for at in range(words.shape[2]):
            _weigh(weights, words[device, :, at], sums)
            bits[:] = 0
            for step in range(WORD_STEPS):
                if interval and (done + at * WORD_STEPS + step + 1 - offset) % interval == 0:
                    u[:] = 0.0
                    v[:] = 0.0
                _leak(u, keep_u, current)
                _fire(v, keep_v, u, bias, above, np.uint32(1) << np.uint32(step), bits)
                for unit in range(current.size):
                    current[unit] = np.floor(sums[step, unit] * scale)
            fired[device, :, at] = bits
