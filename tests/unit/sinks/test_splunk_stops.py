"""Orderly stops while acknowledgements are on their way: what was sent is acknowledged, committed and never sent again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from tests.contract.sink_contract import an_entry
from tests.unit.sinks.test_splunk import TOKEN, Time
from tests.unit.sinks.test_splunk_pace import a_log, a_sink

from spikebridge import metrics as numbers
from spikebridge.delivery import Delivery, Surroundings
from spikebridge.errors import SinkUnavailable
from spikebridge.logs import Commit
from spikebridge.metrics import Metrics
from spikebridge.sinks.splunk.sending import GRACE_S
from spikebridge.testing import FakeClock, MemoryLetters, MemoryLog
from spikebridge.testing.hec import HecServer, Token

if TYPE_CHECKING:
    from collections.abc import Iterator

ACK_S = 2.0


class Host:
    """A process that is told to stop at a second of the scaled time, and lets it pass all the same."""

    def __init__(self, time: Time, stop_s: float) -> None:
        """Pass no time yet."""
        self.metrics = Metrics()
        self.stop_s = stop_s
        self._time = time

    def wait(self, seconds: float) -> bool:
        """Wait, no longer than until it is time to stop."""
        self.linger(max(0.0, min(seconds, self.stop_s - self._time.now)))
        return self._time.now >= self.stop_s

    def linger(self, seconds: float) -> bool:
        """Wait."""
        self._time.wait(seconds)
        return False

    def run(self, log: MemoryLog, server: HecServer, **settings: Any) -> int:
        """Deliver until the end; return the cursor's position."""
        around = Surroundings(
            dead_letters=MemoryLetters(),
            metrics=self.metrics,
            clock=FakeClock(),
            wait=self.wait,
            linger=self.linger,
            random=lambda: 0.5,
        )
        delivery = Delivery("soc", a_sink(server, self._time, **settings), log, around)
        delivery.run()
        return delivery.cursor.position


@pytest.fixture
def time() -> Time:
    """Return the time of hosts, sinks and collector: it passes only where somebody waits."""
    return Time(stop_after=1_000_000)


@pytest.fixture
def server(time: Time) -> Iterator[HecServer]:
    """Start a collector whose acknowledgements take two seconds."""
    with HecServer({TOKEN: Token(acknowledges=True)}) as server:
        server.ack_s, server.clock = ACK_S, time.clock
        yield server


def test_two_stops_repeat_nothing(server: HecServer, time: Time) -> None:
    """Each comes a second after all was sent, and a second before it is acknowledged."""
    log = a_log(3_000)
    first, second = Host(time, 1.0), Host(time, 4.0)
    assert first.run(log, server) == 3_000
    assert time.now < ACK_S + 1
    log.commit([an_entry(number) for number in range(3_000, 6_000)], Commit(6_000, 0, ((0, 1),)))
    assert second.run(log, server) == 6_000

    assert len(server.events) == len(server.counts()) == 6_000
    assert [host.metrics.value(numbers.DOUBTFUL, sink="soc") for host in (first, second)] == [0, 0]


def test_a_stop_before_all_is_sent_commits_what_is_acknowledged(server: HecServer, time: Time) -> None:
    """Nothing new is sent; the next process goes on with what is left."""
    log, settings = a_log(100), {"batch_events": 10, "in_flight": 3, "batch_size": "1B"}
    first = Host(time, 3.0)
    position = first.run(log, server, **settings)
    assert position == len(server.events) == 6
    assert first.metrics.value(numbers.DELIVERED, sink="soc") == position

    assert Host(time, 1_000.0).run(log, server, **settings) == 100
    assert len(server.events) == len(server.counts()) == 100


def test_acknowledgements_that_do_not_come_hold_up_no_stop_for_long(server: HecServer, time: Time) -> None:
    """After the grace what waits is left, and counted as doubtful."""
    server.ack_s = 100.0
    host = Host(time, 1.0)
    assert host.run(a_log(5), server) == 0

    assert time.now == pytest.approx(1.0 + GRACE_S)
    assert host.metrics.value(numbers.DOUBTFUL, sink="soc") == 5


def test_a_host_that_can_not_commit_any_more_is_not_kept(server: HecServer, time: Time) -> None:
    """A partition that was lost ends at once."""
    sink = a_sink(server, time)
    sink.wait, sink.linger = Host(time, 1.0).wait, lambda _: True
    with pytest.raises(SinkUnavailable, match="stopped while 1 requests waited for their acknowledgement") as trouble:
        sink.write([an_entry(0)])
    sink.close()

    assert time.now == 1.0
    assert trouble.value.doubtful == 1
