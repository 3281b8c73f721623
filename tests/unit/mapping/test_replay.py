"""A changed alert is told from the one that its evidence gives."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest
from tests.reference.simulation import START_NS, absence, rule

from spikebridge.alerts import EVIDENCE_BYTES, EvidenceInfo
from spikebridge.canonical import sha256
from spikebridge.limits import SECOND
from spikebridge.mapping.engine import alerts_of
from spikebridge.mapping.replay import replay
from spikebridge.mapping.rules import Revision, RuleSet, rule_set_content
from spikebridge.spikes.frame import Head, encode_events, encode_tick
from spikebridge.spikes.lean import lean
from spikebridge.spikes.record import Record

if TYPE_CHECKING:
    from spikebridge.mapping.evidence import Raised

RULE_SET = RuleSet(rules=[rule("single", (5, 5)), absence("silent", 40)])
REVISION = Revision(number=1, digest=sha256(rule_set_content(RULE_SET)), rule_set=RULE_SET)


def raised() -> dict[str, Raised]:
    """Raise an alert of each kind: a spike, then silence, then a gap."""
    spike = msgspec.json.encode({"device_id": "cam", "neuron_id": 5})
    values = [(0, spike), (50, encode_tick(START_NS)), (500, encode_tick(START_NS))]
    records = [Record(at, START_NS + after * SECOND, value) for at, (after, value) in enumerate(values)]
    return {one.alert.rule.id: one for one in alerts_of(RULE_SET, records).alerts}


@pytest.mark.parametrize("name", ["single", "silent", "log_gap"])
def test_what_an_alert_says_of_its_rule_comes_from_the_revision(name: str) -> None:
    """Another severity or interval than the revision's is a difference, whatever the kind of rule."""
    alert, evidence = raised()[name]
    assert replay(alert, evidence, REVISION).verdict == "same"
    for change in ({"severity": "Critical"}, {"suppress_ns": 0}, {"action": "Release"}):
        changed = msgspec.structs.replace(alert, rule=msgspec.structs.replace(alert.rule, **change))
        verdict = replay(changed, evidence, REVISION)
        assert [difference.partition(":")[0] for difference in verdict.differences] == ["rule"], change


def test_an_alert_without_evidence_is_none() -> None:
    """Nothing is computed from nothing."""
    alert, _ = raised()["single"]
    bare = msgspec.structs.replace(alert, evidence=EvidenceInfo())

    assert replay(bare, (), REVISION).differences == ["evidence: expected a record, found none"]


FIVE = RuleSet(rules=[rule("five", (5, 5), count=5, within=10)])
FIVE_REVISION = Revision(number=1, digest=sha256(rule_set_content(FIVE)), rule_set=FIVE)


def five(*, evidence: int, rows: int = 1) -> Raised:
    """Raise an alert of five frames, each with so much evidence of a network."""
    frames = [
        encode_events(
            Head(device="cam", start_ns=START_NS + at * SECOND), [5] + [6] * (rows - 1), [0] * rows, evidence=bytes(evidence)
        )
        for at in range(5)
    ]
    records = [Record(at, START_NS + at * SECOND, frame) for at, frame in enumerate(frames)]
    (found,) = alerts_of(FIVE, records).alerts
    return found


def test_evidence_of_networks_that_has_no_room_is_left_out_of_the_oldest_frames_and_the_alert_is_the_same() -> None:
    """Five frames of 20 KiB: three keep theirs, and nothing else is lost."""
    found, without = five(evidence=20_000), five(evidence=0)

    assert sum(map(len, found.evidence)) <= EVIDENCE_BYTES
    assert [len(value) > 20_000 for value in found.evidence] == [False, False, True, True, True]
    assert found.evidence[:2] == without.evidence[:2]
    assert (found.alert.id, found.alert.evidence.partial, found.alert.count) == (without.alert.id, False, 5)
    assert found.alert.explanation == without.alert.explanation
    verdict = replay(found.alert, found.evidence, FIVE_REVISION)
    assert (verdict.verdict, verdict.differences) == ("same", [])
    said = "evidence of networks in 2 of the records had no room: those are in the log, and not compared"
    assert verdict.taken_as_recorded == [said]
    assert "lean" not in msgspec.json.encode(without.alert).decode()


def test_a_frame_without_its_evidence_that_was_changed_differs() -> None:
    """It has a digest of its own."""
    found = five(evidence=20_000)
    other = lean(encode_events(Head(device="cam", start_ns=START_NS, seq=1), [5], [0], evidence=bytes(20_000)))

    verdict = replay(found.alert, (other, *found.evidence[1:]), FIVE_REVISION)

    assert verdict.differences == ["evidence: the record at offset 0 is not the one that counted (SHA-256 differs)"]


def test_what_has_no_room_even_so_is_cut_to_the_first_and_the_last_frame() -> None:
    """And the alert says `partial`."""
    found = five(evidence=20_000, rows=2_000)

    assert (found.alert.evidence.partial, found.alert.evidence.total) == (True, 5)
    assert [kept.offset for kept in found.alert.evidence.records] == [0, 4]
    assert [len(value) > 20_000 for value in found.evidence] == [False, True]
    assert replay(found.alert, found.evidence, FIVE_REVISION).verdict == "partial"
