"""Explanations: exact sentences, whose numbers are those of the evidence."""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.findings import DDOS, FINDINGS, LOG, MINUTE, NOON_NS, SECOND, SILENCE, THERMOSTAT, bare

from spikebridge.alerts import Alert, DeviceInfo, Incident, NeuronCount, PeerCount, RuleInfo
from spikebridge.explanation import duration, explain, explain_incident, shown
from spikebridge.mapping.engine import alerts_of
from spikebridge.mapping.match import LOG_GAP
from spikebridge.mapping.rules import Cell, Device, Rule, RuleSet
from spikebridge.spikes.record import Record

if TYPE_CHECKING:
    from spikebridge.mapping.evidence import Raised

PLACE = f"partition 0 of log {LOG}"
SENTENCES = {
    "burst": "20 spikes of neurons 40-42 (layer output_3) on thermostat-7 within 960 ms (rule: 20 within 1 s), from 3 peers, "
    "most from 10.0.0.9 (12); 12 more records met the rule in the minute before",
    "single": "1 spike of layer output_3 on sensor_01 (rule: each spike); "
    "times are those of the log: the device sent none, or its clock was out of bounds",
    "absence": "no record of any kind from lock-2 for 15 min since 2026-11-20T11:45:00.000Z (rule: 15 min), noticed 3.2 s later",
    "log_gap": f"no records in {PLACE} for 12 min 3 s since 2026-11-20T11:47:57.000Z",
    "partial": "20 spikes of neurons 40-42 (layer output_3) on thermostat-7 within 960 ms (rule: 20 within 1 s)",
    "incident": "3 alerts on 2 devices (lock-2, thermostat-7) at site hall-1 within 2 min: "
    "DDoS_Burst, then Device_Silent, then Port_Scan (rule: temporal_ordered within 30 min)",
}


@pytest.mark.parametrize("name", FINDINGS)
def test_a_finding_is_told_in_one_sentence(name: str) -> None:
    """The words that an analyst reads first."""
    assert FINDINGS[name].explanation == SENTENCES[name]


def _alert(rule: RuleInfo = DDOS, **changes: Any) -> Alert:
    return msgspec.structs.replace(bare(rule, THERMOSTAT), **changes)


def _health(name: str, **changes: Any) -> str:
    return explain(_alert(msgspec.structs.replace(LOG_GAP, id=name), device=DeviceInfo(id=""), count=0, **changes))


def test_health_is_told_with_its_place() -> None:
    """Each health rule has its own sentence, a future one its description."""
    assert _health("log_gap") == f"records before offset 1000 of {PLACE} are gone: matching began anew there"
    assert _health("log_clock", last_ns=NOON_NS + 90 * SECOND) == f"append times of {PLACE} fell by 1 min 30 s at offset 1000"
    assert _health("crowd") == (
        f"more devices outside the inventory than are let in, in {PLACE} within 1 min from 2026-11-20T12:00:00.000Z on: "
        "later ones were refused"
    )
    assert _health("tomorrow") == f"{LOG_GAP.description} ({PLACE})"


@pytest.mark.parametrize(
    ("neurons", "told"),
    [
        ([("3", 42)], "neuron 42 (layer 3)"),
        ([("3", 7), ("3", 5), ("3", 4), ("3", 9)], "neurons 4-5, 7, 9 (layer 3)"),
        ([("b", 1), ("a", 2), ("a", 3)], "neurons 2-3 (layer a), neuron 1 (layer b)"),
        ([("", 8), ("out", None)], "layer out, neuron 8"),
    ],
)
def test_neurons_are_told_by_layer_and_as_ranges(neurons: list[tuple[str, int | None]], told: str) -> None:
    """Neighbours are joined, what has no layer has none in the text."""
    alert = _alert(count=5, neurons=[NeuronCount(layer=layer, neuron=neuron, count=1) for layer, neuron in neurons])

    assert explain(alert) == f"5 spikes of {told} on thermostat-7 at the same time (rule: 20 within 1 s)"


def test_a_single_peer_is_named_with_its_share() -> None:
    """Spikes that named nobody are not put on anybody's account."""
    alone = _alert(count=20, peers=[PeerCount(address="10.0.0.9", count=20)], peers_total=1)
    some = _alert(count=20, peers=[PeerCount(address="10.0.0.9", count=18)], peers_total=1)

    assert explain(alone).endswith(", from 10.0.0.9")
    assert explain(some).endswith(", 18 of them from 10.0.0.9")


def test_suppression_of_another_length_is_told_by_its_length() -> None:
    """One record is one record."""
    alert = _alert(suppressed_before=1, interval_ns=5 * MINUTE)

    assert explain(alert).endswith("; 1 more record met the rule in the 5 min before")


def test_what_a_terminal_would_obey_is_escaped() -> None:
    """Colours, line ends and text that runs backwards stay names."""
    alert = _alert(device=DeviceInfo(id="a\x1b[31m\n\u202eb"))

    assert "on a\\u001b[31m\\u000a\\u202eb" in explain(alert)
    assert shown("häuschen-7 门") == "häuschen-7 门"


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (0, "0 ns"),
        (999, "999 ns"),
        (1_500, "1.5 us"),
        (960_000_000, "960 ms"),
        (1_005_000_000, "1.01 s"),
        (59_994_999_999, "59.99 s"),
        (60 * SECOND, "1 min"),
        (90 * SECOND + 499_999_999, "1 min 30 s"),
        (3_600 * SECOND, "1 h"),
        (86_400 * SECOND + 3 * 3_600 * SECOND + 59 * SECOND, "1 d 3 h"),
    ],
)
def test_a_duration_is_told_in_few_digits(nanoseconds: int, text: str) -> None:
    """Halves go up, and no float decides a digit."""
    assert duration(nanoseconds) == text


