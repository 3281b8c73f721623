"""
Fakes that are shipped, and wrappers that kill.

A clock that moves when told to, a log in memory that keeps every promise but durability, sinks and dead letters in memory;
around real logs and sinks, wrappers that end the process with SIGKILL at named points.
"""

from __future__ import annotations

import os
import signal
from bisect import bisect_left
from threading import Lock
from typing import TYPE_CHECKING, Any, Self

from spikebridge.alerts import known
from spikebridge.errors import LogMissing, SinkRefused, SinkUnavailable
from spikebridge.logs import Commit, Cursor, Record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from spikebridge.alerts import AlertEntry
    from spikebridge.delivery import Sink
    from spikebridge.logs import Switches

MAX_PAIRS = 1_000


class FakeClock:
    """A wall clock (call it) and a monotonic clock, both in ns, that stand still until they are moved."""

    def __init__(self, wall_ns: int = 1_700_000_000_000_000_000) -> None:
        """Begin at a wall time; the monotonic clock begins at 0."""
        self._wall_ns = wall_ns
        self._monotonic_ns = 0

    def __call__(self) -> int:
        """Read the wall clock."""
        return self._wall_ns

    def monotonic(self) -> int:
        """Read the monotonic clock."""
        return self._monotonic_ns

    def advance(self, ns: int) -> None:
        """Let time pass on both clocks."""
        self._wall_ns += ns
        self._monotonic_ns += ns

    def step(self, ns: int) -> None:
        """Set the wall clock forward or (below 0) back, as an administrator or NTP does; no time passes."""
        self._wall_ns += ns

    def set(self, wall_ns: int) -> None:
        """Let time pass until the wall clock shows `wall_ns`; going back is a step."""
        passed_ns = wall_ns - self._wall_ns
        (self.advance if passed_ns >= 0 else self.step)(passed_ns)


class MemoryLog:
    """
    Spike log, alert log, readers and revisions in memory, for one process and one thread.

    With `falls` append times follow the clock down, as those of a broker may; without, they never fall.
    """

    switches: Switches = "marker"

    def __init__(self, clock: FakeClock, log_id: str = "memory", *, partition: int = 0, falls: bool = False) -> None:
        """Begin empty, with the offsets 0."""
        self.id = log_id
        self.partition = partition
        self.commits: list[Commit] = []
        self.alerts: list[AlertEntry] = []
        self._clock = clock
        self._falls = falls
        self._records: list[Record] = []
        self._largest: list[int] = []
        self._first = 0
        self._cursors: dict[str, Cursor] = {}
        self._contents: list[bytes] = []

    def now_ns(self) -> int:
        """Return the append time that an append would get now."""
        return self._clock() if self._falls else max(self._clock(), self.last_append_ns())

    def append(self, values: Sequence[bytes]) -> int:
        """Append all values at one append time."""
        offset, now = len(self._records), self.now_ns()
        for at, value in enumerate(values, offset):
            self._records.append(Record(at, now, value))
            self._largest.append(max(now, self._largest[-1] if self._largest else 0))
        return offset

    def poll(self, position: int, max_bytes: int) -> list[Record]:
        """Return records of at most `max_bytes` together, or one."""
        if not self._first <= position <= len(self._records):
            raise LogMissing(f"record {position} is not in the log {self.id}: it holds {self._first} to {len(self._records) - 1}")
        found: list[Record] = []
        size = 0
        for record in self._records[position : position + max(1, max_bytes)]:
            size += len(record.value)
            if found and size > max_bytes:
                break
            found.append(record)
        return found

    def read(self, offsets: Sequence[int]) -> list[Record]:
        """Return those that are kept."""
        return [self._records[offset] for offset in offsets if self._first <= offset < len(self._records)]

    def offset_at(self, append_ns: int) -> int:
        """Count the largest append time so far, so that the answer has one meaning where times fall."""
        return max(self._first, bisect_left(self._largest, append_ns))

    def bounds(self) -> tuple[int, int]:
        """Return what `drop_before` left."""
        return self._first, len(self._records)

    def last_append_ns(self) -> int:
        """Return the append time of the newest record."""
        return self._records[-1].append_ns if self._records else 0

    def drop_before(self, offset: int) -> None:
        """Let retention pass: the records before `offset` are gone."""
        self._first = max(self._first, offset)

    def commit(self, entries: Sequence[AlertEntry], commit: Commit, *, certain: bool = False) -> None:  # noqa: ARG002 -- it always is
        """Append the entries and remember the commit."""
        self._append_alerts(entries)
        self.commits.append(commit)

    def committed(self) -> Commit | None:
        """Return the newest of `commits`; a test may remove some to set the position back."""
        return self.commits[-1] if self.commits else None

    def poll_alerts(self, position: int, limit: int) -> list[AlertEntry]:
        """Return a slice of `alerts`."""
        return known(self.alerts[max(0, position) : max(0, position) + limit])

    def room(self, pairs: tuple[tuple[int, int], ...]) -> bool:
        """Hold a thousand pairs."""
        return len(pairs) < MAX_PAIRS

    def alert_bounds(self) -> tuple[int, int]:
        """Return 0 and the end: nothing is ever dropped."""
        return 0, len(self.alerts)

    def alert_offset_at(self, append_ns: int) -> int:
        """Search the append times, which never fall."""
        return bisect_left(self.alerts, append_ns, key=lambda entry: entry.append_ns)

    def cursor(self, reader: str) -> Cursor | None:
        """Return what `advance` set."""
        return self._cursors.get(reader)

    def advance(self, reader: str, cursor: Cursor, entries: Sequence[AlertEntry] = ()) -> None:
        """Append and move."""
        self._append_alerts(entries)
        self._cursors[reader] = cursor

    def publish(self, content: bytes) -> int:
        """Give each content the next number, from 1 on."""
        if not self._contents or self._contents[-1] != content:
            self._contents.append(content)
        return len(self._contents)

    def revision(self, number: int) -> bytes | None:
        """Return the content under this number."""
        return self._contents[number - 1] if 1 <= number <= len(self._contents) else None

    def newest(self) -> int | None:
        """Return how many there are."""
        return len(self._contents) or None

    def before(self, number: int) -> int | None:
        """Return the number before this one."""
        return number - 1 if 1 < number <= len(self._contents) + 1 else None

    def _append_alerts(self, entries: Sequence[AlertEntry]) -> None:
        now = max(self._clock(), self.alerts[-1].append_ns if self.alerts else 0)
        for at, entry in enumerate(entries, len(self.alerts)):
            self.alerts.append(entry._replace(offset=at, append_ns=now))


