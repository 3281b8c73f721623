"""STIX bundles: what the OASIS validator and the stix2 library accept, under ids that they would give."""

from __future__ import annotations

import json
import warnings
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from tests.findings import FINDINGS, HOSTILE, MINIMAL, MINUTE, NOON_NS

from spikebridge.alerts import Incident, Member
from spikebridge.formats import stix

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # what the oracles import warns of its own age
    import stix2
    import stix2validator

if TYPE_CHECKING:
    from spikebridge.alerts import Finding

ALL: dict[str, Finding] = {**FINDINGS, "minimal": MINIMAL, "hostile": HOSTILE}
OPTIONS = stix2validator.ValidationOptions(version="2.1", enforce_refs=False)


def objects(finding: Finding, kind: str) -> list[dict[str, Any]]:
    """Return a bundle's objects of a type."""
    return [made for made in stix.document(finding)["objects"] if made["type"] == kind]


@pytest.mark.parametrize("name", ALL)
def test_the_oasis_validator_finds_no_error(name: str) -> None:
    """Every MUST of the specification holds."""
    result = stix2validator.validate_instance(stix.document(ALL[name]), OPTIONS)

    assert result.is_valid, [str(error) for error in result.errors]


@pytest.mark.parametrize("name", ALL)
def test_the_stix2_library_reads_it_and_loses_nothing(name: str) -> None:
    """Whoever parses with the reference library has what we wrote."""
    parsed = stix2.parse(stix.document(ALL[name]), version="2.1")
    times = {"created", "modified", "valid_from", "first_seen", "last_seen", "first_observed", "last_observed"}

    for ours, theirs in zip(stix.document(ALL[name])["objects"], json.loads(parsed.serialize())["objects"], strict=True):
        assert {key: theirs[key] for key in ours if key not in times} == {
            key: value for key, value in ours.items() if key not in times
        }


@pytest.mark.parametrize("name", ALL)
def test_observables_have_the_ids_that_the_specification_gives(name: str) -> None:
    """The same address is the same object, whoever reports it."""
    for made in stix.document(ALL[name])["objects"]:
        if made["type"] in {"ipv4-addr", "ipv6-addr", "artifact"}:
            fields = {key: value for key, value in made.items() if key not in {"id", "type"}}
            assert stix2.parse({"type": made["type"], **fields}, version="2.1").id == made["id"]


@pytest.mark.parametrize("name", ALL)
def test_references_lead_to_objects_of_the_bundle(name: str) -> None:
    """Only a Grouping refers to what other bundles hold: its members' Sightings."""
    made = stix.document(ALL[name])["objects"]
    ids = [entry["id"] for entry in made]

    assert len(set(ids)) == len(ids)
    for entry in made:
        for key, value in entry.items():
            if key.endswith(("_ref", "_refs")) and entry["type"] != "grouping":
                assert set([value] if isinstance(value, str) else value) <= set(ids), key


def test_a_grouping_refers_to_the_sightings_of_its_members() -> None:
    """The members' bundles and the incident's meet in any TAXII collection."""
    incident = FINDINGS["incident"]
    assert isinstance(incident, Incident)
    burst = FINDINGS["burst"]
    member = Member(id=burst.id, rule="ddos-burst", threat="DDoS_Burst", severity="High", device="thermostat-7", time_ns=NOON_NS)
    grouping = objects(msgspec.structs.replace(incident, members=[member]), "grouping")[0]

    assert objects(burst, "sighting")[0]["id"] in grouping["object_refs"]


def test_a_grown_incident_is_a_newer_version_of_the_same_objects() -> None:
    """`modified` rises with every version, `created` and id stay."""
    incident = FINDINGS["incident"]
    assert isinstance(incident, Incident)
    grown = msgspec.structs.replace(incident, version=4)

    for kind in ("grouping", "sighting"):
        before, after = objects(incident, kind)[0], objects(grown, kind)[0]
        assert (before["id"], before["created"]) == (after["id"], after["created"])
        assert before["modified"] < after["modified"]
    assert stix.document(incident)["id"] != stix.document(grown)["id"]


def test_an_indicator_takes_its_times_from_the_rule() -> None:
    """The rule's date, or the fixed one of what has none; never now."""
    assert objects(FINDINGS["burst"], "indicator")[0]["valid_from"] == "2026-11-01T00:00:00.000Z"
    assert objects(HOSTILE, "indicator")[0]["valid_from"] == stix.UNDATED


def test_alerts_of_one_rule_share_its_indicator_and_a_changed_rule_has_another() -> None:
    """An Indicator never changes under its id."""
    burst = FINDINGS["burst"]
    later = msgspec.structs.replace(burst, time_ns=NOON_NS + MINUTE)
    changed = msgspec.structs.replace(burst, rule=msgspec.structs.replace(burst.rule, digest="other", count=30))

    assert objects(burst, "indicator") == objects(later, "indicator")
    assert objects(burst, "indicator")[0]["id"] != objects(changed, "indicator")[0]["id"]
