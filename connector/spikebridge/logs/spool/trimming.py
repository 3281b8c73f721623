"""What the spool keeps, what it may let go, and what it says when it is full."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from spikebridge.errors import LogFull
from spikebridge.limits import MINUTE
from spikebridge.logs.spool.file import LIVE, bounds, end, offset_at
from spikebridge.logs.spool.retention import ALERTS_AT_LEAST_NS
from spikebridge.logs.spool.schema import ALERTS, SPIKES

if TYPE_CHECKING:
    import sqlite3

    from spikebridge.logs.spool.file import SpoolFile

STEP = 4_096
"""Records let go in one transaction of `trim`, so that appends need not wait long."""

_SIZE = {SPIKES: "length(value)", ALERTS: "length(body) + length(evidence)"}


class Trimmed(NamedTuple):
    """How many records were let go."""

    spikes: int
    alerts: int


def trim(file: SpoolFile) -> Trimmed:
    """Let go of what is too old and needed by nobody, a step at a time."""
    return Trimmed(*(_trim(file, log) for log in (SPIKES, ALERTS)))


def make_room(file: SpoolFile, connection: sqlite3.Connection, log: str, size: int, spare: int = 0) -> None:
    """
    Let go of as much as an append of `size` bytes needs, or raise `LogFull` and say what holds it.

    `spare` bytes over the limit are allowed: for ticks, without which no time passes in a full log and nothing in it ever grows old.
    """
    retention = file.retention
    limit = spare + (retention.max_bytes if log == SPIKES else retention.alert_max_bytes)
    excess = end(connection, log).bytes + size - limit
    if log == SPIKES:
        excess = max(excess, _missing_on_disk(file, connection, size) - spare)
    if excess <= 0:
        return
    free_below = _needed_from(file, connection, log)
    below, freed = _oldest(connection, log, excess)
    if size <= limit and freed >= excess and (below <= free_below or retention.on_full == "drop_oldest"):
        _let_go(connection, log, below, lost=max(0, below - max(free_below, bounds(connection, log)[0])))
        return
    raise LogFull(_why_full(file, connection, log, size))


def _trim(file: SpoolFile, log: str) -> int:
    age_ns = file.retention.age_ns if log == SPIKES else file.retention.alert_age_ns
    gone = 0
    while True:
        with file.database.reading() as connection:
            first, following = bounds(connection, log)
            too_old = offset_at(connection, log, file.clocks[log].read(end(connection, log).append_ns) - age_ns)
            below = min(too_old, _needed_from(file, connection, log), following, first + STEP)
        if below <= first:
            return gone
        with file.database.transaction() as connection:
            gone += _let_go(connection, log, min(below, _needed_from(file, connection, log)), lost=0)


def _needed_from(file: SpoolFile, connection: sqlite3.Connection, log: str) -> int:
    """Return the first offset that must be kept."""
    first, following = bounds(connection, log)
    if log == SPIKES:
        row = connection.execute("SELECT position, append_ns FROM commits WHERE input = ?", (LIVE,)).fetchone()
        return first if row is None else min(row[0], offset_at(connection, log, row[1] - file.retention.look_back_ns))
    (lowest,) = connection.execute("SELECT min(position) FROM cursors").fetchone()
    young = offset_at(connection, log, file.clocks[log].read(end(connection, log).append_ns) - ALERTS_AT_LEAST_NS)
    return min(following if lowest is None else lowest, young)


def _oldest(connection: sqlite3.Connection, log: str, excess: int) -> tuple[int, int]:
    """Return below which offset at least `excess` bytes lie (or all there is), and how many."""
    below, freed = bounds(connection, log)[0], 0
    for offset, size in connection.execute(f"SELECT offset, {_SIZE[log]} FROM {log} ORDER BY offset"):  # noqa: S608 -- our own names
        if freed >= excess:
            break
        below, freed = offset + 1, freed + size
    return below, freed


def _let_go(connection: sqlite3.Connection, log: str, below: int, *, lost: int) -> int:
    count, size = connection.execute(
        f"SELECT count(*), coalesce(sum({_SIZE[log]}), 0) FROM {log} WHERE offset < ?",  # noqa: S608 -- our own names
        (below,),
    ).fetchone()
    connection.execute(f"DELETE FROM {log} WHERE offset < ?", (below,))  # noqa: S608 -- our own names
    connection.execute("UPDATE ends SET bytes = bytes - ?, dropped = dropped + ? WHERE log = ?", (size, lost, log))
    return int(count)


def _missing_on_disk(file: SpoolFile, connection: sqlite3.Connection, size: int) -> int:
    """Return how many bytes the disk lacks for this append; pages that the file already holds free count as room."""
    disk = os.statvfs(file.directory)
    missing = size + file.retention.min_free_bytes - disk.f_bavail * disk.f_frsize
    if missing <= 0:
        return 0
    (pages,) = connection.execute("PRAGMA freelist_count").fetchone()
    (page,) = connection.execute("PRAGMA page_size").fetchone()
    return min(size, missing) - int(pages * page) // 2  # half: what was let go in pieces doesn't fill its pages


def _why_full(file: SpoolFile, connection: sqlite3.Connection, log: str, size: int) -> str:
    retention, now = file.retention, file.wall()
    if log == ALERTS:
        row = connection.execute("SELECT reader, position FROM cursors ORDER BY position LIMIT 1").fetchone()
        held = "it must keep 48 h"
        if row is not None and row[1] < end(connection, log).next:
            held = f"reader {row[0]} is {_behind(connection, log, row[1], now)} behind"
        return (
            f"{file.database.path}: the alert log is at its limit of {retention.alert_max_bytes:,} bytes and {held}: nothing was appended; "
            "bring that sink back or `spikebridge forget` it, raise the limit, or choose on_full: drop_oldest"
        )
    if end(connection, log).bytes + size <= retention.max_bytes:
        return (
            f"{file.database.path}: the disk has less than {retention.min_free_bytes:,} bytes free, which the spool keeps for its own "
            "work: nothing was appended; free some"
        )
    row = connection.execute("SELECT position FROM commits WHERE input = ?", (LIVE,)).fetchone()
    position = bounds(connection, log)[0] if row is None else row[0]
    held = f"the look-back of {_duration(retention.look_back_ns)} needs what is there"
    if row is None:
        held = "the spikes stage has never run"
    elif position < end(connection, log).next:
        held = f"the spikes stage is {_behind(connection, log, position, now)} behind"
    return (
        f"{file.database.path}: the spike log is at its limit of {retention.max_bytes:,} bytes and {held}: nothing was appended; "
        "wait for it, raise the limit, or choose on_full: drop_oldest"
    )


def _behind(connection: sqlite3.Connection, log: str, position: int, now_ns: int) -> str:
    """Say for how long the record at `position` has been waiting."""
    row = connection.execute(f"SELECT append_ns FROM {log} WHERE offset >= ? ORDER BY offset LIMIT 1", (position,)).fetchone()  # noqa: S608 -- ours
    return _duration(max(0, now_ns - row[0]))


def _duration(ns: int) -> str:
    hours, minutes = divmod(ns // MINUTE, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min" if minutes else f"{ns / 1_000_000_000:.1f} s"
