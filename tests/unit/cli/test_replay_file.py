"""`replay FILE`: the evidence of an alarm through both layers again, and a recording through the mappings in force."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tests.reference.simulation import START_NS, rule
from tests.unit.detectors.traffic import poller

from spikebridge.cli import main
from spikebridge.limits import SECOND
from spikebridge.logs.spool import Spool
from spikebridge.mapping.rules import RuleSet, rule_set_content
from spikebridge.spikes.frame import Head, encode_events
from spikebridge_detectors.capture.columns import Packets
from spikebridge_detectors.capture.kinds import to_rows
from spikebridge_detectors.evaluate.inject import inject
from spikebridge_detectors.evidence import Evidence, Said, written
from spikebridge_detectors.timing.detector import Running, Timing, advance
from spikebridge_detectors.timing.evidence import STATE, pack

HOUR_NS = 3600 * SECOND


def scanned() -> Evidence:
    """Scan with a poller: its state minutes before, and the packets up to the alarm."""
    learned, running = Timing().learn(poller(hours=72)), Running()
    found = inject(poller(hours=3, seed=2), "scan", HOUR_NS, np.random.default_rng(3))
    assert found is not None
    advance(learned, running, Packets._make(column[:115] for column in found))
    state, since = pack(learned, running), Packets._make(column[115:150] for column in found)
    alarm = advance(learned, running, since)[0]
    said = Said(device="cam-1", detector="timing", neuron=49, kind=alarm.kind, time_ns=alarm.time_ns, score=alarm.score)
    return Evidence(said, state, to_rows(since))


@pytest.fixture(scope="module")
def evidence() -> Evidence:
    """Return the evidence of a scan."""
    return scanned()


def kept(folder: Path, evidence: Evidence) -> str:
    """Write evidence, and return where."""
    path = folder / "alarm.spkev"
    path.write_bytes(written(evidence))
    return str(path)


def test_an_alarm_is_found_again_on_each_engine(tmp_path: Path, evidence: Evidence, capsys: pytest.CaptureFixture[str]) -> None:
    """Both layers, spike for spike."""
    assert main(["replay", kept(tmp_path, evidence), "--without-lava"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0] == "same: spell of cam-1 from its state and 35 packets since"
    assert out[1].startswith("  NumPy: same: ")
    assert out[2].startswith(("  compiled: same: ", "  compiled: not run: the extra isn't installed"))


def test_without_a_python_for_lava_it_is_said(
    tmp_path: Path, evidence: Evidence, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What didn't run is named and is no difference."""
    monkeypatch.setenv("SPIKEBRIDGE_PYTHON310", str(tmp_path / "missing"))
    assert main(["replay", kept(tmp_path, evidence), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["verdict"] == "same"
    assert [one["engine"] for one in found["engines"]] == ["NumPy", "compiled", "Lava"]
    assert found["engines"][2]["verdict"] == "not run"
    assert "expected a Python 3.10" in found["engines"][2]["why"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"time_ns": 7}, "differs: time_ns: recorded 7 for spell, replayed 3631009452669"),
        ({"score": 9.5}, "differs: score: recorded 9.5, replayed 1.4"),
        ({"kind": "silence"}, "differs: time_ns: recorded 3631009452669 for silence, replayed none"),
    ],
)
def test_another_alarm_differs(
    tmp_path: Path, evidence: Evidence, capsys: pytest.CaptureFixture[str], change: dict[str, object], told: str
) -> None:
    """Field by field, and the exit says so."""
    facts = {name: getattr(evidence.said, name) for name in Said.__struct_fields__} | change
    path = kept(tmp_path, evidence._replace(said=Said(**facts)))
    assert main(["replay", path, "--without-lava"]) == 1
    assert told in capsys.readouterr().out


