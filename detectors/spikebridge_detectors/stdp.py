"""
Spike-timing-dependent plasticity in integers, as Lava's simulator of Loihi does it: one learning layer of one device.

    x1, y1   traces of inputs and units: 7 bits, a spike adds its impulse, each step decays by exp(-1 / tau), rounded by luck
    dw       = minus * y1 at an input's spike + plus * x1 at a unit's spike, at the end of each epoch, rounded by luck

Luck is seeded, so that a run can be repeated. Lava calls this "bit approximate": equal to its simulator is not equal to the chip.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np

from spikebridge_detectors.errors import ModelError
from spikebridge_detectors.lif import State, advance

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from spikebridge_detectors.lif import Layer, Sign

MOST_TRACE = 127
_FRACTION = 256
_SHIFT = 7
_ACCUMULATOR = 1 << 15
_WEIGHT_SEED = 2
_MANTISSAS = range(-8, 8)
_EXPONENTS = range(-7, 9)
_RANGES = {"excitatory": (0, 255), "inhibitory": (-255, 0), "mixed": (-256, 255)}


class Scale(NamedTuple):
    """A factor as the chip holds it: mantissa * 2**exponent."""

    mantissa: int
    exponent: int

    @classmethod
    def of(cls, *factors: float) -> Self:
        """Return the scale nearest to a product as Lava rounds: whole parts are the mantissa, what remains a power of two."""
        mantissa, exponent = 1, 0
        for factor in factors:
            whole = max(int(abs(factor)), 1)
            if factor:
                mantissa *= whole if factor > 0 else -whole
                exponent += round(math.log2(abs(factor) / whole))
            else:
                mantissa = 0
        if mantissa not in _MANTISSAS or exponent not in _EXPONENTS:
            raise ModelError(f"expected a factor of -8 to 7 times 2**-7 to 2**8, found {mantissa} * 2**{exponent}")
        return cls(mantissa, exponent)


class Trace(NamedTuple):
    """How a trace grows and fades; without a `tau` it holds nothing from one step to the next."""

    impulse: float
    tau: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What is learned: `plus` weighs an input that came before the unit's spike, `minus` one that came after it."""

    plus: Scale
    minus: Scale
    before: Trace
    after: Trace
    epoch: int
    seed: int


class Learner:
    """A layer whose weights follow a rule."""

    def __init__(self, layer: Layer, rule: Rule, sign: Sign = "mixed") -> None:
        """Begin with the layer's weights, which are copied."""
        self.layer = layer
        self.rule = rule
        self.weights = layer.weights.astype(np.int64)
        self.x1, self.y1 = _Traces(rule.before, layer.inputs, rule.seed), _Traces(rule.after, layer.units, rule.seed + 2)
        self.state = State.zero(layer, 1)
        self._sign = sign
        self._luck = np.random.default_rng(_WEIGHT_SEED)
        self._luck.random()

    def advance(self, spikes: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Run over [step, input] spikes of the device, learn at the end of each epoch, and return [step, unit] spikes."""
        fired = np.empty((len(spikes), self.layer.units), np.bool_)
        for at, step in enumerate(spikes):
            fired[at] = advance(self.layer, self.state, step[None, None])[0, 0]
            within = (self.state.step - 1) % self.rule.epoch + 1
            self._spiked(step, fired[at], within)
            if within == self.rule.epoch:
                self._learn()
        return fired

    def _spiked(self, inputs: NDArray[np.bool_], units: NDArray[np.bool_], within: int) -> None:
        self.x1.spiked(inputs, within, luck=0)
        self.x1.draw()
        self.y1.draw()
        self.y1.spiked(units, within, luck=self.y1.impulse_luck)
        self.x1.draw()
        self.y1.draw()

    def _learn(self) -> None:
        """Change the weights by what the epoch held."""
        luck = self._luck.random()
        before, after = self.x1.past(self.rule.epoch), self.y1.past(self.rule.epoch)
        changed = self.weights << _SHIFT
        for scale, product in (
            (self.rule.minus, after[self.x1.at].T * (self.x1.at > 0)[None]),
            (self.rule.plus, before[self.y1.at] * (self.y1.at > 0)[:, None]),
        ):
            grown = _shifted(product * scale.mantissa, scale.exponent + _SHIFT)
            changed = _saturated(changed + _saturated(grown))
        low, high = _RANGES[self._sign]
        if low == 0:
            changed = np.maximum(changed, 0)
        elif high == 0:
            changed = np.minimum(changed, 0)
        whole, rest = np.divmod(changed, 1 << _SHIFT)
        self.weights = np.clip(whole + (luck < rest / (1 << _SHIFT)), low, high)
        self.layer = replace(self.layer, weights=self.weights.astype(np.int16))
        self.x1.at[:] = self.y1.at[:] = 0


class _Traces:
    """The traces of one side; `at` is the step of an epoch, from 1, at which each spiked last, 0 for none."""

    def __init__(self, trace: Trace, count: int, seed: int) -> None:
        self.values = np.zeros(count, np.int64)
        self.at = np.zeros(count, np.int64)
        self._keeps = math.exp(-1 / trace.tau) if trace.tau else 0.0
        self._whole = math.floor(trace.impulse)
        self._part = round((trace.impulse - self._whole) * _FRACTION)
        self._decays, self._impulses = np.random.default_rng(seed), np.random.default_rng(seed + 1)
        self.draw()

    def draw(self) -> None:
        """Draw the luck of the next decay and impulse: one number for all."""
        self._decay_luck = self._decays.random(1)[0]
        self.impulse_luck = int(self._impulses.integers(0, MOST_TRACE + 1, size=1, dtype=int)[0])

    def spiked(self, spikes: NDArray[np.bool_], within: int, luck: int) -> None:
        """Note the step; of a spike before it in this epoch only the impulse is kept."""
        again = (self.at > 0) & spikes
        self.values[again] = self._raised(self.values[again], luck)
        self.at[spikes] = within

    def past(self, epoch: int) -> NDArray[np.int64]:
        """Return the traces as [step, neuron] from before the epoch to its end, where they stay."""
        history = np.empty((epoch + 1, len(self.values)), np.int64)
        history[0] = self.values
        for step in range(1, epoch + 1):
            kept = history[step - 1] * self._keeps
            now = np.floor(kept) + (self._decay_luck < kept % 1)
            history[step] = np.where(self.at == step, self._raised(now, self.impulse_luck), now)
        self.values[:] = history[-1]
        return history

    def _raised(self, values: NDArray[Any], luck: int) -> NDArray[Any]:
        raised: NDArray[Any] = np.clip(values + self._whole + (luck < self._part), 0, MOST_TRACE)
        return raised


def _shifted(values: NDArray[np.int64], by: int) -> NDArray[np.int64]:
    return values << by if by >= 0 else values >> -by


def _saturated(values: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.clip(values, -_ACCUMULATOR - 1, _ACCUMULATOR - 1)
