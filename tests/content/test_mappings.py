"""The shipped mappings: complete, and held by their own tests from both sides."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest

from spikebridge.attack import techniques
from spikebridge.canonical import sha256
from spikebridge.detect.load import load_models
from spikebridge.incidents import Correlator
from spikebridge.limits import MINUTE, Limits
from spikebridge.mapping.check import check
from spikebridge.mapping.load import Source, load, load_sources
from spikebridge.mapping.rules import Condition, IncidentRule, Revision, Rule, RuleSet, rule_set_content
from spikebridge.mapping.trial import run_case
from spikebridge_detectors.model.file import opened
from spikebridge_detectors.shipped.pins import PINS, place

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from spikebridge.alerts import Alert, Incident
    from spikebridge.mapping.load import Case

MAPPINGS = Path(__file__).parents[2] / "mappings"
SHIPPED = load([MAPPINGS])
RULES: dict[str, Rule | IncidentRule] = {
    **{rule.info.id: rule for rule in SHIPPED.rule_set.rules},
    **{rule.info.id: rule for rule in SHIPPED.rule_set.incidents},
}
BLOCKS = {"network": (40, 47), "timing": (48, 59), "power": (60, 79), "rf": (80, 89), "vibration": (90, 99), "edge": (100, 119)}


def correlate(rule_set: RuleSet, alerts: Sequence[Alert]) -> list[Incident]:
    """Find the incidents of a test's alerts."""
    revision = Revision(number=1, digest=sha256(rule_set_content(rule_set)), rule_set=rule_set)
    return Correlator("default", revision).feed((alert, alert.append_ns) for alert in alerts)


def cases(rule: str) -> list[Case]:
    """Return the tests of the file in which a rule stands."""
    return [case for case in SHIPPED.tests if rule in case.rules]


def held(rule: str, rule_set: RuleSet) -> bool:
    """Say whether every test of a rule's file passes under a rule set."""
    return not any(run_case(case, rule_set, correlate).problems for case in cases(rule))


def test_every_file_loads_and_passes_its_tests_without_error_or_warning() -> None:
    """Nothing to complain about, ATT&CK ids included: whoever starts with a copy starts from a clean slate."""
    report = check(SHIPPED, correlate, techniques())

    assert report.problems == []
    assert report.failed == 0
    assert report.tests == len(SHIPPED.tests) > 60


def test_the_models_that_ship_run_beside_the_mappings_that_ship() -> None:
    """With the look-back as it is by default: nobody has to lengthen it to try them, and a model of their own may remember two minutes."""
    served = [path for path in map(place, PINS) if opened(path.read_bytes()).header.runs_in_service]

    loaded = load([MAPPINGS], None, Limits(), load_models(served, None))

    assert loaded.rule_set.model_files
    costs = check(loaded, correlate, techniques()).costs
    assert max(cost.memory_ns for cost in costs) <= Limits().longest_memory_ns - 2 * MINUTE


def test_every_file_begins_with_its_schema() -> None:
    """Editors complete keys and mark mistakes without being set up."""
    firsts = {file.name: file.read_text(encoding="utf-8").splitlines()[0] for file in MAPPINGS.glob("*.yaml")}

    assert set(firsts.values()) == {"# yaml-language-server: $schema=schema.json"}


@pytest.mark.parametrize("rule", sorted(RULES))
def test_every_rule_says_what_an_analyst_needs(rule: str) -> None:
    """ATT&CK, a description, likely false positives, a date that can be read, a category, an action and a confidence."""
    info = RULES[rule].info

    assert info.attack
    assert len(info.description) > 40
    assert info.false_positives
    assert dt.date.fromisoformat(info.date) <= dt.date(2026, 12, 31)
    assert info.category
    assert info.action
    assert info.confidence is not None


@pytest.mark.parametrize("rule", sorted(RULES))
def test_a_test_fails_when_a_rule_is_taken_away(rule: str) -> None:
    """Each rule has a positive test."""
    kept = msgspec.structs.replace(
        SHIPPED.rule_set,
        rules=[one for one in SHIPPED.rule_set.rules if one.info.id != rule],
        incidents=[one for one in SHIPPED.rule_set.incidents if one.info.id != rule],
    )

    assert not held(rule, kept)


