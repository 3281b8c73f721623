"""What is left of recall where an attacker knows of the detector: each attack changed more and more, at the same places."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from spikebridge_detectors.elapsed import SECOND_NS
from spikebridge_detectors.evaluate.data import Truth, between
from spikebridge_detectors.evaluate.evasion import EVASIONS, Evasion
from spikebridge_detectors.evaluate.inject import KINDS
from spikebridge_detectors.evaluate.measure import LEARNED_NS, WARM_NS, Replicate, Row
from spikebridge_detectors.evaluate.protocol import INCIDENT_NS, TOLERANCE_NS, judged

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from spikebridge_detectors.capture.columns import Packets
    from spikebridge_detectors.evaluate.data import Capture

PLACES = 8
"""So many places for each kind of attack and each device; they are the same whatever is changed."""

_SEED = 20_261_123


class Place(NamedTuple):
    """Where an attack is put: the packets around it, when, and whether an alarm is there without it."""

    truth: Truth
    around: Packets
    start_ns: int
    seed: list[int]
    chance: bool


class Swept(NamedTuple):
    """One change of one kind of attack: what was found at each amplitude."""

    evasion: Evasion
    kind: str
    found: list[Replicate]


def swept(row: Row, capture: Capture, evasions: Sequence[Evasion] = EVASIONS, places: int = PLACES) -> Iterator[Swept]:
    """Yield what a row that has learned finds of each attack, changed in each way, on the days after those of learning."""
    where = {kind: list(_places(row, capture, kind, places)) for kind in KINDS}
    for evasion in evasions:
        for kind in evasion.kinds:
            yield Swept(evasion, kind, [_tried(row, evasion, amplitude, where[kind]) for amplitude in evasion.amplitudes])


def _places(row: Row, capture: Capture, kind: str, count: int) -> Iterator[Place]:
    length = KINDS[kind] * SECOND_NS
    for number, (device, packets) in enumerate(capture.devices.items()):
        seed = [_SEED, number, list(KINDS).index(kind)]
        starts = np.random.default_rng(seed).integers(LEARNED_NS, capture.end_ns - length - TOLERANCE_NS, count)
        for place, start in enumerate(starts.tolist()):
            around = between(packets, start - WARM_NS, start + length + INCIDENT_NS)
            truth = Truth(device, kind, start / SECOND_NS, (start + length) / SECOND_NS, scored=True)
            chance = bool(len(around.time_ns)) and judged(row.scan(device, around), truth, row.late_ns).seconds is not None
            yield Place(truth, around, start, [*seed, place], chance)


def _tried(row: Row, evasion: Evasion, amplitude: float, places: Sequence[Place]) -> Replicate:
    trials, chance = [], 0
    for place in places:
        attacked = evasion.made(place.around, place.truth.kind, place.start_ns, amplitude, place.seed)
        if attacked is not None:
            trials.append(judged(row.scan(place.truth.device, attacked), place.truth, row.late_ns))
            chance += place.chance
    return Replicate(trials, chance)
