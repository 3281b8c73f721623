"""Entries of the alert log as HEC events, and events as batches: bytes from values, no sockets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from spikebridge.alerts import Alert, read_finding
from spikebridge.formats import cim

if TYPE_CHECKING:
    from spikebridge.alerts import AlertEntry

ID_FIELD = "spikebridge_id"
VERSION_FIELD = "spikebridge_version"
"""Only incidents have one: of two events with one id the higher is the newer."""

_US_PER_S = 1_000_000
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Labels:
    """What every event of a sink carries beside its time; an empty `index` leaves it to the token."""

    index: str
    source: str
    sourcetype: str
    host: str


class Event(NamedTuple):
    """One event, as it is sent; the id is that of its entry."""

    id: str
    body: bytes


def event_of(entry: AlertEntry, labels: Labels) -> Event:
    """Return an entry as an event; `msgspec.MsgspecError` if it is no finding that this version can read."""
    finding = read_finding(entry.body)
    alert = isinstance(finding, Alert)
    envelope = {
        "time": msgspec.Raw(seconds(finding.time_ns)),
        "host": labels.host,
        "source": labels.source,
        "sourcetype": f"{labels.sourcetype}:{'alert' if alert else 'incident'}",
        "event": msgspec.Raw(cim.encode(finding)),
        "fields": {ID_FIELD: finding.id} if alert else {ID_FIELD: finding.id, VERSION_FIELD: entry.version},
    }
    if labels.index:
        envelope["index"] = labels.index
    return Event(entry.id, _encode(envelope))


def seconds(time_ns: int) -> bytes:
    """Write a time in seconds with six decimals, which a float would not keep."""
    us = abs(time_ns) // 1_000
    return f"{'-' if time_ns < 0 else ''}{us // _US_PER_S}.{us % _US_PER_S:06d}".encode()


def halves(batch: list[Event]) -> tuple[list[Event], list[Event]]:
    """Cut a batch of two or more in two."""
    middle = len(batch) // 2
    return batch[:middle], batch[middle:]