def test_packets_that_are_gone_differ(tmp_path: Path, evidence: Evidence, capsys: pytest.CaptureFixture[str]) -> None:
    """An alarm needs its input."""
    assert main(["replay", kept(tmp_path, evidence._replace(input=evidence.input[:60])), "--without-lava"]) == 1
    assert "differs: spell" in capsys.readouterr().out


def test_a_file_that_is_none_is_refused_with_its_name(
    tmp_path: Path, evidence: Evidence, capsys: pytest.CaptureFixture[str]
) -> None:
    """Missing, damaged, or of a state that no device comes to."""
    path = tmp_path / "alarm.spkev"
    assert main(["replay", str(path)]) != 0
    assert "alarm.spkev: No such file" in capsys.readouterr().err
    path.write_bytes(b"nothing")
    assert main(["replay", str(path)]) != 0
    assert "alarm.spkev: expected at least" in capsys.readouterr().err
    state = np.frombuffer(evidence.state, STATE).copy()
    state["kinds"] = 9
    assert main(["replay", kept(tmp_path, evidence._replace(state=state.tobytes()))]) != 0
    assert "alarm.spkev: state: kinds: expected what a device can come to, found 9" in capsys.readouterr().err


def recorded(folder: Path) -> str:
    """Write a recording of two frames, and a rule in force that they fulfil."""
    with Spool(folder) as spool:
        spool.publish(rule_set_content(RuleSet(rules=[rule("burst", (40, 47), count=4, within=5)])))
    path = folder / "night.spk"
    path.write_bytes(
        encode_events(Head(device="cam-1", start_ns=START_NS, step_ns=SECOND), [40, 42], [0, 1])
        + encode_events(Head(device="cam-1", start_ns=START_NS + 2 * SECOND, step_ns=SECOND), [41, 42, 42], [0, 1, 1])
    )
    return str(path)


def test_a_recording_gives_its_alerts_with_a_verdict_on_each(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Under the mappings in force; each is computed again from its evidence alone."""
    path = recorded(tmp_path)
    assert main(["replay", path, "--data", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert out.startswith("1 alert under revision 1: 1 same\n")
    assert "4 spikes of neurons 40-42 (layer 0) on cam-1" in out
    assert main(["replay", path, "--data", str(tmp_path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["verdicts"] == {"same": 1}
    assert [one["device"] for one in found["alerts"]] == ["cam-1"]
    missing = str(tmp_path / "nowhere.spk")
    assert main(["replay", missing, "--data", str(tmp_path)]) == 2
    assert f"there is no recording at {missing}" in capsys.readouterr().err


def test_what_of_a_recording_cannot_be_read_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One flipped bit takes a frame and its alert away: that isn't a night without alerts."""
    path = Path(recorded(tmp_path))
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    assert main(["replay", str(path), "--data", str(tmp_path)]) == 1
    out = capsys.readouterr().out
    assert out.startswith("1 part of records can't be read, and count for nothing here:\n  partition 0, record 1: ")
    assert "\n0 alerts under revision 1\n" in out
    assert main(["replay", str(path), "--data", str(tmp_path), "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["refused"], [one["offset"] for one in found["refusals"]]) == (1, [1])


def test_a_file_that_is_no_recording_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A table or a program has no alerts to replay, and is told as `send` tells it."""
    path = Path(recorded(tmp_path))
    for data in (b"ts,device,value\n" * 50, b"\x7fELF\x02\x01\x01" + bytes(200)):
        path.write_bytes(data)
        assert main(["replay", str(path), "--data", str(tmp_path)]) == 2
        captured = capsys.readouterr()
        assert (captured.out, "night.spk: expected frames, or lines of JSON" in captured.err) == ("", True)


def test_a_recording_without_mappings_in_force_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With what to do."""
    path = recorded(tmp_path)
    (tmp_path / "other").mkdir()
    with Spool(tmp_path / "other"):
        pass
    assert main(["replay", path, "--data", str(tmp_path / "other")]) == 2
    assert "no mappings are in force" in capsys.readouterr().err
