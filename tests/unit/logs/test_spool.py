"""The spool under several processes, kills and searches."""

from __future__ import annotations

import itertools
import os
import random
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spikebridge.alerts import AlertEntry
from spikebridge.errors import LogBusy, LogMissing
from spikebridge.logs import Commit, Cursor
from spikebridge.logs.spool import Spool
from spikebridge.testing import FakeClock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MEGABYTE = 1 << 20

APPENDER = """
import sys
from spikebridge.logs.spool import Spool

spool = Spool(sys.argv[1])
name, batches = sys.argv[2], int(sys.argv[3])
for batch in range(batches):
    first = spool.append([f"{name} {batch} {number}".encode() + bytes(2_000) for number in range(5)])
    print(batch, first, flush=True)
"""

COMMITTER = """
import sys
from spikebridge.alerts import AlertEntry
from spikebridge.logs import Commit, Cursor
from spikebridge.logs.spool import Spool

spool = Spool(sys.argv[1])
committed = spool.committed()
position = committed.position if committed else 0
while True:
    position += 3
    entries = [AlertEntry(f"{at}", "alert", 1, (0, at, 0), b"{}", (bytes(3_000),)) for at in range(position - 3, position)]
    spool.commit(entries, Commit(position, position, ((0, 1),)))
    spool.advance("incidents", Cursor(position), [AlertEntry(f"i{position}", "incident", 1, (-1, 0, 0), b"{}")])
    print(position, flush=True)
"""


@pytest.fixture
def clock() -> FakeClock:
    """Let time stand still."""
    return FakeClock()


@pytest.fixture
def spool(tmp_path: Path, clock: FakeClock) -> Iterator[Spool]:
    """Open a new spool."""
    with Spool(tmp_path, clock=clock, monotonic=clock.monotonic) as opened:
        yield opened


def start(program: str, *arguments: str) -> subprocess.Popen[str]:
    """Run a program that reports on stdout."""
    return subprocess.Popen([sys.executable, "-c", program, *arguments], stdout=subprocess.PIPE, text=True)


def kill_after(process: subprocess.Popen[str], lines: int, wait_s: float) -> list[list[int]]:
    """Kill -9 some time after so many reports; return all reports that came."""
    assert process.stdout is not None
    reports = [process.stdout.readline() for _ in range(lines)]
    time.sleep(wait_s)
    os.kill(process.pid, signal.SIGKILL)
    reports += process.stdout.readlines()
    process.stdout.close()
    assert process.wait() == -signal.SIGKILL
    return [list(map(int, report.split())) for report in reports if report.endswith("\n")]


def test_several_processes_append_without_holes_or_mixing(tmp_path: Path) -> None:
    """Each append is a run of offsets of its own, all of one append time, and append times never fall."""
    processes = [start(APPENDER, str(tmp_path), name, "20") for name in "abc"]
    outputs = [process.communicate(timeout=60)[0] for process in processes]

    with Spool(tmp_path) as spool:
        records = spool.poll(0, 64 * MEGABYTE)
    assert [record.offset for record in records] == list(range(300))
    assert all(a.append_ns <= b.append_ns for a, b in itertools.pairwise(records))
    for name, output in zip("abc", outputs, strict=True):
        for batch, first in (map(int, line.split()) for line in output.splitlines()):
            run = records[first : first + 5]
            assert [record.value.rstrip(b"\0") for record in run] == [f"{name} {batch} {number}".encode() for number in range(5)]
            assert len({record.append_ns for record in run}) == 1


@pytest.mark.parametrize("kills", [4, pytest.param(40, marks=pytest.mark.long)])
def test_what_was_acknowledged_survives_kill_9_and_an_append_is_whole_or_absent(tmp_path: Path, kills: int) -> None:
    """At whatever moment an appending process dies: every append that returned is there, and no half of another."""
    acknowledged: set[int] = set()
    for number in range(kills):
        reports = kill_after(start(APPENDER, str(tmp_path), str(number), "100000"), 2, random.random() / 20)
        acknowledged.update(first for _, first in reports)

    with Spool(tmp_path) as spool:
        records = spool.poll(0, 1 << 40)
        assert spool.append([b"after"]) == len(records)
    assert [record.offset for record in records] == list(range(len(records)))
    assert len(records) % 5 == 0
    assert all(records[first].value.rstrip(b"\0").endswith(b" 0") for first in acknowledged)
    assert all(records[at].value.rstrip(b"\0").endswith(f" {at % 5}".encode()) for at in range(len(records)))


