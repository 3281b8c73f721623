"""From YAML to the normal form: what people write, what they are told, what stays equal."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spikebridge.alerts import RuleInfo
from spikebridge.errors import ContentError
from spikebridge.limits import MINUTE, SECOND, Limits
from spikebridge.mapping.load import Loaded, Source, load, load_sources
from spikebridge.mapping.model import InventoryFile, MappingFile
from spikebridge.mapping.rules import (
    Cell,
    Condition,
    Exclusion,
    Rule,
    RuleSet,
    Selector,
    read_revision,
    rule_set_content,
)

if TYPE_CHECKING:
    from pathlib import Path

SEED = """
mappings:
- neuron_id: 42
  threat_type: "DDoS_Burst"
  severity: "High"
  action: "Block_IP"
  siem_category: "Network Anomaly"
"""


def loaded(*texts: str, inventory: str | None = None) -> Loaded:
    """Load files a.yaml, b.yaml and so on."""
    sources = [Source(f"{name}.yaml", text) for name, text in zip("abcdef", texts, strict=False)]
    return load_sources(sources, Source("inventory.yaml", inventory) if inventory is not None else None)


def problems(*texts: str, inventory: str | None = None) -> list[str]:
    """Return what is said about files that must be refused."""
    with pytest.raises(ContentError) as caught:
        loaded(*texts, inventory=inventory)
    return [str(problem) for problem in caught.value.problems]


def warnings(*texts: str, inventory: str | None = None) -> list[str]:
    """Return what is said beside a rule set."""
    return [str(warning) for warning in loaded(*texts, inventory=inventory).warnings]


def only_rule(row: str) -> Rule:
    """Return the rule of one row."""
    [rule] = loaded(f"mappings:\n- {{threat_type: T, severity: Low, {row}}}\n").rule_set.rules
    return rule


def test_the_seed_mapping_loads_as_it_is() -> None:
    """Five keys, everything else has its default: one spike on any layer of any device, once a minute."""
    result = loaded(SEED)
    [rule] = result.rule_set.rules

    assert rule.info == RuleInfo(
        id="ddos-burst-42",
        kind="event_count",
        threat="DDoS_Burst",
        severity="High",
        digest=rule.info.digest,
        action="Block_IP",
        category="Network Anomaly",
        count=1,
        within_ns=0,
        suppress_ns=MINUTE,
    )
    assert (rule.cells, rule.devices, rule.excepted) == ([Cell(first=42, last=42)], [], [])
    assert len(rule.info.digest) == 64
    assert (result.warnings, result.tests) == ([], [])
    assert result.positions["ddos-burst-42"] == ("a.yaml", 3, 3)


def test_a_typing_error_is_told_with_its_place_and_the_word_that_was_meant() -> None:
    """The example of the manual, to the letter."""
    text = "# comment\n" * 6 + 'mappings:\n  - neuron_id: 42\n    threat_type: DDoS_Burst\n\n\n    severity: "Hgih"\n'
    with pytest.raises(ContentError) as caught:
        load_sources([Source("mappings/network.yaml", text)])

    assert str(caught.value) == (
        'mappings/network.yaml:12:15: severity: expected one of Low, Medium, High, Critical, found "Hgih"; did you mean "High"?'
    )


def test_six_different_mistakes_are_six_located_messages() -> None:
    """All at once, in the order of the file."""
    text = """mappings:
- neuron_id: -1
  threat_type: A
  severity: high
- neuron_id: 2
  severity: High
  actoin: Block_IP
