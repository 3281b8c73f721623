"""Findings of every kind, as the stages make them: what formats, golden files and sinks are tried with."""

from __future__ import annotations

import msgspec

from spikebridge.alerts import (
    Alert,
    DeviceInfo,
    EvidenceInfo,
    EvidenceRecord,
    Finding,
    Incident,
    Member,
    NeuronCount,
    PeerCount,
    RuleInfo,
    alert_id,
    incident_id,
)
from spikebridge.canonical import sha256
from spikebridge.explanation import explain, explain_incident
from spikebridge.mapping.match import LOG_GAP

SECOND = 1_000_000_000
MINUTE = 60 * SECOND
NOON_NS = 1_795_176_000 * SECOND
"""2026-11-20T12:00:00Z."""
LOG = "3f1c9c6e-7d7c-4a58-9f0e-0c9f6b1f6d11"
REVISION = sha256(b"a revision")

THERMOSTAT = DeviceInfo(
    id="thermostat-7", device_class="thermostat", site="hall-1", addresses=["10.0.0.7"], owner="facility", known=True
)
LOCK = DeviceInfo(id="lock-2", device_class="lock", site="hall-1", addresses=["fd00::2", "lock-2.plant.example"], known=True)
STRANGER = DeviceInfo(id="sensor_01")

DDOS = RuleInfo(
    id="ddos-burst",
    kind="event_count",
    threat="DDoS_Burst",
    severity="High",
    digest=sha256(b"ddos-burst"),
    action="Block_IP",
    category="Network Anomaly",
    confidence=80,
    description="The device is flooded, or floods others.",
    false_positives=["A firmware update of many devices at once"],
    references=["https://attack.mitre.org/techniques/T1498/001/"],
    tags=["network"],
    attack=["T1498.001"],
    date="2026-11-01",
    count=20,
    within_ns=SECOND,
)
COUNTED_DOWN = RuleInfo(
    id="c2-wake-up", kind="event_count", threat="C2_Wake_Up", severity="Critical", digest="", attack=["T1071"]
)
SILENCE = RuleInfo(
    id="lock-silent",
    kind="absence",
    threat="Device_Silent",
    severity="Medium",
    digest=sha256(b"lock-silent"),
    attack=["T0804", "T1499"],
    within_ns=15 * MINUTE,
    suppress_ns=MINUTE,
)
RECRUITED = RuleInfo(
    id="botnet-recruitment",
    kind="temporal_ordered",
    threat="Botnet_Recruitment",
    severity="Critical",
    digest=sha256(b"botnet-recruitment"),
    attack=["T1584.005", "T1595.001"],
    tags=["botnet"],
    date="2026-11-01",
    within_ns=30 * MINUTE,
    suppress_ns=30 * MINUTE,
)


def record(offset: int, append_ns: int, size: int = 420) -> EvidenceRecord:
    """Return a record of an evidence list, whose digest is that of its offset."""
    return EvidenceRecord(offset=offset, append_ns=append_ns, size=size, sha256=sha256(str(offset).encode()))


def bare(rule: RuleInfo, device: DeviceInfo, time_ns: int = NOON_NS) -> Alert:
    """Return an alert with nothing in it that may be left out."""
    start_ns = time_ns // MINUTE * MINUTE
    group = [device.id or "partition-0"]
    return Alert(
        id=alert_id("acme", LOG, 0, rule.id, group, (start_ns, MINUTE)),
        tenant="acme",
        log=LOG,
        partition=0,
        offset=1_000,
        ordinal=0,
        revision=7,
        revision_digest=REVISION,
        rule=rule,
        device=device,
        group=group,
        time_ns=time_ns,
        time_source="device",
        append_ns=time_ns,
        interval_start_ns=start_ns,
        interval_ns=MINUTE,
        first_ns=time_ns,
        last_ns=time_ns,
        count=1,
    )


