"""
The types of every field that our ECS documents have, as the mapping of an index.

Types are those of ECS 9.4; own fields are under `spike`. `dynamic: false`: a field that this version doesn't know is kept in the document and
not searchable. A guessed type could contradict the next document's, `strict` would refuse every alert of a newer Spikebridge, and
either way alerts would be lost where an index is older than who writes into it.
"""

from __future__ import annotations

from typing import Any

_Fields = dict[str, Any]

IGNORE_ABOVE = 1_024
"""A longer keyword is kept and not searchable; from 32,766 bytes on the server would refuse the document."""

_KEYWORD = {"type": "keyword", "ignore_above": IGNORE_ABOVE}
_TEXT = {"type": "match_only_text"}
_LONG = {"type": "long"}
_FLOAT = {"type": "float"}
_DATE = {"type": "date"}
_IP = {"type": "ip"}
_BOOLEAN = {"type": "boolean"}
_NAMED = {**_KEYWORD, "fields": {"text": _TEXT}}
"""A keyword that ECS also has as text, for words within it."""


def _object(**properties: _Fields) -> _Fields:
    return {"properties": properties}


def _keywords(*names: str) -> dict[str, _Fields]:
    return dict.fromkeys(names, _KEYWORD)


_END = _object(address=_KEYWORD, ip=_IP)

_EVENT = _object(
    **_keywords("action", "category", "code", "dataset", "id", "kind", "module", "reason", "type"),
    created=_DATE,
    duration=_LONG,
    end=_DATE,
    risk_score=_FLOAT,
    risk_score_norm=_FLOAT,
    severity=_LONG,
    start=_DATE,
)

_THREAT = _object(
    framework=_KEYWORD,
    tactic=_object(**_keywords("id", "name")),
    technique=_object(
        **_keywords("id", "reference"),
        name=_NAMED,
        subtechnique=_object(**_keywords("id", "reference"), name=_NAMED),
    ),
)

_SPIKE = _object(
    **_keywords("action", "false_positives", "group", "kind", "level", "model_digest", "references", "rule_date", "time_source"),
    confidence=_LONG,
    count=_LONG,
    device=_object(**_keywords("class", "owner", "site"), known=_BOOLEAN),
    evidence=_object(**_keywords("digests", "log"), offsets=_LONG, partial=_BOOLEAN, partition=_LONG, total=_LONG),
    interval=_object(length_ns=_LONG, start=_DATE),
    members=_object(**_keywords("device", "id", "rule", "severity", "threat"), time=_DATE),
    neurons=_object(layer=_KEYWORD, neuron=_LONG, count=_LONG),
    offset=_LONG,
    ordinal=_LONG,
    peers=_object(address=_KEYWORD, count=_LONG),
    peers_total=_LONG,
    revision=_object(digest=_KEYWORD, number=_LONG),
    suppressed_before=_LONG,
    threshold=_LONG,
    version=_LONG,
    window_ns=_LONG,
)

_ROOT: dict[str, _Fields] = {
    "@timestamp": _DATE,
    "destination": _END,
    "ecs": _object(version=_KEYWORD),
    "event": _EVENT,
    "host": _object(**_keywords("id", "name", "type"), geo=_object(name=_KEYWORD), ip=_IP),
    "labels": _object(tenant=_KEYWORD),
    "message": _TEXT,
    "observer": _object(**_keywords("product", "type", "vendor")),
    "organization": _object(id=_KEYWORD),
    "related": _object(hosts=_KEYWORD, ip=_IP),
    "rule": _object(**_keywords("category", "description", "id", "name", "reference", "version")),
    "source": _END,
    "spike": _SPIKE,
    "tags": _KEYWORD,
    "threat": _THREAT,
}


def mappings() -> _Fields:
    """Return the mapping of every index of ours."""
    return {"dynamic": False, "date_detection": False, "properties": _ROOT}


def stream_mappings(*, open_constants: bool) -> _Fields:
    """
    Return what a data stream has besides: the parts of its name.

    The namespace is the tenant; with `open_constants` each stream takes it from its first document, as Elasticsearch allows.
    """
    constants = {"type": "logs", "dataset": "spikebridge.alert"}
    known = {name: {"type": "constant_keyword", "value": value} for name, value in constants.items()}
    namespace = {"type": "constant_keyword"} if open_constants else _KEYWORD
    return {"properties": {"data_stream": _object(**known, namespace=namespace)}}
