"""The Splunk sink and a HEC receiver that we did not write; and our own receiver behind a HEC client that we did not write."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import SecretStr
from tests.contract.sink_contract import Place, SinkContract
from tests.findings import FINDINGS
from tests.live.delivering import Host, an_alert
from tests.live.servers.collector import TOKEN, Collector
from tests.live.servers.missing import needed
from tests.live.servers.tls import Authority

from spikebridge import metrics as numbers
from spikebridge.alerts import Alert, alert_entry, incident_entry
from spikebridge.errors import SinkDenied, SinkUnavailable
from spikebridge.formats import cim
from spikebridge.sinks.splunk import Settings, SplunkSink, probe
from spikebridge.testing.hec import Fault, HecServer, Token

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.live_hec

MANY = [an_alert(number, "acme") for number in range(5_000)]
ONCE = {entry.id: 1 for entry in MANY}


@contextmanager
def a_collector(directory: Path, **more: Any) -> Iterator[Collector]:
    """Start a collector in a directory of its own."""
    (directory / "collector").mkdir()
    with needed(), Collector(directory / "collector", **more) as collector:
        yield collector


def a_sink(collector: Collector, **settings: Any) -> SplunkSink:
    """Make a sink for it, closed."""
    given = {"endpoints": collector.url, "token": SecretStr(TOKEN), **settings}
    return SplunkSink(Settings.model_validate(given), Path())


def patient() -> Host:
    """Return a host whose waits take their time."""
    return Host(pass_time=time.sleep)


def opened(sink: SplunkSink) -> bool:
    """Try once: whether it was answered in time."""
    try:
        sink.open()
    except SinkUnavailable:
        return False
    return True


class TestOnTheCollector(SinkContract):
    """The contract of all sinks."""

    @pytest.fixture
    def kind(self) -> str:
        """Only this one."""
        return "splunk"

    @pytest.fixture
    def place(self, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
        """Give each test a collector."""
        with a_collector(tmp_path_factory.mktemp("place")) as collector:

            @contextmanager
            def blocked() -> Iterator[str]:
                collector.stop()
                yield collector.url
                collector.start()

            settings = {"endpoints": collector.url, "token": SecretStr(TOKEN)}
            yield Place(settings=settings, delivered=collector.ids, blocked=blocked, exactly_once=False)


@pytest.mark.parametrize("acknowledges", [True, False], ids=["acknowledged", "accepted"])
def test_many_alerts_arrive_once(tmp_path: Path, acknowledges: bool) -> None:
    """With acknowledgements and without, and nothing is tried twice."""
    host = patient()
    with a_collector(tmp_path, acknowledges=acknowledges) as collector:
        host.deliver(a_sink(collector, batch_events=100), MANY)
        found = Counter(collector.ids())

    assert found == ONCE
    assert host.metrics.value(numbers.DELIVERED, sink="siem") == len(MANY)
    assert host.metrics.value(numbers.RETRIES, sink="siem") == 0


def test_what_arrives_is_what_was_sent(tmp_path: Path) -> None:
    """Each kind of finding with its time to the microsecond, its labels, our id and the whole document."""
    findings = list(FINDINGS.values())
    entries = [alert_entry(one, ()) if isinstance(one, Alert) else incident_entry(one) for one in findings]
    with a_collector(tmp_path) as collector:
        sink = a_sink(collector, index="security")
        sink.write(entries)
        sink.close()
        received = collector.received()

    assert [one.id for one in received] == [finding.id for finding in findings]
    for one, finding in zip(received, findings, strict=True):
        kind = "alert" if isinstance(finding, Alert) else "incident"
        expected = {"host.name": "spikebridge", "source": "spikebridge", "sourcetype": f"spikebridge:{kind}", "index": "security"}
        assert one.labels == expected
        assert one.time_ns == pytest.approx(finding.time_ns, abs=1_000)
        assert one.event == cim.document(finding)


def test_restarts_in_the_middle_lose_nothing(tmp_path: Path) -> None:
    """Six of them, each an eighth further on; acknowledgements of before are gone. Repeats are at most those that the metric counts."""
    host = patient()
    with a_collector(tmp_path) as collector:
        done = threading.Event()

        def restart() -> None:
            for share in range(1, 7):
                while host.metrics.value(numbers.DELIVERED, sink="siem") < share / 8 * len(MANY):
                    if done.wait(0.005):
                        return
                collector.stop()
                time.sleep(0.2)
                collector.start()

        restarting = threading.Thread(target=restart)
        restarting.start()
        try:
            for at in range(0, len(MANY), 500):
                host.deliver(a_sink(collector, batch_events=20, ack_timeout="1s"), MANY[at : at + 500])
        finally:
            done.set()
            restarting.join()
        found = Counter(collector.ids())

    repeats = sum(found.values()) - len(found)
    print(f"{host.metrics.value(numbers.RETRIES, sink='siem'):.0f} tries again, {repeats} repeats")  # noqa: T201 -- asked for: it is stated
    assert sorted(found) == sorted(ONCE)
    assert host.metrics.value(numbers.RETRIES, sink="siem") > 0
    assert repeats <= host.metrics.value(numbers.DOUBTFUL, sink="siem")


def test_a_silence_longer_than_the_time_limit_is_survived(tmp_path: Path) -> None:
    """A frozen receiver takes the request when it wakes: that is the repeat which the metric announces."""
    with a_collector(tmp_path) as collector:
        host = Host(pass_time=time.sleep, mend=collector.process.thaw)
        sink = a_sink(collector, timeout="300ms")
        while not opened(sink):
            pass
        collector.process.freeze()
        host.deliver(sink, MANY[:500])
        found = Counter(collector.ids())

    assert sorted(found) == sorted(entry.id for entry in MANY[:500])
    assert host.metrics.value(numbers.DOUBTFUL, sink="siem") >= 500
    assert sum(found.values()) - len(found) <= host.metrics.value(numbers.DOUBTFUL, sink="siem")
    assert "no answer in time" in host.errors[0]


def test_a_wrong_token_is_denied_in_whatever_words(tmp_path: Path) -> None:
    """The collector answers in plain text, without a code."""
    with a_collector(tmp_path) as collector:
        sink = a_sink(collector, token=SecretStr("wrong"))
        with pytest.raises(SinkDenied, match=r"HTTP 401 .*expected the value of a token"):
            sink.open()
        assert collector.ids() == []


def test_insisting_on_acknowledgements_finds_out_before_anything_is_sent(tmp_path: Path) -> None:
    """A receiver without them is refused, one with them is used."""
    with a_collector(tmp_path, acknowledges=False) as collector:
        with pytest.raises(SinkUnavailable, match=r"acknowledge is on, but there are none .* switch useACK on"):
            a_sink(collector, acknowledge="on").open()
        assert collector.ids() == []
    (tmp_path / "with").mkdir()
    with a_collector(tmp_path / "with") as collector:
        sink = a_sink(collector, acknowledge="on")
        sink.write(MANY[:10])
        sink.close()
        assert len(collector.ids()) == 10


def test_too_large_a_request_is_sent_in_parts_whatever_it_is_called(tmp_path: Path) -> None:
    """Here it is invalid data, without the number of an event."""
    host = patient()
    with a_collector(tmp_path, largest_bytes=50_000) as collector:
        host.deliver(a_sink(collector), MANY[:1_000])
        found = Counter(collector.ids())

    assert found == {entry.id: 1 for entry in MANY[:1_000]}
    assert host.refused == {}


def test_a_private_authority_is_trusted_and_a_stranger_is_not(tmp_path: Path) -> None:
    """By the very handshake of another implementation."""
    with needed():
        authority, stranger = Authority(tmp_path / "ours"), Authority(tmp_path / "strangers")
    with a_collector(tmp_path, tls=authority) as collector:
        sink = a_sink(collector, tls={"ca": str(authority.ca)})
        sink.write(MANY[:10])
        sink.close()
        with pytest.raises(SinkUnavailable, match="the certificate is not trusted"):
            a_sink(collector, tls={"ca": str(stranger.ca)}).open()
        assert len(collector.ids()) == 10


def test_doctor_finds_it_well(tmp_path: Path) -> None:
    """Every check, and the test event is there."""
    with a_collector(tmp_path) as collector:
        checks = list(probe(a_sink(collector).settings, "acme"))
        (event,) = collector.received()

    assert [check.name for check in checks] == ["DNS", "TCP", "health", "write", "acknowledgement"]
    assert all(check.ok for check in checks)
    assert event.labels["sourcetype"] == "spikebridge:test"


@contextmanager
def a_chain(tmp_path: Path) -> Iterator[tuple[Collector, HecServer]]:
    """Let the collector pass everything on to our own receiver, as a client of it."""
    with HecServer({TOKEN: Token(indexes=("main",))}) as server, a_collector(tmp_path, relay=server.url) as collector:
        yield collector, server


def test_our_receiver_understands_a_client_that_is_not_ours(tmp_path: Path) -> None:
    """What it indexed is what the sink had sent to that client."""
    host = patient()
    with a_chain(tmp_path) as (collector, server):
        host.deliver(a_sink(collector, batch_events=100), MANY)
        request = server.requests[-1]

    assert request.headers["user-agent"].startswith("OpenTelemetry Collector")
    assert request.headers["content-encoding"] == "gzip"
    assert server.counts() == ONCE
    document = json.loads(MANY[0].body)
    event = next(one for one in server.events if one.id == MANY[0].id)
    assert event.event["signature"] == document["rule"]["threat"]
    assert float(event.time or 0) == pytest.approx(document["time_ns"] / 1e9)
    assert (event.sourcetype, event.source, event.host) == ("spikebridge:alert", "spikebridge", "spikebridge")


@pytest.mark.parametrize("code", [9, 26, 8, 4, 6])
def test_trouble_behind_the_receiver_is_waited_for(tmp_path: Path, code: int) -> None:
    """Whatever it is, this receiver says 500, as plain text and without a code."""
    host = patient()
    with a_chain(tmp_path) as (collector, server):
        server.faults.append(Fault(code=code, times=3))
        host.deliver(a_sink(collector), MANY[:500])

    assert server.counts() == {entry.id: 1 for entry in MANY[:500]}
    assert host.errors
    assert all("HTTP 500" in error for error in host.errors)
    assert host.refused == {}
