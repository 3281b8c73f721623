"""
The matcher: batches in, matches out. What it remembers is a function of the records of the look-back.

A batch is cut where something may happen that changes how later records count: a gap in the log, a new minute, a clock of absence
that ends. Between two such places everything is array operations.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

import numpy as np

from spikebridge.alerts import RuleInfo
from spikebridge.limits import SECOND
from spikebridge.mapping.admission import Crowd, Duplicates, shifts
from spikebridge.mapping.columns import NEVER, borders
from spikebridge.mapping.counting import Counting, Piece
from spikebridge.mapping.detecting import Detecting, remodelled
from spikebridge.mapping.reach import OUT_OF_REACH, Reach
from spikebridge.mapping.silence import Clocks, Seen, Silent
from spikebridge.mapping.windows import Marks
from spikebridge.spikes.batch import ROLE_INPUT, ROLE_OUTPUT
from spikebridge.spikes.names import Layers

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from spikebridge.limits import Limits
    from spikebridge.mapping.compile import Compiled
    from spikebridge.mapping.counting import Crossing
    from spikebridge.spikes.batch import Batch
    from spikebridge.spikes.names import Devices

    Ints = NDArray[np.int64]

    Answered = tuple[NDArray[np.uint32], NDArray[np.int64]]

NO_DEVICE = -1

LOG_GAP = RuleInfo(
    id="log_gap",
    kind="health",
    threat="Log_Gap",
    severity="Medium",
    digest="",
    category="Sensor Health",
    description="The spike log stood still: what happened meanwhile was not seen, and absence clocks begin anew.",
    # Each gap is an alert of its own: whoever rebuilds the state can't know of a gap that began before the look-back.
    suppress_ns=SECOND,
)
LOG_CLOCK = RuleInfo(
    id="log_clock",
    kind="health",
    threat="Log_Clock",
    severity="Medium",
    digest="",
    category="Sensor Health",
    description="Append times of the spike log fell by more than the limit: the largest so far counts.",
)
CROWD = RuleInfo(
    id="crowd",
    kind="health",
    threat="Device_Crowd",
    severity="High",
    digest="",
    category="Sensor Health",
    description="More devices outside the inventory than are let in per minute: later ones were refused.",
)
HEALTH = (LOG_GAP, LOG_CLOCK, CROWD)


class Match(NamedTuple):
    """
    A condition that holds for the first time in an interval.

    `at` is the position of the record in the batch; `append_ns` its effective append time. Counting rules: `part` and `row` name the spike that
    crossed (frame of the record, row of the frame), `clock_ns` the window's time at the first that counts; `answer` are neurons and times of the
    frame, before re-timing, where a model gave them. Others: `started` is what the clock ran from.
    """

    at: int
    order: Literal[0, 1, 2]
    rule: RuleInfo
    device: int
    append_ns: int
    interval_ns: int
    time_ns: int
    suppressed_before: int
    shifted: bool = False
    part: int = 0
    row: int = 0
    clock_ns: int = 0
    started: Silent | None = None
    answer: Answered | None = None


class Fall(NamedTuple):
    """A record (its position in the batch) appended, by the log's clock, further back than is allowed for."""

    at: int
    append_ns: int


class Forgetful(Protocol):
    """What keeps something by device index."""

    def drop(self, devices: NDArray[np.int32], /) -> None:
        """Forget these devices: their indices may be given to others."""


