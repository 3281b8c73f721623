"""Servers that answer a byte now and then hold a sink no longer than its time-out says."""

from __future__ import annotations

import socket
import ssl
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr, ValidationError
from tests.contract.sink_contract import an_entry
from tests.live.servers.missing import needed
from tests.live.servers.tls import Authority
from tests.unit.sinks.dripping import STARTS, Dripping

from spikebridge.deadline import Deadline
from spikebridge.errors import SinkUnavailable
from spikebridge.search import server as edge
from spikebridge.search.connection import Connection, connect
from spikebridge.sinks.splunk import Settings, SplunkSink

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LIMIT_S = 0.3
"""Long enough for several drops."""

WAITED_S = 20.0
"""What such a limit may take on a busy machine; who begins it anew with each drop never ends."""


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Make a certificate authority."""
    with needed():
        return Authority(tmp_path_factory.mktemp("tls") / "ours")


@pytest.fixture(params=["http", "https"])
def tls(request: pytest.FixtureRequest, authority: Authority) -> ssl.SSLContext | None:
    """Return what a server needs, for each scheme in turn."""
    if request.param == "http":
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(authority.server_cert, authority.server_key)
    return context


@pytest.fixture(params=sorted(STARTS))
def server(request: pytest.FixtureRequest, tls: ssl.SSLContext | None) -> Iterator[Dripping]:
    """Start one that drips from some place on."""
    with Dripping(STARTS[request.param], tls) as server:
        yield server


def took_s(action: Callable[[], object], reason: str) -> float:
    """Return how long an action failed for."""
    begin = time.monotonic()
    with pytest.raises(SinkUnavailable, match=reason):
        action()
    return time.monotonic() - begin


def test_a_search_server_that_drips_is_given_up_in_time(
    server: Dripping, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twice: the second connection is made anew, and has a limit of its own."""
    monkeypatch.setattr(edge, "MARGIN_S", LIMIT_S - 1.0)
    trust = {"tls": {"ca": str(authority.ca)}} if server.url.startswith("https") else {}
    asked = connect(Connection.model_validate({"endpoint": server.url, "timeout": "1s", **trust}))
    for _ in range(2):
        assert 0.9 * LIMIT_S < took_s(lambda: asked.ask("GET", "/"), f"did not end within {LIMIT_S:g} s") < WAITED_S
    asked.close()


def test_a_collector_that_drips_is_given_up_in_time(server: Dripping, authority: Authority) -> None:
    """The same for Splunk: the health of an endpoint is the first that is asked."""
    trust = {"tls": {"ca": str(authority.ca)}} if server.url.startswith("https") else {}
    given = {"endpoints": server.url, "token": SecretStr("a-token"), "timeout": f"{LIMIT_S * 1000:.0f}ms", **trust}
    sink = SplunkSink(Settings.model_validate(given), Path())
    for _ in range(2):
        assert 0.9 * LIMIT_S < took_s(lambda: sink.write([an_entry(1)]), "no answer in time") < WAITED_S
    sink.close()


def test_the_host_is_asked_between_collectors_and_one_request_is_bounded() -> None:
    """A group waits five minutes for its member."""
    urls = ["http://127.0.0.1:1", "http://127.0.0.1:2", "http://127.0.0.1:3"]
    given = {"endpoints": urls, "token": SecretStr("a-token")}
    sink = SplunkSink(Settings.model_validate(given), Path())
    sink.wait = lambda seconds: seconds == 0
    with pytest.raises(SinkUnavailable, match=r"127\.0\.0\.1:1") as trouble:
        sink.open()

    assert urls[1] not in str(trouble.value)
    with pytest.raises(ValidationError, match="timeout"):
        Settings.model_validate({**given, "timeout": "61s"})


def test_what_ends_in_time_is_not_disturbed() -> None:
    """Nor is the connection shut down later."""
    deadline = Deadline()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        with deadline.within(1.0):
            deadline.hold(ours)
        time.sleep(1.3)
        theirs.sendall(b"x")
        assert ours.recv(1) == b"x"


def test_a_connection_that_was_made_too_late_is_ended_at_once() -> None:
    """The time had passed while it was made."""
    ours, theirs = socket.socketpair()
    deadline = Deadline()
    with ours, theirs:
        with pytest.raises(TimeoutError), deadline.within(0.01):  # noqa: PT012 -- the wait is the point
            time.sleep(0.2)
            deadline.hold(ours)
            assert ours.recv(1) == b""
        assert theirs.recv(1) == b""
