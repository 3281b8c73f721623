"""
Delivery: the alert log to one sink, under one cursor.

The host does what all sinks need, so that a sink is three methods: it drops repeats, filters, tries again with back-off, puts aside what
is refused for good, and moves the cursor only after the sink's acknowledgement. What lay between the acknowledgement and the
cursor's commit when a process died is written again: a sink that knows ids has every alert exactly once.
Each sink has a cursor and a thread of its own, so one that is away for hours delays nobody.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import partial
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

from spikebridge import metrics as numbers
from spikebridge.alerts import SEVERITIES, Alert, AlertReaders, Cursor, read_finding
from spikebridge.errors import SinkRefused, SpikebridgeError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from spikebridge.alerts import AlertEntry, Severity
    from spikebridge.metrics import Metrics

BATCH_ENTRIES = 500
FIRST_BACK_OFF_S = 0.1
LONGEST_BACK_OFF_S = 30.0
IDLE_S = 0.02
LOOK_FOR_LETTERS_S = 2
STUCK_AFTER_S = 60
NS_PER_S = 1_000_000_000

_log = logging.getLogger(__name__)


class Sink(Protocol):
    """
    Where findings go. Calls come from one thread.

    A sink never waits to try again and never drops: it raises, and the host decides.
    """

    def open(self) -> None:
        """Get ready; `SinkUnavailable` if that must be tried again later."""

    def write(self, findings: Sequence[AlertEntry]) -> None:
        """
        Deliver all, in order; returning acknowledges them: they are durable where they went.

        `SinkUnavailable`: try the same batch again later, what arrived of it already must do no harm.
        `SinkRefused`: these will never be taken, all others of the batch are delivered.
        """

    def close(self) -> None:
        """Let go of what `open` took; closing twice, or what was never opened, does nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """What a sink wants: everything that is severe enough, of these sites (names or globs) and kinds; empty means all."""

    severity: Severity = "Low"
    sites: tuple[str, ...] = ()
    kinds: tuple[Literal["alert", "incident", "decision"], ...] = ()

    def wants(self, entry: AlertEntry) -> bool:
        """Say whether an entry passes; a decision has no severity and no site."""
        if self.kinds and entry.kind not in self.kinds:
            return False
        if entry.kind == "decision" or (self.severity == "Low" and not self.sites):
            return True
        finding = read_finding(entry.body)
        site = finding.device.site if isinstance(finding, Alert) else finding.site
        severe = SEVERITIES[finding.rule.severity] >= SEVERITIES[self.severity]
        return severe and (not self.sites or any(fnmatchcase(site, glob) for glob in self.sites))


