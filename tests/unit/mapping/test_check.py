"""What `check` says of mappings that load: tests, costs, overlap, rows that can't match."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from spikebridge.incidents import Correlator
from spikebridge.limits import MINUTE, SECOND
from spikebridge.mapping.check import Cost, check
from spikebridge.mapping.load import Source, load_sources
from spikebridge.mapping.rules import Revision
from spikebridge.mapping.scenario import Stretch, parse_spikes, records_of
from spikebridge.mapping.survey import Unmapped, survey

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spikebridge.alerts import Alert, Incident
    from spikebridge.mapping.check import Report
    from spikebridge.mapping.rules import RuleSet

BURST = "mappings:\n- {id: burst, neuron_id: 42, threat_type: Burst, severity: High, when: {count: 20, within: 1s}}\n"
QUIET = "- {name: quiet, spikes: 7, expect: []}\n"
LOUD = '- {name: loud, spikes: "42 x25 every 2ms", expect: [{rule: burst, severity: High}]}\n'


def correlate(rule_set: RuleSet, alerts: Sequence[Alert]) -> list[Incident]:
    """Run the incident rules."""
    revision = Revision(number=1, digest="", rule_set=rule_set)
    return Correlator("test", revision).feed((alert, alert.append_ns) for alert in alerts)


def checked(text: str, inventory: str | None = None) -> Report:
    """Check one file."""
    source = Source("inventory.yaml", inventory) if inventory else None
    return check(load_sources([Source("a.yaml", text)], source), correlate, {"T1498"})


def found(text: str, inventory: str | None = None) -> list[str]:
    """Return the findings about one file."""
    return [str(problem) for problem in checked(text, inventory).problems]


def test_a_file_whose_tests_hold_from_both_sides_has_no_findings() -> None:
    """One test in which each rule speaks, one that expects silence."""
    report = checked(f"{BURST}tests:\n{QUIET}{LOUD}")

    assert (report.problems, report.tests, report.failed) == ([], 2, 0)


def test_a_finding_that_is_expected_and_does_not_come_is_an_error() -> None:
    """The message holds what came in its place."""
    assert found(f'{BURST}tests:\n{QUIET}{LOUD}- {{name: few, spikes: "42 x19 every 2ms", expect: [{{severity: High}}]}}\n') == [
        'a.yaml:6:52: expect[0]: test "few": expected a finding with severity High; found none'
    ]
    shown = "burst (alert, High, count 20, test-device, after 39ms)"
    assert found(f"{BURST}tests:\n{QUIET}{LOUD.replace('severity: High', 'severity: Low')}") == [
        f'a.yaml:5:52: expect: test "loud": not expected: {shown}',
        f'a.yaml:5:53: expect[0]: test "loud": expected a finding with rule burst, severity Low; found {shown}',
    ]


def test_a_finding_that_nobody_expects_is_an_error() -> None:
    """Silence is a promise too."""
    text = f'{BURST}tests:\n{LOUD}- {{name: calm, spikes: "42 x25 every 2ms", expect: []}}\n'

    assert found(text) == [
        'a.yaml:5:52: expect: test "calm": not expected: burst (alert, High, count 20, test-device, after 39ms)'
    ]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            '{name: n, spikes: "42 y", expect: []}',
            (
                "a.yaml:6:21: spikes: segment 1: expected `[LAYER:]NEURON [xN] [every DURATION] [-> PEER]`, `LAYER:* [xN]` or `wait DURATION`, "
                'found "42 y"'
            ),
        ),
        (
            "{name: n, device: a, spikes: [{device: b, spikes: 1}], expect: []}",
            'a.yaml:6:32: spikes: the device "b" is not among the test\'s devices: a',
        ),
        ("{name: n, devices: [a, a], spikes: 1, expect: []}", "a.yaml:6:38: spikes: expected each device of the test once"),
        (
            '{name: n, spikes: "1 x100001", expect: []}',
            "a.yaml:6:21: spikes: expected at most 100,000 spikes, found 100,001",
        ),
        ('{name: n, spikes: "wait 8d", expect: []}', "a.yaml:6:21: spikes: expected at most 7d of time in one test, found more"),
    ],
)
def test_a_test_that_cannot_be_run_is_told_with_its_place(line: str, expected: str) -> None:
    """A wrong notation, an unknown or doubled device, more than a test may cost."""
    assert found(f"{BURST}tests:\n{QUIET}{LOUD}- {line}\n") == [expected]


def test_a_test_sees_only_the_rules_of_its_own_file() -> None:
    """What another file makes of the same neuron is that file's business."""
    other = Source("b.yaml", BURST.replace("burst", "other").replace("Burst", "Other"))
    report = check(load_sources([Source("a.yaml", f"{BURST}tests:\n{QUIET}{LOUD}"), other]), correlate)

    assert [str(problem) for problem in report.problems if problem.file == "a.yaml"] == []


