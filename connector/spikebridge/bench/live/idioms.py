"""
The same mapping in each contestant's own idiom, and what their documents have in common. Pure: texts and values in and out.

Each peer gets the quickest form that its manual offers: rsyslog one look-up that gives the finished part of the document, Logprep one
resolver over a file, and the deleter right after it.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path

    from spikebridge.bench.live.load import Row

FIELDS = (
    *("@timestamp", "event.kind", "event.action", "event.severity", "rule.name", "rule.category", "host.id"),
    *("spike.action", "spike.layer", "spike.neuron"),
)
"""What every contestant writes, in ECS's words where ECS has one."""

GROUP = "peer"
_UNWANTED = ["spike_count", "gateway", "firmware", "rssi", "battery"]
_MOVED = {"device_id": "host.id", "time": "@timestamp", "neuron_layer": "spike.layer", "neuron_id": "spike.neuron"}


class Input(NamedTuple):
    """Where a peer reads, and under which group."""

    server: str
    topic: str
    group: str


def rsyslog(rows: list[Row], source: Input, output: Path, directory: Path) -> dict[str, str]:
    """Return the files of rsyslog: imkafka, mmjsonparse, a look-up table, one template, one file."""
    table = [{"index": str(row.neuron), "value": _parts(row)} for row in rows]
    lookup = {"version": 1, "nomatch": "", "type": "string", "table": table}
    config = f"""
global(workDirectory="{directory}")
module(load="imkafka") module(load="mmjsonparse")
lookup_table(name="rows" file="{directory}/rows.json")
template(name="document" type="list") {{
  constant(value="{{") property(name="$!time" outname="@timestamp" format="jsonf")
  constant(value=",\\"host\\":{{") property(name="$!device_id" outname="id" format="jsonf")
  constant(value="}},") property(name="$.row")
  constant(value=",") property(name="$!neuron_layer" outname="layer" format="jsonf")
  constant(value=",\\"neuron\\":") property(name="$!neuron_id") constant(value="}}}}\\n")
}}
input(type="imkafka" topic="{source.topic}" broker=["{source.server}"] consumergroup="{source.group}" ruleset="map"
  confParam=["auto.offset.reset=earliest","session.timeout.ms=6000"])
ruleset(name="map" queue.type="FixedArray" queue.size="50000" queue.dequeueBatchSize="1024") {{
  action(type="mmjsonparse" cookie="")
  set $.row = lookup("rows", $!neuron_id);
  if ($.row != "") then action(type="omfile" file="{output}" template="document" ioBufferSize="256k")
}}
"""
    return {"rows.json": json.dumps(lookup), "rsyslog.conf": config}


def logprep(rows: list[Row], source: Input, output: Path, directory: Path) -> dict[str, str]:
    """Return the files of Logprep, the same for both of its engines; JSON is YAML."""
    events = {str(row.neuron): _event(row) for row in rows}
    resolve = {"path": f"{directory}/rows.json", "pattern": r"(?P<mapping>\d+)"}
    rules: dict[str, dict[str, Any]] = {
        "resolver": {
            "filter": "neuron_id",
            "generic_resolver": {"field_mapping": {"neuron_id": "event"}, "resolve_from_file": resolve},
        },
        "deleter": {"filter": "NOT event", "deleter": {"delete": True}},
        "mover": {
            "filter": "event",
            "field_manager": {
                "mapping": {**_MOVED, "event.rule": "rule", "event.spike_action": "spike.action"},
                "delete_source_fields": True,
            },
        },
        "dropper": {"filter": "event", "dropper": {"drop": _UNWANTED}},
    }
    types = {"resolver": "generic_resolver", "deleter": "deleter", "mover": "field_manager", "dropper": "dropper"}
    kafka = {
        "bootstrap.servers": source.server,
        "group.id": source.group,
        "enable.auto.commit": "true",
        "session.timeout.ms": "6000",
        "auto.offset.reset": "earliest",
    }
    config = {
        "version": "1",
        "process_count": 1,
        "timeout": 0.5,
        "logger": {"level": "INFO"},
        "metrics": {"enabled": False, "port": 8009},
        "pipeline": [{name: {"type": types[name], "rules": [f"{directory}/{name}.json"]}} for name in rules],
        "input": {"kafka": {"type": "confluentkafka_input", "topic": source.topic, "kafka_config": kafka}},
        "output": {"out": {"type": "jsonl_output", "output_file": str(output)}},
    }
    files = {f"{name}.json": json.dumps([rule]) for name, rule in rules.items()}
    return {**files, "rows.json": json.dumps(events), "logprep.yml": json.dumps(config)}


def common(document: dict[str, Any]) -> dict[str, Any]:
    """Return what the contestants' documents have in common, by `FIELDS`; ours list neurons, of which each alert here has one."""
    flat = {name: _at(document, name) for name in FIELDS}
    neurons = _at(document, "spike.neurons")
    if neurons:
        flat["spike.layer"], flat["spike.neuron"] = neurons[0]["layer"], neurons[0]["neuron"]
    return flat


def differences(name: str, found: list[dict[str, Any]], expected: list[dict[str, Any]]) -> list[str]:
    """Compare documents field by field, whatever their order; [] when both are the same set."""
    ours = {_key(one): one for one in map(common, expected)}
    theirs = {_key(one): one for one in map(common, found)}
    told = [f"{name}: {key} is missing" for key in sorted(ours.keys() - theirs.keys())]
    told += [f"{name}: {key} is not expected" for key in sorted(theirs.keys() - ours.keys())]
    if len(found) != len(theirs):
        told.append(f"{name}: {len(found) - len(theirs)} documents more than once")
    for key in sorted(ours.keys() & theirs.keys()):
        told += [
            f"{name}: {key}: {field}: expected {ours[key][field]!r}, found {theirs[key][field]!r}"
            for field in FIELDS
            if ours[key][field] != theirs[key][field]
        ]
    return told


def business_key(document: dict[str, Any]) -> tuple[str, str]:
    """Return what tells a document from others: which device, which neuron."""
    return _key(common(document))


def _key(flat: dict[str, Any]) -> tuple[str, str]:
    return str(flat["host.id"]), str(flat["spike.neuron"])


def _at(document: Any, name: str) -> Any:
    for part in name.split("."):
        document = document.get(part) if isinstance(document, dict) else None
    return document


def _event(row: Row) -> dict[str, Any]:
    """Return what Logprep looks up: one value, the parts of which it moves to their places."""
    return {
        "kind": "alert",
        "action": row.threat,
        "severity": row.number,
        "rule": {"name": row.threat, "category": row.category},
        "spike_action": row.action,
    }


def _parts(row: Row) -> str:
    """Return what rsyslog looks up: the finished text of three objects, the last of which is left open."""
    event = {"kind": "alert", "action": row.threat, "severity": row.number}
    rule = {"name": row.threat, "category": row.category}
    return f'"event":{json.dumps(event)},"rule":{json.dumps(rule)},"spike":{{"action":{json.dumps(row.action)}'
