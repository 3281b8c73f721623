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
from functools import partial
from threading import Event
from typing import TYPE_CHECKING, NamedTuple, Protocol, runtime_checkable

from spikebridge import metrics as numbers
from spikebridge.alerts import AlertReaders, Cursor
from spikebridge.errors import LogReplaced, SinkRefused, SinkTooLarge, SinkUnavailable, SpikebridgeError
from spikebridge.filter import Filter

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from spikebridge.alerts import AlertEntry
    from spikebridge.metrics import Metrics

POLL_ENTRIES = 500
"""Entries are read from the log in portions of so many: each may bring 64 KiB of evidence."""

FIRST_BACK_OFF_S = 0.1
LONGEST_BACK_OFF_S = 30.0
IDLE_S = 0.02
LOOK_FOR_LETTERS_S = 2
LETTERS_TAKE_S = 0.2
LETTERS_AT_ONCE = 100
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

    def write(self, findings: Sequence[AlertEntry]) -> int:
        """
        Deliver all, in order; returning acknowledges them: they are durable where they went. Say how many were there already.

        `SinkUnavailable`: try again later what it names, what arrived of it already must do no harm.
        `SinkTooLarge`: nothing was taken, try it in two parts.
        `SinkRefused`: these will never be taken, all others of the batch are delivered.
        """

    def close(self) -> None:
        """Let go of what `open` took; closing twice, or what was never opened, does nothing."""


@runtime_checkable
class Waiting(Protocol):
    """A sink that takes its time; the host gives it its own `wait`, so that it ends when the host does."""

    wait: Callable[[float], bool]


@runtime_checkable
class Lingering(Protocol):
    """A sink whose receiver says later that it has something: once `wait` said to stop it may `linger` a little until then."""

    linger: Callable[[float], bool]


class Batch(NamedTuple):
    """
    How much a sink is given at once, and how much at most is written again after a crash.

    It ends with the portion of the log in which it has reached so many bytes, evidence among them.
    """

    entries: int = POLL_ENTRIES
    bytes: int = 32_000_000


@runtime_checkable
class Batching(Protocol):
    """A sink for which the usual `Batch` is too small, or too large; it is asked before each."""

    @property
    def batch(self) -> Batch:
        """How much the next `write` should have."""


