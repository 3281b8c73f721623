"""Other frameworks: what is written for them is the same network, and what they write lands on the grid or is refused."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import nir
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.reference.models import header, layers, recorded, unsigned

from spikebridge_detectors.errors import ModelError
from spikebridge_detectors.lif import Layer, Reset
from spikebridge_detectors.model import nir_file
from spikebridge_detectors.model.exchange import compared, given_away, taken_over
from spikebridge_detectors.model.file import opened
from spikebridge_detectors.model.floating import Floating, floating, on_grid, run
from spikebridge_detectors.model.header import Training
from spikebridge_detectors.network import Network

if TYPE_CHECKING:
    from pathlib import Path

DT = 1e-4
TRAINING = Training(data="elsewhere")


def neurons(units: int, **other: Any) -> Any:
    """Return neurons as another framework may write them."""
    said = {"tau_syn": 2e-4, "tau_mem": 1e-3, "r": 10.0, "v_leak": 0.0, "v_threshold": 1.0, "v_reset": 0.0, "w_in": 2.0} | other
    return nir.CubaLIF(**{key: value * np.ones(units) for key, value in said.items()})


def chain(path: Path, *nodes: Any, edges: list[tuple[str, str]] | None = None) -> Path:
    """Write nodes behind one another."""
    named = {"in": nir.Input(input_type={"input": np.array([5])})} | {f"n{at}": node for at, node in enumerate(nodes)}
    named["out"] = nir.Output(output_type={"output": np.array([2])})
    nir.write(path, nir.NIRGraph(nodes=named, edges=edges or [*pairwise(named)], metadata={}, type_check=False))
    return path


WEIGHTS = np.random.default_rng(3).normal(0.2, 0.4, (2, 5))


def test_a_model_comes_back_as_it_went(tmp_path: Path) -> None:
    """Weights, leaks, threshold and biases; and a reader in floating point has its spikes."""
    model = opened(unsigned())
    nir_file.write(tmp_path / "pump.nir", given_away(model))
    found = nir_file.read(tmp_path / "pump.nir")

    assert compared(model, found) == (33, 0)
    again = opened(taken_over(found, model, version=4, training=TRAINING, bits=8))
    assert (again.header.version, again.header.training.data) == (4, "elsewhere")
    assert again.header.classes == {"pump": {}, "old-pump": {}}
    assert (again.expected == model.expected).all()
    for new, old in zip(again.layers, model.layers, strict=True):
        assert (new.weights * 2**new.exponent == old.weights * 2**old.exponent).all()
        assert (new.du, new.dv, new.vth) == (old.du, old.dv, old.vth)
        assert (new.bias == old.bias).all()


def test_a_network_of_floats_lands_on_the_grid(tmp_path: Path) -> None:
    """The largest weight has all bits, its threshold goes with it, and the spikes that differ are counted."""
    path = chain(tmp_path / "other.nir", nir.Linear(weight=WEIGHTS), neurons(2, v_threshold=1.5, v_leak=0.5))
    (found,) = nir_file.read(path)

    assert np.allclose(found.weights, WEIGHTS)
    assert (found.keep_u, found.keep_v, found.threshold) == pytest.approx((0.5, 0.9, 1.5))
    assert found.bias == pytest.approx(0.05)
    held = on_grid(found, 8)
    scale = held.vth / 1.5
    assert np.abs(held.weights * 2**held.exponent - WEIGHTS * scale).max() <= 1.01 * 2**held.exponent
    assert (held.du, held.dv) == (2047, 410)
    words = run([floating(held)], recorded())
    assert np.bitwise_count(words).sum() > 10
    assert np.bitwise_count(words ^ run([found], recorded())).sum() < 10


@given(st.integers(0, 1 << 20), st.floats(1e-6, 1e6), st.integers(2, 8))
def test_any_scale_is_the_same_network(seed: int, scale: float, bits: int) -> None:
    """Weights, biases and threshold in other units: what the hardware holds is the same."""
    luck = np.random.default_rng(seed)
    one = Floating(weights=luck.normal(0, 1, (3, 4)), keep_u=0.5, keep_v=0.9, threshold=2.0, bias=luck.normal(0, 0.1, 3))
    other = Floating(weights=one.weights * scale, keep_u=0.5, keep_v=0.9, threshold=2.0 * scale, bias=one.bias * scale)

    first, second = on_grid(one, bits), on_grid(other, bits)
    assert np.abs(first.weights.astype(int) - second.weights).max() <= 2 << 8 - bits
    assert abs(first.vth - second.vth) <= 1
    assert first.exponent == second.exponent


@given(st.integers(0, 1 << 20), st.sampled_from((0, 7, 400, 4095)), st.sampled_from((1, 1024, 4095)))
def test_floats_fire_as_integers_do(seed: int, du: int, dv: int) -> None:
    """But for truncation, which is less than a unit a step: where the threshold is far from what is reached."""
    luck = np.random.default_rng(seed)
    weights = (luck.integers(-2, 3, (2, 5)) * 64).astype(np.int16)
    layer = Layer(weights=weights, du=du, dv=dv, vth=95, bias=np.zeros(2, np.int32))
    words = luck.integers(0, 1 << 32, (5, 1), dtype=np.uint32)

    network = Network((layer,))
    differing = np.bitwise_count(network.run(network.zero(1), words[None])[0] ^ run([floating(layer)], words)).sum()
    assert differing <= (0 if du == dv == 4095 else 8)


@pytest.mark.parametrize(
    ("nodes", "reason"),
    [
        ((nir.Linear(weight=WEIGHTS), neurons(2, v_reset=0.5)), "n1: expected v_reset 0: hardware has no other"),
        (
            (nir.Affine(weight=WEIGHTS, bias=np.ones(2)), neurons(2)),
            "n0: expected no bias before CubaLIF, whose current would hold it",
        ),
        ((nir.Linear(weight=WEIGHTS), neurons(2, v_threshold=np.array([1, 2]))), "n1: v_threshold: expected one value for all"),
        ((nir.Linear(weight=WEIGHTS), neurons(2, tau_syn=np.array([1, 2]))), "n1: tau_syn: expected one value for all"),
        ((nir.Linear(weight=WEIGHTS), nir.Threshold(threshold=np.ones(2))), "n1: expected CubaLIF or LIF, found Threshold"),
        ((nir.Scale(scale=np.ones(5)), neurons(5)), "n0: expected Linear or Affine with a matrix, found Scale"),
        ((nir.Linear(weight=WEIGHTS), neurons(3)), "n1: expected 2 neurons, found (3,)"),
        ((nir.Linear(weight=WEIGHTS),), "expected one chain of nodes from Input to Output: synapses and neurons, by turns"),
        ((nir.Linear(weight=np.zeros((1025, 1))), neurons(1025)), "n0: expected at most 1024 units and inputs, found"),
        ((nir.Linear(weight=np.zeros((1024, 513))), neurons(1024)), "expected at most 524,288 weights"),
        ((nir.Linear(weight=WEIGHTS * np.nan), neurons(2)), "no NIR file that can be used: ValueError"),
    ],
    ids=lambda one: one if isinstance(one, str) else "",
)
def test_what_hardware_does_not_have_is_refused(tmp_path: Path, nodes: tuple[Any, ...], reason: str) -> None:
    """With the node's name."""
    with pytest.raises(ModelError) as caught:
        nir_file.read(chain(tmp_path / "other.nir", *nodes))
    assert str(caught.value).startswith(reason)


