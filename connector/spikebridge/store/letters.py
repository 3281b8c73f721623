"""Dead letters: records that are no spikes, and findings that a sink will never take."""

from __future__ import annotations

from contextlib import closing
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from spikebridge.alerts import AlertEntry
from spikebridge.canonical import content_id
from spikebridge.errors import StoreError
from spikebridge.store.oldest import last_to_go
from spikebridge.store.schema import StorePart

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

RECORDS_KEPT = 100_000
"""So many of the newest refused records are kept: a sender of rubbish must not fill the disk. Sinks' letters are all kept."""

RECORDS_BYTES = 1_000_000_000
"""So many bytes of them."""

_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(AlertEntry).decode
_COLUMNS = "id, kind, place, reason, raw, first_ns, count, wanted"


class DeadLetter(msgspec.Struct, frozen=True):
    """
    One dead letter. Whoever writes it derives `id` from where it was found, so that writing it again changes nothing.

    `place` is the log, partition and offset of a record, or the name of the sink. `raw` are the record's bytes, or the packed entry
    that the sink refused. `count` says how often a sink has refused it; `wanted`, that delivery is to try again.
    """

    id: str
    kind: Literal["record", "sink"]
    place: str
    reason: str
    raw: bytes
    first_ns: int
    count: int = 1
    wanted: bool = False


def record_letter(log: str, partition: int, offset: int, part: int, refused: tuple[str, bytes], at_ns: int) -> DeadLetter:
    """Make the letter of a record, or of the part of one, that is no spikes: `refused` is (reason, raw bytes)."""
    return DeadLetter(
        content_id("record", log, partition, offset, part), "record", f"{log}/{partition}/{offset}", *refused, at_ns
    )


def sink_letter(sink: str, entry: AlertEntry, reason: str, at_ns: int) -> DeadLetter:
    """Make the letter of a finding that a sink refused for good; the entry travels in it whole."""
    return DeadLetter(content_id("sink", sink, entry.id, entry.version), "sink", sink, reason, _pack(entry), at_ns)


def letter_entry(letter: DeadLetter) -> AlertEntry:
    """Return the finding in a sink's letter; `StoreError` for one that this version can't read."""
    try:
        return _unpack(letter.raw)
    except msgspec.MsgspecError as error:
        raise StoreError(
            f"dead letter {letter.id}: expected an alert or an incident as this version knows them, found none ({error}): "
            "upgrade this one, or drop the letter"
        ) from None


