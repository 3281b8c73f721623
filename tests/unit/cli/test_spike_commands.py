"""`send`, `status`, `convert` and `backtest`: spikes on their way in, and what would come of them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

import pytest

from spikebridge import cli
from spikebridge.app import Service
from spikebridge.config import load_config
from spikebridge.logs.spool import Spool
from spikebridge.spikes.frame import Head, encode_events, encode_tick

if TYPE_CHECKING:
    from pathlib import Path

BURST = "mappings:\n- {id: burst, neuron_id: 42, threat_type: Burst, severity: High}\n"
STORM = "mappings:\n- {id: storm, neuron_id: 42, threat_type: Burst, severity: High}\n"
LOUDER = "mappings:\n- {id: burst, neuron_id: 42, threat_type: Burst, severity: Critical}\n"
SCAN = "mappings:\n- {id: scan, neuron_id: 7, threat_type: Scan, severity: Low}\n"
LINES = (
    '{"device_id": "cam", "neuron_id": 42, "time": 1790000000}\n'
    "nonsense\n"
    "\n"
    '{"device_id": "arm", "neuron_id": 7, "time": 1790000001}\n'
    '{"device_id": "arm", "neuron_id": -1, "time": 1790000001}\n'
)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a directory with mappings and a file of spikes in it."""
    monkeypatch.chdir(tmp_path)
    for name, text in (("burst", BURST), ("storm", STORM), ("louder", LOUDER), ("scan", SCAN)):
        (tmp_path / f"{name}.yaml").write_text(text)
    (tmp_path / "spikes.jsonl").write_text(LINES)
    (tmp_path / "spikebridge.yaml").write_text("data: data\nmappings: [burst.yaml]\n")
    return tmp_path


def documents(text: str) -> list[dict[str, Any]]:
    """Read JSON lines."""
    return [json.loads(line) for line in text.splitlines()]


def drained(site: Path) -> None:
    """Have a service read the log to its end."""
    with Service(load_config(site / "spikebridge.yaml", {})) as service:
        service.drain(Event())


def piped(arguments: list[str], data: bytes) -> subprocess.CompletedProcess[bytes]:
    """Run a command with something on its standard input."""
    command = [sys.executable, "-m", "spikebridge", *arguments]
    return subprocess.run(command, input=data, capture_output=True, check=False, timeout=60)


def test_a_file_is_a_recording_unless_said_otherwise(site: Path) -> None:
    """A file waits beside the live log, which stays empty; with `--live` its records are appended."""
    assert cli.main(["send", "spikes.jsonl", "--to", "spool:data"]) == 1
    with Spool(site / "data") as spool:
        assert spool.bounds() == (0, 0)
        assert [recording.name for recording in spool.recordings()] == ["spikes.jsonl"]

    assert cli.main(["send", "spikes.jsonl", "--live", "--to", "spool:data"]) == 1
    with Spool(site / "data") as spool:
        assert [record.value for record in spool.poll(0, 1 << 20)] == [line.encode() for line in LINES.splitlines() if line]


