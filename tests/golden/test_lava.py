"""Lava's own fixed-point models, recorded once: the engines give the same spikes and end in the same state."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from tests.reference.lava import Vectors
from tests.reference.lif import Reference

from spikebridge_detectors.engine import Name, engine
from spikebridge_detectors.raster import pack, unpack

VECTORS = Vectors(Path(__file__).parent / "lava")


@pytest.mark.parametrize("name", get_args(Name))
@pytest.mark.parametrize("number", range(len(VECTORS.networks)))
def test_networks_give_lavas_spikes_and_end_in_its_state(number: int, name: Name) -> None:
    """On each engine, also for several devices at once, and with the time cut into pieces."""
    VECTORS.check_network(number, engine(name))


@pytest.mark.parametrize("number", range(0, len(VECTORS.networks), 8))
def test_the_equations_give_lavas_spikes(number: int) -> None:
    """The slow reference that other tests compare with is Lava's arithmetic too."""
    first, arrays, said = VECTORS.layer(number, 0), VECTORS.arrays, VECTORS.networks[number]["layers"][0]
    reference = Reference(first, said["u0"], said["v0"])
    spikes = unpack(arrays[f"{number:03}/input"][None])[:, 0]
    fired = np.array([reference.advance(step) for step in spikes])

    assert (pack(fired[:, None])[0] == arrays[f"{number:03}/layer0_output"]).all()
    assert (reference.u == arrays[f"{number:03}/layer0_final_u"]).all()
    assert (reference.v == arrays[f"{number:03}/layer0_final_v"]).all()


@pytest.mark.parametrize("number", range(len(VECTORS.learnt)))
def test_learning_ends_in_lavas_weights_and_traces(number: int) -> None:
    """Spike for spike on the way there, with its luck."""
    VECTORS.check_learning(number)
