"""Metrics and health over HTTP."""

from __future__ import annotations

import http.client
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from spikebridge import metrics as numbers
from spikebridge.errors import LogError, SpikebridgeError
from spikebridge.health import MAX_CONNECTIONS, HealthServer
from spikebridge.metrics import Metrics

if TYPE_CHECKING:
    from collections.abc import Iterator


class Fixture:
    """A server, what it says, and a client."""

    def __init__(self) -> None:
        """Listen on a free port."""
        self.metrics = Metrics()
        self.troubles: list[str] = []
        self.server = HealthServer(("127.0.0.1", 0), self.metrics, lambda: self.troubles)

    def get(self, path: str) -> tuple[int, str]:
        """Ask and read all."""
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=10)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()


@contextmanager
def serving() -> Iterator[Fixture]:
    """Serve, then stop."""
    here = Fixture()
    try:
        yield here
    finally:
        here.server.close()


def test_metrics_are_served_as_they_are_now() -> None:
    """Each request renders anew."""
    with serving() as here:
        here.metrics.inc(numbers.DELIVERED, sink="store")
        status, text = here.get("/metrics")
        assert (status, 'spikebridge_delivered_total{sink="store"} 1.0' in text) == (200, True)


def test_readiness_says_what_is_wrong() -> None:
    """A line for each trouble; being alive is another question."""
    with serving() as here:
        assert here.get("/readyz") == (200, "ready\n")
        here.troubles = ["sink splunk: away", "the spikes stage lags"]
        assert here.get("/readyz") == (503, "sink splunk: away\nthe spikes stage lags\n")
        assert here.get("/livez") == (200, "alive\n")
        assert here.get("/other?x=1")[0] == 404


def test_a_log_that_fails_is_said_to_the_caller() -> None:
    """A gauge that can't be read is no crash of the server."""

    def fails() -> None:
        raise LogError("spool.db: disk I/O error")

    with serving() as here:
        here.metrics.before_render(fails)
        assert here.get("/metrics") == (503, "spool.db: disk I/O error\n")
        assert here.get("/livez")[0] == 200


def test_an_address_in_use_is_said_at_once() -> None:
    """The message names the setting."""
    with serving() as here, pytest.raises(SpikebridgeError, match=r"metrics.listen 127.0.0.1:\d+: Address already in use"):
        HealthServer(("127.0.0.1", here.server.port), Metrics(), list)


def test_callers_that_say_nothing_can_not_pile_up() -> None:
    """Beyond a few open connections the next is turned away, and room comes back when one leaves."""
    with serving() as here:
        idle = [socket.create_connection(("127.0.0.1", here.server.port)) for _ in range(MAX_CONNECTIONS)]
        with pytest.raises((ConnectionError, http.client.BadStatusLine)):
            here.get("/livez")
        for connection in idle:
            connection.close()
        for _ in range(200):
            try:
                assert here.get("/livez")[0] == 200
                break
            except (ConnectionError, http.client.BadStatusLine):
                continue
        else:
            pytest.fail("no room came back")
