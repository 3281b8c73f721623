"""Incidents are a function of the set of alerts: equal to a plain reference, whatever the order and the cuts."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spikebridge.alerts import MEMBERS_LISTED, Alert, DeviceInfo, Incident, PeerCount, RuleInfo, incident_entry, incident_id
from spikebridge.incidents import DAY_NS, Correlator
from spikebridge.limits import MINUTE
from spikebridge.mapping.rules import Condition, Device, IncidentRule, Revision, RuleSet

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random

    from spikebridge.alerts import Severity

SPAN_NS = 10
Kind = Literal["value_count", "temporal", "temporal_ordered"]


def an_alert(  # noqa: PLR0917 -- a row of a table
    alert_id: str,
    time_ns: int,
    rule: str = "burst",
    device: str = "cam",
    site: str = "east",
    peers: Sequence[str] = (),
    severity: Severity = "High",
) -> Alert:
    """Make an alert that says no more than correlation reads."""
    return Alert(
        id=alert_id,
        tenant="acme",
        log="spool",
        partition=0,
        offset=0,
        ordinal=0,
        revision=1,
        revision_digest="d",
        rule=RuleInfo(id=rule, kind="event_count", threat=rule.upper(), severity=severity, digest="r"),
        device=DeviceInfo(id=device, site=site, device_class="camera", known=True),
        group=[device],
        time_ns=time_ns,
        time_source="device",
        append_ns=time_ns + 5,
        interval_start_ns=0,
        interval_ns=60,
        first_ns=time_ns,
        last_ns=time_ns,
        count=1,
        peers=[PeerCount(address=peer, count=1) for peer in peers],
    )


def a_rule(
    kind: Kind, rules: list[str], group_by: list[str], condition: Condition | None = None, rule_id: str = "correlated"
) -> IncidentRule:
    """Make an incident rule with a timespan of 10 ns."""
    info = RuleInfo(id=rule_id, kind=kind, threat="Botnet", severity="Critical", digest="i", within_ns=SPAN_NS)
    return IncidentRule(info=info, rules=rules, group_by=group_by, condition=condition or Condition())


INVENTORY = [
    Device(info=DeviceInfo(id="cam", addresses=["10.0.0.1"], known=True), talks_to=["hub*"]),
    Device(info=DeviceInfo(id="hub-1", addresses=["10.0.0.2"], known=True)),
    Device(info=DeviceInfo(id="lock", addresses=["2001:db8:0::3"], known=True)),
]


def correlator(*rules: IncidentRule) -> Correlator:
    """Begin with no alerts and the inventory above."""
    return Correlator("acme", Revision(number=3, digest="rev", rule_set=RuleSet(incidents=list(rules), devices=INVENTORY)))


def newest(incidents: Sequence[Incident]) -> dict[str, bytes]:
    """Keep what a reader that knows ids and versions ends up with."""
    kept: dict[str, Incident] = {}
    for incident in incidents:
        if incident.id not in kept or incident.version > kept[incident.id].version:
            kept[incident.id] = incident
    return {name: incident_entry(incident).body for name, incident in kept.items()}


def feed_in_cuts(correlating: Correlator, alerts: Sequence[Alert], sizes: Sequence[int]) -> list[Incident]:
    """Feed the alerts in batches of these sizes, one after the other, the rest at last."""
    found: list[Incident] = []
    rest = list(alerts)
    for size in [*sizes, len(rest)]:
        found += correlating.feed([(alert, 0) for alert in rest[:size]])
        rest = rest[size:]
    return found


# The plain reference: every match of every rule, one by one.

UNEXPECTED = {
    ("cam", "2001:DB8::3"): "lock",
    ("lock", "10.0.0.1"): "cam",
    ("lock", "10.0.0.2"): "hub-1",
    ("lock", "hub-1"): "hub-1",
}


def plain_edges(alert: Alert) -> set[str]:
    """Look up who of the peers is an unexpected other device."""
    return {other for peer in alert.peers if (other := UNEXPECTED.get((alert.device.id, peer.address), ""))}


def plain_values(alert: Alert, field: str) -> set[str]:
    """Return the values of a field."""
    table = {
        "device": {alert.device.id},
        "site": {alert.device.site},
        "threat": {alert.rule.threat},
        "rule": {alert.rule.id},
        "severity": {str(alert.rule.severity)},
        "class": {alert.device.device_class},
        "peer": {peer.address for peer in alert.peers},
    }
    return table[field]


def plain_matches(rule: IncidentRule, before: Sequence[Alert], last: Alert) -> list[list[Alert]]:
    """Return the matches that end at `last`; `before` are the alerts of the timespan before it, in order."""
    if rule.condition.edge and not plain_edges(last):
        return []
    if rule.info.kind == "temporal_ordered":
        chains: list[list[Alert]] = [[]]
        for name in rule.rules[:-1]:
            chains = [
                [*chain, alert]
                for chain in chains
                for alert in before
                if alert.rule.id == name and (not chain or before.index(alert) > before.index(chain[-1]))
            ]
        return [[*chain, last] for chain in chains] if last.rule.id == rule.rules[-1] else []
    window = [*before, last]
    if rule.info.kind == "temporal":
        return [window] if {alert.rule.id for alert in window} >= set(rule.rules) else []
    distinct = set[str]().union(*(plain_values(alert, rule.condition.field) for alert in window))
    return [window] if len(distinct) >= rule.condition.gte else []


def plain_members(rule: IncidentRule, alerts: Sequence[Alert]) -> dict[tuple[tuple[str, ...], int], set[str]]:
    """Return the ids of members by group and interval."""
    found: dict[tuple[tuple[str, ...], int], set[str]] = {}
    concerned = [alert for alert in alerts if alert.rule.id in rule.rules]
    if rule.info.kind == "value_count":
        concerned = [alert for alert in concerned if plain_values(alert, rule.condition.field)]
    groups = {group for alert in concerned for group in product(*(plain_values(alert, field) for field in rule.group_by))}
    for group in groups:
        mine = [
            alert
            for alert in concerned
            if all(value in plain_values(alert, field) for field, value in zip(rule.group_by, group, strict=True))
        ]
        mine.sort(key=lambda alert: (alert.time_ns, alert.id))
        for at, last in enumerate(mine):
            before = [alert for alert in mine[:at] if alert.time_ns > last.time_ns - SPAN_NS]
            for match in plain_matches(rule, before, last):
                found.setdefault((group, last.time_ns // SPAN_NS), set()).update(alert.id for alert in match)
    return found


RULES = ["burst", "silence", "scan"]
FIELDS = ["device", "site", "threat", "rule", "severity", "class", "peer"]
alerts_drawn = st.lists(
    st.builds(
        an_alert,
        alert_id=st.uuids().map(str),
        time_ns=st.integers(0, 45),
        rule=st.sampled_from(RULES),
        device=st.sampled_from(["cam", "lock"]),
        site=st.sampled_from(["east", ""]),
        peers=st.lists(st.sampled_from(["10.0.0.1", "10.0.0.2", "2001:DB8::3", "hub-1", "8.8.8.8"]), unique=True, max_size=2),
        severity=st.sampled_from(["Low", "High"]),
    ),
    max_size=14,
    unique_by=lambda alert: alert.id,
)
group_by_drawn = st.lists(st.sampled_from(FIELDS), unique=True, max_size=2)
rules_drawn = st.one_of(
    st.builds(
        a_rule,
        kind=st.just("value_count"),
        rules=st.just(RULES),
        group_by=group_by_drawn,
        condition=st.builds(Condition, gte=st.integers(1, 3), field=st.sampled_from(FIELDS)),
    ),
    st.builds(
        a_rule,
        kind=st.sampled_from(["temporal", "temporal_ordered"]),
        rules=st.lists(st.sampled_from(RULES), min_size=1, max_size=3),
        group_by=group_by_drawn,
        condition=st.builds(Condition, edge=st.sampled_from(["", "unexpected"])),
    ),
)


def check_against_the_reference(alerts: list[Alert], rule: IncidentRule, random: Random, sizes: list[int]) -> None:
    """Compare with the plain reference, and any arrival with one batch."""
    at_once = newest(correlator(rule).feed([(alert, 0) for alert in alerts]))
    arriving = [*alerts, *alerts[:3]]
    random.shuffle(arriving)
    assert newest(feed_in_cuts(correlator(rule), arriving, sizes)) == at_once

    expected = {
        incident_id("acme", "correlated", list(group), (interval * SPAN_NS, SPAN_NS)): members
        for (group, interval), members in plain_members(rule, alerts).items()
    }
    found = {
        incident.id: {member.id for member in incident.members} for incident in correlator(rule).feed([(a, 0) for a in alerts])
    }
    assert found == expected


arrivals = given(alerts_drawn, rules_drawn, st.randoms(use_true_random=False), st.lists(st.integers(0, 5), max_size=6))


@arrivals
def test_incidents_equal_the_reference_for_any_order_and_any_cuts(
    alerts: list[Alert], rule: IncidentRule, random: Random, sizes: list[int]
) -> None:
    """Members are exactly those of the plain definition; every byte of the final incidents is the same for any arrival."""
    check_against_the_reference(alerts, rule, random, sizes)


@pytest.mark.long
@arrivals
def test_many_more_incidents_equal_the_reference(
    alerts: list[Alert], rule: IncidentRule, random: Random, sizes: list[int]
) -> None:
    """The same, as hard as the long profile looks."""
    check_against_the_reference(alerts, rule, random, sizes)


def test_burst_then_silence_then_scan_is_one_incident_of_the_site() -> None:
    """The document says what, where, when, and lists its members by time."""
    rule = a_rule("temporal_ordered", ["burst", "silence", "scan"], ["site"])
    alerts = [
        an_alert("c", 18, "scan", "lock"),
        an_alert("a", 12, "burst"),
        an_alert("x", 13, "scan"),
        an_alert("b", 15, "silence"),
    ]
    [incident] = correlator(rule).feed([(alert, 0) for alert in alerts])
    assert incident.id == incident_id("acme", "correlated", ["east"], (10, 10))
    assert [member.id for member in incident.members] == ["a", "b", "c"]
    assert (incident.version, incident.site, incident.group, incident.devices) == (3, "east", ["east"], ["cam", "lock"])
    assert (incident.first_ns, incident.last_ns, incident.time_ns, incident.append_ns) == (12, 18, 18, 23)
    assert (incident.interval_start_ns, incident.interval_ns) == (10, 10)
    assert (incident.revision, incident.revision_digest, incident.rule.threat) == (3, "rev", "Botnet")


def test_a_late_alert_makes_the_incident_grow() -> None:
    """The incident keeps its id; its version is the number of members."""
    correlating = correlator(a_rule("value_count", ["silence"], ["site"], Condition(gte=2, field="device")))
    first = correlating.feed([(an_alert("a", 11, "silence", "cam"), 0), (an_alert("b", 12, "silence", "lock"), 0)])
    again = correlating.feed([(an_alert("0", 10, "silence", "hub-1"), 0)])
    assert [(incident.version, incident.id) for incident in [*first, *again]] == [(2, first[0].id), (3, first[0].id)]
    assert [member.id for member in again[0].members] == ["0", "a", "b"]


def test_a_repeat_and_an_alert_of_no_match_change_nothing() -> None:
    """Nothing is appended for them."""
    correlating = correlator(a_rule("temporal", ["burst", "scan"], ["device"]))
    assert len(correlating.feed([(an_alert("a", 11, "burst"), 0), (an_alert("b", 12, "scan"), 0)])) == 1
    assert (
        correlating.feed([(an_alert("a", 11, "burst"), 9), (an_alert("z", 12, "other"), 9), (an_alert("y", 30, "scan"), 9)]) == []
    )


def test_a_timespan_is_open_at_its_beginning() -> None:
    """Two alerts exactly a timespan apart are no match, one nanosecond less is."""
    rule = a_rule("temporal", ["burst", "scan"], [])
    assert correlator(rule).feed([(an_alert("a", 10, "burst"), 0), (an_alert("b", 20, "scan"), 0)]) == []
    assert len(correlator(rule).feed([(an_alert("a", 11, "burst"), 0), (an_alert("b", 20, "scan"), 0)])) == 1


@pytest.mark.parametrize(
    ("peer", "devices"),
    [("2001:db8::3", ["cam", "lock"]), ("lock", ["cam", "lock"]), ("10.0.0.2", None), ("10.0.0.1", None), ("8.8.8.8", None)],
)
def test_lateral_movement_needs_an_edge_that_the_inventory_does_not_expect(peer: str, devices: list[str] | None) -> None:
    """An expected device, the device itself and a stranger are no lateral movement; the incident names where the edge leads."""
    rule = a_rule("temporal_ordered", ["burst", "scan"], ["device"], Condition(edge="unexpected"))
    found = correlator(rule).feed([(an_alert("a", 11, "burst"), 0), (an_alert("b", 12, "scan", peers=[peer]), 0)])
    assert [incident.devices for incident in found] == ([devices] if devices else [])


def test_the_edge_must_be_that_of_the_last_alert() -> None:
    """The same edge on the first alert is no lateral movement."""
    rule = a_rule("temporal_ordered", ["burst", "scan"], ["device"], Condition(edge="unexpected"))
    assert correlator(rule).feed([(an_alert("a", 11, "burst", peers=["lock"]), 0), (an_alert("b", 12, "scan"), 0)]) == []


def test_devices_without_a_site_belong_to_one_site_of_the_tenant() -> None:
    """Their group is the empty text, and so is the incident's site."""
    rule = a_rule("value_count", ["silence"], ["site"], Condition(gte=2, field="device"))
    alerts = [an_alert("a", 11, "silence", "cam", ""), an_alert("b", 12, "silence", "lock", "")]
    [incident] = correlator(rule).feed([(alert, 0) for alert in alerts])
    assert (incident.group, incident.site) == ([""], "")


