"""Windows of a series: what is learned of them, and both layers against their neurons."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spikebridge_detectors.errors import ModelError
from spikebridge_detectors.lif import State, advance
from spikebridge_detectors.windows import detector, sums
from spikebridge_detectors.windows.bins import BINS, encode, learn_edges
from spikebridge_detectors.windows.habits import ALWAYS, PASSES, pairs, strengthen
from spikebridge_detectors.windows.surprise import STEPS, Habits, layer, spikes, surprises

GROUPS = [0, 0, 1]


def related(count: int, seed: int = 1) -> np.ndarray:
    """Return windows of two columns, of which the second follows the first."""
    first = np.random.default_rng(seed).normal(size=count)
    return np.stack([first, 2 * first], axis=1)


def test_each_column_stands_alone_and_beside_the_others_of_its_group() -> None:
    """Those that stand alone come first."""
    made = pairs(GROUPS)
    assert made.given.tolist() == [ALWAYS, ALWAYS, ALWAYS, 0, 1]
    assert made.column.tolist() == [0, 1, 2, 1, 0]
    assert made.alone == 3


@given(st.lists(st.tuples(st.integers(0, BINS - 1), st.integers(0, BINS - 1)), max_size=40))
def test_synapses_fade_and_grow_at_each_spike_of_their_context(seen: list[tuple[int, int]]) -> None:
    """The rule as it is written down, for one pair, step by step."""
    lines = np.array(seen, np.int64).reshape(-1, 2)
    weights = [[0] * BINS for _ in range(BINS)]
    for context, line in seen * PASSES:
        grown = max(1, round(2 ** ((2040 - weights[context][line]) / 256)))
        weights[context] = [max(0, w - 1) for w in weights[context]]
        weights[context][line] = min(2040, weights[context][line] + grown)
    made = pairs([0, 0])
    assert np.array_equal(strengthen(made, lines)[2], np.minimum(np.array(weights) // 8, 254) & ~1)


def test_weights_are_logarithms_of_how_often_a_line_goes_with_its_context() -> None:
    """Always stops at 236, where fading and growth are both 1; each half as often is 32 less."""
    for often, weight, near in ((1, 236, 0), (8, 255 - 3 * 32, 6), (32, 255 - 5 * 32, 8)):
        lines = (np.arange(4000).reshape(-1, 1) % often == 0).astype(np.int64)
        assert strengthen(pairs([0]), lines)[0, 0, 1] == pytest.approx(weight, abs=near)


@settings(max_examples=20)
@given(seed=st.integers(0, 1 << 30))
def test_the_look_ups_give_the_spikes_of_both_layers(seed: int) -> None:
    """For any weights and thresholds, windows one after another: nothing of one is left in the next."""
    luck = np.random.default_rng(seed)
    made = pairs(GROUPS)
    habits = Habits(made, luck.integers(0, 128, (len(made.given), BINS, BINS)) * 2)
    lines = luck.integers(0, BINS, (12, len(GROUPS)))
    counts = surprises(habits, lines)
    thresholds = sums.Thresholds((float(luck.integers(0, 30)), float(luck.integers(0, 20))), (1.0, 1.0), 1.0)

    first, raster = layer(habits), spikes(habits, lines)
    more = np.zeros((2, 1, first.inputs), np.bool_)
    fired = advance(first, State.zero(first, 1), np.concatenate((raster, more)))
    held = fired[1 : 1 + len(raster), 0].reshape(len(lines), STEPS, len(made.given), BINS).sum(axis=1)
    assert np.array_equal(held.sum(axis=2), counts)
    assert (np.count_nonzero(held, axis=2) <= 1).all()

    for neuron, second in enumerate(sums.layers(thresholds, made)):
        out = advance(second, State.zero(second, 1), fired)[2:, 0, 0].reshape(len(lines), STEPS)
        assert np.array_equal(out.any(axis=1), sums.told(thresholds, sums.counted(made, lines, counts))[:, neuron])


def test_what_no_window_had_is_told_and_so_is_what_never_went_together() -> None:
    """A value out of range is odd alone; two that are usual and don't fit are odd together."""
    learned = detector.learn(related(2000), [0, 0])
    times = np.arange(2)
    odd = np.array([[9.0, 18.0], [1.0, -2.0]])
    assert [alarm.time_ns for alarm in detector.scan(learned, odd, times)] == [0, 1]
    assert detector.scan(learned, odd, times)[1].kind == "together"
    assert len(detector.scan(learned, related(2000, seed=2), np.arange(2000))) < 60


def test_learning_is_the_same_each_time() -> None:
    """Bit for bit."""
    one, other = (detector.learn(related(300), [0, 0]) for _ in range(2))
    assert np.array_equal(one.habits.weights, other.habits.weights)
    assert one.thresholds == other.thresholds


def test_no_number_is_too_odd_to_be_judged() -> None:
    """NaN and infinities lie in the lines at the ends."""
    edges = learn_edges(related(200))
    assert encode(edges, np.array([[np.nan, np.inf], [-np.inf, 0.0]])).tolist() == [
        [11, 11],
        [0, encode(edges, np.zeros((1, 2)))[0, 1]],
    ]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.zeros((99, 2)), "expected 100 to 131072 windows, found 99: give more recordings or longer ones"),
        (np.full((100, 2), np.nan), "expected finite numbers"),
        (np.zeros((100, 65)), "expected windows of 1 to 64 columns"),
    ],
)
def test_what_cannot_be_learned_is_refused(values: np.ndarray, message: str) -> None:
    """The message says what was expected."""
    with pytest.raises(ModelError, match=message):
        detector.learn(values, [0] * values.shape[1])


@pytest.mark.parametrize(
    "weights", [np.zeros((1, BINS, BINS + 1), np.int64), np.full((1, BINS, BINS), 3), np.full((1, BINS, BINS), 256)]
)
def test_what_synapses_cannot_hold_is_refused(weights: np.ndarray) -> None:
    """Weights are even, from 0 to 254, one for each two lines."""
    with pytest.raises(ModelError, match="weights: expected"):
        Habits(pairs([0]), weights)


def test_windows_of_other_columns_are_refused() -> None:
    """As many as were learned."""
    with pytest.raises(ModelError, match="expected windows of 2 columns"):
        detector.scores(detector.learn(related(200), [0, 0]), np.zeros((3, 3)))
