"""`spikebridge send`: what its last lines say to a person who did something that can't be seen otherwise."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from spikebridge import cli
from spikebridge.logs.spool import Spool

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

EVENT = '{"device_id": "cam-1", "neuron_id": 42, "time": 1790000000}\n'


def test_a_recording_that_was_read_before_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing comes of it, and nobody should wait for alerts; one that still waits is simply sent."""
    path = tmp_path / "night.jsonl"
    path.write_text(EVENT)
    command = ["send", str(path), "--data", str(tmp_path / "data")]

    for _ in range(2):
        assert cli.main(command) == 0
        assert "read before" not in capsys.readouterr().out
    with Spool(tmp_path / "data") as spool:
        spool.drained(1)
    assert cli.main(command) == 0
    assert capsys.readouterr().out.splitlines()[1:] == ["this recording was read before: nothing of it is read again"]
    assert cli.main([*command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["known"] is True


def test_a_json_text_over_several_lines_is_told_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What `jq .` prints is not what `send` reads."""
    path = tmp_path / "pretty.json"
    path.write_text(json.dumps([json.loads(EVENT)], indent=2))

    assert cli.main(["send", str(path), "--live", "--data", str(tmp_path / "data")]) == 1
    assert "one line holds one whole JSON text: `jq -c .` puts a text on one line" in capsys.readouterr().out
