"""From measured values to alerts: what the models of windows that ship tell of generated series, under the mappings that ship."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from spikebridge.mapping.engine import alerts_of
from spikebridge.mapping.load import load
from spikebridge.spikes.frame import Head, encode_events
from spikebridge.spikes.record import Record
from spikebridge_detectors.capture.series import Samples
from spikebridge_detectors.elapsed import SECOND_NS
from spikebridge_detectors.model.file import opened
from spikebridge_detectors.sense.judge import Judge
from spikebridge_detectors.sense.outputs import WIRE_LAYERS
from spikebridge_detectors.sense.series import spikes
from spikebridge_detectors.shipped.pins import shipped
from spikebridge_detectors.traffic import series

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

MAPPINGS = load([Path(__file__).parents[2] / "mappings"])
START_NS = 1_800_000_000 * SECOND_NS
MADE: dict[str, tuple[Callable[[int, int, str], NDArray[np.float64]], int, int]] = {
    "power": (series.power, 600, 10),
    "vibration": (series.vibration, 12_000, 1000),
    "rf": (series.rf, 20_000, 1000),
}
"""Of each kind what makes it, how many samples, and how many a second."""


def raised(kind: str, wrong: str, seed: int = 501) -> set[str]:
    """Return the rules that raise an alert of a series."""
    made, count, rate = MADE[kind]
    values = made(count, seed, wrong)
    model = opened(shipped(f"{kind}.spike"))
    judge = Judge(model, "device-1", [f"channel {number}" for number in range(values.shape[1])])
    odd = judge.advance(Samples(START_NS + np.arange(count) * (SECOND_NS // rate), values, [""] * count))
    records = [
        Record(
            offset=number,
            append_ns=told.start_ns + max(told.after_ns),
            key=None,
            value=encode_events(
                Head(device="device-1", start_ns=told.start_ns, step_ns=1000, layer=WIRE_LAYERS[kind]),
                told.neurons,
                [after // 1000 for after in told.after_ns],
            ),
        )
        for number, told in enumerate(spikes(odd, judge.numbers))
    ]
    return {alert.alert.rule.id for alert in alerts_of(MAPPINGS.rule_set, records).alerts}


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [
        ("power", "mining"),
        ("power", "flooded"),
        *(("vibration", wrong) for wrong in ("smooth", "added", "loaded", "damped", "loose")),
        *(("rf", wrong) for wrong in ("regular", "smooth", "jammed", "second", "nearer")),
    ],
)
def test_what_goes_wrong_raises_a_threat_that_is_mapped(kind: str, wrong: str) -> None:
    """By the detector's own rows, and by no other's; what goes well, as the same seed has it, raises none."""
    own = {f"{'vib' if kind == 'vibration' else kind}-odd-{what}" for what in ("alone", "together")}
    found = raised(kind, wrong)
    assert found
    assert found <= own
    assert raised(kind, "") == set()


@pytest.mark.parametrize(("kind", "wrong"), [("power", "encryption"), ("rf", "replayed")])
def test_what_the_cards_say_is_missed_raises_none(kind: str, wrong: str) -> None:
    """Encryption on an idle device, and a radio's own recording."""
    assert raised(kind, wrong) == set()
