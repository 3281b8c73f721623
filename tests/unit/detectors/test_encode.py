"""Encoders: what spikes say of a signal, and that no signal, however hostile, costs more spikes than was promised."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from spikebridge_detectors.encode import ENCODERS, encoder
from spikebridge_detectors.encode.bins import Bins
from spikebridge_detectors.encode.delta import Delta
from spikebridge_detectors.encode.latency import Latency
from spikebridge_detectors.encode.patterns import Patterns
from spikebridge_detectors.encode.rate import Rate
from spikebridge_detectors.encode.signal import MOST_CELLS
from spikebridge_detectors.errors import ModelError

SHAPES = array_shapes(min_dims=1, max_dims=2, min_side=0, max_side=40)
SIGNALS = arrays(np.float64, SHAPES, elements=st.floats() | st.floats(-3, 3) | st.sampled_from((0.0, 1.0)))
TIMES = arrays(np.int64, SHAPES, elements=st.integers(-(1 << 63), (1 << 63) - 1) | st.integers(0, 10_000))
OCTETS = arrays(np.uint8, SHAPES, elements=st.sampled_from((0x00, 0x41, 0xFF)))
FINITE = st.floats(-1e300, 1e300)
RANGES = st.tuples(FINITE, FINITE).filter(lambda ends: ends[1] - ends[0] > 1e-290)
FLIPPING = np.tile([0.0, 1.0], 500)


@given(SIGNALS, RANGES, st.integers(1, 70))
@example(FLIPPING, (0.0, 1.0), 8)
def test_a_rate_tells_a_value_to_within_half_a_spike(signal: Any, ends: tuple[float, float], steps: int) -> None:
    """Values beyond the range count as its ends, NaN has no spike, and no value has more than its steps."""
    low, high = ends
    rate = Rate(low=low, high=high, steps=steps)
    spikes = rate.spikes(signal)
    assert spikes.shape == (signal.shape[-1] * steps, *signal.shape[:-1], 1)
    inside = np.clip(np.where(np.isnan(signal), low, signal), low, high)
    room = (high / 2 - low / 2) / steps * (1 + 1e-6) + np.spacing(max(abs(low), abs(high))) * 4
    assert (np.abs(rate.values(spikes) - inside) <= room).all()


def test_spikes_of_a_rate_are_spread_evenly() -> None:
    """Between two spikes there are as many steps as between any others, give or take one."""
    spikes = Rate(low=0, high=1, steps=32).spikes(np.array([10 / 32]))
    apart = np.diff(np.flatnonzero(spikes[:, 0]))
    assert spikes.sum() == 10
    assert set(apart.tolist()) == {3, 4}


@given(TIMES, st.integers(1, 10**12), st.integers(2, 40))
def test_an_arrival_has_one_spike_that_tells_its_gap(times: Any, step_ns: int, steps: int) -> None:
    """Half a step off at most; where the clock fell or stood the gap is 0, and only the first arrival of all has no spike."""
    latency = Latency(step_ns=step_ns, steps=steps)
    spikes, _ = latency.spikes(times)
    assert spikes.shape == (times.shape[-1] * steps, *times.shape[:-1], 1)
    told = latency.values(spikes)
    assert np.isnan(told[..., :1]).all()
    for device, row in zip(np.atleast_2d(told), np.atleast_2d(times).tolist(), strict=True):
        for at in range(1, len(row)):
            gap = max(row[at] - row[at - 1], 0)
            if gap < (steps - 1) * step_ns:
                assert abs(device[at] - gap) <= step_ns / 2
            else:
                assert device[at] == (steps - 1) * step_ns


@given(SIGNALS, RANGES, st.integers(1, 5000), st.integers(0, 40))
@example(FLIPPING, (0.0, 1.0), 1, 3)
@example(FLIPPING, (0.0, 1.0), 1000, 0)
def test_a_signal_is_followed_to_within_a_step(signal: Any, ends: tuple[float, float], parts: int, cut: int) -> None:
    """The reference is that of a plain loop, wherever the signal is cut, and a sample has at most a spike for each digit."""
    low, high = ends
    delta = Delta(step=high / parts - low / parts, low=low, high=high)
    first, reference = delta.spikes(signal[..., :cut])
    second, last = delta.spikes(signal[..., cut:], reference)
    spikes = np.concatenate((first, second))
    assert spikes.shape == (signal.shape[-1], *signal.shape[:-1], delta.lines)
    assert spikes.sum(axis=-1).max(initial=0) <= delta.bits
    values, ended = plain(delta, np.atleast_2d(signal))
    assert last is not None
    assert np.array_equal(np.atleast_1d(last), ended)
    room = np.spacing(max(abs(low), abs(high))) * 4
    assert np.allclose(delta.values(spikes), values.reshape(signal.shape), rtol=1e-12, atol=room)
    inside = np.clip(signal, low, high)
    off = np.abs(delta.values(spikes) - inside)[~np.isnan(signal)]
    assert (off <= delta.step * (1 + 1e-9) + room).all()


def plain(delta: Delta, signal: Any) -> tuple[Any, Any]:
    """Follow each device sample by sample."""
    reference = np.zeros(len(signal), np.int64)
    values = np.empty(signal.shape)
    for at, sample in enumerate(signal.T):
        for device, value in enumerate(sample):
            if not math.isnan(value):
                here = min((min(max(value, delta.low), delta.high) - delta.low) / delta.step, delta.top)
                if here >= reference[device] + 1:
                    reference[device] = math.floor(here)
                elif here <= reference[device] - 1:
                    reference[device] = math.ceil(here)
        values[:, at] = delta.low + delta.step * reference
    return values, reference


@given(st.floats(0.001, 0.999), st.floats(2, 90), arrays(np.bool_, 300))
def test_what_flips_by_less_than_a_step_is_told_of_once(height: float, base: float, up: Any) -> None:
    """A signal on a point of the lattice that flips within the step above it, at every sample or not, moves the reference once."""
    spikes, _ = Delta(step=1, low=0, high=100).spikes(math.floor(base) + height * up)
    assert np.flatnonzero(spikes.any(axis=-1)).tolist() == [0]


def test_flipping_between_two_points_costs_a_spike_a_sample() -> None:
    """Zero to one and back at every sample, the step being one: no more than one spike each, up and down by turns."""
    spikes, _ = Delta(step=1, low=0, high=15).spikes(FLIPPING)
    assert spikes.sum(axis=1).max() == 1
    assert spikes.sum() == FLIPPING.size - 1
    assert spikes[:, 0].sum() == 500
    assert spikes[:, 4].sum() == 499


@given(SIGNALS, st.floats(1e-300, 1e300), st.floats(1.001, 1e6), st.integers(3, 40))
@example(FLIPPING, 1e-3, 1e3, 12)
def test_a_bin_tells_a_value_to_within_half_its_ratio(signal: Any, low: float, ratio: float, count: int) -> None:
    """One spike a value; the ends tell only on which side it lies, and NaN has none."""
    bins = Bins(low=low, high=low * ratio, count=count)
    spikes = bins.spikes(signal)
    assert spikes.shape == (signal.shape[-1], *signal.shape[:-1], count)
    assert np.array_equal(np.moveaxis(spikes.sum(axis=-1), 0, -1), ~np.isnan(signal))
    told = bins.values(spikes)
    assert np.array_equal(np.isnan(told), np.isnan(signal))
    inside = (signal >= bins.low) & (signal < bins.high)
    off = np.abs(np.log(told[inside] / signal[inside]))
    assert (off <= math.log(bins.high / bins.low) / (count - 2) / 2 * (1 + 1e-9) + 1e-12).all()
    assert (told[signal < bins.low] == bins.low).all()
    assert (told[signal >= bins.high] == bins.high).all()


@given(OCTETS, st.integers(0, 40))
def test_a_pattern_fires_where_it_ends_wherever_the_bytes_are_cut(octets: Any, cut: int) -> None:
    """As a search of each position says, overlaps too; spikes tell the bytes of the pattern back."""
    patterns = Patterns(patterns=("0xFF 0xFF 0x41", "FF FF", "ff 00 ff 00 ff"))
    first, tail = patterns.spikes(octets[..., :cut])
    second, _ = patterns.spikes(octets[..., cut:], tail)
    spikes = np.concatenate((first, second))
    assert spikes.shape == (octets.shape[-1], *octets.shape[:-1], 3)
    for device, row in enumerate(np.atleast_2d(octets)):
        sent = row.tobytes()
        for line, pattern in enumerate(patterns.octets):
            ends = [at for at in range(len(sent)) if sent[: at + 1].endswith(pattern)]
            fired = spikes[:, device, line] if octets.ndim == 2 else spikes[:, line]
            assert np.flatnonzero(fired).tolist() == ends
    told = patterns.values(spikes)
    assert (told[told >= 0] == octets[told >= 0]).all()


def test_the_example_of_three_bytes_fires_once() -> None:
    """0xFF 0xFF 0x41 in a longer run of 0xFF."""
    sent = np.frombuffer(bytes.fromhex("00 FF FF FF 41 FF 41"), np.uint8)
    spikes, _ = Patterns(patterns=("0xFF 0xFF 0x41",)).spikes(sent)
    assert np.flatnonzero(spikes).tolist() == [4]


def test_times_are_carried_from_call_to_call() -> None:
    """Also over calls without an arrival, with clocks that fall and times that repeat."""
    latency = Latency(step_ns=10, steps=5)
    times = np.array([[5, 25, 25, 3, 90], [7, 8, 9, 10, 11]])
    whole, _ = latency.spikes(times)
    nothing, state = latency.spikes(times[:, :0])
    pieces = [nothing]
    for cut in ((0, 1), (1, 1), (1, 4), (4, 5)):
        spikes, state = latency.spikes(times[:, slice(*cut)], state)
        pieces.append(spikes)
    assert np.array_equal(np.concatenate(pieces), whole)
    assert np.array_equal(latency.values(whole)[0, 1:], [25, 5, 5, 40])


def test_a_model_names_its_encoder_and_settings() -> None:
    """Each by its name, and what doesn't fit is refused with the place."""
    assert encoder("delta", {"step": 1, "low": 0, "high": 7}).lines == 6
    assert set(ENCODERS) == {"rate", "latency", "delta", "bins", "patterns", "gaps"}
    with pytest.raises(ModelError, match=r'encoder: expected one of rate, .* found "morse"'):
        encoder("morse", {})
    with pytest.raises(ModelError, match=r"encoder rate: .*steps"):
        encoder("rate", {"low": 0, "high": 1, "steps": "many"})
    with pytest.raises(ModelError, match=r"encoder rate: .*pace"):
        encoder("rate", {"low": 0, "high": 1, "steps": 8, "pace": 1})


