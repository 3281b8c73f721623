"""What was learned of timing as a model file: its neurons run as the quick form does, and it comes back whole."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from tests.reference.models import KEY, TRUST, retold
from tests.unit.detectors.traffic import poller

from spikebridge_detectors.errors import ModelError
from spikebridge_detectors.model.container import split
from spikebridge_detectors.model.file import load, opened
from spikebridge_detectors.model.header import Training
from spikebridge_detectors.model.keys import signed
from spikebridge_detectors.raster import unpack
from spikebridge_detectors.timing.detector import Timing
from spikebridge_detectors.timing.learning import ticks, weighed
from spikebridge_detectors.timing.marks import BINS, LINES, PAIRS, Lines
from spikebridge_detectors.timing.model import NEURONS, About, learned_from, modelled
from spikebridge_detectors.timing.surprise import surprises
from spikebridge_detectors.timing.ticks import Held, scan

LEARNED = Timing().learn(poller(answer=0.05))
ABOUT = About("poller", 2, "A poller's timing.", ("poller",), Training(data="a generated poller", seed=1))
FILE = signed(split(modelled(LEARNED, ABOUT)), KEY)


def test_what_was_learned_comes_back_whole() -> None:
    """Alphabet, habits and thresholds, to the bit; a model of it fits 64 KiB, and the service can't run it."""
    model = load(FILE, TRUST)
    found = learned_from(model)

    assert not model.header.runs_in_service
    assert len(FILE) < 1 << 16
    assert {output.name: output.neuron for output in model.header.outputs} == NEURONS
    assert found.thresholds == LEARNED.thresholds
    assert found.habits.expected == LEARNED.habits.expected
    for one, other in (
        (found.habits.gap, LEARNED.habits.gap),
        (found.habits.own, LEARNED.habits.own),
        (found.alphabet.common, LEARNED.alphabet.common),
        (found.alphabet.used, LEARNED.alphabet.used),
        (found.alphabet.pairs, LEARNED.alphabet.pairs),
    ):
        assert np.array_equal(one, other)
    again = poller(hours=24, seed=9, answer=0.3)
    assert Timing().scan(again, found) == Timing().scan(again, LEARNED)


def test_the_self_test_holds_what_the_quick_form_tells() -> None:
    """Of the recorded seconds, each output at each step, but for what fires in the last two."""
    model = load(FILE, TRUST)
    raster = unpack(model.recorded[None])[:, 0]
    came = np.flatnonzero(raster[:, :LINES].any(axis=1))
    pair, gap, own = (
        raster[came, first:last].argmax(axis=1) for first, last in ((0, PAIRS), (PAIRS, PAIRS + BINS), (PAIRS + BINS, LINES))
    )
    lines = Lines(pair, gap, own, raster[came, LINES])
    found = scan(
        LEARNED.thresholds, Held(), ticks(came, weighed(*surprises(LEARNED.habits, lines), lines.new)), until=len(raster)
    )
    names = [output.name for output in model.header.outputs]

    assert {(spike.step, spike.neuron) for spike in found if spike.step < len(raster)} == {
        (step, names[unit]) for step, unit in np.argwhere(unpack(model.expected[None])[:, 0]).tolist()
    }
    assert {spike.neuron for spike in found} >= {"burst", "spell", "spread", "silence"}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"layers.0.vth": 600}, "self-test: expected the"),
        ({"layers.3.vth": 30}, "self-test: expected the"),
        ({"layers.0.name": "other"}, "expected the lines of timing and layer surprise of them, found another network"),
        ({"inputs.74": "other"}, "header: layer burst: sources"),
    ],
    ids=str,
)
def test_a_network_that_was_changed_is_refused(change: dict[str, Any], reason: str) -> None:
    """By its self-test, or because it is none of timing."""
    with pytest.raises(ModelError) as caught:
        load(retold(change, FILE), TRUST)
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"encoder.settings.pairs": [40] * 256}, "encoder timing: pairs: expected"),
        ({"encoder.settings.pairs": [1] * 255}, "encoder timing: pairs: expected"),
        ({"encoder.settings.common": [1] * 7}, "encoder timing: common: expected"),
        ({"encoder.settings.used": [16]}, "encoder timing: used: expected"),
        ({"encoder.settings.used": [-1]}, "encoder timing: used: expected"),
        ({"encoder.settings.used": "x"}, "encoder timing: Expected `array`"),
        ({"encoder.name": "bins"}, 'poller: expected the encoder timing, found "bins"'),
        ({"layers.1.dv": 9}, "layer relay: expected layer relay of timing as it was learned, found another"),
        ({"layers.1.step_ns": 10**6}, "layer relay: expected layer relay of timing as it was learned, found another"),
        ({"layers.0.exponent": 0}, "layer surprise: expected layer surprise of timing as it was learned, found another"),
        ({"outputs.0.name": "other"}, "poller: expected the outputs 48 burst, 49 spell"),
        ({"outputs.0.neuron": 7}, "poller: expected the outputs 48 burst, 49 spell"),
        (
            {"classes": {"poller": {}, "lock": {"burst": 9}}},
            "thresholds of their own, which a model of timing has none of, found some of lock",
        ),
        ({"layers.3.vth": 40_000}, "threshold of silence: expected 1 to 32000, found 40000"),
    ],
    ids=str,
)
def test_what_is_read_back_is_checked(change: dict[str, Any], reason: str) -> None:
    """A signed file may say anything: what the encoder can't look up, or a layer that timing doesn't have, isn't taken."""
    with pytest.raises(ModelError) as caught:
        learned_from(opened(retold(change, FILE)))
    assert reason in str(caught.value)


def test_settings_are_plain_json() -> None:
    """Numbers in lists, so that a header holds them."""
    settings = opened(FILE).header.encoder.settings
    assert msgspec.json.decode(msgspec.json.encode(settings)) == settings
    assert set(settings) == {"common", "used", "pairs"}
