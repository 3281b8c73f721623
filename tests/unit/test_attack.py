"""What we say of ATT&CK techniques."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from spikebridge import attack

MAPPINGS = sorted((Path(__file__).parents[2] / "mappings").glob("*.yaml"))


def test_a_technique_tells_its_name_tactics_and_matrix() -> None:
    """The names are those of the ATT&CK pages."""
    found = attack.technique("T1498.001")
    assert found is not None

    assert (found.name, found.matrix, found.parent) == ("Direct Network Flood", "enterprise", "T1498")
    assert found.tactics == (("TA0040", "Impact"),)
    assert attack.reference(found.id) == "https://attack.mitre.org/techniques/T1498/001/"


def test_an_unknown_technique_is_told_apart() -> None:
    """A newer ATT&CK than ours is no error."""
    assert attack.technique("T9999") is None


def test_the_matrix_follows_from_the_id() -> None:
    """ICS techniques are numbered from T0800 on, their tactics from TA0100 on; no technique mixes matrices."""
    for found in attack.techniques().values():
        ics = found.matrix == "ics"
        assert re.fullmatch(r"T0[89]\d\d" if ics else r"T1\d{3}(\.\d{3})?", found.id)
        assert all(tactic.id.startswith("TA01" if ics else "TA00") for tactic in found.tactics)


def test_every_sub_technique_has_its_technique_beside_it() -> None:
    """Documents name both."""
    for found in attack.techniques().values():
        parent = attack.technique(found.parent or found.id)
        assert parent is not None
        assert parent.tactics == found.tactics


@pytest.mark.parametrize("path", MAPPINGS, ids=lambda path: path.name)
def test_every_technique_of_the_shipped_mappings_is_known(path: Path) -> None:
    """What we ship reaches the SIEM with names."""
    named = re.findall(r"\bT[01]\d{3}(?:\.\d{3})?\b", path.read_text(encoding="utf-8"))

    assert not [name for name in named if attack.technique(name) is None]