def test_the_manual_tells_of_each_encoder_and_its_settings() -> None:
    """In its table."""
    page = (Path(__file__).parents[3] / "connector/manual/models.md").read_text("utf-8")
    table = page.partition("## Encoders")[2].partition("## ")[0]
    rows = {row.split("|")[1].strip(): row.split("|")[2] for row in table.splitlines() if row.startswith("| `")}
    assert set(rows) == {f"`{name}`" for name in ENCODERS}
    for name, kind in ENCODERS.items():
        assert all(f"`{field}`" in rows[f"`{name}`"] for field in kind.__struct_fields__)


@pytest.mark.parametrize(
    ("name", "settings", "place"),
    [
        ("rate", {"low": 0, "high": 1, "steps": 0}, "rate: steps"),
        ("rate", {"low": 0, "high": 1, "steps": 4097}, "rate: steps"),
        ("rate", {"low": 1, "high": 1, "steps": 8}, "rate: high"),
        ("rate", {"low": math.nan, "high": 1, "steps": 8}, "rate: high"),
        ("rate", {"low": -1e308, "high": 1e308, "steps": 8}, "rate: high"),
        ("latency", {"step_ns": 0, "steps": 8}, "latency: step_ns"),
        ("latency", {"step_ns": 1, "steps": 1}, "latency: steps"),
        ("delta", {"step": 0, "low": 0, "high": 1}, "delta: step"),
        ("delta", {"step": math.inf, "low": 0, "high": 1}, "delta: step"),
        ("delta", {"step": 1, "low": 0, "high": math.inf}, "delta: high"),
        ("delta", {"step": 1e-9, "low": 0, "high": 1}, "delta: step"),
        ("delta", {"step": 5e-324, "low": 0, "high": 1}, "delta: step"),
        ("bins", {"low": 0, "high": 1, "count": 8}, "bins: low"),
        ("bins", {"low": 2, "high": 1, "count": 8}, "bins: high"),
        ("bins", {"low": 1, "high": 1.0000000000000002, "count": 8}, "bins: high"),
        ("bins", {"low": 1, "high": 2, "count": 2}, "bins: count"),
        ("bins", {"low": 1, "high": 2, "count": 1 << 40}, "bins: count"),
        ("gaps", {"low": 0, "high": 1, "count": 8}, "bins: low"),
        ("gaps", {"low": 1, "high": 2, "count": 103}, "gaps: count: expected 3 to 102"),
        ("patterns", {"patterns": []}, "patterns: expected 1"),
        ("patterns", {"patterns": ["FF", ""]}, "patterns: 1"),
        ("patterns", {"patterns": ["FF F"]}, "patterns: 0"),
        ("patterns", {"patterns": ["FF " * 65]}, "patterns: 0"),
    ],
)
def test_settings_that_fit_nothing_are_refused(name: str, settings: dict[str, Any], place: str) -> None:
    """With their place."""
    with pytest.raises(ModelError, match=place):
        encoder(name, settings)


