"""Evidence of odd windows: samples and what is carried come back as they were, and both layers give what the look-up gave."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.detectors import odd_windows

from spikebridge_detectors.capture.series import Samples
from spikebridge_detectors.errors import ModelError
from spikebridge_detectors.evidence import MOST_STATE, Evidence, Said, read
from spikebridge_detectors.network import Network
from spikebridge_detectors.power import detector as power
from spikebridge_detectors.repeat import ran
from spikebridge_detectors.replay import replayed
from spikebridge_detectors.sense.judge import Judge, Odd
from spikebridge_detectors.shipped.pins import PINS, shipped
from spikebridge_detectors.vibration.encode import MOST_CHANNELS, MOVES, Moved, events
from spikebridge_detectors.windows import evidence as windows
from spikebridge_detectors.windows.again import parts
from spikebridge_detectors.windows.evidence import Start, beside, from_rows, pack, row, seen, to_rows, unpack
from spikebridge_detectors.windows.well import Scale

if TYPE_CHECKING:
    from pathlib import Path

    from spikebridge_detectors.model.file import Model

T = TypeVar("T")
MODELS = {kind: odd_windows.model(kind) for kind in ("power", "vibration", "rf")}


@pytest.fixture(params=MODELS)
def model(request: pytest.FixtureRequest) -> Model:
    """Return a model of each kind."""
    return MODELS[request.param]


def judged(model: Model, samples: Samples, pieces: list[int]) -> list[tuple[Odd, Evidence]]:
    """Return what is odd in samples that come in pieces, each with its evidence."""
    judge, found, first = Judge(model, "pump-1", ["volts", "amperes"]), [], 0
    for last in [*np.cumsum(pieces).tolist(), len(samples.time_ns)]:
        odd = judge.advance(Samples._make(column[first:last] for column in samples))
        made = judge.evidence(odd)
        found += [(one, read(made[one.end])) for one in odd]
        first = min(last, len(samples.time_ns))
    return found


@settings(deadline=None, max_examples=25)
@given(data=st.data())
def test_each_odd_window_follows_from_its_evidence_alone(data: st.DataObject) -> None:
    """However the samples came in pieces, with gaps in them and times that fall: the alarm that was, to the last bit, in both layers."""
    model = MODELS[data.draw(st.sampled_from(sorted(MODELS)))]
    first, count = data.draw(st.integers(0, 150)), data.draw(st.integers(1, 60))
    samples = odd_windows.odd_hum(data.draw(st.integers(0, 99)), 250, slice(first, first + count))
    for at in data.draw(st.lists(st.integers(0, 249), max_size=4)):
        samples.values[at, at % 2] = data.draw(st.sampled_from((np.nan, np.inf, 0.0)))
        samples.time_ns[at] = data.draw(st.integers(-(1 << 63), (1 << 63) - 1))
    with np.errstate(invalid="ignore"):
        found = judged(model, samples, data.draw(st.lists(st.integers(0, 90), max_size=6)))
    for odd, evidence in found[:: max(1, len(found) // 4)]:
        again = seen(evidence, model)
        assert again.alarms == [odd.alarm]
        assert (evidence.said.time_ns, evidence.said.kind, evidence.said.score) == (
            odd.alarm.time_ns,
            odd.alarm.kind,
            odd.alarm.score,
        )
        assert ran("NumPy", parts(again), Network.run).verdict == "same"


def test_alarms_are_those_of_the_detector_whatever_the_pieces(model: Model) -> None:
    """Evidence changes nothing of what is told."""
    samples = odd_windows.odd_hum(5, 600, slice(300, 380))
    whole, cut = judged(model, samples, []), judged(model, samples, [7, 1, 280, 30, 1, 1, 90])
    assert len(whole) > 3
    assert [(one.alarm, evidence) for one, evidence in whole] == [(one.alarm, evidence) for one, evidence in cut]


def test_a_threshold_that_is_otherwise_is_found_by_the_neurons(model: Model) -> None:
    """And so is a synapse: each layer is held to what the look-up says."""
    (_, evidence), *_ = judged(model, odd_windows.odd_hum(5, 400, slice(300, 380)), [])
    again = seen(evidence, model)
    made = parts(again)
    assert [part.name for part in made] == [layer.name for layer in model.header.layers]
    assert ran("NumPy", made, Network.run).verdict == "same"
    part = next(part for part in made if part.fired.any())
    other = part._replace(layer=replace(part.layer, vth=part.layer.vth // 2))
    assert list(ran("NumPy", [other], Network.run).differing) == [part.name]
    fires = int(np.flatnonzero(made[0].fired.any(axis=0))[0])
    weights = made[0].layer.weights.copy()
    weights[fires] = 0
    assert ran("NumPy", [made[0]._replace(layer=replace(made[0].layer, weights=weights))], Network.run).verdict == "differs"


numbers = st.floats(width=64)


@given(data=st.data(), channels=st.integers(1, MOST_CHANNELS), begun=st.booleans())
def test_what_is_carried_comes_back_as_it_was(data: st.DataObject, channels: int, begun: bool) -> None:
    """Bit for bit, any numbers in it, in at most 1,331 bytes; names are cut to 64 bytes and stay text."""
    moved = Moved()
    if begun:
        references = [np.array(data.draw(some(channels, st.integers(0, code.top))), np.int32) for code in MOVES]
        last, move = (np.array(data.draw(some(channels, numbers))) for _ in range(2))
        moved = Moved(list(references), last, move)
    names = tuple(data.draw(some(channels, st.text(max_size=90))))
    state = pack(Start(names, moved))
    again = unpack(state)
    assert len(state) <= 1331 < MOST_STATE
    assert pack(again) == state
    for name, held in zip(names, again.names, strict=True):
        assert name.encode(errors="replace").decode().startswith(held)
        assert len(held.encode()) >= min(61, len(name.encode(errors="replace")))
    values = np.array(data.draw(some(20 * channels, st.floats(-5, 5)))).reshape(20, channels)
    scale = Scale(np.zeros(channels), np.ones(channels))
    with np.errstate(invalid="ignore"):
        assert np.array_equal(events(scale, values, again.moved), events(scale, values, moved))


def some(count: int, each: st.SearchStrategy[T]) -> st.SearchStrategy[list[T]]:
    """Return lists of so many."""
    return st.lists(each, min_size=count, max_size=count)


STATE = pack(Start(("a",), Moved([np.array([16], np.int32), np.array([64], np.int32)], np.ones(1), np.ones(1))))


@pytest.mark.parametrize(
    ("state", "told"),
    [
        (b"", "format 1 of 1 to 16 channels, found nothing"),
        (b"\2\1\0\0", "found 020100"),
        (b"\1\0\0", "found 010000"),
        (b"\1\x11\0" + bytes(17), "found 011100"),
        (b"\1\1\2" + bytes(40), "found 010102"),
        (STATE[:10], "expected 21 bytes at least, found 10"),
        (STATE[:3] + b"\x11" + STATE[4:], r"references: expected at most \[16, 64\], found \[17, 64\]"),
        (STATE[:4] + b"\x41" + STATE[5:], r"found \[16, 65\]"),
        (STATE + b"x", "another form"),
        (STATE[:-1], "another form"),
        (STATE[:-1] + b"\xff", "names: "),
        (b"\1\1\0" + b"\x41" + b"a" * 65, "another form"),
    ],
)
def test_what_no_series_comes_to_is_refused(state: bytes, told: str) -> None:
    """With what was expected."""
    with pytest.raises(ModelError, match=told):
        unpack(state)


def test_rows_come_back_as_they_were_and_others_are_refused() -> None:
    """Any number, NaN too; part of a row and more than a file holds are none."""
    times, values = np.array([-5, 1 << 62]), np.array([[1.5, np.nan], [np.inf, -0.0]])
    again = from_rows(to_rows(times, values), 2)
    assert np.array_equal(again.time_ns, times)
    assert again.values.tobytes() == values.tobytes()
    for data in (bytes(23), bytes(24 * (windows.MOST_INPUT // 24 + 1))):
        with pytest.raises(ModelError, match="expected rows of 24 bytes"):
            from_rows(data, 2)


def test_evidence_that_is_not_the_models_is_refused(model: Model) -> None:
    """Of another detector, of other channels, of more or fewer samples, with what power and rf never carry."""
    (_, evidence), *_ = judged(model, odd_windows.odd_hum(5, 400, slice(300, 380)), [])
    other = MODELS["vibration" if model.header.encoder.name == "power" else "power"]
    with pytest.raises(ModelError, match="expected a model of"):
        seen(evidence, other)
    with pytest.raises(ModelError, match="of 2 channels carries"):
        seen(evidence._replace(state=pack(Start(("a",), Moved()))), model)
    size = row(2).itemsize
    for data in (b"", evidence.input[size:], evidence.input + evidence.input[:size]):
        with pytest.raises(ModelError, match="samples of one window, found"):
            seen(evidence._replace(input=data), model)
    if model.header.encoder.name != "vibration":
        moved = Moved([np.zeros(2, np.int32)] * 2, np.zeros(2), np.zeros(2))
        with pytest.raises(ModelError, match="of 2 channels carries"):
            seen(evidence._replace(state=pack(Start(("a", "b"), moved))), model)


def test_a_model_is_one_that_ships_or_lies_beside_the_evidence(model: Model, tmp_path: Path) -> None:
    """Known by its digest alone: another one in its place is refused."""
    kind = model.header.encoder.name
    (_, evidence), *_ = judged(model, odd_windows.odd_hum(5, 400, slice(300, 380)), [])
    with pytest.raises(ModelError, match=rf"beside the evidence as {model.digest[:16]}\.spike, found none"):
        replayed(evidence, tmp_path, lava=False)
    beside(tmp_path, model.digest).write_bytes(odd_windows.model_data(kind))
    found = replayed(evidence, tmp_path, lava=False)
    assert (found.verdict, found.of, found.count) == ("same", "sample", len(evidence.input) // row(2).itemsize)
    assert found.engines[0].spikes > 0
    beside(tmp_path, model.digest).write_bytes(shipped(f"{kind}.spike"))
    with pytest.raises(ModelError, match=f"expected a model of digest {model.digest[:16]}, found {PINS[f'{kind}.spike'][:16]}"):
        replayed(evidence, tmp_path, lava=False)
    named = windows.model_of(odd_said(evidence, PINS[f"{kind}.spike"]), tmp_path / "nowhere")
    assert named.header.name == kind


def odd_said(evidence: Evidence, digest: str) -> Said:
    """Return what evidence says, of another model."""
    facts = {name: getattr(evidence.said, name) for name in Said.__struct_fields__}
    return Said(**facts | {"model": digest})


def test_another_neuron_or_sample_differs(model: Model, tmp_path: Path) -> None:
    """What was recorded has to follow."""
    beside(tmp_path, model.digest).write_bytes(odd_windows.model_data(model.header.encoder.name))
    (odd, evidence), *_ = judged(model, odd_windows.odd_hum(5, 400, slice(300, 380)), [])
    facts = {name: getattr(evidence.said, name) for name in Said.__struct_fields__}
    wrong = evidence._replace(said=Said(**facts | {"neuron": 7}))
    assert replayed(wrong, tmp_path, lava=False).differences == [
        f"neuron: recorded 7, {odd.alarm.kind} of the model is {evidence.said.neuron}"
    ]
    calm = np.frombuffer(evidence.input, row(2)).copy()
    calm["values"] = odd_windows.hum(9, len(calm))
    found = replayed(evidence._replace(input=calm.tobytes()), tmp_path, lava=False)
    assert found.verdict == "differs"
    assert found.engines[0].verdict == "same"


def test_a_window_that_no_file_holds_has_no_evidence(model: Model) -> None:
    """It is told all the same."""
    judge = Judge(model, "pump-1", ["a", "b"])
    judge.fits = False
    odd = judge.advance(odd_windows.odd_hum(5, 400, slice(300, 380)))
    assert odd
    assert judge.evidence(odd) == {}


def test_the_columns_of_one_window_are_those_of_many() -> None:
    """Sums of floating-point numbers depend on the order of the samples in memory: it is always the same."""
    values = np.asfortranarray(hum := odd_windows.hum(3, 300))
    many = power.measured(values)
    assert np.array_equal(many, power.measured(hum))
    assert all(np.array_equal(many[at : at + 1], power.measured(values[at : at + power.WINDOW])) for at in range(281))
