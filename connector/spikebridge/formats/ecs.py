"""
Elastic Common Schema 9.4: what Elasticsearch, OpenSearch and Kibana's security views read.

`@timestamp` is the finding's own time: that of the spike that crossed (absence: last seen + span; incident: its last alert).
`event.created` is when the log took the record. Own values are under `spike`, wishes for a response among them (`spike.action`):
nothing says that they were carried out. Evidence is named (log, partition, offsets, digests), never contained.

::

    {
        "@timestamp": "2026-11-20T10:00:00.960000000Z",
        "event": {"kind": "alert", "category": ["intrusion_detection"], "type": ["info"], "code": "ddos-burst", "severity": 73},
        "rule": {"id": "ddos-burst", "name": "DDoS_Burst"},
        "host": {"id": "thermostat-7", "name": "thermostat-7"},
        "message": "20 spikes of neurons 40-42 (layer output_3) on thermostat-7 within 960 ms (rule: 20 within 1 s)",
    }
"""

from __future__ import annotations

from functools import lru_cache
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from spikebridge import attack
from spikebridge.alerts import SEVERITIES, Alert
from spikebridge.timestamps import rfc3339

if TYPE_CHECKING:
    from collections.abc import Iterable

    from spikebridge.alerts import DeviceInfo, EvidenceInfo, Finding, Incident, RuleInfo

CONTENT_TYPE = "application/json"
VERSION = "9.4.0"
OUTWARD_TACTICS = frozenset({"TA0010", "TA0011", "TA0101"})
"""Exfiltration and command and control: the device opens the traffic, in all others the peer does."""

_PREPARED_RULES = 4096
_Json = dict[str, Any]
_encode = msgspec.json.Encoder().encode


def document(finding: Finding) -> _Json:
    """Return the ECS document as plain dicts and lists that belong to the caller."""
    made: _Json = msgspec.json.decode(encode(finding))
    return made


def encode(finding: Finding) -> bytes:
    """Return the ECS document as JSON."""
    return _encode(_of_alert(finding) if isinstance(finding, Alert) else _of_incident(finding))


class _Prepared(NamedTuple):
    """What all documents of one rule share. Never handed out: `encode` only reads it."""

    info: RuleInfo
    event: _Json
    rule: _Json
    threat: _Json
    spike: _Json
    outward: bool


_prepared: dict[tuple[str, str], _Prepared] = {}


def _of_alert(alert: Alert) -> _Json:
    prepared = _prepare(alert.rule)
    created, time = rfc3339(alert.append_ns), rfc3339(alert.time_ns)
    peers = [peer.address for peer in alert.peers]
    peer_ips = [address for address in peers if is_ip(address)]
    event = {
        **prepared.event,
        "id": alert.id,
        "dataset": "spikebridge.alert",
        "start": rfc3339(alert.first_ns),
        "end": rfc3339(alert.last_ns),
        "duration": alert.last_ns - alert.first_ns,
        "created": created,
    }
    if peers and alert.rule.kind != "health":
        event["category"] = ["intrusion_detection", "network"]
    made = _common(alert, prepared, time, event)
    device = alert.device
    if device.id:
        made["host"] = _host(device)
    if peers:
        made.update(_flow(peers[0], device, outward=prepared.outward))
    hosts = [device.id, *(address for address in peers if not is_ip(address))]
    made["related"] = _related([*peer_ips, *filter(is_ip, device.addresses)], hosts)
    made["spike"] = _spikes(alert, prepared)
    return made


def _spikes(alert: Alert, prepared: _Prepared) -> _Json:
    made: _Json = {
        **prepared.spike,
        "count": alert.count,
        "suppressed_before": alert.suppressed_before,
        "neurons": [
            {"layer": entry.layer, "count": entry.count}
            if entry.neuron is None
            else {"layer": entry.layer, "neuron": entry.neuron, "count": entry.count}
            for entry in alert.neurons
        ],
        "peers": [{"address": peer.address, "count": peer.count} for peer in alert.peers],
        "peers_total": alert.peers_total,
        "time_source": alert.time_source,
        "group": alert.group,
        "interval": _interval(alert),
        "revision": {"number": alert.revision, "digest": alert.revision_digest},
        "evidence": _evidence(alert.log, alert.partition, alert.evidence),
        "offset": alert.offset,
        "ordinal": alert.ordinal,
    }
    if alert.model_digest:
        made["model_digest"] = alert.model_digest
    device = alert.device
    if device.id:
        made["device"] = {
            "class": device.device_class,
            "site": device.site,
            "owner": device.owner,
            "known": device.known,
        }
    return made


def _of_incident(incident: Incident) -> _Json:
    prepared = _prepare(incident.rule)
    event = {
        **prepared.event,
        "id": incident.id,
        "dataset": "spikebridge.incident",
        "start": rfc3339(incident.first_ns),
        "end": rfc3339(incident.last_ns),
        "duration": incident.last_ns - incident.first_ns,
        "created": rfc3339(incident.append_ns),
    }
    made = _common(incident, prepared, rfc3339(incident.time_ns), event)
    made["related"] = _related([], incident.devices)
    made["spike"] = {
        **prepared.spike,
        "count": incident.version,
        "version": incident.version,
        "group": incident.group,
        "interval": _interval(incident),
        "revision": {"number": incident.revision, "digest": incident.revision_digest},
        "device": {"site": incident.site},
        "members": [
            {
                "id": member.id,
                "rule": member.rule,
                "threat": member.threat,
                "severity": member.severity,
                "device": member.device,
                "time": rfc3339(member.time_ns),
            }
            for member in incident.members
        ],
    }
    return made


