"""The audit log: who did what, each row sealed with the hash of the row before it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from spikebridge.canonical import canonical_json, sha256
from spikebridge.errors import StoreError
from spikebridge.store.schema import StorePart

if TYPE_CHECKING:
    from collections.abc import Mapping

_NO_HEAD = "what says how many rows the audit log has (the row of `audit_head`) was removed"
_COLUMNS = "seq, at_ns, actor, event, detail, previous, hash"


class AuditRow(NamedTuple):
    """One row; `detail` is canonical JSON, `hash` the SHA-256 of the canonical JSON list of the six fields before it."""

    seq: int
    at_ns: int
    actor: str
    event: str
    detail: str
    previous: str
    hash: str


class Verdict(NamedTuple):
    """What `verify` found: how many rows, the newest row's hash, and the number of the first bad row with what is wrong with it."""

    rows: int
    head: str
    bad: int | None = None
    fault: str = ""


class AuditPart(StorePart):
    """Append, read and verify; nothing here changes or removes a row."""

    def record(self, at_ns: int, actor: str, event: str, detail: Mapping[str, Any]) -> AuditRow:
        """Append a row."""
        with self._database.transaction() as connection:
            head = connection.execute("SELECT seq, hash FROM audit_head").fetchone()
            if head is None:
                raise StoreError(f"{self._database.path}: {_NO_HEAD}: look with `spikebridge audit list`, then restore a backup")
            seq, previous = head
            facts = (seq + 1, at_ns, actor, event, canonical_json(detail).decode(), previous)
            row = AuditRow(*facts, _seal(*facts))
            connection.execute("INSERT INTO audit VALUES (?, ?, ?, ?, ?, ?, ?)", row)
            connection.execute("UPDATE audit_head SET seq = ?, hash = ?", (row.seq, row.hash))
        return row

    def audit(self, limit: int = 100) -> list[AuditRow]:
        """Return the newest rows first."""
        with self._database.reading() as connection:
            rows = connection.execute(f"SELECT {_COLUMNS} FROM audit ORDER BY seq DESC LIMIT ?", (limit,)).fetchall()  # noqa: S608 -- ours
        return [AuditRow(*row) for row in rows]

    def sealed(self, prefix: str) -> bool:
        """Tell whether a row has a hash that begins like this."""
        with self._database.reading() as connection:
            ask = "SELECT EXISTS (SELECT 1 FROM audit WHERE substr(hash, 1, ?) = ?)"
            return bool(connection.execute(ask, (len(prefix), prefix)).fetchone()[0])

    def verify(self) -> Verdict:
        """
        Walk the chain from its beginning.

        Any row changed, removed, inserted or cut off is found. Who can write the file can also write a whole new chain: compare `head`
        with one that was noted elsewhere.
        """
        rows, previous = 0, ""
        with self._database.snapshot() as connection:
            head = connection.execute("SELECT seq, hash FROM audit_head").fetchone()
            for values in connection.execute(f"SELECT {_COLUMNS} FROM audit ORDER BY seq"):  # noqa: S608 -- ours
                row = AuditRow(*values)
                fault = _fault(row, rows + 1, previous)
                if fault:
                    return Verdict(rows, previous, rows + 1, fault)
                rows, previous = row.seq, row.hash
        if head is None:
            return Verdict(rows, previous, rows + 1, _NO_HEAD)
        if head != (rows, previous):
            return Verdict(
                rows, previous, rows + 1, f"the log ends after row {rows}, but {head[0]} were written: the rest was cut off"
            )
        return Verdict(rows, previous)


def _fault(row: AuditRow, expected: int, previous: str) -> str:
    """Say what is wrong with a row, "" for a good one."""
    if row.seq != expected:
        return f"row {expected} is missing, the next is {row.seq}"
    if row.previous != previous:
        return f"row {row.seq} does not follow row {row.seq - 1}: it names another hash"
    if row.hash != _seal(*row[:6]):
        return f"row {row.seq} was changed: its hash does not match what it says"
    return ""


def _seal(seq: int, at_ns: int, actor: str, event: str, detail: str, previous: str) -> str:
    return sha256(canonical_json([seq, at_ns, actor, event, detail, previous]))