def test_a_cut_incident_says_so() -> None:
    """The count is exact even where the list is not."""
    incident = FINDINGS["incident"]
    assert isinstance(incident, Incident)
    cut = msgspec.structs.replace(incident, version=1_200, site="", devices=[f"cam-{at}" for at in range(5)])
    many = msgspec.structs.replace(cut.rule, kind="value_count", count=3, within_ns=5 * MINUTE)

    assert explain_incident(msgspec.structs.replace(cut, rule=many)) == (
        "1200 alerts on 5 devices (cam-0, cam-1, cam-2 and 2 more) within 2 min: DDoS_Burst, Device_Silent, Port_Scan "
        "(of the first 3) (rule: value_count >= 3 within 5 min)"
    )


COUNT, WITHIN_NS = 6, 2 * SECOND
RULE = msgspec.structs.replace(DDOS, id="six", digest="", count=COUNT, within_ns=WITHIN_NS, suppress_ns=SECOND)
RULE_SET = RuleSet(rules=[Rule(info=RULE, cells=[Cell(first=40, last=42)])], devices=[Device(info=THERMOSTAT)])
spikes = st.tuples(
    st.sampled_from([39, 40, 41, 42]),
    st.sampled_from(["output_3", "3"]),
    st.integers(0, SECOND),
    st.sampled_from([None, "10.0.0.9", "10.0.0.8", "c2.example"]),
)


def _record(offset: int, events: list[tuple[int, str, int, str | None]]) -> Record:
    append_ns = NOON_NS + offset * SECOND
    lines = [
        {
            "device_id": "thermostat-7",
            "neuron_id": neuron,
            "neuron_layer": layer,
            "time": append_ns - age,
            **({"peer": peer} if peer else {}),
        }
        for neuron, layer, age, peer in events
    ]
    return Record(offset, append_ns, json.dumps(lines).encode())


def _counted(raised: Raised) -> list[dict[str, Any]]:
    """Read the counted spikes out of the raw evidence, with nothing of the product."""
    events = [event for raw in raised.evidence for event in json.loads(raw) if 40 <= event["neuron_id"] <= 42]
    return events[raised.alert.evidence.skip :][:COUNT]


@given(st.lists(st.lists(spikes, min_size=1, max_size=6), min_size=1, max_size=12))
def test_the_numbers_of_a_sentence_are_those_of_the_evidence(stream: list[list[tuple[int, str, int, str | None]]]) -> None:
    """Count, neurons, layers, spread and peers are computed again from the raw records."""
    taken = alerts_of(RULE_SET, [_record(offset, events) for offset, events in enumerate(stream)])

    for raised in taken.alerts:
        text, events = raised.alert.explanation, _counted(raised)
        times = [event["time"] for event in events]
        peers = Counter(event["peer"] for event in events if "peer" in event)
        spread = f"within {duration(max(times) - min(times))}" if len(set(times)) > 1 else "at the same time"
        assert text.startswith(f"{len(events)} spikes of neuron")
        assert f" on thermostat-7 {spread} (rule: 6 within 2 s)" in text
        assert _told(text) == {(event["neuron_layer"], event["neuron_id"]) for event in events}
        if len(peers) > 1:
            top = max(peers.values())
            first = min(peer for peer, count in peers.items() if count == top)
            assert f", from {len(peers)} peers, most from {first} ({top})" in text
        elif peers:
            part = f"{peers.total()} of them " if peers.total() < len(events) else ""
            assert f", {part}from {next(iter(peers))}" in text
        else:
            assert " from " not in text


def _told(text: str) -> set[tuple[str, int]]:
    """Read (layer, neuron) back out of a sentence."""
    found = set()
    for numbers, layer in re.findall(r"neurons? ([0-9, -]+) \(layer (\w+)\)", text):
        for run in numbers.split(", "):
            first, _, last = run.partition("-")
            found |= {(layer, neuron) for neuron in range(int(first), int(last or first) + 1)}
    return found


def test_a_silence_is_as_long_as_the_records_of_its_evidence_are_apart() -> None:
    """The device was last heard in the first record, and the second one found the silence."""
    rule = Rule(info=msgspec.structs.replace(SILENCE, digest=""))
    heard, other = _record(0, [(1, "3", 0, None)]), _record(901, [(1, "3", 0, None)])
    other = other._replace(value=other.value.replace(b"thermostat-7", b"thermostat-8"))
    between = [other._replace(offset=at, append_ns=NOON_NS + at * MINUTE) for at in range(1, 15)]
    taken = alerts_of(RuleSet(rules=[rule], devices=[Device(info=THERMOSTAT)]), [heard, *between, other])
    told = next(
        raised.alert
        for raised in taken.alerts
        if raised.alert.device.id == "thermostat-7" and raised.alert.rule.kind == "absence"
    )

    assert told.explanation == (
        "no record of any kind from thermostat-7 for 15 min since 2026-11-20T12:00:00.000Z (rule: 15 min), noticed 1 s later"
    )
    assert [record.append_ns for record in told.evidence.records] == [NOON_NS, NOON_NS + 901 * SECOND]
