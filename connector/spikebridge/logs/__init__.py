"""
Durable, ordered, partitioned records with offsets and append times.

The stages know a log only by the protocols below. `spool` keeps both logs in one SQLite file, `kafka` has each in a topic;
`recording.py` reads the past out of a file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

from spikebridge.alerts import AlertReaders, Cursor
from spikebridge.spikes.record import Record

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spikebridge.alerts import AlertEntry


__all__ = ["AlertLog", "AlertReaders", "Commit", "Cursor", "Record", "Revisions", "SpikeLog", "Switches"]

Switches = Literal["marker", "commit", "never"]


class Commit(NamedTuple):
    """
    Where the spikes stage stands: every alert of the records before `position` is in the alert log.

    `append_ns` is T of the record before the position (the largest append time so far, 0 at the log's start).
    `pairs` are the (from offset, revision number) of the look-back as they were read, oldest first. One that repeats the number before
    it says that a life began anew after a cut: at the first record from its offset on the lost ones are raised as a gap.
    `life` counts how often the log lost its end, so that its offsets mean other records: readers tell alerts of one life from those of
    the next. A log that never loses its end may leave it out.
    """

    position: int
    append_ns: int
    pairs: tuple[tuple[int, int], ...]
    life: int = 0


class SpikeLog(Protocol):
    """
    One partition of a spike log, as the spikes stage sees it.

    `switches` says how a revision comes into force here: at a marker that the stage appends; with the stage's commit, where it may not
    append, and then there are no ticks either and silence is not watched; or never, in the past.
    """

    id: str
    partition: int
    switches: Switches

    def append(self, values: Sequence[bytes]) -> int:
        """Append durably, in order, all or nothing; return the offset of the first."""

    def poll(self, position: int, max_bytes: int) -> list[Record]:
        """
        Return the records from `position` on; [] at the end, or where they are on their way. Never waits.

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
    """The alert log as the spikes stage of one partition sees it."""

    def commit(self, entries: Sequence[AlertEntry], commit: Commit, *, certain: bool = False) -> None:
        """
        Append the entries and set the position, so that the position is never ahead of the entries.

        The entries are durable on return. The position may follow a moment later, unless it is to be `certain`.
        """

    def committed(self) -> Commit | None:
        """Return the newest commit, None before the first."""

    def room(self, pairs: tuple[tuple[int, int], ...]) -> bool:
        """Say whether a commit can hold one pair more than these."""


class Revisions(Protocol):
    """The revisions log: contents by number; a number never gets another content."""

    def publish(self, content: bytes) -> int:
        """Append a content and return its number; one equal to the newest appends nothing and returns that number."""

    def revision(self, number: int) -> bytes | None:
        """Return a content, None for a number that was never published."""

    def newest(self) -> int | None:
        """Return the highest number, None before the first."""


class Numbered(Revisions, Protocol):
    """Revisions that can be walked back."""

    def before(self, number: int) -> int | None:
        """Return the highest number below this one, None if there is none."""