class DeadLetters(Protocol):
    """What sinks refused for good, kept durably until somebody drops it or asks to have it delivered again."""

    def keep(self, sink: str, refused: Sequence[tuple[AlertEntry, str]]) -> None:
        """Keep the entries that a sink refused, each with the reason; the same again is only counted, and no longer wanted."""

    def wanted(self, sink: str, limit: int) -> list[AlertEntry]:
        """Return the first of the sink's entries that are to be delivered again and can be, from any thread."""

    def delivered(self, sink: str, entry: AlertEntry) -> None:
        """Let go of an entry that the sink has taken now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """
    What a delivery is given instead of reaching for it.

    `wait` lets so many seconds pass and returns whether to stop (`threading.Event.wait`); `linger` lets them pass all the same, and returns
    whether the cursor could not be moved any more; `clock` is the wall clock in ns, `random` is in [0, 1). `looked` holds when letters of a
    sink were looked for last, for all deliveries of a thread.
    """

    dead_letters: DeadLetters
    metrics: Metrics
    clock: Callable[[], int]
    wait: Callable[[float], bool]
    random: Callable[[], float]
    linger: Callable[[float], bool] = field(default=Event().wait)
    looked: dict[str, int] = field(default_factory=dict)


class Health(NamedTuple):
    """How a sink is: `error` is what its last attempt failed with, "" after a success; `oldest_ns` when what waits was appended."""

    name: str
    up: bool
    position: int
    lag: int
    oldest_ns: int | None
    error: str

    def trouble(self, now_ns: int) -> str:
        """
        Say what keeps the process from being ready, "" if nothing does.

        A sink that fails, once an entry has waited for it for a minute; and at once where nothing could be read for it yet: it was never
        opened, or the alert log is out of reach.
        """
        if self.up or self.oldest_ns is None:
            return self.error
        waited_ns = now_ns - self.oldest_ns
        if waited_ns < STUCK_AFTER_S * NS_PER_S:
            return ""
        return f"{self.lag} entries wait, the oldest for {waited_ns // NS_PER_S} s: {self.error}"


@dataclass(slots=True)
class Delivery:
    """
    One sink's way through the alert log.

    A sink that is new begins at the oldest entry that the log still holds. Its reader is `deliver:` and its name, so that no name
    of a sink is that of another stage. Where one thread steps through several deliveries they are `shared`: what cannot be read is raised,
    so that the others go on; what cannot be written is tried again here, for the others write to the same sink.
    """

    name: str
    sink: Sink
    log: AlertReaders
    around: Surroundings
    where: Filter = field(default=Filter())
    shared: bool = False
    cursor: Cursor = field(default=Cursor(), init=False)
    _error: str = field(default="", init=False)
    _oldest_ns: int | None = field(default=None, init=False)

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
        if isinstance(self.sink, Waiting):
            self.sink.wait = self.around.wait
        if isinstance(self.sink, Lingering):
            self.sink.linger = self.around.linger
        return self._read(self._find_cursor) and self._until_done(self.sink.open)

    def step(self) -> int:
        """Deliver one batch; return how many entries the cursor passed: when told to stop, those before the first that is left."""
        polled: list[AlertEntry] = []
        wanted: list[AlertEntry] = []

        def poll() -> None:
            polled[:] = self._batch()
            fresh, _ = without_repeats(polled, self.cursor.seen)
            wanted[:] = filter(self.where.wants, fresh)
            self._oldest_ns = polled[0].append_ns if polled else None
            self._count(numbers.REPEATS, len(polled) - len(fresh))
            self._count(numbers.FILTERED, len(fresh) - len(wanted))

        if not self._read(poll):
            return 0
        if not self._deliver_letters(wanted) or not polled:
            return 0
        self._count_missed(polled[0].offset)
        left = self._deliver(wanted)[1] if wanted else None
        passed = [entry for entry in polled if left is None or entry.offset < left]
        moved = Cursor(passed[-1].offset + 1, without_repeats(passed, self.cursor.seen)[1]) if passed else self.cursor
        if not passed or not self._until_done(lambda: self.log.advance(self.reader, moved)):
            return 0
        self.cursor = moved
        return len(passed)

    def _batch(self) -> list[AlertEntry]:
        """Read what there is, up to a batch of the sink; what stands in the way of a later portion is met again at the next batch."""
        most = self.sink.batch if isinstance(self.sink, Batching) else Batch()
        batch = self.log.poll_alerts(self.cursor.position, min(most.entries, POLL_ENTRIES))
        size = sum(map(_size, batch))
        while batch and max(len(batch), POLL_ENTRIES) < most.entries and size < most.bytes:
            position = batch[-1].offset + 1
            try:
                portion = self.log.poll_alerts(position, min(most.entries - len(batch), POLL_ENTRIES))
            except SpikebridgeError:
                break
            if not portion or portion[0].offset > position:
                break
            batch += portion
            size += sum(map(_size, portion))
        return batch

    def health(self) -> Health:
        """Say how the sink is, from any thread."""
        first, end = self.log.alert_bounds()
        position = max(first, self.cursor.position)
        return Health(self.name, not self._error, position, max(0, end - position), self._oldest_ns, self._error)

    def _find_cursor(self) -> None:
        """Read the cursor; a new reader's is set at once, so that retention waits for a sink that is away from the start."""
        known = self.log.cursor(self.reader)
        if known is None:
            known = Cursor(self.log.alert_bounds()[0])
            self.log.advance(self.reader, known)
        self.cursor = known

    def _deliver(self, wanted: Sequence[AlertEntry]) -> tuple[dict[str, str], int | None]:
        """Have the sink acknowledge or refuse every entry; return the reasons of refusals, and when told to stop the first offset left."""
        refused: dict[str, str] = {}
        left = list(wanted)
        self._until_done(lambda: self._write(left, refused))
        first_left = left[0].offset if left else None
        done = [entry for entry in wanted if first_left is None or entry.offset < first_left]
        dead = [(entry, refused[entry.id]) for entry in done if entry.id in refused]
        if dead and not self._until_done(lambda: self.around.dead_letters.keep(self.name, dead)):
            return {}, wanted[0].offset
        for entry, reason in dead:
            _log.warning("sink %s refused %s %s: %s", self.name, entry.kind, entry.id, reason)
        self._count(numbers.DEAD_LETTERS, len(dead))
        self._count(numbers.DELIVERED, len(done) - len(dead))
        return refused, first_left

    def _write(self, left: list[AlertEntry], refused: dict[str, str]) -> None:
        """Write what is left, in smaller and smaller parts if need be; what is delivered or refused is taken off."""
        size = len(left)
        while left:
            part = left[:size]
            try:
                self._write_part(part)
            except SinkRefused as refusal:
                refused.update(refusal.reasons)
                self._count(numbers.KNOWN, refusal.known)
                self._count(numbers.DOUBTFUL, refusal.doubtful)
            except SinkTooLarge as error:
                if size > 1:
                    size = (size + 1) // 2
                    continue
                refused[part[0].id] = str(error)
            except SinkUnavailable as error:
                refused.update(error.refused)
                self._count(numbers.DOUBTFUL, error.doubtful)
                self._count(numbers.KNOWN, error.known)
                if error.undelivered is not None:
                    left[: len(part)] = [entry for entry in part if entry.id in error.undelivered]
                raise
            del left[: len(part)]

    def _write_part(self, part: Sequence[AlertEntry]) -> None:
        began_ns = self.around.clock()
        known = self.sink.write(part)
        self.around.metrics.observe(numbers.WRITE_SECONDS, (self.around.clock() - began_ns) / NS_PER_S, sink=self.name)
        self._count(numbers.KNOWN, known)

    def _deliver_letters(self, fresh: list[AlertEntry]) -> bool:
        """Deliver letters that were asked for, looked up now and then, a few while `fresh` entries wait, which are done where they are letters; False: stop."""
        began_ns = self.around.clock()
        if began_ns - self.around.looked.get(self.name, 0) < LOOK_FOR_LETTERS_S * NS_PER_S:
            return True
        letters: list[AlertEntry] = []
        if not self._until_done(lambda: letters.extend(self.around.dead_letters.wanted(self.name, LETTERS_AT_ONCE))):
            return False
        for entry in letters:
            refused, left = self._deliver([entry])
            let_go = partial(self.around.dead_letters.delivered, self.name, entry)
            if left is not None or not (refused or self._until_done(let_go)):
                return False
            fresh[:] = [one for one in fresh if (one.id, one.version) != (entry.id, entry.version)]
            if fresh and self.around.clock() - began_ns >= LETTERS_TAKE_S * NS_PER_S:
                break
        if fresh or len(letters) < LETTERS_AT_ONCE:
            self.around.looked[self.name] = self.around.clock()
        return True

    def _read(self, action: Callable[[], None]) -> bool:
        if not self.shared:
            return self._until_done(action)
        action()
        return True

    def _until_done(self, action: Callable[[], None]) -> bool:
        """Try until it works, each wait about twice as long as the one before; False when told to stop. `LogReplaced` ends it."""
        back_off_s = FIRST_BACK_OFF_S
        while True:
            least_s = 0.0
            try:
                action()
            except LogReplaced:
                raise  # for good: the position means nothing any more, and whoever made this delivery makes another one
            except SpikebridgeError as error:
                self._failed(str(error))
                least_s = error.after_s if isinstance(error, SinkUnavailable) else 0.0
            except Exception as error:  # noqa: BLE001 -- a mistake in a sink must neither end its thread in silence nor lose a batch
                self._failed(f"unexpected {type(error).__name__}: {error}", error)
            else:
                self._error = ""
                self.around.metrics.set(numbers.SINK_UP, 1, sink=self.name)
                return True
            if self.around.wait(max(least_s, back_off_s * (0.5 + self.around.random() / 2))):
                return False
            back_off_s = min(2 * back_off_s, LONGEST_BACK_OFF_S)

    def _failed(self, error: str, cause: Exception | None = None) -> None:
        if error != self._error:
            _log.warning("sink %s: %s; trying again", self.name, error, exc_info=cause)
        self._error = error
        self.around.metrics.set(numbers.SINK_UP, 0, sink=self.name)
        self._count(numbers.RETRIES, 1)

    def _count_missed(self, offset: int) -> None:
        """Count what retention took before the first entry of a batch; other gaps are offsets that hold no entry."""
        missed = 0
        if offset > self.cursor.position:
            missed = min(offset, self.log.alert_bounds()[0]) - self.cursor.position
        if missed > 0:
            _log.error("sink %s: retention took %d entries before they were delivered", self.name, missed)
            self._count(numbers.MISSED, missed)

    def _count(self, metric: numbers.Metric, amount: int) -> None:
        self.around.metrics.inc(metric, amount, sink=self.name)


def _size(entry: AlertEntry) -> int:
    return len(entry.body) + sum(map(len, entry.evidence))


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
