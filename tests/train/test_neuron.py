"""The neuron that gradients go through, beside ours: also where its current wraps and its voltage saturates."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest

from spikebridge_detectors.lif import UNIT, WRAP, Layer, State, advance, truncated
from spikebridge_detectors.train.gradients.process import CHILD

pytestmark = [pytest.mark.train, pytest.mark.timeout(3_600)]

STEPS, DEVICES = 200, 3


def layer(luck: np.random.Generator) -> Layer:
    """Return any layer that a child could have learned, and more: leaks and thresholds at their ends too."""
    inputs, units = (int(luck.integers(1, 40)) for _ in range(2))
    end = luck.integers(0, 3, 3)
    return Layer(
        weights=truncated(luck.integers(-256, 256, (units, inputs)) + luck.choice([0, 200]), sign="mixed"),
        du=int([0, 4095, luck.integers(0, 4096)][end[0]]),
        dv=int([0, 4095, luck.integers(0, 4096)][end[1]]),
        vth=int([1, (1 << 17) - 1, luck.integers(1, 9000)][end[2]]),
        bias=luck.integers(-4095, 4096, units).astype(np.int32) * 8,
    )


def test_any_layer_has_the_same_spikes_in_both(python: Path, tmp_path: Path) -> None:
    """Sixty layers by luck, of which some wrap and some saturate: none of their spikes differs."""
    luck = np.random.default_rng(11)
    layers = [layer(luck) for _ in range(60)]
    shown = [luck.random((STEPS, DEVICES, one.inputs)) < luck.choice([0.05, 0.4, 0.95]) for one in layers]
    given = {"count": np.array(len(layers))}
    for number, (one, spikes) in enumerate(zip(layers, shown, strict=True)):
        given |= {f"{number} {name}": np.array(getattr(one, name)) for name in ("weights", "bias", "du", "dv", "vth")}
        given[f"{number} spikes"] = spikes
    np.savez(tmp_path / "given.npz", **given)  # type: ignore[arg-type]
    command = [str(python), "-I", str(Path(__file__).with_name("neuron.py")), str(CHILD)]
    done = subprocess.run(
        [*command, str(tmp_path / "given.npz"), str(tmp_path / "out.npz")], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr

    saturated = wrapped = fired = 0
    with np.load(tmp_path / "out.npz", allow_pickle=False) as theirs:
        for number, (one, spikes) in enumerate(zip(layers, shown, strict=True)):
            state = State.zero(one, DEVICES)
            ours = advance(one, state, spikes)
            assert np.array_equal(theirs[f"{number}"], ours), one
            fired += int(ours.sum())
            saturated += bool((np.abs(state.v) == WRAP - 1).any())
            wrapped += bool(
                (np.abs(spikes[:-1] @ one.weights.T.astype(np.int64)).cumsum(0).max() * UNIT > 4 * WRAP) and one.du == 0
            )
    assert fired > 10_000
    assert saturated > 1
    assert wrapped > 1
