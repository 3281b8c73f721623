"""What `timing.spike` finds on generated devices that it has not seen, as it ships and after a device's own days: the figures of its card."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from spikebridge_detectors.elapsed import DAY_NS, SECOND_NS
from spikebridge_detectors.shipped import energy
from spikebridge_detectors.shipped.timing import DAYS, KIND
from spikebridge_detectors.timing.detector import Timing
from spikebridge_detectors.timing.marks import BINS, PAIRS, Seen, encode
from spikebridge_detectors.timing.surprise import layer
from spikebridge_detectors.timing.ticks import neurons
from spikebridge_detectors.traffic.attacks import LASTS_S, attacked
from spikebridge_detectors.traffic.days import generated
from spikebridge_detectors.traffic.packets import kept

if TYPE_CHECKING:
    from spikebridge_detectors.alarm import Alarm
    from spikebridge_detectors.capture.columns import Packets
    from spikebridge_detectors.timing.learning import Learned

HELD_OUT = range(320, 326)
"""Devices that had no part in it."""

WATCHED = 3
_GRACE_S = 10
_OF_LAYER_2 = 2
_OCCASION_NS = 600 * SECOND_NS
_START_NS = (DAYS + 1) * DAY_NS + DAY_NS // 2


class Found(NamedTuple):
    """On one device: the attacks that were told, and the false alarms of the days that are watched."""

    told: set[str]
    false: int


def card(shipped: Learned, seeds: range = HELD_OUT) -> str:
    """Return the table of `timing.spike`."""
    devices = [generated(KIND, DAYS + WATCHED, seed, 0) for seed in seeds]
    as_shipped = [found(shipped, packets) for packets in devices]
    alone = [found(Timing().learn(kept(packets, packets.time_ns < DAYS * DAY_NS)), packets) for packets in devices]
    count = len(as_shipped)
    rows = ["| attack | as shipped | after five days of its own |", "|---|---|---|"]
    rows += [f"| {name} | {_told(as_shipped, name)} | {_told(alone, name)} |" for name in LASTS_S]
    false = (sum(one.false for one in some) for some in (as_shipped, alone))
    rows.append("| false alarms a device-day | " + " | ".join(f"{one / count / WATCHED:.2f}" for one in false) + " |")
    return "\n".join([*rows, "", _spent(shipped, devices)])


def _spent(learned: Learned, devices: list[Packets]) -> str:
    """Tell what a day would cost on the chip; of layer 2 each packet is counted at both neurons that it reaches."""
    reached = (layer(learned.habits).weights != 0).sum(axis=0)
    packets = synapses = 0
    for one in devices:
        lines = encode(learned.alphabet, one, Seen())
        packets += len(one.time_ns)
        synapses += int(reached[lines.pair].sum()) + _OF_LAYER_2 * len(one.time_ns)
        synapses += int(reached[PAIRS + lines.gap].sum() + reached[PAIRS + BINS + lines.own].sum())
    days = len(devices) * (DAYS + WATCHED)
    updates = packets * 2 * BINS / days + len(neurons(learned.thresholds)) * DAY_NS // SECOND_NS
    return f"Counted on these days, on average of a device: {packets / days:,.0f} packets, {energy.told(synapses / days, updates, 'a day')}"


def _told(some: list[Found], name: str) -> str:
    return f"{sum(name in one.told for one in some)}/{len(some)}"


def found(learned: Learned, packets: Packets) -> Found:
    """Watch the days after those of learning, once as they are and once with each attack."""
    watched = kept(packets, packets.time_ns >= DAYS * DAY_NS)
    told = set()
    for name, lasts_s in LASTS_S.items():
        day = kept(watched, np.abs(watched.time_ns - _START_NS) < DAY_NS // 2)
        changed = attacked(day, name, _START_NS, np.random.default_rng([*LASTS_S].index(name)))
        end_ns = _START_NS + (lasts_s + _GRACE_S) * SECOND_NS
        if any(_START_NS <= alarm.time_ns < end_ns for alarm in Timing().scan(changed, learned)):
            told.add(name)
    return Found(told, _occasions(Timing().scan(watched, learned)))


def _occasions(alarms: list[Alarm]) -> int:
    """Count alarms, those within ten minutes of the first of them once."""
    count, last = 0, -_OCCASION_NS
    for alarm in sorted(alarms):
        if alarm.time_ns - last >= _OCCASION_NS:
            count, last = count + 1, alarm.time_ns
    return count
