"""
Windows and suppression of one rule over all devices, as array operations.

Rows are single spikes (or counts of them) of one rule, device by device, each device's in the order of the log.
`tests/unit/mapping/test_windows.py` holds both classes equal to a row-by-row reference for every stream and every way of cutting it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from spikebridge.mapping.columns import NEVER, borders, grown

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]
    Slots = NDArray[np.intp]

_PIECE = 1 << 20
"""Counts are expanded to at most about this many spikes at a time."""

_FEW = 12
"""Up to so many records at which a condition held are quicker one after the other than in columns."""


class Windows:
    """
    Finds the rows at which at least `count` spikes lie within `within_ns`.

    A row that lies a window or more behind the row before it begins the window anew; one less behind counts at the latest
    time since the window began. So a device's state is the last `count - 1` such times, in a ring whose oldest cell is the
    one that the next row must be compared with.
    """

    def __init__(self, count: int, within_ns: int) -> None:
        """Begin with no open window; a `count` of 1 needs none ever."""
        self.count = count
        self.within_ns = within_ns
        self._cells = count - 1
        self._slot_of = np.full(0, -1, np.int32)
        self._free: list[int] = []
        self._ring = np.full((0, self._cells), NEVER, np.int64)
        self._head = np.zeros(0, np.intp)
        self._before = np.full(0, NEVER, np.int64)
        self._clock = np.full(0, NEVER, np.int64)
        self._owner = np.full(0, -1, np.int32)

    def feed(self, device: NDArray[np.int32], time: Ints, weight: Ints | None) -> tuple[NDArray[np.bool_], Ints]:
        """
        Count rows; say at which ones the condition holds, and for each the window's time at the first spike that counts.

        A row of weight w is w spikes at one time, so the condition is asked after the last of them.
        """
        if self.count == 1:
            return np.ones(len(time), np.bool_), time
        if weight is None or not len(weight) or int(weight.max()) == 1:
            return self._feed(device, time)
        copies = np.minimum(weight, self.count)
        ends = np.cumsum(copies)
        holds = np.empty(len(time), np.bool_)
        begin = np.empty(len(time), np.int64)
        low = 0
        while low < len(time):
            done = int(ends[low - 1]) if low else 0
            high = max(low + 1, int(np.searchsorted(ends, done + _PIECE, "right")))
            part = slice(low, high)
            holds_all, begin_all = self._feed(np.repeat(device[part], copies[part]), np.repeat(time[part], copies[part]))
            last = ends[part] - done - 1
            holds[part], begin[part] = holds_all[last], begin_all[last]
            low = high
        return holds, begin

    def drop(self, devices: NDArray[np.int32] | NDArray[np.intp]) -> None:
        """Empty the windows of these devices."""
        slots = self._slot_of[devices[devices < len(self._slot_of)]]
        self._release(slots[slots >= 0])

    def close(self, before_ns: int) -> None:
        """Free what no row at `before_ns` or later can be counted with; no such row can tell the difference."""
        self._release(np.flatnonzero((self._owner >= 0) & (self._clock <= before_ns - self.within_ns)))

    def seed(self, device: int, before_ns: int, clock_ns: int) -> None:
        """Open a device's window as it stood after a row at `before_ns`, its time being `clock_ns`."""
        slot = self._slots(np.array([device], np.int32))
        self._before[slot], self._clock[slot] = before_ns, clock_ns

    @property
    def open(self) -> int:
        """Tell how many devices have a window."""
        return int(np.count_nonzero(self._owner >= 0))

    def _feed(self, device: NDArray[np.int32], time: Ints) -> tuple[NDArray[np.bool_], Ints]:
        first = borders(device)
        slots = self._slots(device[first])
        before = np.empty_like(time)
        before[1:] = time[:-1]
        before[first] = self._before[slots]
        anew = time - before <= -self.within_ns
        anew[first] |= before[first] == NEVER
        clock = self._clocks(time, before, first, anew, slots)
        begin = self._compare_and_store(clock, first, anew, slots)
        last = np.append(first[1:], len(time)) - 1
        self._before[slots] = time[last]
        self._clock[slots] = clock[last]
        return clock - begin < self.within_ns, begin

    def _clocks(self, time: Ints, before: Ints, first: Slots, anew: NDArray[np.bool_], slots: Slots) -> Ints:
        """Lift each row to the latest time since its window began."""
        lifted = time[first] < self._clock[slots]
        lifted &= ~anew[first]
        falls = time < before
        falls &= ~anew
        if not lifted.any() and not falls.any():
            return time
        clock = time.copy()
        clock[first[lifted]] = self._clock[slots[lifted]]
        starts = anew.copy()
        starts[first] = True
        window = np.cumsum(starts)
        base = int(clock.min())
        bits = (int(clock.max()) - base).bit_length()
        if bits + int(window[-1]).bit_length() < 63:  # noqa: PLR2004 -- the bits of a signed number
            floor = (window << bits) - base
            lifted_times: Ints = np.maximum.accumulate(clock + floor) - floor
            return lifted_times
        for part in np.split(clock, np.flatnonzero(starts)[1:]):
            np.maximum.accumulate(part, out=part)
        return clock

    def _compare_and_store(self, clock: Ints, first: Slots, anew: NDArray[np.bool_], slots: Slots) -> Ints:
        """Return for each row the time `count - 1` rows before it in its window, and keep the last ones."""
        rows, cells = len(clock), self._cells
        starts = anew.copy()
        starts[first] = True
        start = np.flatnonzero(starts)
        of_start = np.cumsum(starts) - 1
        position = np.arange(rows) - start[of_start]
        begin = np.full(rows, NEVER, np.int64)
        begin[cells:] = clock[: max(0, rows - cells)]
        key = np.searchsorted(first, start, "right") - 1
        goes_on = ~anew[start]
        early = position < cells
        begin[early] = NEVER
        kept = np.flatnonzero(early & goes_on[of_start])
        head = np.where(goes_on, self._head[slots[key]], 0)
        cell = head[of_start] + position
        cell %= cells
        slot = slots[key][of_start]
        begin[kept] = self._ring[slot[kept], cell[kept]]
        closing = np.append(key[1:] != key[:-1], True)
        ended = slots[key[closing & ~goes_on]]
        self._ring[ended] = NEVER
        length = np.append(start[1:], rows) - start
        stored = np.flatnonzero(closing[of_start] & (length[of_start] - position <= cells))
        self._ring[slot[stored], cell[stored]] = clock[stored]
        self._head[slots] = (head + length)[closing] % cells
        return begin

    def _slots(self, devices: NDArray[np.int32]) -> Slots:
        highest = int(devices.max(initial=-1))
        if highest >= len(self._slot_of):
            self._slot_of = grown(self._slot_of, highest + 1, -1)
        slots = self._slot_of[devices]
        new = np.flatnonzero(slots < 0)
        if len(new):
            missing = len(new) - len(self._free)
            if missing > 0:
                self._reserve(missing)
            taken = np.array(self._free[-len(new) :], np.int32)
            del self._free[-len(new) :]
            slots[new] = taken
            self._slot_of[devices[new]] = taken
            self._owner[taken] = devices[new]
        return slots.astype(np.intp)

    def _reserve(self, missing: int) -> None:
        old = len(self._owner)
        self._ring = grown(self._ring, old + missing, NEVER)
        size = len(self._ring)
        self._head = grown(self._head, size, 0)
        self._before = grown(self._before, size, NEVER)
        self._clock = grown(self._clock, size, NEVER)
        self._owner = grown(self._owner, size, -1)
        self._free.extend(range(size - 1, old - 1, -1))

    def _release(self, slots: NDArray[np.int32] | Slots) -> None:
        if not len(slots):
            return
        self._slot_of[self._owner[slots]] = -1
        self._ring[slots] = NEVER
        self._head[slots] = 0
        self._before[slots] = self._clock[slots] = NEVER
        self._owner[slots] = -1
        self._free.extend(slots.tolist())


