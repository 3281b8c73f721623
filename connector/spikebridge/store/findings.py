"""Alerts, incidents and their evidence in the store."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from msgspec import Meta

from spikebridge.alerts import SEVERITIES, AlertEntry, read_finding
from spikebridge.errors import SinkRefused, StoreError
from spikebridge.store.oldest import last_to_go
from spikebridge.store.schema import StorePart

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from sqlite3 import Connection

    from spikebridge.alerts import Finding

FINDINGS_BYTES = 10_000_000_000
"""So many bytes of findings and their evidence are kept: who makes a sensor spike must not fill the disk."""

_PAGE = 500
_GIVEN_UP_BYTES = 32_000_000
"""So many bytes, and those that come, are given up at once: others wait for it, and it needs as much room on the disk."""
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

    def write(self, entries: Sequence[AlertEntry], *, max_bytes: int = FINDINGS_BYTES) -> int:
        """
        Keep the entries, all or none; return how many were there already.

        An id that is there stays as it is, unless the version is higher (incidents). Those that came first go where all together hold more
        than `max_bytes`: of many more, some with each write. `SinkRefused` names what can't be read, once the others are kept.
        """
        rows, refused = _rows(entries)
        with self._database.transaction() as connection:
            changed = connection.executemany(
                """INSERT INTO findings VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
                   ON CONFLICT (id) DO UPDATE SET version = excluded.version, time_ns = excluded.time_ns, severity = excluded.severity,
                   device = excluded.device, site = excluded.site, rule = excluded.rule, threat = excluded.threat,
                   devices = excluded.devices, body = excluded.body, evidence = excluded.evidence
                   WHERE excluded.version > findings.version""",
                rows,
            ).rowcount
            came = sum(len(entry.body) + sum(map(len, entry.evidence)) for entry in entries)
            _give_up(connection, max_bytes, came + _GIVEN_UP_BYTES)
        known = len(rows) - changed if rows else 0
        if refused:
            raise SinkRefused(refused, known=known)
        return known

    def findings(self, query: Query) -> list[AlertEntry]:
        """Return what the query asks for, without evidence."""
        return list(self.each(query))

    def each(self, query: Query) -> Iterator[AlertEntry]:
        """
        Yield what the query finds now, without evidence; who reads slowly holds nothing up, and nothing but a page is in memory.

        An incident that grows meanwhile comes once, as it is by then; what is given up meanwhile doesn't come.
        """
        where = ["time_ns >= ?", "severity >= ?"]
        asked: list[Any] = [query.since_ns, query.severity]
        if query.device:
            where.append("(device = ? OR device = '' AND EXISTS (SELECT 1 FROM json_each(devices) WHERE value = ?))")
            asked += [query.device, query.device]
        if query.kinds:
            where.append(f"kind IN ({','.join('?' * len(query.kinds))})")
            asked += query.kinds
        ask = f"SELECT rowid FROM findings WHERE {' AND '.join(where)} ORDER BY time_ns DESC, id LIMIT ?"  # noqa: S608 -- our own text
        with self._database.reading() as connection:
            found = array("q", (number for (number,) in connection.execute(ask, (*asked, query.limit))))
        for first in range(0, len(found), _PAGE):
            page = found[first : first + _PAGE]
            ask = f"SELECT {_COLUMNS}, rowid FROM findings WHERE rowid IN ({','.join('?' * len(page))})"  # noqa: S608 -- as above
            with self._database.reading() as connection:
                rows = {row[-1]: row for row in connection.execute(ask, page)}
            yield from (_entry(rows[number]) for number in page if number in rows)

    def findings_lost(self) -> int:
        """Return how many findings were given up for newer ones."""
        with self._database.reading() as connection:
            return int(connection.execute("SELECT lost FROM findings_kept").fetchone()[0])

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


def _give_up(connection: Connection, most: int, at_once: int) -> None:
    """Remove the findings that came first, so that the others hold `most` bytes, but not many more than `at_once`."""
    (held,) = connection.execute("SELECT bytes FROM findings_kept").fetchone()
    ask = "SELECT rowid, length(body) + length(evidence) FROM findings ORDER BY rowid"
    last = last_to_go(connection, ask, min(held - most, at_once))
    lost = connection.execute("DELETE FROM findings WHERE rowid <= ?", (last,)).rowcount
    if lost:
        connection.execute("UPDATE findings_kept SET lost = lost + ?", (lost,))


class _Rule(msgspec.Struct):
    id: str = ""
    threat: str = ""
    severity: str = ""


class _Device(msgspec.Struct):
    id: str = ""
    site: str = ""


class _Body(msgspec.Struct):
    """What any finding may say of itself, whatever its kind."""

    time_ns: Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] = 0
    rule: _Rule = msgspec.field(default_factory=_Rule)
    device: _Device = msgspec.field(default_factory=_Device)
    site: str = ""
    devices: list[str] = []


_read = msgspec.json.Decoder(_Body).decode


def _rows(entries: Sequence[AlertEntry]) -> tuple[list[tuple[Any, ...]], dict[str, str]]:
    rows = []
    refused = {}
    for entry in entries:
        try:
            rows.append(_row(entry))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            refused[entry.id] = f"no finding that this version can read: {error}"
    return rows, refused


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
