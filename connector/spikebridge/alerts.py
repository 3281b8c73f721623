"""
What an analyst sees: alerts, incidents and the evidence behind them.

An alert is integers, texts and lists of them. Nothing in it comes from a clock, a look-up or a batch border,
so whoever computes it computes the same bytes.
"""

from __future__ import annotations

from itertools import takewhile
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol, get_args

import msgspec
from msgspec import UNSET, UnsetType

from spikebridge.canonical import content_id
from spikebridge.errors import SchemaError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Severity = Literal["Low", "Medium", "High", "Critical"]
SEVERITIES: dict[Severity, int] = {"Low": 21, "Medium": 47, "High": 73, "Critical": 99}
"""Each name with its number from 0 to 100."""

EVIDENCE_BYTES = 64 * 1024
"""More than this is cut to the first and the last record, and the alert says `partial`."""

MEMBERS_LISTED = 1_000

RuleKind = Literal["event_count", "absence", "health", "value_count", "temporal", "temporal_ordered"]


class RuleInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What an alert says of the rule that made it: copied in, so that the alert can be read alone."""

    id: str
    kind: RuleKind
    threat: str
    severity: Severity
    digest: str
    action: str = ""
    category: str = ""
    confidence: int | None = None
    description: str = ""
    false_positives: list[str] = []
    references: list[str] = []
    tags: list[str] = []
    attack: list[str] = []
    date: str = ""
    count: int = 1
    within_ns: int = 0
    suppress_ns: int = 60_000_000_000


class DeviceInfo(msgspec.Struct, frozen=True, kw_only=True, rename={"device_class": "class"}):
    """The device as the inventory of the alert's revision has it; `known` is false for one it doesn't list."""

    id: str
    device_class: str = ""
    site: str = ""
    addresses: list[str] = []
    owner: str = ""
    known: bool = False


class NeuronCount(msgspec.Struct, frozen=True, kw_only=True):
    """Spikes of one neuron among those that counted; `neuron` is None for a summary of a whole layer."""

    layer: str
    neuron: int | None
    count: int


class PeerCount(msgspec.Struct, frozen=True, kw_only=True):
    """Spikes that named this peer among those that counted."""

    address: str
    count: int


class EvidenceRecord(msgspec.Struct, frozen=True, kw_only=True):
    """
    One record of the spike log whose spikes counted; `append_ns` is the effective one: append times never fall.

    `lean` is the SHA-256 of what travels in its place: the frame without the evidence of a network, which had no room.
    """

    offset: int
    append_ns: int
    size: int
    sha256: str
    lean: str | UnsetType = UNSET


class EvidenceInfo(msgspec.Struct, frozen=True, kw_only=True):
    """
    Where the counted spikes lie; the bytes travel beside the alert (`AlertEntry.evidence`), one for each of `records`.

    `total`: how many records there were; with `partial` only the first and the last are listed, and bytes over the limit are left out.
    `skip`: the rule's spikes at the beginning of the first record that did not count any more.
    `clock_ns`: the window's time at the first spike that counted.
    """

    records: list[EvidenceRecord] = []
    total: int = 0
    partial: bool = False
    skip: int = 0
    clock_ns: int = 0


class Alert(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="alert"):
    """
    A mapped threat on a device in an interval.

    `time_ns` is the time of the spike that crossed (absence: last seen + span); `append_ns` that of its record. `time_source` is `log`
    where the device gave no time, or one that was out of range.
    `first_ns`, `last_ns`, `count`, `neurons` and `peers` describe the spikes that counted; lists name the 16
    largest, `peers_total` says how many peers there were.
    """

    id: str
    tenant: str
    log: str
    partition: int
    offset: int
    ordinal: int
    revision: int
    revision_digest: str
    rule: RuleInfo
    device: DeviceInfo
    group: list[str]
    time_ns: int
    time_source: Literal["device", "log"]
    append_ns: int
    interval_start_ns: int
    interval_ns: int
    first_ns: int
    last_ns: int
    count: int
    suppressed_before: int = 0
    neurons: list[NeuronCount] = []
    peers: list[PeerCount] = []
    peers_total: int = 0
    model_digest: str = ""
    evidence: EvidenceInfo = EvidenceInfo()
    explanation: str = ""


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """One alert of an incident."""

    id: str
    rule: str
    threat: str
    severity: Severity
    device: str
    time_ns: int


class Incident(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="incident"):
    """
    Alerts correlated: a set that only grows. `version` is the exact number of members.

    `members` are sorted by (time, id) and cut after 1,000; every other field is a function of the whole set.
    """

    id: str
    version: int
    tenant: str
    revision: int
    revision_digest: str
    rule: RuleInfo
    site: str
    group: list[str]
    time_ns: int
    append_ns: int
    first_ns: int
    last_ns: int
    interval_start_ns: int
    interval_ns: int
    devices: list[str] = []
    members: list[Member] = []
    explanation: str = ""


Finding = Alert | Incident
Kind = Literal["alert", "incident"]

_KINDS: dict[str, Kind] = {kind: kind for kind in get_args(Kind)}


class AlertEntry(NamedTuple):
    """
    One record of the alert log. `offset` is -1 until the log gave it one.

    `source` is (input partition, input offset, ordinal): it rises in the order in which the alerts of one input
    partition first appear, so a reader drops what isn't higher than what it has seen. Incidents have the partition -1 and
    are told apart by (id, version). `body` is the finding's JSON, `evidence` the raw records named in it.
    """

    id: str
    kind: Kind
    version: int
    source: tuple[int, int, int]
    body: bytes
    evidence: tuple[bytes, ...] = ()
    offset: int = -1
    append_ns: int = 0


class Cursor(NamedTuple):
    """
    Where a reader of the alert log stands: `position` is the alert-log offset it reads next.

    `seen` is the highest (offset, ordinal) by input partition: what isn't higher is a repeat.
    """

    position: int = 0
    seen: Mapping[int, tuple[int, int]] = {}


class AlertReaders(Protocol):
    """The readers of an alert log: each has a name and a cursor of its own, and delays nobody else."""

    def poll_alerts(self, position: int, limit: int) -> list[AlertEntry]:
        """
        Return entries from alert-log offset `position` on, with offset and append time set.

        What retention has dropped is left out: the first offset is then higher than the position.
        What a newer version wrote is never passed: entries end before it, and where it is the first it is a `SchemaError`.
        """

    def alert_bounds(self) -> tuple[int, int]:
        """Return (first alert-log offset kept, next to be written)."""

    def alert_offset_at(self, append_ns: int) -> int:
        """Return the first alert-log offset appended at `append_ns` or later; the end offset if there is none."""

    def cursor(self, reader: str) -> Cursor | None:
        """Return where the reader stands, None before its first `advance`."""

    def advance(self, reader: str, cursor: Cursor, entries: Sequence[AlertEntry] = ()) -> None:
        """Set the reader's cursor and append what the reader made of the alerts (incidents), both or nothing."""


