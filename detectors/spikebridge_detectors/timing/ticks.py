"""
Layer 2: eight neurons on a clock of one second that gather surprises, and the same worked out from event to event.

    relay      passes on a surprise, at most one in about half a minute
    block      holds the relay back for that long
    spread     leaky counter of what the relay passes, 10 min
    lasting    the same, 34 min
    burst      leaky counter of surprises, 20 s
    spell      the same, 5 min
    timer      counts seconds; a packet makes it fire and begin anew
    silence    the timer fired and there was no packet; it holds the timer down until packets come again, nine hours at most

Minutes that hold a surprise are counted, not surprises: a reconnection is one burst, an attack that hides is spread out.
All are the neurons of `lif`, a layer each since each has a memory of its own; `scan` gives their spikes without running quiet seconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from spikebridge_detectors.errors import ModelError
from spikebridge_detectors.lif import UNIT, Layer, truncated

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MOST_COUNT = 127
COUNT_LINES = 7
RELAYED = 1000 * UNIT
COUNTED = 16 * UNIT
MOST_SILENCE = 32_000
"""The most seconds of silence that the timer tells, since a packet, of 16 bits, must make it fire."""

MOST_VTH = (1 << 17) - 1
COUNTERS = {"spread": 7, "lasting": 2, "burst": 205, "spell": 14}
"""The leak of each counter, in 4096ths a second."""

RELAYS = ("spread", "lasting")

_BLOCK_DU, _BLOCK_VTH = 263, 128
_TOP = (1 << 23) - 1
_FORGETS = 4095
_REACHES = 7
HELD_DOWN = 254 << _REACHES
"""So many seconds a silence holds the timer down: whoever goes on being silent makes it fire again then."""

_PACKET, _HOLD = (252 << _REACHES) * UNIT, HELD_DOWN * UNIT


class Thresholds(NamedTuple):
    """What sets each neuron off: counters in the neuron's own units, silence in seconds."""

    spread: int
    lasting: int
    burst: int
    spell: int
    silence: int

    def checked(self) -> Thresholds:
        """Refuse what neurons can't hold."""
        for name, value in self._asdict().items():
            most = MOST_SILENCE if name == "silence" else MOST_VTH
            if not 1 <= value <= most:
                raise ModelError(f"threshold of {name}: expected 1 to {most}, found {value}")
        return self


class Neuron(NamedTuple):
    """A layer of one unit and what its synapses come from: neurons, or the inputs error, packet, packet_before and count_0 to 6."""

    layer: Layer
    sources: tuple[str, ...]


def neurons(thresholds: Thresholds) -> dict[str, Neuron]:
    """Return the network that `scan` works out; packet_before is the packet line one second late."""
    counts = tuple(f"count_{bit}" for bit in range(COUNT_LINES))
    made = {
        "relay": _neuron({"error": 160, "block": -256, "relay": -256}, vth=128),
        "block": _neuron({"relay": 125}, exponent=3, du=_BLOCK_DU, vth=_BLOCK_VTH),
        "timer": _neuron({"packet": 252, "silence": -254}, exponent=_REACHES, dv=0, vth=thresholds.silence, bias=UNIT),
        "silence": _neuron({"timer": 160, "packet_before": -256}, vth=128),
    }
    for name, leak in COUNTERS.items():
        vth = getattr(thresholds, name)
        if name in RELAYS:
            made[name] = _neuron({"relay": 125}, exponent=3, dv=leak, vth=vth)
        else:
            made[name] = _neuron({line: 1 << bit for bit, line in enumerate(counts)}, exponent=4, dv=leak, vth=vth)
    return made


def _neuron(
    synapses: dict[str, int], *, vth: int, exponent: int = 0, du: int = _FORGETS, dv: int = _FORGETS, bias: int = 0
) -> Neuron:
    weights = truncated(np.array([list(synapses.values())]))
    layer = Layer(weights=weights, exponent=exponent, du=du, dv=dv, vth=vth, bias=np.array([bias], np.int32))
    return Neuron(layer, tuple(synapses))


