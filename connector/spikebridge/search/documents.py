"""
Findings as actions of a bulk request: which index, which operation, which document. Pure.

An alert is created under its own id, so a repeat is refused with 409 and the first copy stays. An incident is indexed with its version as
external version, so an older one never replaces a newer one.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from spikebridge.alerts import Alert, Incident, read_finding
from spikebridge.formats import ecs
from spikebridge.timestamps import rfc3339

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from spikebridge.alerts import AlertEntry, Finding
    from spikebridge.search.templates import Mode

LONGEST_ID_BYTES = 512
"""A server refuses a whole bulk request for one id that is longer."""

_DAY_LETTERS = len("2026-11-20")
_encode = msgspec.json.Encoder().encode


class Action(NamedTuple):
    """One entry of a bulk request: its two lines, and the index or stream that it is for."""

    id: str
    target: str
    lines: bytes


def alert_index(tenant: str, interval_start_ns: int) -> str:
    """
    Name the index of an alert: by the UTC day on which its suppression interval starts, which is part of its id.

    An id is unique within an index only, so whoever writes the alert again must come to the same one.
    """
    return f"spikebridge-alerts-{tenant}-{rfc3339(interval_start_ns)[:_DAY_LETTERS].replace('-', '.')}"


def alert_stream(tenant: str) -> str:
    """Name the data stream of a tenant's alerts, as the scheme TYPE-DATASET-NAMESPACE has it."""
    return f"logs-spikebridge.alert-{tenant}"


def incident_index(tenant: str) -> str:
    """Name the index of a tenant's incidents: one, because an incident changes after the day on which it began."""
    return f"spikebridge-incidents-{tenant}"


def actions(findings: Sequence[AlertEntry], mode: Mode) -> tuple[list[Action], dict[str, str]]:
    """Return the actions in order, and by id why an entry can't become one."""
    made: list[Action] = []
    refused: dict[str, str] = {}
    for entry in findings:
        try:
            finding = read_finding(entry.body)
        except msgspec.MsgspecError as error:
            refused[entry.id] = f"no finding that this version can read: {error}"
            continue
        problem = next(_problems(finding), "")
        if problem:
            refused[entry.id] = problem
        else:
            made.append(_alert(finding, mode) if isinstance(finding, Alert) else _incident(finding))
    return made, refused


def _problems(finding: Finding) -> Iterator[str]:
    """Yield what would make a name or a request that isn't ours: an alert log on a network may hold what others wrote."""
    if not re.fullmatch(r"[a-z0-9_]{1,32}", finding.tenant):
        yield "its tenant can't be part of an index's name: expected a-z, 0-9 and `_`, at most 32 letters"
    if not 0 < len(finding.id.encode()) <= LONGEST_ID_BYTES:
        yield f"its id is empty or longer than {LONGEST_ID_BYTES} bytes"
    if isinstance(finding, Incident) and finding.version < 1:
        yield f"expected an incident's version to be 1 or more, found {finding.version}"


def _alert(alert: Alert, mode: Mode) -> Action:
    document = ecs.encode(alert)
    if mode == "stream":
        index = alert_stream(alert.tenant)
        stream = {"type": "logs", "dataset": "spikebridge.alert", "namespace": alert.tenant}
        document = document[:-1] + b',"data_stream":' + _encode(stream) + b"}"
    else:
        index = alert_index(alert.tenant, alert.interval_start_ns)
    return Action(alert.id, index, _lines({"create": {"_index": index, "_id": alert.id}}, document))


def _incident(incident: Incident) -> Action:
    index = incident_index(incident.tenant)
    action = {"_index": index, "_id": incident.id, "version": incident.version, "version_type": "external"}
    return Action(incident.id, index, _lines({"index": action}, ecs.encode(incident)))


def _lines(action: dict[str, dict[str, object]], document: bytes) -> bytes:
    return _encode(action) + b"\n" + document + b"\n"
