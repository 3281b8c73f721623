"""TLS to search servers: whom we trust, and who we are by a certificate of our own."""

from __future__ import annotations

import hashlib
import shutil
import ssl
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.live.delivering import an_alert
from tests.live.servers.missing import needed
from tests.live.servers.tls import Authority
from tests.unit.sinks.scripted import Scripted

from spikebridge.errors import SinkUnavailable
from spikebridge.sinks.opensearch import OpenSearchSink, Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

TAKEN = 200, "application/json", b'{"errors": false, "items": [{"create": {"status": 201}}]}'


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Make a certificate authority."""
    with needed():
        return Authority(tmp_path_factory.mktemp("tls") / "ours")


@pytest.fixture
def server(authority: Authority) -> Iterator[Scripted]:
    """Start a server that lets nobody in without a certificate that the authority signed."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(authority.ca))
    context.load_cert_chain(authority.server_cert, authority.server_key)
    context.verify_mode = ssl.CERT_REQUIRED
    with Scripted(TAKEN, tls=context) as server:
        yield server


def a_sink(server: Scripted, **tls: str) -> OpenSearchSink:
    """Make a sink."""
    return OpenSearchSink(Settings.model_validate({"endpoint": server.url, "tls": tls}), Path())


@pytest.mark.parametrize("trust", ["ca", "fingerprint"])
def test_a_certificate_of_our_own_is_shown(server: Scripted, authority: Authority, trust: str) -> None:
    """However the server is trusted; key and certificate in one file, or in two."""
    der = ssl.PEM_cert_to_DER_cert(authority.server_cert.read_text())
    trusted = {"ca": str(authority.ca), "fingerprint": hashlib.sha256(der).hexdigest()}[trust]
    for own in (
        {"certificate": str(authority.client_pem)},
        {"certificate": str(authority.client_cert), "key": str(authority.client_key)},
    ):
        sink = a_sink(server, **{trust: trusted}, **own)
        assert sink.write([an_alert(0, "acme")]) == 0
        sink.close()

    assert len(server.asked) == 2


def test_without_one_such_a_server_takes_nothing(server: Scripted, authority: Authority) -> None:
    """It is the server that says so."""
    sink = a_sink(server, ca=str(authority.ca))
    with pytest.raises(SinkUnavailable):
        sink.write([an_alert(0, "acme")])
    sink.close()

    assert server.asked == []


def test_a_wrong_fingerprint_is_nobody_we_talk_to(server: Scripted, authority: Authority) -> None:
    """Even with a certificate of our own."""
    sink = a_sink(server, fingerprint="00" * 32, certificate=str(authority.client_pem))
    with pytest.raises(SinkUnavailable, match="another fingerprint"):
        sink.write([an_alert(0, "acme")])
    sink.close()

    assert server.asked == []


@pytest.mark.parametrize("renewed", ["ca", "certificate"])
def test_a_certificate_that_was_renewed_is_taken_without_a_restart(
    server: Scripted, authority: Authority, tmp_path: Path, renewed: str
) -> None:
    """The sink that was refused with the old one reads the file again."""
    with needed():
        stranger = Authority(tmp_path / "stranger")
    good = {"ca": authority.ca, "certificate": authority.client_pem}
    bad = {"ca": stranger.ca, "certificate": stranger.client_pem}
    file = tmp_path / "renewed.pem"
    shutil.copy(bad[renewed], file)
    sink = a_sink(server, **{name: str(path) for name, path in good.items()} | {renewed: str(file)})
    for _ in range(2):
        with pytest.raises(SinkUnavailable):
            sink.write([an_alert(0, "acme")])

    shutil.copy(good[renewed], file)
    assert sink.write([an_alert(0, "acme")]) == 0
    sink.close()
