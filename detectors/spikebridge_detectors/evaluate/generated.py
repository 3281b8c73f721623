"""What generated devices teach of the network of timing: the margin of its thresholds, or everything."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from spikebridge_detectors.evaluate.data import between
from spikebridge_detectors.evaluate.measure import LEARNED_NS, Row
from spikebridge_detectors.evaluate.protocol import LEARNED_DAYS, incidents
from spikebridge_detectors.model.file import opened
from spikebridge_detectors.shipped.pins import shipped
from spikebridge_detectors.timing.calibrate import Budget
from spikebridge_detectors.timing.detector import Timing
from spikebridge_detectors.timing.model import learned_from
from spikebridge_detectors.traffic.days import generated

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spikebridge_detectors.alarm import Alarm
    from spikebridge_detectors.capture.columns import Packets
    from spikebridge_detectors.timing.learning import Learned
    from spikebridge_detectors.timing.ticks import Thresholds

KINDS = ("lock", "hub", "thermostat", "camera")
SEEDS = (400,)
MARGINS = (1.0, 1.15, 1.3, 1.6, 2.0)
_REPORTED_DAYS = 5


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """The network of timing as it was learned elsewhere: here it learns nothing."""

    learned: Learned

    def learn(self, packets: Packets) -> Learned:  # noqa: ARG002  that it learns nothing is the point
        """Return what was learned elsewhere."""
        return self.learned

    def scan(self, packets: Packets, state: Learned, until_ns: int | None = None) -> list[Alarm]:
        """Return the alarms in packets of one device."""
        return Timing().scan(packets, state, until_ns)


def devices(kinds: Sequence[str] = KINDS, seeds: Sequence[int] = SEEDS) -> list[Packets]:
    """Return generated devices, each from 0 on."""
    return [generated(kind, LEARNED_DAYS + _REPORTED_DAYS, seed, 0) for kind in kinds for seed in seeds]


def margin(some: Sequence[Packets]) -> float:
    """Return the least margin at which devices, each by its own first days, raise one false alarm a day at most on the days after; or the most."""
    timing = Timing(Budget(margin=1.0))
    learned = [timing.learn(between(packets, 0, LEARNED_NS)) for packets in some]
    for times in MARGINS:
        raised = [
            timing.scan(packets, replace(one, thresholds=_raised(one.thresholds, times)))
            for packets, one in zip(some, learned, strict=True)
        ]
        if sum(len(incidents(alarms, LEARNED_NS)) for alarms in raised) <= _REPORTED_DAYS * len(some):
            return times
    return MARGINS[-1]


def _raised(thresholds: Thresholds, times: float) -> Thresholds:
    """Return thresholds with those of counters so many times as high."""
    counters = {name: round(value * times) for name, value in thresholds._asdict().items() if name != "silence"}
    return thresholds._replace(**counters)


def rows(some: Sequence[Packets]) -> list[Row]:
    """Return the network as it would be had these captures never been seen: its margin, or, as it ships, all that it knows from generated devices."""
    least = margin(some)
    return [
        Row(f"timing, its margin from generated devices ({least:g})", (Timing(Budget(margin=least)),)),
        Row("timing.spike as it ships, nothing learned here", (Elsewhere(learned_from(opened(shipped("timing.spike")))),)),
    ]
