"""A device that is learned beside a capture that doesn't wait for it."""

from __future__ import annotations

import time
from threading import Event
from typing import TYPE_CHECKING

from tests.unit.detectors.sensing import HOUR_NS, SETTINGS
from tests.unit.detectors.traffic import poller

from spikebridge_detectors.capture.columns import Packets
from spikebridge_detectors.errors import ModelError
from spikebridge_detectors.rules.clock import Clock
from spikebridge_detectors.sense.device import Device
from spikebridge_detectors.sense.lesson import Teacher
from spikebridge_detectors.sense.rows import Rows

if TYPE_CHECKING:
    from pathlib import Path

    from spikebridge_detectors.sense.lesson import Result


def hours(packets: Packets, first: float, last: float) -> Packets:
    """Return the packets of some hours."""
    some = (packets.time_ns >= first * HOUR_NS) & (packets.time_ns < last * HOUR_NS)
    return Packets._make(column[some] for column in packets)


def test_the_time_that_a_lesson_took_is_no_silence(tmp_path: Path) -> None:
    """The packets that came meanwhile weren't watched; a silence behind it is told."""
    teacher, over, said = Teacher(), Event(), list[str]()
    device = Device("meter", Rows(tmp_path), SETTINGS.learn_s, SETTINGS._replace(beside=True), Clock(), teacher=teacher)
    packets = poller(hours=78)

    def another() -> Result:
        over.wait()
        return ModelError("another device")

    teacher.begin(another)
    assert not device.advance(hours(packets, 0, 75), said.append)
    over.set()
    found = []
    for _ in range(6000):
        found += device.advance(hours(packets, 75, 75.1), said.append)
        if device.learned:
            break
        time.sleep(0.01)
    assert device.watch is not None
    found += device.advance(hours(packets, 75.1, 78), said.append)
    assert not [one.alarm for one in found if one.alarm.kind == "silence"]
    assert {one.layer for one in device.watch.wait(79 * HOUR_NS) if one.alarm.kind == "silence"} == {"timing", "rules"}
