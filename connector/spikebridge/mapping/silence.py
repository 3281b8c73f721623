"""
Absence: no record of any kind from a device for a span of append time.

A rule's clock for a device runs from the latest of: the device's last record, the end of a log gap, the moment from which on the rule concerns
the device. It fires once, at the first record at or after that time + span, and rests until one of the three moves.
A device of the inventory is always watched, in a live log. One outside it, and every one in a recording, is watched only while its clock runs
from its own last record: how long ago others were seen is more than the look-back knows, and who recorded one device says nothing of the rest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from spikebridge.mapping.columns import NEVER, grown

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]

HORIZON_NS = 10_000_000_000
"""Devices are searched for the clocks that end within this time, then only those are watched closely."""


class Seen:
    """When each device was last seen, and in which record; when the log's last gap ended, and with which record."""

    def __init__(self) -> None:
        """Begin with no device seen."""
        self.at_ns = np.full(0, NEVER, np.int64)
        self.offset = np.full(0, -1, np.int64)
        self.gap_ns = NEVER
        self.gap_offset = -1

    def grow(self, size: int) -> None:
        """Make room for devices."""
        self.at_ns = grown(self.at_ns, size, NEVER)
        self.offset = grown(self.offset, size, -1)

    def mark(self, device: NDArray[np.int32], at_ns: Ints, offset: Ints) -> None:
        """Take frames in log order; the last one of a device stays."""
        self.at_ns[device] = at_ns
        self.offset[device] = offset

    def drop(self, devices: NDArray[np.int32]) -> None:
        """Forget these devices."""
        self.at_ns[devices] = NEVER


class Silent(NamedTuple):
    """A clock that ended: it ran from `start_ns` (record `start_offset`, -1 where no record of the log stands for it)."""

    device: int
    start_ns: int
    start_offset: int
    due_ns: int


class Clocks:
    """The clocks of one absence rule."""

    def __init__(self, span_ns: int, force_ns: int, force_offset: int) -> None:
        """Begin when the rule comes into force, with the record that said so."""
        self._span_ns = span_ns
        self._force_ns = force_ns
        self._force_offset = force_offset
        self._joined_ns = np.full(0, NEVER, np.int64)
        self._joined_offset = np.full(0, -1, np.int64)
        self._fired = np.full(0, NEVER, np.int64)
        self._close: list[tuple[int, int]] = []
        self._horizon_ns = NEVER

    def next_ns(self, seen: Seen) -> int:
        """
        Return a time before which no clock ends.

        The clock of a device that was seen since the last search ends at the horizon or later: it is passed over.
        """
        while self._close and seen.at_ns[self._close[-1][1]] > self._close[-1][0] - self._span_ns:
            self._close.pop()
        return self._close[-1][0] if self._close else self._horizon_ns

    def join(self, devices: NDArray[np.intp], at_ns: int, offset: int) -> None:
        """Begin the clocks of these devices now: the rule didn't concern them before."""
        self._grow(int(devices.max(initial=-1)) + 1)
        self._joined_ns[devices] = at_ns
        self._joined_offset[devices] = offset
        self.rescan()

    def rescan(self) -> None:
        """Look at every device at the next record: what moves clocks other than a sighting has happened."""
        self._close.clear()
        self._horizon_ns = NEVER

    def drop(self, devices: NDArray[np.int32]) -> None:
        """Forget these devices."""
        kept = devices[devices < len(self._fired)]
        self._joined_ns[kept] = self._fired[kept] = NEVER

    def fire(self, now_ns: int, seen: Seen, since: Ints, always: NDArray[np.bool_]) -> list[Silent]:
        """Return the clocks that end at this record, before it counts; `always` are watched without a record of their own."""
        ended = []
        while self._close and self._close[-1][0] <= now_ns:
            _, device = self._close.pop()
            ended.append(device)
        candidates = np.array(ended, np.intp)
        if now_ns >= self._horizon_ns:
            self._close.clear()
            candidates = np.arange(min(len(seen.at_ns), len(always), len(since)))
        return self._settle(candidates, now_ns, seen, since, always)

    def _settle(self, devices: NDArray[np.intp], now_ns: int, seen: Seen, since: Ints, always: NDArray[np.bool_]) -> list[Silent]:
        """Fire what is due; on a full search remember what will be due within the horizon."""
        everyone = now_ns >= self._horizon_ns
        self._grow(len(seen.at_ns))
        start = self._starts(devices, seen, since)
        due = start + self._span_ns
        running = (always[devices] | (seen.at_ns[devices] == start)) & (self._fired[devices] != start)
        over = running & (due <= now_ns)
        fired = [
            Silent(device, int(start[at]), self._start_offset(device, int(start[at]), seen), int(due[at]))
            for at, device in ((at, int(devices[at])) for at in np.flatnonzero(over))
        ]
        self._fired[devices[over]] = start[over]
        if everyone:
            self._horizon_ns = now_ns + min(self._span_ns, HORIZON_NS)
            soon = np.flatnonzero(running & ~over & (due < self._horizon_ns))
            order = np.lexsort((devices[soon], due[soon]))[::-1]
            self._close = [(int(due[at]), int(devices[at])) for at in soon[order]]
        return fired

    def _starts(self, devices: NDArray[np.intp], seen: Seen, since: Ints) -> Ints:
        floor = max(seen.gap_ns, self._force_ns)
        start = np.maximum(seen.at_ns[devices], np.maximum(self._joined_ns[devices], since[devices]))
        return np.maximum(start, floor)

    def _start_offset(self, device: int, start_ns: int, seen: Seen) -> int:
        for at_ns, offset in (
            (int(seen.at_ns[device]), int(seen.offset[device])),
            (seen.gap_ns, seen.gap_offset),
            (int(self._joined_ns[device]), int(self._joined_offset[device])),
            (self._force_ns, self._force_offset),
        ):
            if at_ns == start_ns:
                return offset
        return -1

    def _grow(self, size: int) -> None:
        self._joined_ns = grown(self._joined_ns, size, NEVER)
        self._joined_offset = grown(self._joined_offset, size, -1)
        self._fired = grown(self._fired, size, NEVER)
