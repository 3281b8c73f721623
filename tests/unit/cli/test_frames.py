"""`spikebridge frames`: a readable line for whatever a file or a log holds."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from spikebridge import cli
from spikebridge.logs.spool import Spool
from spikebridge.spikes.frame import Head, encode_events, encode_tick

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

START = 1_790_000_000 * 10**9
GOOD = encode_events(Head(device="cam-1", start_ns=START, boot=1, seq=2, digest=5), [1, 2], [0, 1_000], ["10.0.0.9", None])
TICK = encode_tick(START, 8)


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """Return what was printed."""
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_a_file_of_frames_is_shown_and_its_broken_one_explained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One line for each, with its place; something refused exits 1."""
    path = tmp_path / "some.spk"
    path.write_bytes(GOOD + GOOD[:80] + TICK)

    assert cli.main(["frames", str(path)]) == 1

    frame, broken, tick = lines(capsys)
    assert frame == {
        "at": 0,
        "role": "output",
        "device": "cam-1",
        "layer": 0,
        "start": "2026-09-21T14:13:20.000000000Z",
        "end": "2026-09-21T14:13:20.001000000Z",
        "boot": 1,
        "seq": 2,
        "crc": GOOD[-4:][::-1].hex(),
        "rows": 2,
        "model": "0000000000000005",
        "spikes": [
            {"neuron": 1, "time": "2026-09-21T14:13:20.000000000Z", "count": 1, "peer": "10.0.0.9"},
            {"neuron": 2, "time": "2026-09-21T14:13:20.001000000Z", "count": 1},
        ],
    }
    assert (broken["at"], broken["refused"]) == (len(GOOD), f"length: expected 80, found {len(GOOD)}")
    assert tick == {"at": len(GOOD) + 80, "role": "tick", "time": "2026-09-21T14:13:20.000000000Z", "revision": 8}


def test_a_frame_says_how_much_evidence_it_carries(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Only one that carries some."""
    path = tmp_path / "some.spk"
    path.write_bytes(GOOD + encode_events(Head(device="cam-1", start_ns=START), [48], [0], evidence=b"seen it"))

    assert cli.main(["frames", str(path)]) == 0

    assert [frame.get("evidence_bytes") for frame in lines(capsys)] == [None, 7]


def test_a_log_is_shown_with_offsets(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Read only, from the first record kept; all good exits 0."""
    with Spool(tmp_path) as spool:
        spool.append([GOOD, b'{"device_id": "sensor_01", "spike_count": 45, "neuron_layer": "output_3"}', encode_tick(START)])

    assert cli.main(["frames", f"spool:{tmp_path}", "--rows", "1"]) == 0

    found = lines(capsys)
    assert [line["offset"] for line in found] == [0, 1, 2]
    assert [len(line.get("spikes", [])) for line in found] == [1, 1, 0]
    assert (found[1]["device"], found[1]["layer"], found[1]["spikes"][0]["neuron"]) == ("sensor_01", "output_3", None)
    assert found[2]["role"] == "tick"


def test_a_log_that_is_not_there_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Reading makes no log."""
    assert cli.main(["frames", f"spool:{tmp_path / 'none'}"]) == 2

    assert not (tmp_path / "none").exists()
    assert capsys.readouterr().err


def test_a_topic_is_not_taken_for_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    """`send` knows `kafka:NAME`, so people try it here."""
    assert cli.main(["frames", "kafka:plant"]) == 2

    assert 'expected a file, - or spool:DIR, found "kafka:plant"' in capsys.readouterr().err
