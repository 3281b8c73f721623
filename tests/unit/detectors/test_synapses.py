"""Weights: on the grid of the hardware, pruned before they get there, and packed without a bit too many."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from spikebridge_detectors.errors import ModelError
from spikebridge_detectors.lif import truncated
from spikebridge_detectors.model.synapses import pack, pruned, rounded, sign_of, unpack

SIGNS = st.sampled_from(("excitatory", "inhibitory", "mixed"))
BITS = st.integers(1, 8)
SHAPES = array_shapes(min_dims=2, max_dims=2, max_side=12)
WEIGHTS = arrays(np.float64, SHAPES, elements=st.floats(-300, 300))


class Taken:
    """Hands bytes over, and says how many."""

    def __init__(self, data: bytes) -> None:
        """Begin at the first."""
        self.data = data
        self.at = 0

    def __call__(self, count: int) -> bytes:
        """Hand over so many."""
        self.at += count
        return self.data[self.at - count : self.at]


@given(WEIGHTS, BITS, SIGNS)
def test_what_was_rounded_the_chip_leaves_alone(weights: Any, bits: int, sign: Any) -> None:
    """And inside of the range it is at most half a step away."""
    held = rounded(weights, bits, sign)
    step = 1 << 8 - bits + (sign == "mixed")
    lowest, highest = {"mixed": (-256, 256 - step), "excitatory": (0, 256 - step), "inhibitory": (step - 256, 0)}[sign]

    assert (truncated(held, bits, sign) == held).all()
    assert (np.abs(held - weights.clip(lowest, highest)) <= step / 2).all()


def test_rounding_takes_away_the_drift_of_flooring() -> None:
    """Every odd mixed weight would go down by one."""
    weights = np.arange(-100, 100)[None]

    assert truncated(weights, 8, "mixed").mean() - weights.mean() == -0.5
    assert abs(float(rounded(weights + 0.25, 8, "mixed").mean() - (weights + 0.25).mean())) < 0.3
    assert rounded(np.array([[255.0, 300.0, -255.0, -300.0]]), 8, "mixed").tolist() == [[254, 254, -254, -256]]


@given(WEIGHTS, st.floats(0, 1), BITS, SIGNS | st.none())
def test_pruning_keeps_the_largest_on_the_grid_of_the_whole(weights: Any, keep: float, bits: int, sign: Any) -> None:
    """What falls away is 0, not the step below 0; the others are rounded as they were without pruning."""
    held = pruned(weights, keep, bits, sign)
    whole = rounded(weights, bits, sign or sign_of(weights))

    assert np.count_nonzero(held) <= int(weights.size * keep)
    assert ((held == 0) | (held == whole)).all()
    assert np.abs(weights[held != 0]).min(initial=np.inf) >= np.abs(weights[(held == 0) & (whole != 0)]).max(initial=0)


@pytest.mark.parametrize("keep", [-0.1, 1.1, float("nan")])
def test_a_share_to_keep_is_a_share(keep: float) -> None:
    """Nothing is guessed of another number."""
    with pytest.raises(ModelError, match="expected a share of 0 to 1 to keep"):
        pruned(np.ones((1, 1)), keep)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_weights_are_numbers(wrong: float) -> None:
    """A training that failed ends here."""
    with pytest.raises(ModelError, match="expected finite weights"):
        rounded(np.array([[1.0, wrong]]))


@given(WEIGHTS, BITS, SIGNS, st.booleans())
def test_packing_loses_nothing(weights: Any, bits: int, sign: Any, sparse: bool) -> None:
    """And takes no more bits than it says."""
    held = rounded(weights, bits, sign)
    data = pack(held, bits, sign, sparse=sparse)
    taken = Taken(data)
    nonzero = np.count_nonzero(held)

    again = unpack(taken, held.shape, bits, sign, sparse=sparse)

    assert again.dtype == np.int16
    assert (again == held).all()
    assert len(data) == taken.at
    assert len(data) == (-(-held.size // 8) + -(-nonzero * bits // 8) if sparse else -(-held.size * bits // 8))


def test_a_packed_form_is_the_only_one() -> None:
    """No bits behind the last weight, no zero among those that aren't 0."""
    with pytest.raises(ModelError, match="expected zeros behind the last weight"):
        unpack(Taken(b"\x80"), (1, 2), 3, "mixed", sparse=False)
    with pytest.raises(ModelError, match="expected sparse weights without zeros"):
        unpack(Taken(b"\x03\x08"), (1, 2), 3, "mixed", sparse=True)


def test_weights_off_the_grid_are_not_packed() -> None:
    """They would come back as others."""
    with pytest.raises(ModelError, match=r"weight of unit 1, input 0: expected one that mixed synapses of 8 bits hold, found -3"):
        pack(np.array([[2, 4], [-3, 0]], np.int16), 8, "mixed", sparse=False)
