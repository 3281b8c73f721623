"""What a device learns, and the layer that is surprised by the rest."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spikebridge_detectors.errors import ModelError
from spikebridge_detectors.lif import State, advance
from spikebridge_detectors.timing.habits import strengthen
from spikebridge_detectors.timing.learning import FADES
from spikebridge_detectors.timing.marks import BINS, OTHER_PAIR, PAIRS, Lines
from spikebridge_detectors.timing.surprise import Habits, layer, spikes, surprises


@given(
    seen=st.lists(st.tuples(st.integers(0, 2) | st.just(OTHER_PAIR), st.integers(0, BINS - 1)), max_size=300),
    fades=st.sampled_from(FADES),
)
def test_synapses_fade_and_grow_at_spikes_of_their_pair(seen: list[tuple[int, int]], fades: int) -> None:
    """The rule as it is written down, step by step; the line of all other pairs learns nothing."""
    weights = np.zeros((PAIRS, BINS), np.int64)
    count = np.zeros(PAIRS, np.int64)
    for pair, line in seen:
        count[pair] += 1
        if count[pair] % fades == 0:
            weights[pair] = np.maximum(weights[pair] - 1, 0)
        for grown, at in ((16, line - 1), (64, line), (16, line + 1)):
            if 0 <= at < BINS:
                weights[pair, at] = min(255, weights[pair, at] + grown)
    weights[OTHER_PAIR] = 0
    pairs, lines = np.array([pair for pair, _ in seen], np.int64), np.array([line for _, line in seen], np.int64)
    assert np.array_equal(strengthen(pairs, lines, fades), weights)


@settings(max_examples=40)
@given(seed=st.integers(0, 1 << 30), expected=st.integers(0, 128))
def test_the_look_up_gives_the_spikes_of_the_layer(seed: int, expected: int) -> None:
    """For any weights, and any lines one after another: nothing of a step is left in the next."""
    luck = np.random.default_rng(seed)
    gap, own = luck.integers(0, 128, (2, PAIRS, BINS)) * 2
    gap[luck.random((PAIRS, BINS)) < 0.3] = expected & ~1
    habits = Habits(gap, own, expected)
    count = 400
    lines = Lines(
        luck.integers(0, PAIRS, count), luck.integers(0, BINS, count), luck.integers(0, BINS, count), np.zeros(count, bool)
    )
    made = layer(habits)
    raster = np.concatenate((spikes(lines), np.zeros((1, 1, made.inputs), np.bool_)))
    fired = advance(made, State.zero(made, 1), raster)[1:, 0]
    gaps, owns = surprises(habits, lines)
    assert np.array_equal(fired.any(axis=1), gaps | owns)
    assert np.array_equal(np.flatnonzero(fired[:, :BINS].any(axis=1)), np.flatnonzero(gaps))
    assert np.array_equal(fired[owns].argmax(axis=1) >= BINS, ~gaps[owns])
    assert fired.sum() == gaps.sum() + owns.sum()


@pytest.mark.parametrize(
    ("gap", "expected", "message"),
    [
        (np.zeros((PAIRS, BINS + 1), np.int64), 0, "gap: expected weights of 40 pairs and 12 bins"),
        (np.full((PAIRS, BINS), 256), 0, "gap: expected even weights from 0 to 254"),
        (np.full((PAIRS, BINS), 3), 0, "gap: expected even weights from 0 to 254"),
        (np.zeros((PAIRS, BINS), np.int64), 129, "expected: expected 0 to 128, found 129"),
    ],
)
def test_what_synapses_cannot_hold_is_refused(gap: np.ndarray, expected: int, message: str) -> None:
    """The message says what and what was expected."""
    with pytest.raises(ModelError, match=message):
        Habits(gap, np.zeros((PAIRS, BINS), np.int64), expected)
