"""All devices of a capture: each learned by itself, watched by itself, and bounded together with the others."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from spikebridge_detectors.capture.columns import Packets
from spikebridge_detectors.elapsed import SECOND_NS
from spikebridge_detectors.rules.clock import Clock
from spikebridge_detectors.sense.device import Device, Settings
from spikebridge_detectors.sense.lesson import Teacher
from spikebridge_detectors.sense.outputs import Told, within
from spikebridge_detectors.sense.rows import Rows
from spikebridge_detectors.sense.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from spikebridge_detectors.sense.device import Tell
    from spikebridge_detectors.sense.saved import SavedDevice
    from spikebridge_detectors.sense.watch import Found
    from spikebridge_detectors.timing.learning import Learned

    Witness = Callable[[str, Found], bytes]
    """Makes evidence of what was found of a device."""

LIFE_NS = 300 * SECOND_NS
"""A device of which packets come says so once in each such stretch of their time."""

MOST_DEVICES, MOST_NAME = 1000, 128
_UNFIT = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


class Taught(NamedTuple):
    """What a model learned of a class of devices, and the model's digest."""

    learned: Learned
    digest: bytes


class Sensor:
    """Packets of all devices in, what is to be told out: a function of the packets and how they are cut, never of a clock."""

    def __init__(
        self, folder: Path, settings: Settings, tell: Tell, witness: Witness, classes: Mapping[str, Taught] | None = None
    ) -> None:
        """Know no device; rows to learn from lie in `folder`, and `classes` says what was learned of the class of some devices."""
        self.devices: dict[str, Device] = {}
        self.refused: set[str] = set()
        self.packets = 0
        self._full = False
        self._folder = folder
        self._settings = settings
        self._tell = tell
        self._witness = witness
        self._classes = classes or {}
        self._teacher = Teacher() if settings.beside else None

    def restore(self, saved: Sequence[SavedDevice]) -> None:
        """Go on with the devices that were saved; those of a class whose model came since, or is another, are watched by that."""
        for one in saved:
            rows = Rows(self._place(one.name), one.first, one.count)
            if rows.lost:
                self._tell(f"{one.name}: {rows.lost:,} packets to learn from are gone from {self._place(one.name)}")
            device = self.devices[one.name] = Device.restored(one, rows, self._settings, self._teacher)
            device.known, by_class = self._known(one.name), self._by_class(one.name)
            if by_class and not device.learned and (device.watch is None or device.watch.digest != by_class.digest):
                device.watch = by_class

    def saved(self) -> list[SavedDevice]:
        """Return what a restart needs."""
        return [device.saved() for device in self.devices.values()]

    def cleared(self) -> None:
        """Take away what the save that is on the disk doesn't need."""
        for device in self.devices.values():
            device.rows.cleared()

    def advance(self, packets: Packets, names: Sequence[str]) -> list[Told]:
        """Return what a piece tells, its devices one after the other."""
        self.packets += len(packets.time_ns)
        told: list[Told] = []
        for number, own in _split(packets):
            device = self._device(names[number])
            if device is not None:
                told += self._of(device, own)
        self._bound()
        return told

    def wait(self, now_ns: int) -> list[Told]:
        """Return what is told because nothing came from devices up to now."""
        for device in self.devices.values():
            device.settle(self._tell)
        waited = ((device, device.watch.wait(now_ns)) for device in self.devices.values() if device.watch is not None)
        return [self._alarm(device, found) for device, all_found in waited for found in all_found]

    def finish(self) -> list[Told]:
        """Return what is told because the capture is over."""
        ended = ((device, device.watch.finish()) for device in self.devices.values() if device.watch is not None)
        return [self._alarm(device, found) for device, all_found in ended for found in all_found]

    def _of(self, device: Device, packets: Packets) -> list[Told]:
        found = device.advance(packets, self._tell)
        told = [Told(device.name, within(at_ns)) for at_ns in device.lives(packets, LIFE_NS)]
        return sorted([*told, *(self._alarm(device, one) for one in found)], key=lambda one: one.time_ns)

    def _alarm(self, device: Device, found: Found) -> Told:
        alarm = found.alarm
        evidence = self._witness(device.name, found)
        return Told(device.name, within(alarm.time_ns), found.layer, alarm.kind, alarm.score, found.digest, evidence)

    def _device(self, name: str) -> Device | None:
        device = self.devices.get(name)
        if device is None and name not in self.refused:
            if not 1 <= len(name.encode(errors="replace")) <= MOST_NAME or _UNFIT.search(name):
                self.refused.add(name)
                self._tell(
                    f"device {name[:MOST_NAME]!r}: expected a name of 1 to {MOST_NAME} bytes of UTF-8 without control characters"
                )
                return None
            if len(self.devices) >= MOST_DEVICES:
                if not self._full:
                    self._tell(f"device {name}: not watched, nor any other new one: there are {MOST_DEVICES:,} already")
                self._full = True
                self.refused.add(name)
                return None
            rows, watch = Rows(self._place(name)), self._by_class(name)
            device = Device(name, rows, self._settings.learn_s, self._settings, Clock(), watch, teacher=self._teacher)
            device.known = self._known(name)
            self.devices[name] = device
        return device

    def _by_class(self, name: str) -> Watch | None:
        """Return what watches a device by the model of its class, if it is named with one."""
        taught = self._classes.get(name)
        return Watch.of_class(taught.learned, taught.digest) if taught else None

    def _known(self, name: str) -> Learned | None:
        """Return what a model learned of the class of a device, if it is named with one."""
        taught = self._classes.get(name)
        return taught.learned if taught else None

    def _bound(self) -> None:
        """Drop the oldest packets where a device has too many to learn from, then of those that have most until all fit; that is told once."""
        learning = [device for device in self.devices.values() if not device.learned and device.lesson is None]
        total = sum(len(device.rows) for device in learning)
        for device in learning:
            while len(device.rows) > self._settings.rows:
                total -= self._drop(device, self._settings.rows)
        while total > self._settings.all_rows:
            total -= self._drop(max(learning, key=lambda device: len(device.rows)), self._settings.all_rows)

    def _drop(self, device: Device, most: int) -> int:
        dropped = device.rows.drop()
        if not device.dropped:
            self._tell(f"{device.name}: the oldest packets to learn from are dropped from here on: {most:,} are kept at most")
        device.dropped = True
        return dropped

    def _place(self, name: str) -> Path:
        return self._folder / hashlib.sha256(name.encode(errors="replace")).hexdigest()[:16]


def _split(packets: Packets) -> Iterator[tuple[int, Packets]]:
    """Yield the packets of each device, in the order of their numbers."""
    order = np.argsort(packets.device, kind="stable")
    numbers, first = np.unique(packets.device[order], return_index=True)
    for number, at in zip(numbers.tolist(), np.split(order, first[1:]), strict=False):
        yield number, Packets._make(column[at] for column in packets)
