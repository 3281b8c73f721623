"""The tests that mapping files carry: their spikes go through the engine, and exactly what they expect must come out. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from spikebridge.alerts import Alert, DeviceInfo
from spikebridge.mapping.engine import alerts_of
from spikebridge.mapping.rules import Device
from spikebridge.mapping.scenario import records_of, stretches
from spikebridge.units import format_duration

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from spikebridge.alerts import Finding, Incident
    from spikebridge.errors import Problem
    from spikebridge.mapping.load import Case
    from spikebridge.mapping.model import ExpectModel, TestDeviceModel, TestModel
    from spikebridge.mapping.rules import RuleSet

    Correlate = Callable[[RuleSet, Sequence[Alert]], Sequence[Incident]]

_SHOWN = 5


class Trial(NamedTuple):
    """What one test gave: problems (none if it holds) and the rules that spoke in it."""

    problems: list[Problem]
    spoke: frozenset[str]


def run_case(case: Case, rule_set: RuleSet, correlate: Correlate) -> Trial:
    """Run one test of a file under all rules; only findings of the file's own rules are looked at."""
    try:
        findings = _findings(case.model, rule_set, correlate)
    except ValueError as error:
        return Trial([case.problem(str(error), ("spikes",))], frozenset())
    own = [finding for finding in findings if finding.rule.id in case.rules]
    problems = [
        case.problem(f'test "{case.model.name}": expected a finding with {_told(expected)}; found {_shown(own)}', ("expect", at))
        for at, expected in enumerate(case.model.expect)
        if not any(_meets(finding, expected) for finding in own)
    ]
    surplus = [finding for finding in own if not any(_meets(finding, expected) for expected in case.model.expect)]
    if surplus:
        problems.append(case.problem(f'test "{case.model.name}": not expected: {_shown(surplus)}', ("expect",)))
    return Trial(problems, frozenset(finding.rule.id for finding in own))


def _findings(test: TestModel, rule_set: RuleSet, correlate: Correlate) -> list[Finding]:
    devices = _devices(test)
    placed = msgspec.structs.replace(
        rule_set,
        devices=sorted(devices, key=lambda device: device.info.id),
        models=msgspec.UNSET,  # tests are spikes of outputs
    )
    records = records_of(stretches(test, [device.info.id for device in devices]), test.at)
    alerts = [raised.alert for raised in alerts_of(placed, records).alerts]
    latest = {incident.id: incident for incident in correlate(placed, alerts)}
    return [*alerts, *latest.values()]


def _devices(test: TestModel) -> list[Device]:
    models = ([test.device] if test.device else []) + test.devices
    found = [_device(model) for model in models] or [Device(info=DeviceInfo(id="test-device", known=True))]
    known = {device.info.id for device in found}
    if len(known) < len(found):
        raise ValueError("expected each device of the test once")
    for one in test.spikes:
        if one.device and one.device not in known:
            raise ValueError(f'the device "{one.device}" is not among the test\'s devices: {", ".join(sorted(known))}')
    return found


def _device(model: TestDeviceModel) -> Device:
    info = DeviceInfo(id=model.id, device_class=model.class_, site=model.site, addresses=model.addresses, known=True)
    return Device(info=info, talks_to=sorted(set(model.talks_to)))


def _meets(finding: Finding, expected: ExpectModel) -> bool:
    said = _facts(finding)
    asked = {name: getattr(expected, name) for name in expected.model_fields_set}
    on = [finding.device.id] if isinstance(finding, Alert) else finding.devices
    return all(value in on if name == "device" else value == said[name] for name, value in asked.items())


def _facts(finding: Finding) -> dict[str, object]:
    alert = isinstance(finding, Alert)
    return {
        "rule": finding.rule.id,
        "kind": "alert" if alert else "incident",
        "threat_type": finding.rule.threat,
        "severity": finding.rule.severity,
        "action": finding.rule.action,
        "siem_category": finding.rule.category,
        "site": finding.device.site if isinstance(finding, Alert) else finding.site,
        "count": finding.count if isinstance(finding, Alert) else finding.version,
    }


def _told(expected: ExpectModel) -> str:
    asked = (f"{name} {getattr(expected, name)}" for name in type(expected).model_fields if name in expected.model_fields_set)
    return ", ".join(asked) or "anything"


def _shown(findings: Sequence[Finding]) -> str:
    if not findings:
        return "none"
    begin_ns = min(finding.time_ns for finding in findings) // 86_400_000_000_000 * 86_400_000_000_000
    shown = [_line(finding, begin_ns) for finding in findings[:_SHOWN]]
    return "; ".join(shown) + (f"; and {len(findings) - _SHOWN} more" if len(findings) > _SHOWN else "")


def _line(finding: Finding, begin_ns: int) -> str:
    facts = _facts(finding)
    on = ", ".join(finding.devices) if not isinstance(finding, Alert) else finding.device.id
    after = format_duration((finding.time_ns - begin_ns) // 1_000_000 * 1_000_000)
    return f"{facts['rule']} ({facts['kind']}, {facts['severity']}, count {facts['count']}, {on}, after {after})"
