"""
One layer of Loihi's fixed-point neurons behind dense synapses, exact, for many devices at once.

    current  = spikes of the step before, weighed and shifted        each layer delays by one step
    u        = trunc(u * (4095 - du) / 4096) + 64 * current          wraps at 2**23, once
    v        = trunc(v * (4096 - dv) / 4096) + u + bias              saturates at 2**23 - 1
    spike    = v > 64 * vth, and v = 0 then

All are whole numbers. They are kept as float64, in which every product here is exact and truncation is the chip's shift: it is several
times quicker than shifting integers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from spikebridge_detectors.errors import ModelError

if TYPE_CHECKING:
    from numpy.typing import NDArray

Sign = Literal["excitatory", "inhibitory", "mixed"]

UNIT = 64
"""Weights, biases and thresholds count in 64ths of what u and v count in."""

LEAK = 4096
"""Of so many parts du and dv are how many fade in a step."""

WRAP = 1 << 23
"""Where u wraps and v saturates."""

_FLOAT32_WHOLE = 1 << 24
_WEIGHT_BITS = 8


class Reset(NamedTuple):
    """u and v begin anew at each step, counted from 1, that leaves `offset` when it is divided by `interval`."""

    interval: int
    offset: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Layer:
    """Synapses and their neurons. `weights` are [unit, input], as `truncated` returns them; `bias` counts in v's own steps."""

    weights: NDArray[np.int16]
    exponent: int = 0
    du: int
    dv: int
    vth: int
    bias: NDArray[np.int32]
    reset: Reset | None = None

    def __post_init__(self) -> None:
        """Refuse what doesn't fit together."""
        if self.bias.shape != self.weights.shape[:1]:
            raise ModelError(f"expected one bias for each of {self.weights.shape[0]} units, found {self.bias.size}")

    @property
    def units(self) -> int:
        """Return how many neurons there are."""
        return int(self.weights.shape[0])

    @property
    def inputs(self) -> int:
        """Return how many inputs each neuron has."""
        return int(self.weights.shape[1])


@dataclass(slots=True)
class State:
    """What a layer carries from one step to the next, [device, unit] each, and how many steps it has done."""

    current: NDArray[np.float64]
    u: NDArray[np.float64]
    v: NDArray[np.float64]
    step: int = 0

    @classmethod
    def zero(cls, layer: Layer, devices: int) -> State:
        """Return the state of devices that have seen nothing."""
        shape = (devices, layer.units)
        return cls(np.zeros(shape), np.zeros(shape), np.zeros(shape))

    def part(self, devices: slice) -> State:
        """Return the state of some devices: a view, except for the count of steps."""
        return State(self.current[devices], self.u[devices], self.v[devices], self.step)


def alike(one: Layer, other: Layer) -> bool:
    """Say whether two layers are the same neurons behind the same synapses."""
    numbers = [(each.exponent, each.du, each.dv, each.vth, each.reset) for each in (one, other)]
    return numbers[0] == numbers[1] and np.array_equal(one.weights, other.weights) and np.array_equal(one.bias, other.bias)


def truncated(weights: NDArray[np.integer], bits: int = _WEIGHT_BITS, sign: Sign | None = None) -> NDArray[np.int16]:
    """
    Return the weights that synapses of so many bits hold: clipped to the range of their sign, low bits floored away.

    Without a sign it is that of all weights. Mixed synapses spend a bit on it, so theirs are even at best: 1 becomes 0 and -1 becomes -2.
    """
    sign = sign or ("excitatory" if weights.min() >= 0 else "inhibitory" if weights.max() <= 0 else "mixed")
    dropped = _WEIGHT_BITS - bits + (sign == "mixed")
    held = np.asarray(weights, np.int32) * (-1 if sign == "inhibitory" else 1)
    held = np.clip(held, -256 if sign == "mixed" else 0, 255) >> dropped << dropped
    return (held * (-1 if sign == "inhibitory" else 1)).astype(np.int16)


def advance(layer: Layer, state: State, spikes: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Run a layer over [step, device, input] spikes; return its own as [step, device, unit], and leave the state where it ends."""
    steps = spikes.shape[0]
    came = _currents(layer, spikes)
    fired = np.empty(came.shape, np.bool_)
    wraps, saturates = _reaches(layer, state, steps)
    keep_u, keep_v = (LEAK - 1 - layer.du) / LEAK, (LEAK - layer.dv) / LEAK
    u, v, bias, above = state.u, state.v, layer.bias.astype(np.float64), float(layer.vth * UNIT)
    for step in range(steps):
        if layer.reset and (state.step + step + 1 - layer.reset.offset) % layer.reset.interval == 0:
            u[:] = v[:] = 0
        np.multiply(u, keep_u, out=u)
        np.trunc(u, out=u)
        u += (came[step - 1] if step else state.current) * UNIT
        if wraps:
            u -= (u > WRAP) * (2.0 * WRAP)
            u += (u <= -WRAP) * (2.0 * WRAP)
        np.multiply(v, keep_v, out=v)
        np.trunc(v, out=v)
        v += u
        v += bias
        if saturates:
            np.clip(v, 1 - WRAP, WRAP - 1, out=v)
        np.greater(v, above, out=fired[step])
        v *= ~fired[step]
    if steps:
        state.current[:] = came[-1]
        state.step += steps
    state.current += 0.0  # -0.0 becomes 0.0
    u += 0.0
    v += 0.0
    return fired


def _currents(layer: Layer, spikes: NDArray[np.bool_]) -> NDArray[np.float32] | NDArray[np.float64]:
    """Weigh and shift: in float32 where all sums are whole there, else in integers."""
    largest = largest_current(layer)
    if largest * 2.0 ** max(0, layer.exponent) < _FLOAT32_WHOLE:
        weights = layer.weights.T.astype(np.float32)
        sums: NDArray[np.float32] | NDArray[np.float64] = spikes.astype(np.float32) @ weights
    else:
        sums = (spikes.astype(np.int64) @ layer.weights.T.astype(np.int64)).astype(np.float64)
    if layer.exponent:
        sums *= sums.dtype.type(2.0**layer.exponent)
        if layer.exponent < 0:
            np.floor(sums, out=sums)
    return sums


def largest_current(layer: Layer) -> int:
    """Return the most that the weights of one unit can sum up to, whatever their signs."""
    return int(np.abs(layer.weights.astype(np.int64)).sum(axis=1).max(initial=0))


def _reaches(layer: Layer, state: State, steps: int) -> tuple[bool, bool]:
    """Say whether u can reach where it wraps, and v where it saturates: mostly neither can, and need not be looked for."""
    current = UNIT * max(largest_current(layer) * 2.0**layer.exponent, np.abs(state.current).max(initial=0.0))
    u = max(current * LEAK / (layer.du + 1), np.abs(state.u).max(initial=0.0))
    wraps = bool(u >= WRAP)
    gain = u + np.abs(layer.bias).max(initial=0)
    held = np.abs(state.v).max(initial=0.0)
    v = max(held, gain * LEAK / layer.dv) if layer.dv else held + gain * steps
    return wraps, bool(v >= WRAP - 1)
