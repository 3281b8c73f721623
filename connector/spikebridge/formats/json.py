"""
Our own shape, for people and small programs: every field of the finding, with times and durations written out.

`..._ns` loses its ending: times are RFC 3339, durations read as in a mapping (`1m`, `1s 500ms`). A time that isn't set is left out.

::

    {
        "kind": "alert",
        "id": "0c0a...",
        "tenant": "acme",
        "time": "2026-11-20T10:00:00.960000000Z",
        "count": 20,
        "rule": {"id": "ddos-burst", "threat": "DDoS_Burst", "severity": "High", "count": 20, "within": "1s"},
        "device": {"id": "thermostat-7", "class": "thermostat", "site": "hall"},
    }
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from spikebridge.timestamps import rfc3339
from spikebridge.units import format_duration

if TYPE_CHECKING:
    from spikebridge.alerts import Finding

CONTENT_TYPE = "application/json"
DURATIONS = frozenset({"interval_ns", "suppress_ns", "within_ns"})
OPTIONAL_TIMES = frozenset({"clock_ns"})

_Json = dict[str, Any]
_encode = msgspec.json.Encoder().encode


def document(finding: Finding) -> _Json:
    """Return our own readable shape: every field of the finding, times and durations written out."""
    made: _Json = _readable(msgspec.to_builtins(finding))
    return made


def encode(finding: Finding) -> bytes:
    """Return the readable shape as JSON."""
    return _encode(document(finding))


def _readable(value: Any) -> Any:
    if isinstance(value, list):
        return [_readable(item) for item in value]
    if not isinstance(value, dict):
        return value
    made = {}
    for name, item in value.items():
        if name in DURATIONS:
            made[name.removesuffix("_ns")] = format_duration(item)
        elif not name.endswith("_ns"):
            made[name] = _readable(item)
        elif item or name not in OPTIONAL_TIMES:
            made[name.removesuffix("_ns")] = rfc3339(item)
    return made
