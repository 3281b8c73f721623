"""A search sink against servers that fail in ways which can't be had from a healthy one."""

from __future__ import annotations

import gc
import json
import socket
import tracemalloc
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError
from tests.live.delivering import an_alert
from tests.unit.sinks.scripted import Scripted

from spikebridge import registry
from spikebridge.config.load import settings_model
from spikebridge.delivery import Delivery, Surroundings
from spikebridge.errors import SinkDenied, SinkRefused, SinkUnavailable
from spikebridge.kafka.connection import MAX_POLL_S
from spikebridge.logs import Commit
from spikebridge.metrics import Metrics
from spikebridge.search import server as edge
from spikebridge.sinks.elasticsearch import ElasticsearchSink, Settings
from spikebridge.testing import FakeClock, MemoryLetters, MemoryLog

if TYPE_CHECKING:
    from spikebridge.alerts import AlertEntry

JSON = "application/json"
ALERTS = [an_alert(number, "acme") for number in range(8)]
IDS = [alert.id for alert in ALERTS]


def a_sink(*urls: str, **settings: Any) -> ElasticsearchSink:
    """Make a sink."""
    return ElasticsearchSink(Settings.model_validate({"endpoint": list(urls), **settings}), Path())


def bulk(*statuses: int, kind: str = "") -> tuple[int, str, bytes]:
    """Answer a bulk request."""
    items = [{"create": {"status": status, **({"error": {"type": kind}} if status >= 400 else {})}} for status in statuses]
    return 200, JSON, json.dumps({"errors": bool(kind), "items": items}).encode()


