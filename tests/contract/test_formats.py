"""What every format promises, whoever adds one."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.findings import DDOS, FINDINGS, HOSTILE, MINIMAL, THERMOSTAT, bare, explained

from spikebridge import registry
from spikebridge.alerts import Alert, DeviceInfo, NeuronCount, PeerCount, alert_entry, incident_entry

if TYPE_CHECKING:
    from spikebridge.alerts import Finding

ALL: dict[str, Finding] = {**FINDINGS, "minimal": MINIMAL, "hostile": HOSTILE}
FORMATS = registry.names("formats")

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
alerts = st.builds(
    lambda device, peers, attack, time_ns: msgspec.structs.replace(
        bare(msgspec.structs.replace(DDOS, attack=attack), device, time_ns),
        peers=[PeerCount(address=peer, count=1) for peer in peers],
        peers_total=len(peers),
        neurons=[NeuronCount(layer=device.site, neuron=None, count=1)],
    ),
    st.builds(
        DeviceInfo, id=texts, device_class=texts, site=texts, addresses=st.lists(texts | st.ip_addresses().map(str), max_size=3)
    ),
    st.lists(texts | st.ip_addresses().map(str), max_size=3),
    st.lists(st.sampled_from(["T1071", "T1498.001", "T0856", "T1"]), max_size=3),
    st.integers(-(2**62), 2**62),
)


def body(finding: Finding) -> bytes:
    """Return a finding as the alert log has it."""
    return (alert_entry(finding, ()) if isinstance(finding, Alert) else incident_entry(finding)).body


@pytest.mark.parametrize("shape", FORMATS)
@pytest.mark.parametrize("name", ALL)
def test_a_document_is_what_its_bytes_say(name: str, shape: str) -> None:
    """`document` and `encode` never differ, and any JSON reader reads them."""
    form = registry.load("formats", shape)

    assert json.loads(form.encode(ALL[name])) == form.document(ALL[name])
    assert json.loads(json.dumps(form.document(ALL[name]))) == form.document(ALL[name])


@pytest.mark.parametrize("shape", FORMATS)
def test_equal_findings_give_equal_bytes_whatever_came_between(shape: str) -> None:
    """No clock and no memory of earlier findings gets into a document."""
    form = registry.load("formats", shape)
    first = {name: form.encode(finding) for name, finding in ALL.items()}
    copies = {name: msgspec.convert(msgspec.to_builtins(finding), type(finding)) for name, finding in reversed(ALL.items())}

    assert {name: form.encode(finding) for name, finding in copies.items()} == first


@pytest.mark.parametrize("shape", FORMATS)
def test_two_rules_of_one_name_and_digest_are_kept_apart(shape: str) -> None:
    """What is prepared per rule never speaks for another one."""
    form = registry.load("formats", shape)
    other = msgspec.structs.replace(MINIMAL, rule=msgspec.structs.replace(MINIMAL.rule, threat="Other", severity="Low"))
    before = form.encode(MINIMAL)

    assert form.encode(other) != before
    assert form.encode(MINIMAL) == before


@pytest.mark.parametrize("shape", FORMATS)
@pytest.mark.parametrize("name", ALL)
def test_a_document_belongs_to_its_caller(name: str, shape: str) -> None:
    """Whatever is done to a document changes neither the finding nor the next document."""
    form = registry.load("formats", shape)
    held, first = body(ALL[name]), form.encode(ALL[name])
    _spoil(form.document(ALL[name]))

    assert body(ALL[name]) == held
    assert form.encode(ALL[name]) == first


@pytest.mark.parametrize("shape", FORMATS)
@pytest.mark.parametrize("name", ALL)
def test_no_control_character_leaves_unescaped(name: str, shape: str) -> None:
    """A line is a line, and a terminal shows it without obeying it."""
    line = registry.load("formats", shape).encode(ALL[name])

    assert not re.search(rb"[\x00-\x1f\x7f]", line)


@pytest.mark.parametrize("shape", FORMATS)
def test_the_hostile_name_arrives_whole(shape: str) -> None:
    """What a device calls itself is evidence: it is escaped, never changed."""
    assert HOSTILE.device.id in list(_texts(registry.load("formats", shape).document(HOSTILE)))


@pytest.mark.parametrize("shape", FORMATS)
@given(alert=alerts)
def test_any_alert_has_a_document(shape: str, alert: Alert) -> None:
    """Nothing that a sender can say makes a format fail."""
    form = registry.load("formats", shape)

    assert json.loads(form.encode(explained(alert))) == form.document(explained(alert))


@pytest.mark.parametrize("name", FORMATS)
def test_it_says_what_its_bytes_are(name: str) -> None:
    """For whoever gets a document without its configuration: a media type of JSON."""
    assert re.fullmatch(r"application/(\w+\+)?json(;version=[0-9.]+)?", registry.load("formats", name).CONTENT_TYPE)


def test_evidence_bytes_stay_behind() -> None:
    """Documents name the evidence; its bytes stay in alert log and store."""
    alert = bare(DDOS, THERMOSTAT)
    entry = alert_entry(alert, (b"raw evidence",))

    assert all(b"raw evidence" not in registry.load("formats", shape).encode(alert) for shape in FORMATS)
    assert entry.evidence == (b"raw evidence",)


def _spoil(value: Any) -> None:
    for item in list(value.values()) if isinstance(value, dict) else list(value):
        if isinstance(item, dict | list):
            _spoil(item)
    value.clear()


def _texts(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for item in value.values() for text in _texts(item)]
    if isinstance(value, list):
        return [text for item in value for text in _texts(item)]
    return [value] if isinstance(value, str) else []
