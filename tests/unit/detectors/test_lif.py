"""The quick engine against the equations, for any parameters, any input and any cuts in time and devices."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.reference.layers import LAYERS, made
from tests.reference.lif import Reference

from spikebridge_detectors.errors import ModelError
from spikebridge_detectors.lif import Layer, State, advance, truncated
from spikebridge_detectors.network import BLOCK, Network
from spikebridge_detectors.raster import pack, unpack


@given(LAYERS, st.integers(0, 90), st.integers(0, 90))
def test_any_layer_does_what_the_equations_say(said: dict[str, Any], steps: int, cut: int) -> None:
    """Wrapping, saturating, resetting, with currents beyond float32's whole numbers, cut anywhere."""
    layer, luck = made(said)
    devices = 2
    spikes = luck.random((steps, devices, layer.inputs)) < said["rate"]
    state = State.zero(layer, devices)
    fired = np.concatenate([advance(layer, state, spikes[:cut]), advance(layer, state, spikes[cut:])])

    for device in range(devices):
        reference = Reference(layer)
        wanted = [reference.advance(step) for step in spikes[:, device]]
        assert (fired[:, device] == np.array(wanted).reshape(steps, layer.units)).all()
        assert (state.u[device] == reference.u).all()
        assert (state.v[device] == reference.v).all()
        assert (state.current[device] == reference.current).all()
    assert state.step == steps


@given(st.integers(0, 3), st.integers(1, 9), st.integers(0, 80), st.integers(0, 1 << 30))
def test_packing_loses_nothing(devices: int, units: int, steps: int, seed: int) -> None:
    """The last word is filled up with silence."""
    spikes = np.random.default_rng(seed).random((steps, devices, units)) < 0.5
    words = pack(spikes)
    assert words.shape == (devices, units, -(-steps // 32))
    again = unpack(words)
    assert (again[:steps] == spikes).all()
    assert not again[steps:].any()


def test_devices_beside_each_other_do_not_touch() -> None:
    """More than one block of them gives what each gives alone."""
    layer, luck = made(
        {"seed": 5, "units": 4, "inputs": 9, "exponent": 2, "du": 400, "dv": 200, "vth": 100, "bias": 1, "reset": None}
    )
    network = Network((layer,))
    words = luck.integers(0, 1 << 32, (BLOCK + 3, 9, 2), dtype=np.uint32)
    together = network.run(network.zero(BLOCK + 3), words)
    assert together.any()
    for device in (0, BLOCK - 1, BLOCK, BLOCK + 2):
        assert (together[device] == network.run(network.zero(1), words[device : device + 1])[0]).all()


@pytest.mark.parametrize(
    ("weights", "bits", "sign", "held"),
    [
        ([1, -1, 300, -300], 8, None, [0, -2, 254, -256]),
        ([1, 7, 300], 8, None, [1, 7, 255]),
        ([-1, -7, -300], 6, None, [0, -4, -252]),
        ([5, -5], 8, "excitatory", [5, 0]),
        ([0, 0], 2, None, [0, 0]),
    ],
)
def test_weights_are_clipped_and_floored_as_the_chip_does(weights: list[int], bits: int, sign: Any, held: list[int]) -> None:
    """Inhibitory ones by their magnitude, mixed ones to even numbers."""
    assert truncated(np.array([weights]), bits, sign).tolist() == [held]


def test_layers_that_do_not_fit_are_refused() -> None:
    """With the numbers that don't fit."""
    layer, _ = made({"seed": 5, "units": 4, "inputs": 9, "exponent": 0, "du": 0, "dv": 0, "vth": 1, "bias": 0, "reset": None})
    with pytest.raises(ModelError, match="layer 2: expected 4 inputs, as layer 1 has units, found 9"):
        Network((layer, layer))
    with pytest.raises(ModelError, match="expected one bias for each of 4 units, found 1"):
        Layer(weights=layer.weights, du=0, dv=0, vth=1, bias=np.zeros(1, np.int32))
    with pytest.raises(ModelError, match="expected spikes of 9 inputs, found 3"):
        Network((layer,)).run(Network((layer,)).zero(1), np.zeros((1, 3, 1), np.uint32))
    with pytest.raises(ModelError, match=r"expected states of \[\(2, 4\)\] devices and units, found \[\(1, 4\)\]"):
        Network((layer,)).run(Network((layer,)).zero(1), np.zeros((2, 9, 1), np.uint32))
