"""
STIX 2.1 bundles: Identity, Indicator, Attack Pattern, Observed Data, Sighting; Grouping for incidents.

An alert is a Sighting of its rule's Indicator, seen by the device's Identity. Its Observed Data refers to the addresses involved and
to the first and the last record of the evidence as Artifacts (digest and place, never bytes). An incident is a Sighting of its own
rule and a Grouping of its members' Sightings, whose `modified` rises with each version.

Everything is derived, nothing is "now": ids are UUIDv5 in our namespace with the type in the name (those of addresses and Artifacts
in the specification's), the times of Indicators come from the rule's `date`, those of Sightings from the log. An Indicator's id holds the
rule's digest, so that a changed rule is another Indicator. STIX has no pattern for spikes: `pattern_type` is `spikebridge`, see `_pattern`.

::

    {
        "type": "bundle",
        "id": "bundle--...",
        "objects": [
            {"type": "identity", "name": "acme", "identity_class": "organization"},
            {"type": "indicator", "name": "DDoS_Burst", "pattern_type": "spikebridge", "valid_from": "2026-11-01T00:00:00.000Z"},
            {"type": "sighting", "sighting_of_ref": "indicator--...", "where_sighted_refs": ["identity--..."], "count": 1},
        ],
    }
"""

from __future__ import annotations

import uuid
from datetime import date
from functools import lru_cache
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

import msgspec

from spikebridge import attack
from spikebridge.alerts import Alert
from spikebridge.canonical import canonical_json, content_id
from spikebridge.timestamps import rfc3339_ms

if TYPE_CHECKING:
    from spikebridge.alerts import EvidenceRecord, Finding, Incident, RuleInfo

CONTENT_TYPE = "application/stix+json;version=2.1"
SCO_NAMESPACE = uuid.UUID("00abedb4-aa42-466c-9c01-fed23315a9b7")
"""Where the specification puts the ids of observables."""

UNDATED = "2020-01-01T00:00:00.000Z"
"""The time of what has none of its own: identities, techniques, rules without a date."""

_MOST = 999_999_999
_KILL_CHAINS: dict[attack.Matrix, str] = {"enterprise": "mitre-attack", "ics": "mitre-ics-attack"}
_SPEC_VERSION = "2.1"

_Json = dict[str, Any]
_encode = msgspec.json.Encoder().encode


def document(finding: Finding) -> _Json:
    """Return a STIX 2.1 bundle as plain dicts and lists that belong to the caller."""
    made: _Json = msgspec.json.decode(encode(finding))
    return made


def encode(finding: Finding) -> bytes:
    """Return the bundle as JSON."""
    made = _of_alert(finding) if isinstance(finding, Alert) else _of_incident(finding)
    objects = {entry["id"]: entry for entry in made}
    versions = [[name, entry.get("modified", "")] for name, entry in objects.items()]
    return _encode({"type": "bundle", "id": _id("bundle", versions), "objects": list(objects.values())})


def _of_alert(alert: Alert) -> list[_Json]:
    tenant = _identity(alert.tenant, "")
    where = _identity(alert.tenant, alert.device.id) if alert.device.id else tenant
    rule = _of_rule(alert.tenant, alert.rule)
    objects = [tenant, where, *rule]
    observables = _observables(alert)
    sighting = {
        **_dated("sighting", _sighting_id(alert.id), alert.append_ns, alert.append_ns),
        "created_by_ref": tenant["id"],
        "sighting_of_ref": rule[0]["id"],
        "where_sighted_refs": [where["id"]],
        "first_seen": rfc3339_ms(alert.first_ns),
        "last_seen": rfc3339_ms(max(alert.first_ns, alert.last_ns)),
        "count": 1,
        **_described(alert),
    }
    if observables:
        observed = {
            **_dated("observed-data", _id("observed-data", alert.id), alert.append_ns, alert.append_ns),
            "created_by_ref": tenant["id"],
            "first_observed": rfc3339_ms(alert.first_ns),
            "last_observed": rfc3339_ms(max(alert.first_ns, alert.last_ns)),
            "number_observed": min(max(alert.count, 1), _MOST),
            "object_refs": [made["id"] for made in observables],
        }
        sighting["observed_data_refs"] = [observed["id"]]
        objects += [*observables, observed]
    return [*objects, sighting]


