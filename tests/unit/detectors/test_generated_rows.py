"""What generated devices set of the network of timing: that it is the least they need, and what is learned elsewhere stays as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from tests.unit.detectors.traffic import poller

from spikebridge_detectors.elapsed import DAY_NS, SECOND_NS
from spikebridge_detectors.evaluate import generated
from spikebridge_detectors.evaluate.data import between
from spikebridge_detectors.evaluate.inject import inject

if TYPE_CHECKING:
    from spikebridge_detectors.capture.columns import Packets

DAYS = 10


def _device(seed: int) -> Packets:
    return poller(hours=DAYS * 24, every=300, seed=seed)


def _attacked(packets: Packets, times: int) -> Packets:
    """Return a device that is scanned for an hour so many times on each of its later days."""
    for start in np.linspace(5.1 * DAY_NS, 9.9 * DAY_NS, 5 * times).astype(np.int64).tolist():
        found = inject(packets, "scan", start, np.random.default_rng(3))
        assert found is not None
        packets = found
    return packets


def test_the_margin_is_the_least_that_holds_the_budget() -> None:
    """Devices that go on as they were need none; where no margin is enough, because later days are full of scans, the most is taken."""
    assert generated.margin([_device(1)]) == generated.MARGINS[0]
    assert generated.margin([_attacked(_device(1), 5)]) == generated.MARGINS[-1]


def test_what_ships_is_what_judges() -> None:
    """A generated lock is usual to it, a scan of one isn't; the lock's own days change nothing."""
    row = generated.rows([_device(1)])[1]
    (lock,) = generated.devices(("lock",), (7,))
    row.learn({"lock": lock})
    assert row.learned["lock"][0] is row.detectors[0].learn(_device(1))
    start = 36 * 3600 * SECOND_NS
    attacked = inject(between(lock, 0, 3 * DAY_NS), "scan", start, np.random.default_rng(3))
    assert attacked is not None
    assert len(row.scan("lock", between(lock, 0, 3 * DAY_NS))) <= 6
    assert any(start <= alarm.time_ns <= start + 3600 * SECOND_NS for alarm in row.scan("lock", attacked))


def test_generated_devices_last_as_long_as_they_are_measured() -> None:
    """Ten days each, from 0 on, no two alike."""
    one, other = generated.devices(("thermostat",), (1, 2))
    for packets in (one, other):
        assert packets.time_ns[0] < DAY_NS // 24
        assert DAYS * DAY_NS - DAY_NS // 24 < packets.time_ns[-1] < DAYS * DAY_NS
    assert not np.array_equal(one.time_ns[:100], other.time_ns[:100])


def test_both_rows_say_what_they_took_from_generated_devices() -> None:
    """The margin by its number."""
    names = [row.name for row in generated.rows([_device(1)])]
    assert names == [
        "timing, its margin from generated devices (1)",
        "timing.spike as it ships, nothing learned here",
    ]
