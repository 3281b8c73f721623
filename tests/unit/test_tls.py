"""TLS in the configuration: one model for everything that is dialled, its files, and what is said of wrong ones."""

from __future__ import annotations

import datetime as dt
import re
from importlib import import_module
from typing import TYPE_CHECKING

import pytest
from tests.live.servers.missing import needed
from tests.live.servers.tls import Authority

from spikebridge import registry
from spikebridge.config.load import config_schema, configurable, load_config, settings_model
from spikebridge.errors import ContentError
from spikebridge.tls import BadTls, Tls, outdated, tls_context

if TYPE_CHECKING:
    from pathlib import Path

REACHED = {
    "elasticsearch": "endpoint: https://search:9200",
    "opensearch": "endpoint: https://search:9200",
    "kafka": "servers: kafka:9093, topic: alerts",
    "splunk": "endpoints: https://splunk:8088, token: a-token",
}
"""The least that each kind of sink needs which is reached over TLS."""


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Make a certificate authority."""
    with needed():
        return Authority(tmp_path_factory.mktemp("tls") / "ours")


def test_no_sink_with_tls_is_left_out_here() -> None:
    """A new one is added above."""
    assert {kind for kind in registry.names("sinks") if "tls" in settings_model("sinks", kind).model_fields} == {*REACHED}


@pytest.mark.parametrize("kind", REACHED)
def test_every_sink_knows_the_same_keys(tmp_path: Path, kind: str) -> None:
    """Files begin at the configuration's directory."""
    tls = "ca: ca.pem, certificate: own.pem, key: own.key, key_password: a-password"
    (tmp_path / "spikebridge.yaml").write_text(f"sinks: {{it: {{type: {kind}, {REACHED[kind]}, tls: {{{tls}}}}}}}\n")
    found = load_config(tmp_path / "spikebridge.yaml", {}).sinks["it"].settings.model_dump()["tls"]

    assert (found["ca"], found["certificate"]) == (str(tmp_path / "ca.pem"), str(tmp_path / "own.pem"))
    assert found["key"] == str(tmp_path / "own.key")
    assert found["key_password"].get_secret_value() == "a-password"


@pytest.mark.parametrize("kind", REACHED)
def test_a_wrong_key_is_told_with_its_place(tmp_path: Path, kind: str) -> None:
    """Line and column of the key."""
    text = f"sinks:\n  it:\n    type: {kind}\n    {REACHED[kind].replace(', ', chr(10) + '    ')}\n    tls: {{cert: own.pem}}\n"
    (tmp_path / "spikebridge.yaml").write_text(text)
    with pytest.raises(ContentError, match=r"spikebridge\.yaml:\d:11: sinks\.it\.tls\.cert: unknown key"):
        load_config(tmp_path / "spikebridge.yaml", {})


def test_the_schema_describes_each_kind_by_its_own_models() -> None:
    """Two models of one name would take each other's place."""
    shared = config_schema()["$defs"]
    for of in registry.KINDS:
        if of not in ("sinks", "logs"):
            continue
        for kind in configurable(of):
            own = settings_model(of, kind).model_json_schema(by_alias=True).get("$defs", {})
            assert {name: shared[name] for name in own} == own, kind


def test_an_editor_accepts_a_fingerprint() -> None:
    """As the configuration does, for search servers only."""
    validator = import_module("jsonschema").Draft202012Validator(config_schema())
    search = {"type": "elasticsearch", "endpoint": "https://search:9200"}
    splunk = {"type": "splunk", "endpoints": "https://splunk:8088", "token": "a-token"}

    assert validator.is_valid({"sinks": {"it": {**search, "tls": {"fingerprint": "00" * 32}}}})
    assert not validator.is_valid({"sinks": {"it": {**splunk, "tls": {"fingerprint": "00" * 32}}}})


def test_files_are_read(authority: Authority) -> None:
    """Key and certificate in one file, or in two."""
    tls_context(Tls(ca=str(authority.ca), certificate=str(authority.client_pem)))
    tls_context(Tls(certificate=str(authority.client_cert), key=str(authority.client_key)))
    tls_context(None)


def test_a_certificate_of_ours_that_is_not_good_now_is_named(authority: Authority) -> None:
    """Servers only say that they don't take it, each library in other words; in a file with its key too."""
    now = dt.datetime.now(dt.UTC)
    expired = authority.expired()

    said = outdated(Tls(certificate=str(expired), key=str(authority.client_key)), now)
    assert re.fullmatch(
        rf"tls\.certificate {expired} was good until {now - dt.timedelta(days=1):%Y-%m-%d} [0-9:]{{8}}Z: renew it", said
    )
    for file in (authority.client_cert, authority.client_pem):
        assert outdated(Tls(certificate=str(file)), now) == ""
        assert " is good from " in outdated(Tls(certificate=str(file)), now - dt.timedelta(days=2))
        assert " was good until " in outdated(Tls(certificate=str(file)), now + dt.timedelta(days=40))
    assert outdated(Tls(certificate=str(authority.client_key)), now) == outdated(Tls(), now) == outdated(None, now) == ""


def test_files_that_are_wrong_are_named(authority: Authority, tmp_path: Path) -> None:
    """What is missing, what is no PEM, and a key that belongs to somebody else."""
    (tmp_path / "no.pem").write_text("nothing")
    missing, wrong = str(tmp_path / "missing.pem"), str(tmp_path / "no.pem")
    for tls, found in (
        (Tls(ca=missing), r"tls\.ca .*missing\.pem: No such file or directory; expected a PEM file with certificates"),
        (Tls(ca=wrong), r"tls\.ca .*no\.pem: .*; expected a PEM file with certificates"),
        (Tls(certificate=missing), r"tls\.certificate .*missing\.pem: No such file"),
        (
            Tls(certificate=str(authority.client_cert), key=str(authority.server_key)),
            r"tls\.certificate .*client\.crt, tls\.key .*server\.key: .*mismatch.*; expected PEM files of a certificate and its key",
        ),
    ):
        with pytest.raises(BadTls, match=found):
            tls_context(tls)
