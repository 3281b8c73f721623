"""What the parts of the spool share: the file, its clocks, its limits."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, NamedTuple

from spikebridge.database import Database
from spikebridge.logs.spool.clock import RisingClock
from spikebridge.logs.spool.schema import ALERTS, FAULTS, SCHEMA, SPIKES

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable
    from pathlib import Path

    from spikebridge.logs.spool.retention import Retention

LIVE = 0
"""The input number of the live spike log; recordings have 1, 2, ..."""


class End(NamedTuple):
    """The end of a log: `bytes` are those of the values held, `dropped` the needed records that `drop_oldest` gave up."""

    next: int
    append_ns: int
    bytes: int
    dropped: int


class SpoolFile:
    """`spool.db` in its directory."""

    def __init__(
        self, directory: Path, retention: Retention, clocks: tuple[Callable[[], int], Callable[[], int]], *, read_only: bool
    ) -> None:
        """Open or create it; `clocks` are the wall clock and the monotonic clock, in ns."""
        self.directory = directory
        self.retention = retention
        self.wall = clocks[0]
        self.database = Database(directory / "spool.db", SCHEMA, FAULTS, read_only=read_only)
        self.log_id = self._log_id()
        with self.database.reading() as connection:
            self.clocks = {log: RisingClock(*clocks, last_ns=end(connection, log).append_ns) for log in (SPIKES, ALERTS)}

    def _log_id(self) -> str:
        """Return the log's random id, drawn when the file is new."""
        find = "SELECT log FROM inputs WHERE number = 0"
        with self.database.reading() as connection:
            row = connection.execute(find).fetchone()
        if row is None:
            with self.database.transaction() as connection:
                drawn = (LIVE, str(uuid.uuid4()), "live", self.wall())
                connection.execute("INSERT OR IGNORE INTO inputs (number, log, name, added_ns) VALUES (?, ?, ?, ?)", drawn)
                row = connection.execute(find).fetchone()
        return str(row[0])


class SpoolPart:
    """One group of the spool's methods."""

    def __init__(self, file: SpoolFile) -> None:
        """Work on this file."""
        self._file = file


def end(connection: sqlite3.Connection, log: str) -> End:
    """Return a log's end as the running transaction sees it."""
    return End(*connection.execute("SELECT next, append_ns, bytes, dropped FROM ends WHERE log = ?", (log,)).fetchone())


def bounds(connection: sqlite3.Connection, log: str) -> tuple[int, int]:
    """Return (first offset kept, next offset)."""
    first, following = connection.execute(
        f"SELECT (SELECT min(offset) FROM {log}), next FROM ends WHERE log = ?",  # noqa: S608 -- one of our two table names
        (log,),
    ).fetchone()
    return (following if first is None else first), following


def offset_at(connection: sqlite3.Connection, log: str, append_ns: int) -> int:
    """Return the first offset appended at `append_ns` or later: append times never fall and offsets have no holes, so halving finds it."""
    low, high = bounds(connection, log)
    find = f"SELECT append_ns FROM {log} WHERE offset = ?"  # noqa: S608 -- as above
    while low < high:
        middle = (low + high) // 2
        row = connection.execute(find, (middle,)).fetchone()
        if row is None or row[0] < append_ns:  # None: retention has just passed it
            low = middle + 1
        else:
            high = middle
    return low
