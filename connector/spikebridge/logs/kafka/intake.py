"""Records of several partitions on their way: fetched together, handed out one partition at a time, bounded in bytes."""

from __future__ import annotations

import time
from bisect import bisect_left, bisect_right
from itertools import accumulate
from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple

from spikebridge.errors import LogMissing

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from spikebridge.kafka.client import Partition, Reader
    from spikebridge.spikes.record import Record

LOW_BYTES = 2 << 20
"""While so much waits of every partition nothing is fetched: what the client has on its way already is bounded by the client."""

HIGH_BYTES = 16 << 20
"""A partition with more waiting, because it is slower than its neighbours or fails, is paused until little is left: a pause may cost what is on its way."""

SAME_EVERY_S = 0.25
"""So often a topic's id is asked for; a topic made anew has another."""

RECORD_BYTES = 200
"""What a record takes beside its value and key: one without either is not for nothing."""


class _Asked(NamedTuple):
    """A topic's id, when it was asked for, and how many fetches there were before."""

    id: str
    at: float
    fetches: int


class _Waiting:
    """
    What waits of one partition; `position` is where the next take is expected to begin.

    Records stay in one list, each with the bytes up to its end: what was handed out lies before `_at`, what was handed out last from `_last` on.
    """

    def __init__(self, position: int) -> None:
        self.position = position
        self.paused = False
        self.missing = False
        self._records: list[Record] = []
        self._ends: list[int] = []
        self._last = self._at = 0
        self._begin = 0

    @property
    def records(self) -> int:
        return len(self._records) - self._at

    @property
    def bytes(self) -> int:
        return self._ends[-1] - self._before() + self.records * RECORD_BYTES if self.records else 0

    def put(self, records: Sequence[Record]) -> None:
        self._forget()
        sizes = [len(value) + len(key or b"") for _, _, value, key in records]
        sizes[:1] = [size + (self._ends[-1] if self._ends else self._begin) for size in sizes[:1]]
        self._records += records
        self._ends += accumulate(sizes)

    def back(self, position: int) -> bool:
        """Take back what was handed out last from `position` on, if that is where it begins or lies."""
        if self._last == self._at or not self._records[self._last].offset <= position <= self.position:
            return False
        self._last = self._at = bisect_left(self._records, position, self._last, self._at, key=attrgetter("offset"))
        self.position = position
        return True

    def take(self, max_bytes: int) -> list[Record]:
        if not self.records:
            return []
        until = max(self._at + 1, bisect_right(self._ends, self._before() + max_bytes, self._at))
        found = self._records[self._at : until]
        self._last, self._at = self._at, until
        self.position = found[-1].offset + 1
        if not self.records:
            self._forget()
        return found

    def _forget(self) -> None:
        """Let go of what was handed out before the last take."""
        if self._last:
            self._begin = self._ends[self._last - 1]
            del self._records[: self._last], self._ends[: self._last]
            self._last, self._at = 0, self._at - self._last

    def _before(self) -> int:
        return self._ends[self._at - 1] if self._at else self._begin


class Intake:
    """Fetches for one thread, whose waiting goes by `monotonic`."""

    def __init__(self, reader: Reader, monotonic: Callable[[], float] = time.monotonic) -> None:
        """Follow nothing yet."""
        self.reader = reader
        self.monotonic = monotonic
        self._waiting: dict[Partition, _Waiting] = {}
        self._fetches = 0
        self._asked: dict[str, _Asked] = {}

    def fill(self, wait_s: float) -> int:
        """Fetch what has come if a partition has little waiting, and wait for it only where nothing waits; return how many records that were."""
        if all(one.paused or one.bytes >= LOW_BYTES for one in self._waiting.values()):
            return 0
        self._fetches += 1
        fetched = self.reader.poll(0.0 if any(one.records for one in self._waiting.values()) else wait_s)
        for partition in fetched.missing:
            if partition in self._waiting:
                self._waiting[partition].missing = True
        for partition, records in fetched.records.items():
            if partition in self._waiting:
                self._take_in(partition, self._waiting[partition], records)
        return sum(map(len, fetched.records.values()))

    def take(self, partition: Partition, position: int, max_bytes: int) -> list[Record]:
        """Hand out records from `position` on, [] while they are on their way; `LogMissing` when they are not in the log."""
        if position < 0:
            raise LogMissing(f"record {position} is not in the log {partition}: offsets begin at 0")
        waiting = self._waiting.get(partition)
        if waiting is None or (waiting.position != position and not waiting.back(position)):
            self._waiting[partition] = _Waiting(position)
            self.reader.follow(partition, position)
            return []
        if waiting.missing and not waiting.records:
            del self._waiting[partition]
            raise LogMissing(f"record {position} is not in the log {partition} (any more)")
        found = waiting.take(max_bytes)
        if waiting.paused and waiting.bytes < LOW_BYTES:
            self.reader.resume(partition)
            waiting.paused = False
        return found

    def topic_id(self, topic: str, *, now: bool) -> str:
        """Return a topic's id, "" while it isn't there: as it was lately, or, for `now`, as it is after all that was fetched."""
        asked = self._asked.get(topic)
        if asked and (asked.fetches == self._fetches if now else self.monotonic() - asked.at < SAME_EVERY_S):
            return asked.id
        found = self.reader.topic_id(topic)
        self._asked[topic] = _Asked(found, self.monotonic(), self._fetches)
        return found

    def leave(self, partition: Partition) -> None:
        """Fetch no more of a partition."""
        if self._waiting.pop(partition, None):
            self.reader.leave(partition)

    def _take_in(self, partition: Partition, waiting: _Waiting, records: Sequence[Record]) -> None:
        waiting.put(records)
        if waiting.bytes > HIGH_BYTES and not waiting.paused:
            self.reader.pause(partition)
            waiting.paused = True
