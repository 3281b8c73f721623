"""One device: learned for days, then watched."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from spikebridge_detectors.capture.columns import Packets
from spikebridge_detectors.errors import ModelError
from spikebridge_detectors.sense.lesson import Adapted, UnreadableError, adapted, taught
from spikebridge_detectors.sense.saved import SavedDevice
from spikebridge_detectors.sense.watch import CHUNK, Watch
from spikebridge_detectors.timing import detector as timing
from spikebridge_detectors.timing.learning import LEAST_DAYS

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from spikebridge_detectors.rules.clock import Clock
    from spikebridge_detectors.sense.lesson import Result, Teacher
    from spikebridge_detectors.sense.rows import Rows
    from spikebridge_detectors.sense.watch import Found
    from spikebridge_detectors.timing.learning import Learned as Known

    Tell = Callable[[str], None]
    """Hears what the operator should know."""

DAY_S = 86_400


class Settings(NamedTuple):
    """
    How long a device is learned, how many packets of it are kept for that, and of all; and whether the rules watch it too.

    To learn `beside` is for captures that don't wait: a device is neither learned further nor watched anew meanwhile.
    """

    learn_s: int = 7 * DAY_S
    rows: int = 1 << 21
    all_rows: int = 1 << 24
    with_rules: bool = True
    beside: bool = False


@dataclass(slots=True)
class Device:
    """
    `clock` says how long its packets have been coming, which decides when it is learned.

    Until then nothing watches it, or what a model learned of its class does: with that model's thresholds for a day, then with
    thresholds by the device's own days, set anew after each. `known` is what it learned; `due` is a day that is over and wasn't looked at yet.
    `dropped` says that more packets came than are kept, `busy` that they were too many to be learned.
    """

    name: str
    rows: Rows
    until_s: int
    settings: Settings
    clock: Clock
    watch: Watch | None = None
    learned: bool = False
    lived: int | None = None
    teacher: Teacher | None = None
    lesson: list[Result] | None = None
    known: Known | None = None
    due: bool = False
    dropped: bool = False
    busy: bool = False

    def advance(self, packets: Packets, tell: Tell) -> list[Found]:
        """Take in packets of the device, to learn from or to watch."""
        self.settle(tell)
        if self.learned:
            self._begun(packets)
            return self._watched(packets)
        day = self.clock.second // DAY_S
        second = self.clock.advance(packets).second
        until = int(np.searchsorted(second, self.until_s))
        before, behind = (_cut(packets, part) for part in (slice(until), slice(until, None)))
        found = self._kept(before, second[:until] // DAY_S, day, tell)
        if not len(behind.time_ns):
            return found
        self.rows.flush()
        if self.teacher is None:
            self._take(taught(self.rows, with_rules=self.settings.with_rules), tell)
            if not self.learned:
                self.rows.add(behind)
        elif self.lesson is None:
            self.lesson = self.teacher.begin(lambda: taught(self.rows, with_rules=self.settings.with_rules))
        return found + self._watched(behind)

    def _kept(self, packets: Packets, days: NDArray[np.int64], day: int, tell: Tell) -> list[Found]:
        """Keep packets to learn from and watch them by the class, whose thresholds are adapted whenever a day of the device is over."""
        found: list[Found] = []
        over = np.flatnonzero(np.diff(days, prepend=day))
        for number, (first, last) in enumerate(pairwise([0, *over.tolist(), len(days)])):
            self.due |= number > 0
            self._adapt(tell)
            own = _cut(packets, slice(first, last))
            self.rows.add(own)
            found += self._watched(own)
        return found

    def _adapt(self, tell: Tell) -> None:
        """Set thresholds by the device's own days once one is over, as soon as nothing else is learned."""
        known = self.known
        if not self.due or known is None or self.lesson is not None:
            return
        try:
            kept = self.rows.read()
        except ModelError as error:
            self.due = False
            self._take(Adapted(known, str(error)), tell)
            return
        if self.teacher is None:
            self._take(adapted(kept, known), tell)
        else:
            self.lesson = self.teacher.begin(lambda: adapted(kept, known))
        self.due = self.teacher is not None and self.lesson is None

    def settle(self, tell: Tell) -> None:
        """Take what was learned beside, if it is done."""
        if self.lesson:
            result, self.lesson = self.lesson[0], None
            self._take(result, tell)

    def _begun(self, packets: Packets) -> None:
        """Let the time pass that a lesson beside the capture took: its packets weren't watched, so no silence is told of it."""
        if self.teacher is not None and self.watch is not None and not self.watch.snapshot and len(packets.time_ns):
            timing.advance(self.watch.learned, self.watch.running, _cut(packets, slice(0)), int(packets.time_ns[0]))

    def _watched(self, packets: Packets) -> list[Found]:
        found: list[Found] = []
        for first in range(0, len(packets.time_ns) if self.watch else 0, CHUNK):
            found += self.watch.advance(_cut(packets, slice(first, first + CHUNK))) if self.watch else []
        return found

    def lives(self, packets: Packets, every_ns: int) -> list[int]:
        """Return the time of each packet that begins another stretch of time than the one before."""
        stretch = packets.time_ns // every_ns
        new = np.flatnonzero(np.diff(stretch, prepend=stretch[0] - 1 if self.lived is None else self.lived))
        self.lived = int(stretch[-1])
        return [int(at_ns) for at_ns in packets.time_ns[new].tolist()]

    def saved(self) -> SavedDevice:
        """Return what a restart needs, with the rows on the disk."""
        self.rows.flush()
        watch = self.watch.saved() if self.watch else None
        rows, due = self.rows, self.due or (self.lesson is not None and self.clock.second < self.until_s)
        return SavedDevice(self.name, self.clock, self.until_s, rows.first, rows.count, self.lived, self.learned, watch, due)

    @classmethod
    def restored(cls, saved: SavedDevice, rows: Rows, settings: Settings, teacher: Teacher | None) -> Device:
        """Go on from what was saved."""
        watch = Watch.restored(saved.watch) if saved.watch else None
        device = cls(saved.name, rows, saved.until_s, settings, saved.clock, watch, saved.learned, saved.lived, teacher)
        device.due = saved.due
        return device

    def _take(self, result: Result, tell: Tell) -> None:
        """Watch by what was learned; where nothing could be, go on for a day, or begin anew."""
        if isinstance(result, UnreadableError):
            self.rows.forget()
            self.until_s = self.clock.second + self.settings.learn_s
            tell(f"{self.name}: what was kept to learn from can't be read, learning begins anew: {result}")
        elif isinstance(result, ModelError):
            self.until_s = self.clock.second + DAY_S
            if not self.dropped:
                tell(f"{self.name}: not learned yet, goes on for a day: {result}")
            elif not self.busy:
                most = f"{len(self.rows) / ((LEAST_DAYS - 1) * DAY_S):.2g} packets a second"
                tell(f"{self.name}: too busy to be learned: more than {most} came; it is tried again each day")
            self.busy = self.dropped
        elif isinstance(result, Exception):
            raise result
        elif isinstance(result, Adapted):
            if result.why_not:
                tell(f"{self.name}: what its class knows isn't adapted to it: {result.why_not}")
            elif self.watch is not None:
                self.watch.adapt(result.known)
        else:
            self.watch, self.learned = result.watch, True
            self.rows.forget()
            tell(f"{self.name}: learned from {result.packets:,} packets in {result.seconds:.1f} s, watched from here on")


def _cut(packets: Packets, part: slice) -> Packets:
    return Packets._make(column[part] for column in packets)
