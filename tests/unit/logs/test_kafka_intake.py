"""Records on their way: whatever arrives when, and from wherever it is asked for, nothing is left out and nothing is held without bound."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spikebridge.errors import LogMissing
from spikebridge.kafka.client import Partition
from spikebridge.logs.kafka import intake as intakes
from spikebridge.logs.kafka.intake import Intake
from spikebridge.testing import FakeClock
from spikebridge.testing.kafka import MemoryKafka, MemoryReader

A, B = Partition("spikes", 0), Partition("spikes", 1)


class Bench:
    """An intake over a topic of two partitions."""

    def __init__(self) -> None:
        """Follow nothing."""
        self.waited: list[float] = []
        self.kafka = MemoryKafka(FakeClock(), self.waited.append)
        self.kafka.create("spikes", 2)
        self.reader: MemoryReader = self.kafka.client().reader()
        self.intake = Intake(self.reader)

    def append(self, count: int, partition: Partition = A, size: int = 10) -> None:
        """Append values of a size."""
        self.kafka.append("spikes", [b"v" * size] * count, partition.number)

    def all(self, partition: Partition, position: int, max_bytes: int = 1 << 20) -> list[int]:
        """Take from a position on, with as many fills as that takes."""
        found: list[int] = []
        idle = 0
        while idle < 3:
            taken = [record.offset for record in self.intake.take(partition, position, max_bytes)]
            idle = 0 if taken else idle + 1
            found += taken
            position = found[-1] + 1 if found else position
            self.intake.fill(0.0)
        return found


@pytest.fixture
def bench() -> Bench:
    """Begin with nothing."""
    return Bench()


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(1, 6)),
        st.tuples(st.just("skip"), st.integers(1, 3)),
        st.tuples(st.just("fill"), st.just(0)),
        st.tuples(st.just("take"), st.integers(1, 70)),
        st.tuples(st.just("jump"), st.integers(0, 40)),
        st.tuples(st.just("back"), st.integers(0, 5)),
        st.tuples(st.just("leave"), st.just(0)),
    ),
    max_size=40,
)


@given(STEPS, st.integers(1, 7))
def test_takes_give_the_records_of_the_log_in_order(steps: list[tuple[str, int]], fetch: int) -> None:
    """From any position, over holes, after jumps, with some of what was handed out asked for again: no record is left out or comes twice."""
    bench = Bench()
    bench.kafka.fetch = fetch
    held = bench.kafka.partition("spikes")
    position, asked, got = 0, 0, list[int]()
    bench.append(3, B)

    def check() -> None:
        there = [record.offset for record in held.records if asked <= record.offset < position]
        assert got == there

    for name, number in steps:
        if name == "append":
            bench.append(number)
        elif name == "skip":
            held.skip(number)
        elif name == "fill":
            bench.intake.fill(0.0)
        elif name == "leave":
            bench.intake.leave(A)
        elif name == "take":
            taken = bench.intake.take(A, position, number)
            assert sum(len(record.value) for record in taken) <= max(number, 10)
            got += [record.offset for record in taken]
            position = got[-1] + 1 if got else position
            check()
        else:
            position = min(number, held.end) if name == "jump" else max(asked, position - number)
            if name == "jump":
                asked, got = position, []
            got = [offset for offset in got if offset < position]
    got += bench.all(A, position, 25)
    position = held.end
    check()
    assert bench.all(B, 0) == [0, 1, 2]


def test_what_was_handed_out_last_is_given_again_without_a_fetch(bench: Bench) -> None:
    """A replay ends within what came: the rest is what is matched next."""
    bench.append(9)
    bench.intake.take(A, 0, 1)
    bench.intake.fill(0.0)
    assert len(bench.intake.take(A, 0, 60)) == 6
    bench.kafka.away = True

    assert [record.offset for record in bench.intake.take(A, 2, 20)] == [2, 3]
    assert [record.offset for record in bench.intake.take(A, 3, 999)] == [3, 4, 5, 6, 7, 8]
    assert [record.offset for record in bench.intake.take(A, 3, 999)] == [3, 4, 5, 6, 7, 8]


def test_what_was_handed_out_is_let_go_also_where_something_always_waits(bench: Bench) -> None:
    """Only what was handed out last is kept, for who asks for it again."""
    bench.kafka.fetch = 6
    position = 0
    bench.intake.take(A, 0, 1)
    tracemalloc.start()
    try:
        for turn in range(60):
            bench.kafka.append("spikes", [bytes([turn]) * (1 << 18) for _ in range(4)], A.number)
            bench.intake.fill(0.0)
            for _ in range(4 if turn else 2):
                position += len(bench.intake.take(A, position, 1 << 18))
            bench.kafka.partition("spikes").drop_before(position)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert bench.kafka.partition("spikes").end - position == 2
    assert held < 10 << 20


def test_keys_count_among_the_bytes_of_a_take(bench: Bench) -> None:
    """A key may be as large as a value."""
    bench.kafka.append("spikes", [b""] * 9, A.number, key=b"k" * 10)
    bench.intake.take(A, 0, 1)
    bench.intake.fill(0.0)
    assert [len(bench.intake.take(A, at, 40)) for at in (0, 4, 8)] == [4, 4, 1]


def test_a_partition_is_paused_while_too_much_of_it_waits(bench: Bench) -> None:
    """In bytes, and fetched on when most of it was taken; others come meanwhile."""
    bench.kafka.fetch = 2
    bench.append(60, size=1 << 20)
    bench.append(4, B)
    bench.intake.take(A, 0, 1)
    bench.intake.take(B, 0, 1)
    for _ in range(20):
        bench.intake.fill(0.0)
    assert bench.reader.paused == {A}
    assert bench.all(B, 0) == [0, 1, 2, 3]

    position, most = 0, 0
    while position < 60:
        taken = bench.intake.take(A, position, 1 << 20)
        assert len(taken) <= 1
        position += len(taken)
        waiting = 0
        for _ in range(3):
            waiting += bench.intake.fill(0.0)
        most = max(most, waiting)
    assert 2 <= most <= (intakes.HIGH_BYTES - intakes.LOW_BYTES >> 20) + 4
    assert bench.reader.paused == frozenset()


def test_records_without_any_bytes_are_not_for_nothing(bench: Bench) -> None:
    """Somebody may send a million of them, and a neighbour nothing."""
    bench.append(3 * intakes.HIGH_BYTES // intakes.RECORD_BYTES, size=0)
    bench.intake.take(A, 0, 1)
    bench.intake.take(B, 0, 1)
    filled = sum(bench.intake.fill(0.0) for _ in range(200))

    assert bench.reader.paused == {A}
    assert filled * intakes.RECORD_BYTES < intakes.HIGH_BYTES + 2 * bench.kafka.fetch * intakes.RECORD_BYTES


def test_who_jumps_away_from_a_paused_partition_is_served(bench: Bench) -> None:
    """A rewind begins anew, whatever waited before."""
    bench.kafka.fetch = 3
    bench.append(24, size=1 << 20)
    bench.intake.take(A, 0, 1)
    bench.intake.take(B, 0, 1)
    for _ in range(9):
        bench.intake.fill(0.0)
    assert bench.reader.paused == {A}

    assert bench.all(A, 21, 9 << 20) == [21, 22, 23]
    assert bench.all(A, 0, 1 << 20) == list(range(24))


def test_nothing_is_fetched_while_every_partition_has_enough(bench: Bench) -> None:
    """What is on its way stays with the client, and no pause throws it away."""
    bench.kafka.fetch = 2
    bench.append(9, size=1 << 20)
    bench.intake.take(A, 0, 1)
    while bench.intake.fill(0.0):
        pass
    assert bench.reader.paused == frozenset()

    assert len(bench.intake.take(A, 0, 9 << 20)) < 9
    assert bench.intake.fill(0.0) == 2


def test_a_position_that_is_not_in_the_log_is_missing(bench: Bench) -> None:
    """Before what retention left, past the end, and below zero; after what came before it was handed out."""
    bench.append(9)
    bench.intake.take(A, 0, 1)
    bench.kafka.fetch = 2
    bench.intake.fill(0.0)
    bench.kafka.partition("spikes").drop_before(5)
    bench.intake.fill(0.0)
    assert [record.offset for record in bench.intake.take(A, 0, 999)] == [0, 1]
    with pytest.raises(LogMissing, match=r"record 2 is not in the log spikes-0 \(any more\)"):
        bench.intake.take(A, 2, 1)
    assert bench.all(A, 5) == [5, 6, 7, 8]

    bench.intake.take(A, 12, 1)
    bench.intake.fill(0.0)
    with pytest.raises(LogMissing, match="record 12 is not in the log"):
        bench.intake.take(A, 12, 1)
    with pytest.raises(LogMissing, match="record -1 is not in the log"):
        bench.intake.take(A, -1, 1)


def test_a_fill_waits_only_where_nothing_waits(bench: Bench) -> None:
    """Records that are there are matched before more of them are waited for."""
    assert bench.intake.fill(0.5) == 0
    assert bench.waited == []
    bench.intake.take(A, 0, 1)
    assert bench.intake.fill(0.5) == 0
    assert bench.waited == [0.5]
    bench.append(2)
    assert bench.intake.fill(0.5) == 2
    assert bench.intake.fill(0.5) == 0
    assert bench.waited == [0.5]


def test_a_partition_that_was_left_brings_nothing_more(bench: Bench) -> None:
    """Neither what waited nor what comes."""
    bench.append(3)
    bench.intake.take(A, 0, 1)
    bench.intake.fill(0.0)
    bench.intake.leave(A)
    bench.intake.leave(A)
    bench.append(1)

    assert bench.intake.fill(0.0) == 0
    assert bench.all(A, 2) == [2, 3]
