"""Sensing as its tests drive it: a generated device that is learned for three days and then attacked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from tests.unit.detectors.captures import HEADER
from tests.unit.detectors.traffic import poller

from spikebridge_detectors.capture.columns import Packets, Transport
from spikebridge_detectors.elapsed import SECOND_NS
from spikebridge_detectors.evaluate.inject import inject
from spikebridge_detectors.sense.device import DAY_S, Settings
from spikebridge_detectors.sense.loop import Loop, Parts
from spikebridge_detectors.sense.outputs import NEURONS, Told
from spikebridge_detectors.sense.saved import Source
from spikebridge_detectors.sense.watch import Watch, witness

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from spikebridge_detectors.sense.sensor import Taught
    from spikebridge_detectors.sense.state import State

HOUR_NS = 3600 * SECOND_NS
SETTINGS = Settings(learn_s=3 * DAY_S)


def attacked(hours: int = 90) -> Packets:
    """Return days of a device that polls each five minutes, and on the fourth a scan, a silence of two hours, and a flood."""
    packets = poller(hours=hours, every=300)
    scanned = inject(packets, "scan", 76 * HOUR_NS, np.random.default_rng(1))
    assert scanned is not None
    quiet = (scanned.time_ns < 80 * HOUR_NS) | (scanned.time_ns > 82 * HOUR_NS)
    rest = Packets._make(column[quiet] for column in scanned)
    times = 84 * HOUR_NS + np.arange(300) * 10_000_000
    flood = Packets._make(np.resize(column[:1], 300) for column in rest)._replace(time_ns=times, flags=np.full(300, 2, np.uint8))
    both = Packets._make(np.concatenate([column, more]) for column, more in zip(rest, flood, strict=True))
    order = np.argsort(both.time_ns, kind="stable")
    return Packets._make(column[order] for column in both)


def watched() -> tuple[Watch, Packets]:
    """Return what watches that device by its three days, rules too, and the fourth day of its packets."""
    packets = attacked()
    learned = packets.time_ns < 72 * HOUR_NS
    watch = Watch.learn(Packets._make(column[learned] for column in packets), with_rules=True)
    return watch, Packets._make(column[~learned] for column in packets)


def as_table(packets: Packets) -> str:
    """Return packets of one device, `meter`, as a CSV table."""
    rows = (
        f"{time / SECOND_NS:.9f},meter,{'o' if out else 'i'},0,{Transport(kind).name.lower()},{source},{target},{length},{flags:x},\n"
        for time, _, out, _, kind, source, target, length, flags in zip(*packets, strict=True)
    )
    return HEADER + "".join(rows)


def pieces(packets: Packets, size: int) -> Iterator[Packets]:
    """Cut packets into pieces."""
    for first in range(0, len(packets.time_ns), size):
        yield Packets._make(column[first : first + size] for column in packets)


def encode(told: Told, boot: int, seq: int) -> bytes:
    """Write what is told as text, as good as a frame here."""
    neuron = NEURONS[told.layer, told.kind] if told.kind else "lives"
    return f"{boot} {seq} {told.device} {told.time_ns} {told.layer} {neuron} {told.digest.hex()} {told.evidence.hex()}".encode()


class Kept:
    """A target that keeps what it gets."""

    def __init__(self) -> None:
        """Begin empty."""
        self.frames: list[bytes] = []

    def append(self, frames: Sequence[bytes]) -> None:
        """Keep them."""
        self.frames += frames

    def place(self) -> tuple[str, int]:
        """Return nothing."""
        return "", 0


def loop(
    state: State, target: Kept, said: list[str], settings: Settings = SETTINGS, classes: dict[str, Taught] | None = None
) -> Loop:
    """Return a loop over a source that is known by nothing."""
    source = state.saved.sources[-1] if state.saved.sources else Source(1, b"1")
    if not state.saved.sources:
        state.saved.sources.append(source)
    return Loop(state, settings, Parts(target, encode, witness, dict, said.append, classes or {}), source)