- {neuron_id: 3, threat_type: B, severity: Low, suppress: 10ms, when: {count: 20, within: 1}}
"""
    assert problems(text) == [
        "a.yaml:2:14: neuron_id: expected neurons from 0 to 4294967294, the lower number first, found -1",
        'a.yaml:4:13: severity: expected one of Low, Medium, High, Critical, found "high"; did you mean "High"?',
        "a.yaml:5:3: threat_type: required, but missing",
        'a.yaml:7:3: actoin: unknown key; did you mean "action"?',
        'a.yaml:8:59: suppress: expected 1s or more, found "10ms"',
        "a.yaml:8:91: when.within: expected a duration such as 50ms, 1s, 5m, 24h or 7d, found 1",
    ]


@pytest.mark.parametrize(
    ("row", "cells"),
    [
        ("neuron_id: 7", [Cell(first=7, last=7)]),
        ('neuron_id: "40-47"', [Cell(first=40, last=47)]),
        ("neuron_id: [9, 40-47, 8, 48, 45-60]", [Cell(first=8, last=9), Cell(first=40, last=60)]),
        ("neuron_id: 7, layer: output_3", [Cell(layer="output_3", first=7, last=7)]),
        ("neuron_id: 7, layer: 3", [Cell(layer="3", first=7, last=7)]),
        ("layer: 3", [Cell(layer="3")]),
    ],
)
def test_neurons_and_layers_have_one_normal_form(row: str, cells: list[Cell]) -> None:
    """Sorted, joined where they touch; a layer alone means its summaries."""
    assert only_rule(row).cells == cells


def test_a_row_of_neither_neurons_nor_layer_is_refused() -> None:
    """It would match nothing, or everything."""
    assert problems("mappings:\n- {threat_type: A, severity: Low}\n") == [
        "a.yaml:2:3: neuron_id: required, unless the row has a `layer` whose summaries it means"
    ]


def test_a_count_of_one_needs_no_time_and_a_larger_one_does() -> None:
    """`when` is short for an event_count."""
    burst = only_rule("neuron_id: 1, when: {count: 20, within: 1s}")
    single = only_rule("neuron_id: 1, when: {count: 1, within: 1s}")

    assert (burst.info.count, burst.info.within_ns) == (20, SECOND)
    assert (single.info.count, single.info.within_ns) == (1, 0)
    assert problems("mappings:\n- {neuron_id: 1, threat_type: A, severity: Low, when: {count: 2}}\n") == [
        "a.yaml:2:55: when: `within` is required with a count of 2 or more, for example `within: 1s`"
    ]
    assert problems("mappings:\n- {neuron_id: 1, threat_type: A, severity: Low, when: {count: 1001, within: 1s}}\n") == [
        "a.yaml:2:63: when.count: expected 1000 or less, found 1001"
    ]


def test_devices_and_exceptions_are_sorted_and_kept_once() -> None:
    """An exception ends with the last day that it names, in UTC."""
    rule = only_rule(
        "neuron_id: 1, devices: [b, {class: cam, site: x}, a*, b], "
        "except: [{device: z, reason: old}, {site: lab, reason: tests, until: 2026-12-31}]"
    )

    assert rule.devices == [Selector(device_class="cam", site="x"), Selector(device="a*"), Selector(device="b")]
    assert rule.excepted == [
        Exclusion(selector=Selector(site="lab"), reason="tests", until_ns=1_798_761_600 * SECOND),
        Exclusion(selector=Selector(device="z"), reason="old"),
    ]


def test_defaults_of_a_file_hold_for_its_rows_unless_they_say_otherwise() -> None:
    """An empty value of a row is a value."""
    text = """
