"""
Why an alert exists, in one sentence whose numbers are those of its evidence.

Integer arithmetic only: who computes the same alert writes the same sentence. Names and addresses come from senders, so
what a terminal would obey in them is written as an escape.

::

    20 spikes of neurons 40-42 (layer output_3) on thermostat-7 within 960 ms (rule: 20 within 1 s), from 3 peers,
    most from 10.0.0.9 (12); 12 more records met the rule in the minute before
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from spikebridge.timestamps import rfc3339_ms

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spikebridge.alerts import Alert, Incident, NeuronCount

_UNITS = ((1_000_000_000, "s"), (1_000_000, "ms"), (1_000, "us"))
_LONG_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))
_MINUTE = 60_000_000_000
_NAMED = 3
# Written out, not asked of unicodedata: a newer Python must not write another sentence.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]")


def explain(alert: Alert, model: str = "") -> str:
    """Say why an alert was raised; reads every field but `explanation`. `model` is what made spikes of the device's raw ones."""
    kind = alert.rule.kind
    if kind == "absence":
        return _absence(alert)
    if kind == "health":
        return _health(alert)
    return _event_count(alert, model)


def explain_incident(incident: Incident) -> str:
    """Say which alerts an incident holds; threats are those of the members it lists."""
    rule = incident.rule
    threats = list(dict.fromkeys(member.threat for member in incident.members))
    joint = ", then " if rule.kind == "temporal_ordered" else ", "
    listed = "" if len(incident.members) == incident.version else f" (of the first {len(incident.members)})"
    devices = ""
    if incident.devices:
        devices = f" on {_number(len(incident.devices), 'device')} ({_some([shown(name) for name in incident.devices])})"
    site = f" at site {shown(incident.site)}" if incident.site else ""
    least = f" >= {rule.count}" if rule.kind == "value_count" else ""
    return (
        f"{_number(incident.version, 'alert')}{devices}{site} {_spread(incident.last_ns - incident.first_ns)}: "
        f"{_some([shown(threat) for threat in threats], joint)}{listed} (rule: {rule.kind}{least} within {duration(rule.within_ns)})"
    )


def shown(text: str) -> str:
    """Escape control, direction and invisible characters."""
    return _UNSAFE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def duration(nanoseconds: int) -> str:
    """Write a length of time for reading: two decimals below a minute, two units from there on, halves up."""
    if nanoseconds >= _MINUTE:
        return _long((nanoseconds + 500_000_000) // 1_000_000_000)
    for size, unit in _UNITS:
        if nanoseconds >= size:
            whole, hundredths = divmod((nanoseconds * 100 + size // 2) // size, 100)
            decimals = f".{hundredths:02d}".rstrip("0") if hundredths else ""
            return f"{whole}{decimals} {unit}"
    return f"{nanoseconds} ns"


def _long(seconds: int) -> str:
    at = next(at for at, (size, _) in enumerate(_LONG_UNITS) if seconds >= size)
    parts = []
    for size, unit in _LONG_UNITS[at : at + 2]:
        number, seconds = divmod(seconds, size)
        if number:
            parts.append(f"{number} {unit}")
    return " ".join(parts)


def _event_count(alert: Alert, model: str) -> str:
    rule = alert.rule
    needed = f"{rule.count} within {duration(rule.within_ns)}" if rule.count > 1 else "each spike"
    spread = f" {_spread(alert.last_ns - alert.first_ns)}" if alert.count > 1 else ""
    text = f"{_number(alert.count, 'spike')}{_of_neurons(alert.neurons)} on {shown(alert.device.id)}{spread} (rule: {needed}){_from_peers(alert)}"
    if model:
        text += f"; as model {shown(model)} read its raw spikes"
    if alert.time_source == "log":
        text += "; times are those of the log: the device sent none, or its clock was out of bounds"
    return text + _suppressed(alert)


def _absence(alert: Alert) -> str:
    noticed = duration(alert.append_ns - alert.time_ns) if alert.append_ns > alert.time_ns else ""
    return (
        f"no record of any kind from {shown(alert.device.id)} for {duration(alert.time_ns - alert.first_ns)} "
        f"since {rfc3339_ms(alert.first_ns)} (rule: {duration(alert.rule.within_ns)})"
        + (f", noticed {noticed} later" if noticed else "")
        + _suppressed(alert)
    )


def _health(alert: Alert) -> str:
    place = f"partition {alert.partition} of log {shown(alert.log)}"
    match alert.rule.id:
        case "log_gap" if alert.time_ns > alert.first_ns:
            text = f"no records in {place} for {duration(alert.time_ns - alert.first_ns)} since {rfc3339_ms(alert.first_ns)}"
        case "log_gap":
            text = f"records before offset {alert.offset} of {place} are gone: matching began anew there"
        case "log_clock":
            text = f"append times of {place} fell by {duration(alert.last_ns - alert.time_ns)} at offset {alert.offset}"
        case "crowd":
            text = (
                f"more devices outside the inventory than are let in, in {place} within {duration(alert.interval_ns)} "
                f"from {rfc3339_ms(alert.interval_start_ns)} on: later ones were refused"
            )
        case _:
            text = f"{shown(alert.rule.description or alert.rule.threat)} ({place})"
    return text + _suppressed(alert)


def _suppressed(alert: Alert) -> str:
    more = alert.suppressed_before
    if not more:
        return ""
    before = "minute" if alert.interval_ns == _MINUTE else duration(alert.interval_ns)
    return f"; {_number(more, 'more record')} met the rule in the {before} before"


def _of_neurons(neurons: Sequence[NeuronCount]) -> str:
    """Name the neurons that spiked, by layer, neighbours as ranges."""
    by_layer: dict[str, set[int]] = {}
    summaries = []
    for entry in neurons:
        if entry.neuron is None:
            summaries.append(f"layer {shown(entry.layer)}")
        else:
            by_layer.setdefault(entry.layer, set()).add(entry.neuron)
    parts = sorted(summaries)
    for layer, found in sorted(by_layer.items()):
        where = f" (layer {shown(layer)})" if layer else ""
        parts.append(f"{'neurons' if len(found) > 1 else 'neuron'} {_ranges(sorted(found))}{where}")
    return f" of {', '.join(parts)}" if parts else ""


def _ranges(numbers: list[int]) -> str:
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1] = [runs[-1][0], number]
        else:
            runs.append([number])
    return ", ".join("-".join(map(str, run)) for run in runs)


def _from_peers(alert: Alert) -> str:
    if not alert.peers:
        return ""
    top = alert.peers[0]
    if alert.peers_total == 1:
        part = f"{top.count} of them " if top.count < alert.count else ""
        return f", {part}from {shown(top.address)}"
    return f", from {alert.peers_total} peers, most from {shown(top.address)} ({top.count})"


def _spread(nanoseconds: int) -> str:
    return f"within {duration(nanoseconds)}" if nanoseconds > 0 else "at the same time"


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _some(names: Sequence[str], joint: str = ", ") -> str:
    """Join the first names and count the others."""
    rest = len(names) - _NAMED
    return joint.join(names[:_NAMED]) + (f" and {rest} more" if rest > 0 else "")