def test_too_much_at_once_is_refused_before_room_is_made_for_it() -> None:
    """A signal of no size in memory that would become more spikes than are allowed."""
    signal = np.broadcast_to(np.float64(0), (MOST_CELLS // 32 + 1,))
    for one in (Rate(low=0, high=1, steps=32), Delta(step=1, low=0, high=1), Bins(low=1, high=2, count=32)):
        with pytest.raises(ModelError, match="at once"):
            one.spikes(signal)
    with pytest.raises(ModelError, match="axes"):
        Rate(low=0, high=1, steps=1).spikes(np.zeros((1, 1, 1)))


def test_a_reference_of_others_is_refused() -> None:
    """One that isn't on the lattice, or isn't one for each device; so are spikes of another number of lines."""
    delta = Delta(step=1, low=0, high=3)
    with pytest.raises(ModelError, match="reference: expected 0 to 3"):
        delta.spikes(np.zeros(5), np.array(4))
    with pytest.raises(ModelError, match=r"reference: expected the shape \(2,\)"):
        delta.spikes(np.zeros((2, 5)), np.array(1))
    with pytest.raises(ModelError, match="last_ns"):
        Latency(step_ns=1, steps=2).spikes(np.zeros((2, 5), np.int64), np.array([1]))
    with pytest.raises(ModelError, match="4 lines"):
        delta.values(np.zeros((5, 3), np.bool_))
    with pytest.raises(ModelError, match="windows of 4"):
        Rate(low=0, high=1, steps=4).values(np.zeros((5, 1), np.bool_))
