"""Documents as files, to be read as a difference: `make golden` writes them anew."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.findings import FINDINGS

from spikebridge import registry
from spikebridge.alerts import Alert, alert_entry, incident_entry, read_finding

if TYPE_CHECKING:
    from spikebridge.alerts import Finding

FOLDER = Path(__file__).parent / "formats"
WRITE = os.environ.get("GOLDEN") == "write"


def _body(finding: Finding) -> bytes:
    return (alert_entry(finding, ()) if isinstance(finding, Alert) else incident_entry(finding)).body


def _held_to(path: Path, found: bytes) -> None:
    text = json.dumps(json.loads(found), indent=2, ensure_ascii=False) + "\n"
    if WRITE:
        path.write_text(text, encoding="utf-8")
    assert path.read_text(encoding="utf-8") == text


@pytest.mark.parametrize("name", FINDINGS)
def test_the_alert_log_holds_a_finding_as_the_file_shows_it(name: str) -> None:
    """What lies in alert logs today can be read tomorrow: a changed file is a changed log."""
    _held_to(FOLDER / f"{name}.alert.json", _body(FINDINGS[name]))

    assert read_finding((FOLDER / f"{name}.alert.json").read_bytes()) == FINDINGS[name]


@pytest.mark.parametrize("shape", registry.names("formats"))
@pytest.mark.parametrize("name", FINDINGS)
def test_a_document_is_as_the_file_shows_it(name: str, shape: str) -> None:
    """Nobody's dashboard breaks unseen: every byte of a document is in a file."""
    _held_to(FOLDER / f"{name}.{shape}.json", registry.load("formats", shape).encode(FINDINGS[name]))


def test_no_file_is_left_over() -> None:
    """Each golden file belongs to a finding and a shape."""
    shapes = ["alert", *registry.names("formats")]

    assert {path.name for path in FOLDER.iterdir()} == {f"{name}.{shape}.json" for name in FINDINGS for shape in shapes}
