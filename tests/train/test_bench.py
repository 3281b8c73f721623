"""The peer of the benchmark where it is installed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from spikebridge.bench.detect import snntorch
from spikebridge_detectors.train.gradients.environment import VARIABLE

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.train, pytest.mark.timeout(3_600)]


def test_snntorch_is_measured_where_it_is(python: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In seconds, which stand beside ours in the same run; where it isn't, that is said."""
    monkeypatch.setenv(VARIABLE, str(python))
    took = snntorch(200)
    assert isinstance(took, float)
    assert 0 < took < 300
    monkeypatch.setenv(VARIABLE, "/nowhere")
    assert snntorch(200) == "not installed"
