"""Alerts, incidents and their evidence in the store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from spikebridge.alerts import SEVERITIES, AlertEntry, read_finding
from spikebridge.errors import StoreError
from spikebridge.store.schema import StorePart

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spikebridge.alerts import Finding

_COLUMNS = "id, kind, version, input, input_offset, ordinal, body"
_SEVERITY: dict[str, int] = {str(name): number for name, number in SEVERITIES.items()}
_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(tuple[bytes, ...]).decode


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """
    Which findings: those with a time of `since_ns` or later, a severity number of `severity` or higher, of this device, of these kinds.

    What isn't given is free. An incident is found by any device it concerns. At most `limit`, newest first.
    """

    since_ns: int = 0
    severity: int = 0
    device: str = ""
    kinds: tuple[str, ...] = ()
    limit: int = 50


class FindingsPart(StorePart):
    """Write idempotently, ask, and fetch one with its evidence."""

    def write(self, entries: Sequence[AlertEntry]) -> None:
        """Keep the entries, all or none; an id that is there stays as it is, unless the version is higher (incidents)."""
        rows = [_row(entry) for entry in entries]
        with self._database.transaction() as connection:
            connection.executemany(
                """INSERT INTO findings VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
                   ON CONFLICT (id) DO UPDATE SET version = excluded.version, time_ns = excluded.time_ns, severity = excluded.severity,
                   device = excluded.device, site = excluded.site, rule = excluded.rule, threat = excluded.threat,
                   devices = excluded.devices, body = excluded.body, evidence = excluded.evidence
                   WHERE excluded.version > findings.version""",
                rows,
            )

    def findings(self, query: Query) -> list[AlertEntry]:
        """Return what the query asks for, without evidence."""
        where = ["time_ns >= ?", "severity >= ?"]
        asked: list[Any] = [query.since_ns, query.severity]
        if query.device:
            where.append("(device = ? OR device = '' AND EXISTS (SELECT 1 FROM json_each(devices) WHERE value = ?))")
            asked += [query.device, query.device]
        if query.kinds:
            where.append(f"kind IN ({','.join('?' * len(query.kinds))})")
            asked += query.kinds
        ask = f"SELECT {_COLUMNS} FROM findings WHERE {' AND '.join(where)} ORDER BY time_ns DESC, id LIMIT ?"  # noqa: S608 -- our own text
        with self._database.reading() as connection:
            rows = connection.execute(ask, (*asked, query.limit)).fetchall()
        return [_entry(row) for row in rows]

    def finding(self, finding_id: str) -> AlertEntry | None:
        """Return one finding with its evidence."""
        with self._database.reading() as connection:
            row = connection.execute(f"SELECT {_COLUMNS}, evidence FROM findings WHERE id = ?", (finding_id,)).fetchone()  # noqa: S608 -- as above
        if row is None:
            return None
        try:
            return _entry(row)._replace(evidence=_unpack(row[7]))
        except (msgspec.MsgspecError, TypeError) as error:
            raise StoreError(f"{self._database.path}: the evidence of {finding_id} is not as it was written: {error}") from None

    def opened(self, entry: AlertEntry) -> Finding:
        """Open a finding that was kept here; `StoreError` when somebody changed the file so that it is none."""
        try:
            return read_finding(entry.body)
        except (msgspec.MsgspecError, TypeError) as error:
            raise StoreError(f"{self._database.path}: {entry.kind} {entry.id} is not as it was written: {error}") from None

    def evidence(self, finding_id: str) -> tuple[bytes, ...]:
        """Return the records behind an alert, () when it isn't known."""
        found = self.finding(finding_id)
        return () if found is None else found.evidence

    def find(self, prefix: str) -> AlertEntry:
        """Return the one finding whose id begins like this, with its evidence: people type the first letters; `StoreError` otherwise."""
        with self._database.reading() as connection:
            rows = connection.execute(
                "SELECT id FROM findings WHERE substr(id, 1, ?) = ? ORDER BY id LIMIT 5", (len(prefix), prefix)
            )
            ids = [str(row[0]) for row in rows]
        found = self.finding(ids[0]) if len(ids) == 1 else None
        if found is None:
            fault = f"several begin like that: {', '.join(ids)}" if ids else "none begins like that"
            raise StoreError(f"{self._database.path}: expected the id of one alert or incident, found {prefix}: {fault}")
        return found


class _Rule(msgspec.Struct):
    id: str = ""
    threat: str = ""
    severity: str = ""


class _Device(msgspec.Struct):
    id: str = ""
    site: str = ""


class _Body(msgspec.Struct):
    """What any finding may say of itself, whatever its kind."""

    time_ns: int = 0
    rule: _Rule = msgspec.field(default_factory=_Rule)
    device: _Device = msgspec.field(default_factory=_Device)
    site: str = ""
    devices: list[str] = []


_read = msgspec.json.Decoder(_Body).decode


def _row(entry: AlertEntry) -> tuple[Any, ...]:
    body = _read(entry.body)
    devices = body.devices or ([body.device.id] if body.device.id else [])
    device = devices[0] if len(devices) == 1 else ""
    severity = _SEVERITY.get(body.rule.severity, 0)
    return (
        *(entry.id, entry.kind, entry.version, body.time_ns, severity, device, body.device.site or body.site, body.rule.id),
        *(body.rule.threat, msgspec.json.encode(devices).decode(), *entry.source, entry.body, _pack(entry.evidence)),
    )


def _entry(row: tuple[Any, ...]) -> AlertEntry:
    finding_id, kind, version, partition, offset, ordinal, body = row[:7]
    return AlertEntry(finding_id, kind, version, (partition, offset, ordinal), body)
