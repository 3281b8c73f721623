"""The measurements: attacks in the composites, false alarms on clean days, a replicate of quiet attacks, and what strains a detector."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from spikebridge_detectors.elapsed import DAY_NS, SECOND_NS
from spikebridge_detectors.errors import ModelError
from spikebridge_detectors.evaluate.data import Capture, Truth, between, joined, some
from spikebridge_detectors.evaluate.inject import KINDS, inject
from spikebridge_detectors.evaluate.protocol import INCIDENT_NS, LEARNED_DAYS, TOLERANCE_NS, Rate, Trial, incidents, judged, rate
from spikebridge_detectors.sites import grouped

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from spikebridge_detectors.alarm import Alarm, Detector
    from spikebridge_detectors.capture.columns import Packets
    from spikebridge_detectors.sites import Incident

LEARNED_NS = LEARNED_DAYS * DAY_NS
PLACES = 8
"""So many places for each kind of attack and each device in the replicate."""

WARM_NS = 2 * 3600 * SECOND_NS
_SEED = 20_261_121
_JITTER_NS = 1_000_000
_LOST = 0.05


def same(packets: Packets) -> Packets:
    """Return packets as they are."""
    return packets


@dataclass(slots=True)
class Row:
    """Detectors that are switched on together, what they see of packets, what they learned, and how late they may tell of an attack."""

    name: str
    detectors: tuple[Detector[Any], ...]
    view: Callable[[Packets], Packets] = same
    learned: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    late_ns: int = TOLERANCE_NS

    def learn(self, devices: dict[str, Packets]) -> None:
        """Learn each device from the first days of its packets."""
        for name, packets in devices.items():
            seen = self.view(between(packets, 0, LEARNED_NS))
            try:
                self.learned[name] = tuple(detector.learn(seen) for detector in self.detectors)
            except ModelError as error:
                raise ModelError(f"{name}: {error}") from error

    def scan(self, device: str, packets: Packets, until_ns: int | None = None) -> list[Alarm]:
        """Return the alarms of all detectors, also of a silence that lasts until then."""
        seen = self.view(packets)
        return sorted(
            alarm
            for detector, state in zip(self.detectors, self.learned[device], strict=True)
            for alarm in detector.scan(seen, state, until_ns)
        )


class Clean(NamedTuple):
    """False alarms: of all devices, of each, by what, and grouped so that those of several devices at once are one incident."""

    all: Rate
    devices: dict[str, Rate]
    kinds: dict[str, int]
    incidents: list[Incident]


class Replicate(NamedTuple):
    """Attacks at places drawn by luck, and how many of these hold an alarm without the attack."""

    trials: list[Trial]
    chance: int


def attacks(row: Row, capture: Capture) -> list[Trial]:
    """Return each attack that counts, found or not."""
    alarms = {name: row.scan(name, packets, capture.end_ns) for name, packets in capture.devices.items()}
    return [judged(alarms[truth.device], truth, row.late_ns) for truth in capture.attacks if truth.scored]


def clean(row: Row, capture: Capture) -> Clean:
    """Return the false alarms after the days of learning; every device counts up to the capture's end, silent or not."""
    found = {name: incidents(row.scan(name, packets, capture.end_ns), LEARNED_NS) for name, packets in capture.devices.items()}
    span = capture.end_ns - LEARNED_NS
    kinds = [alarm.kind for alarms in found.values() for alarm in alarms]
    return Clean(
        rate(len(kinds), span * len(found)),
        {name: rate(len(alarms), span) for name, alarms in found.items()},
        {kind: kinds.count(kind) for kind in sorted(set(kinds))},
        grouped(found),
    )


def replicate(row: Row, capture: Capture, kinds: Sequence[str] = tuple(KINDS), places: int = PLACES) -> Replicate:
    """Put quiet attacks into clean days, one a run, and look for each."""
    trials, chance = [], 0
    for number, (device, packets) in enumerate(capture.devices.items()):
        for kind in kinds:
            luck = np.random.default_rng([_SEED, number, list(KINDS).index(kind)])
            length = KINDS[kind] * SECOND_NS
            for start in luck.integers(LEARNED_NS, capture.end_ns - length - TOLERANCE_NS, places).tolist():
                until = min(start + length + INCIDENT_NS, capture.end_ns)
                around = between(packets, start - WARM_NS, start + length + INCIDENT_NS)
                attacked = inject(around, kind, start, luck)
                if attacked is None:
                    continue
                truth = Truth(device, kind, start / SECOND_NS, (start + length) / SECOND_NS, scored=True)
                trials.append(judged(row.scan(device, attacked, until), truth, row.late_ns))
                chance += (
                    judged(row.scan(device, around, until), truth, row.late_ns).seconds is not None if len(around.time_ns) else 0
                )
    return Replicate(trials, chance)


def contaminated(row: Row, capture: Capture) -> dict[str, tuple[Replicate, Replicate]]:
    """Return for each kind its replicate, learned from clean days and from days with an hour of just that attack on one of them."""
    found = {}
    for kind in KINDS:
        luck = np.random.default_rng([_SEED, 1, list(KINDS).index(kind)])
        devices = {}
        for device, packets in capture.devices.items():
            start = int(luck.integers(DAY_NS, LEARNED_NS - DAY_NS))
            attacked = inject(packets, kind, start, luck)
            devices[device] = packets if attacked is None else attacked
        other = Row(row.name, row.detectors, row.view)
        other.learn(devices)
        found[kind] = replicate(row, capture, [kind]), replicate(other, capture, [kind])
    return found


def only_direction(packets: Packets) -> Packets:
    """Return packets of which nothing is left but time and direction."""
    blank = {
        name: np.zeros_like(getattr(packets, name)) for name in packets._fields if name not in ("time_ns", "outgoing", "device")
    }
    return packets._replace(**blank)


def strained(capture: Capture, *, lost: bool, since_ns: int = LEARNED_NS) -> Capture:
    """Return a capture that, after the days of learning, or since another time, lost each twentieth packet, or saw each up to 1 ms early or late."""
    devices = {}
    for number, (device, packets) in enumerate(capture.devices.items()):
        luck = np.random.default_rng([_SEED, 2, number])
        before, after = between(packets, 0, since_ns), between(packets, since_ns, capture.end_ns + 1)
        if lost:
            after = some(after, luck.random(len(after.time_ns)) >= _LOST)
        else:
            after = after._replace(time_ns=after.time_ns + luck.integers(-_JITTER_NS, _JITTER_NS + 1, len(after.time_ns)))
        devices[device] = joined([before, after])
    return capture._replace(devices=devices)