class Suppressed(NamedTuple):
    """Which of the records at which a condition held raise an alert, and what each counts of the interval before."""

    alerts: Slots
    before: Ints


class Marks:
    """
    At most one alert per device and interval of append time.

    Kept per device: the last interval in which the condition held, and at how many records it did.
    """

    def __init__(self) -> None:
        """Begin with no interval marked."""
        self._interval = np.full(0, NEVER, np.int64)
        self._held = np.zeros(0, np.int64)

    def feed(self, device: NDArray[np.int32], interval: Ints) -> Suppressed:
        """Take the records at which the condition held: device by device, intervals never falling."""
        highest = int(device.max(initial=-1))
        if highest >= len(self._interval):
            self._interval = grown(self._interval, highest + 1, NEVER)
            self._held = grown(self._held, highest + 1, 0)
        if len(device) <= _FEW:
            return self._feed_few(device.tolist(), interval.tolist())
        start = borders(device, interval)
        owner, now = device[start], interval[start]
        first = borders(owner)
        held = np.append(start[1:], len(device)) - start
        before, held_before = np.empty_like(now), np.empty_like(now)
        before[first], held_before[first] = self._interval[owner[first]], self._held[owner[first]]
        goes_on = np.zeros(len(start), np.bool_)
        goes_on[first] = before[first] == now[first]
        held[goes_on] += held_before[goes_on]
        other = np.ones(len(start), np.bool_)
        other[first] = False
        follows = np.flatnonzero(other)
        before[follows], held_before[follows] = now[follows - 1], held[follows - 1]
        last = np.append(first[1:], len(start)) - 1
        self._interval[owner[last]], self._held[owner[last]] = now[last], held[last]
        hidden = np.where(before == now - 1, held_before - 1, 0)
        return Suppressed(start[~goes_on], hidden[~goes_on])

    def _feed_few(self, devices: list[int], intervals: list[int]) -> Suppressed:
        """Take the records one after the other, as few come at a time where alerts are rare."""
        alerts, hidden = [], []
        for at, (device, interval) in enumerate(zip(devices, intervals, strict=True)):
            before, held = int(self._interval[device]), int(self._held[device])
            if before == interval:
                self._held[device] = held + 1
            else:
                self._interval[device], self._held[device] = interval, 1
                alerts.append(at)
                hidden.append(held - 1 if before == interval - 1 else 0)
        return Suppressed(np.array(alerts, np.intp), np.array(hidden, np.int64))

    def drop(self, devices: NDArray[np.int32] | NDArray[np.intp]) -> None:
        """Forget these devices."""
        self._interval[devices[devices < len(self._interval)]] = NEVER
