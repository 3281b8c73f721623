"""The steps that all probes share: name, port, certificate, directory."""

from __future__ import annotations

import socket
import ssl
import time
from typing import TYPE_CHECKING

import pytest
from tests.live.servers.missing import needed
from tests.live.servers.tls import Authority

from spikebridge.probe import Check, certificate, dial, look_up, writable
from spikebridge.testing.hec import HecServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DAY_S = 86_400


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Make a certificate authority, whose certificates are good for 30 days."""
    with needed():
        return Authority(tmp_path_factory.mktemp("tls") / "ours")


@pytest.fixture
def port(authority: Authority) -> Iterator[int]:
    """Listen with TLS."""
    with HecServer({}, certificate=(authority.server_cert, authority.server_key)) as server:
        yield int(server.url.rpartition(":")[2])


@pytest.fixture
def closed() -> Iterator[int]:
    """Keep a port on which nobody listens."""
    with socket.socket() as kept:
        kept.bind(("127.0.0.1", 0))
        yield kept.getsockname()[1]


def test_a_name_is_looked_up() -> None:
    """Its addresses are told; one that isn't there is a failure with the name."""
    assert look_up("localhost", 1).detail.startswith("localhost: ")
    for name in ("no-such-host.invalid", "a" * 70):
        check = look_up(name, 1)
        assert (check.level, check.name) == ("FAIL", "DNS")
        assert check.detail.startswith(f"{name}: ")


def test_a_port_is_tried(port: int, closed: int) -> None:
    """Open, and closed."""
    assert dial("127.0.0.1", port).level == "ok"
    check = dial("127.0.0.1", closed)
    assert (check.level, check.detail) == ("FAIL", f"127.0.0.1:{closed}: Connection refused")


def test_a_certificate_is_told_with_the_days_that_it_is_good_for(port: int, authority: Authority) -> None:
    """Less than 30 days are a warning."""
    context = ssl.create_default_context(cafile=authority.ca)
    soon = certificate("localhost", port, context, time.time())
    later = certificate("localhost", port, context, time.time() - 10 * DAY_S)

    assert (soon.level, later.level) == ("warn", "ok")
    assert "good for 29 days (until " in soon.detail
    assert "good for 39 days" in later.detail
    assert soon.advice == "have it renewed"


def test_a_stranger_is_not_trusted_and_a_wrong_name_does_not_fit(port: int, authority: Authority) -> None:
    """Two different failures, both in the library's words."""
    system = certificate("localhost", port, ssl.create_default_context(), time.time())
    assert (system.level, "not trusted: unable to get local issuer certificate" in system.detail) == ("FAIL", True), system

    context = ssl.create_default_context(cafile=authority.ca)
    named = certificate("127.1", port, context, time.time())  # the same address, by a name that isn't in it
    assert (named.level, "not valid for '127.1'" in named.detail) == ("FAIL", True), named


def test_a_port_that_speaks_no_tls_is_a_failure() -> None:
    """And not a traceback."""
    with HecServer({}) as server:
        check = certificate("localhost", int(server.url.rpartition(":")[2]), ssl.create_default_context(), time.time())
    assert (check.level, check.name) == ("FAIL", "TLS")


def test_a_directory_is_writable_or_can_be_made(tmp_path: Path) -> None:
    """One that isn't there yet counts by the nearest that is; a file in its place is a failure."""
    assert writable(tmp_path).level == "ok"
    assert writable(tmp_path / "a" / "b").detail.endswith("free, not there yet")
    (tmp_path / "file").touch()
    check = writable(tmp_path / "file" / "data")
    assert (check.level, f"{tmp_path / 'file'} is no directory" in check.detail) == ("FAIL", True)


def test_an_advice_makes_a_warning_of_what_is_well() -> None:
    """And a failure stays one."""
    assert [Check("x", ok, "", advice).level for ok, advice in ((True, ""), (True, "do"), (False, ""), (False, "do"))] == [
        *("ok", "warn", "FAIL", "FAIL")
    ]
