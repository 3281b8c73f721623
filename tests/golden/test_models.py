"""A model file, to the byte: files that are signed today are read tomorrow."""

from __future__ import annotations

import os
from pathlib import Path

from tests.reference.models import TRUST, header, layers, recorded, whole

from spikebridge_detectors.model.file import load

FILE = Path(__file__).parent / "models" / "pump.spike"
WRITE = os.environ.get("GOLDEN") == "write"
EXPECTED = [[1079005632, 1146128968], [587473152, 1284645444]]


def test_a_model_is_written_as_ever() -> None:
    """Header, arrays and signature."""
    if WRITE:
        FILE.parent.mkdir(exist_ok=True)
        FILE.write_bytes(whole())
    assert FILE.read_bytes() == whole()


def test_a_model_of_old_is_read_as_ever() -> None:
    """With its weights, and the same spikes for those that were recorded."""
    model = load(FILE.read_bytes(), TRUST)

    assert (model.header.name, model.header.version) == (header().name, header().version)
    assert all((held.weights == one.weights).all() for held, one in zip(model.layers, layers(), strict=True))
    assert (model.recorded == recorded()).all()
    assert model.expected.tolist() == EXPECTED
