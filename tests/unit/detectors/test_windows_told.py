"""Odd windows in words: the columns that surprised, what they usually are, and what seldom goes together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from tests.unit.detectors import odd_windows

from spikebridge_detectors.capture.series import Samples
from spikebridge_detectors.evidence import Evidence, Said
from spikebridge_detectors.vibration.encode import Moved
from spikebridge_detectors.windows.evidence import Seen, Start, pack, seen, to_rows
from spikebridge_detectors.windows.told import described, picture, sentence, told

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from spikebridge_detectors.model.file import Model

POWER = odd_windows.model("power")


def window(model: Model, values: NDArray[np.float64], names: tuple[str, ...] = ("volts", "")) -> Seen:
    """Return one window through a model."""
    said = Said(device="pump-1", detector="power", model=model.digest, neuron=63, kind="alone", time_ns=0, score=1.0)
    return seen(Evidence(said, pack(Start(names, Moved())), to_rows(np.arange(len(values)), values)), model)


def test_a_column_beyond_all_that_was_learned_is_the_oddest() -> None:
    """With the median and the middle 98% of it; what fills the neuron sums up to what it counted."""
    values = odd_windows.hum(4, 20)
    values[:, 1] += 90.0
    again = window(POWER, values)
    said = told(again, again.alarms[0])
    assert said.held == sum(one.counted for one in said.surprises) > said.threshold
    oddest = said.surprises[0]
    edges = again.encoder.learned.edges
    assert (oddest.column.name, oddest.column.far, oddest.given) == ("channel 2 mean", True, None)
    assert (oddest.column.low, oddest.column.usual, oddest.column.high) == (edges[1, 3], edges[5, 3], edges[9, 3])
    assert oddest.column.value == pytest.approx(values[:, 1].mean())
    text = sentence(said, "pump-1")
    assert text.startswith(f"pump-1: {said.held:,} spikes in a window, where {said.threshold:,} are the most, ")
    assert f"the oddest: channel 2 mean {oddest.column.value:.4g}, far beyond a learned " in text


def test_what_seldom_goes_together_is_named_with_how_often_it_did() -> None:
    """Two columns once, not once each way; the share of windows in which it was so, as the weights hold it, is near the one that was taught."""
    luck = np.random.default_rng(3)
    taught = np.repeat(luck.choice([0.0, 10.0], 400), 20)[:, None] + luck.normal(0, 0.1, (8000, 2))
    model = odd_windows.taught_power(Samples(np.arange(8000), taught, [""] * 8000))
    values = np.array([0.0, 10.0]) + luck.normal(0, 0.1, (20, 2))
    again = window(model, values, ("volts", "amperes"))
    (alarm,) = again.alarms
    assert alarm.kind == "together"
    said = told(again, alarm)
    assert said.held == sum(one.counted for one in said.surprises)
    names = [(one.column.name, one.given.name) for one in said.surprises if one.given]
    assert len({frozenset(both) for both in names}) == len(names) == len(said.surprises)
    means = said.surprises[[set(both) for both in names].index({"volts mean", "amperes mean"})]
    assert means.share < 0.02
    assert means.counted == said.surprises[0].counted
    assert " while " in described(means)
    assert "of such windows" in described(means)


def test_its_raster_names_columns_and_neurons() -> None:
    """Names of channels are escaped, since whoever made the file named them."""
    values = odd_windows.hum(4, 20) + 90.0
    again = window(POWER, values, ("<volts>", "b"))
    drawn = picture(again, told(again, again.alarms[0]), "pump-1")
    assert drawn.startswith("<svg")
    assert "&lt;volts&gt; mean in 12 of 12" in drawn
    assert "2: alone" in drawn
