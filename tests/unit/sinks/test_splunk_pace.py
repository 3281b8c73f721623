"""How much the Splunk sink carries while acknowledgements are slow, and how much is sent again after a crash."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import SecretStr
from tests.contract.sink_contract import an_entry
from tests.unit.sinks.test_splunk import TOKEN, Time

from spikebridge.delivery import Batch, Delivery, Surroundings
from spikebridge.errors import SinkUnavailable
from spikebridge.logs import Commit
from spikebridge.metrics import Metrics
from spikebridge.sinks.splunk import MOST, Settings, SplunkSink
from spikebridge.testing import FakeClock, MemoryLetters, MemoryLog
from spikebridge.testing.hec import Fault, HecServer, Token

if TYPE_CHECKING:
    from collections.abc import Iterator

ACK_S = 10.0


@pytest.fixture
def time() -> Time:
    """Return the time of sink and collector: it passes only where the sink waits."""
    return Time()


@pytest.fixture
def server(time: Time) -> Iterator[HecServer]:
    """Start a collector whose acknowledgements take ten seconds."""
    with HecServer({TOKEN: Token(acknowledges=True)}) as server:
        server.ack_s, server.clock = ACK_S, time.clock
        yield server


def a_sink(server: HecServer, time: Time, **settings: Any) -> SplunkSink:
    """Make a sink that waits in that time."""
    given = {"endpoints": server.url, "token": SecretStr(TOKEN), **settings}
    return SplunkSink(Settings.model_validate(given), Path(), clock=time.clock)


def a_log(size: int) -> MemoryLog:
    """Fill an alert log."""
    log = MemoryLog(FakeClock())
    log.commit([an_entry(number) for number in range(size)], Commit(size, 0, ((0, 1),)))
    return log


def a_delivery(log: MemoryLog, sink: SplunkSink, time: Time) -> Delivery:
    """Open a delivery as a process does."""
    around = Surroundings(
        dead_letters=MemoryLetters(),
        metrics=Metrics(),
        clock=FakeClock(),
        wait=lambda seconds: bool(seconds) and time.wait(seconds),
        random=lambda: 0.5,
        linger=lambda _: True,
    )
    delivery = Delivery("soc", sink, log, around)
    assert delivery.open()
    return delivery


def test_acknowledgements_of_ten_seconds_leave_room_for_500_alerts_a_second(server: HecServer, time: Time) -> None:
    """A batch is in flight as a whole, so its acknowledgements are waited for once."""
    sink = a_sink(server, time)
    assert a_delivery(a_log(20_000), sink, time).drain()
    sink.close()

    assert len(server.counts()) == len(server.events) == 20_000
    assert time.now >= 2 * ACK_S
    assert 20_000 / time.now > 500


def test_a_crash_repeats_no_more_than_one_batch(server: HecServer, time: Time) -> None:
    """The process dies when all that may be in flight is: the next one sends that again and nothing else."""
    log, settings = a_log(100), {"batch_events": 10, "in_flight": 3}
    sink = a_sink(server, time, **settings)
    delivery = a_delivery(log, sink, time)
    assert delivery.step() == sink.batch.entries == 30
    time.stop_after = len(time.waits)
    delivery.step()
    sink.close()
    assert len(server.events) == 60

    time.stop_after = 10_000
    again = a_sink(server, time, **settings)
    assert a_delivery(log, again, time).drain()
    again.close()

    counts = server.counts()
    assert sorted(counts) == sorted(f"alert-{number}" for number in range(100))
    assert {entry_id for entry_id, count in counts.items() if count > 1} == {f"alert-{number}" for number in range(30, 60)}
    assert max(counts.values()) == 2


def test_a_collector_that_is_busy_is_given_less_at_once(server: HecServer, time: Time) -> None:
    """What may be in flight is what a batch holds, so that a batch never waits for many rounds of acknowledgements."""
    sink = a_sink(server, time, batch_events=100, in_flight=8, batch_size="10KB")
    sink.wait = time.wait
    assert sink.batch == Batch(800, 80_000)

    server.faults.append(Fault(code=9))
    with pytest.raises(SinkUnavailable):
        sink.write([an_entry(0)])
    sink.close()

    assert sink.batch == Batch(400, 40_000)


def test_the_host_is_asked_between_requests(server: HecServer, time: Time) -> None:
    """It keeps its membership meanwhile, however long each takes; once it is to end, or its partition went, no more is sent."""
    sink = a_sink(server, time, batch_events=10)
    asked: list[float] = []

    def wait(seconds: float) -> bool:
        asked.append(seconds)
        return len(asked) == 3

    sink.wait, sink.linger = wait, lambda _: True
    with pytest.raises(SinkUnavailable, match="stopped before all was sent") as trouble:
        sink.write([an_entry(number) for number in range(60)])
    sink.close()

    assert asked == [0, 0, 0]
    assert len(server.events) == 30
    assert trouble.value.undelivered == {f"alert-{number}" for number in range(60)}
    assert trouble.value.doubtful == 30


def test_a_token_that_stands_in_every_answer_changes_none() -> None:
    """A token is taken out of what a server says; one of a letter would take the `true` of an acknowledgement along."""
    with HecServer({"t": Token(acknowledges=True)}) as server:
        sink = a_sink(server, Time(), token=SecretStr("t"))
        sink.wait = Time(stop_after=10).wait
        assert sink.write([an_entry(0)]) == 0
        sink.close()


def test_the_largest_batch_is_bounded_whatever_is_configured(server: HecServer, time: Time) -> None:
    """In entries and in memory."""
    assert a_sink(server, time, batch_events=100_000, batch_size="100MB", in_flight=100).batch == MOST
