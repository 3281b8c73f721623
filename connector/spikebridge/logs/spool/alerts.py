"""The alert log of the spool, its readers' cursors, and the positions of the spikes stage."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from spikebridge.alerts import AlertEntry, known
from spikebridge.logs import Commit, Cursor
from spikebridge.logs.spool.file import LIVE, SpoolFile, SpoolPart, bounds, end, offset_at
from spikebridge.logs.spool.schema import ALERTS
from spikebridge.logs.spool.trimming import make_room

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

_pack = msgspec.msgpack.Encoder().encode
_unpack_pairs = msgspec.msgpack.Decoder(tuple[tuple[int, int], ...]).decode
_unpack_seen = msgspec.msgpack.Decoder(dict[int, tuple[int, int]]).decode
_unpack_evidence = msgspec.msgpack.Decoder(tuple[bytes, ...]).decode


class AlertLogPart(SpoolPart):
    """
    The alert log as the stages of one input see it: what `commit` appends carries the input's number as its source.

    `poll_alerts` and the cursors are the same for all inputs.
    """

    def __init__(self, file: SpoolFile, number: int = LIVE) -> None:
        """Commit for the input of this number."""
        super().__init__(file)
        self._number = number

    def commit(self, entries: Sequence[AlertEntry], commit: Commit, *, certain: bool = True) -> None:  # noqa: ARG002 -- it always is
        """Append the entries and set the position in one transaction, on the disk when it returns."""
        row = (self._number, commit.position, commit.append_ns, _pack(commit.pairs))
        with self._file.database.transaction() as connection:
            self._append(connection, [entry._replace(source=(self._number, *entry.source[1:])) for entry in entries])
            connection.execute("INSERT OR REPLACE INTO commits VALUES (?, ?, ?, ?)", row)

    def committed(self) -> Commit | None:
        """Return the newest commit of this input."""
        with self._file.database.reading() as connection:
            row = connection.execute("SELECT position, append_ns, pairs FROM commits WHERE input = ?", (self._number,)).fetchone()
        return None if row is None else Commit(row[0], row[1], _unpack_pairs(row[2]))

    def poll_alerts(self, position: int, limit: int) -> list[AlertEntry]:
        """Return at most `limit` entries from `position` on; what retention has let go is left out."""
        ask = "SELECT * FROM alerts WHERE offset >= ? ORDER BY offset LIMIT ?"
        with self._file.database.reading() as connection:
            rows = connection.execute(ask, (position, limit)).fetchall()
        return known([_entry(row) for row in rows])

    def alert_append_ns(self, position: int) -> int | None:
        """Return when the first entry from `position` on was appended, whatever it is; None where there is none."""
        ask = "SELECT append_ns FROM alerts WHERE offset >= ? ORDER BY offset LIMIT 1"
        with self._file.database.reading() as connection:
            row = connection.execute(ask, (position,)).fetchone()
        return None if row is None else int(row[0])

    def room(self, pairs: tuple[tuple[int, int], ...]) -> bool:  # noqa: ARG002 -- whatever they are
        """Say yes: a row has room for all."""
        return True

    def alert_bounds(self) -> tuple[int, int]:
        """Return (first alert-log offset kept, next to be written)."""
        with self._file.database.reading() as connection:
            return bounds(connection, ALERTS)

    def alert_offset_at(self, append_ns: int) -> int:
        """Return the first alert-log offset appended at `append_ns` or later."""
        with self._file.database.reading() as connection:
            return offset_at(connection, ALERTS, append_ns)

    def cursor(self, reader: str) -> Cursor | None:
        """Return where a reader stands."""
        return self.cursors().get(reader)

    def cursors(self) -> dict[str, Cursor]:
        """Return where all readers stand, by name."""
        with self._file.database.reading() as connection:
            rows = connection.execute("SELECT reader, position, seen FROM cursors ORDER BY reader").fetchall()
        return {reader: Cursor(position, _unpack_seen(seen)) for reader, position, seen in rows}

    def advance(self, reader: str, cursor: Cursor, entries: Sequence[AlertEntry] = ()) -> None:
        """Set the cursor and append the reader's own findings in one transaction; from now on retention waits for this reader."""
        with self._file.database.transaction() as connection:
            self._append(connection, entries)
            row = (reader, cursor.position, _pack(cursor.seen), self._file.wall())
            connection.execute("INSERT OR REPLACE INTO cursors VALUES (?, ?, ?, ?)", row)

    def forget(self, reader: str) -> bool:
        """Let retention wait no longer for a reader that will not come back; tell whether it was known."""
        with self._file.database.transaction() as connection:
            return connection.execute("DELETE FROM cursors WHERE reader = ?", (reader,)).rowcount > 0

    def _append(self, connection: sqlite3.Connection, entries: Sequence[AlertEntry]) -> None:
        if not entries:
            return
        packed = [_pack(entry.evidence) for entry in entries]
        size = sum(len(entry.body) for entry in entries) + sum(map(len, packed))
        make_room(self._file, connection, ALERTS, size)
        last = end(connection, ALERTS)
        now = self._file.clocks[ALERTS].read(last.append_ns)
        rows = (
            (offset, now, entry.id, entry.kind, entry.version, *entry.source, entry.body, evidence)
            for offset, (entry, evidence) in enumerate(zip(entries, packed, strict=True), last.next)
        )
        connection.executemany("INSERT INTO alerts VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
        changed = (last.next + len(entries), now, size)
        connection.execute("UPDATE ends SET next = ?, append_ns = ?, bytes = bytes + ? WHERE log = 'alerts'", changed)


def _entry(row: tuple[Any, ...]) -> AlertEntry:
    """Read a row of the alert log."""
    offset, append_ns, entry_id, kind, version, partition, input_offset, ordinal, body, evidence = row
    return AlertEntry(
        entry_id, kind, version, (partition, input_offset, ordinal), body, _unpack_evidence(evidence), offset, append_ns
    )
