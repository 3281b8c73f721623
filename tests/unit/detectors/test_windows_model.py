"""Models of power, vibration and rf: what was learned goes into a file and comes back, and the file's network tells the same windows."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest
from tests.reference.models import KEY, retold

from spikebridge_detectors.capture.series import Samples
from spikebridge_detectors.errors import ModelError
from spikebridge_detectors.model.container import split
from spikebridge_detectors.model.file import known, opened, self_test
from spikebridge_detectors.model.header import Training
from spikebridge_detectors.model.keys import signed
from spikebridge_detectors.power.detector import Power, measured
from spikebridge_detectors.raster import pack, unpack
from spikebridge_detectors.rf.detector import Rf
from spikebridge_detectors.vibration.detector import Vibration
from spikebridge_detectors.windows import sums, surprise
from spikebridge_detectors.windows.bins import encode
from spikebridge_detectors.windows.encoder import encoder_of
from spikebridge_detectors.windows.model import About, learned_from, modelled
from spikebridge_detectors.windows.surprise import STEPS

if TYPE_CHECKING:
    from spikebridge_detectors.model.file import Model
    from spikebridge_detectors.windows.detector import Learned
    from spikebridge_detectors.windows.well import Scaled

CHANNELS = 2


def drawn(seed: int, count: int = 2000) -> Samples:
    """Return what a device draws: two channels that swing together."""
    luck = np.random.default_rng(seed)
    swing = np.sin(np.arange(count) / 30)
    values = np.stack((10 + swing, 5 - swing), axis=1) + luck.normal(0, 0.2, (count, CHANNELS))
    return Samples(np.arange(count), values, [])


def about(kind: str) -> About:
    """Return what a model says of itself."""
    return About(kind, f"{kind}-pump", 1, "", ("pump",), Training(data="drawn"))


@cache
def power() -> tuple[Learned, bytes]:
    """Return what was learned of power, and its file; no test changes it."""
    learned = Power().learn(drawn(1))
    return learned, modelled(learned, [0] * 3 * CHANNELS, about("power"))


def same(one: Learned, other: Learned) -> bool:
    """Say whether two have learned the same."""
    arrays = [(each.edges, each.habits.weights) for each in (one, other)]
    return all(map(np.array_equal, *arrays)) and one.thresholds == other.thresholds


def test_what_was_learned_of_power_comes_back() -> None:
    """Bit for bit, out of layers that pass their self-test; both outputs fire in it."""
    learned, data = power()
    model = opened(data)
    self_test(model)
    assert np.bitwise_count(model.expected).sum(axis=1).min() > 0
    assert [(output.name, output.neuron) for output in model.header.outputs] == [("alone", 63), ("together", 64)]
    found, _ = learned_from(model)
    assert same(found, learned)


@pytest.mark.parametrize(
    ("kind", "how", "neurons"), [("vibration", Vibration(length=32, every=8), [92, 93]), ("rf", Rf(length=64, every=8), [83, 84])]
)
def test_what_was_learned_with_a_scale_comes_back(kind: str, how: Scaled, neurons: list[int]) -> None:
    """With its scale and its windows."""
    well = how.learn([drawn(2).values])
    scale = {"scale_mean": tuple(well.scale.mean.tolist()), "scale_deviation": tuple(well.scale.deviation.tolist())}
    model = opened(modelled(well.windows, how.groups(CHANNELS), about(kind), length=how.length, every=how.every, **scale))
    self_test(model)
    found, settings = learned_from(model)
    assert same(found, well.windows)
    assert [output.neuron for output in model.header.outputs] == neurons
    assert settings.scale_mean == scale["scale_mean"]
    encoder = encoder_of(model)
    assert (encoder.kind, encoder.length, encoder.every, encoder.channels) == (kind, how.length, 8, CHANNELS)
    with pytest.raises(ModelError, match=f"{kind}-pump: expected mean and deviation of {CHANNELS} channels, found 1"):
        encoder_of(changed(model, scale_mean=[1.0], scale_deviation=[1.0]))
    with pytest.raises(ModelError, match="expected 1 <= every <= length <= 16384, found every 8, length 7"):
        encoder_of(changed(model, length=7))


def test_columns_that_are_no_whole_channels_are_refused() -> None:
    """Three channels of vibration have twelve, of which one and a half of a radio would be made."""
    how = Vibration(length=32, every=8)
    well = how.learn([drawn(2).values[:, [0, 1, 0]]])
    data = modelled(well.windows, how.groups(3), about("rf"), length=32, every=8, scale_mean=(0.0,), scale_deviation=(1.0,))
    with pytest.raises(ModelError, match="rf-pump: expected 8 columns for each of 1 to 2 channels, found 12"):
        encoder_of(opened(data))


def test_the_file_s_network_tells_the_windows_that_the_detector_tells() -> None:
    """An output fires in the steps of a window just where the quick form says that its neuron does."""
    learned, data = power()
    model, odd = opened(data), drawn(3, 300)
    odd.values[100:200] += 3.0
    lines = encode(learned.edges, measured(odd.values)[::20])
    told = sums.told(learned.thresholds, sums.counted(learned.habits.pairs, lines, surprise.surprises(learned.habits, lines)))
    raster = np.concatenate((surprise.spikes(learned.habits, lines), np.zeros((STEPS, 1, learned.habits.inputs), np.bool_)))
    fired = unpack(known(model, pack(raster)[0])[None])[:, 0]
    late = fired[2 : 2 + STEPS * len(lines)].reshape(len(lines), STEPS, 2).any(axis=1)
    assert told.any()
    assert not told.all()
    assert np.array_equal(late, told)


def changed(model: Model, **settings: Any) -> Model:
    """Return a model whose encoder has other settings."""
    encoder = msgspec.structs.replace(model.header.encoder, settings={**model.header.encoder.settings, **settings})
    return type(model)(
        header=msgspec.structs.replace(model.header, encoder=encoder),
        layers=model.layers,
        recorded=model.recorded,
        expected=model.expected,
        sizes={},
    )


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"edges": [[0.0] * 6] * 10}, "edges: expected 11 rising rows of 6 finite numbers"),
        ({"edges": [[float(-at)] * 6 for at in range(11)]}, "edges: expected 11 rising rows"),
        ({"groups": [0] * 5}, "edges: expected 11 rising rows of 5"),
        ({"groups": [0] * 65}, "length <= 64"),
        ({"spread": [0.0, 1.0]}, "spreads and deviations above 0"),
        ({"most": 3.0e9}, "thresholds: expected"),
        ({"most": 1.0e200, "spread": [1.0, 1.0e200]}, "thresholds: expected 0 to 131071 spikes, found .*inf"),
        ({"most": -3.0e9}, "thresholds: expected"),
        ({"most": 1.0}, "expected layers as they were learned"),
        ({"groups": [0, 0, 0, 0, 0, 1]}, "expected the lines and layers of windows"),
        ({"more": 1}, "unknown field"),
    ],
)
def test_settings_that_do_not_fit_the_layers_are_refused(settings: dict[str, Any], said: str) -> None:
    """A signed file may still be wrong: what is looked up is checked."""
    with pytest.raises(ModelError, match=said):
        learned_from(changed(opened(power()[1]), **settings))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"outputs.0.name": "other"}, "power-pump: expected the outputs 63 alone, 64 together"),
        ({"outputs.1.neuron": 7}, "power-pump: expected the outputs 63 alone, 64 together"),
        ({"classes": {"pump": {"alone": 9}}}, "which a model of power has none of, found some of pump"),
    ],
    ids=str,
)
def test_what_a_header_asks_for_in_vain_is_refused(change: dict[str, Any], said: str) -> None:
    """Sensing tells an alarm by its name, and knows no thresholds but the learned ones."""
    with pytest.raises(ModelError, match=said):
        learned_from(opened(retold(change, signed(split(power()[1]), KEY))))


def test_layers_that_see_other_lines_are_refused() -> None:
    """However many units they have."""
    model = opened(power()[1])
    narrow = replace(model.layers[0], weights=model.layers[0].weights[:, :9])
    with pytest.raises(ModelError, match="expected the lines and layers of windows"):
        learned_from(replace(model, layers=(narrow, *model.layers[1:])))


def test_more_channels_than_fit_a_file_are_refused() -> None:
    """With what is too large."""
    values = np.random.default_rng(1).normal(0, 1, (300, 5))
    learned = Power().learn(Samples(np.arange(300), values, []))
    with pytest.raises(ModelError, match="expected at most 65,536 bytes"):
        modelled(learned, [0] * 15, about("power"))