class Tick(NamedTuple):
    """A second with packets: its number, and how much surprised in it, 0 for nothing."""

    second: int
    surprises: int


class Spike(NamedTuple):
    """A neuron that fired: which, in which step, after which second with packets, and what it held in multiples of its threshold."""

    step: int
    neuron: str
    second: int
    held: float


@dataclass(slots=True)
class Held:
    """What the neurons hold, and the step at which they held it."""

    counters: dict[str, int] = field(default_factory=lambda: dict.fromkeys(COUNTERS, 0))
    counted: int = 0
    block: int = 0
    blocked: int = 0
    timer: int = 0
    timed: int = -1
    hold: int | None = None
    heard: int = 0


def scan(thresholds: Thresholds, held: Held, ticks: Iterable[Tick], until: int | None = None) -> list[Spike]:
    """Return the spikes of counters and silence for seconds that rise; `until` is a step up to which no more packets come."""
    spikes: list[Spike] = []
    for tick in ticks:
        spikes += _timed(thresholds.silence, held, tick.second + 1, packet=True)
        held.heard = tick.second
        if tick.surprises:
            spikes += _counted(thresholds, held, tick)
    if until is not None:
        spikes += _timed(thresholds.silence, held, until, packet=False)
    return spikes


def _counted(thresholds: Thresholds, held: Held, tick: Tick) -> Iterator[Spike]:
    """Let the counters leak to this second, add its surprises, and yield those that fire."""
    passes = _passes(held, tick.second)
    for name, leak in COUNTERS.items():
        value = leaked(held.counters[name], leak, tick.second - held.counted)
        if name not in RELAYS:
            value += min(tick.surprises, MOST_COUNT) * COUNTED
        elif passes:
            value += RELAYED
        value = min(value, _TOP)
        above = getattr(thresholds, name) * UNIT
        if value > above:
            yield Spike(tick.second + (2 if name in RELAYS else 1), name, tick.second, value / above)
            value = 0
        held.counters[name] = value
    held.counted = tick.second


def leaked(value: int, leak: int, steps: int) -> int:
    """Return what a counter holds after so many steps in which nothing came."""
    keep = 4096 - leak
    while steps > 0 and value:
        value = value * keep >> 12
        steps -= 1
    return value


def _passes(held: Held, second: int) -> bool:
    """Say whether the relay fires in the step after this second, which blocks it for a while."""
    if second < held.blocked:
        return False  # it fires in this very step, which holds it back before the block does
    held.block, held.blocked = leaked(held.block, _BLOCK_DU + 1, second - held.blocked), second
    if held.block > _BLOCK_VTH * UNIT:
        return False
    held.block, held.blocked = leaked(held.block, _BLOCK_DU + 1, 2) + RELAYED, second + 2
    return True


def _timed(silence: int, held: Held, step: int, *, packet: bool) -> Iterator[Spike]:
    """Run the timer up to a step, at which a packet of the second before reaches it; yield the silences on the way."""
    above = silence * UNIT
    while held.timed < step:
        stop = step if held.hold is None else min(step, held.hold)
        fires = held.timed + (above - held.timer) // UNIT + 1
        alone = stop if packet or stop == held.hold else stop + 1
        if fires < alone:
            yield Spike(fires + 1, "silence", held.heard, (fires - held.heard) / silence)
            held.timer, held.timed, held.hold = 0, fires, fires + 2
            continue
        value = held.timer + UNIT * (stop - held.timed)
        value += _PACKET if packet and stop == step else 0
        value -= _HOLD if stop == held.hold else 0
        value = max(-_TOP, min(_TOP, value))
        held.timer, held.timed = 0 if value > above else value, stop
        if stop == held.hold:
            held.hold = None
