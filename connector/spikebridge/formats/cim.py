"""
Splunk's Common Information Model 6: the fields of its data models Alerts and, for alerts, Intrusion Detection.

Fields that a finding doesn't have are left out: the data models then say `unknown`. `user` is one of them.

- `id`, `type` (always `alert`), `app` and `vendor_product`: the finding, and who says so.
- `signature`, `signature_id`, `category`, `subject`: the threat, the rule's id, the rule's category, a line with threat and device.
- `description`: why it fired, in words.
- `severity` (`low`, `medium`, `high`, `critical`) and `severity_id` (0 to 100).
- `dest`, `src`: both ends of the traffic where peers are known, `src` opens it; else only `dest`, the device. Of an incident: its devices.
  `dest_ip`, `src_ip`: their addresses, where they have any.
- `dvc`: the device that fired. `ids_type`: `network` where peers are known, else `host`. `action`: always `allowed`, nothing is blocked
  here; what the rule wishes for is `spike.action`. These three stand in alerts only, and not in those about our own sensing.
- `mitre_technique_id`, `mitre_tactic_id`: ATT&CK. `tenant`, `site`, `rule_tags`: to filter by.
- `start_time`, `end_time`, `created_time`: the first and the last spike, and when the log took the record. The finding's own time is the
  event's.
- `spike`: our own values, named as in the format `ecs`. Evidence is named (log, partition, offsets), never contained.

::

    {
        "id": "0c0a...",
        "type": "alert",
        "signature": "DDoS_Burst",
        "severity": "high",
        "src": "10.0.0.9",
        "dest": "thermostat-7",
        "description": "20 spikes of neurons 40-42 (layer output_3) on thermostat-7 within 960 ms (rule: 20 within 1 s)",
    }
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

import msgspec

from spikebridge import attack
from spikebridge.alerts import SEVERITIES, Alert
from spikebridge.timestamps import rfc3339

if TYPE_CHECKING:
    from collections.abc import Iterable

    from spikebridge.alerts import DeviceInfo, Finding, Incident, RuleInfo

CONTENT_TYPE = "application/json"
OUTWARD_TACTICS = frozenset({"TA0010", "TA0011", "TA0101"})
"""Exfiltration and command and control: the device opens the traffic, in all others the peer does."""

_Json = dict[str, Any]
_encode = msgspec.json.Encoder().encode


def document(finding: Finding) -> _Json:
    """Return the CIM document as plain dicts and lists that belong to the caller."""
    made: _Json = msgspec.json.decode(encode(finding))
    return made


def encode(finding: Finding) -> bytes:
    """Return the CIM document as JSON."""
    return _encode(_of_alert(finding) if isinstance(finding, Alert) else _of_incident(finding))


def _of_alert(alert: Alert) -> _Json:
    device, rule = alert.device, alert.rule
    made = _common(alert, device.id)
    if rule.kind != "health":
        made |= {"ids_type": "network" if alert.peers else "host", "action": "allowed"}
    made |= _filled({"dvc": device.id, "site": device.site}) | _ends(alert)
    made["spike"] = {
        **_spike(rule),
        "count": alert.count,
        "suppressed_before": alert.suppressed_before,
        "neurons": [_filled({"layer": one.layer, "neuron": one.neuron, "count": one.count}) for one in alert.neurons],
        "peers": [{"address": peer.address, "count": peer.count} for peer in alert.peers],
        "peers_total": alert.peers_total,
        "time_source": alert.time_source,
        "revision": {"number": alert.revision, "digest": alert.revision_digest},
        "evidence": {
            "log": alert.log,
            "partition": alert.partition,
            "offsets": [record.offset for record in alert.evidence.records],
            "total": alert.evidence.total,
            "partial": alert.evidence.partial,
        },
        "offset": alert.offset,
        "ordinal": alert.ordinal,
        **_filled({"model_digest": alert.model_digest, "device": _device(device)}),
    }
    return made


def _of_incident(incident: Incident) -> _Json:
    devices = incident.devices
    made = _common(incident, devices[0] if len(devices) == 1 else f"{len(devices)} devices")
    made |= _filled({"dest": devices, "site": incident.site})
    made["spike"] = {
        **_spike(incident.rule),
        "count": incident.version,
        "version": incident.version,
        "revision": {"number": incident.revision, "digest": incident.revision_digest},
        "members": [
            {
                "id": member.id,
                "rule": member.rule,
                "threat": member.threat,
                "severity": member.severity.lower(),
                "device": member.device,
                "time": rfc3339(member.time_ns),
            }
            for member in incident.members
        ],
    }
    return made


def _common(finding: Finding, whom: str) -> _Json:
    rule = finding.rule
    return _filled(
        {
            "id": finding.id,
            "type": "alert",
            "app": "spikebridge",
            "vendor_product": "Spikebridge",
            "signature": rule.threat,
            "signature_id": rule.id,
            "category": rule.category,
            "subject": f"{rule.threat} on {whom}" if whom else rule.threat,
            "description": finding.explanation or rule.description or rule.threat,
            "severity": rule.severity.lower(),
            "severity_id": SEVERITIES[rule.severity],
            "mitre_technique_id": list(dict.fromkeys(rule.attack)),
            "mitre_tactic_id": _tactics(rule.attack),
            "tenant": finding.tenant,
            "rule_tags": rule.tags,
            "start_time": rfc3339(finding.first_ns),
            "end_time": rfc3339(finding.last_ns),
            "created_time": rfc3339(finding.append_ns),
        }
    )


def _ends(alert: Alert) -> _Json:
    """Name the ends of the traffic: the peer that most spikes named, and the device, in the direction of the rule's tactics."""
    device = alert.device
    own = {"": device.id, "_ip": next(filter(_is_ip, device.addresses), "")}
    if not alert.peers:
        return _filled({f"dest{kind}": value for kind, value in own.items()})
    address = alert.peers[0].address
    peer = {"": address, "_ip": address if _is_ip(address) else ""}
    outward = not OUTWARD_TACTICS.isdisjoint(_tactics(alert.rule.attack))
    src, dest = (own, peer) if outward else (peer, own)
    ends = {f"src{kind}": value for kind, value in src.items()} | {f"dest{kind}": value for kind, value in dest.items()}
    return _filled(ends)


def _spike(rule: RuleInfo) -> _Json:
    told = {
        "action": rule.action,
        "confidence": rule.confidence,
        "false_positives": rule.false_positives,
        "references": rule.references,
        "rule_version": rule.digest,
        "rule_date": rule.date,
    }
    return {**_filled(told), "kind": rule.kind, "threshold": rule.count, "window_ns": rule.within_ns}


def _device(device: DeviceInfo) -> _Json:
    if not device.id:
        return {}
    return {**_filled({"class": device.device_class, "owner": device.owner}), "known": device.known}


def _tactics(ids: Iterable[str]) -> list[str]:
    known = [found for found in map(attack.technique, ids) if found is not None]
    return list(dict.fromkeys(tactic.id for found in known for tactic in found.tactics))


def _filled(fields: _Json) -> _Json:
    """Leave out what is empty; 0 is a value."""
    return {name: value for name, value in fields.items() if value not in ("", None, [], {})}


def _is_ip(address: str) -> bool:
    try:
        ip_address(address)
    except ValueError:
        return False
    return "%" not in address
