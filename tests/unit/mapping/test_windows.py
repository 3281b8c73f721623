"""Windows and marks against plain references that take one row at a time."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from spikebridge.mapping.reach import OUT_OF_REACH
from spikebridge.mapping.windows import Marks, Windows
from spikebridge.spikes.layout import MAX_TIME_NS

START = 1_000
Row = tuple[int, int, int]


@dataclass
class PlainWindow:
    """One device's window, as DESIGN.md says it: a list of times."""

    times: list[int] = field(default_factory=list)
    before: int | None = None

    def row(self, time: int, weight: int, count: int, within: int) -> tuple[bool, int]:
        """Count a row; say whether the condition holds and the time of the first spike that counts."""
        if count == 1:
            return True, time
        if self.before is None or time - self.before <= -within:
            self.times = []
        self.before = time
        clock = max(time, self.times[-1]) if self.times else time
        self.times += [clock] * weight
        if len(self.times) < count or clock - self.times[-count] >= within:
            return False, 0
        return True, self.times[-count]


streams = st.lists(st.tuples(st.integers(0, 3), st.integers(-25, 60), st.integers(1, 4)), min_size=1, max_size=120)


def fed(windows: Windows, rows: list[Row], *, weighted: bool) -> dict[int, list[tuple[bool, int]]]:
    """Feed one cut of a stream, device by device, and return what each device's rows gave."""
    order = sorted(range(len(rows)), key=lambda at: rows[at][0])
    device = np.array([rows[at][0] for at in order], np.int32)
    time = np.array([rows[at][1] for at in order], np.int64)
    weight = np.array([rows[at][2] for at in order], np.int64) if weighted else None
    holds, begin = windows.feed(device, time, weight)
    found: dict[int, list[tuple[bool, int]]] = {}
    for at, holding, first in zip(order, holds.tolist(), begin.tolist(), strict=True):
        found.setdefault(rows[at][0], []).append((holding, first if holding else 0))
    return found


@given(
    stream=streams, count=st.integers(1, 6), within=st.integers(1, 30), cuts=st.lists(st.integers(1, 40)), weighted=st.booleans()
)
def test_any_stream_and_any_cuts_give_what_a_list_of_times_gives(
    *, stream: list[Row], count: int, within: int, cuts: list[int], weighted: bool
) -> None:
    """Out of order, clamped, begun anew, weighted, cut anywhere: every row's verdict and the window's time are the same."""
    rows, time = [], START
    for device, step, weight in stream:
        time += step if step < 40 else -step
        rows.append((device, time, weight if weighted else 1))
    windows = Windows(count, within)
    plain: dict[int, PlainWindow] = {}
    low = 0
    for cut in [*cuts, len(rows)]:
        part = rows[low : low + cut]
        low += cut
        if part:
            expected: dict[int, list[tuple[bool, int]]] = {}
            for device, at, weight in part:
                expected.setdefault(device, []).append(plain.setdefault(device, PlainWindow()).row(at, weight, count, within))

            assert fed(windows, part, weighted=weighted) == expected


def test_a_closed_window_is_free_and_its_place_is_used_again() -> None:
    """Closing forgets only windows that no later row can be counted with."""
    windows = Windows(3, 10)
    windows.feed(np.array([0, 1], np.int32), np.array([100, 120]), None)
    windows.close(110)

    assert windows.open == 1
    holds, _ = windows.feed(np.array([1, 1, 2], np.int32), np.array([121, 122, 122]), None)
    assert holds.tolist() == [False, True, False]
    assert windows.open == 2


def test_a_dropped_device_begins_with_an_empty_window() -> None:
    """A device that leaves a rule's reach takes nothing back with it."""
    windows = Windows(2, 10)
    windows.feed(np.array([7], np.int32), np.array([100]), None)
    windows.drop(np.array([7, 99], np.int32))

    assert windows.feed(np.array([7], np.int32), np.array([101]), None)[0].tolist() == [False]


def test_times_that_span_too_much_for_one_pass_are_lifted_window_by_window() -> None:
    """The slow path of lifting is taken, and right, where times lie years apart."""
    device = np.repeat(np.arange(2000, dtype=np.int32), 3)
    time = np.tile(np.array([1 << 60, (1 << 60) - 5, 1 << 61]), 2000)

    holds, begin = Windows(2, 10).feed(device, time, None)
    assert holds.reshape(-1, 3).tolist() == [[False, True, False]] * 2000
    assert begin[1] == 1 << 60


@given(held=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=60), cuts=st.lists(st.integers(1, 20)))
def test_marks_let_one_alert_through_for_each_interval_and_count_the_rest(held: list[tuple[int, int]], cuts: list[int]) -> None:
    """`suppressed_before` counts the records at which the condition held in the interval directly before, beyond the one that alerted."""
    interval, records = 0, []
    for device, step in held:
        interval += step
        records.append((device, interval))
    counts: dict[tuple[int, int], int] = {}
    expected = []
    for device, now in records:
        if (device, now) not in counts:
            expected.append((device, now, max(0, counts.get((device, now - 1), 0) - 1)))
        counts[device, now] = counts.get((device, now), 0) + 1

    marks, found, low = Marks(), [], 0
    for cut in [*cuts, len(records)]:
        part = sorted(records[low : low + cut], key=lambda record: record[0])
        low += cut
        if part:
            devices = np.array([record[0] for record in part], np.int32)
            result = marks.feed(devices, np.array([record[1] for record in part]))
            found += [(*part[at], hidden) for at, hidden in zip(result.alerts.tolist(), result.before.tolist(), strict=True)]
    assert sorted(found) == sorted(expected)


def test_the_latest_time_that_there_is_counts_like_any_other() -> None:
    """Its distance to "never" doesn't overflow: a first spike there is one spike."""
    windows = Windows(2, 10)
    device = np.array([0], np.int32)

    assert windows.feed(device, np.array([MAX_TIME_NS]), None)[0].tolist() == [False]
    assert windows.feed(device, np.array([MAX_TIME_NS]), None)[0].tolist() == [True]
    assert OUT_OF_REACH > MAX_TIME_NS
