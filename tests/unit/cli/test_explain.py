"""`explain` and `replay` on a spool and a store that hold one real alert."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from tests.reference.simulation import START_NS, rule

from spikebridge.alerts import Alert, alert_entry
from spikebridge.cli import main
from spikebridge.limits import SECOND
from spikebridge.logs.spool import Spool
from spikebridge.mapping.engine import Engine
from spikebridge.mapping.evidence import Identity
from spikebridge.mapping.rules import Cell, Revision, Rule, RuleSet, read_revision, rule_set_content
from spikebridge.spikes.frame import Head, encode_events
from spikebridge.spikes.record import Record
from spikebridge.store import Store

if TYPE_CHECKING:
    from pathlib import Path

    from spikebridge.mapping.evidence import Raised


def raised_in(directory: Path) -> Raised:
    """Keep one burst of four spikes over two frames in a store, and its revision in a spool."""
    found: Rule = rule("burst", (40, 47), count=4, within=5)
    with Spool(directory) as spool:
        revision: Revision = read_revision(spool.publish(rule_set_content(RuleSet(rules=[found]))), spool.revision(1) or b"")
    assert found.cells == [Cell(first=40, last=47)]
    values = [
        encode_events(Head(device="cam-1", start_ns=START_NS, step_ns=SECOND), [40, 42], [0, 1], peers=["10.0.0.9", None]),
        encode_events(Head(device="cam-1", start_ns=START_NS + 2 * SECOND, step_ns=SECOND), [41, 42, 42], [0, 1, 1]),
    ]
    records = [Record(offset, START_NS + 3 * SECOND, value) for offset, value in enumerate(values)]
    (raised,) = (
        Engine(Identity("default", "log", 0), revision, lambda _: None, lambda offsets: [records[at] for at in offsets])
        .take(records)
        .alerts
    )
    with Store(directory) as store:
        store.write([alert_entry(raised.alert, raised.evidence)])
    return raised


def test_explain_says_why_in_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The first line is the explanation; neurons and peers follow, and how to replay."""
    alert = raised_in(tmp_path).alert

    assert main(["explain", alert.id[:8], "--data", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert out.startswith("4 spikes of neurons 40-42 (layer 0) on cam-1 within 3 s (rule: 4 within 5 s), 1 of them from 10.0.0.9")
    assert "0:42" in out
    assert f"spikebridge replay {alert.id[:8]}" in out


def test_explain_gives_a_machine_the_same_numbers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--json` is one document."""
    alert = raised_in(tmp_path).alert

    assert main(["explain", alert.id, "--json", "--data", str(tmp_path)]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["count"] == 4
    assert document["explanation"] == alert.explanation


def test_replay_gives_the_same_alert(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whole evidence gives every byte again."""
    alert = raised_in(tmp_path).alert

    assert main(["replay", alert.id[:8], "--data", str(tmp_path)]) == 0
    assert capsys.readouterr().out.startswith(f"same: alert {alert.id} from 2 records, revision 1")


@pytest.mark.parametrize(("field", "value"), [("time_ns", 1), ("count", 5), ("explanation", "because")])
def test_replay_names_what_differs(tmp_path: Path, capsys: pytest.CaptureFixture[str], field: str, value: object) -> None:
    """An alert that was changed after the fact is found out, field by field."""
    raised = raised_in(tmp_path)
    forged: Alert = type(raised.alert)(
        **{name: getattr(raised.alert, name) for name in raised.alert.__struct_fields__} | {"id": "forged", field: value}
    )
    with Store(tmp_path) as store:
        store.write([alert_entry(forged, raised.evidence)])

    assert main(["replay", "forged", "--json", "--data", str(tmp_path)]) == 1
    verdict = json.loads(capsys.readouterr().out)
    assert verdict["verdict"] == "differs"
    assert any(text.startswith(f"{field}: ") for text in verdict["differences"])


def test_replay_finds_evidence_that_was_exchanged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Other bytes than those that counted are no evidence."""
    raised = raised_in(tmp_path)
    with Store(tmp_path / "other") as store:
        store.write([alert_entry(raised.alert, (raised.evidence[1], raised.evidence[1]))])
    (tmp_path / "spool.db").rename(tmp_path / "other" / "spool.db")

    assert main(["replay", raised.alert.id, "--data", str(tmp_path / "other")]) == 1
    assert "SHA-256 differs" in capsys.readouterr().out
