"""`explain` for alarms of networks: from the file of their evidence, or by the alert that their frame raised."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

import pytest
from tests.reference.simulation import rule
from tests.unit.cli.test_replay_file import evidence, kept

from spikebridge.alerts import alert_entry
from spikebridge.cli import main
from spikebridge.logs.spool import Spool
from spikebridge.mapping.engine import Engine
from spikebridge.mapping.evidence import Identity
from spikebridge.mapping.rules import RuleSet, read_revision, rule_set_content
from spikebridge.spikes.frame import Head, encode_events
from spikebridge.spikes.record import Record
from spikebridge.store import Store
from spikebridge_detectors.evidence import written

if TYPE_CHECKING:
    from pathlib import Path

    from spikebridge_detectors.evidence import Evidence

__all__ = ["evidence"]


def alert_of(folder: Path, found: Evidence) -> str:
    """Keep the alert of the alarm's output frame in a store, and the evidence where sensing keeps it; return the id."""
    frame = encode_events(Head(device="cam-1", start_ns=found.said.time_ns, step_ns=1, layer=48), [49], [0])
    (folder / "evidence").mkdir()
    (folder / "evidence" / f"{hashlib.sha256(frame).hexdigest()[:16]}.spkev").write_bytes(written(found))
    revision = read_revision(1, rule_set_content(RuleSet(rules=[rule("spell", (49, 49), count=1)])))
    record = Record(0, found.said.time_ns + 1, frame)
    (raised,) = Engine(Identity("default", "log", 0), revision, lambda _: None, lambda _: [record]).take([record]).alerts
    with Spool(folder), Store(folder) as store:
        store.write([alert_entry(raised.alert, raised.evidence)])
    return raised.alert.id


def test_a_file_says_which_neuron_what_was_seen_and_what_was_learned(
    tmp_path: Path, evidence: Evidence, capsys: pytest.CaptureFixture[str]
) -> None:
    """The sentence first, then each packet that counted; the raster beside it."""
    svg = tmp_path / "spell.svg"
    assert main(["explain", kept(tmp_path, evidence), "--plot", str(svg)]) == 0
    out = capsys.readouterr().out
    assert out.startswith("spell (neuron 49) of cam-1: 9.4 surprises within about 5 min, where 6.4 are the most; the oddest: ")
    assert "60 s after the last of its kind, against a learned" in out
    assert svg.read_text(encoding="utf-8").startswith("<svg")


def test_a_machine_gets_the_same_numbers(tmp_path: Path, evidence: Evidence, capsys: pytest.CaptureFixture[str]) -> None:
    """Gaps in nanoseconds, each with baseline and sigma where something was learned."""
    assert main(["explain", kept(tmp_path, evidence), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["neuron"], found["kind"], found["unit"]) == (49, "spell", "surprises")
    assert found["held"] > found["threshold"]
    own = [one["own_gap"] for one in found["surprises"] if "sigma" in one["own_gap"]]
    assert own
    assert all(one["low_ns"] < one["usual_ns"] < one["high_ns"] for one in own)


def test_an_alert_finds_the_evidence_of_its_frames(
    tmp_path: Path, evidence: Evidence, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the digest of the frame that counted: no name has to be known."""
    one = alert_of(tmp_path, evidence)
    kept_in = ["--data", str(tmp_path), "--evidence", str(tmp_path / "evidence")]
    assert main(["explain", one[:8], *kept_in]) == 0
    out = capsys.readouterr().out
    assert "what the network saw:\nspell (neuron 49) of cam-1: 9.4 surprises" in out
    assert main(["explain", one[:8], *kept_in, "--json", "--plot", str(tmp_path / "a.svg")]) == 0
    assert json.loads(capsys.readouterr().out)["networks"][0]["kind"] == "spell"
    assert (tmp_path / "a.svg").exists()
    assert main(["explain", one[:8], "--data", str(tmp_path), "--plot", str(tmp_path / "b.svg")]) == 2
    assert "found none that explains" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["spell.png", "spell", "svg"])
def test_a_raster_by_the_name_of_another_format_is_refused(
    name: str, tmp_path: Path, evidence: Evidence, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before anything is said or written, of a file as of an alert."""
    one = alert_of(tmp_path, evidence)
    for what in ([kept(tmp_path, evidence)], [one[:8], "--data", str(tmp_path), "--evidence", str(tmp_path / "evidence")]):
        assert main(["explain", *what, "--plot", str(tmp_path / name)]) == 2
        said = capsys.readouterr()
        assert not said.out
        assert "argument --plot: expected a name that ends in .svg, which is what is written, found " in said.err
    assert not (tmp_path / name).exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("explain", "a", "--evidence", "nowhere"), 'expected a directory, found none at "nowhere"'),
        (("replay", "a", "--evidence", "nowhere"), 'expected a directory, found none at "nowhere"'),
        (
            ("explain", "night.spk"),
            "night.spk: expected an alert, found a recording: `spikebridge replay night.spk` lists its alerts",
        ),
    ],
)
def test_what_is_no_alert_and_no_directory_is_said(
    arguments: tuple[str, ...], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In words of what was given."""
    monkeypatch.chdir(tmp_path)
    assert main([*arguments]) == 2
    assert said in capsys.readouterr().err


def test_evidence_from_which_nothing_follows_is_refused(
    tmp_path: Path, evidence: Evidence, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody explains what wasn't so."""
    assert main(["explain", kept(tmp_path, evidence._replace(input=b""))]) != 0
    assert "the alarm doesn't follow from its evidence: see `spikebridge replay" in capsys.readouterr().err