def _of_incident(incident: Incident) -> list[_Json]:
    """Refer to the Sightings of the members by their derived ids; who has the alerts has them."""
    tenant = _identity(incident.tenant, "")
    where = [_identity(incident.tenant, device) for device in incident.devices] or [tenant]
    rule = _of_rule(incident.tenant, incident.rule)
    grown_ns = max(incident.append_ns, incident.interval_start_ns) + incident.version * 1_000_000
    sighting = {
        **_dated("sighting", _sighting_id(incident.id), incident.interval_start_ns, grown_ns),
        "created_by_ref": tenant["id"],
        "sighting_of_ref": rule[0]["id"],
        "where_sighted_refs": [identity["id"] for identity in where],
        "first_seen": rfc3339_ms(incident.first_ns),
        "last_seen": rfc3339_ms(max(incident.first_ns, incident.last_ns)),
        "count": min(incident.version, _MOST),
        **_described(incident),
    }
    grouping = {
        **_dated("grouping", _id("grouping", incident.id), incident.interval_start_ns, grown_ns),
        "created_by_ref": tenant["id"],
        "name": incident.rule.threat,
        "context": "suspicious-activity",
        "object_refs": [rule[0]["id"], sighting["id"], *(_sighting_id(member.id) for member in incident.members)],
        **_described(incident),
    }
    return [tenant, *where, *rule, sighting, grouping]


def _described(finding: Finding) -> _Json:
    made: _Json = {"description": finding.explanation} if finding.explanation else {}
    if finding.rule.confidence is not None:
        made["confidence"] = finding.rule.confidence
    if finding.rule.tags:
        made["labels"] = finding.rule.tags
    return made


@lru_cache(8192)
def _identity(tenant: str, device: str) -> _Json:
    """Return the tenant (no device) or one of its devices; never changed once made."""
    return {
        **_fixed("identity", _id("identity", tenant, device)),
        "name": device or tenant,
        "identity_class": "system" if device else "organization",
    }


_rules: dict[tuple[str, str, str], tuple[RuleInfo, list[_Json]]] = {}
_PREPARED_RULES = 4096


def _of_rule(tenant: str, info: RuleInfo) -> list[_Json]:
    """Return a rule's Indicator, its Attack Patterns and what ties them, made once per rule."""
    key = tenant, info.id, info.digest
    held = _rules.get(key)
    if held is None or held[0] != info:
        if len(_rules) >= _PREPARED_RULES:
            _rules.clear()
        held = _rules[key] = info, _rule_objects(tenant, info)
    return held[1]


def _rule_objects(tenant: str, info: RuleInfo) -> list[_Json]:
    since = _since(info.date)
    techniques = list(dict.fromkeys(info.attack))
    made: _Json = {
        **_fixed("indicator", _id("indicator", tenant, info.id, info.digest), since),
        "created_by_ref": _identity(tenant, "")["id"],
        "name": info.threat,
        "indicator_types": ["anomalous-activity"],
        "pattern": _pattern(info),
        "pattern_type": "spikebridge",
        "pattern_version": "1",
        "valid_from": since,
    }
    if info.description:
        made["description"] = info.description
    if info.confidence is not None:
        made["confidence"] = info.confidence
    if info.tags:
        made["labels"] = info.tags
    if info.references:
        made["external_references"] = [{"source_name": "reference", "url": url} for url in info.references]
    if phases := [phase for name in techniques for phase in _phases(name)]:
        made["kill_chain_phases"] = phases
    objects = [made]
    for name in techniques:
        pattern = _attack_pattern(name)
        tie = _fixed("relationship", _id("relationship", made["id"], "indicates", pattern["id"]), since)
        ends = {"source_ref": made["id"], "target_ref": pattern["id"], "created_by_ref": made["created_by_ref"]}
        objects += [pattern, {**tie, "relationship_type": "indicates", **ends}]
    return objects


