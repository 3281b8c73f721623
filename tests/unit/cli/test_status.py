"""`status` of a spool in which a newer version has written: an older one waits, and must be able to say so."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from spikebridge import cli
from spikebridge.alerts import AlertEntry, Cursor
from spikebridge.app.status import StageStatus, Status, read_status, read_statuses, write_status
from spikebridge.delivery import Delivery, Surroundings
from spikebridge.filter import Filter
from spikebridge.logs import Commit
from spikebridge.logs.spool import Spool
from spikebridge.metrics import Metrics
from spikebridge.testing import FakeClock, MemoryLetters, MemorySink

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

KNOWN = AlertEntry("known", "alert", 1, (0, 1, 0), b"{}")
DECISION: Any = "decision"
NEWER = KNOWN._replace(id="newer", kind=DECISION, source=(0, 2, 0))


def test_a_sink_waits_for_the_upgrade_and_status_says_how_far_behind_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What a newer version wrote becomes no dead letter, is passed to nobody unread, and nothing else of `status` is hidden by it."""
    clock, sink, letters = FakeClock(), MemorySink(), MemoryLetters()
    tries: list[float] = []

    def wait(seconds: float) -> bool:
        tries.append(seconds)
        return len(tries) > 9

    with Spool(tmp_path, clock=clock) as spool:
        spool.commit([KNOWN, NEWER, KNOWN._replace(id="behind", source=(0, 3, 0))], Commit(3, 1, ((0, 1),)))
        around = Surroundings(dead_letters=letters, metrics=Metrics(), clock=clock, wait=wait, random=lambda: 0.5)
        delivery = Delivery("siem", sink, spool, around, Filter())
        delivery.open()
        assert not delivery.drain()
        assert [entry.id for entry in sink.findings] == ["known"]
        assert not letters.kept
        assert "record 1 of the alert log is of the kind 'decision'" in delivery.health().error
        assert spool.cursor("deliver:siem") == Cursor(1, {0: (1, 0)})
        assert [spool.alert_append_ns(position) for position in (0, 2, 3)] == [clock(), clock(), None]

    assert cli.main(["status", "--data", str(tmp_path), "--json"]) == 0
    (reader,) = json.loads(capsys.readouterr().out)["readers"]
    assert (reader["reader"], reader["position"], reader["lag"]) == ("deliver:siem", 1, 2)
    assert reader["behind_s"] > 0


def said(pid: int, started_ns: int, stage: str, *, running: bool = True, **more: Any) -> Status:
    """Return what a process says that runs one stage."""
    stages = [StageStatus(name=stage, error=more.pop("error", ""))]
    return Status(pid=pid, started_ns=started_ns, running=running, version="1", stages=stages, **more)


def test_processes_that_share_a_directory_are_told_together(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever wrote last: what one of them suffers isn't hidden by another that is well."""
    with Spool(tmp_path):
        pass
    delivers = said(os.getppid(), 1, "deliver:siem", error="no route", refused=["a.yaml: wrong"])
    spikes = said(os.getpid(), 2, "spikes", revision=3, refused=["a.yaml: wrong"])
    for order in ([delivers, spikes], [spikes, delivers]):
        for status in order:
            write_status(tmp_path, [stage.name for stage in status.stages], status)

        assert cli.main(["status", "--data", str(tmp_path), "--json"]) == 1
        told = json.loads(capsys.readouterr().out)
        assert told["service"] == {"running": True, "pid": os.getppid(), "pids": sorted([os.getpid(), os.getppid()])}
        assert told["problems"] == ["deliver:siem: no route", "a.yaml: wrong"]
        whole = read_status(tmp_path)
        assert whole is not None
        assert (whole.revision, [stage.name for stage in whole.stages]) == (3, ["deliver:siem", "spikes"])

    assert cli.main(["status", "--data", str(tmp_path)]) == 1
    assert "service: running, processes " in capsys.readouterr().out


def test_what_ended_is_told_until_another_speaks(tmp_path: Path) -> None:
    """Its file goes then, also where it died without a word."""
    with subprocess.Popen([sys.executable, "-c", ""]) as dead:
        dead.wait()
    write_status(tmp_path, ["spikes"], said(dead.pid, 1, "spikes", error="lost"))
    whole = read_status(tmp_path)
    assert whole is not None
    assert not whole.running

    write_status(tmp_path, ["deliver:siem"], said(os.getpid(), 2, "deliver:siem"))
    write_status(tmp_path, ["incidents"], said(os.getpid(), 3, "incidents", running=False))
    write_status(tmp_path, ["deliver:siem"], said(os.getpid(), 2, "deliver:siem"))
    assert [stage.name for status in read_statuses(tmp_path) for stage in status.stages] == ["deliver:siem"]
    assert len(list(tmp_path.glob("status*"))) == 1
