"""A changed alert is told from the one that its evidence gives."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest
from tests.reference.simulation import START_NS, absence, rule

from spikebridge.alerts import EvidenceInfo
from spikebridge.canonical import sha256
from spikebridge.limits import SECOND
from spikebridge.mapping.engine import alerts_of
from spikebridge.mapping.replay import replay
from spikebridge.mapping.rules import Revision, RuleSet, rule_set_content
from spikebridge.spikes.frame import encode_tick
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
