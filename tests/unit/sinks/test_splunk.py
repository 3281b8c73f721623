"""The Splunk sink against our own collector: what is sent, what is acknowledged, what is sent again, and why."""

from __future__ import annotations

import logging
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr
from tests.contract.sink_contract import an_entry
from tests.findings import FINDINGS

from spikebridge import metrics as numbers
from spikebridge.alerts import Alert, AlertEntry, Incident, alert_entry, incident_entry
from spikebridge.delivery import Delivery, Surroundings
from spikebridge.errors import SinkDenied, SinkRefused, SinkUnavailable
from spikebridge.formats import cim
from spikebridge.logs import Commit
from spikebridge.metrics import Metrics
from spikebridge.sinks.splunk import Settings, SplunkSink
from spikebridge.sinks.splunk.answers import DENIED_S, HOLD_S
from spikebridge.sinks.splunk.connection import MAX_ANSWER_BYTES
from spikebridge.sinks.splunk.events import seconds
from spikebridge.testing import FakeClock, MemoryLetters, MemoryLog
from spikebridge.testing.hec import Fault, HecServer, Token

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

TOKEN = "b0f1c9c6-secret"  # noqa: S105 -- nobody else's
ENTRIES = [an_entry(number) for number in range(20)]
IDS = [entry.id for entry in ENTRIES]
ONCE = dict.fromkeys(IDS, 1)


class Time:
    """A clock and a wait that take no time; `stop_after` waits it is time to stop."""

    def __init__(self, stop_after: int = 10_000) -> None:
        """Begin at 0."""
        self.now = 0.0
        self.waits: list[float] = []
        self.stop_after = stop_after

    def clock(self) -> float:
        """Return the seconds waited for."""
        return self.now

    def wait(self, seconds: float) -> bool:
        """Wait."""
        self.now += seconds
        self.waits.append(seconds)
        return len(self.waits) > self.stop_after


@contextmanager
def a_server(*, acknowledges: bool = True, **more: Any) -> Iterator[HecServer]:
    """Start a collector with our token."""
    with HecServer({TOKEN: Token(indexes=("main", "security"), acknowledges=acknowledges)}, **more) as server:
        yield server


@contextmanager
def a_sink(*servers: HecServer, time: Time | None = None, **settings: Any) -> Iterator[SplunkSink]:
    """Make a sink for these servers, one request after the other; it is opened by its first write."""
    time = time or Time()
    given = {"endpoints": [server.url for server in servers], "token": SecretStr(TOKEN), **settings}
    sink = SplunkSink(Settings.model_validate(given), Path(), clock=time.clock)
    sink.wait = sink.linger = time.wait
    try:
        yield sink
    finally:
        sink.close()


def posted(server: HecServer) -> list[dict[str, str]]:
    """Return the headers of all requests with events."""
    return [request.headers for request in server.requests if request.path.endswith("/event")]


def undelivered(sink: SplunkSink, entries: Sequence[AlertEntry]) -> SinkUnavailable:
    """Write what can't be delivered now."""
    with pytest.raises(SinkUnavailable) as trouble:
        sink.write(entries)
    return trouble.value


@pytest.mark.parametrize("name", FINDINGS)
def test_an_event_is_what_the_add_on_relies_on(name: str) -> None:
    """Its own time, our id as an indexed field, a sourcetype for each kind, stated defaults for the rest."""
    finding = FINDINGS[name]
    entry = alert_entry(finding, ()) if isinstance(finding, Alert) else incident_entry(finding)
    with a_server() as server, a_sink(server) as sink:
        sink.write([entry])

    (event,) = server.events
    assert isinstance(event.time, float)
    assert event.time == pytest.approx(finding.time_ns / 1e9, abs=1e-6)
    assert (event.host, event.source, event.index) == ("spikebridge", "spikebridge", "main")
    assert event.event == cim.document(finding)
    if isinstance(finding, Incident):
        assert event.sourcetype == "spikebridge:incident"
        assert event.fields == {"spikebridge_id": finding.id, "spikebridge_version": finding.version}
    else:
        assert event.sourcetype == "spikebridge:alert"
        assert event.fields == {"spikebridge_id": finding.id}


def test_labels_are_as_configured() -> None:
    """Each of the four."""
    with a_server() as server, a_sink(server, index="security", source="s", sourcetype="st", host="h") as sink:
        sink.write(ENTRIES[:1])

    (event,) = server.events
    assert (event.index, event.source, event.sourcetype, event.host) == ("security", "s", "st:alert", "h")