def sizes(server: Scripted) -> list[int]:
    """Return how many documents each bulk request held."""
    return [request.body.count(b"\n") // 2 for request in server.asked]


def test_a_request_is_packed_bounded_in_time_and_says_who_we_are() -> None:
    """And asks for no more of the answer than is read."""
    with Scripted(bulk(*[201] * 8)) as server:
        a_sink(server.url, api_key="secret", timeout="7s").write(ALERTS)
    (request,) = server.asked

    assert request.method == "POST"
    assert request.path.startswith("/_bulk?timeout=7000ms&filter_path=errors,items")
    assert request.headers["content-type"] == "application/x-ndjson"
    assert request.headers["content-encoding"] == "gzip"
    assert request.headers["authorization"] == "ApiKey secret"
    assert request.body.count(b"\n") == 16


def test_a_path_in_the_endpoint_is_kept() -> None:
    """For a server behind a proxy."""
    with Scripted(bulk(*[201] * 8)) as server:
        a_sink(f"{server.url}/search/", compress=False).write(ALERTS)

    assert server.asked[0].path.startswith("/search/_bulk?")
    assert "content-encoding" not in server.asked[0].headers


def test_what_was_there_is_counted_though_the_rest_is_denied() -> None:
    """A right that is missing for one index says nothing of what went into another."""
    items = [{"create": {"status": 409}}] * 5 + [{"create": {"status": 403, "error": {"type": "security_exception"}}}] * 3
    answer = json.dumps({"errors": True, "items": items}).encode()
    with Scripted((200, JSON, answer)) as server, pytest.raises(SinkDenied) as denied:
        a_sink(server.url).write(ALERTS)

    assert denied.value.known == 5
    assert denied.value.undelivered == {*IDS[5:]}


@pytest.mark.parametrize(("batch_entries", "given"), [(100, 500), (500, 500), (2_000, 2_000)])
def test_a_request_may_be_as_large_as_it_is_configured(batch_entries: int, given: int) -> None:
    """The host hands over no less than a request holds."""
    clock = FakeClock()
    log = MemoryLog(clock)
    log.commit([an_alert(number, "acme") for number in range(2_500)], Commit(2_500, 0, ((0, 1),)))
    with Scripted(bulk(*[201] * batch_entries)) as server:
        sink = a_sink(server.url, batch_entries=batch_entries)
        around = Surroundings(
            dead_letters=MemoryLetters(), metrics=Metrics(), clock=clock, wait=lambda seconds: seconds > 0, random=lambda: 0.0
        )
        assert Delivery("search", sink, log, around).step() == given
        sink.close()

    assert sizes(server) == [batch_entries] * (given // batch_entries)


def test_what_is_taken_refused_and_left_is_told_apart() -> None:
    """One answer may hold all of it; what was there already is counted."""
    full, wrong = ({"type": "es_rejected_execution_exception"}, {"type": "document_parsing_exception", "reason": "no"})
    items = [{"create": {"status": 201}}, {"create": {"status": 409}}, {"create": {"status": 429, "error": full}}]
    items += [{"create": {"status": 400, "error": wrong}}]
    answer = json.dumps({"errors": True, "items": items}).encode()
    with Scripted((200, JSON, answer)) as server, pytest.raises(SinkUnavailable) as trouble:
        a_sink(server.url, batch_entries=4).write(ALERTS)

    assert trouble.value.undelivered == {IDS[2], *IDS[4:]}
    assert list(trouble.value.refused) == [IDS[3]]
    assert trouble.value.known == 1
    assert len(server.asked) == 1


def test_413_is_answered_with_halves_until_it_fits_and_the_limit_is_remembered() -> None:
    """Nothing of a request that is too large was taken."""
    too_large = (413, "text/plain", b"")
    long = [an_alert(number, "acme", explanation="x" * 40_000) for number in range(8)]
    with Scripted(too_large, too_large, *[bulk(201, 201)] * 8) as server:
        sink = a_sink(server.url)
        assert sink.write(long) == 0
        assert sink.write(long) == 0

    assert sizes(server) == [8, 4, 2, 2, 2, 2, 2, 2, 2, 2]


def test_one_document_that_is_too_large_is_refused_and_the_others_are_delivered() -> None:
    """It would be too large tomorrow."""
    large = an_alert(99, "acme", explanation="x" * 100_000)
    with Scripted((413, "", b""), bulk(201), (413, "", b"")) as server, pytest.raises(SinkRefused) as refusal:
        a_sink(server.url).write([ALERTS[0], large])

    assert list(refusal.value.reasons) == [large.id]
    assert "413" in refusal.value.reasons[large.id]


def test_a_server_that_finds_everything_too_large_gets_no_dead_letters() -> None:
    """A proxy with a limit of 1 kB is a mistake of configuration, not of every alert."""
    with Scripted((413, "text/html", b"<html>")) as server, pytest.raises(SinkUnavailable, match="raise the limit") as trouble:
        a_sink(server.url).write(ALERTS)

    assert trouble.value.undelivered == set(IDS)
    assert trouble.value.refused == {}


def test_a_document_that_spoils_the_whole_request_is_found_by_halving() -> None:
    """The server names nobody."""
    whole = (400, JSON, json.dumps({"error": {"type": "action_request_validation_exception", "reason": "no"}}).encode())
    with Scripted(whole, whole, bulk(201), whole, whole, bulk(201), bulk(201)) as server, pytest.raises(SinkRefused) as refusal:
        a_sink(server.url).write(ALERTS[:4])

    assert list(refusal.value.reasons) == [IDS[1]]
    assert sizes(server) == [4, 2, 1, 3, 1, 1, 1]


@pytest.mark.parametrize("answer", [
    (503, "text/html", b"<html><h1>503 Service Unavailable</h1></html>"),
    (200, "text/html", b"<html>log in</html>"),
    (200, JSON, b'{"items":[]}'),
    (0, "", b""),
    (500, JSON, b"{" * 100_000),
])  # fmt: skip
def test_what_is_no_answer_leaves_everything_to_be_tried_again(answer: tuple[int, str, bytes]) -> None:
    """A proxy's page, a page with 200, an answer of the wrong length, none at all."""
    with Scripted(answer) as server, pytest.raises(SinkUnavailable, match=server.url) as trouble:
        a_sink(server.url).write(ALERTS)

    assert trouble.value.undelivered == set(IDS)
    assert not isinstance(trouble.value, SinkDenied)


def test_a_reset_makes_the_next_request_smaller_and_success_lets_it_grow_again() -> None:
    """It may be how a server says that a request is too large."""
    with Scripted((0, "", b""), bulk(*[201] * 4), bulk(*[201] * 4), bulk(*[201] * 6), bulk(*[201] * 2)) as server:
        sink = a_sink(server.url, batch_entries=8)
        with pytest.raises(SinkUnavailable, match="the connection ended before an answer"):
            sink.write(ALERTS)
        sink.write(ALERTS)
        sink.write(ALERTS)

    assert sizes(server) == [8, 4, 4, 6, 2]


def test_an_endless_answer_is_not_read() -> None:
    """Memory is bounded whatever a server says."""
    endless = (200, JSON, b" " * (edge.ANSWER_BYTES + 100_000))
    with Scripted(endless) as server, pytest.raises(SinkUnavailable, match="expected an answer of at most"):
        a_sink(server.url).write(ALERTS)


def test_401_at_the_start_is_a_denial_and_holds_for_minutes() -> None:
    """Trying at once can lock an account."""
    with Scripted((401, "text/plain", b"Unauthorized")) as server, pytest.raises(SinkDenied, match="401: Unauthorized") as denied:
        a_sink(server.url, user="me", password="hunter2").open()  # noqa: S106 -- it must not be in the text

    assert denied.value.after_s == 300
    assert "hunter2" not in str(denied.value)


@pytest.mark.parametrize("who", [{"api_key": "a2V5LW9mLW91cnM="}, {"user": "me", "password": "hunter2"}], ids=["key", "password"])
def test_what_shows_our_own_header_is_told_without_it(who: dict[str, str]) -> None:
    """A proxy's page for those who look for a fault may hold the whole request; what we say of it goes to logs and dead letters."""
    header = Settings.model_validate({"endpoint": "http://x", **who}).authorization()
    assert header is not None
    page = (502, "text/html", f"<pre>POST /_bulk authorization: {header}</pre>".encode())
    with Scripted(page) as server, pytest.raises(SinkUnavailable, match=r"authorization: \w+ \*\*\*") as trouble:
        a_sink(server.url, **who).write(ALERTS)
    assert header.split()[1] not in str(trouble.value)


def test_a_key_as_short_as_a_word_changes_no_answer() -> None:
    """It stands in answers that have nothing to do with it."""
    with Scripted(bulk(*[201] * 8)) as server:
        assert a_sink(server.url, api_key="status").write(ALERTS) == 0


@pytest.mark.parametrize("flavour", ["elasticsearch", "opensearch"])
def test_a_server_that_was_not_set_up_names_the_command_of_its_flavour(flavour: str) -> None:
    """The two commands install other templates."""
    with Scripted((404, JSON, b"{}")) as server:
        settings = settings_model("sinks", flavour).model_validate({"endpoint": server.url})
        sink = registry.load("sinks", flavour)(settings, Path())
        with pytest.raises(SinkUnavailable, match=rf"found none; install it with `spikebridge setup {flavour}`$"):
            sink.open()


def test_a_key_that_may_not_look_at_templates_is_known_all_the_same() -> None:
    """The least rights don't cover it."""
    error = json.dumps({"error": {"type": "security_exception", "reason": "unauthorized"}}).encode()
    with Scripted((403, JSON, error)) as server:
        a_sink(server.url).open()


def a_closed_port() -> str:
    """Return the URL of a port where nobody listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_requests_go_past_an_endpoint_that_is_away() -> None:
    """Whichever comes first."""
    with Scripted(bulk(*[201] * 8)) as server:
        sink = a_sink(a_closed_port(), server.url)
        for _ in range(4):
            assert sink.write(ALERTS) == 0

    assert len(server.asked) == 4


def test_the_host_is_asked_between_requests_and_what_is_left_is_named() -> None:
    """So it keeps its membership while a slow server takes many, and ends when it is told to."""
    asked: list[float] = []

    def wait(seconds: float) -> bool:
        asked.append(seconds)
        return len(asked) == 2

    with Scripted(bulk(201, 409)) as server:
        sink = a_sink(server.url, batch_entries=2)
        sink.wait = wait
        with pytest.raises(SinkUnavailable, match="stopped") as trouble:
            sink.write(ALERTS)

    assert asked == [0, 0]
    assert sizes(server) == [2, 2]
    assert trouble.value.undelivered == {*IDS[4:]}
    assert trouble.value.known == 2


def test_the_host_is_asked_between_endpoints() -> None:
    """Each may take as long as a request may."""
    asked: list[float] = []

    def wait(seconds: float) -> bool:
        asked.append(seconds)
        return len(asked) == 2

    sink = a_sink(a_closed_port(), a_closed_port(), a_closed_port(), a_closed_port())
    sink.wait = wait
    with pytest.raises(SinkUnavailable, match="no connection") as trouble:
        sink.write(ALERTS)

    assert asked == [0, 0]
    assert trouble.value.undelivered == set(IDS)


@pytest.mark.parametrize("name", ["elasticsearch", "opensearch"])
def test_the_hosts_own_wait_is_what_is_asked(name: str) -> None:
    """It is given with the opening of a delivery."""
    told: list[float] = []

    def wait(seconds: float) -> bool:
        told.append(seconds)
        return seconds > 0

    clock = FakeClock()
    log = MemoryLog(clock)
    log.commit(ALERTS, Commit(len(ALERTS), 0, ((0, 1),)))
    around = Surroundings(dead_letters=MemoryLetters(), metrics=Metrics(), clock=clock, wait=wait, random=lambda: 0.0)
    with Scripted((403, JSON, b"{}"), bulk(201, 201)) as server:
        settings = settings_model("sinks", name).model_validate({"endpoint": server.url, "batch_entries": 2})
        sink = registry.load("sinks", name)(settings, Path())
        delivery = Delivery(name, sink, log, around)
        assert delivery.open()
        assert delivery.step() == 8
        sink.close()

    assert told == [0, 0, 0]


def test_one_request_is_shorter_than_a_group_waits_for_its_member() -> None:
    """With the margin, and what a connection may take."""
    with pytest.raises(ValidationError, match="timeout"):
        a_sink("http://x:9200", timeout="61s")
    assert 60 + edge.MARGIN_S + 2 * edge.CONNECT_S < MAX_POLL_S


@pytest.mark.parametrize(("url", "found"), [
    ("http://nobody.invalid:9200", "not known to DNS"),
    ("", "no connection: Connection refused"),
])  # fmt: skip
def test_what_is_away_is_named_with_its_cause(url: str, found: str) -> None:
    """The endpoint, and what was found on the way to it."""
    url = url or a_closed_port()
    with pytest.raises(SinkUnavailable, match=found) as trouble:
        a_sink(url).open()
    assert url in str(trouble.value)


def test_an_authority_that_can_not_be_read_is_told(tmp_path: Path) -> None:
    """A missing file, and one that holds something else."""
    (tmp_path / "empty.pem").write_text("nothing")
    for name, found in (("missing.pem", "No such file"), ("empty.pem", "expected a PEM file")):
        with pytest.raises(SinkUnavailable, match=found) as trouble:
            a_sink("https://127.0.0.1:1", tls={"ca": str(tmp_path / name)}).open()
        assert name in str(trouble.value)


def test_nothing_piles_up_while_the_server_is_away() -> None:
    """What waits is in the alert log."""
    sink = a_sink(a_closed_port())
    many: list[AlertEntry] = [an_alert(number, "acme") for number in range(200)]

    def attempts(count: int) -> None:
        for _ in range(count):
            with pytest.raises(SinkUnavailable):
                sink.write(many)

    attempts(3)
    tracemalloc.start()
    attempts(20)
    gc.collect()
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert kept < 200_000