def test_devices_of_a_test_stand_in_for_the_inventory() -> None:
    """Class, site, names of layers, exceptions that end."""
    text = """
mappings:
- {id: r, neuron_id: 1, layer: out, threat_type: A, severity: Low, devices: [{class: cam, site: x}],
   except: [{device: old, reason: broken, until: 2026-03-31}]}
tests:
- {name: reached, device: {id: a, class: cam, site: x}, spikes: "3:1", expect: [{device: a, site: x}]}
- {name: by its name, device: {id: a, class: cam, site: x}, spikes: "out:1", expect: [{rule: r}]}
- {name: another site, device: {id: a, class: cam, site: y}, spikes: "out:1", expect: []}
- {name: excepted, device: {id: old, class: cam, site: x}, spikes: "out:1", expect: []}
- {name: not any more, device: {id: old, class: cam, site: x}, at: 2026-04-01, spikes: "out:1", expect: [{rule: r}]}
"""
    assert found(text, "classes: {cam: {layers: {3: out}}}\ndevices: [{id: z, class: cam, site: x}, {id: old}]\n") == []


def test_silence_peers_and_incidents_are_tested_like_all_else() -> None:
    """`wait` lets clocks of absence run out; several devices take turns."""
    text = """
defaults: {severity: High}
mappings:
- {id: touch, neuron_id: 47, threat_type: Touch}
correlations:
- {id: gone, type: absence, timespan: 5m, threat_type: Gone}
- {id: both, type: value_count, rules: [gone], group-by: [site], timespan: 10m, condition: {field: device, gte: 2}, threat_type: Both}
- {id: moved, type: temporal_ordered, rules: [touch, touch], timespan: 1m, condition: {edge: unexpected}, group-by: [device],
   threat_type: Moved}
tests:
- {name: alive, spikes: "1 x3 every 4m", expect: []}
- {name: silent, spikes: "1; wait 6m", expect: [{rule: gone, kind: alert}]}
- name: two of a site
  devices: [{id: a, site: s}, {id: b, site: s}]
  spikes: [{device: a, spikes: "1"}, {device: b, spikes: "1; wait 6m"}]
  expect: [{rule: gone}, {rule: both, kind: incident, site: s, count: 2, device: b}]
- name: touched twice
  devices: [{id: a, talks_to: [x]}, {id: b, addresses: [10.0.0.2]}]
  spikes: [{device: a, spikes: "47; wait 2s; 47 -> 10.0.0.2"}]
  expect: [{rule: touch}]
"""
    problems = found(text)

    assert [problem for problem in problems if "moved" not in problem] == []


def test_each_rule_has_its_price() -> None:
    """A ring of N - 1 times and four words for each open window; window and twice the suppression of look-back."""
    text = f"{BURST}correlations:\n- {{id: gone, type: absence, timespan: 5m, threat_type: G, severity: Low}}\n"

    assert checked(text).costs == [
        Cost("burst", "event_count", SECOND + 2 * MINUTE, 8 * 19 + 32),
        Cost("gone", "absence", 7 * MINUTE, 8),
    ]


