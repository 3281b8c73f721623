"""
Durable, ordered, partitioned records with offsets and append times.

The stages know a log only by the protocols below. `spool.py` keeps both logs in one SQLite file;
`recording.py` reads the past out of a file; a Kafka topic will be one more sibling.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from spikebridge.alerts import AlertReaders, Cursor
from spikebridge.spikes.record import Record

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spikebridge.alerts import AlertEntry


__all__ = ["AlertLog", "AlertReaders", "Commit", "Cursor", "Record", "Revisions", "SpikeLog"]


class Commit(NamedTuple):
    """
    Where the spikes stage stands: every alert of the records before `position` is in the alert log.

    `append_ns` is T of the record before the position (the largest append time so far, 0 at the log's start).
    `pairs` are the (from offset, revision number) of the look-back as they were read, oldest first. One that repeats the number before
    it says that a life began anew after a cut: at the first record from its offset on the lost ones are raised as a gap.
    """

    position: int
    append_ns: int
    pairs: tuple[tuple[int, int], ...]


class SpikeLog(Protocol):
    """One partition of a spike log, as the spikes stage sees it."""

    id: str
    partition: int

    def append(self, values: Sequence[bytes]) -> int:
        """Append durably, in order, all or nothing; return the offset of the first."""

    def poll(self, position: int, max_bytes: int) -> list[Record]:
        """
        Return the records from `position` on, at least one if there is any; [] at the end. Never waits.

        A position before the first record kept, or past the end, is `LogMissing`.
        """

    def read(self, offsets: Sequence[int]) -> list[Record]:
        """Return single records by offset, for evidence; those that are gone are left out."""

    def offset_at(self, append_ns: int) -> int:
        """Return the first offset appended at `append_ns` or later; the end offset if there is none."""

    def bounds(self) -> tuple[int, int]:
        """Return (first offset kept, next offset to be written)."""

    def last_append_ns(self) -> int:
        """Return the append time of the newest record, 0 if there never was one."""


class AlertLog(Protocol):
    """One alert log, as the stages see it."""

    def commit(self, entries: Sequence[AlertEntry], commit: Commit) -> None:
        """Append the entries and set the position, so that the position is never ahead of the entries."""

    def committed(self) -> Commit | None:
        """Return the newest commit, None before the first."""

    def poll_alerts(self, position: int, limit: int) -> list[AlertEntry]:
        """
        Return entries from alert-log offset `position` on, with offset and append time set.

        What retention has dropped is left out: the first offset is then higher than the position.
        """


class Revisions(Protocol):
    """The revisions log: contents by number; a number never gets another content."""

    def publish(self, content: bytes) -> int:
        """Append a content and return its number; one equal to the newest appends nothing and returns that number."""

    def revision(self, number: int) -> bytes | None:
        """Return a content, None for a number that was never published."""

    def newest(self) -> int | None:
        """Return the highest number, None before the first."""
