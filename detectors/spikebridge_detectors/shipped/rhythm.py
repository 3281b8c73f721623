"""
`rhythm.spike`: three neurons for the service, that tell bursts, port scans and beacons by the gaps of a device's packets.

A neuron listens to few streams; how much each gap of them weighs is the logarithm of how much commoner it is in its attack than in
normal days and in the other attacks. A neuron so adds up evidence, forgets a quarter of it with each packet, and fires above the threshold.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from spikebridge_detectors.elapsed import DAY_NS, SECOND_NS
from spikebridge_detectors.encode.gaps import STREAMS, Gaps
from spikebridge_detectors.lif import Layer
from spikebridge_detectors.model.synapses import rounded
from spikebridge_detectors.network import Network
from spikebridge_detectors.raster import pack
from spikebridge_detectors.traffic.attacks import LASTS_S, attacked
from spikebridge_detectors.traffic.days import BEGIN_NS, generated
from spikebridge_detectors.traffic.kinds import KINDS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from spikebridge_detectors.capture.columns import Packets

ENCODER = Gaps(low=0.002, high=200.0, count=12)
VTH = 100
_FORGETS = 4095
_FADES = 1024
_EVEN = 254
_UNSEEN = 1e-5
TRAINED = range(100, 103)
"""The devices that the weights come from."""

THRESHOLDS = 4.0, 4.0, 3.0
"""How much evidence each output needs: on the devices 200 and 201 anything from 2 to 5 raises nothing false and finds what it learned."""

NOON_NS = BEGIN_NS + DAY_NS // 2


class Told(NamedTuple):
    """What an output neuron means: its number, the attacks that it learns, the streams it listens to, and the rule that counts it."""

    name: str
    neuron: int
    attacks: tuple[str, ...]
    streams: tuple[str, ...]
    spikes: int
    within_s: float


OUTPUTS = (
    Told("burst", 42, ("burst", "flood"), ("out-open", "out-tcp", "out-udp"), 20, 1),
    Told("port_scan", 40, ("scan",), ("out-open",), 20, 10),
    Told("beacon", 44, ("beacon",), ("out-open",), 4, 780),
)
"""The counts are those of the shipped mappings."""


def evidence(seeds: Iterable[int]) -> NDArray[np.float64]:
    """Return [output, line]: the logarithm of how much commoner each line is in the output's attacks than in all else."""
    days = [(kind, generated(kind, 1, seed)) for kind in KINDS for seed in seeds]
    usual = np.mean([_shares(ENCODER.line(packets)) for _, packets in days], axis=0)
    during = {name: _during(name, days) for name in {name for told in OUTPUTS for name in told.attacks}}
    rows = []
    for told in OUTPUTS:
        own = np.mean([during[name] for name in told.attacks], axis=0)
        rest = np.mean([usual, *(during[name] for name in sorted(during.keys() - set(told.attacks)))], axis=0)
        rows.append(np.log((own + _UNSEEN) / (np.maximum(rest, usual) + _UNSEEN)) * _listens(told))
    return np.array(rows)


def shipped_layer() -> Layer:
    """Return the neurons of `rhythm.spike`."""
    return layer(evidence(TRAINED), np.array(THRESHOLDS))


def layer(rows: NDArray[np.float64], thresholds: NDArray[np.float64]) -> Layer:
    """Return neurons that fire once they hold more evidence than their thresholds."""
    weights = rounded((rows / thresholds[:, None] * VTH).clip(-_EVEN, _EVEN), sign="mixed")
    return Layer(weights=weights, du=_FORGETS, dv=_FADES, vth=VTH, bias=np.zeros(len(weights), np.int32))


def fired(made: Layer, lines: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return [packet, unit]: who fired in the step of each packet, which is a step after the one that it answers."""
    raster = np.zeros((len(lines), 1, ENCODER.lines), np.bool_)
    raster[np.arange(len(lines)), 0, lines] = True
    network = Network((made,))
    words = network.run(network.zero(1), pack(raster))[0]
    bits = np.unpackbits(np.ascontiguousarray(words, "<u4").view(np.uint8), axis=1, bitorder="little", count=len(lines))
    return bits.T.astype(np.bool_)


def alarms(told: Told, time_ns: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return when the mapping's row would be met by spikes at these times, in the order of time."""
    if len(time_ns) < told.spikes:
        return time_ns[:0]
    ends = time_ns[told.spikes - 1 :]
    return ends[ends - time_ns[: len(ends)] <= int(told.within_s * SECOND_NS)]


def attack_at(packets: Packets, name: str, seed: int) -> Packets:
    """Return the day with an attack that begins at noon."""
    return attacked(packets, name, NOON_NS, np.random.default_rng([seed, [*LASTS_S].index(name)]))


def inside(name: str, time_ns: NDArray[np.int64], grace_s: int = 0) -> NDArray[np.bool_]:
    """Say which times lie in an attack that begins at noon, or so many seconds behind it."""
    return (time_ns >= NOON_NS) & (time_ns < NOON_NS + (LASTS_S[name] + grace_s) * SECOND_NS)


def _during(name: str, days: list[tuple[str, Packets]]) -> NDArray[np.float64]:
    """Return the share of each line while an attack lasts."""
    found = []
    for seed, (_, packets) in enumerate(days):
        changed = attack_at(packets, name, seed)
        found.append(_shares(ENCODER.line(changed)[inside(name, changed.time_ns)]))
    return np.asarray(np.mean(found, axis=0))


def _shares(lines: NDArray[np.int64]) -> NDArray[np.float64]:
    counts = np.bincount(lines, minlength=ENCODER.lines)
    shares: NDArray[np.float64] = counts / max(1, counts.sum())
    return shares


def _listens(told: Told) -> NDArray[np.bool_]:
    names = [f"{way}-{stream}" for way in ("in", "out") for stream in STREAMS]
    return np.repeat([name in told.streams for name in names], ENCODER.count)
