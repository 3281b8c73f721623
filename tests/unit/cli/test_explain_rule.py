"""Alarms of the simple rules from a capture to the analyst: their evidence comes with the frame, and says what was measured."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import msgspec
import pytest
from tests.unit.detectors.sensing import watched

from spikebridge.cli import main
from spikebridge.cli.sense import encode
from spikebridge_detectors.evidence import Evidence, read, written
from spikebridge_detectors.sense.outputs import Told
from spikebridge_detectors.sense.watch import witness

if TYPE_CHECKING:
    from pathlib import Path

    from spikebridge_detectors.sense.watch import Found


@pytest.fixture(scope="module")
def alarms() -> dict[str, Found]:
    """Return an alarm of each rule."""
    watch, packets = watched()
    found = watch.advance(packets)
    return {one.alarm.kind: one for one in found if one.layer == "rules"}


def kept(folder: Path, evidence: Evidence) -> str:
    """Write evidence, and return where."""
    path = folder / "alarm.spkev"
    path.write_bytes(written(evidence))
    return str(path)


@pytest.mark.parametrize(
    ("kind", "says", "unit"),
    [
        ("rate", "rate (neuron 53) of meter: 21 packets within 10 s, where 20 are the most\n", "packets within 10 s"),
        ("silence", "silence (neuron 54) of meter: no packet for 7,", "s"),
        ("ewma", "ewma (neuron 56) of meter: 298 packets in a minute, where about 0.", "deviations"),
    ],
)
def test_a_file_says_what_was_measured_and_follows(
    kind: str, says: str, unit: str, alarms: dict[str, Found], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Against what is normal for the device, in words and in numbers."""
    path = kept(tmp_path, read(witness("meter", alarms[kind])))
    assert main(["explain", path]) == 0
    assert capsys.readouterr().out.startswith(says)
    assert main(["explain", path, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["detector"], said["kind"], said["unit"]) == ("rules", kind, unit)
    assert said["held"] > said["threshold"]
    assert ("packets" in said) == (kind == "ewma")
    assert main(["replay", path]) == 0
    assert capsys.readouterr().out.startswith(f"same: {kind} of meter from its state and ")
    assert main(["explain", path, "--plot", str(tmp_path / "a.svg")]) == 2
    assert "has no spikes to draw" in capsys.readouterr().err


def test_evidence_from_which_nothing_follows_differs(
    alarms: dict[str, Found], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Fewer packets raise no alarm, and a neuron that isn't the rule's is told."""
    evidence = read(witness("meter", alarms["rate"]))
    fewer = kept(tmp_path, evidence._replace(input=b""))
    assert main(["replay", fewer]) == 1
    assert "differs: time_ns: recorded" in capsys.readouterr().out
    assert main(["explain", fewer]) == 2
    assert "doesn't follow from its evidence" in capsys.readouterr().err
    other = evidence._replace(said=msgspec.structs.replace(evidence.said, neuron=54))
    assert main(["replay", kept(tmp_path, other)]) == 1
    assert "differs: neuron: recorded 54, rate of the rules is 53" in capsys.readouterr().out


def test_an_alert_is_explained_by_what_came_with_its_frame(
    alarms: dict[str, Found], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """From a recording of what was sensed, with the mappings that ship: nothing is fetched from the edge."""
    found = alarms["rate"]
    told = Told("meter", found.alarm.time_ns, "rules", "rate", found.alarm.score, found.digest, witness("meter", found))
    (tmp_path / "found.spk").write_bytes(encode(told, 1, 0))
    data = str(tmp_path / "data")
    (tmp_path / "spikebridge.yaml").write_text(json.dumps({"data": data}))
    assert main(["send", str(tmp_path / "found.spk"), "--data", data]) == 0
    assert main(["run", "--once", "--config", str(tmp_path / "spikebridge.yaml")]) == 0
    capsys.readouterr()
    assert main(["alerts", "--data", data, "--json"]) == 0
    one = json.loads(capsys.readouterr().out.splitlines()[0])
    assert main(["explain", one["id"], "--data", data]) == 0
    assert "what the rule measured:\nrate (neuron 53) of meter: 21 packets within 10 s" in capsys.readouterr().out
    assert main(["replay", one["id"], "--data", data]) == 0
    assert "same: rate of meter from its state and " in capsys.readouterr().out
    assert main(["explain", one["id"], "--data", data, "--plot", str(tmp_path / "a.svg")]) == 2
    assert "--plot shows what a network saw: a simple rule told this, and has none\n" in capsys.readouterr().err