class Matcher:
    """
    The state of one partition's matching under the revision in force.

    `live` is false for a recording: its gaps are not ours, nor need it be of every device of the inventory.
    """

    def __init__(
        self, compiled: Compiled, devices: Devices, limits: Limits, *, live: bool = True, layers: Layers | None = None
    ) -> None:
        """Begin as at the first record of a life: empty, and as if a gap ended with it; models need the `layers` of the revision."""
        self.compiled = compiled
        self.devices = devices
        self.counters: Counter[str] = Counter()
        self.now_ns = NEVER
        self.cut_at: int | None = None
        self._limits = limits
        self._live = live
        self._seen = Seen()
        self._crowd = Crowd(limits)
        self._duplicates = Duplicates(limits)
        self._counting = Counting(compiled, limits)
        self._reach = Reach(compiled, devices)
        self._layers = layers or Layers()
        self._detecting = Detecting(compiled, self._layers) if compiled.lines else None
        self._clocks = {rule.info.id: Clocks(rule.info.within_ns, NEVER, -1) for rule in compiled.absences}
        self._marks: dict[tuple[str, int], Marks] = {}
        self._health = {rule.id: Marks() for rule in HEALTH}
        self._offset = -1
        self._tidied_ns = NEVER

    def feed(self, batch: Batch, falls: Sequence[Fall] = ()) -> list[Match]:
        """
        Match the records of a batch, all under the revision in force; the matches are in the order of their records.

        The batch's append times never fall, those of the batch before it included; `falls` says where the log's own did.
        """
        if not len(batch.offset):
            return []
        self._admit_devices()
        self._tidy(batch)
        matches: list[Match] = []
        now = batch.append_ns
        for fall in falls:
            matches += self._raise(
                LOG_CLOCK, fall.at, int(now[fall.at]), fall.append_ns, Silent(NO_DEVICE, int(now[fall.at]), -1, fall.append_ns)
            )
        for low, high in self._pieces(batch, now, matches):
            matches += self._piece(batch, now, low, high)
            self.now_ns, self._offset = int(now[high - 1]), int(batch.offset[high - 1])
        matches.sort(key=self._place)
        return matches

    def switch(self, compiled: Compiled, offset: int) -> None:
        """Bring a revision into force after the record at `offset`; only rules whose matching fields changed begin empty."""
        before, reach = self.compiled, self._reach
        self.compiled = compiled
        self._limits = self._crowd.limits = self._duplicates.limits = compiled.revision.rule_set.limits
        self._reach = Reach(compiled, self.devices)
        self._seen.grow(len(self.devices))
        self._counting.switch(compiled, reach, self._reach)
        self._switch_models(before, reach)
        kept = self._clocks
        self._clocks = {}
        for at, rule in enumerate(compiled.absences):
            name = rule.info.id
            clocks = kept.get(name)
            if clocks is None or before.matching.get(name) != compiled.matching[name]:
                clocks = Clocks(rule.info.within_ns, self.now_ns, offset)
            else:
                position = next(i for i, old in enumerate(before.absences) if old.info.id == name)
                clocks.join(
                    _joined(reach.of_absence(position), self._reach.of_absence(at), reach, self._reach), self.now_ns, offset
                )
            self._clocks[name] = clocks

    def _switch_models(self, before: Compiled, reach: Reach) -> None:
        """Let devices begin anew whose model is another one: their windows hold what it said."""
        if not (before.lines or self.compiled.lines):
            return
        moved = remodelled(before, self.compiled, reach, self._reach)
        self._counting.empty(moved)
        if self._detecting:
            self._detecting.switch(self.compiled, moved)
        else:
            self._detecting = Detecting(self.compiled, self._layers)

    def inputs_back(self, device: int, before_offset: int, since_ns: int) -> Iterator[tuple[int, int]]:
        """Walk back over (offset, append time) of a device's records that changed the state of its model, the latest first."""
        return self._detecting.recent.back(device, before_offset, since_ns) if self._detecting else iter(())

    def back(self, device: int, before_offset: int, since_ns: int) -> Iterator[tuple[int, int]]:
        """Walk back over (offset, append time) of a device's records with hits, the latest first."""
        return self._counting.recent.back(device, before_offset, since_ns)

    def _place(self, match: Match) -> tuple[int, int, str, str]:
        """Order matches by facts of the records: indices of devices depend on who came first."""
        return match.at, match.order, match.rule.id, "" if match.device == NO_DEVICE else self.devices.id(match.device)

    def _pieces(self, batch: Batch, now: Ints, matches: list[Match]) -> Iterator[tuple[int, int]]:
        """Cut the batch; at each cut first the gap counts, then the clocks, and only then the records."""
        records = len(now)
        minutes = now // self._limits.crowd_ns
        fixed = np.union1d(np.flatnonzero(np.diff(minutes)) + 1, self._gaps(now))
        if self.cut_at is not None:
            fixed = np.union1d(fixed, np.searchsorted(batch.offset, self.cut_at))
        low = 0
        while low < records:
            self._open(batch, now, low, matches)
            at = int(np.searchsorted(fixed, low, "right"))
            high = int(fixed[at]) if at < len(fixed) else records
            due = min((clocks.next_ns(self._seen) for clocks in self._clocks.values()), default=-NEVER)
            high = min(high, max(low + 1, int(np.searchsorted(now, due))))
            yield low, high
            low = high

    def _gaps(self, now: Ints) -> NDArray[np.intp]:
        return np.flatnonzero(np.diff(now) > self._limits.gap_ns) + 1 if self._live else np.zeros(0, np.intp)

    def _open(self, batch: Batch, now: Ints, low: int, matches: list[Match]) -> None:
        """Let a gap end and clocks run out at the first record of a piece."""
        at_ns = int(now[low])
        if self.cut_at is not None and int(batch.offset[low]) >= self.cut_at:
            self.cut_at = None
            matches += self._raise(LOG_GAP, low, at_ns, at_ns, Silent(NO_DEVICE, at_ns, -1, at_ns))
        if self.now_ns == NEVER or (self._live and at_ns - self.now_ns > self._limits.gap_ns):
            if self.now_ns != NEVER:
                gap = Silent(NO_DEVICE, self.now_ns, self._offset, at_ns)
                matches += self._raise(LOG_GAP, low, at_ns, at_ns, gap)
            self._seen.gap_ns, self._seen.gap_offset = at_ns, int(batch.offset[low])
            for clocks in self._clocks.values():
                clocks.rescan()
        for position, rule in enumerate(self.compiled.absences):
            clocks = self._clocks[rule.info.id]
            if clocks.next_ns(self._seen) <= at_ns:
                since, always = self._reach.of_absence(position), self._reach.known & self._live
                for silent in clocks.fire(at_ns, self._seen, since, always):
                    matches += self._raise(rule.info, low, at_ns, silent.due_ns, silent)

    def _raise(self, rule: RuleInfo, at: int, now_ns: int, time_ns: int, started: Silent) -> list[Match]:
        """Raise what concerns a single device or the partition, at most once per interval."""
        slot = np.array([max(started.device, 0)], np.int32)
        result = self._mark(rule).feed(slot, np.array([now_ns // rule.suppress_ns]))
        order: Literal[0, 1] = 0 if started.device == NO_DEVICE else 1
        return [
            Match(at, order, rule, started.device, now_ns, rule.suppress_ns, time_ns, int(before), started=started)
            for before in result.before
        ]

    def _mark(self, rule: RuleInfo) -> Marks:
        if rule.kind == "health":
            return self._health[rule.id]
        return self._marks.setdefault((rule.id, rule.suppress_ns), Marks())

    def _piece(self, batch: Batch, now: Ints, low: int, high: int) -> list[Match]:
        first, last = np.searchsorted(batch.record, (low, high))
        frames = np.arange(first, last)
        if not len(frames):
            return []
        matches: list[Match] = []
        admitted = self._crowd.admit(
            self._crowd.minute_of(int(now[low])), batch.device[frames], self._reach.known[batch.device[frames]]
        )
        if not admitted.all():
            matches += self._crowded(batch, now, frames[~admitted])
            frames = frames[admitted]
        at_ns = now[batch.record[frames]]
        duplicate = self._duplicates.find(batch, frames, at_ns)
        self._seen.mark(batch.device[frames], at_ns, batch.offset[batch.record[frames]])
        counted = ~duplicate & (batch.role[frames] == ROLE_OUTPUT)
        self.counters["frames"] += len(frames)
        self.counters["duplicates"] += int(np.count_nonzero(duplicate))
        fed = np.flatnonzero(~duplicate & (batch.role[frames] == ROLE_INPUT))
        if len(fed):
            batch = self._detect(batch, frames, at_ns, fed, counted)
        frames, at_ns = frames[counted], at_ns[counted]
        shift = shifts(batch.start_ns[frames], batch.end_ns[frames], at_ns, self._limits)
        self.counters["retimed"] += int(np.count_nonzero(shift))
        return matches + self._crossings(batch, now, self._counting.feed(Piece(batch, frames, at_ns, shift), self._reach))

    def _detect(
        self, batch: Batch, frames: NDArray[np.intp], at_ns: Ints, fed: NDArray[np.intp], counted: NDArray[np.bool_]
    ) -> Batch:
        """Run raw spikes through the models of their devices; what was answered counts like a sensor's own."""
        if self._detecting is None:
            self.counters["undetected"] += len(fed)
            return batch
        found = self._detecting.feed(batch, frames[fed], at_ns[fed], self._reach.device_class[batch.device[frames[fed]]])
        counted[fed] = found.answered
        self.counters["detected"] += int(np.count_nonzero(found.answered))
        self.counters["unfit"] += int(np.count_nonzero(found.unfit))
        self.counters["undetected"] += int(np.count_nonzero(~found.answered & ~found.unfit))
        return found.batch

    def _crowded(self, batch: Batch, now: Ints, frames: NDArray[np.intp]) -> list[Match]:
        self.counters["crowded"] += len(frames)
        self._tidied_ns = NEVER
        matches: list[Match] = []
        for at in np.unique(batch.record[frames]).tolist():
            matches += self._raise(
                CROWD, at, int(now[at]), int(now[at]), Silent(NO_DEVICE, int(now[at]), int(batch.offset[at]), int(now[at]))
            )
        return matches

    def _crossings(self, batch: Batch, now: Ints, crossings: list[Crossing]) -> list[Match]:
        """Let each rule alert at most once per device and interval."""
        matches: list[Match] = []
        for found in crossings:
            rule = self.compiled.counting[found.rule].info
            held = borders(found.device, found.record)
            device, record = found.device[held], found.record[held]
            result = self._mark(rule).feed(device, now[record] // rule.suppress_ns)
            for at, before in zip(held[result.alerts].tolist(), result.before.tolist(), strict=True):
                first, now_ns = int(found.record[at]), int(now[found.record[at]])
                part = int(found.frame[at] - batch.record.searchsorted(first))
                matches.append(
                    Match(
                        at=first,
                        order=2,
                        rule=rule,
                        device=int(found.device[at]),
                        append_ns=now_ns,
                        interval_ns=rule.suppress_ns,
                        time_ns=int(found.time[at]),
                        suppressed_before=before,
                        shifted=bool(found.shifted[at]),
                        part=part,
                        row=int(found.row[at]),
                        clock_ns=int(found.clock[at]),
                        answer=_answer(batch, int(found.frame[at])),
                    )
                )
        return matches

    def _admit_devices(self) -> None:
        """Describe devices that the batch has named for the first time."""
        self._seen.grow(len(self.devices))
        fresh = self.devices.take_fresh()
        if fresh:
            self._reach.add(fresh)

    def _tidy(self, batch: Batch) -> None:
        """Forget what no later record can be counted with; nothing that alerts depend on. The indices in matches stay until then."""
        if self.now_ns - self._tidied_ns <= self._limits.crowd_ns:
            return
        self._tidied_ns = self.now_ns
        self._counting.close(self.now_ns)
        if self._detecting:
            self._detecting.close(self.now_ns)
        idle = self._seen.at_ns[: len(self.devices)] < self.now_ns - self._limits.look_back_ns
        idle &= ~self._reach.known[: len(self.devices)]
        idle[batch.device] = False
        self._release(np.flatnonzero(idle).astype(np.int32))

    def _release(self, devices: NDArray[np.int32]) -> None:
        devices = np.array([index for index in devices.tolist() if self.devices.has(index)], np.int32)
        if len(devices):
            parts: list[Forgetful] = [self._seen, self._crowd, self._counting, *self._clocks.values(), *self._marks.values()]
            parts += [self._detecting] if self._detecting else []
            for part in parts:
                part.drop(devices)
            self.devices.release(devices.tolist())


def _answer(batch: Batch, frame: int) -> Answered | None:
    """Return what a model made of a frame."""
    if batch.role[frame] != ROLE_INPUT:
        return None
    one, rows = np.array([frame]), np.arange(int(batch.n[frame]))
    return batch.rows.neurons(one), batch.rows.times(one, np.zeros(len(rows), np.intp), rows)


def _joined(old: Ints, new: Ints, before: Reach, after: Reach) -> NDArray[np.intp]:
    """Return the devices that a rule didn't concern, or that weren't watched, before."""
    size = min(len(old), len(new))
    was = np.zeros(len(new), np.bool_)
    was[:size] = (old[:size] != OUT_OF_REACH) & before.known[:size]
    return np.flatnonzero((new != OUT_OF_REACH) & ~was & after.known[: len(new)])