@pytest.mark.parametrize("kills", [4, pytest.param(40, marks=pytest.mark.long)])
def test_position_and_alerts_are_one_through_kill_9(tmp_path: Path, kills: int) -> None:
    """Whenever the spikes stage dies, the alerts before the committed position are there, and none after it; so with a reader's."""
    for _ in range(kills):
        reports = kill_after(start(COMMITTER, str(tmp_path)), 2, random.random() / 20)

        with Spool(tmp_path, read_only=True) as spool:
            commit, cursor = spool.committed(), spool.cursor("incidents")
            entries = spool.poll_alerts(0, 1_000_000)
        assert commit is not None
        assert cursor is not None
        assert commit.position >= reports[-1][0]
        alerts = [entry.id for entry in entries if entry.kind == "alert"]
        assert alerts == [str(at) for at in range(commit.position)]
        assert [entry.id for entry in entries if entry.kind == "incident"][-1] == f"i{cursor.position}"
        assert [entry.offset for entry in entries] == list(range(len(entries)))


def test_the_lock_of_the_spikes_stage_dies_with_its_holder(tmp_path: Path) -> None:
    """A second stage is refused and told who holds the spool; after kill -9 the next one gets it at once."""
    program = "import sys, time; from spikebridge.logs.spool import Spool; c = Spool(sys.argv[1]).claim(); print(0, flush=True); time.sleep(60)"
    process = start(program, str(tmp_path))
    assert process.stdout is not None
    process.stdout.readline()

    with Spool(tmp_path) as spool:
        with pytest.raises(LogBusy, match=f"process {process.pid} runs the spikes stage of this spool; stop it first"):
            spool.claim()
        kill_after(process, 0, 0)
        with spool.claim(), pytest.raises(LogBusy):
            spool.claim()
        spool.claim().release()


def test_the_spools_id_is_drawn_once(tmp_path: Path) -> None:
    """The id, which every alert id contains, is the same for all who open the spool, and another spool has another."""
    with Spool(tmp_path / "a") as first, Spool(tmp_path / "a") as second, Spool(tmp_path / "b") as other:
        assert first.id == second.id != other.id


def test_append_times_go_on_when_the_wall_clock_is_set_back(spool: Spool, clock: FakeClock) -> None:
    """Records of an hour that happens twice keep their order and distance, and the spool says how far it is ahead."""
    spool.append([b"a"])
    before = spool.last_append_ns()
    clock.step(-3_600_000_000_000)
    clock.advance(1_000)
    spool.append([b"b"])

    assert spool.last_append_ns() == spool.now_ns() == before + 1_000
    assert spool.ahead_ns() == 3_600_000_000_000


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5)), max_size=30), st.integers(-1, 100))
def test_offset_at_is_the_first_record_of_that_time_or_later(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[int, int]], asked: int
) -> None:
    """Halving finds what a walk from the beginning finds."""
    clock = FakeClock(0)
    with Spool(tmp_path_factory.mktemp("spool"), clock=clock, monotonic=clock.monotonic) as spool:
        for records, pause in steps:
            spool.append([b""] * records)
            clock.advance(pause)
        expected = next((record.offset for record in spool.poll(0, MEGABYTE) if record.append_ns >= asked), spool.bounds()[1])
        assert spool.offset_at(asked) == expected


def test_a_poll_says_when_records_are_gone(spool: Spool) -> None:
    """A position past the end, as after a restored backup, is an error and not an idle log."""
    spool.append([b"a"])
    with pytest.raises(LogMissing, match="record 2 is not in the spike log: it holds 0 to 0"):
        spool.poll(2, MEGABYTE)


def test_a_recordings_alerts_carry_its_input_number(spool: Spool) -> None:
    """Readers keep the highest position of each input: those of a recording don't mix with those of the live log."""
    alert = AlertEntry("x", "alert", 1, (0, 9, 1), b"{}", (b"frame",))
    incident = AlertEntry("y", "incident", 4, (-1, 0, 0), b"{}")

    spool.commit([alert], Commit(10, 5, ((0, 1),)))
    spool.alert_log(3).commit([alert], Commit(2, 7, ((0, 1), (1, 2))))
    spool.advance("incidents", Cursor(2, {0: (9, 1), 3: (9, 1)}), [incident])

    assert [entry.source for entry in spool.poll_alerts(0, 10)] == [(0, 9, 1), (3, 9, 1), (-1, 0, 0)]
    assert spool.committed() == Commit(10, 5, ((0, 1),))
    assert spool.alert_log(3).committed() == Commit(2, 7, ((0, 1), (1, 2)))
    assert spool.alert_log(4).committed() is None
    assert spool.cursors() == {"incidents": Cursor(2, {0: (9, 1), 3: (9, 1)})}
    assert spool.forget("incidents")
    assert not spool.forget("incidents")
