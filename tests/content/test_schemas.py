"""What an editor checks with our schemas is what we accept."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest

from spikebridge.cli import schema
from spikebridge.located import read_yaml

ROOT = Path(__file__).parents[2]
START = ROOT / "connector" / "spikebridge" / "cli" / "start"
FILES = {
    **dict.fromkeys([*(ROOT / "mappings").glob("*.yaml"), START / "mappings" / "network.yaml"], "mapping"),
    **dict.fromkeys([ROOT / "connector" / "spikebridge" / "demo" / "site.yaml", START / "inventory.yaml"], "inventory"),
    START / "spikebridge.yaml": "config",
}


def complaints(kind: str, text: str) -> list[str]:
    """Return what a validator of JSON Schema says about a file."""
    validator = import_module("jsonschema").Draft202012Validator(schema.KINDS[kind]())
    return [error.message for error in validator.iter_errors(read_yaml(text, "f").root.plain())]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_ships_is_good_in_the_eyes_of_an_editor(path: Path) -> None:
    """No mark under a line that we accept."""
    assert complaints(FILES[path], path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("mapping", "mappings: [{neuron_id: 1, threat_type: A, severity: Hgih}]"),
        ("mapping", "mappings: [{neuron_id: a, threat_type: A}]"),
        ("mapping", "mappings: [{neuron_id: 1, threat_type: A, actoin: B}]"),
        ("mapping", "mappings: [{neuron_id: 1, threat_type: A, suppress: 5}]"),
        ("mapping", "correlations: [{id: a, type: temporl, threat_type: A}]"),
        ("mapping", "correlations: [{id: a, type: absence, threat_type: A}]"),
        ("inventory", "devices: [{id: 5}]"),
        ("config", "sinks: {a: {type: file}}"),
        ("config", "sinks: {a: {type: store, path: x}}"),
        ("config", "log: {level: debgu}"),
    ],
)
def test_what_is_wrong_is_wrong_in_the_eyes_of_an_editor(kind: str, text: str) -> None:
    """The common mistakes are marked while one types."""
    assert complaints(kind, text)
