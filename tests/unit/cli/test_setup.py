"""`spikebridge setup`: what it would send is shown, secrets are taken from where nobody sees them, and mistakes are told in a line."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from tests.unit.sinks.scripted import Scripted

from spikebridge import cli

if TYPE_CHECKING:
    from pathlib import Path

CONFIG = """
tenant: acme
sinks:
  soc: {type: elasticsearch, endpoint: "https://127.0.0.1:1", api_key: aHVudGVyMg==}
  lab: {type: elasticsearch, endpoint: "https://127.0.0.1:1", mode: stream}
  search: {type: opensearch, endpoint: "https://127.0.0.1:1"}
"""


@pytest.fixture
def config(tmp_path: Path) -> str:
    """Write a configuration with three sinks."""
    path = tmp_path / "spikebridge.yaml"
    path.write_text(CONFIG)
    return str(path)


@pytest.mark.parametrize(("arguments", "paths"), [
    (["elasticsearch", "soc"], ["/_ilm/policy/spikebridge-alerts", "/_index_template/spikebridge-alerts"]),
    (["elasticsearch", "lab"], ["/_index_template/spikebridge-alerts-stream"]),
    (["opensearch"], ["/_plugins/_ism/policies/spikebridge-alerts", "/_index_template/spikebridge-alerts"]),
])  # fmt: skip
def test_a_dry_run_prints_every_request_and_the_rights(
    config: str, arguments: list[str], paths: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is sent: nobody listens there."""
    common = [
        "/_component_template/spikebridge-mappings",
        "/_component_template/spikebridge-custom",
        "/_index_template/spikebridge-incidents",
    ]
    assert cli.main(["setup", *arguments, "--config", config, "--dry-run", "--json", "--keep", "30d"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert sorted(request["path"] for request in told["requests"]) == sorted([*paths, *common])
    assert "spikebridge-incidents-acme" in json.dumps(told["rights"]["body"])
    assert "30d" in json.dumps(told["requests"])

    assert cli.main(["setup", *arguments, "--config", config, "--dry-run"]) == 0
    shown = capsys.readouterr().out
    assert all(f"# PUT {path}" in shown for path in paths)
    assert told["rights"]["request"] in shown
    assert "aHVudGVyMg" not in shown


@pytest.mark.parametrize(("arguments", "told"), [
    (["elasticsearch"], "NAME: expected one of the sinks of type elasticsearch (soc, lab), found no name"),
    (["opensearch", "soc"], 'NAME: expected one of the sinks of type opensearch (search), found "soc"'),
    (["opensearch", "--user", "admin"], "expected --user and --password together"),
    (["opensearch", "--user", "admin", "--password", "hunter2"], "expected env:NAME or file:PATH"),
    (["opensearch", "--user", "admin", "--password", "env:NOBODY_SET_IT"], 'the environment variable "NOBODY_SET_IT" is not set'),
    (["elasticsearch", "soc", "--user", "a", "--password", "env:HOME", "--api-key", "env:HOME"], "found both"),
    (["opensearch", "--api-key", "env:HOME"], "unrecognized arguments"),
    (["opensearch", "--keep", "36h"], "expected whole days"),
    (["opensearch", "--keep", "ever"], "expected a duration"),
    (["opensearch"], "https://127.0.0.1:1: no connection: Connection refused"),
    (["splunkk"], "invalid choice"),
])  # fmt: skip
def test_a_mistake_is_told_in_a_line_and_a_secret_is_not_repeated(
    config: str, arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also a secret that somebody typed where everybody sees it."""
    assert cli.main(["setup", *arguments, "--config", config]) == 2
    said = capsys.readouterr()
    assert told in said.err
    assert "hunter2" not in said.err + said.out
    assert "Traceback" not in said.err


POLICY = "/_ilm/policy/spikebridge-alerts"
FOUND, MISSING = (200, "application/json", b"{}"), (404, "application/json", b"{}")


def installed(server: Scripted, path: str) -> list[dict[str, Any]]:
    """Return what was put there."""
    return [json.loads(request.body) for request in server.asked if (request.method, request.path) == ("PUT", path)]


@pytest.mark.parametrize(("answers", "keep", "days"), [
    ([MISSING, FOUND], [], ["365d"]),
    ([FOUND], [], []),
    ([FOUND], ["--keep", "1095d"], ["1095d"]),
])  # fmt: skip
def test_only_keep_changes_how_long_alerts_are_kept(
    tmp_path: Path, answers: list[Any], keep: list[str], days: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """An upgrade runs it again, and nobody remembers what was said three years ago."""
    with Scripted(*answers) as server:
        path = tmp_path / "spikebridge.yaml"
        path.write_text(f"sinks: {{soc: {{type: elasticsearch, endpoint: '{server.url}'}}}}")
        assert cli.main(["setup", "elasticsearch", "--config", str(path), *keep]) == 0

    assert [body["policy"]["phases"]["delete"]["min_age"] for body in installed(server, POLICY)] == days
    assert ("how long alerts are kept stays as it is: --keep changes it" in capsys.readouterr().out) == (not days)


def stream_template(**template: Any) -> Any:
    """Return the answer of a server that has the template of a stream."""
    found = {"name": "spikebridge-alerts-stream", "index_template": {"index_patterns": ["x"], **template}}
    return 200, "application/json", json.dumps({"index_templates": [found]}).encode()


KEPT = {"enabled": True, "data_retention": "1095d"}


@pytest.mark.parametrize(("found", "keep", "lifecycle"), [
    (stream_template(template={"lifecycle": KEPT}), [], KEPT),
    (stream_template(template={"lifecycle": KEPT}), ["--keep", "9d"], {"data_retention": "9d"}),
    (stream_template(template={"lifecycle": {"enabled": True}}), [], {"enabled": True}),
    (stream_template(template={"lifecycle": {**KEPT, "enabled": False}}), [], {**KEPT, "enabled": False}),
    (stream_template(template={"lifecycle": {}}), [], {}),
    (stream_template(template={"lifecycle": None}), [], None),
    (stream_template(template={"settings": {}}), [], None),
    (stream_template(), [], None),
    (stream_template(), ["--keep", "9d"], {"data_retention": "9d"}),
    (FOUND, [], {"data_retention": "365d"}),
    (MISSING, [], {"data_retention": "365d"}),
])  # fmt: skip
def test_a_template_of_streams_keeps_what_it_said_of_their_age(
    tmp_path: Path, found: Any, keep: list[str], lifecycle: dict[str, Any] | None
) -> None:
    """A stream that is made after an upgrade is kept as long as those before it: for ever, where somebody took the limit away."""
    with Scripted(*([] if keep else [found]), FOUND) as server:
        path = tmp_path / "spikebridge.yaml"
        path.write_text(f"sinks: {{soc: {{type: elasticsearch, mode: stream, endpoint: '{server.url}'}}}}")
        assert cli.main(["setup", "elasticsearch", "--config", str(path), *keep]) == 0

    (template,) = installed(server, "/_index_template/spikebridge-alerts-stream")
    assert template["template"].get("lifecycle") == lifecycle


@pytest.mark.parametrize("body", [b'{"index_templates": 1}', b'{"index_templates": [{}]}', b"<html>", b"[" * 5_000])
def test_a_template_that_can_not_be_read_is_not_replaced(tmp_path: Path, body: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    """Nobody knows how long it says that alerts are kept."""
    with Scripted((200, "application/json", body), FOUND) as server:
        path = tmp_path / "spikebridge.yaml"
        path.write_text(f"sinks: {{soc: {{type: elasticsearch, mode: stream, endpoint: '{server.url}'}}}}")
        assert cli.main(["setup", "elasticsearch", "--config", str(path)]) == 2

    assert [request.method for request in server.asked] == ["GET"]
    assert "-stream: expected index templates, found something else" in capsys.readouterr().err


@pytest.mark.parametrize("mode", ["index", "stream"])
def test_nothing_is_replaced_that_could_not_be_looked_at(tmp_path: Path, mode: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A server that is busy for a moment is no server without a policy."""
    with Scripted((503, "text/plain", b"busy"), FOUND) as server:
        path = tmp_path / "spikebridge.yaml"
        path.write_text(f"sinks: {{soc: {{type: elasticsearch, mode: {mode}, endpoint: '{server.url}'}}}}")
        assert cli.main(["setup", "elasticsearch", "--config", str(path)]) == 2

    assert [request.method for request in server.asked] == ["GET"]
    assert ": GET /_i" in capsys.readouterr().err