def _burst() -> Alert:
    time_ns = NOON_NS + 7_960_000_000
    return msgspec.structs.replace(
        bare(DDOS, THERMOSTAT, time_ns),
        append_ns=time_ns + 12_345_678,
        first_ns=time_ns - 960_000_000,
        last_ns=time_ns,
        count=20,
        suppressed_before=12,
        neurons=[NeuronCount(layer="output_3", neuron=neuron, count=count) for neuron, count in ((42, 11), (40, 5), (41, 4))],
        peers=[PeerCount(address=peer, count=count) for peer, count in (("10.0.0.9", 12), ("2001:db8::1", 6), ("c2.example", 2))],
        peers_total=3,
        model_digest="00112233aabbccdd",
        evidence=EvidenceInfo(
            records=[record(998, time_ns - SECOND // 2), record(1_000, time_ns + 12_345_678)],
            total=2,
            skip=3,
            clock_ns=time_ns - 960_000_000,
        ),
    )


def _single() -> Alert:
    return msgspec.structs.replace(
        bare(COUNTED_DOWN, STRANGER),
        time_source="log",
        neurons=[NeuronCount(layer="output_3", neuron=None, count=1)],
        evidence=EvidenceInfo(records=[record(1_000, NOON_NS, 71)], total=1),
    )


def _absence() -> Alert:
    return msgspec.structs.replace(
        bare(SILENCE, LOCK),
        time_source="log",
        append_ns=NOON_NS + 3_200_000_000,
        first_ns=NOON_NS - 15 * MINUTE,
        count=0,
        evidence=EvidenceInfo(records=[record(11, NOON_NS - 15 * MINUTE), record(1_000, NOON_NS + 3_200_000_000)], total=2),
    )


def _log_gap() -> Alert:
    return msgspec.structs.replace(
        bare(LOG_GAP, DeviceInfo(id="")),
        time_source="log",
        first_ns=NOON_NS - 12 * MINUTE - 3 * SECOND,
        count=0,
        evidence=EvidenceInfo(records=[record(999, NOON_NS - 12 * MINUTE - 3 * SECOND), record(1_000, NOON_NS)], total=2),
    )


def _partial() -> Alert:
    alert = _burst()
    many = EvidenceInfo(records=[record(100, NOON_NS, 8_192), record(1_000, NOON_NS, 8_192)], total=41, partial=True)
    return msgspec.structs.replace(alert, suppressed_before=0, peers=[], peers_total=0, evidence=many)


def _incident() -> Incident:
    steps = [("ddos-burst", "DDoS_Burst", "High", "thermostat-7"), ("lock-silent", "Device_Silent", "Medium", "thermostat-7")]
    steps.append(("port-scan", "Port_Scan", "High", "lock-2"))
    members = [
        Member(
            id=alert_id("acme", LOG, 0, rule, [device], (NOON_NS + at * MINUTE, MINUTE)),
            rule=rule,
            threat=threat,
            severity="High" if severity == "High" else "Medium",
            device=device,
            time_ns=NOON_NS + at * MINUTE + 5 * SECOND,
        )
        for at, (rule, threat, severity, device) in enumerate(steps)
    ]
    interval = (NOON_NS, 30 * MINUTE)
    return Incident(
        id=incident_id("acme", RECRUITED.id, ["hall-1"], interval),
        version=3,
        tenant="acme",
        revision=7,
        revision_digest=REVISION,
        rule=RECRUITED,
        site="hall-1",
        group=["hall-1"],
        time_ns=members[-1].time_ns,
        append_ns=members[-1].time_ns + SECOND,
        first_ns=members[0].time_ns,
        last_ns=members[-1].time_ns,
        interval_start_ns=interval[0],
        interval_ns=interval[1],
        devices=["lock-2", "thermostat-7"],
        members=members,
    )


def explained(finding: Finding) -> Finding:
    """Return the finding with its explanation."""
    text = explain(finding) if isinstance(finding, Alert) else explain_incident(finding)
    return msgspec.structs.replace(finding, explanation=text)


FINDINGS: dict[str, Finding] = {
    "burst": explained(_burst()),
    "single": explained(_single()),
    "absence": explained(_absence()),
    "log_gap": explained(_log_gap()),
    "partial": explained(_partial()),
    "incident": explained(_incident()),
}

MINIMAL = bare(msgspec.structs.replace(COUNTED_DOWN, attack=[]), STRANGER)

_HOSTILE = "\x1b[2J\x00\n\u202eevil\"'\\</script>{{x}}%s"
HOSTILE = msgspec.structs.replace(
    _burst(),
    device=msgspec.structs.replace(
        THERMOSTAT, id=_HOSTILE, site=_HOSTILE, device_class=_HOSTILE, addresses=[_HOSTILE, "fe80::1%eth0"]
    ),
    rule=msgspec.structs.replace(DDOS, threat=_HOSTILE, action=_HOSTILE, attack=["T9999.999", "T1046"], date="soon"),
    peers=[PeerCount(address=_HOSTILE, count=19), PeerCount(address="999.1.1.1", count=1)],
    neurons=[NeuronCount(layer=_HOSTILE, neuron=42, count=20)],
)
