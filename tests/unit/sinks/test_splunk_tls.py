"""TLS to Splunk, and what `doctor` says of an endpoint."""

from __future__ import annotations

import shutil
import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import SecretStr
from tests.contract.sink_contract import an_entry
from tests.live.servers.missing import needed
from tests.live.servers.tls import Authority
from tests.unit.sinks.scripted import Scripted

from spikebridge.errors import SinkUnavailable
from spikebridge.sinks.splunk import Settings, SplunkSink, probe
from spikebridge.sinks.splunk.answers import HOLD_S
from spikebridge.sinks.splunk.checks import endpoints_of
from spikebridge.sinks.splunk.connection import HEALTH_PATH
from spikebridge.testing.hec import Fault, HecServer, Token

if TYPE_CHECKING:
    from collections.abc import Iterator

    from spikebridge.probe import Check

TOKEN = "a-token"  # noqa: S105 -- nobody else's
ENTRIES = [an_entry(number) for number in range(5)]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Make a certificate authority."""
    with needed():
        return Authority(tmp_path_factory.mktemp("tls") / "ours")


@pytest.fixture
def server(authority: Authority) -> Iterator[HecServer]:
    """Start a collector whose certificate that authority signed."""
    with HecServer(
        {TOKEN: Token(indexes=("main",), acknowledges=True)}, certificate=(authority.server_cert, authority.server_key)
    ) as server:
        yield server


def settings_of(server: HecServer, **more: Any) -> Settings:
    """Make settings for a server."""
    return Settings.model_validate({"endpoints": server.url, "token": SecretStr(TOKEN), **more})


def told(settings: Settings) -> dict[str, Check]:
    """Return what `probe` finds, by name."""
    return {check.name: check for check in probe(settings, "acme")}


def test_a_private_authority_is_trusted_when_it_is_named(server: HecServer, authority: Authority) -> None:
    """And everything arrives."""
    sink = SplunkSink(settings_of(server, tls={"ca": str(authority.ca)}), Path())
    sink.write(ENTRIES)
    sink.close()

    assert server.counts() == {entry.id: 1 for entry in ENTRIES}


@pytest.mark.parametrize("tls", [None, {}])
def test_a_certificate_of_a_stranger_is_held(server: HecServer, tls: dict[str, str] | None) -> None:
    """Nothing is sent, least of all the token."""
    sink = SplunkSink(settings_of(server, tls=tls), Path())
    with pytest.raises(
        SinkUnavailable, match=r"the certificate is not trusted: .*; expected one that the authorities in tls\.ca"
    ) as trouble:
        sink.open()

    assert trouble.value.after_s == HOLD_S
    assert server.requests == []


def test_a_name_that_is_not_in_the_certificate_is_held(server: HecServer, authority: Authority) -> None:
    """127.0.0.2 is nobody."""
    settings = settings_of(server, tls={"ca": str(authority.ca)})
    other = settings.model_copy(update={"endpoints": [server.url.replace("127.0.0.1", "127.0.0.2")]})
    sink = SplunkSink(other, Path())
    with pytest.raises(SinkUnavailable, match=r"127\.0\.0\.2"):
        sink.open()


@pytest.mark.parametrize("tls", [{"ca": "nowhere.pem"}, {"certificate": "nowhere.pem"}])
def test_a_file_that_cannot_be_read_is_named(server: HecServer, tls: dict[str, str]) -> None:
    """With the key under which it stands."""
    key = next(iter(tls))
    sink = SplunkSink(settings_of(server, tls=tls), Path())
    with pytest.raises(SinkUnavailable, match=rf"^tls\.{key} nowhere\.pem: No such file"):
        sink.open()
    (check,) = probe(settings_of(server, tls=tls), "acme")
    assert not check.ok
    assert f"tls.{key} nowhere.pem" in check.detail


def test_a_file_that_is_no_certificate_is_named(server: HecServer, tmp_path: Path) -> None:
    """As above."""
    (tmp_path / "ca.pem").write_text("not PEM")
    sink = SplunkSink(settings_of(server, tls={"ca": str(tmp_path / "ca.pem")}), Path())
    with pytest.raises(SinkUnavailable, match=r"ca\.pem: .*; expected a PEM file"):
        sink.open()


def test_a_certificate_of_our_own_is_shown(server: HecServer, authority: Authority) -> None:
    """Key and certificate in one file, or in two."""
    for own in (
        {"certificate": str(authority.client_pem)},
        {"certificate": str(authority.client_cert), "key": str(authority.client_key)},
    ):
        sink = SplunkSink(settings_of(server, tls={"ca": str(authority.ca), **own}), Path())
        sink.open()
        sink.close()


def test_doctor_finds_a_well_configured_endpoint_well(server: HecServer, authority: Authority) -> None:
    """From the name to the acknowledgement; what it wrote is marked."""
    found = told(settings_of(server, tls={"ca": str(authority.ca)}))

    assert list(found) == ["DNS", "TCP", "TLS", "health", "write", "acknowledgement"]
    assert all(check.ok for check in found.values())
    (event,) = server.events
    assert (event.sourcetype, event.id) == ("spikebridge:test", "")
    assert event.time is not None
    assert event.event == {"message": "a test of spikebridge doctor", "tenant": "acme"}


def test_doctor_stops_where_the_rest_is_impossible(server: HecServer) -> None:
    """A certificate that nobody trusts, a port that nobody listens on, a name that nobody knows."""
    assert list(told(settings_of(server))) == ["DNS", "TCP", "TLS"]
    assert not told(settings_of(server))["TLS"].ok
    server.stop()
    assert [(check.name, check.ok) for check in told(settings_of(server)).values()] == [("DNS", True), ("TCP", False)]
    nowhere = settings_of(server).model_copy(update={"endpoints": ["https://nowhere.invalid:8088"]})
    (check,) = probe(nowhere, "acme")
    assert (check.name, check.ok) == ("DNS", False)


@pytest.mark.parametrize(
    ("fault", "more", "name", "detail"),
    [
        (Fault(path="health", code=18), {}, "health", "queues are full"),
        (Fault(code=4), {}, "token", "code 4"),
        (Fault(), {"index": "elsewhere"}, "write", "allow the index"),
        (Fault(), {"acknowledge": "off"}, "write", "code 10"),
        (Fault(status=200, body=b"OK"), {"acknowledge": "on"}, "acknowledgement", "gives none"),
    ],
)
def test_doctor_says_what_is_wrong(
    server: HecServer, authority: Authority, fault: Fault, more: dict[str, str], name: str, detail: str
) -> None:
    """One check fails, with advice, and never with the token."""
    server.faults.append(fault)
    found = told(settings_of(server, tls={"ca": str(authority.ca)}, **more))

    assert [check.name for check in found.values() if not check.ok] == [name]
    assert detail in found[name].detail
    assert found[name].advice
    assert TOKEN not in str(found)


@pytest.mark.parametrize("renewed", ["ca", "certificate"])
def test_a_certificate_that_was_renewed_is_taken_without_a_restart(authority: Authority, tmp_path: Path, renewed: str) -> None:
    """The endpoint that was refused with the old one reads the file again; one that can't be read is said, not raised."""
    with needed():
        stranger = Authority(tmp_path / "stranger")
    good = {"ca": authority.ca, "certificate": authority.client_pem}
    bad = {"ca": stranger.ca, "certificate": stranger.client_pem}
    file = tmp_path / "renewed.pem"
    shutil.copy(bad[renewed], file)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(authority.ca))
    context.load_cert_chain(authority.server_cert, authority.server_key)
    context.verify_mode = ssl.CERT_REQUIRED
    with Scripted((200, "application/json", b"{}"), tls=context) as server:
        tls = {name: str(path) for name, path in good.items()} | {renewed: str(file)}
        settings = Settings.model_validate({"endpoints": server.url, "token": SecretStr(TOKEN), "tls": tls})
        (endpoint,) = endpoints_of(settings)
        assert endpoint.ask("GET", HEALTH_PATH).status == 0

        file.write_text("half of it")
        answer = endpoint.ask("GET", HEALTH_PATH)
        assert (answer.status, answer.lasting) == (0, True)
        assert f"tls.{renewed} {file}" in answer.trouble

        shutil.copy(good[renewed], file)
        assert endpoint.ask("GET", HEALTH_PATH).status == 200
        endpoint.close()