def test_rules_are_named_by_globs_too() -> None:
    """One alert that several globs name may stand for each of them in `temporal`."""
    rule = a_rule("temporal", ["net-*", "edge-*"], [])
    assert len(correlator(rule).feed([(an_alert("a", 1, "net-scan"), 0), (an_alert("b", 2, "edge-gap"), 0)])) == 1


def test_the_document_lists_a_thousand_members_and_counts_all() -> None:
    """The version stays exact."""
    rule = a_rule("value_count", ["silence"], [], Condition(gte=2, field="device"))
    alerts = [an_alert(f"{n:05}", 1 + n % 5, "silence", f"d{n:05}") for n in range(2_500)]
    [incident] = correlator(rule).feed([(alert, 0) for alert in alerts])
    assert incident.version == 2_500
    assert (len(incident.members), len(incident.devices)) == (MEMBERS_LISTED, MEMBERS_LISTED)
    assert {member.time_ns for member in incident.members} == {1, 2}


def test_an_alert_is_forgotten_a_day_after_its_append() -> None:
    """Until then it counts, however late its partner arrives; afterwards it takes no memory."""
    rule = a_rule("temporal", ["burst", "scan"], [])
    correlating = correlator(rule)
    correlating.feed([(an_alert("a", 11, "burst"), MINUTE), (an_alert("q", 500, "burst"), MINUTE + DAY_NS - 1)])
    assert len(correlating.feed([(an_alert("b", 12, "scan"), MINUTE + DAY_NS - 1)])) == 1
    correlating.feed([(an_alert("r", 900, "burst"), MINUTE + DAY_NS)])
    assert correlating.held == 3
    assert correlating.feed([(an_alert("c", 13, "scan"), MINUTE + DAY_NS)]) == []
    correlating.feed([(an_alert("s", 9_000, "burst"), 3 * DAY_NS)])
    assert correlating.held == 1


def test_what_a_batch_finds_is_found_before_it_forgets() -> None:
    """A batch that spans the moment of forgetting gives what two batches give."""
    rule = a_rule("temporal", ["burst", "scan"], [])
    alerts = [
        (an_alert("a", 11, "burst"), MINUTE),
        (an_alert("b", 12, "scan"), DAY_NS),
        (an_alert("c", 900, "burst"), MINUTE + DAY_NS),
    ]
    assert [incident.version for incident in correlator(rule).feed(alerts)] == [2]


def test_more_alerts_than_may_be_held_are_counted() -> None:
    """Memory is bounded, and what that costs is known."""
    rule = a_rule("temporal", ["burst", "scan"], [])
    revision = Revision(number=1, digest="d", rule_set=RuleSet(incidents=[rule]))
    correlating = Correlator("acme", revision, max_held=2)
    correlating.feed([(an_alert(str(n), n, "burst"), 0) for n in range(5)])
    assert (correlating.held, correlating.left_out) == (2, 3)
