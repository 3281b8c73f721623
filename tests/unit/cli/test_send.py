"""`spikebridge send`: what its last lines say to a person who did something that can't be seen otherwise."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from spikebridge import cli
from spikebridge.logs.spool import Spool

ROW = "mappings:\n- {id: %s, neuron_id: %s, threat_type: Odd, severity: High}\n"
EVENT = '{"device_id": "cam-1", "neuron_id": 42, "time": 1790000000}\n'


def test_a_recording_that_was_read_before_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing comes of it, and nobody should wait for alerts; one that still waits is simply sent."""
    path = tmp_path / "night.jsonl"
    path.write_text(EVENT)
    command = ["send", str(path), "--data", str(tmp_path / "data")]

    for _ in range(2):
        assert cli.main(command) == 0
        assert "read before" not in capsys.readouterr().out
    with Spool(tmp_path / "data") as spool:
        spool.drained(1)
    assert cli.main(command) == 0
    assert capsys.readouterr().out.splitlines()[1:] == [
        "this recording was read before: nothing of it is read again",
        "its alerts under other mappings: `spikebridge publish`, then `spikebridge replay FILE`; another `data` reads it anew",
    ]
    assert cli.main([*command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["known"] is True


def test_the_configured_size_of_the_spool_is_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The service's own limit holds for whoever appends; what doesn't fit is told."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "spikebridge.yaml").write_text("data: data\nspool: {size: 1KB}\n")
    (tmp_path / "many.jsonl").write_text(EVENT * 40)

    assert cli.main(["send", "many.jsonl", "--live"]) == cli.USAGE
    assert "the spike log is at its limit of 1,000 bytes" in capsys.readouterr().err
    with Spool(tmp_path / "data") as spool:
        assert spool.poll(0, 1 << 20) == []


def test_a_json_text_over_several_lines_is_told_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What `jq .` prints is not what `send` reads."""
    path = tmp_path / "pretty.json"
    path.write_text(json.dumps([json.loads(EVENT)], indent=2))

    assert cli.main(["send", str(path), "--live", "--data", str(tmp_path / "data")]) == 1
    assert "one line holds one whole JSON text: `jq -c .` puts a text on one line" in capsys.readouterr().out


def kafka_plant(directory: Path, **settings: object) -> None:
    """Write a configuration whose log is on Kafka, where no broker answers."""
    log = {"type": "kafka", "servers": ["127.0.0.1:1"], **settings}
    (directory / "spikebridge.yaml").write_text(json.dumps({"logs": {"plant": log}}))


def test_a_service_that_reads_kafka_gets_nothing_into_a_spool_by_accident(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody would read that spool, so no spool is made; one that is named is meant."""
    monkeypatch.chdir(tmp_path)
    kafka_plant(tmp_path, topics=["spikes"])
    path = tmp_path / "today.jsonl"
    path.write_text(EVENT)

    for arguments in ([], ["--live"], ["--recording"]):
        assert cli.main(["send", str(path), *arguments]) == 2
        expected = "spikebridge: --to: expected kafka:plant, which the service reads, or spool:DIR, found nothing\n"
        assert capsys.readouterr().err == expected
    assert not (tmp_path / "data").exists()
    assert cli.main(["send", str(path), "--to", "spool:other"]) == 0
    assert cli.main(["send", str(path), "--data", "another"]) == 0


@pytest.mark.parametrize(("settings", "known"), [({"topics": ["spikes"]}, "spikes"), ({"pattern": "site-.*"}, "site-.*")])
def test_a_topic_that_nobody_reads_is_refused(
    settings: dict[str, object],
    known: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It may be there, and would take the spikes in silence."""
    monkeypatch.chdir(tmp_path)
    kafka_plant(tmp_path, **settings)
    path = tmp_path / "today.jsonl"
    path.write_text(EVENT)

    assert cli.main(["send", str(path), "--to", "kafka:plant", "--topic", "other"]) == 2
    assert f'--topic: expected one that the service reads ({known}), found "other"' in capsys.readouterr().err


OUT = {"type": "kafka", "servers": ["127.0.0.1:1"], "topic": "alerts-out"}


@pytest.mark.parametrize(
    ("topic", "whose"),
    [
        ("alerts-out", "which the service itself writes to"),
        ("spikebridge-alerts-default", "which the service itself writes to"),
        ("spikebridge-dead-letters-acme", "which is another tenant's by default"),
        ("__consumer_offsets", "which is Kafka's own"),
    ],
)
@pytest.mark.parametrize("command", [["send", "today.jsonl"], ["sense", "--table", "today.csv"]])
def test_a_topic_that_is_written_is_no_topic_of_spikes(
    command: list[str],
    topic: str,
    whose: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A pattern matches it, and the service leaves it out: also a topic of a sink whose password is elsewhere."""
    monkeypatch.chdir(tmp_path)
    kafka_plant(tmp_path, pattern=".*")
    config = json.loads(Path("spikebridge.yaml").read_text())
    sasl = {"mechanism": "PLAIN", "user": "siem", "password": "${file:missing}"}
    Path("spikebridge.yaml").write_text(json.dumps(config | {"sinks": {"out": {**OUT, "sasl": sasl}}}))
    Path("today.jsonl").write_text(EVENT)
    Path("today.csv").write_text("t,src,dst\n1,a,b\n")

    assert cli.main([*command, "--to", "kafka:plant", "--topic", topic]) == 2
    assert f'--topic: expected one that the service reads (.*), found "{topic}", {whose}' in capsys.readouterr().err


def test_the_secrets_of_sinks_are_not_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An edge appends, and delivers nothing: into the spool of the configuration as into a topic."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ELASTIC_API_KEY", raising=False)
    sink = {"type": "elasticsearch", "endpoint": "https://search.example:9200", "api_key": "${env:ELASTIC_API_KEY}"}
    config = {"data": "spool", "sinks": {"siem": sink}}
    path = tmp_path / "today.jsonl"
    path.write_text(EVENT)

    (tmp_path / "spikebridge.yaml").write_text(json.dumps(config))
    assert cli.main(["check", "spikebridge.yaml"]) == 1
    assert 'the environment variable "ELASTIC_API_KEY" is not set' in capsys.readouterr().out
    assert cli.main(["send", str(path)]) == 0
    assert (tmp_path / "spool" / "spool.db").is_file()

    log = {"type": "kafka", "servers": ["127.0.0.1:1"], "topics": ["spikes"]}
    (tmp_path / "spikebridge.yaml").write_text(json.dumps(config | {"logs": {"plant": log}}))
    assert cli.main(["send", str(path), "--to", "kafka:plant", "--topic", "other"]) == 2
    assert '--topic: expected one that the service reads (spikes), found "other"' in capsys.readouterr().err


def test_keys_that_are_not_read_are_told_at_the_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Once for all records: with the key that is meant, and that no spike came of it."""
    path = tmp_path / "today.jsonl"
    wrong = '{"device_id": "camera-2", "neuron": 42, "time\\u001bstamp": 1790000000}\n'
    path.write_text(EVENT + wrong * 1500 + '{"device_id": "camera-2"}\n')
    command = ["send", str(path), "--live", "--data", str(tmp_path / "data")]

    assert cli.main(command) == 0
    assert capsys.readouterr().out.splitlines()[1:] == [
        "1,500 JSON objects have the key `neuron`, which is not read; did you mean `neuron_id`?",
        "1,500 JSON objects have the key `time\\x1bstamp`, which is not read; did you mean `time`?",
        "1,500 objects with such keys hold no spike: neither `neuron_id` nor `spike_count` is there",
    ]
    assert cli.main([*command, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["unread_keys"], told["without_spike"]) == ({"neuron": 1500, "time\x1bstamp": 1500}, 1500)


def site(directory: Path, neuron: str) -> Path:
    """Write a configuration with one row, and a recording of neurons 7, 42 and 48 and of a sum."""
    (directory / "spikebridge.yaml").write_text("data: data\nmappings: [rows.yaml]\n")
    (directory / "rows.yaml").write_text(ROW % (f"row-{neuron}", neuron))
    spikes: list[dict[str, object]] = [
        {"neuron_id": 48, "neuron_layer": "x"},
        {"neuron_id": 7},
        {"neuron_id": 7},
        {"spike_count": 3},
    ]
    path = directory / "night.jsonl"
    path.write_text(EVENT + "".join(json.dumps({"device_id": "cam-1", "time": 1790000000, **spike}) + "\n" for spike in spikes))
    return path


def test_neurons_that_no_mapping_names_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the files of the configuration, that a service would bring into force; by the newest revision of a spool that is named."""
    monkeypatch.chdir(tmp_path)
    path = site(tmp_path, "42")
    line = "no mapping listens to 3 neurons that spiked: 48 of another layer, 7 of layer 0, the sum of layer 0"

    assert cli.main(["send", str(path)]) == 0
    assert capsys.readouterr().out.splitlines()[1:] == [line]
    assert cli.main(["send", str(path), "--live", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["unmapped_neurons"] == 3

    site(tmp_path, "7-50")
    assert cli.main(["send", str(path), "--live", "--data", "data"]) == 0
    assert capsys.readouterr().out.splitlines()[1:] == []
    assert cli.main(["publish"]) == 0
    capsys.readouterr()
    site(tmp_path, "42")
    assert cli.main(["send", str(path), "--live", "--to", "spool:data"]) == 0
    assert capsys.readouterr().out.splitlines()[1:] == ["no mapping listens to 1 neuron that spiked: the sum of layer 0"]


def test_mappings_that_cannot_be_read_do_not_stop_what_is_sent(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever brings them into force is told."""
    monkeypatch.chdir(tmp_path)
    path = site(tmp_path, "-1")

    assert cli.main(["send", str(path)]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_what_the_message_says_shows_the_alerts_of_other_mappings(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A recording that was read under the wrong ones is no dead end: published ones replay it, and another spool reads it anew."""
    monkeypatch.chdir(tmp_path)
    path = site(tmp_path, "9")
    assert (cli.main(["send", str(path)]), cli.main(["run", "--once"])) == (0, 0)
    site(tmp_path, "48")
    assert cli.main(["send", str(path)]) == 0
    assert "`spikebridge publish`, then `spikebridge replay FILE`" in capsys.readouterr().out

    assert cli.main(["publish"]) == 0
    capsys.readouterr()
    assert cli.main(["replay", str(path), "--without-lava", "--json"]) == 0
    assert [alert["explanation"][:23] for alert in json.loads(capsys.readouterr().out)["alerts"]] == ["1 spike of neuron 48 (l"]
    monkeypatch.setenv("SPIKEBRIDGE_DATA", "another")
    assert (cli.main(["send", str(path)]), cli.main(["run", "--once"])) == (0, 0)
    capsys.readouterr()
    assert cli.main(["alerts", "--json"]) == 0
    assert [json.loads(line)["rule"]["id"] for line in capsys.readouterr().out.splitlines()] == ["row-48"]
