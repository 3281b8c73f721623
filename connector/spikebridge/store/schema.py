"""The tables of `store.db`."""

from __future__ import annotations

from spikebridge.database import Database, Faults, Schema
from spikebridge.errors import StoreError

_VERSION_1 = (
    # alerts and incidents; `device` is empty where several are concerned, `devices` is a JSON list of them
    """CREATE TABLE findings (id TEXT PRIMARY KEY, kind TEXT NOT NULL, version INTEGER NOT NULL, time_ns INTEGER NOT NULL,
       severity INTEGER NOT NULL, device TEXT NOT NULL, site TEXT NOT NULL, rule TEXT NOT NULL, threat TEXT NOT NULL,
       devices TEXT NOT NULL, input INTEGER NOT NULL, input_offset INTEGER NOT NULL, ordinal INTEGER NOT NULL, body BLOB NOT NULL,
       evidence BLOB NOT NULL)""",
    "CREATE INDEX findings_by_time ON findings (time_ns)",
    "CREATE INDEX findings_by_device ON findings (device, time_ns)",
    # `wanted` once somebody asked to deliver a sink's letter again
    """CREATE TABLE letters (seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, kind TEXT NOT NULL, place TEXT NOT NULL,
       reason TEXT NOT NULL, raw BLOB NOT NULL, first_ns INTEGER NOT NULL, count INTEGER NOT NULL DEFAULT 1,
       wanted INTEGER NOT NULL DEFAULT 0)""",
    "CREATE TABLE letters_lost (one INTEGER PRIMARY KEY CHECK (one = 0), count INTEGER NOT NULL)",
    "INSERT INTO letters_lost VALUES (0, 0)",
    """CREATE TABLE audit (seq INTEGER PRIMARY KEY, at_ns INTEGER NOT NULL, actor TEXT NOT NULL, event TEXT NOT NULL,
       detail TEXT NOT NULL, previous TEXT NOT NULL, hash TEXT NOT NULL)""",
    # the newest row again, so that rows cut off at the end are missed
    "CREATE TABLE audit_head (one INTEGER PRIMARY KEY CHECK (one = 0), seq INTEGER NOT NULL, hash TEXT NOT NULL)",
    "INSERT INTO audit_head VALUES (0, 0, '')",
)

_VERSION_2 = (
    # the bytes of refused records, kept beside them: to add them up takes as long as reading them
    "ALTER TABLE letters_lost ADD COLUMN bytes INTEGER NOT NULL DEFAULT 0",
    "UPDATE letters_lost SET bytes = (SELECT coalesce(sum(length(raw)), 0) FROM letters WHERE kind = 'record')",
    """CREATE TRIGGER letters_came AFTER INSERT ON letters WHEN new.kind = 'record'
       BEGIN UPDATE letters_lost SET bytes = bytes + length(new.raw); END""",
    """CREATE TRIGGER letters_went AFTER DELETE ON letters WHEN old.kind = 'record'
       BEGIN UPDATE letters_lost SET bytes = bytes - length(old.raw); END""",
    # every two seconds each sink asks for its own
    "CREATE INDEX letters_wanted ON letters (place, seq) WHERE wanted = 1",
)

_VERSION_3 = (
    # how many findings were given up for newer ones, and the bytes of those that are kept
    "CREATE TABLE findings_kept (one INTEGER PRIMARY KEY CHECK (one = 0), lost INTEGER NOT NULL, bytes INTEGER NOT NULL)",
    "INSERT INTO findings_kept SELECT 0, 0, coalesce(sum(length(body) + length(evidence)), 0) FROM findings",
    """CREATE TRIGGER findings_came AFTER INSERT ON findings
       BEGIN UPDATE findings_kept SET bytes = bytes + length(new.body) + length(new.evidence); END""",
    """CREATE TRIGGER findings_changed AFTER UPDATE OF body, evidence ON findings
       BEGIN UPDATE findings_kept SET bytes = bytes + length(new.body) + length(new.evidence) - length(old.body) - length(old.evidence);
       END""",
    """CREATE TRIGGER findings_went AFTER DELETE ON findings
       BEGIN UPDATE findings_kept SET bytes = bytes - length(old.body) - length(old.evidence); END""",
)

SCHEMA = Schema(what="store", application_id=0x5350_4B32, steps=(_VERSION_1, _VERSION_2, _VERSION_3))
FAULTS = Faults(failed=StoreError, full=StoreError, missing=StoreError)


class StorePart:
    """One group of the store's methods."""

    def __init__(self, database: Database) -> None:
        """Work on this file."""
        self._database = database