class LettersPart(StorePart):
    """Keep, show, retry and drop them."""

    def bury(self, letters: Sequence[DeadLetter], *, records_bytes: int = RECORDS_BYTES) -> None:
        """
        Keep the letters, all or none; a sink's that is known is counted once more with its newest reason, and no longer wanted.

        The oldest refused records go where there are more than `RECORDS_KEPT` of them, or they hold more than `records_bytes`.
        """
        with self._database.transaction() as connection:
            connection.executemany(
                """INSERT INTO letters (id, kind, place, reason, raw, first_ns) VALUES (?, ?, ?, ?, ?, ?)
                   ON CONFLICT (id) DO UPDATE SET count = count + 1, reason = excluded.reason, wanted = 0 WHERE kind = 'sink'""",
                [(letter.id, letter.kind, letter.place, letter.reason, letter.raw, letter.first_ns) for letter in letters],
            )
            (newest,) = connection.execute("SELECT coalesce(max(seq), 0) FROM letters").fetchone()
            (held,) = connection.execute("SELECT bytes FROM letters_lost").fetchone()
            ask = "SELECT seq, length(raw) FROM letters WHERE kind = 'record' ORDER BY seq"
            last = max(newest - RECORDS_KEPT, last_to_go(connection, ask, held - records_bytes))
            lost = connection.execute("DELETE FROM letters WHERE seq <= ? AND kind = 'record'", (last,)).rowcount
            if lost:
                connection.execute("UPDATE letters_lost SET count = count + ?", (lost,))

    def letters(self, *, kind: str = "", place: str = "", limit: int = 100) -> list[DeadLetter]:
        """Return the newest letters first; `place` is the beginning of one."""
        ask = f"""SELECT {_COLUMNS} FROM letters WHERE (?1 = '' OR kind = ?1) AND substr(place, 1, length(?2)) = ?2
                  ORDER BY seq DESC LIMIT ?3"""  # noqa: S608 -- our own column names
        with self._database.reading() as connection:
            rows = connection.execute(ask, (kind, place, limit)).fetchall()
        return [_letter(row) for row in rows]

    def letter_ids(self, *, kind: str = "", place: str = "") -> list[str]:
        """Return the ids of all such letters, without the bytes that each holds."""
        ask = "SELECT id FROM letters WHERE (?1 = '' OR kind = ?1) AND substr(place, 1, length(?2)) = ?2 ORDER BY seq DESC"
        with self._database.reading() as connection:
            return [letter_id for (letter_id,) in connection.execute(ask, (kind, place))]

    def letter(self, letter_id: str) -> DeadLetter | None:
        """Return one letter; the beginning of its id is enough where only one begins so."""
        ask = f"SELECT {_COLUMNS} FROM letters WHERE"  # noqa: S608 -- as above
        with self._database.reading() as connection:
            rows = connection.execute(f"{ask} id = ?", (letter_id,)).fetchall()
            if not rows:
                rows = connection.execute(f"{ask} substr(id, 1, ?) = ? LIMIT 2", (len(letter_id), letter_id)).fetchall()
        if len(rows) != 1:
            return None
        return _letter(rows[0])

    def letter_counts(self) -> dict[str, int]:
        """Return how many letters there are by kind, and under `lost` how many records were given up for newer ones."""
        with self._database.reading() as connection:
            counts = dict(connection.execute("SELECT kind, count(*) FROM letters GROUP BY kind").fetchall())
        return counts | {"lost": self.letters_lost()}

    def letters_lost(self) -> int:
        """Return how many records were given up for newer ones."""
        with self._database.reading() as connection:
            return int(connection.execute("SELECT count FROM letters_lost").fetchone()[0])

    def retry(self, letter_ids: Sequence[str]) -> int:
        """Ask for sinks' letters to be delivered again; return how many of them are a sink's."""
        return self._each("UPDATE letters SET wanted = 1 WHERE id = ? AND kind = 'sink'", letter_ids)

    def wanted(self, sink: str, limit: int) -> list[AlertEntry]:
        """Return the findings of a sink's letters that are to be delivered again, oldest first; what this version can't read waits on."""
        ask = "SELECT raw FROM letters WHERE wanted = 1 AND kind = 'sink' AND place = ? ORDER BY seq"
        with self._database.reading() as connection, closing(connection.execute(ask, (sink,))) as rows:
            readable = (entry for (raw,) in rows if (entry := _readable(raw)))
            return list(islice(readable, limit))

    def drop(self, letter_ids: Sequence[str]) -> int:
        """Remove letters: delivered by now, or given up; return how many there were."""
        return self._each("DELETE FROM letters WHERE id = ?", letter_ids)

    def _each(self, statement: str, letter_ids: Sequence[str]) -> int:
        with self._database.transaction() as connection:
            return connection.executemany(statement, [(letter_id,) for letter_id in letter_ids]).rowcount


class SinkLetters:
    """A store's dead letters as `delivery.DeadLetters` wants them."""

    def __init__(self, letters: LettersPart, clock: Callable[[], int]) -> None:
        """Stamp new letters by this wall clock, ns."""
        self._letters = letters
        self._clock = clock

    def keep(self, sink: str, refused: Sequence[tuple[AlertEntry, str]]) -> None:
        """Keep what the sink refused, with the reasons."""
        self._letters.bury([sink_letter(sink, entry, reason, self._clock()) for entry, reason in refused])

    def wanted(self, sink: str, limit: int) -> list[AlertEntry]:
        """Return the oldest entries that somebody asked to deliver again, of those that this version can read."""
        return self._letters.wanted(sink, limit)

    def delivered(self, sink: str, entry: AlertEntry) -> None:
        """Remove the letter of what was taken now."""
        self._letters.drop([sink_letter(sink, entry, "", 0).id])


def _readable(raw: bytes) -> AlertEntry | None:
    try:
        return _unpack(raw)
    except msgspec.MsgspecError:
        return None


def _letter(row: tuple[Any, ...]) -> DeadLetter:
    letter_id, kind, place, reason, raw, first_ns, count, wanted = row
    return DeadLetter(letter_id, kind, place, reason, raw, first_ns, count, bool(wanted))