_json = msgspec.json.Encoder(order="deterministic")
_read: msgspec.json.Decoder[Finding] = msgspec.json.Decoder(Finding)


def known_kind(name: str, offset: int) -> Kind:
    """Return the kind of the entry at this offset; `SchemaError` for one that only a newer version knows."""
    kind = _KINDS.get(name)
    if kind is None:
        raise SchemaError(
            f"record {offset} of the alert log is of the kind {name!r:.40}, so a newer version of Spikebridge wrote it: upgrade this one"
        )
    return kind


def known(entries: list[AlertEntry]) -> list[AlertEntry]:
    """Return the entries before the first of a kind that only a newer version knows; `SchemaError` when there are none before it."""
    before = list(takewhile(lambda entry: entry.kind in _KINDS, entries))
    if entries and not before:
        known_kind(entries[0].kind, entries[0].offset)
    return before


def alert_entry(alert: Alert, evidence: tuple[bytes, ...]) -> AlertEntry:
    """Seal an alert for the alert log."""
    source = (alert.partition, alert.offset, alert.ordinal)
    return AlertEntry(alert.id, "alert", 1, source, _json.encode(alert), evidence)


def incident_entry(incident: Incident) -> AlertEntry:
    """Seal an incident for the alert log."""
    return AlertEntry(incident.id, "incident", incident.version, (-1, 0, 0), _json.encode(incident))


def read_finding(body: bytes) -> Finding:
    """Open what `alert_entry` or `incident_entry` sealed; `msgspec.DecodeError` for what neither did."""
    try:
        return _read.decode(body)
    except (RecursionError, UnicodeDecodeError) as error:
        raise msgspec.DecodeError(str(error)) from None


def alert_id(tenant: str, log: str, partition: int, rule: str, group: list[str], interval: tuple[int, int]) -> str:
    """Name the one alert that a rule may raise for a group in an interval (start, length)."""
    return content_id(tenant, log, partition, rule, group, interval[0], interval[1])


def incident_id(tenant: str, rule: str, group: list[str], interval: tuple[int, int]) -> str:
    """Name the incident of a rule for a group in the interval (start, length) that holds the pattern's last alert."""
    return content_id(tenant, rule, group, interval[0], interval[1])