defaults: {severity: Low, action: Notify, tags: [b, a], suppress: 5m, layer: out, devices: [x], attack: [T1046], date: 2026-01-02}
mappings:
- {neuron_id: 1, threat_type: A}
- {neuron_id: 2, threat_type: B, severity: High, action: Block_IP, tags: [], suppress: 1s, layer: 3, devices: [y]}
correlations:
- {id: gone, type: absence, timespan: 5m, threat_type: Silence}
"""
    first, second, gone = loaded(text).rule_set.rules

    assert (first.info.severity, first.info.action, first.info.tags) == ("Low", "Notify", ["a", "b"])
    assert (first.info.suppress_ns, first.info.attack, first.info.date) == (5 * MINUTE, ["T1046"], "2026-01-02")
    assert (first.cells, first.devices) == ([Cell(layer="out", first=1, last=1)], [Selector(device="x")])
    assert second.info == RuleInfo(
        id="b-3-2",
        kind="event_count",
        threat="B",
        severity="High",
        digest=second.info.digest,
        action="Block_IP",
        attack=["T1046"],
        date="2026-01-02",
        suppress_ns=SECOND,
    )
    assert (second.cells, second.devices) == ([Cell(layer="3", first=2, last=2)], [Selector(device="y")])
    assert (gone.info.kind, gone.info.within_ns, gone.cells, gone.devices) == ("absence", 5 * MINUTE, [], [Selector(device="x")])


def test_a_severity_may_come_from_the_defaults_but_not_from_nowhere() -> None:
    """The finding says both ways out."""
    assert problems("mappings:\n- {neuron_id: 1, threat_type: A}\n") == [
        "a.yaml:2:3: severity: required, but missing; it may also stand in `defaults`"
    ]


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ("threat_type: DDoS_Burst, neuron_id: 42", "ddos-burst-42"),
        ("threat_type: Port Scan, neuron_id: [1, 40-47], layer: Output_3", "port-scan-output-3-1_40-47"),
        ("threat_type: Über/Last!, layer: 3", "uber-last-3"),
        ("threat_type: 攻撃, neuron_id: 1", "rule-3be838087ddd"),
        ("id: My.Rule_1, threat_type: A, neuron_id: 1", "My.Rule_1"),
    ],
)
def test_a_rule_without_an_id_is_named_after_what_it_says(row: str, expected: str) -> None:
    """Threat type, layer, neurons; what has no letters for a slug gets a digest."""
    [rule] = loaded(f"mappings:\n- {{severity: Low, {row}}}\n").rule_set.rules

    assert rule.info.id == expected


def test_a_very_long_name_is_cut_to_a_digest() -> None:
    """Ids are at most 128 letters, and different rows keep different ids."""
    texts = [f"mappings:\n- {{severity: Low, threat_type: {'x' * 200}, neuron_id: {neuron}}}\n" for neuron in (1, 2)]
    first, second = (loaded(text).rule_set.rules[0].info.id for text in texts)

    assert len(first) <= 128
    assert first != second


def test_a_double_id_is_told_with_the_place_of_the_other() -> None:
    """Also over files, and also when neither row named it."""
    assert problems(
        SEED, SEED, "correlations:\n- {id: log_gap, type: absence, timespan: 5m, threat_type: A, severity: Low}\n"
    ) == [
        'b.yaml:3:3: id: the id "ddos-burst-42" is already taken at a.yaml:3:3; give one of them an `id`',
        'c.yaml:2:8: id: "log_gap" is the name of a built-in rule: choose another id',
    ]


def test_a_switched_off_row_is_left_out() -> None:
    """It stays checked."""
    assert loaded(f"{SEED}  enabled: false\n").rule_set.rules == []
    assert problems(f"{SEED}  enabled: no\n") == ['a.yaml:8:12: enabled: expected true or false, found "no"']


COUNTED = """
mappings:
- {id: r1, neuron_id: 1, threat_type: A, severity: Low, devices: [x]}
- {id: r2, neuron_id: [2, 7], threat_type: B, severity: Low, devices: [x], layer: 3}
- {id: r3, neuron_id: 3, threat_type: C, severity: Low}
correlations:
"""


def test_an_event_count_counts_the_neurons_of_its_rows() -> None:
    """As in Sigma, the rows are silent unless `generate` is true; devices come from the rows."""
    line = "- {id: c, type: event_count, rules: [r2, r1], timespan: 5s, condition: {gte: 9}, threat_type: S, severity: High%s}\n"
    counted, alone = loaded(COUNTED + line % "").rule_set.rules
    loud = loaded(COUNTED + line % ", generate: true").rule_set.rules

    assert (counted.info.id, counted.info.count, counted.info.within_ns, counted.info.kind) == ("c", 9, 5 * SECOND, "event_count")
    assert counted.cells == [Cell(first=1, last=1), Cell(layer="3", first=2, last=2), Cell(layer="3", first=7, last=7)]
    assert counted.devices == [Selector(device="x")]
    assert alone.info.id == "r3"
    assert [rule.info.id for rule in loud] == ["c", "r1", "r2", "r3"]


def test_what_an_event_count_cannot_count_is_told() -> None:
    """Unknown rows, correlations, rows of different devices."""
    text = COUNTED + (
        "- {id: c, type: event_count, rules: [r1, r3], timespan: 5s, condition: {gte: 9}, threat_type: S, severity: High}\n"
        "- {id: d, type: event_count, rules: [r11, c], timespan: 5s, condition: {gte: 9}, threat_type: S, severity: High}\n"
    )
    assert problems(text) == [
        "a.yaml:7:37: rules: these rows differ in `devices`: write `devices` here, for the count",
        'a.yaml:8:38: rules[0]: no row has the id "r11"; did you mean "r1"?',
        'a.yaml:8:43: rules[1]: "c" is a correlation; an event_count counts the spikes of rows',
    ]


def test_a_row_that_only_counts_has_no_use_for_its_own_when() -> None:
    """The warning names the count."""
    text = """
