"""The wrappers that kill: each point is reached where it says, and nothing happens before its time."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from spikebridge.logs.spool import Spool
from spikebridge.testing import KILL_POINTS, KillPoint

if TYPE_CHECKING:
    from pathlib import Path

WORKER = """
import sys
from pathlib import Path

from spikebridge.alerts import AlertEntry, Cursor
from spikebridge.logs import Commit
from spikebridge.logs.spool import Spool
from spikebridge.testing import KillingLog, KillingSink, KillPoint, MemorySink

point = KillPoint(sys.argv[2], int(sys.argv[3]))
entry = AlertEntry("a", "alert", 1, (0, 0, 0), b"{}")
with KillingLog(Spool(Path(sys.argv[1])), point) as log:
    sink = KillingSink(MemorySink(), point)
    for turn in range(3):
        log.append([b"record"])
        records = log.poll(turn, 1 << 20)
        assert [record.value for record in records] == [b"record"]
        print(turn, "polled", flush=True)
        assert records[-1].offset == turn
        log.commit([], Commit(turn, 0, ((0, 1),)))
        log.commit([entry], Commit(turn + 1, 0, ((0, 1),)))
        log.advance("incidents", Cursor(turn))
        sink.open()
        sink.write([entry])
        log.advance("deliver:store", Cursor(turn))
        sink.close()
"""

COMMITTED = {"after_append": 1, "after_decode": 1, "after_match": 1, "before_commit": 1}
"""The position after a death in the second turn; 2 for the points behind the transaction."""


def work(directory: Path, point: str, times: int) -> subprocess.CompletedProcess[str]:
    """Run the worker in a process of its own."""
    command = [sys.executable, "-c", WORKER, str(directory), point, str(times)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize("point", KILL_POINTS)
def test_the_process_dies_when_it_passes_the_point_the_second_time(point: str, tmp_path: Path) -> None:
    """The death is that of `kill -9`, in the second turn; what was committed by then is in the spool."""
    worker = work(tmp_path, point, 2)
    assert worker.returncode == -signal.SIGKILL, worker.stderr
    assert worker.stdout.splitlines() == ["0 polled", "1 polled"][: 1 if point == "after_append" else 2]
    with Spool(tmp_path) as spool:
        commit = spool.committed()
        assert commit is not None
        assert commit.position == COMMITTED.get(point, 2)


def test_a_point_that_is_never_passed_kills_nobody(tmp_path: Path) -> None:
    """Three turns pass it three times, not four."""
    worker = work(tmp_path, "after_commit", 4)
    assert (worker.returncode, worker.stderr) == (0, "")


def test_an_unknown_point_is_refused() -> None:
    """A typo would kill nobody and prove nothing."""
    with pytest.raises(ValueError, match="expected one of after_append"):
        KillPoint("after_lunch")
