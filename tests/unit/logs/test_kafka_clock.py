"""The brokers' clock against ours: told once it is far off, and never of a record that may have waited."""

from __future__ import annotations

import logging

import pytest

from spikebridge.limits import MINUTE, SECOND
from spikebridge.logs.kafka.clock import BrokerClock
from spikebridge.testing import FakeClock

DAY = 1_440 * MINUTE


@pytest.mark.parametrize(("off_ns", "told"), [(DAY, "1d ahead of ours"), (-DAY, "1d behind ours")])
def test_a_clock_that_is_far_off_is_told_once_and_when_it_agrees_again(
    off_ns: int, told: str, caplog: pytest.LogCaptureFixture
) -> None:
    """By a record that came after the end was seen, whatever its stamp."""
    caplog.set_level(logging.INFO)
    clock = FakeClock()
    seen = BrokerClock("log x, partition 0", clock)
    for _ in range(3):
        seen.at_end()
        clock.advance(SECOND)
        seen.stamped(clock() - SECOND // 2 + off_ns)
    assert abs(seen.ahead_ns - off_ns) < 2 * SECOND
    assert len(caplog.records) == 1
    assert caplog.records[0].getMessage().startswith(f"log x, partition 0: the brokers' clock is {told}")

    seen.at_end()
    clock.advance(SECOND)
    seen.stamped(clock() - SECOND // 2)
    assert seen.ahead_ns == 0
    assert [record.getMessage() for record in caplog.records[1:]] == [
        "log x, partition 0: the brokers' clock agrees with ours again"
    ]


def test_records_that_may_have_waited_say_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """A backlog of a day is no clock that is a day behind."""
    clock = FakeClock()
    seen = BrokerClock("log x, partition 0", clock)
    seen.stamped(clock() - DAY)
    seen.at_end()
    clock.advance(SECOND)
    seen.stamped(clock())
    seen.stamped(clock() - DAY)
    assert seen.ahead_ns == 0
    assert caplog.records == []
