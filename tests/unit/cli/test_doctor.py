"""`doctor` where nothing has to be started, and where nothing answers."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from spikebridge import cli
from spikebridge.logs.spool import Spool
from spikebridge.testing.hec import HecServer, Token

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Ask = Callable[..., tuple[int, str]]

NOWHERE = "127.0.0.1:1"


@pytest.fixture
def ask(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Ask:
    """Run `spikebridge doctor` for a configuration; return exit code and everything that was said."""
    monkeypatch.chdir(tmp_path)

    def run(config: dict[str, Any], *arguments: str) -> tuple[int, str]:
        (tmp_path / "spikebridge.yaml").write_text(json.dumps(config))
        code = cli.main(["doctor", *arguments])
        said = capsys.readouterr()
        return code, said.out + said.err

    return run


def test_one_machine_is_well_before_and_after_its_first_spike(ask: Ask, tmp_path: Path) -> None:
    """The default configuration: a data directory, the spool and the store."""
    code, said = ask({})
    assert (code, said.splitlines()[-1]) == (0, "3 checks, 0 failed, 0 warnings")
    assert "ok   log spool: file: data/spool.db is not there yet" in said

    Spool(tmp_path / "data").close()
    code, said = ask({})
    assert code == 0
    assert "ok   log spool: clock: append times are not ahead of this machine's clock" in said
    assert "ok   sink store: directory: data: writable" in said


def test_a_clock_that_was_set_back_is_told(ask: Ask, tmp_path: Path) -> None:
    """By how much the append times are ahead: a warning, not a failure."""
    with Spool(tmp_path / "data", clock=lambda: time.time_ns() + 3_600 * 10**9) as spool:
        spool.append([b"a record"])
    code, said = ask({}, "--only", "spool")

    assert code == 0
    assert "warn log spool: clock: append times are 59m 5" in said
    assert "let NTP set the clock" in said


def test_what_does_not_answer_fails_and_hides_nothing_else(ask: Ask) -> None:
    """Each log and sink gets its lines; the exit code says that one failed."""
    sinks = {
        "elastic": {"type": "elasticsearch", "endpoint": f"http://{NOWHERE}"},
        "bus": {"type": "kafka", "servers": [NOWHERE, "no-such-host.invalid:9092"], "topic": "alerts"},
        "lines": {"type": "file", "path": "out/alerts.jsonl"},
        "here": {"type": "file", "path": "-"},
    }
    logs = {"plant": {"type": "kafka", "servers": [NOWHERE], "topics": ["spikes"]}}
    code, said = ask({"logs": logs, "sinks": sinks})

    assert code == 1
    for line in (
        f"FAIL log plant: TCP: {NOWHERE}: Connection refused; is the server running?",
        f"FAIL sink elastic: TCP: {NOWHERE}: Connection refused",
        f"FAIL sink bus: TCP: {NOWHERE}: Connection refused",
        "FAIL sink bus: DNS: no-such-host.invalid: ",
        "ok   sink lines: directory: out: writable",
        "ok   sink here: output: standard output",
    ):
        assert line in said
    assert "Traceback" not in said
    assert "credentials" not in said


def test_only_what_was_asked_for_is_tried(ask: Ask) -> None:
    """A name that isn't there is told with those that are."""
    sinks = {"bus": {"type": "kafka", "servers": [NOWHERE], "topic": "alerts"}, "store": {"type": "store"}}
    code, said = ask({"sinks": sinks}, "--only", "store", "--only", "data")
    assert (code, "bus" in said) == (0, False)
    code, said = ask({"sinks": sinks}, "--only", "buss")
    assert (code, said) == (2, 'spikebridge: --only: expected one of data, spool, bus, store, found "buss"\n')


def test_json_holds_what_the_lines_say(ask: Ask) -> None:
    """One document with every check, its level and the counts."""
    code, said = ask({"sinks": {"bus": {"type": "kafka", "servers": [NOWHERE], "topic": "alerts"}}}, "--json")
    document = json.loads(said)

    assert code == 1
    assert (document["failed"], document["warned"]) == (1, 0)
    (failed,) = [check for check in document["checks"] if check["level"] == "FAIL"]
    assert (failed["what"], failed["name"], failed["ok"]) == ("sink bus", "TCP", False)
    assert failed["detail"] == f"{NOWHERE}: Connection refused"


def test_a_sink_with_a_server_is_walked_to_the_end(ask: Ask) -> None:
    """And what is well but could be better is a warning."""
    with HecServer({"a-token": Token()}) as server:
        code, said = ask({"sinks": {"splunk": {"type": "splunk", "endpoints": server.url, "token": "a-token"}}})
    assert code == 0
    assert "ok   sink splunk: write: " in said
    assert "warn sink splunk: acknowledgement: none" in said
    assert "a-token" not in said


def test_secrets_are_never_told(ask: Ask) -> None:
    """Whatever fails."""
    sasl = {"mechanism": "PLAIN", "user": "spike", "password": "my-secret"}
    tls = {"ca": "no-such-file.pem", "certificate": "neither.pem", "key_password": "my-secret"}
    log = {"type": "kafka", "servers": [NOWHERE], "topics": ["spikes"], "sasl": sasl, "tls": tls}
    with HecServer({"other": Token()}) as server:
        splunk = {"type": "splunk", "endpoints": server.url, "token": "my-secret"}
        reachable = {**log, "servers": [server.url.removeprefix("http://")]}
        said = [
            ask({"logs": {"plant": one}, "sinks": {"splunk": splunk}}, *more)[1]
            for one in (log, reachable)
            for more in ([], ["--json"])
        ]
    assert all("my-secret" not in one for one in said)
    assert all("FAIL" in one for one in said)
