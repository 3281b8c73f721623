"""CIM documents: the fields, types and values that Splunk's data models prescribe."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING

import msgspec
import pytest
from tests.findings import DDOS, FINDINGS, HOSTILE, LOCK, MINIMAL, STRANGER, THERMOSTAT, bare

from spikebridge.alerts import SEVERITIES, Alert, Incident, PeerCount
from spikebridge.formats import cim

if TYPE_CHECKING:
    from spikebridge.alerts import DeviceInfo, Finding

ALL: dict[str, Finding] = {**FINDINGS, "minimal": MINIMAL, "hostile": HOSTILE}
ALERTS = {"app", "description", "id", "severity", "severity_id", "signature", "signature_id", "subject", "type", "vendor_product"}
"""What every finding has of the data model Alerts."""
MODELS = ALERTS | {"dest", "src", "dest_ip", "src_ip", "dvc", "ids_type", "action", "category", "mitre_technique_id"}
OWN = {"mitre_tactic_id", "tenant", "site", "rule_tags", "start_time", "end_time", "created_time", "spike"}


@pytest.mark.parametrize("name", ALL)
def test_a_document_has_the_fields_of_the_data_models_and_ours(name: str) -> None:
    """Each with a value: what is empty is left out."""
    made = cim.document(ALL[name])

    assert made.keys() >= ALERTS
    assert made.keys() <= MODELS | OWN
    assert not [field for field, value in made.items() if value in ("", None, [], {})]


@pytest.mark.parametrize("name", ALL)
def test_prescribed_values_are_those_of_the_data_models(name: str) -> None:
    """Severity, type, ids_type and action; addresses are addresses."""
    finding, made = ALL[name], cim.document(ALL[name])

    assert made["type"] == "alert"
    assert made["severity"] in {"critical", "high", "medium", "low", "informational"}
    assert (made["severity"], made["severity_id"]) == (finding.rule.severity.lower(), SEVERITIES[finding.rule.severity])
    assert made.get("ids_type") in {None, "network", "host"}
    assert made.get("action") in {None, "allowed"}
    for field in ("src_ip", "dest_ip"):
        assert field not in made or str(ip_address(made[field])) == made[field]


def test_nothing_says_that_something_was_blocked() -> None:
    """A wish for a response is ours to tell, not the data model's `action`."""
    made = cim.document(FINDINGS["burst"])

    assert (made["action"], made["spike"]["action"]) == ("allowed", "Block_IP")


@pytest.mark.parametrize(
    ("attack", "device", "peers", "expected"),
    [
        (
            ["T1498.001"],
            THERMOSTAT,
            ["10.0.0.9"],
            {"src": "10.0.0.9", "src_ip": "10.0.0.9", "dest": "thermostat-7", "dest_ip": "10.0.0.7"},
        ),
        (["T1071"], THERMOSTAT, ["c2.example"], {"src": "thermostat-7", "src_ip": "10.0.0.7", "dest": "c2.example"}),
        (["T1071"], LOCK, ["fe80::1%eth0"], {"src": "lock-2", "src_ip": "fd00::2", "dest": "fe80::1%eth0"}),
        ([], STRANGER, ["10.0.0.9", "10.0.0.8"], {"src": "10.0.0.9", "src_ip": "10.0.0.9", "dest": "sensor_01"}),
        (["T1071"], THERMOSTAT, [], {"dest": "thermostat-7", "dest_ip": "10.0.0.7"}),
        ([], STRANGER, [], {"dest": "sensor_01"}),
    ],
)
def test_the_ends_of_the_traffic_follow_the_tactic(
    attack: list[str], device: DeviceInfo, peers: list[str], expected: dict[str, str]
) -> None:
    """The device opens it for command and control, the peer for everything else; without peers the device is what it is about."""
    alert = msgspec.structs.replace(
        bare(msgspec.structs.replace(DDOS, attack=attack), device),
        peers=[PeerCount(address=peer, count=1) for peer in peers],
        peers_total=len(peers),
    )
    made = cim.document(alert)

    assert {field: made[field] for field in ("src", "src_ip", "dest", "dest_ip") if field in made} == expected
    assert made["dvc"] == device.id
    assert made["ids_type"] == ("network" if peers else "host")


def test_what_concerns_our_own_sensing_is_no_intrusion() -> None:
    """A gap of the log belongs to the data model Alerts alone."""
    made = cim.document(FINDINGS["log_gap"])

    assert not made.keys() & {"action", "ids_type", "dvc", "dest", "src"}


def test_an_incident_names_its_devices_and_its_members() -> None:
    """And how many they are, exactly."""
    incident = FINDINGS["incident"]
    assert isinstance(incident, Incident)
    made = cim.document(incident)

    assert made["dest"] == ["lock-2", "thermostat-7"]
    assert made["subject"] == "Botnet_Recruitment on 2 devices"
    assert [member["device"] for member in made["spike"]["members"]] == ["thermostat-7", "thermostat-7", "lock-2"]
    assert made["spike"]["version"] == 3
    assert not made.keys() & {"action", "ids_type"}


def test_a_neuron_with_the_number_0_keeps_it() -> None:
    """Only what isn't there is left out."""
    alert = FINDINGS["burst"]
    assert isinstance(alert, Alert)
    zero = msgspec.structs.replace(alert, neurons=[msgspec.structs.replace(alert.neurons[0], neuron=0)], suppressed_before=0)
    made = cim.document(zero)["spike"]

    assert made["neurons"] == [{"layer": "output_3", "neuron": 0, "count": 11}]
    assert made["suppressed_before"] == 0


def test_techniques_and_tactics_are_listed_once() -> None:
    """An unknown technique has its id alone."""
    made = cim.document(bare(msgspec.structs.replace(DDOS, attack=["T1498.001", "T9999", "T1498.001"]), THERMOSTAT))

    assert made["mitre_technique_id"] == ["T1498.001", "T9999"]
    assert made["mitre_tactic_id"] == ["TA0040"]
