"""The tables of `spool.db`."""

from __future__ import annotations

from spikebridge.database import Faults, Schema
from spikebridge.errors import LogError, LogFull, LogMissing

SPIKES, ALERTS = "spikes", "alerts"

_VERSION_1 = (
    # the live log is input 0, recordings are 1, 2, ...; `drained` once the spikes stage has read it to its end
    """CREATE TABLE inputs (number INTEGER PRIMARY KEY, log TEXT NOT NULL UNIQUE, name TEXT NOT NULL, added_ns INTEGER NOT NULL,
       drained INTEGER NOT NULL DEFAULT 0)""",
    # per log: the next offset, the newest append time, bytes held, and how many needed records `drop_oldest` gave up
    """CREATE TABLE ends (log TEXT PRIMARY KEY, next INTEGER NOT NULL DEFAULT 0, append_ns INTEGER NOT NULL DEFAULT 0,
       bytes INTEGER NOT NULL DEFAULT 0, dropped INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID""",
    "INSERT INTO ends (log) VALUES ('spikes'), ('alerts')",
    "CREATE TABLE spikes (offset INTEGER PRIMARY KEY, append_ns INTEGER NOT NULL, value BLOB NOT NULL)",
    """CREATE TABLE alerts (offset INTEGER PRIMARY KEY, append_ns INTEGER NOT NULL, id TEXT NOT NULL, kind TEXT NOT NULL,
       version INTEGER NOT NULL, input INTEGER NOT NULL, input_offset INTEGER NOT NULL, ordinal INTEGER NOT NULL,
       body BLOB NOT NULL, evidence BLOB NOT NULL)""",
    "CREATE TABLE commits (input INTEGER PRIMARY KEY, position INTEGER NOT NULL, append_ns INTEGER NOT NULL, pairs BLOB NOT NULL)",
    "CREATE TABLE cursors (reader TEXT PRIMARY KEY, position INTEGER NOT NULL, seen BLOB NOT NULL, moved_ns INTEGER NOT NULL)",
    "CREATE TABLE revisions (number INTEGER PRIMARY KEY, digest TEXT NOT NULL, content BLOB NOT NULL, published_ns INTEGER NOT NULL)",
)

SCHEMA = Schema(what="spool", application_id=0x5350_4B31, steps=(_VERSION_1,))
FAULTS = Faults(failed=LogError, full=LogFull, missing=LogMissing)