class DeadLetters(Protocol):
    """What sinks refused for good, kept durably until somebody drops it or asks to have it delivered again."""

    def keep(self, sink: str, refused: Sequence[tuple[AlertEntry, str]]) -> None:
        """Keep the entries that a sink refused, each with the reason; the same again is only counted, and no longer wanted."""

    def wanted(self, sink: str) -> list[AlertEntry]:
        """Return some of the sink's entries that are to be delivered again."""

    def delivered(self, sink: str, entry: AlertEntry) -> None:
        """Let go of an entry that the sink has taken now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """
    What a delivery is given instead of reaching for it.

    `wait` lets so many seconds pass and returns whether to stop (`threading.Event.wait`); `clock` is the wall clock in ns, `random` is
    in [0, 1).
    """

    dead_letters: DeadLetters
    metrics: Metrics
    clock: Callable[[], int]
    wait: Callable[[float], bool]
    random: Callable[[], float]


class Health(NamedTuple):
    """How a sink is: `error` is what its last attempt failed with, "" after a success; `oldest_ns` when what waits was appended."""

    name: str
    up: bool
    position: int
    lag: int
    oldest_ns: int | None
    error: str

    def trouble(self, now_ns: int) -> str:
        """Say in a line what keeps the process from being ready: a sink that has failed for longer than a minute; "" otherwise."""
        waited_ns = 0 if self.oldest_ns is None else now_ns - self.oldest_ns
        if self.up or waited_ns < STUCK_AFTER_S * NS_PER_S:
            return ""
        return f"sink {self.name}: {self.lag} entries wait, the oldest for {waited_ns // NS_PER_S} s: {self.error}"


@dataclass(slots=True)
class Delivery:
    """
    One sink's way through the alert log.

    A sink that is new begins at the oldest entry that the log still holds. Its reader is `deliver:` and its name, so that no name
    of a sink is that of another stage.
    """

    name: str
    sink: Sink
    log: AlertReaders
    around: Surroundings
    where: Filter = Filter()
    cursor: Cursor = field(default=Cursor(), init=False)
    _error: str = field(default="", init=False)
    _oldest_ns: int | None = field(default=None, init=False)
    _looked_ns: int = field(default=0, init=False)

    @property
    def reader(self) -> str:
        """Whose cursor it is in the alert log."""
        return f"deliver:{self.name}"

    def run(self) -> None:
        """Open, deliver until told to stop, close. The batch in hand is finished unless its sink is away."""
        try:
            if self.open():
                while not self.around.wait(0):
                    if not self.step() and self.around.wait(IDLE_S):
                        break
        finally:
            self.sink.close()

    def drain(self) -> bool:
        """Deliver to the end of the log, for `run --once`; False when told to stop before that."""
        while not self.around.wait(0) and self.step():
            pass
        return self.cursor.position >= self.log.alert_bounds()[1]

    def open(self) -> bool:
        """Find the cursor and open the sink, as often as it takes; False when told to stop."""
        return self._until_done(self._find_cursor) and self._until_done(self.sink.open)

    def step(self) -> int:
        """Deliver one batch; return how many entries the cursor passed, 0 at the end of the log or when told to stop."""
        polled: list[AlertEntry] = []
        wanted: list[AlertEntry] = []
        seen: dict[int, tuple[int, int]] = {}

        def poll() -> None:
            polled[:] = self.log.poll_alerts(self.cursor.position, BATCH_ENTRIES)
            fresh, highest = without_repeats(polled, self.cursor.seen)
            wanted[:] = filter(self.where.wants, fresh)
            seen.update(highest)
            self._oldest_ns = polled[0].append_ns if polled else None
            self._count(numbers.REPEATS, len(polled) - len(fresh))
            self._count(numbers.FILTERED, len(fresh) - len(wanted))

        if not self._until_done(poll):
            return 0
        if not polled:
            self._deliver_letters()
            return 0
        self._count_missed(polled[0].offset)
        if wanted and self._deliver(wanted) is None:
            return 0
        moved = Cursor(polled[-1].offset + 1, seen)
        if not self._until_done(lambda: self.log.advance(self.reader, moved)):
            return 0
        self.cursor = moved
        return len(polled)

    def health(self) -> Health:
        """Say how the sink is, from any thread."""
        first, end = self.log.alert_bounds()
        position = max(first, self.cursor.position)
        return Health(self.name, not self._error, position, max(0, end - position), self._oldest_ns, self._error)

    def measure(self) -> None:
        """Set the gauges that say how far behind the sink is: for `Metrics.before_render`."""
        health = self.health()
        age_ns = 0 if health.oldest_ns is None else max(0, self.around.clock() - health.oldest_ns)
        self.around.metrics.set(numbers.SINK_LAG, health.lag, sink=self.name)
        self.around.metrics.set(numbers.SINK_OLDEST, age_ns / NS_PER_S, sink=self.name)

    def _find_cursor(self) -> None:
        """Read the cursor; a new reader's is set at once, so that retention waits for a sink that is away from the start."""
        known = self.log.cursor(self.reader)
        if known is None:
            known = Cursor(self.log.alert_bounds()[0])
            self.log.advance(self.reader, known)
        self.cursor = known

    def _deliver(self, wanted: Sequence[AlertEntry]) -> dict[str, str] | None:
        """Have the sink acknowledge or refuse every entry; return the reasons of refusals by id, None when told to stop before that."""
        refused: dict[str, str] = {}

        def write() -> None:
            began_ns = self.around.clock()
            try:
                self.sink.write(wanted)
            except SinkRefused as refusal:
                refused.update(refusal.reasons)
            self.around.metrics.observe(numbers.WRITE_SECONDS, (self.around.clock() - began_ns) / NS_PER_S, sink=self.name)

        if not self._until_done(write):
            return None
        dead = [(entry, refused[entry.id]) for entry in wanted if entry.id in refused]
        if dead and not self._until_done(lambda: self.around.dead_letters.keep(self.name, dead)):
            return None
        for entry, reason in dead:
            _log.warning("sink %s refused %s %s: %s", self.name, entry.kind, entry.id, reason)
        self._count(numbers.DEAD_LETTERS, len(dead))
        self._count(numbers.DELIVERED, len(wanted) - len(dead))
        return refused

    def _deliver_letters(self) -> None:
        """Deliver the dead letters that somebody asked for, looked up now and then."""
        now_ns = self.around.clock()
        if now_ns - self._looked_ns < LOOK_FOR_LETTERS_S * NS_PER_S:
            return
        self._looked_ns = now_ns
        letters: list[AlertEntry] = []
        if self._until_done(lambda: letters.extend(self.around.dead_letters.wanted(self.name))):
            for entry in letters:
                refused = self._deliver([entry])
                if refused is None:
                    return
                if not refused:
                    self._until_done(partial(self.around.dead_letters.delivered, self.name, entry))

    def _until_done(self, action: Callable[[], None]) -> bool:
        """Try until it works, each wait about twice as long as the one before; False when told to stop."""
        back_off_s = FIRST_BACK_OFF_S
        while True:
            try:
                action()
            except SpikebridgeError as error:
                self._failed(str(error))
            except Exception as error:  # noqa: BLE001 -- a mistake in a sink must neither end its thread in silence nor lose a batch
                self._failed(f"unexpected {type(error).__name__}: {error}", error)
            else:
                self._error = ""
                self.around.metrics.set(numbers.SINK_UP, 1, sink=self.name)
                return True
            if self.around.wait(back_off_s * (0.5 + self.around.random() / 2)):
                return False
            back_off_s = min(2 * back_off_s, LONGEST_BACK_OFF_S)

    def _failed(self, error: str, cause: Exception | None = None) -> None:
        if error != self._error:
            _log.warning("sink %s: %s; trying again", self.name, error, exc_info=cause)
        self._error = error
        self.around.metrics.set(numbers.SINK_UP, 0, sink=self.name)
        self._count(numbers.RETRIES, 1)

    def _count_missed(self, offset: int) -> None:
        missed = offset - self.cursor.position
        if missed > 0:
            _log.error("sink %s: retention took %d entries before they were delivered", self.name, missed)
            self._count(numbers.MISSED, missed)

    def _count(self, metric: numbers.Metric, amount: int) -> None:
        self.around.metrics.inc(metric, amount, sink=self.name)


def without_repeats(
    entries: Sequence[AlertEntry], seen: Mapping[int, tuple[int, int]]
) -> tuple[list[AlertEntry], dict[int, tuple[int, int]]]:
    """
    Return the entries that are higher than everything of their input partition before them, and the highest now.

    What has no input partition (incidents, told apart by id and version) passes.
    """
    highest = dict(seen)
    fresh: list[AlertEntry] = []
    for entry in entries:
        partition, *place = entry.source
        if partition >= 0:
            if partition in highest and (place[0], place[1]) <= highest[partition]:
                continue
            highest[partition] = (place[0], place[1])
        fresh.append(entry)
    return fresh, highest