@given(st.integers(-(2**62), 2**62))
def test_a_time_keeps_its_microseconds(time_ns: int) -> None:
    """As a decimal number, which a float could not say."""
    whole, _, fraction = seconds(time_ns).decode().partition(".")
    sign = -1 if whole.startswith("-") else 1
    assert len(fraction) == 6
    assert sign * (abs(int(whole)) * 1_000_000 + int(fraction)) == sign * (abs(time_ns) // 1_000)


def test_requests_are_compressed_and_name_token_and_channel() -> None:
    """And nothing of it is in the address."""
    with a_server() as server, a_sink(server) as sink:
        sink.write(ENTRIES)

    (headers,) = posted(server)
    assert headers["content-encoding"] == "gzip"
    assert headers["authorization"] == f"Splunk {TOKEN}"
    assert len(headers["x-splunk-request-channel"]) == 36
    assert TOKEN not in "".join(request.path for request in server.requests)


def test_batches_are_cut_by_bytes_and_by_count() -> None:
    """An event larger than a batch is sent alone."""
    with a_server() as server:
        with a_sink(server, batch_events=7) as sink:
            sink.write(ENTRIES)
        assert len(posted(server)) == 3
        with a_sink(server, batch_size="1B") as sink:
            sink.write(ENTRIES[:5])
        assert len(posted(server)) == 3 + 5


def test_it_waits_for_every_acknowledgement_less_and_less_impatiently() -> None:
    """It asks at once, then after 0.1 s, then after a quarter of what it has waited, and at last every 10 s."""
    time = Time()
    with a_server(polls=40) as server, a_sink(server, time=time) as sink:
        sink.write(ENTRIES)

    assert server.counts() == ONCE
    assert time.waits[:5] == [0.1] * 5
    assert all(sum(time.waits[:at]) / 4 == pytest.approx(wait) for at, wait in enumerate(time.waits) if 0.1 < wait < 10)
    assert time.waits[-3:] == [10.0, 10.0, 10.0]
    assert len(time.waits) == 39


def test_no_more_requests_are_in_flight_than_allowed() -> None:
    """The next one is sent when an acknowledgement came."""
    with a_server(polls=3) as server, a_sink(server, batch_events=2, in_flight=3) as sink:
        sink.write(ENTRIES)

    unanswered, most = 0, 0
    for request in server.requests:
        if request.path.endswith("/event"):
            unanswered += 1
            most = max(most, unanswered)
        elif "/ack" in request.path:
            unanswered = 0
    assert most == 3
    assert server.counts() == ONCE


def test_without_acknowledgements_what_is_accepted_is_delivered(caplog: pytest.LogCaptureFixture) -> None:
    """It is said once; and with `off` nobody asks for any."""
    with a_server(acknowledges=False) as server:
        with a_sink(server, batch_events=5) as sink, caplog.at_level(logging.WARNING):
            sink.write(ENTRIES)
        with a_sink(server, acknowledge="off") as sink:
            sink.write(ENTRIES)

    assert caplog.text.count("no indexer acknowledgements") == 1
    assert server.counts() == dict.fromkeys(IDS, 2)
    assert "x-splunk-request-channel" not in posted(server)[-1]
    assert not any("/ack" in request.path for request in server.requests)


def test_off_needs_a_token_without_acknowledgement() -> None:
    """Splunk asks for a channel: nothing is delivered, and the message says what to do."""
    with a_server() as server, a_sink(server, acknowledge="off") as sink:
        trouble = undelivered(sink, ENTRIES)

    assert 'code 10 "Data channel is missing"; the token asks for acknowledgements' in str(trouble)
    assert (trouble.undelivered, trouble.after_s) == (set(IDS), HOLD_S)


def test_on_insists_on_acknowledgements_before_anything_is_sent() -> None:
    """Otherwise each try would be another repeat."""
    with a_server(acknowledges=False) as server, a_sink(server, acknowledge="on") as sink:
        with pytest.raises(SinkUnavailable, match="switch useACK on"):
            sink.open()
        assert server.events == []
        server.tokens[TOKEN] = Token(acknowledges=True)
        sink.write(ENTRIES)
        assert server.counts() == ONCE


def test_a_token_that_loses_its_acknowledgement_is_said_once_and_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    """What was not acknowledged is sent again, without."""
    with a_server() as server, a_sink(server) as sink, caplog.at_level(logging.WARNING):
        server.faults.append(Fault(path="ack", code=14))
        trouble = undelivered(sink, ENTRIES)
        assert trouble.undelivered == set(IDS)
        assert trouble.doubtful == 20
        server.tokens[TOKEN] = Token()
        sink.write(ENTRIES)

    assert caplog.text.count("no indexer acknowledgements") == 1
    assert server.counts() == dict.fromkeys(IDS, 2)


@pytest.mark.parametrize("code", [8, 9, 18, 19, 20, 23, 26, 27])
def test_a_server_in_trouble_is_tried_again_after_the_time_that_it_asks_for(code: int) -> None:
    """Nothing was taken."""
    with a_server() as server, a_sink(server) as sink:
        server.faults.append(Fault(code=code, headers={"Retry-After": "7"}))
        trouble = undelivered(sink, ENTRIES)
        assert (trouble.after_s, trouble.undelivered, trouble.doubtful) == (7.0, set(IDS), 0)
        sink.write(ENTRIES)

    assert server.counts() == ONCE


def test_a_busy_server_is_given_fewer_requests_at_once_for_a_while() -> None:
    """Half as many after each sign of load, one more after each success."""
    with a_server() as server, a_sink(server, in_flight=8, batch_events=1) as sink:
        server.faults.append(Fault(code=9, times=2))
        for _ in range(2):
            undelivered(sink, ENTRIES[:1])
        sink.write(ENTRIES)
        sink.write(ENTRIES)
    asked = "".join("." if "/ack" in request.path else "x" for request in server.requests if "/health" not in request.path)

    assert asked == "x" * 2 + "xx." * 10 + "xxx." * 6 + "xx."


@pytest.mark.parametrize("code", [1, 2, 3, 4, 16, 21, 22])
def test_a_refused_token_waits_for_somebody(code: int) -> None:
    """Nothing is dropped; the token is never said."""
    with a_server() as server, a_sink(server) as sink:
        server.faults.append(Fault(code=code))
        with pytest.raises(SinkDenied) as denied:
            sink.write(ENTRIES)
        assert denied.value.after_s == DENIED_S
        assert TOKEN not in f"{denied.value!r} {sink.settings!r}"
        sink.write(ENTRIES)

    assert server.counts() == ONCE


def test_a_token_that_the_server_repeats_is_taken_out_of_the_message() -> None:
    """A proxy may show what it was sent."""
    with a_server() as server, a_sink(server) as sink:
        server.faults.append(Fault(status=403, body=f"no: Authorization: Splunk {TOKEN}".encode()))
        trouble = undelivered(sink, ENTRIES)

    assert "no: Authorization: Splunk ***" in str(trouble)


@pytest.mark.parametrize("code", [5, 7, 10, 11, 28])
def test_a_wrong_configuration_is_held_and_never_dropped(code: int) -> None:
    """An index that isn't allowed is no fault of the alert."""
    with a_server() as server, a_sink(server) as sink:
        server.faults.append(Fault(code=code))
        trouble = undelivered(sink, ENTRIES)
        assert (trouble.after_s, trouble.refused, trouble.undelivered) == (HOLD_S, {}, set(IDS))
        sink.write(ENTRIES)

    assert server.counts() == ONCE


def test_an_index_that_is_not_allowed_names_what_to_do() -> None:
    """As the server itself decides, not a fault."""
    with a_server() as server, a_sink(server, index="elsewhere") as sink:
        trouble = undelivered(sink, ENTRIES)

    assert 'code 7 "Incorrect index"; allow the index for this token' in str(trouble)
    assert server.events == []


@pytest.mark.parametrize("code", [6, 12, 13, 15])
def test_the_event_that_is_refused_is_put_aside_and_all_others_arrive(code: int) -> None:
    """Without acknowledgements those before it are delivered, with them nothing covers them: they are sent again."""
    for acknowledges in (False, True):
        with a_server(acknowledges=acknowledges) as server, a_sink(server, acknowledge="on" if acknowledges else "off") as sink:
            server.faults.append(Fault(code=code, invalid=7))
            with pytest.raises(SinkRefused) as refusal:
                sink.write(ENTRIES)
        assert list(refusal.value.reasons) == ["alert-7"]
        assert f"code {code}" in refusal.value.reasons["alert-7"]
        expected = Counter({name: 1 for name in IDS if name != "alert-7"})
        if acknowledges:
            expected.update(IDS[:7])
        assert server.counts() == expected


def test_an_event_that_is_refused_without_a_number_is_found() -> None:
    """By halves; the foreign receiver names no number and stores nothing."""
    with a_server() as server, a_sink(server) as sink:
        server.faults += [Fault(code=6) for _ in range(5)]
        with pytest.raises(SinkRefused) as refusal:
            sink.write(ENTRIES)

    assert len(refusal.value.reasons) == 1
    assert sorted([*server.counts(), *refusal.value.reasons]) == sorted(IDS)
    assert set(server.counts().values()) == {1}


def test_too_large_a_request_is_sent_in_parts_and_the_size_is_learnt() -> None:
    """The next write begins with parts that fit; one event that is too large is refused."""
    with a_server(largest_bytes=2_000) as server, a_sink(server) as sink:
        sink.write([an_entry(number) for number in range(500)])
        sizes = [int(headers["content-length"]) for headers in posted(server)]
        sink.write([an_entry(number) for number in range(500, 1_000)])
        learnt = [int(headers["content-length"]) for headers in posted(server)[len(sizes) :]]

    assert max(sizes) > 2_000 >= max(learnt)
    assert len(server.counts()) == 1_000
    assert set(server.counts().values()) == {1}


def test_one_event_that_is_too_large_is_refused() -> None:
    """Its neighbours arrive."""
    with a_server() as server, a_sink(server) as sink:
        server.faults += [Fault(status=413, body=b"too large") for _ in range(3)]
        with pytest.raises(SinkRefused) as refusal:
            sink.write(ENTRIES[:4])

    assert len(refusal.value.reasons) == 1
    assert sorted([*server.counts(), *refusal.value.reasons]) == IDS[:4]


def test_what_cannot_be_read_is_refused_and_its_neighbours_arrive() -> None:
    """It names the entry, also when others must wait."""
    odd = AlertEntry("odd", "alert", 1, (-1, 0, 0), b'{"kind": "odd"}')
    with a_server() as server, a_sink(server) as sink:
        server.faults.append(Fault(code=9))
        assert list(undelivered(sink, [odd, *ENTRIES]).refused) == ["odd"]
        with pytest.raises(SinkRefused) as refusal:
            sink.write([*ENTRIES, odd])

    assert list(refusal.value.reasons) == ["odd"]
    assert server.counts() == ONCE


@pytest.mark.parametrize(
    "fault",
    [
        Fault(hang_up=True),
        Fault(hang_up=True, taken=True),
        Fault(status=500, body=b'"Internal Server Error"'),
        Fault(status=500, taken=True),
        Fault(code=8, taken=True),
    ],
)
def test_after_a_lost_answer_everything_is_there(fault: Fault) -> None:
    """Twice only if it had arrived; without an answer that is said to be doubtful."""
    with a_server() as server, a_sink(server) as sink:
        server.faults.append(fault)
        trouble = undelivered(sink, ENTRIES)
        assert trouble.undelivered == set(IDS)
        assert trouble.doubtful == (20 if fault.hang_up else 0)
        sink.write(ENTRIES)

    assert server.counts() == dict.fromkeys(IDS, 2 if fault.taken else 1)


@pytest.mark.parametrize("loses", ["acknowledgement", "events"])
def test_what_is_not_acknowledged_in_time_is_sent_again_and_nothing_else(loses: Any) -> None:
    """Three requests of four are acknowledged; only the fourth is sent again, as a new conversation."""
    time = Time()
    with a_server() as server, a_sink(server, time=time, batch_events=5, ack_timeout="60s") as sink:
        server.faults += [Fault(), Fault(loses=loses)]
        trouble = undelivered(sink, ENTRIES)
        assert trouble.undelivered == set(IDS[5:10])
        assert trouble.doubtful == 5
        assert 60 <= time.now < 75
        assert "1 requests were not acknowledged within" in str(trouble)
        channels = {headers["x-splunk-request-channel"] for headers in posted(server)}
        sink.write([entry for entry in ENTRIES if entry.id in IDS[5:10]])

    assert server.counts() == {name: 2 if loses == "acknowledgement" and name in IDS[5:10] else 1 for name in IDS}
    assert posted(server)[-1]["x-splunk-request-channel"] not in channels


def test_a_delivery_brings_all_through_lost_acknowledgements_and_counts_what_may_be_twice() -> None:
    """Repeats are those of the lost acknowledgements, and the metric says how many."""
    clock, metrics, time = FakeClock(), Metrics(), Time()
    log = MemoryLog(clock)
    entries = [an_entry(number) for number in range(2_000)]
    log.commit(entries, Commit(2_000, 0, ((0, 1),)))

    def wait(seconds: float) -> bool:
        clock.advance(int(seconds * 1e9))
        return time.wait(seconds) if seconds else False

    around = Surroundings(dead_letters=MemoryLetters(), metrics=metrics, clock=clock, wait=wait, random=lambda: 0.5)
    with a_server() as server, a_sink(server, time=time, batch_events=100) as sink:
        for at in range(20):
            server.faults += [Fault(loses="acknowledgement")] if at in (1, 4, 13) else [Fault()]
        delivery = Delivery("splunk", sink, log, around)
        assert delivery.open()
        assert delivery.drain()

    counts = server.counts()
    assert sorted(counts) == sorted(entry.id for entry in entries)
    assert sum(counts.values()) - len(counts) == 300
    assert metrics.value(numbers.DOUBTFUL, sink="splunk") == 300
    assert metrics.value(numbers.DELIVERED, sink="splunk") == 2_000


def test_acknowledgements_of_a_restarted_server_are_never_taken_for_older_ones() -> None:
    """They are counted from 0 again: the id of a request from before the restart means another one now."""
    with a_server(polls=1) as server, a_sink(server, batch_events=10, in_flight=4) as sink:
        sink.write(ENTRIES)
        server.stop()
        server.start()
        trouble = undelivered(sink, ENTRIES[:10])
        assert "counted anew" in str(trouble)
        assert trouble.undelivered == set(IDS[:10])
        sink.write(ENTRIES[:10])


def test_a_server_that_cannot_be_asked_for_acknowledgements_is_given_up_after_a_while() -> None:
    """It is away: a few seconds are waited for, minutes are not."""
    time = Time()
    with a_server() as server, a_sink(server, time=time) as sink:
        server.faults.append(Fault(path="ack", status=500, times=1_000))
        trouble = undelivered(sink, ENTRIES)

    assert 30 <= time.now < 45
    assert "HTTP 500" in str(trouble)


def test_a_moment_without_answers_is_survived() -> None:
    """A few failed questions lose nothing and repeat nothing."""
    with a_server() as server, a_sink(server) as sink:
        server.faults += [Fault(path="ack", status=502), Fault(path="ack", hang_up=True), Fault(path="ack", code=9)]
        sink.write(ENTRIES)

    assert server.counts() == ONCE


def test_single_failures_far_apart_are_not_taken_for_one_long_failure() -> None:
    """What counts is how long there was no answer at all."""
    time = Time()
    with a_server(polls=40) as server, a_sink(server, time=time) as sink:
        fine = Fault(path="ack")
        server.faults += [Fault(path="ack", status=500), *[fine] * 38, Fault(path="ack", status=500)]
        sink.write(ENTRIES)

    assert time.now > 50
    assert server.counts() == ONCE


def test_waiting_ends_when_the_service_does() -> None:
    """What isn't acknowledged yet is not delivered."""
    with a_server(polls=100) as server, a_sink(server, time=Time(stop_after=3)) as sink:
        trouble = undelivered(sink, ENTRIES)

    assert trouble.undelivered == set(IDS)
    assert "stopped while 1 requests waited" in str(trouble)


def test_the_next_endpoint_takes_over_and_is_kept() -> None:
    """At once: only when all have failed is there a reason to wait."""
    with a_server() as first, a_server() as second, a_sink(first, second) as sink:
        sink.write(ENTRIES[:5])
        first.stop()
        trouble = undelivered(sink, ENTRIES[5:10])
        assert trouble.after_s == 0
        sink.write(ENTRIES[5:10])
        first.start()
        sink.write(ENTRIES[10:])

    assert sorted(first.counts()) == sorted(IDS[:5])
    assert sorted(second.counts()) == sorted(IDS[5:])


def test_when_all_endpoints_are_busy_the_longest_pause_is_kept() -> None:
    """Each is tried once before."""
    with a_server() as first, a_server() as second, a_sink(first, second) as sink:
        first.faults.append(Fault(code=9, headers={"Retry-After": "20"}))
        second.faults.append(Fault(code=9, headers={"Retry-After": "5"}))
        assert undelivered(sink, ENTRIES).after_s == 0
        assert undelivered(sink, ENTRIES).after_s == 20


def test_it_opens_at_whatever_endpoint_is_well() -> None:
    """If none is, each is named with its reason."""
    with a_server() as first, a_server() as second, a_sink(first, second) as sink:
        first.stop()
        sink.open()
        sink.close()
        second.faults.append(Fault(path="health", code=18))
        with pytest.raises(SinkUnavailable) as trouble:
            sink.open()

    assert f"{first.url}: Connection refused; {second.url}: HTTP 503, code 18" in str(trouble.value)


def test_cookies_keep_us_at_one_indexer() -> None:
    """What a load balancer sets is said again, also when acknowledgements are asked for."""
    with a_server(cookie="node=indexer-2; Path=/; HttpOnly") as server, a_sink(server) as sink:
        sink.write(ENTRIES)

    assert [request.headers.get("cookie") for request in server.requests] == [None, "node=indexer-2", "node=indexer-2"]


def test_a_connection_that_was_closed_while_idle_is_no_trouble() -> None:
    """It is noticed before anything is sent."""
    with a_server() as server, a_sink(server, acknowledge="off") as sink:
        server.tokens[TOKEN] = Token()
        sink.write(ENTRIES[:10])
        server.stop()
        server.start()
        sink.write(ENTRIES[10:])

    assert server.counts() == ONCE


def test_an_answer_without_end_is_cut() -> None:
    """A megabyte of error page is no reason to hold it in memory."""
    with a_server() as server, a_sink(server) as sink:
        server.faults.append(Fault(status=502, body=b"<html>" + b"x" * 1_000_000))
        assert len(str(undelivered(sink, ENTRIES))) < 400
        sink.write(ENTRIES)
    assert server.counts() == ONCE


def test_the_rest_of_an_answer_without_end_is_not_taken_for_the_next_one() -> None:
    """The question after it is answered."""
    time = Time()
    with a_server() as server, a_sink(server, time=time) as sink:
        server.faults.append(Fault(path="ack", status=502, body=b"x" * (MAX_ANSWER_BYTES + 100)))
        sink.write(ENTRIES)

    assert time.waits == [0.1]
    assert server.counts() == ONCE


def test_a_server_that_says_nothing_is_left_after_the_time_limit() -> None:
    """What it was sent may have arrived."""
    with a_server() as server, a_sink(server, timeout="100ms") as sink:
        server.faults.append(Fault(stall_s=30, status=200))
        trouble = undelivered(sink, ENTRIES)
        while not trouble.doubtful:  # not even the question before them was answered in time
            trouble = undelivered(sink, ENTRIES)

    assert "no answer in time" in str(trouble)
    assert trouble.doubtful == 20


def test_two_versions_of_an_incident_in_one_batch_are_both_sent() -> None:
    """The newer one is not taken for delivered because the older is."""
    incident = FINDINGS["incident"]
    assert isinstance(incident, Incident)
    entries = [incident_entry(incident)._replace(version=version) for version in (2, 3)]
    with a_server() as server, a_sink(server, batch_events=1, ack_timeout="60s") as sink:
        server.faults += [Fault(), Fault(loses="events")]
        trouble = undelivered(sink, entries)
        assert trouble.undelivered == {incident.id}
        sink.write(entries)

    assert [event.fields["spikebridge_version"] for event in server.events] == [2, 2, 3]


@pytest.mark.parametrize(
    "settings",
    [
        {"endpoints": "splunk:8088"},
        {"endpoints": "https://splunk"},
        {"endpoints": "https://splunk:0"},
        {"endpoints": "https://splunk:99999"},
        {"endpoints": "ftp://splunk:8088"},
        {"endpoints": "https://me:secret@splunk:8088"},
        {"endpoints": "https://splunk:8088/services/collector/event"},
        {"endpoints": "https://splunk:8088?token=x"},
        {"endpoints": "https://spl unk:8088"},
        {"endpoints": []},
        {"token": SecretStr("two words")},
        {"token": SecretStr("")},
        {"token": SecretStr("line\nend")},
        {"index": "Security"},
        {"acknowledge": "maybe"},
        {"ack_timeout": "1ms"},
        {"in_flight": 0},
    ],
)
def test_settings_that_cannot_work_are_refused(settings: dict[str, Any]) -> None:
    """At start, not at the first alert."""
    with pytest.raises(ValueError, match="validation error"):
        Settings.model_validate({"endpoints": "https://splunk:8088", "token": SecretStr("t"), **settings})