def test_rows_of_equal_reach_that_share_neurons_are_told() -> None:
    """The same devices, exceptions and layer; other reaches may share."""
    text = """
mappings:
- {id: a, neuron_id: 40-47, threat_type: A, severity: Low}
- {id: b, neuron_id: [46-50, 60], threat_type: B, severity: Low}
- {id: c, neuron_id: 60, threat_type: C, severity: Low}
- {id: d, neuron_id: 60, threat_type: D, severity: Low, layer: x}
- {id: e, neuron_id: 60, threat_type: E, severity: Low, devices: [x]}
- {id: f, layer: x, threat_type: F, severity: Low}
- {id: g, layer: x, threat_type: G, severity: Low}
"""
    assert [problem for problem in found(text) if "shares" in problem] == [
        'a.yaml:4:22: warning: neuron_id: shares neurons 46-47 with "a" (a.yaml:3:3) for the same devices: both fire',
        'a.yaml:5:22: warning: neuron_id: shares neuron 60 with "b" (a.yaml:4:3) for the same devices: both fire',
        'a.yaml:9:18: warning: layer: shares the summaries with "f" (a.yaml:8:3) for the same devices: both fire',
    ]


def test_rows_that_no_spike_can_reach_are_told() -> None:
    """All devices excepted; a wire layer that the class calls by another name."""
    text = """
mappings:
- {id: a, neuron_id: 1, threat_type: A, severity: Low, devices: [x], except: [{device: x, reason: r}]}
- {id: b, neuron_id: 1, threat_type: B, severity: Low, devices: [{class: cam}], layer: 3}
"""
    inventory = "classes: {cam: {layers: {3: out}}}\ndevices: [{id: x, class: cam}]\n"
    assert [problem for problem in found(text, inventory) if "can't" in problem] == [
        "a.yaml:3:65: warning: devices: can't match: `except` names all of these devices",
        'a.yaml:4:88: warning: layer: can\'t match: devices of class "cam" call this layer "out"',
    ]


def test_rules_without_tests_and_unknown_techniques_are_told() -> None:
    """A rule that no test makes speak, a file that never expects silence, an ATT&CK id that the list lacks."""
    text = "mappings:\n- {id: a, neuron_id: 1, threat_type: A, severity: Low, attack: [T1498, T9999]}\n"

    assert found(text) == [
        "a.yaml:1:1: warning: no test of this file expects silence (`expect: []`)",
        'a.yaml:2:3: warning: no test of this file makes "a" speak',
        "a.yaml:2:72: warning: attack[1]: ATT&CK has no technique T9999 that we know",
    ]


def test_a_log_tells_which_neurons_mean_nothing_and_which_rules_never_spoke() -> None:
    """By the layer's name as the device's class reads it ("" when no mapping names it); cuts of the log don't matter."""
    text = f"{BURST}- {{id: sums, layer: out, threat_type: S, severity: Low}}\n- {{id: never, neuron_id: 9, threat_type: N, severity: Low}}\n"
    inventory = "classes: {cam: {layers: {3: out}}}\ndevices: [{id: d, class: cam}]\n"
    rule_set = load_sources([Source("a.yaml", text)], Source("inventory.yaml", inventory)).rule_set
    records = records_of(
        [Stretch("d", parse_spikes("42 x25 every 2ms; 3:7 x3; 8; out:* x5; in:* x5; 7")), Stretch("e", parse_spikes("3:7"))]
    )
    whole = survey(rule_set, [records])

    assert whole.unmapped == [
        Unmapped("out", 7, 3),
        Unmapped("", None, 1),
        Unmapped("0", 7, 1),
        Unmapped("0", 8, 1),
        Unmapped("3", 7, 1),
    ]
    assert whole.silent == ["never"]
    assert whole.alerts == {"burst": 1, "sums": 1}
    assert survey(rule_set, [records[:3], records[3:]]) == whole
