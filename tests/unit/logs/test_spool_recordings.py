"""Recordings that are taken into the spool."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from spikebridge.errors import LogError
from spikebridge.logs.spool import Spool

if TYPE_CHECKING:
    from pathlib import Path

TAKING = """
import sys
from pathlib import Path
from spikebridge.logs.spool import Spool

with Spool(Path(sys.argv[1])) as spool:
    spool.add_recording(Path(sys.argv[2]))
"""

PATIENCE_S = 60


def test_a_recording_is_a_log_of_its_own_beside_the_live_one(tmp_path: Path) -> None:
    """It is copied into the spool under its digest, gets an input number, and the file may go."""
    file = tmp_path / "monday.jsonl"
    file.write_bytes(b'{"device_id": "a"}\n')
    with Spool(tmp_path / "data") as spool:
        taken = spool.add_recording(file)
        file.unlink()

        assert taken.number == 1
        assert taken.name == "monday.jsonl"
        assert taken.id == hashlib.sha256(b'{"device_id": "a"}\n').hexdigest()
        assert taken.path.read_bytes() == b'{"device_id": "a"}\n'
        assert not taken.drained
        assert spool.recordings() == [taken]


def test_the_same_bytes_are_taken_once(tmp_path: Path) -> None:
    """Sent again under another name, before or after it was read, a recording adds nothing."""
    for name in ("a", "b", "c"):
        (tmp_path / name).write_bytes(b"same")
    with Spool(tmp_path / "data") as spool:
        first = spool.add_recording(tmp_path / "a")
        assert spool.add_recording(tmp_path / "b") == first
        spool.drained(first.number)

        assert spool.add_recording(tmp_path / "c") == first._replace(drained=True)
        assert not first.path.exists()
        assert spool.recordings() == [first._replace(drained=True)]
        assert [path.name for path in first.path.parent.iterdir()] == []


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    """The message names the file, and nothing is left behind."""
    with Spool(tmp_path) as spool:
        with pytest.raises(LogError, match=r"nothing\.jsonl: No such file or directory"):
            spool.add_recording(tmp_path / "nothing.jsonl")
        assert spool.recordings() == []
        assert list((tmp_path / "recordings").iterdir()) == []


def test_what_is_stopped_while_it_copies_leaves_nothing_behind(tmp_path: Path) -> None:
    """Ctrl-C in the middle of a long recording: nothing would ever remove its half."""
    slow, copies = tmp_path / "slow", tmp_path / "data" / "recordings"
    os.mkfifo(slow)
    taking = [sys.executable, "-c", TAKING, str(tmp_path / "data"), str(slow)]
    with slow.open("r+b", buffering=0), subprocess.Popen(taking, stderr=subprocess.PIPE) as process:
        until = time.monotonic() + PATIENCE_S
        while not list(copies.glob(".*.part")):
            assert time.monotonic() < until
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=PATIENCE_S)
    assert b"KeyboardInterrupt" in told
    assert list(copies.iterdir()) == []
