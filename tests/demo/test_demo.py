"""The demonstration, as a newcomer runs it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from spikebridge.demo.episodes import HOURS, LIVE

if TYPE_CHECKING:
    from pathlib import Path

COMMAND = [sys.executable, "-m", "spikebridge"]


@pytest.mark.long
def test_one_pass_shows_everything_survives_a_kill_and_loses_nothing(tmp_path: Path) -> None:
    """`demo --once` ends with exit code 0, every planned alert, every incident, and a proof; the directory stays to look at."""
    where = tmp_path / "demo"

    done = subprocess.run(
        [*COMMAND, "demo", "--once", "--store", where], capture_output=True, text=True, check=False, timeout=120
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    assert "is killed (kill -9)" in done.stdout
    assert "0 alerts lost, 0 differ, 0 too many" in done.stdout
    planned = set().union(*(episode.alerts for episode in [*LIVE, *(one for _, one in HOURS)]))
    shown = subprocess.run(
        [*COMMAND, "alerts", "--data", where, "--limit", "1000", "--json"], capture_output=True, text=True, check=True, timeout=60
    )
    assert len(shown.stdout.splitlines()) > len(planned)
    for rule, device in planned:
        assert re.search(
            rf'.*"{re.escape(rule)}".*"{re.escape(device)}"|.*"{re.escape(device)}".*"{re.escape(rule)}"', shown.stdout
        )
    for _, episode in HOURS:
        assert all(incident in shown.stdout for incident in episode.incidents)


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.long)])
def test_an_endless_demonstration_ends_at_a_signal_and_leaves_no_worker(tmp_path: Path, number: signal.Signals) -> None:
    """Ctrl-C and SIGTERM end it with exit code 0; its worker ends with it."""
    where = tmp_path / "demo"
    with subprocess.Popen([*COMMAND, "demo", "--store", where], stdout=subprocess.PIPE, text=True) as demo:
        assert demo.stdout is not None
        lines = iter(demo.stdout.readline, "")
        for line in lines:
            if "floods the thermostat" in line:
                break
        holder = int((where / "spikes.lock").read_text().strip())
        demo.send_signal(number)
        rest = "".join(lines)

    assert demo.returncode == 0
    assert "look further" in rest
    with pytest.raises(ProcessLookupError):
        os.kill(holder, 0)


def test_a_directory_that_holds_something_else_is_refused(tmp_path: Path) -> None:
    """Nobody's spool is filled with made-up attacks."""
    (tmp_path / "spool.db").write_bytes(b"precious")

    done = subprocess.run(
        [*COMMAND, "demo", "--once", "--store", tmp_path], capture_output=True, text=True, check=False, timeout=60
    )

    assert done.returncode == 2
    assert "expected an empty directory" in done.stderr
    assert [file.name for file in tmp_path.iterdir()] == ["spool.db"]