@pytest.mark.parametrize("rule", sorted(RULES))
def test_a_test_fails_when_a_rule_is_loosened(rule: str) -> None:
    """Each rule has negative tests, for each way in which it could find too much."""
    loose = list(loosened(RULES[rule]))

    assert loose
    assert [looser for looser in loose if held(rule, with_rule(looser))] == []


def with_rule(looser: Rule | IncidentRule) -> RuleSet:
    """Return the shipped rules with one exchanged."""
    rules = [looser if isinstance(looser, Rule) and looser.info.id == one.info.id else one for one in SHIPPED.rule_set.rules]
    incidents = [
        looser if isinstance(looser, IncidentRule) and looser.info.id == one.info.id else one
        for one in SHIPPED.rule_set.incidents
    ]
    return msgspec.structs.replace(SHIPPED.rule_set, rules=rules, incidents=incidents)


def loosened(rule: Rule | IncidentRule) -> Iterator[Rule | IncidentRule]:
    """Yield the rule with one thing less asked for."""
    replace, info = msgspec.structs.replace, rule.info
    if isinstance(rule, IncidentRule):
        if info.kind == "value_count":
            yield replace(rule, condition=replace(rule.condition, gte=rule.condition.gte - 1))
            for field in rule.group_by:
                yield replace(rule, group_by=[other for other in rule.group_by if other != field])
        if info.kind == "temporal_ordered":
            yield replace(rule, info=replace(info, kind="temporal"))
        if info.kind.startswith("temporal"):
            for at in range(len(rule.rules)):
                yield replace(rule, rules=[other for place, other in enumerate(rule.rules) if place != at])
        if rule.condition.edge:
            yield replace(rule, condition=Condition())
    elif info.kind == "absence":
        yield replace(rule, info=replace(info, within_ns=info.within_ns * 5 // 6))
    elif info.count > 1:
        yield replace(rule, info=replace(info, count=info.count - 1))
    else:
        cell = rule.cells[0]
        assert cell.first is not None
        assert cell.last is not None
        yield replace(rule, cells=[replace(cell, first=cell.first - 1)])
        yield replace(rule, cells=[replace(cell, last=cell.last + 1)])


def test_neurons_follow_the_numbering_plan() -> None:
    """Each file keeps to its block, no neuron has two meanings, and 42 is the DDoS burst of the first mapping ever written."""
    owner: dict[int, str] = {}
    for rule in SHIPPED.rule_set.rules:
        first, last = BLOCKS.get(SHIPPED.positions[rule.info.id].file.rsplit("/", 1)[-1].removesuffix(".yaml"), (0, 0))
        for cell in rule.cells:
            if cell.first is not None:
                assert cell.last is not None
                assert first <= cell.first <= cell.last <= last
                for neuron in range(cell.first, cell.last + 1):
                    assert owner.setdefault(neuron, rule.info.id) == rule.info.id

    assert owner[42] == "net-ddos-burst"


def test_the_page_for_analysts_names_every_neuron_and_file() -> None:
    """The numbering plan on the page is the one in the files."""
    page = (MAPPINGS / "README.md").read_text(encoding="utf-8")
    neurons = {cell.first for rule in SHIPPED.rule_set.rules for cell in rule.cells if cell.first is not None}

    assert [neuron for neuron in sorted(neurons) if f" {neuron} " not in page] == []
    assert [file.name for file in MAPPINGS.glob("*.yaml") if f"({file.name})" not in page] == []


def test_the_first_mapping_ever_written_loads_beside_the_library() -> None:
    """The five keys of the smallest mapping are enough."""
    text = """
    mappings:
    - neuron_id: 42
      threat_type: "DDoS_Burst"
      severity: "High"
      action: "Block_IP"
      siem_category: "Network Anomaly"
    """

    loaded = load_sources([Source("table.yaml", text)])

    assert [rule.info.threat for rule in loaded.rule_set.rules] == ["DDoS_Burst"]
