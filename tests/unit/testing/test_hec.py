"""Our own collector answers as Splunk does, asked by a client that isn't ours: `urllib`."""

from __future__ import annotations

import gzip
import json
import urllib.error
import urllib.request
import uuid
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from spikebridge.testing.hec import Fault, HecServer, Token
from spikebridge.testing.hec.answers import CODES

if TYPE_CHECKING:
    from collections.abc import Iterator

CHANNEL = str(uuid.UUID(int=7))
TOKENS = {
    "plain": Token(indexes=("main", "security")),
    "acked": Token(acknowledges=True),
    "off": Token(enabled=False),
}


class Got(NamedTuple):
    """An answer."""

    status: int
    said: Any
    headers: dict[str, str]


@pytest.fixture
def server() -> Iterator[HecServer]:
    """Start one."""
    with HecServer(TOKENS) as server:
        yield server


def ask(server: HecServer, body: Any = None, path: str = "/event", **headers: str) -> Got:
    """Post what isn't None, get otherwise; a text is sent as it is, anything else as JSON."""
    data = (
        body
        if isinstance(body, bytes)
        else None
        if body is None
        else body.encode()
        if isinstance(body, str)
        else json.dumps(body).encode()
    )
    made = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(  # noqa: S310 -- our own server
        f"{server.url}/services/collector{path}", data, {"Authorization": "Splunk plain", **made}
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 -- as above
            content = answer.read()
    except urllib.error.HTTPError as error:
        with error as answer:
            content = answer.read()
    said = json.loads(content) if answer.headers["Content-Type"] == "application/json" else content
    return Got(answer.status, said, dict(answer.headers))


@pytest.mark.parametrize("path", ["", "/event", "/event/1.0"])
def test_an_event_is_indexed_with_its_labels(server: HecServer, path: str) -> None:
    """Under each of the three addresses."""
    event = {
        "time": 17.5,
        "host": "h",
        "source": "s",
        "sourcetype": "t",
        "index": "security",
        "event": {"a": 1},
        "fields": {"spikebridge_id": "x"},
    }

    assert ask(server, event, path) == Got(200, {"text": "Success", "code": 0}, ask(server, event, path).headers)
    found = server.events[0]
    assert (found.id, found.time, found.host, found.source, found.sourcetype) == ("x", 17.5, "h", "s", "t")
    assert (found.index, found.event, found.token) == ("security", {"a": 1}, "plain")
    assert server.counts() == {"x": 2}


@pytest.mark.parametrize("body", ['{"event":1}{"event":2}', '{"event":1}\n {"event":2}\n', '[{"event":1},{"event":2}]'])
def test_several_events_come_in_a_row_or_in_a_list(server: HecServer, body: str) -> None:
    """With or without space between them."""
    assert ask(server, body).said["code"] == 0
    assert [event.event for event in server.events] == [1, 2]


@pytest.mark.parametrize(
    ("body", "code", "number"),
    [
        ("", 5, None),
        ("[]", 5, None),
        ("{", 6, 0),
        ('{"event":1}{"event":2}]', 6, 2),
        ('{"event":1}7', 6, 1),
        ('{"event":1}{"event":2,"fields":[]}', 6, 1),
        ('{"event":1}{}', 12, 1),
        ('{"event":1}{"event":null}', 12, 1),
        ('{"event":1}{"event":""}', 13, 1),
        ('{"event":1}{"event":2,"fields":{"a":{"b":1}}}', 15, 1),
        ('{"event":1}{"event":2,"fields":{"a":[[1]]}}', 15, 1),
        ('{"event":1}{"event":2,"index":"other"}{"event":3}', 7, 2),
        ("[" * 100_000, 6, 0),
    ],
)
def test_what_is_invalid_is_named_and_what_stands_before_it_is_indexed(
    server: HecServer, body: str, code: int, number: int | None
) -> None:
    """Numbers count from 0; a wrong index is told with the number of the object after it."""
    got = ask(server, body)

    assert (got.status, got.said["code"], got.said.get("invalid-event-number")) == (400, code, number)
    assert len(server.events) == ((number or 0) - (code == 7) if number else 0)


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"Authorization": ""}, 2),
        ({"Authorization": "Bearer plain"}, 3),
        ({"Authorization": "Splunk"}, 3),
        ({"Authorization": "Splunk nobody"}, 4),
        ({"Authorization": "Splunk off"}, 1),
        ({"Authorization": "Splunk acked"}, 10),
        ({"Authorization": "Splunk acked", "X_Splunk_Request_Channel": "no-guid"}, 11),
        ({"X_Splunk_Request_Channel": "no-guid"}, 11),
    ],
)
def test_tokens_and_channels_are_checked(server: HecServer, headers: dict[str, str], code: int) -> None:
    """Before anything is read."""
    got = ask(server, {"event": 1}, **headers)

    assert (got.status, got.said) == (CODES[code][0], {"text": CODES[code][1], "code": code})
    assert server.events == []