mappings:
- {id: r, neuron_id: 1, threat_type: A, severity: Low, when: {count: 2, within: 1s}}
- {id: off, neuron_id: 2, threat_type: A, severity: Low, enabled: false}
correlations:
- {id: c, type: event_count, rules: [r, off], timespan: 5s, condition: {gte: 9}, threat_type: S, severity: High}
"""
    assert warnings(text) == [
        'a.yaml:3:62: warning: when: has no effect: "c" counts this row\'s spikes, and `generate` is false there',
        'a.yaml:6:41: warning: rules[1]: "off" is switched off and not counted',
    ]
    assert [rule.info.id for rule in loaded(text).rule_set.rules] == ["c"]


def test_correlations_of_alerts_are_incident_rules() -> None:
    """Their intervals are as long as their timespan; an order of rules is kept, a set of them sorted."""
    text = (
        SEED
        + """
correlations:
- {id: b, type: temporal_ordered, rules: [ddos-*, log_gap], group-by: [site, device], timespan: 1h, condition: {edge: unexpected},
   threat_type: X, severity: High}
- {id: a, type: value_count, rules: [log_gap, ddos-burst-42], timespan: 30m, condition: {field: device, gte: 3}, threat_type: Y,
   severity: Critical}
"""
    )
    counts, ordered = loaded(text).rule_set.incidents

    assert (ordered.info.kind, ordered.rules, ordered.group_by) == ("temporal_ordered", ["ddos-*", "log_gap"], ["device", "site"])
    assert ordered.condition == Condition(edge="unexpected")
    assert (ordered.info.within_ns, ordered.info.suppress_ns) == (60 * MINUTE, 60 * MINUTE)
    assert (counts.info.kind, counts.rules, counts.group_by) == ("value_count", ["ddos-burst-42", "log_gap"], [])
    assert counts.condition == Condition(gte=3, field="device")


def test_a_correlation_of_alerts_names_what_raises_alerts() -> None:
    """Not what is unknown, silent, or itself an incident."""
    text = COUNTED + (
        "- {id: c, type: event_count, rules: [r1], timespan: 5s, condition: {gte: 9}, threat_type: S, severity: High}\n"
        "- {id: d, type: temporal, rules: [r1, c, r33, d, 'zz*'], timespan: 5s, threat_type: S, severity: High}\n"
    )
    assert problems(text) == [
        'a.yaml:8:35: rules[0]: "r1" raises no alerts: "c" counts its spikes; write `generate: true` there, or name "c" here',
        'a.yaml:8:42: rules[2]: no rule has the id "r33"; did you mean "r3"?',
        'a.yaml:8:47: rules[3]: "d" raises incidents; a correlation of alerts is made of alerts',
    ]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            "type: event_count, rules: [r1], group-by: [site], timespan: 5s, condition: {gte: 9}",
            ("group-by[0]: expected device: a wider group is an incident, a `value_count` or `temporal` over the alerts of this rule, "
            'found "site"'),
        ),
        (
            "type: event_count, rules: [r1], timespan: 5s, condition: {lt: 9}",
            ("condition: refused: what was raised is never taken back, and more spikes or alerts could make this condition false; "
            "write `gte`, and for what does not happen an `absence` rule whose alert takes part"),
        ),
        (
            "type: temporal, rules: [r1], timespan: 5s, condition: r1 and not r3",
            ("condition: refused: what was raised is never taken back, and more spikes or alerts could make this condition false; "
            "write `gte`, and for what does not happen an `absence` rule whose alert takes part"),
        ),
        (
            "type: value_count, rules: [r1], timespan: 5s, condition: {gt: 9, field: device}",
            "condition: write `gte` with the next higher number in place of `gt`",
        ),
        (
            "type: temporal, rules: [r1], timespan: 5s, generate: false",
            "generate: expected true: a correlation of alerts needs the alerts of its rules, found false",
        ),
        ("type: temporal, rules: [r1], timespan: 25h", "timespan: expected at most 24h: alerts are forgotten a day after they were raised"),
        ("type: temporl, rules: [r1]", ("type: expected one of event_count, absence, value_count, temporal, temporal_ordered, "
         'found "temporl"; did you mean "temporal"?')),
        ("rules: [r1]", "type: required, but missing: expected one of event_count, absence, value_count, temporal, temporal_ordered"),
    ],
)  # fmt: skip
def test_what_a_correlation_cannot_do_is_refused_with_what_to_write_instead(line: str, expected: str) -> None:
    """Each refusal is an instruction."""
    [problem] = problems(f"{COUNTED}- {{id: c, threat_type: S, severity: High, {line}}}\n")

    assert problem.split(": ", 1)[1] == expected


def test_what_needs_more_memory_than_the_look_back_leaves_is_written_as_an_incident() -> None:
    """Window, absence span and suppression alike; at the limit it still fits."""
    text = """
