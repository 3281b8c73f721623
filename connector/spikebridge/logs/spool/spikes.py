"""The spike log of the spool."""

from __future__ import annotations

from contextlib import closing
from itertools import count, repeat
from typing import TYPE_CHECKING

from spikebridge.errors import LogMissing
from spikebridge.logs import Record
from spikebridge.logs.spool.file import SpoolPart, bounds, end, offset_at
from spikebridge.logs.spool.schema import SPIKES
from spikebridge.logs.spool.trimming import make_room
from spikebridge.spikes.frame import is_tick

if TYPE_CHECKING:
    from collections.abc import Sequence

ASKED_AT_ONCE = 500
TICK_RESERVE = 1 << 20
"""Bytes over the limit that only ticks may take."""


class SpikeLogPart(SpoolPart):
    """Append, poll and read; every method may be called by any thread or process."""

    def append(self, values: Sequence[bytes]) -> int:
        """Append all or nothing, all at one append time; return once they are on the disk."""
        file = self._file
        with file.database.transaction() as connection:
            size = sum(map(len, values))
            make_room(file, connection, SPIKES, size, TICK_RESERVE if all(map(is_tick, values)) else 0)
            last = end(connection, SPIKES)
            now = file.clocks[SPIKES].read(last.append_ns)
            connection.executemany("INSERT INTO spikes VALUES (?, ?, ?)", zip(count(last.next), repeat(now), values))
            if values:
                changed = (last.next + len(values), now, size)
                connection.execute("UPDATE ends SET next = ?, append_ns = ?, bytes = bytes + ? WHERE log = 'spikes'", changed)
        return last.next

    def poll(self, position: int, max_bytes: int) -> list[Record]:
        """Return records of at most `max_bytes` together, or one; at the end this is one look at an index."""
        found: list[Record] = []
        with self._file.database.reading() as connection:
            ask = "SELECT offset, append_ns, value FROM spikes WHERE offset >= ? ORDER BY offset"
            with closing(connection.execute(ask, (position,))) as rows:
                room = max_bytes
                for row in rows:
                    room -= len(row[2])
                    if room < 0 and found:
                        break
                    found.append(Record(*row))
            if found and found[0].offset == position:
                return found
            first, following = bounds(connection, SPIKES)
        if not first <= position <= following:
            raise LogMissing(
                f"{self._file.database.path}: record {position} is not in the spike log: it holds {first} to {following - 1}"
            )
        return []

    def read(self, offsets: Sequence[int]) -> list[Record]:
        """Return those that are kept, in the order asked for."""
        found: dict[int, Record] = {}
        with self._file.database.reading() as connection:
            for at in range(0, len(offsets), ASKED_AT_ONCE):
                asked = offsets[at : at + ASKED_AT_ONCE]
                marks = ",".join("?" * len(asked))
                rows = connection.execute(f"SELECT offset, append_ns, value FROM spikes WHERE offset IN ({marks})", asked)  # noqa: S608 -- marks
                found.update((row[0], Record(*row)) for row in rows)
        return [found[offset] for offset in offsets if offset in found]

    def offset_at(self, append_ns: int) -> int:
        """Find it in about twenty looks."""
        with self._file.database.reading() as connection:
            return offset_at(connection, SPIKES, append_ns)

    def bounds(self) -> tuple[int, int]:
        """Return (first offset kept, next offset to be written)."""
        with self._file.database.reading() as connection:
            return bounds(connection, SPIKES)

    def last_append_ns(self) -> int:
        """Return the append time of the newest record, also when retention has let it go."""
        with self._file.database.reading() as connection:
            return end(connection, SPIKES).append_ns

    def now_ns(self) -> int:
        """Return the append time that an append would get now: what "10 s since the last record" is measured by."""
        return self._file.clocks[SPIKES].read(self.last_append_ns())

    def ahead_ns(self) -> int:
        """Return by how much append times are ahead of a wall clock that was set back."""
        return self._file.clocks[SPIKES].ahead_ns(self.last_append_ns())