def test_what_cannot_be_read_is_told_and_sent_all_the_same(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It would be lost otherwise: the service makes dead letters of it, and its neighbours count."""
    cli.main(["send", "spikes.jsonl", "--live", "--to", "spool:data", "--json"])

    captured = capsys.readouterr()
    assert [line.partition(": ")[0] for line in captured.err.splitlines()] == ["spikes.jsonl:2", "spikes.jsonl:5"]
    (told,) = documents(captured.out)
    assert {key: told[key] for key in ("records", "spikes", "refused", "ticks_left_out")} == {
        "records": 4,
        "spikes": 2,
        "refused": 2,
        "ticks_left_out": 0,
    }


@pytest.mark.parametrize("more", [[], ["--live"], ["--recording"]])
@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"t,device,dir,len\n1,cam,o,60\n" + LINES.encode(), "night:1: expected frames, or lines of JSON"),
        (
            b"\n\nnonsense\n",
            'night:3: expected frames, or lines of JSON that begin with { or [, found "nonsense": nothing was sent',
        ),
        (b"\xd4\xc3\xb2\xa1\x02\x00\x04\x00" * 10, "\\x02\\x00\\x04\\x00"),
        (b"5\n", 'found "5"'),
    ],
    ids=["table", "words", "capture", "number"],
)
def test_what_is_neither_frames_nor_lines_is_refused_whole(
    data: bytes, found: str, more: list[str], site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A table by mistake would be a dead letter for each of its lines; not even a spool is made for it."""
    (site / "night").write_bytes(data)

    assert cli.main(["send", "night", "--to", "spool:data", *more]) == 2
    captured = capsys.readouterr()
    assert (found in captured.err, captured.out) == (True, "")
    assert "captures, tables and series are for `spikebridge sense`" in captured.err
    assert not (site / "data").exists()


@pytest.mark.parametrize("more", [[], ["--recording"]])
def test_standard_input_that_is_neither_is_refused_too(more: list[str], site: Path) -> None:
    """Before anything of it is appended."""
    done = piped(["send", "-", "--to", "spool:data", *more], b"t,device\n" * 100_000)

    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.startswith(
        b"spikebridge: standard input:1: expected frames, or lines of JSON that begin with { or [, found"
    )
    assert len(done.stderr.splitlines()) == 1
    with Spool(site / "data") as spool:
        assert (spool.bounds(), spool.recordings()) == ((0, 0), [])


def test_standard_input_happens_now(site: Path) -> None:
    """Frames or lines from a pipe are appended to the live log; with `--recording` they are a log of their own."""
    frames = b"".join(encode_events(Head(device="cam", start_ns=1, seq=seq), [42], [0]) for seq in range(3))

    assert piped(["send", "-", "--to", "spool:data"], frames).returncode == 0
    assert piped(["send", "-", "--recording", "--to", "spool:data"], frames).returncode == 0

    with Spool(site / "data") as spool:
        assert spool.bounds() == (0, 3)
        assert [recording.name for recording in spool.recordings()] == ["standard input"]


def test_ticks_from_outside_are_left_out(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Who may send spikes may not say that time passes, nor which revision holds."""
    (site / "ticks.spk").write_bytes(encode_events(Head(device="cam", start_ns=1), [42], [0]) + encode_tick(5, 3))

    assert cli.main(["send", "ticks.spk", "--live", "--to", "spool:data"]) == 1
    assert "a tick: left out" in capsys.readouterr().err
    with Spool(site / "data") as spool:
        assert spool.bounds() == (0, 1)


def test_a_log_of_another_kind_is_refused(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The message says what is expected."""
    assert cli.main(["send", "spikes.jsonl", "--to", "mqtt:spikes"]) == 2
    assert '--to: expected spool:DIR or kafka:NAME, found "mqtt:spikes"' in capsys.readouterr().err
    assert cli.main(["send", "spikes.jsonl", "--to", "kafka:plant"]) == 2
    assert '--to: expected the name of a Kafka log, found "plant"; the configuration has none' in capsys.readouterr().err


def test_status_shows_where_everything_stands(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Position, lag, cursors and revision come from the files alone: no service need run."""
    cli.main(["send", "spikes.jsonl", "--live", "--to", "spool:data"])
    drained(site)
    cli.main(["send", "spikes.jsonl", "--live", "--to", "spool:data"])
    capsys.readouterr()

    assert cli.main(["status", "--config", "spikebridge.yaml", "--json"]) == 0
    (told,) = documents(capsys.readouterr().out)
    assert told["service"]["running"] is False
    assert told["revision"] == {"in_force": 1, "newest": 1}
    assert [(log["position"], log["end"], log["lag"]) for log in told["logs"]] == [(4, 8, 4)]
    assert {reader["reader"]: reader["lag"] for reader in told["readers"]} == {"deliver:store": 0, "incidents": 0}

    assert cli.main(["status", "--data", "data"]) == 0
    assert "revision in force: 1" in capsys.readouterr().out


def test_status_beside_a_running_service_shows_what_is_wrong(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A wrong mapping leaves the last good revision in force, and whoever looks is told where it is wrong, with exit code 1."""
    drained(site)
    (site / "burst.yaml").write_text(BURST.replace("High", "Hgih"))
    stop = Event()
    with Service(load_config(site / "spikebridge.yaml", {})) as service:
        running = Thread(target=service.run, args=(stop,))
        running.start()
        give_up = time.monotonic() + 60
        while cli.main(["status", "--data", "data"]) == 0 and time.monotonic() < give_up:
            capsys.readouterr()
            time.sleep(0.1)
        stop.set()
        running.join()

    said = capsys.readouterr().out
    assert f"running, process {os.getpid()}" in said
    assert "revision in force: 1" in said
    assert re.search(r"problem: .*burst.yaml:2:\d+: severity: .*Hgih", said)


def test_status_of_what_is_not_there_is_an_error(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In one line, with exit code 2."""
    assert cli.main(["status", "--data", "nowhere"]) == 2
    said = capsys.readouterr().err
    assert "there is no spool at nowhere" in said
    assert "a service that runs makes it; --data or --config names where" in said


@pytest.mark.parametrize(("shape", "key"), [("json", "kind"), ("ecs", "@timestamp"), ("stix", "objects")])
def test_spikes_become_documents(site: Path, capsys: pytest.CaptureFixture[str], shape: str, key: str) -> None:
    """One JSON document a line for each alert; a bad line is told with its place and exits 1; no file is left behind."""
    before = sorted(site.iterdir())

    assert cli.main(["convert", "spikes.jsonl", "--mappings", "burst.yaml", "scan.yaml", "--format", shape]) == 1

    captured = capsys.readouterr()
    found = documents(captured.out)
    assert len(found) == 2
    assert all(key in document for document in found)
    assert [line.partition(": ")[0] for line in captured.err.splitlines()] == ["spikes.jsonl:2", "spikes.jsonl:5"]
    assert sorted(site.iterdir()) == before


def test_a_pipe_converts_as_its_file_does(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The documents are the same bytes: the log's id is the digest of what was read."""
    cli.main(["convert", "spikes.jsonl", "--mappings", "burst.yaml"])
    done = piped(["convert", "--mappings", str(site / "burst.yaml")], LINES.encode())

    assert done.stdout.decode() == capsys.readouterr().out
    assert done.returncode == 1


def test_keys_that_are_not_read_are_told_where_nothing_comes_of_them(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Beside the documents, not among them; they are ignored, so it is no error."""
    (site / "wrong.jsonl").write_text('{"device_id": "cam", "neuron": 42, "spike_count": null}\n')

    assert cli.main(["convert", "wrong.jsonl", "--mappings", "burst.yaml"]) == 0
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == [
        "wrong.jsonl: 1 JSON object has the key `neuron`, which is not read; did you mean `neuron_id`?",
        "wrong.jsonl: 1 object with such keys holds no spike: neither `neuron_id` nor `spike_count` is there",
    ]


def test_incidents_are_converted_too(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each comes last, as it has become."""
    (site / "storm.yaml").write_text(
        BURST + "correlations:\n- {id: site, threat_type: Storm, severity: Critical, type: value_count, rules: [burst],\n"
        "   timespan: 1m, condition: {gte: 3, field: device}}\n"
    )
    (site / "three.jsonl").write_text(
        "".join(f'{{"device_id": "cam-{number}", "neuron_id": 42, "time": 1790000000}}\n' for number in range(4))
    )

    assert cli.main(["convert", "three.jsonl", "--mappings", "storm.yaml"]) == 0
    found = documents(capsys.readouterr().out)
    assert [document["kind"] for document in found] == ["alert"] * 4 + ["incident"]
    assert found[-1]["version"] == 4


def test_wrong_mappings_are_told_with_their_place(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As `check` does, with exit code 2: nothing was converted."""
    (site / "burst.yaml").write_text(BURST.replace("High", "Hgih"))

    assert cli.main(["convert", "spikes.jsonl", "--mappings", "burst.yaml"]) == 2
    assert "burst.yaml:2:" in capsys.readouterr().err


def outcome(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """Return what `backtest --json` says; of a recording that has parts that can't be read the exit says so."""
    capsys.readouterr()
    status = cli.main(["backtest", *arguments, "--json"])
    (told,) = documents(capsys.readouterr().out)
    assert status == (1 if "--recording" in arguments and told["refused"] else 0)
    return told


def test_gained_and_lost_alerts_are_shown_by_rule_and_device(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Over a recording, with an example of each that says why."""
    told = outcome(["burst.yaml", "scan.yaml", "--recording", "spikes.jsonl"], capsys)

    assert (told["records"], told["refused"], told["same"]) == (4, 2, 0)
    assert [(line["rule"], line["device"], line["count"]) for line in told["gained"]] == [("scan", "arm", 1)]
    assert [(line["rule"], line["device"], line["count"]) for line in told["lost"]] == [("burst", "cam", 1)]
    assert "neuron 42" in told["lost"][0]["examples"][0]["explanation"]


def test_what_a_recording_holds_that_cannot_be_read_is_told(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """How much, and why of the first; a change judged without it is judged by less than was asked."""
    assert cli.main(["backtest", "burst.yaml", "scan.yaml", "--recording", "spikes.jsonl"]) == 1
    out = capsys.readouterr().out
    assert "2 parts of records can't be read, and count for nothing here:\n  partition 0, record 1: " in out

    (site / "bad.jsonl").write_text(LINES + "no\n" * 30)
    assert cli.main(["backtest", "burst.yaml", "scan.yaml", "--recording", "bad.jsonl"]) == 1
    out = capsys.readouterr().out
    assert (out.count("  partition 0, record "), "  and 22 more\n" in out) == (10, True)
    told = outcome(["burst.yaml", "scan.yaml", "--recording", "bad.jsonl"], capsys)
    assert (told["refused"], [one["offset"] for one in told["refusals"]]) == (32, [1, 3, *range(4, 12)])

    (site / "good.jsonl").write_text(LINES.splitlines()[0] + "\n")
    assert cli.main(["backtest", "burst.yaml", "scan.yaml", "--recording", "good.jsonl"]) == 0
    assert "can't be read" not in capsys.readouterr().out


def test_no_alerts_are_computed_from_what_is_no_recording(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A table by mistake isn't a night without alerts."""
    (site / "flows.csv").write_text("ts,device,value\n" * 50)
    assert cli.main(["backtest", "burst.yaml", "scan.yaml", "--recording", "flows.csv"]) == 2
    captured = capsys.readouterr()
    assert (captured.out, "flows.csv: expected frames, or lines of JSON" in captured.err) == ("", True)


def test_a_renamed_rule_is_no_loss(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its alerts have other ids and lie at the same places."""
    told = outcome(["burst.yaml", "storm.yaml", "--recording", "spikes.jsonl"], capsys)

    assert (told["gained"], told["lost"]) == ([], [])
    assert told["renamed"] == [{"old": "burst", "new": "storm", "count": 1}]


def test_an_alert_that_says_something_else_is_shown(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It keeps its id, so it is neither gained nor lost."""
    told = outcome(["burst.yaml", "louder.yaml", "--recording", "spikes.jsonl"], capsys)

    assert (told["same"], told["gained"], told["lost"]) == (1, [], [])
    assert told["changed"] == [{"rule": "burst", "what": "severity", "old": "High", "new": "Critical", "count": 1}]


def test_a_revision_is_tested_against_files_over_the_log(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A number is a revision of the spool; `--from` and `--to` choose records by append time; an unknown number is an error."""
    cli.main(["send", "spikes.jsonl", "--live", "--to", "spool:data"])
    drained(site)

    told = outcome(["1", "scan.yaml"], capsys)
    assert [(line["rule"], line["count"]) for line in told["gained"] + told["lost"]] == [("scan", 1), ("burst", 1)]
    assert outcome(["1", "scan.yaml", "--to", "1h"], capsys)["records"] == 0
    assert outcome(["1", "scan.yaml", "--from", "1h"], capsys)["records"] == 4
    assert cli.main(["backtest", "1", "scan.yaml"]) == 0
    assert "gained:" in capsys.readouterr().out
    assert cli.main(["backtest", "9", "scan.yaml"]) == 2
    assert "there is no revision 9, the newest is 1" in capsys.readouterr().err
