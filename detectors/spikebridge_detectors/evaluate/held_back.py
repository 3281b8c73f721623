"""What settings are chosen by: each day of learning held back in turn, learned from the others, clean and with attacks of our own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from spikebridge_detectors.elapsed import DAY_NS, SECOND_NS
from spikebridge_detectors.errors import ModelError
from spikebridge_detectors.evaluate.data import Truth, between, some
from spikebridge_detectors.evaluate.inject import KINDS, inject
from spikebridge_detectors.evaluate.protocol import LEARNED_DAYS, Rate, Trial, incidents, judged, rate

if TYPE_CHECKING:
    from spikebridge_detectors.alarm import Detector
    from spikebridge_detectors.capture.columns import Packets
    from spikebridge_detectors.evaluate.data import Capture

PLACES = 2
_SEED = 991
_HOUR_NS = 3600 * SECOND_NS


class HeldBack(NamedTuple):
    """What was found on days held back, and their false alarms, of each device too; `unfit` are those with too few days, and why."""

    trials: list[Trial]
    all: Rate
    devices: dict[str, Rate]
    unfit: dict[str, str]


def without(packets: Packets, day: int) -> Packets:
    """Return packets without a day, the later ones a day earlier."""
    left = some(packets, packets.time_ns // DAY_NS != day)
    return left._replace(time_ns=left.time_ns - np.where(left.time_ns // DAY_NS > day, DAY_NS, 0))


def measured(detector: Detector[Any], capture: Capture, attacked: str | None = None) -> HeldBack:
    """Learn from all days but one, with an hour of an attack among them if one is named, and judge that one."""
    trials, alarms, unfit = list[Trial](), dict[str, int](), dict[str, str]()
    for number, (device, packets) in enumerate(capture.devices.items()):
        days = between(packets, 0, LEARNED_DAYS * DAY_NS)
        try:
            alarms[device], tried = _of(detector, device, days, number, attacked)
        except ModelError as error:
            unfit[device] = str(error)
        else:
            trials += tried
    if not alarms:
        raise ModelError("\n".join(unfit.values()))
    devices = {device: rate(count, LEARNED_DAYS * DAY_NS) for device, count in alarms.items()}
    return HeldBack(trials, rate(sum(alarms.values()), len(alarms) * LEARNED_DAYS * DAY_NS), devices, unfit)


def _of(detector: Detector[Any], device: str, days: Packets, number: int, attacked: str | None) -> tuple[int, list[Trial]]:
    """Return how many false alarms the days of one device have, and what was found on them."""
    alarms, trials = 0, list[Trial]()
    for day in range(LEARNED_DAYS):
        luck = np.random.default_rng([_SEED, day, number])
        try:
            learned = detector.learn(_attacked(without(days, day), attacked, luck))
        except ModelError as error:
            raise ModelError(f"{device}, without day {day}: {error}") from error
        clean = between(days, day * DAY_NS, (day + 1) * DAY_NS)
        alarms += len(incidents(detector.scan(clean, learned), 0))
        for kind in KINDS if attacked is None else (attacked,):
            trials += _tried(detector, learned, clean, Truth(device, kind, day * DAY_NS / SECOND_NS, 0.0, scored=True), luck)
    return alarms, trials


def _attacked(packets: Packets, kind: str | None, luck: np.random.Generator) -> Packets:
    if kind is None:
        return packets
    start = int(luck.integers(DAY_NS // 5, (LEARNED_DAYS - 1) * DAY_NS - KINDS[kind] * SECOND_NS))
    return inject(packets, kind, start, luck) or packets


def _tried(detector: Detector[Any], learned: object, clean: Packets, day: Truth, luck: np.random.Generator) -> list[Trial]:
    """Put an attack into a day, at places an hour from its start and ten minutes from its end at least, one a run."""
    length, begins = KINDS[day.kind] * SECOND_NS, round(day.start * SECOND_NS)
    found = []
    for start in luck.integers(begins + _HOUR_NS, begins + DAY_NS - length - _HOUR_NS // 6, PLACES).tolist():
        attacked = inject(clean, day.kind, start, luck)
        if attacked is not None:
            truth = day._replace(start=start / SECOND_NS, end=(start + length) / SECOND_NS)
            found.append(judged(detector.scan(attacked, learned), truth))
    return found
