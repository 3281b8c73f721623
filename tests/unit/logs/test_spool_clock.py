"""Append times that never fall and never stand still."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from spikebridge.logs.spool.clock import RisingClock
from spikebridge.testing import FakeClock

HOUR = 3_600_000_000_000


def test_times_go_on_by_the_monotonic_clock_while_the_wall_clock_lies_behind() -> None:
    """An hour set back neither stops time nor takes it back; once the wall clock is past, it counts again."""
    clock = FakeClock(10 * HOUR)
    rising = RisingClock(clock, clock.monotonic, 0)
    last = rising.read(0)

    clock.step(-HOUR)
    assert rising.read(last) == 10 * HOUR
    clock.advance(5)
    assert rising.read(last) == 10 * HOUR + 5
    assert rising.ahead_ns(last) == HOUR

    clock.advance(2 * HOUR)
    clock.step(HOUR)
    assert rising.read(last) == clock()
    assert rising.ahead_ns(last) == 0


def test_a_restart_goes_on_from_the_newest_append_time() -> None:
    """A process that starts while the wall clock lies behind takes the log's word for the time."""
    clock = FakeClock(HOUR)
    rising = RisingClock(clock, clock.monotonic, 2 * HOUR)

    clock.advance(7)
    assert rising.read(2 * HOUR) == 2 * HOUR + 7


@given(st.lists(st.tuples(st.sampled_from(["advance", "step", "read a", "read b"]), st.integers(-HOUR, HOUR)), max_size=40))
def test_two_processes_never_let_times_fall(moves: list[tuple[str, int]]) -> None:
    """Whatever the wall clock does, and whichever process appends: times never fall, and never outrun the time that passed."""
    clock = FakeClock(10 * HOUR)
    processes = {name: RisingClock(clock, clock.monotonic, 0) for name in ("read a", "read b")}
    last, highest = 0, clock()
    for move, amount in moves:
        if move == "advance":
            clock.advance(abs(amount))
            highest += abs(amount)
        elif move == "step":
            clock.step(amount)
        else:
            now = processes[move].read(last)
            assert last <= now <= max(highest, clock())
            last = now
        highest = max(highest, clock())
