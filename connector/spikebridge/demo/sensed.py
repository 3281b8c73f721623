"""
Raw spikes of the devices whose network runs in the service: generated packets, encoded as the header of `rhythm.spike` says.

What their sensors send is no output of any neuron: which packet came, and how long after the one before it.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np

from spikebridge.limits import SECOND
from spikebridge_detectors.encode.gaps import Gaps
from spikebridge_detectors.model.file import opened
from spikebridge_detectors.shipped.pins import place, shipped
from spikebridge_detectors.traffic.attacks import attacked
from spikebridge_detectors.traffic.days import generated
from spikebridge_detectors.traffic.packets import kept, put_together

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

MODEL = place("rhythm.spike")
"""The model that serves these devices."""

KINDS = {"hub-5": "hub", "lock-6": "lock"}
"""The devices, and what kind of device is generated for each: its class in the inventory."""

_SEED = 310
_NOON_NS = 43_200 * SECOND
_LENGTH_NS = 43_200 * SECOND


class Placed(NamedTuple):
    """An attack on a device, so long after the stretch begins."""

    at_ns: int
    kind: str
    lasts_ns: int


class Heard(NamedTuple):
    """The lines that packets are, and when: nanoseconds since the stretch began, rising."""

    after_ns: NDArray[np.int64]
    line: NDArray[np.int64]

    def between(self, first_ns: int, last_ns: int) -> Heard:
        """Return what was heard in a part of it."""
        low, high = np.searchsorted(self.after_ns, (first_ns, last_ns)).tolist()
        return Heard(self.after_ns[low:high], self.line[low:high])


def heard(device: str, since_ns: int, slot_ns: int, repeat_ns: int, attacks: Iterable[Placed]) -> Heard:
    """Return what a device's sensor hears in a slot, since the slot began; the stretch comes again every `repeat_ns`, or twelve hours."""
    length_ns = repeat_ns or _LENGTH_NS
    first_ns = since_ns % length_ns
    placed = tuple(one._replace(at_ns=one.at_ns % length_ns) for one in attacks)
    found = _stretch(KINDS[device], length_ns, placed).between(first_ns, first_ns + slot_ns)
    return Heard(found.after_ns - first_ns, found.line)


@lru_cache(maxsize=32)
def _stretch(kind: str, length_ns: int, attacks: tuple[Placed, ...]) -> Heard:
    """Return the lines of a stretch that begins at noon; each attack is cut where it ends."""
    day = generated(kind, 1, _SEED, -_NOON_NS)
    packets = kept(day, (day.time_ns >= 0) & (day.time_ns < length_ns))
    for number, (at_ns, name, lasts_ns) in enumerate(attacks):
        end_ns = at_ns + lasts_ns
        whole = attacked(packets, name, at_ns, np.random.default_rng([_SEED, number]))
        during = kept(whole, (whole.time_ns >= at_ns) & (whole.time_ns < end_ns))
        packets = put_together([kept(packets, (packets.time_ns < at_ns) | (packets.time_ns >= end_ns)), during])
    header = opened(shipped(MODEL.name)).header
    code = msgspec.convert(header.encoder.settings, Gaps)
    return Heard(packets.time_ns, code.line(packets))
