"""The same mapping in each contestant's idiom, and documents compared field by field."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from spikebridge.bench.live import idioms, load
from spikebridge.formats.ecs import encode
from spikebridge.limits import SECOND
from spikebridge.mapping.engine import alerts_of
from spikebridge.mapping.load import load as load_mapping
from spikebridge.spikes.record import Record

START_NS = 1_700_000_000 * SECOND
HERE = Path("/a/place")
SOURCE = idioms.Input("127.0.0.1:9092", "events", "peer-1")


def expected(row: load.Row, device: str) -> dict[str, Any]:
    """Return what every contestant must say of a spike."""
    return {
        "@timestamp": "2023-11-14T22:13:20.000000000Z",
        "event.kind": "alert",
        "event.action": row.threat,
        "event.severity": row.number,
        "rule.name": row.threat,
        "rule.category": row.category,
        "host.id": device,
        "spike.action": row.action,
        "spike.layer": "output_3",
        "spike.neuron": row.neuron,
    }


def ours(tmp_path: Path, values: list[bytes]) -> list[dict[str, Any]]:
    """Return the ECS documents of events under our own mapping file."""
    (tmp_path / "mappings.yaml").write_text(load.mapping(load.rows()))
    rule_set = load_mapping([tmp_path / "mappings.yaml"], None).rule_set
    records = [Record(at, START_NS + SECOND, value) for at, value in enumerate(values)]
    return [json.loads(encode(raised.alert)) for raised in alerts_of(rule_set, records).alerts]


def test_our_documents_say_what_the_rows_say(tmp_path: Path) -> None:
    """Each of the 64 rows once, and nothing for a neuron without a row."""
    rows = load.rows()
    values = [load.event(f"sensor-m{row.neuron:06d}", row.neuron, START_NS) for row in rows]
    documents = ours(tmp_path, [*values, load.event("sensor-q000001", load.MAPPED - 1, START_NS)])
    assert [idioms.common(document) for document in documents] == [expected(row, f"sensor-m{row.neuron:06d}") for row in rows]


def test_rsyslog_looks_up_the_finished_part_of_a_document() -> None:
    """What its table holds of a row, between what its template writes of the event, is the document."""
    row = load.rows()[2]
    files = idioms.rsyslog(load.rows(), SOURCE, HERE / "out.jsonl", HERE)
    table = json.loads(files["rows.json"])
    part = {entry["index"]: entry["value"] for entry in table["table"]}[str(row.neuron)]
    text = (
        f'{{"@timestamp":"2023-11-14T22:13:20.000000000Z","host":{{"id":"d"}},{part},"layer":"output_3","neuron":{row.neuron}}}}}'
    )
    assert idioms.common(json.loads(text)) == expected(row, "d")
    assert table["nomatch"] == ""
    config = files["rsyslog.conf"]
    assert 'input(type="imkafka" topic="events" broker=["127.0.0.1:9092"] consumergroup="peer-1"' in config
    assert 'file="/a/place/out.jsonl"' in config


def test_logprep_resolves_a_row_and_moves_its_parts_to_their_places() -> None:
    """What it looks up by a neuron, moved as its field manager says, is the document."""
    row = load.rows()[5]
    files = idioms.logprep(load.rows(), SOURCE, HERE / "out.jsonl", HERE)
    [mover] = json.loads(files["mover.json"])
    event = json.loads(load.event("d", row.neuron, START_NS)) | {"event": json.loads(files["rows.json"])[str(row.neuron)]}
    [dropper] = json.loads(files["dropper.json"])
    made: dict[str, Any] = {}
    for source, target in mover["field_manager"]["mapping"].items():
        put(made, target, take(event, source))
    for name in dropper["dropper"]["drop"]:
        take(event, name)
    assert event.pop("event") == {"kind": "alert", "action": row.threat, "severity": row.number}
    assert event == {}
    made["event"] = {"kind": "alert", "action": row.threat, "severity": row.number}
    assert idioms.common(made) == expected(row, "d")
    config = json.loads(files["logprep.yml"])
    assert [next(iter(step)) for step in config["pipeline"]] == ["resolver", "deleter", "mover", "dropper"]
    assert config["input"]["kafka"]["kafka_config"]["group.id"] == "peer-1"


@pytest.mark.parametrize("field", idioms.FIELDS)
def test_a_document_that_differs_in_one_field_is_told(field: str) -> None:
    """Whichever field it is; its key makes it another document."""
    good: dict[str, Any] = {}
    for name, value in expected(load.rows()[0], "d").items():
        put(good, name, value)
    bad: dict[str, Any] = json.loads(json.dumps(good))
    put(bad, field, "something else")
    assert idioms.differences("peer", [good], [good]) == []
    assert idioms.differences("peer", [bad], [good])


def test_missing_and_doubled_documents_are_told(tmp_path: Path) -> None:
    """By which device and neuron."""
    documents = ours(tmp_path, [load.event("d", neuron, START_NS) for neuron in (1_000, 1_001)])
    assert idioms.differences("peer", documents[:1], documents) == ["peer: ('d', '1001') is missing"]
    assert idioms.differences("peer", documents, documents[:1]) == ["peer: ('d', '1001') is not expected"]
    assert idioms.differences("peer", [*documents, documents[0]], documents) == ["peer: 1 documents more than once"]


def put(document: dict[str, Any], name: str, value: object) -> None:
    """Set a field by its dotted name."""
    *parents, last = name.split(".")
    for part in parents:
        document = document.setdefault(part, {})
    document[last] = value


def take(document: dict[str, Any], name: str) -> object:
    """Remove a field by its dotted name."""
    *parents, last = name.split(".")
    for part in parents:
        document = document[part]
    return document.pop(last)