mappings:
- {id: a, neuron_id: 1, threat_type: A, severity: Low, when: {count: 2, within: 15m}}
- {id: b, neuron_id: 1, threat_type: A, severity: Low, when: {count: 2, within: 16m}}
- {id: c, neuron_id: 1, threat_type: A, severity: Low, suppress: 24h}
correlations:
- {id: d, type: absence, timespan: 16m, threat_type: A, severity: Low}
"""
    advice = "what is longer is written over the alert log, as an incident: shorten it here and add a correlation"
    assert problems(text) == [
        (
            f"a.yaml:4:81: when.within: 16m + 2 x suppress 1m needs a memory of 18m, look_back leaves 17m; {advice} "
            "{type: temporal, rules: [b], group-by: [device], timespan: 1h}"
        ),
        (
            f"a.yaml:5:66: suppress: 2 x suppress 1d needs a memory of 2d, look_back leaves 17m; {advice} "
            "{type: temporal, rules: [c], group-by: [device], timespan: 24h}"
        ),
        (
            f"a.yaml:7:36: timespan: 16m + 2 x suppress 1m needs a memory of 18m, look_back leaves 17m; {advice} "
            "{type: temporal, rules: [d], group-by: [device], timespan: 1h}"
        ),
    ]
    wide = load_sources([Source("a.yaml", text.replace("24h", "20m"))], limits=Limits(look_back_ns=60 * MINUTE))
    assert len(wide.rule_set.rules) == 4


INVENTORY = """
classes:
  thermostat: {layers: {3: output_3}, description: Reports temperatures.}
devices:
- {id: t-8, class: thermostat, site: plant}
- {id: t-7, class: thermostat, site: plant, addresses: [10.0.0.7], owner: facility, talks_to: [gw-1, "cam*", gw-1]}
"""


def test_the_inventory_is_part_of_the_rule_set() -> None:
    """Devices sorted by id and known, classes by name."""
    rule_set = loaded(SEED, inventory=INVENTORY).rule_set
    seven, eight = rule_set.devices

    assert (seven.info.id, seven.info.device_class, seven.info.site, seven.info.owner) == (
        "t-7",
        "thermostat",
        "plant",
        "facility",
    )
    assert (seven.info.addresses, seven.info.known, seven.talks_to) == (["10.0.0.7"], True, ["cam*", "gw-1"])
    assert eight.info.id == "t-8"
    assert [(one.name, one.layers) for one in rule_set.classes] == [("thermostat", {3: "output_3"})]


def test_the_mistakes_of_an_inventory_are_told_beside_those_of_mappings() -> None:
    """Double ids, ids that no device can have, layers that are no layers."""
    inventory = """
