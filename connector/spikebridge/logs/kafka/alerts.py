"""One partition of the alert topic, as a reader with a group of its own sees it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from spikebridge.alerts import Cursor
from spikebridge.errors import LogError, LogMissing, LogReplaced, LogUnavailable, SchemaError
from spikebridge.kafka.client import Partition, Place
from spikebridge.logs.kafka import sealed
from spikebridge.logs.kafka.spikes import Ends, SameTopic

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from spikebridge.alerts import AlertEntry
    from spikebridge.logs.kafka.intake import Intake
    from spikebridge.logs.kafka.member import Member
    from spikebridge.logs.kafka.sealed import Home
    from spikebridge.logs.kafka.spikes import AlertTopic
    from spikebridge.spikes.record import Record

FETCH_S = 5.0
SLICE_S = 0.1
ASKED_OFFSETS = 1_000
"""So many offsets that bring nothing are asked for at once, whether they hold records."""

ENTRY_BYTES = 64 << 10
"""A take is asked for so many bytes for each entry wanted; large entries come in several takes."""

_log = logging.getLogger(__name__)


class AlertPartition:
    """
    Readers of a partition of the alert topic: the reader is the group, so its name is only told.

    Positions are the topic's offsets. A cursor's commit follows a moment after `advance`, and what a reader made of the alerts is
    appended before it: after a crash between the two it is appended again, with the same ids and versions.
    """

    def __init__(
        self,
        home: Home,
        partition: Partition,
        member: Member,
        intake: Intake,
        alerts: AlertTopic | None = None,
        foreign: Callable[[], None] = lambda: None,
    ) -> None:
        """Ask nothing yet; `alerts` is for a reader that appends what it makes of them, `foreign` is called for each record that is none of ours."""
        self._home = home
        self._partition = partition
        self._member = member
        self._intake = intake
        self._alerts = alerts
        self._same = SameTopic(intake, partition, home)
        self._ends = Ends(intake.reader, partition, intake.monotonic)
        self._foreign = foreign
        self._left_out = 0
        self._passed = (-1, -1)
        self._told_gone = -1
        self._told_foreign = -1

    def poll_alerts(self, position: int, limit: int) -> list[AlertEntry]:
        """Return entries from `position` on, waiting for those that are there; what retention has dropped is left out."""
        self._same()
        asked, reached = position, self._passed[1] if position == self._passed[0] else position
        position = self._kept(reached)
        while True:
            try:
                records, position = self._there(position, limit)
            except LogMissing:
                self.look()
                first, end = self._ends.known
                if position > end:
                    raise LogReplaced(
                        f"{self._partition}: it ends at {end}, before the cursor {position}: its end was lost"
                    ) from None
                if not position < first:
                    raise
                position = self._kept(position)
                continue
            entries = self._opened(records)
            if entries or not records:
                self._passed = (asked, position)  # whoever asks again, as at the end of the log, is not to fetch them again
                return entries
            position = records[-1].offset + 1

    def alert_bounds(self) -> tuple[int, int]:
        """Return (first offset kept, next to be written), from any thread: as the partition's own thread last had it."""
        return self._ends.known

    def left(self, position: int) -> int:
        """Return how many offsets from a position on may hold entries, from any thread: those that were found to hold none are passed."""
        (first, end), (asked, passed) = self._ends.known, self._passed
        return max(0, end - max(first, passed if position == asked else position))

    def asked_at(self) -> float:
        """Return when the broker was asked for the bounds that are known, from any thread: a monotonic time, before all others while they aren't."""
        return self._ends.asked_at

    def look(self) -> None:
        """Ask the broker for the bounds, in the partition's own thread."""
        self._ends(now=True)

    def alert_offset_at(self, append_ns: int) -> int:
        """Return the first offset appended at `append_ns` or later."""
        return self._intake.reader.offset_at(self._partition, append_ns)

    def cursor(self, reader: str) -> Cursor | None:
        """Return where the group stands; a new group, and one that stood in another topic of this name, has no cursor."""
        self.look()
        place = self._member.committed(self._partition)
        if place is None:
            return None
        cursor = sealed.read_cursor(place, self._home)
        if cursor is None:
            _log.error(
                "%s: %s was read under another id, so it was made anew: reading it from its beginning", reader, self._partition
            )
            return None
        if not sealed.is_cursor(place):
            _log.error(
                "%s: %s: the committed position %d is not ours: going on from there", reader, self._partition, place.offset
            )
        first, end = self.alert_bounds()
        if cursor.position > end:
            _log.error("%s: %s ends at %d, before the cursor %d: reading it anew", reader, self._partition, end, cursor.position)
            return Cursor(first, cursor.seen)
        return cursor

    def advance(self, reader: str, cursor: Cursor, entries: Sequence[AlertEntry] = ()) -> None:
        """Append what the reader made of the alerts, to this same partition, then set the cursor."""
        if entries and self._alerts:
            self._alerts.append(entries, self._partition.number)
        metadata, left_out = sealed.pack_cursor(cursor, self._home)
        if left_out > self._left_out:
            _log.warning(
                "%s: no room in a commit for %d of %d inputs: their repeats may be read twice", reader, left_out, len(cursor.seen)
            )
        self._left_out = left_out
        self._member.keep(self._partition, Place(cursor.position, metadata))

    def _kept(self, position: int) -> int:
        """Return the position, or the first one that retention has left."""
        first, end = self._ends()
        if position >= first:
            return position
        if self._told_gone < first:
            _log.warning("%s: %d to %d are gone, the topic holds %d to %d", self._partition, position, first - 1, first, end - 1)
            self._told_gone = first
        return first

    def _opened(self, records: Sequence[Record]) -> list[AlertEntry]:
        """Open what are entries; what never was one is passed, said and counted, and one of a newer version waits for an upgrade."""
        entries: list[AlertEntry] = []
        for record in records:
            try:
                entries.append(sealed.unseal(record))
            except SchemaError:
                if entries:
                    break
                raise
            except LogError as error:
                if self._told_foreign < record.offset:
                    _log.error("%s: %s: passed over", self._partition, error)
                    self._foreign()
                    self._told_foreign = record.offset
        return entries

    def _there(self, position: int, limit: int) -> tuple[list[Record], int]:
        """Return what is there from a position on, nothing only at the end, and where that is: offsets without a record are passed."""
        until = self._intake.monotonic() + FETCH_S
        while True:
            records = self._intake.take(self._partition, position, limit * ENTRY_BYTES)
            if records or position >= self._ends()[1]:
                return records[:limit], position
            if self._intake.monotonic() > until:
                position, until = self._beyond_empty(position), self._intake.monotonic() + FETCH_S
                continue
            self._intake.fill(SLICE_S)
            self._member.hear()

    def _beyond_empty(self, position: int) -> int:
        """Return the position behind offsets that hold no record, as the end of a transaction does; `LogUnavailable` when there is one that doesn't come."""
        end, passed = self._ends(now=True)[1], position
        while passed < end:
            asked = range(passed, min(end, passed + ASKED_OFFSETS))
            if self._intake.reader.read(self._partition, asked):
                break
            passed = asked.stop
            self._member.hear()
        if passed == position < end:
            raise LogUnavailable(f"{self._partition}: nothing came from record {position} on within {FETCH_S:.0f} s")
        return passed