def _pattern(info: RuleInfo) -> str:
    """Write a rule's condition: `event_count >= 20 within 1000000000 ns of rule 'ddos-burst'`, quotes in names doubled."""
    within = f" within {info.within_ns} ns" if info.within_ns else ""
    name = info.id.replace("'", "''")
    return f"{info.kind} >= {info.count}{within} of rule '{name}'"


@lru_cache(1024)
def _attack_pattern(name: str) -> _Json:
    found = attack.technique(name)
    source = _KILL_CHAINS[found.matrix] if found else "mitre-attack"
    made = {
        **_fixed("attack-pattern", _id("attack-pattern", name)),
        "name": found.name if found else name,
        "external_references": [{"source_name": source, "external_id": name, "url": attack.reference(name)}],
    }
    if phases := _phases(name):
        made["kill_chain_phases"] = phases
    return made


def _phases(name: str) -> list[_Json]:
    found = attack.technique(name)
    if found is None:
        return []
    chain = _KILL_CHAINS[found.matrix]
    return [{"kill_chain_name": chain, "phase_name": tactic.name.lower().replace(" ", "-")} for tactic in found.tactics]


def _observables(alert: Alert) -> list[_Json]:
    """Return addresses of device and peers that are IP, then the first and the last record of the evidence."""
    named = [*alert.device.addresses, *(peer.address for peer in alert.peers)]
    found = [made for made in map(_address, dict.fromkeys(named)) if made is not None]
    records = alert.evidence.records
    found += [_artifact(alert, record) for record in [*records[:1], *records[1:][-1:]]]
    return list({made["id"]: made for made in found}.values())


@lru_cache(65_536)
def _address(text: str) -> _Json | None:
    try:
        kind = f"ipv{ip_address(text).version}-addr"
    except ValueError:
        return None
    return (
        None
        if "%" in text
        else {"type": kind, "spec_version": _SPEC_VERSION, "id": _observable_id(kind, value=text), "value": text}
    )


def _artifact(alert: Alert, record: EvidenceRecord) -> _Json:
    hashes = {"SHA-256": record.sha256}
    return {
        "type": "artifact",
        "spec_version": _SPEC_VERSION,
        "id": _observable_id("artifact", hashes=hashes),
        "mime_type": "application/octet-stream",
        "url": f"urn:spikebridge:{content_id(alert.log)}:{alert.partition}:{record.offset}",
        "hashes": hashes,
    }


def _observable_id(kind: str, **contributing: Any) -> str:
    return f"{kind}--{uuid.uuid5(SCO_NAMESPACE, canonical_json(contributing).decode())}"


def _sighting_id(finding_id: str) -> str:
    return _id("sighting", finding_id)


def _id(kind: str, *parts: Any) -> str:
    return f"{kind}--{content_id('stix', kind, *parts)}"


def _fixed(kind: str, name: str, since: str = UNDATED) -> _Json:
    return {"type": kind, "spec_version": _SPEC_VERSION, "id": name, "created": since, "modified": since}


def _dated(kind: str, name: str, created_ns: int, modified_ns: int) -> _Json:
    return {**_fixed(kind, name, rfc3339_ms(created_ns)), "modified": rfc3339_ms(modified_ns)}


def _since(text: str) -> str:
    """Return a rule's date as a time; what is no date counts as undated."""
    try:
        return f"{date.fromisoformat(text).isoformat()}T00:00:00.000Z"
    except ValueError:
        return UNDATED