classes: {a: {layers: {3: x, 65536: y, 4: "5"}}}
devices:
- {id: t}
- {id: t, sit: x}
- {id: 5}
"""
    assert problems("mappings:\n- {neuron_id: 1}\n", inventory=inventory) == [
        "a.yaml:2:3: threat_type: required, but missing",
        "inventory.yaml:2:30: classes.a.layers[65536]: expected 65535 or less, found 65536",
        'inventory.yaml:2:43: classes.a.layers[4]: expected a name, not a number: numbers are wire layers themselves, found "5"',
        'inventory.yaml:5:11: sit: unknown key; did you mean "site"?',
        'inventory.yaml:6:8: id: expected text, found 5; write "5" in quotes if it is a text',
    ]
    assert problems(inventory=f"devices: [{{id: t}}, {{id: t}}, {{id: {'x' * 129}}}]") == [
        'inventory.yaml:1:25: id: a device "t" is already in this inventory',
        "inventory.yaml:1:34: id: expected 1 to 128 bytes, found 129",
    ]


def test_selectors_that_the_inventory_does_not_know_are_warned_of() -> None:
    """They would never match; without an inventory nothing can be said."""
    text = """
mappings:
- {neuron_id: 1, threat_type: A, severity: Low, devices: [{class: thermostatt}, t-9, "t-*"], except: [{site: plnt, reason: x}]}
"""
    assert warnings(text, inventory=INVENTORY) == [
        'a.yaml:3:67: warning: devices[0].class: no device of the inventory has the class "thermostatt"; did you mean "thermostat"?',
        'a.yaml:3:81: warning: devices[1].device: no device of the inventory is called "t-9"; did you mean "t-8"?',
        'a.yaml:3:110: warning: except[0].site: no device of the inventory has the site "plnt"; did you mean "plant"?',
    ]
    assert warnings(text) == []
    assert warnings(SEED, inventory="devices: [{id: a, class: cam}]") == [
        'inventory.yaml:1:26: warning: class: the class "cam" is not under `classes`'
    ]


def test_an_inventory_among_the_mappings_is_named_as_such() -> None:
    """In place of one finding for every device."""
    assert problems(SEED, INVENTORY) == ["b.yaml:2:1: this is an inventory: name it under `inventory`, not among the mappings"]


def test_comments_files_and_their_order_do_not_change_the_revision() -> None:
    """Equal content has equal bytes, and reads back as it was."""
    other = "mappings:\n- {neuron_id: 7, threat_type: B, severity: Low, tags: [y, x]}\n"
    one = loaded(SEED, other, inventory=INVENTORY).rule_set
    reordered = "# comment\nmappings: [{severity: Low, tags: [x, y], threat_type: B, neuron_id: '7'}]\n"
    two = loaded(reordered, SEED, inventory=INVENTORY).rule_set

    assert rule_set_content(one) == rule_set_content(two)
    assert read_revision(3, rule_set_content(one)).rule_set == one


def test_a_changed_description_changes_the_digest_and_not_what_matches() -> None:
    """A rule keeps its windows over such a reload."""
    [before] = loaded(SEED).rule_set.rules
    [after] = loaded(f"{SEED}  description: More.\n").rule_set.rules

    assert before.info.digest != after.info.digest
    assert before.matching == after.matching


def test_files_and_directories_are_read_sorted_and_each_once(tmp_path: Path) -> None:
    """Hidden files and other kinds are left out."""
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "b.yml").write_text("mappings:\n- {neuron_id: 2, threat_type: B, severity: Low}\n")
    (tmp_path / "a.yaml").write_text(SEED)
    (tmp_path / "notes.md").write_text("[")
    (tmp_path / ".hidden.yaml").write_text("[")
    result = load([tmp_path, tmp_path / "a.yaml"])

    assert [rule.info.id for rule in result.rule_set.rules] == ["b-2", "ddos-burst-42"]
    assert result.positions["b-2"].file == str(tmp_path / "deep" / "b.yml")


def test_what_cannot_be_read_is_told_and_all_at_once(tmp_path: Path) -> None:
    """A missing file, an empty directory."""
    (tmp_path / "empty").mkdir()
    with pytest.raises(ContentError) as caught:
        load([tmp_path / "none.yaml", tmp_path / "empty"], tmp_path / "inventory.yaml")

    assert str(caught.value).replace(f"{tmp_path}/", "").splitlines() == [
        "empty:1:1: expected YAML files in this directory, found none",
        "inventory.yaml:1:1: can't be read: No such file or directory",
        "none.yaml:1:1: can't be read: No such file or directory",
    ]


@pytest.mark.parametrize("nothing", ["", "\n", "# what was here\n", "null\n"])
def test_an_emptied_file_is_refused(nothing: str) -> None:
    """A file that an editor or a full disk cut to nothing must not take its rules, or all devices, out of force."""
    told = "the file is empty; if nothing is meant, write `mappings: []` (`devices: []` in an inventory)"
    assert problems(SEED, nothing, inventory=nothing) == [f"b.yaml:1:1: {told}", f"inventory.yaml:1:1: {told}"]
    assert loaded("mappings: []\n", inventory="devices: []\n").rule_set.rules == []


def test_a_thousand_mistakes_are_told_as_a_hundred_and_a_number() -> None:
    """A file of the wrong kind doesn't flood the terminal."""
    found = problems("mappings:\n" + "- {}\n" * 1000)

    assert len(found) == 101
    assert found[0] == "a.yaml:1:1: and 900 more problems"