class MemorySink:
    """
    A sink that keeps what it is given; `findings` are the entries in the order of their acknowledgement.

    It does not know ids, so what is written twice is there twice.
    """

    def __init__(self) -> None:
        """Begin closed and empty."""
        self.findings: list[AlertEntry] = []
        self.opened = False

    def open(self) -> None:
        """Note it."""
        self.opened = True

    def write(self, findings: Sequence[AlertEntry]) -> int:
        """Keep them."""
        self.findings += findings
        return 0

    def close(self) -> None:
        """Note it."""
        self.opened = False


class FlakySink(MemorySink):
    """A memory sink that is away for the next `away` calls, and refuses for good what `refuses` gives a reason for."""

    def __init__(self, away: int = 0, refuses: Callable[[AlertEntry], str] = lambda _: "") -> None:
        """Begin closed and empty."""
        super().__init__()
        self.away = away
        self.attempts = 0
        self._refuses = refuses

    def open(self) -> None:
        """Open, unless away."""
        self._attempt()
        super().open()

    def write(self, findings: Sequence[AlertEntry]) -> int:
        """Keep what isn't refused, unless away."""
        self._attempt()
        reasons = {entry.id: reason for entry in findings if (reason := self._refuses(entry))}
        super().write([entry for entry in findings if entry.id not in reasons])
        if reasons:
            raise SinkRefused(reasons)
        return 0

    def _attempt(self) -> None:
        self.attempts += 1
        if self.away > 0:
            self.away -= 1
            raise SinkUnavailable("away for a while")


class MemoryLetters:
    """Dead letters in memory, by sink and entry id; a test moves one from `kept` to `asked` to have it delivered again."""

    def __init__(self) -> None:
        """Begin empty."""
        self.kept: dict[tuple[str, str], tuple[AlertEntry, str]] = {}
        self.asked: set[tuple[str, str]] = set()

    def keep(self, sink: str, refused: Sequence[tuple[AlertEntry, str]]) -> None:
        """Keep them."""
        for entry, reason in refused:
            self.kept[sink, entry.id] = entry, reason
            self.asked.discard((sink, entry.id))

    def wanted(self, sink: str, limit: int) -> list[AlertEntry]:
        """Return those asked for."""
        return [entry for key, (entry, _) in sorted(self.kept.items()) if key in self.asked and key[0] == sink][:limit]

    def delivered(self, sink: str, entry: AlertEntry) -> None:
        """Let go."""
        self.asked.discard((sink, entry.id))
        del self.kept[sink, entry.id]


