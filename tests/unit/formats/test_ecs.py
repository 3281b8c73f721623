"""ECS documents: names, types and allowed values are the schema's."""

from __future__ import annotations

import gzip
import json
import re
from importlib import resources
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from tests.findings import FINDINGS, HOSTILE, MINIMAL, NOON_NS

from spikebridge.alerts import Alert
from spikebridge.formats import ecs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from spikebridge.alerts import Finding

KEPT: dict[str, dict[str, Any]] = json.loads(resources.files("spikebridge.formats").joinpath("ecs_fields.json").read_bytes())
SOURCE = Path(__file__).parents[4] / "shared" / "data" / "ecs" / "fields.json.gz"
OWN = ("spike.", "labels.")
ALL: dict[str, Finding] = {**FINDINGS, "minimal": MINIMAL, "hostile": HOSTILE}


def leaves(value: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Walk over (dotted name, value) of everything that isn't an object."""
    for name, item in value.items():
        if isinstance(item, dict):
            yield from leaves(item, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", item


def is_type(value: object, kind: str) -> bool:
    """Say whether a JSON value fits an Elasticsearch type."""
    match kind:
        case "date":
            return isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z", value) is not None
        case "ip":
            return isinstance(value, str) and bool(ip_address(value)) and "%" not in value
        case "long":
            return type(value) is int and -(2**63) <= value < 2**63
        case "float":
            return type(value) is float
    return isinstance(value, str) and kind in {"keyword", "match_only_text"}


@pytest.mark.parametrize("name", ALL)
def test_every_leaf_is_a_field_of_the_schema(name: str) -> None:
    """Outside `spike` and `labels` nothing is named, typed or valued by us."""
    for field, value in leaves(ecs.document(ALL[name])):
        if field.startswith(OWN):
            continue
        known = KEPT[field]
        values = value if known.get("array") else [value]
        assert isinstance(values, list), field
        assert values, f"{field} is an empty list"
        assert all(is_type(item, known["type"]) for item in values), (field, value)
        assert set(values) <= set(known.get("allowed", values)), (field, value)


@pytest.mark.parametrize("name", ALL)
def test_event_types_fit_their_categories(name: str) -> None:
    """Each category allows each type that stands beside it."""
    event = ecs.document(ALL[name])["event"]

    for category in event["category"]:
        assert set(event["type"]) <= set(KEPT["event.category"]["event_types"][category])


def test_every_kept_field_is_used() -> None:
    """The list holds no more than documents set."""
    used = {field for finding in ALL.values() for field, _ in leaves(ecs.document(finding))}

    assert set(KEPT) - {"labels"} == {field for field in used if not field.startswith(OWN)}


@pytest.mark.skipif(not SOURCE.exists(), reason="the extract of the schema lies beside development checkouts only")
def test_the_kept_fields_are_those_of_the_schema() -> None:
    """What we keep of ECS is what ECS says."""
    fields = json.loads(gzip.decompress(SOURCE.read_bytes()))

    assert {name: {key: value for key, value in fields[name].items() if key in KEPT[name]} for name in KEPT} == KEPT
    assert not any(key in fields[name] and key not in KEPT[name] for name in KEPT for key in ("array", "allowed", "event_types"))


def test_times_keep_their_nanoseconds() -> None:
    """Nothing is rounded on the way out."""
    alert = msgspec.structs.replace(MINIMAL, time_ns=NOON_NS + 1, first_ns=NOON_NS - 1, last_ns=NOON_NS + 1)
    made = ecs.document(alert)

    assert made["@timestamp"] == "2026-11-20T12:00:00.000000001Z"
    assert made["event"]["start"] == "2026-11-20T11:59:59.999999999Z"
    assert made["event"]["duration"] == 2


def test_a_peer_that_commands_is_the_destination_and_one_that_attacks_the_source() -> None:
    """Who opens the traffic follows from the tactic."""
    alert = FINDINGS["burst"]
    assert isinstance(alert, Alert)
    beacon = msgspec.structs.replace(alert, rule=msgspec.structs.replace(alert.rule, attack=["T1071"]))

    assert ecs.document(alert)["source"] == {"address": "10.0.0.9", "ip": "10.0.0.9"}
    assert ecs.document(alert)["destination"] == {"address": "10.0.0.7", "ip": "10.0.0.7"}
    assert ecs.document(beacon)["source"] == {"address": "10.0.0.7", "ip": "10.0.0.7"}
    assert ecs.document(beacon)["destination"] == {"address": "10.0.0.9", "ip": "10.0.0.9"}


def test_an_address_with_a_zone_is_no_ip() -> None:
    """Elasticsearch would refuse the whole document."""
    assert not ecs.is_ip("fe80::1%eth0")
    assert not ecs.is_ip("999.1.1.1")
    assert ecs.is_ip("fe80::1")


def test_an_unknown_technique_has_its_id_alone() -> None:
    """A newer ATT&CK than ours costs the names, not the alert."""
    threat = ecs.document(HOSTILE)["threat"]

    assert threat["technique"]["id"] == ["T9999", "T1046"]
    assert threat["technique"]["name"] == ["Network Service Discovery"]
    assert threat["technique"]["subtechnique"] == {
        "id": ["T9999.999"],
        "reference": ["https://attack.mitre.org/techniques/T9999/999/"],
    }