def test_every_key_has_a_description_for_schema_and_manual() -> None:
    """Describe once, derive the rest."""
    bare = [
        f"{name}.{key}"
        for model in (MappingFile, InventoryFile)
        for name, definition in {model.__name__: model.model_json_schema(), **model.model_json_schema()["$defs"]}.items()
        for key, value in definition.get("properties", {}).items()
        if not value.get("description")
    ]

    assert bare == []


NAMES = [
    "mappings",
    "correlations",
    "tests",
    "defaults",
    "neuron_id",
    "threat_type",
    "severity",
    "when",
    "count",
    "within",
    "devices",
]
NAMES += [
    "except",
    "reason",
    "until",
    "type",
    "rules",
    "timespan",
    "condition",
    "gte",
    "group-by",
    "id",
    "spikes",
    "expect",
    "layer",
]
VALUES = st.sampled_from(
    ["High", "Low", "1s", "5m", "40-47", "event_count", "absence", "temporal", "device", "a", "", "2026-01-01", "T1046"]
)
LEAVES = st.one_of(VALUES, st.integers(-2, 50), st.booleans(), st.none(), st.text(max_size=5))
TREES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(NAMES), inner, max_size=6)),
    max_leaves=30,
)


def as_yaml(value: object) -> str:
    """Write a value in YAML's flow style."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {as_yaml(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(as_yaml, value)) + "]"
    if isinstance(value, str):
        return '"' + "".join(letter if letter.isalnum() or letter in "-_ " else f"\\U{ord(letter):08x}" for letter in value) + '"'
    return {"None": "null", "True": "true", "False": "false"}.get(str(value), str(value))


ENTRIES = st.lists(st.dictionaries(st.sampled_from(NAMES), TREES, max_size=8), max_size=4)
FILES = st.dictionaries(st.sampled_from(["mappings", "correlations", "tests", "defaults"]), st.one_of(ENTRIES, TREES), max_size=4)


@pytest.mark.fuzz
@given(FILES, TREES)
def test_no_tree_raises_anything_but_a_content_error(mapping: dict[str, object], inventory: object) -> None:
    """Whatever a mapping or an inventory says, the answer is a rule set or located findings."""
    try:
        result: RuleSet | list[object] = loaded(as_yaml(mapping), inventory=as_yaml(inventory)).rule_set
    except ContentError as error:
        result = [problem for problem in error.problems if problem.line < 1 or problem.column < 1]

    assert isinstance(result, RuleSet) or result == []
