"""The compiled engine against the equations and against NumPy, and what is said where it is missing."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.reference.layers import LAYERS, made
from tests.reference.lif import Reference

from spikebridge_detectors.engine import engine
from spikebridge_detectors.errors import ModelError
from spikebridge_detectors.lif import Layer
from spikebridge_detectors.network import Network
from spikebridge_detectors.raster import pack, unpack

COMPILED = engine().run


@settings(deadline=None)  # the first example compiles
@given(LAYERS, st.integers(0, 3), st.integers(0, 3))
def test_any_layer_does_compiled_what_the_equations_say(said: dict[str, Any], count: int, cut: int) -> None:
    """Wrapping, saturating, resetting, with currents beyond float32's whole numbers, cut between any words."""
    layer, luck = made(said)
    network, devices = Network((layer,)), 2
    spikes = luck.random((32 * count, devices, layer.inputs)) < said["rate"]
    words, [state] = pack(spikes), network.zero(devices)
    fired = unpack(np.concatenate([COMPILED(network, [state], part) for part in (words[:, :, :cut], words[:, :, cut:])], axis=2))

    for device in range(devices):
        reference = Reference(layer)
        wanted = [reference.advance(step) for step in spikes[:, device]]
        assert (fired[:, device] == np.array(wanted).reshape(32 * count, layer.units)).all()
        assert (state.u[device] == reference.u).all()
        assert (state.v[device] == reference.v).all()
        assert (state.current[device] == reference.current).all()
    assert state.step == 32 * count


def test_both_engines_leave_the_same_bytes() -> None:
    """Through two layers, -0.0 and all: a state's digest is the same whoever ran it."""
    luck = np.random.default_rng(3)
    layers = (
        Layer(weights=luck.integers(-200, 200, (7, 9)).astype(np.int16), du=400, dv=90, vth=300, bias=np.full(7, -3, np.int32)),
        Layer(weights=luck.integers(-90, 200, (4, 7)).astype(np.int16), du=4095, dv=1, vth=9, bias=np.zeros(4, np.int32)),
    )
    network = Network(layers)
    words = luck.integers(0, 1 << 32, (300, 9, 2), dtype=np.uint32)
    states = {name: network.zero(300) for name in ("numpy", "compiled")}
    outputs = [engine(name).run(network, states[name], words) for name in ("numpy", "compiled")]

    assert (outputs[0] == outputs[1]).all()
    assert outputs[0].any()
    for one, other in zip(states["numpy"], states["compiled"], strict=True):
        assert [held.tobytes() for held in (one.current, one.u, one.v)] == [
            held.tobytes() for held in (other.current, other.u, other.v)
        ]
        assert one.step == other.step


def test_sums_beyond_32_bits_stay_whole() -> None:
    """The widest weights on so many inputs that 32 bits overflow."""
    inputs = 66_000
    layer = Layer(
        weights=np.full((1, inputs), 32_767, np.int16), exponent=-16, du=4095, dv=4095, vth=1 << 16, bias=np.zeros(1, np.int32)
    )
    network, words = Network((layer,)), np.full((1, inputs, 1), 1, np.uint32)
    states = {name: network.zero(1) for name in ("numpy", "compiled")}

    for name in ("numpy", "compiled"):
        assert engine(name).run(network, states[name], words).tolist() == [[[0]]]
    assert states["compiled"][0].u.tolist() == states["numpy"][0].u.tolist()


def test_states_of_other_devices_are_refused_before_anything_runs() -> None:
    """Compiled code would write beside them."""
    layer, _ = made({"seed": 5, "units": 4, "inputs": 9, "exponent": 0, "du": 0, "dv": 0, "vth": 1, "bias": 0, "reset": None})
    network = Network((layer,))
    with pytest.raises(ModelError, match=r"expected states of \[\(2, 4\)\] devices and units, found \[\(1, 4\)\]"):
        COMPILED(network, network.zero(1), np.zeros((2, 9, 1), np.uint32))


def test_without_numba_numpy_runs_and_says_so() -> None:
    """With the command that installs it; and whoever asks for NumPy gets it."""
    program = "import sys; sys.modules['numba'] = None; from spikebridge_detectors.engine import engine; print(engine().name, engine().said)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)

    assert done.stdout.startswith("numpy networks run with NumPy, about four times as slow")
    assert "pip install 'spikebridge[compiled]'" in done.stdout
    assert engine("numpy").name == "numpy"
    assert engine().name == "compiled"