def test_neurons_without_a_current_are_read_too(tmp_path: Path) -> None:
    """Their bias reaches the voltage."""
    lif = nir.LIF(tau=np.full(2, 1e-3), r=np.full(2, 10.0), v_leak=np.zeros(2), v_threshold=np.ones(2), v_reset=np.zeros(2))
    (found,) = nir_file.read(chain(tmp_path / "other.nir", nir.Affine(weight=WEIGHTS, bias=np.array([0.25, 0.5])), lif))

    assert [found.keep_u, found.keep_v] == pytest.approx([0.0, 0.9])
    assert found.bias == pytest.approx([0.25, 0.5])
    assert np.allclose(found.weights, WEIGHTS)


def test_a_circle_is_no_chain(tmp_path: Path) -> None:
    """Nor is a graph that forks, or one in pieces."""
    for number, edges in enumerate(
        (
            [("in", "n0"), ("n0", "n1"), ("n1", "n0")],
            [("in", "n0"), ("in", "n1"), ("n1", "out")],
            [("in", "out"), ("n0", "n1"), ("n1", "n0")],
            [("in", "n0"), ("n0", "n1"), ("n1", "in")],
        )
    ):
        path = chain(tmp_path / f"{number}.nir", nir.Linear(weight=WEIGHTS), neurons(2), edges=edges)
        with pytest.raises(ModelError, match="expected one chain of nodes from Input to Output"):
            nir_file.read(path)


@pytest.mark.parametrize("data", [b"", b"\x89HDF\r\n\x1a\n" + bytes(500), b"rubbish"])
def test_rubbish_is_no_network(tmp_path: Path, data: bytes) -> None:
    """Whatever it does to the parser, it does it to another process."""
    path = tmp_path / "rubbish.nir"
    path.write_bytes(data)
    with pytest.raises(ModelError, match="no NIR file that can be used"):
        nir_file.read(path)
    with path.open("wb") as file:
        file.truncate(1 << 26)
    with pytest.raises(ModelError, match="expected at most 33,554,432 bytes, found 67,108,864"):
        nir_file.read(path)


def test_what_cannot_be_told_is_not_written(tmp_path: Path) -> None:
    """A voltage that never fades, a periodic reset."""
    first, second = layers()
    with pytest.raises(ModelError, match=r"layer 1: expected a voltage that fades \(dv above 0\)"):
        nir_file.write(tmp_path / "x.nir", [floating(Layer(weights=first.weights, du=1, dv=0, vth=1, bias=first.bias))])
    with pytest.raises(ModelError, match="expected neurons without a periodic reset"):
        floating(Layer(weights=second.weights, du=1, dv=1, vth=1, bias=second.bias, reset=Reset(3, 0)))


@pytest.mark.parametrize(
    "other",
    [{"threshold": 1e6}, {"threshold": 0.0}, {"threshold": np.nan}, {"keep_v": 1.1}, {"keep_u": -1.0}, {"bias": np.full(2, 1e9)},
     {"weights": np.zeros((2, 5))}],
    ids=str,
)  # fmt: skip
def test_what_hardware_cannot_hold_is_refused(other: dict[str, Any]) -> None:
    """Rather than bent until it fits."""
    said: dict[str, Any] = {"weights": WEIGHTS, "keep_u": 0.5, "keep_v": 0.9, "threshold": 1.0, "bias": np.zeros(2)}
    with pytest.raises(ModelError, match="expected "):
        on_grid(Floating(**said | other), 8)


def test_a_network_of_another_shape_takes_no_place() -> None:
    """Names and recorded spikes would be those of another."""
    model = opened(unsigned())
    with pytest.raises(ModelError, match="expected layers of 8x5, 2x8 units and inputs, as pump has, found 8x5"):
        taken_over(given_away(model)[:1], model, version=4, training=TRAINING, bits=8)
    assert header().version < 4
