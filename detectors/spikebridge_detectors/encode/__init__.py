"""Encoders: what makes spikes of signals, times and bytes. Each is a struct of its settings that checks itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from spikebridge_detectors.encode.bins import Bins
from spikebridge_detectors.encode.delta import Delta
from spikebridge_detectors.encode.gaps import Gaps
from spikebridge_detectors.encode.latency import Latency
from spikebridge_detectors.encode.patterns import Patterns
from spikebridge_detectors.encode.rate import Rate
from spikebridge_detectors.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Mapping

Encoder = Rate | Latency | Delta | Bins | Patterns | Gaps

ENCODERS: dict[str, type[Encoder]] = {
    "rate": Rate, "latency": Latency, "delta": Delta, "bins": Bins, "patterns": Patterns, "gaps": Gaps,
}  # fmt: skip


def encoder(name: str, settings: Mapping[str, Any]) -> Encoder:
    """Return the encoder that a model names, with the settings that it names."""
    if name not in ENCODERS:
        raise ModelError(f'encoder: expected one of {", ".join(ENCODERS)}, found "{name}"')
    try:
        return msgspec.convert(dict(settings), ENCODERS[name])
    except msgspec.ValidationError as error:
        raise ModelError(f"encoder {name}: {error}") from error
