"""Models that sensing keeps for evidence: so many, and those that were used last."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from spikebridge_detectors.sense.state import MOST_MODELS, State
from spikebridge_detectors.windows.evidence import beside

if TYPE_CHECKING:
    from pathlib import Path


def test_no_more_models_are_kept_than_are_said(tmp_path: Path) -> None:
    """However many have judged series: the one longest out of use goes, one that is used again stays, and evidence isn't touched."""
    digests = [f"{number:064x}"[::-1] for number in range(MOST_MODELS + 3)]
    kept = tmp_path / "evidence"
    with State(tmp_path) as state:
        state.keep("alarm", b"evidence")
        for second, digest in enumerate(digests[:MOST_MODELS]):
            state.keep_model(digest, b"model")
            os.utime(beside(kept, digest), (second, second))
        state.keep_model(digests[0], b"model")
        for digest in digests[MOST_MODELS:]:
            state.keep_model(digest, b"model")
    left = [digest for digest in digests if beside(kept, digest).exists()]
    assert left == [digests[0], *digests[4:]]
    assert len(list(kept.glob("*.spike"))) == MOST_MODELS
    assert (kept / "alarm.spkev").read_bytes() == b"evidence"