def _common(finding: Finding, prepared: _Prepared, time: str, event: _Json) -> _Json:
    made: _Json = {"@timestamp": time, "ecs": _ECS, "event": event, "rule": prepared.rule, "observer": _OBSERVER}
    if finding.explanation:
        made["message"] = event["reason"] = finding.explanation
    if prepared.threat:
        made["threat"] = prepared.threat
    if finding.rule.tags:
        made["tags"] = finding.rule.tags
    made["organization"] = {"id": finding.tenant}
    made["labels"] = {"tenant": finding.tenant}
    return made


_ECS = {"version": VERSION}
_OBSERVER = {"vendor": "Spikebridge", "product": "Spikebridge", "type": "ids"}


def _prepare(info: RuleInfo) -> _Prepared:
    """Prepare a rule once; the comparison keeps two rules of one name and digest apart."""
    key = info.id, info.digest
    prepared = _prepared.get(key)
    if prepared is None or prepared.info != info:
        if len(_prepared) >= _PREPARED_RULES:
            _prepared.clear()
        prepared = _prepared[key] = _Prepared(
            info, _event(info), _rule(info), _threat(info.attack), _spike(info), _outward(info.attack)
        )
    return prepared


def _event(info: RuleInfo) -> _Json:
    """Return the static part; what concerns our own sensing (`health`) is no intrusion."""
    severity = SEVERITIES[info.severity]
    return {
        "kind": "alert",
        "category": ["host"] if info.kind == "health" else ["intrusion_detection"],
        "type": ["info"],
        "module": "spikebridge",
        "code": info.id,
        "action": info.threat,
        "severity": severity,
        "risk_score": float(severity),
        "risk_score_norm": float(severity),
    }


def _rule(info: RuleInfo) -> _Json:
    reference = info.references[0] if info.references else ""
    return _filled(
        {
            "id": info.id,
            "name": info.threat,
            "category": info.category,
            "description": info.description,
            "version": info.digest,
            "reference": reference,
        }
    )


def _spike(info: RuleInfo) -> _Json:
    made = _filled(
        {
            "action": info.action,
            "false_positives": info.false_positives,
            "references": info.references,
            "rule_date": info.date,
        }
    )
    if info.confidence is not None:
        made["confidence"] = info.confidence
    return {**made, "kind": info.kind, "level": info.severity, "threshold": info.count, "window_ns": info.within_ns}


def _threat(ids: list[str]) -> _Json:
    """Return names beside ids, each list without repeats; a technique that isn't in our list has its id alone."""
    if not ids:
        return {}
    known = [found for found in map(attack.technique, ids) if found is not None]
    tactics = dict.fromkeys(tactic for found in known for tactic in found.tactics)
    techniques = dict.fromkeys(attack.parent_of(name) or name for name in ids)
    made: _Json = {"framework": attack.FRAMEWORK, "technique": _technique(techniques)}
    subtechniques = dict.fromkeys(name for name in ids if attack.parent_of(name))
    if subtechniques:
        made["technique"]["subtechnique"] = _technique(subtechniques)
    if tactics:
        made["tactic"] = {"id": [tactic.id for tactic in tactics], "name": [tactic.name for tactic in tactics]}
    return made


def _technique(ids: Iterable[str]) -> _Json:
    listed = list(ids)
    names = [found.name for found in map(attack.technique, listed) if found is not None]
    return _filled({"id": listed, "name": names, "reference": [attack.reference(name) for name in listed]})


def _outward(ids: list[str]) -> bool:
    known = [found for found in map(attack.technique, ids) if found is not None]
    return any(tactic.id in OUTWARD_TACTICS for found in known for tactic in found.tactics)


def _host(device: DeviceInfo) -> _Json:
    made: _Json = {"id": device.id, "name": device.id}
    if device.device_class:
        made["type"] = device.device_class
    if device.site:
        made["geo"] = {"name": device.site}
    if ips := [address for address in device.addresses if is_ip(address)]:
        made["ip"] = ips
    return made


def _flow(peer: str, device: DeviceInfo, *, outward: bool) -> _Json:
    """Name both ends of the traffic: the peer that most spikes named, and the device."""
    own = next(filter(is_ip, device.addresses), device.id)
    ends = _end(own), _end(peer)
    source, destination = ends if outward else ends[::-1]
    return {"source": source, "destination": destination}


def _end(address: str) -> _Json:
    return {"address": address, "ip": address} if is_ip(address) else {"address": address}


def _related(ips: list[str], hosts: list[str]) -> _Json:
    return _filled({"ip": list(dict.fromkeys(ips)), "hosts": [name for name in dict.fromkeys(hosts) if name]})


def _interval(finding: Finding) -> _Json:
    return {"start": rfc3339(finding.interval_start_ns), "length_ns": finding.interval_ns}


def _evidence(log: str, partition: int, evidence: EvidenceInfo) -> _Json:
    return {
        "log": log,
        "partition": partition,
        "offsets": [record.offset for record in evidence.records],
        "digests": [record.sha256 for record in evidence.records],
        "total": evidence.total,
        "partial": evidence.partial,
    }


def _filled(fields: _Json) -> _Json:
    return {name: value for name, value in fields.items() if value}


@lru_cache(65_536)
def is_ip(address: str) -> bool:
    """Say whether Elasticsearch's `ip` type takes an address: a zone (`fe80::1%eth0`) it doesn't."""
    try:
        ip_address(address)
    except ValueError:
        return False
    return "%" not in address