KILL_POINTS = (
    "after_append",
    "after_decode",
    "after_match",
    "before_commit",
    "after_commit",
    "after_sink_ack",
    "before_cursor",
)
"""Where a process can be killed: records appended; decoded; matched; within and after the transaction; a sink's acknowledgement; its cursor."""


class KillPoint:
    """Kills this process with SIGKILL when it passes a point for the n-th time: `KillPoint("after_match", 3)`."""

    def __init__(self, name: str, times: int = 1) -> None:
        """Wait for this point; the wrappers below say when it is passed."""
        if name not in KILL_POINTS:
            raise ValueError(f"expected one of {', '.join(KILL_POINTS)}, found {name}")
        self._name = name
        self._left = times
        self._lock = Lock()

    def passed(self, name: str) -> None:
        """Die, if it is time."""
        if name == self._name:
            with self._lock:
                self._left -= 1
                if self._left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)


class KillingLog:
    """A log (spike log, alert log, readers, all in one) whose process dies at a point; whatever else it offers is handed through."""

    def __init__(self, log: Any, point: KillPoint) -> None:
        """Wrap an open log."""
        self._log = log
        self._point = point

    def __getattr__(self, name: str) -> Any:
        """Hand through."""
        return getattr(self._log, name)

    def __enter__(self) -> Self:
        """Hand through."""
        self._log.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        """Hand through."""
        self._log.__exit__(*error)

    def append(self, values: Sequence[bytes]) -> int:
        """Append, then pass `after_append`."""
        offset: int = self._log.append(values)
        self._point.passed("after_append")
        return offset

    def poll(self, position: int, max_bytes: int) -> list[Record]:
        """Return records of which the last one passes `after_decode` when its offset is asked for: all values were read then."""
        records: list[Record] = self._log.poll(position, max_bytes)
        if records:
            records[-1] = _Watched.of(records[-1], self._point)
        return records

    def commit(self, entries: Sequence[AlertEntry], commit: Commit, *, certain: bool = False) -> None:
        """Commit; with alerts, pass `after_match` before, `before_commit` within and `after_commit` after the transaction."""
        if not entries:
            self._log.commit(entries, commit, certain=certain)
            return
        self._point.passed("after_match")
        self._log.commit(_Walked(entries, self._point), commit, certain=certain)
        self._point.passed("after_commit")

    def advance(self, reader: str, cursor: Cursor, entries: Sequence[AlertEntry] = ()) -> None:
        """Pass `before_cursor` if the reader is a sink's, then move it."""
        if reader.startswith("deliver:"):
            self._point.passed("before_cursor")
        self._log.advance(reader, cursor, entries)


class KillingSink:
    """A sink whose process dies after an acknowledgement."""

    def __init__(self, sink: Sink, point: KillPoint) -> None:
        """Wrap a sink."""
        self._sink = sink
        self._point = point

    def open(self) -> None:
        """Hand through."""
        self._sink.open()

    def write(self, findings: Sequence[AlertEntry]) -> int:
        """Write, then pass `after_sink_ack`."""
        known = self._sink.write(findings)
        self._point.passed("after_sink_ack")
        return known

    def close(self) -> None:
        """Hand through."""
        self._sink.close()


class _Walked(list["AlertEntry"]):
    """Entries that pass `before_commit` when they have been walked over: the log does that within its transaction."""

    def __init__(self, entries: Sequence[AlertEntry], point: KillPoint) -> None:
        super().__init__(entries)
        self._point = point

    def __iter__(self) -> Iterator[AlertEntry]:
        yield from super().__iter__()
        self._point.passed("before_commit")


class _Watched(Record):
    """A record that passes `after_decode` when its offset is asked for."""

    _point: KillPoint | None = None

    @classmethod
    def of(cls, record: Record, point: KillPoint) -> _Watched:
        watched = cls(*record)
        watched._point = point
        return watched

    @property
    def offset(self) -> int:
        if self._point:
            self._point.passed("after_decode")
        return self[0]