def test_a_token_in_the_address_is_refused(server: HecServer) -> None:
    """It would end up in access logs."""
    assert ask(server, {"event": 1}, "/event?token=plain").said["code"] == 16


def test_gzip_is_unpacked_and_anything_else_refused(server: HecServer) -> None:
    """Also what only says that it is gzip."""
    assert ask(server, gzip.compress(b'{"event":1}'), Content_Encoding="gzip").said["code"] == 0
    assert ask(server, b'{"event":1}', Content_Encoding="gzip").said["code"] == 6
    assert ask(server, gzip.compress(b'{"event":1}')[:-9], Content_Encoding="gzip").said["code"] == 6
    assert ask(server, b'{"event":1}', Content_Encoding="deflate").status == 415
    assert len(server.events) == 1


def test_too_large_a_request_is_not_read(server: HecServer) -> None:
    """Its announced length is enough."""
    with HecServer(TOKENS, largest_bytes=100) as small:
        assert ask(small, {"event": "x" * 200}).status == 413
        assert ask(small, {"event": 1}).status == 200


def acked(server: HecServer, body: Any, path: str = "/event") -> Any:
    """Ask under the token with acknowledgements."""
    return ask(server, body, path, Authorization="Splunk acked", X_Splunk_Request_Channel=CHANNEL).said


def test_acknowledgements_count_from_0_and_are_forgotten_when_read(server: HecServer) -> None:
    """Unknown ones are false."""
    assert [acked(server, {"event": 1})["ackId"] for _ in range(3)] == [0, 1, 2]
    assert acked(server, {"acks": [0, 2, 9]}, "/ack") == {"acks": {"0": True, "2": True, "9": False}}
    assert acked(server, {"acks": [0, 1]}, "/ack") == {"acks": {"0": False, "1": True}}


def test_acknowledgements_need_a_token_that_has_them(server: HecServer) -> None:
    """And a channel, and a list."""
    assert ask(server, {"acks": [0]}, "/ack").said["code"] == 14
    assert ask(server, {"acks": [0]}, "/ack", Authorization="Splunk acked").said["code"] == 10
    assert acked(server, {"acks": "all"}, "/ack")["code"] == 6
    assert acked(server, "7", "/ack")["code"] == 6


def test_a_lost_acknowledgement_never_comes(server: HecServer) -> None:
    """The events are there, or not, as the fault says."""
    server.faults += [Fault(loses="acknowledgement"), Fault(loses="events")]
    for _ in range(3):
        acked(server, {"event": 1})

    assert acked(server, {"acks": [0, 1, 2]}, "/ack") == {"acks": {"0": False, "1": False, "2": True}}
    assert len(server.events) == 2


def test_health_tells_without_a_token(server: HecServer) -> None:
    """A wrong or disabled token is told too."""
    with urllib.request.urlopen(f"{server.url}/services/collector/health", timeout=10) as answer:  # noqa: S310 -- our own server
        assert json.loads(answer.read())["code"] == 17
    assert ask(server, path="/health/1.0").said["code"] == 17
    assert ask(server, path="/health", Authorization="Splunk nobody").said["code"] == 21
    assert ask(server, path="/health", Authorization="Splunk off").said["code"] == 22


@pytest.mark.parametrize("code", CODES)
def test_every_documented_code_is_answered_on_demand(server: HecServer, code: int) -> None:
    """With headers, as often as wished, and nothing is indexed."""
    server.faults.append(Fault(code=code, times=2, headers={"Retry-After": "3"}))
    for _ in range(2):
        got = ask(server, {"event": 1})
        assert (got.status, got.said["code"], got.headers["Retry-After"]) == (CODES[code][0], code, "3")
    assert server.events == []
    assert ask(server, {"event": 1}).said["code"] == 0


def test_it_fails_before_or_after_the_work(server: HecServer) -> None:
    """By hanging up, or with an answer of one's own."""
    server.faults.append(Fault(hang_up=True))
    with pytest.raises((urllib.error.URLError, ConnectionError)):
        ask(server, {"event": 1})
    assert server.events == []
    server.faults += [Fault(hang_up=True, taken=True), Fault(status=500, body=b'"oops"', taken=True)]
    with pytest.raises((urllib.error.URLError, ConnectionError)):
        ask(server, {"event": 1})
    assert ask(server, {"event": 2}).status == 500
    assert [event.event for event in server.events] == [1, 2]


def test_a_restart_keeps_what_is_indexed_and_forgets_the_rest(server: HecServer) -> None:
    """Acknowledgements begin anew, at the same address."""
    url = server.url
    assert acked(server, {"event": 1})["ackId"] == 0
    server.stop()
    with pytest.raises(urllib.error.URLError):
        ask(server, {"event": 1})
    server.start()

    assert server.url == url
    assert acked(server, {"acks": [0]}, "/ack") == {"acks": {"0": False}}
    assert acked(server, {"event": 1})["ackId"] == 0
    assert len(server.events) == 2
