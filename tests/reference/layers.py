"""Layers of any kind, for tests of whatever runs them."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from spikebridge_detectors.lif import Layer, Reset, truncated

LAYERS = st.fixed_dictionaries(
    {
        "seed": st.integers(0, 1 << 30),
        "units": st.integers(1, 6),
        "inputs": st.integers(1, 70),
        "exponent": st.integers(-8, 16),
        "du": st.sampled_from((0, 1, 7, 400, 2048, 4095)),
        "dv": st.sampled_from((0, 1, 7, 1024, 4095, 4096)),
        "vth": st.sampled_from((0, 1, 100, 20_000, 131_071)),
        "bias": st.sampled_from((0, 1, 500, 524_160)),
        "reset": st.none() | st.builds(Reset, st.integers(1, 40), st.integers(0, 50)),
        "rate": st.sampled_from((0.02, 0.5, 1.0)),
    }
)


def made(said: dict[str, Any]) -> tuple[Layer, np.random.Generator]:
    """Draw a layer's weights and biases."""
    luck = np.random.default_rng(said["seed"])
    weights = truncated(luck.integers(-300, 300, (said["units"], said["inputs"])), int(luck.integers(2, 9)))
    bias = luck.integers(-said["bias"], said["bias"] + 1, said["units"]).astype(np.int32)
    rest = {name: said[name] for name in ("exponent", "du", "dv", "vth", "reset")}
    return Layer(weights=weights, bias=bias, **rest), luck
