"""Model files: what is written is read again, and nothing else is ever run."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from importlib import import_module
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.reference.models import KEY, STRANGER, TRUST, header, layers, recorded, retold, unsigned, whole

from spikebridge_detectors.errors import ModelError
from spikebridge_detectors.lif import Layer
from spikebridge_detectors.model.container import MOST_BYTES, joined, read, save, split
from spikebridge_detectors.model.file import Model, load, opened, written
from spikebridge_detectors.model.header import Encoder, Window, header_schema
from spikebridge_detectors.model.header import Layer as Said
from spikebridge_detectors.model.keys import PINNED, Trust, key_id, signed
from spikebridge_detectors.raster import pack

FILE = whole()
CONTENT = len(split(FILE).content)


def refused(data: bytes, trust: Trust = TRUST, **more: Any) -> str:
    """Return why a file isn't run."""
    with pytest.raises(ModelError) as caught:
        load(data, trust, **more)
    return str(caught.value)


def test_what_is_written_is_read_again() -> None:
    """Header, weights, biases and recorded spikes; the rest is what the network did."""
    model = load(FILE, TRUST)

    assert model.signer == key_id(KEY.public_key()).hex()
    assert model.header == header(layers=model.header.layers, test_words=2)
    assert [layer.sparse for layer in model.header.layers] == [False, True]
    for held, given_layer in zip(model.layers, layers(), strict=True):
        assert (held.weights == given_layer.weights).all()
        assert (held.bias == given_layer.bias).all()
        assert (held.exponent, held.du, held.dv, held.vth) == (
            given_layer.exponent,
            given_layer.du,
            given_layer.dv,
            given_layer.vth,
        )
    assert (model.recorded == recorded()).all()
    assert model.expected.any()
    assert sum(model.sizes.values()) == len(FILE)
    assert model.header.runs_in_service


def test_a_device_class_may_have_thresholds_of_its_own() -> None:
    """A class that the model doesn't name isn't served."""
    model = load(FILE, TRUST)

    assert [layer.vth for layer in model.for_class("pump")] == [900, 300]
    assert [layer.vth for layer in model.for_class("old-pump")] == [900, 400]
    with pytest.raises(ModelError, match='pump: expected a class of old-pump, pump, found "fan"'):
        model.for_class("fan")


def test_only_what_a_trusted_key_signed_is_run() -> None:
    """Each refusal says which of them it is."""
    stranger = key_id(STRANGER.public_key()).hex()[:16]
    known = key_id(KEY.public_key()).hex()[:16]
    altered = bytearray(FILE)
    altered[CONTENT - 1] ^= 1

    assert refused(unsigned()).startswith("unsigned: expected a signature by a trusted key")
    assert refused(signed(split(FILE), STRANGER)) == (
        f"signed by a key that is not trusted: expected one of {known}, found {stranger}"
    )
    assert refused(bytes(altered)) == f"altered: it is not what key {known} signed"


def test_a_model_that_is_pinned_needs_no_key() -> None:
    """Its digest is that of what would be signed, whoever signs."""
    data = unsigned()
    pinned = Trust(pins=frozenset({opened(data).digest}))

    assert load(data, pinned).signer == PINNED
    assert load(signed(split(data), STRANGER), pinned).signer == PINNED
    assert refused(unsigned(version=4), pinned).startswith("unsigned")


def test_a_signature_is_verified_before_anything_is_read() -> None:
    """A header that is no JSON is never told of, unless somebody whom we trust signed it."""
    rubbish = joined(b"[" * 9000, b"")

    assert refused(rubbish).startswith("unsigned")
    assert refused(rubbish + FILE[CONTENT:]).startswith("altered")
    assert refused(signed(split(rubbish), KEY)).startswith("header: ")


def test_a_model_is_never_replaced_by_an_older_one() -> None:
    """Nor by another one that calls itself by the same number; the same one again, or one of another name, may come."""
    now = load(FILE, TRUST)

    assert load(whole(version=4), TRUST, replaces=now).header.version == 4
    assert load(FILE, TRUST, replaces=now).digest == now.digest
    assert load(whole(version=1, name="fan"), TRUST, replaces=now).header.name == "fan"
    assert refused(whole(version=2), replaces=now) == "pump: expected a version above 3, which it replaces, found 2: an older one"
    assert refused(whole(about="other"), replaces=now) == (
        "pump: expected a version above 3, which it replaces, found 3: another one of the same version"
    )


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"layers.0.du": 4096}, "header: Expected `int` <= 4095 - at `$.layers[0].du`"),
        ({"layers.0.dv": -1}, "header: Expected `int` >= 0 - at `$.layers[0].dv`"),
        ({"layers.0.dv": 4096}, "header: Expected `int` <= 4095 - at `$.layers[0].dv`"),
        ({"layers.1.vth": 1 << 17}, "header: Expected `int` <= 131071 - at `$.layers[1].vth`"),
        ({"layers.1.exponent": 8}, "header: Expected `int` <= 7 - at `$.layers[1].exponent`"),
        ({"layers.1.bits": 9}, "header: Expected `int` <= 8 - at `$.layers[1].bits`"),
        ({"layers.1.bias_exponent": 8}, "header: Expected `int` <= 7 - at `$.layers[1].bias_exponent`"),
        ({"layers.1.sign": "loud"}, "header: Invalid enum value 'loud' - at `$.layers[1].sign`"),
        ({"layers.1.step_ns": 999}, "header: Expected `int` >= 1000 - at `$.layers[1].step_ns`"),
        ({"layers.1.units": 1025}, "header: Expected `int` <= 1024 - at `$.layers[1].units`"),
        ({"test_words": 129}, "header: Expected `int` <= 128 - at `$.test_words`"),
        ({"version": 0}, "header: Expected `int` >= 1 - at `$.version`"),
        ({"name": "pump\n"}, "header: Expected `str` matching regex"),
        ({"pickle": "x"}, "header: Object contains unknown field `pickle`"),
        ({"classes.old-pump": {"outt": 1}}, 'header: class old-pump: expected thresholds of layers, found "outt"'),
        ({"layers.0.sources": ["hiden"]}, 'header: layer hidden: sources: expected "inputs", a line or a layer, found "hiden"'),
        ({"layers.1.name": "inputs"}, 'header: inputs and layers: expected each name once, found "inputs" 2 times'),
        ({"inputs.1": "band-0"}, 'header: inputs and layers: expected each name once, found "band-0" 2 times'),
        ({"layers.1.name": "band-1"}, 'header: inputs and layers: expected each name once, found "band-1" 2 times'),
        ({"outputs.0.unit": 2}, "header: output smooth: expected a unit below 2, found 2"),
        ({"outputs.0.neuron": 0x10000}, "header: Expected `int` <= 65535 - at `$.outputs[0].neuron`"),
        ({"outputs.0.neuron": 91}, "header: outputs: expected each neuron once, found 91 2 times"),
        ({"outputs.0.layer": "in"}, 'header: output smooth: expected a layer, found "in"'),
        ({"window": {"steps": 32, "flush": 1}}, "header: window: expected 2 flush steps or more, one for each layer, found 1"),
        (
            {"layers.0.reset": {"interval": 4, "offset": 4}},
            "header: layer hidden: reset: expected an offset below the interval 4, found 4",
        ),
        ({"layers.0.units": 1024}, "layer hidden: arrays: expected 5,120 bytes from 0 on, found"),
        ({"test_words": 3}, "arrays: expected 60 bytes from"),
        ({"test_words": 1}, "arrays: expected"),
        ({"layers.0.exponent": 7}, "layer hidden: expected weights that sum up to -32,768 to 32,767 in a unit, shifted, found"),
        ({"layers.0.vth": 890}, "self-test: expected the"),
        ({"layers.1.vth": 100_000}, "self-test: expected the"),
        ({"outputs.0.layer": "hidden"}, "expected outputs in layer out alone: this network needs its detector"),
        (
            {"layers.1.step_ns": 10**9},
            "layer out: expected spikes of hidden alone, on its clock: this network needs its detector",
        ),
    ],
    ids=str,
)
def test_what_does_not_fit_is_refused_with_the_reason(change: dict[str, Any], reason: str) -> None:
    """Also of those whom we trust: hardware has these ranges, and a network that differs from its recording isn't the one that was made."""
    assert refused(retold(change, FILE)).startswith(reason)


def test_all_that_does_not_fit_is_told_at_once() -> None:
    """One line each."""
    said = refused(retold({"outputs.0.unit": 2, "inputs.1": "band-0"}, FILE)).splitlines()

    assert [line.partition(":")[0] for line in said] == ["header", "header"]


def test_a_header_has_one_text_only() -> None:
    """White space, another order, a key that is left out or stands twice: none of them has a second meaning to hide."""
    envelope = split(FILE)
    text = envelope.header
    for other in (
        text.replace(b'","', b'", "', 1),
        text.replace(b'"version":3', b'"version":2,"version":3'),
        text.replace(b'"about":"Finds a pump that no longer sounds like one.",', b""),
        text.replace(b'"step":0.25', b'"step":0.250'),
    ):
        assert other != text
        assert "expected canonical JSON" in refused(signed(split(joined(other, envelope.arrays)), KEY))


def test_biases_have_thirteen_bits() -> None:
    """Times a power of two: what they don't hold is refused when it is written, and when it is read."""
    first, second = layers()
    for bias in (-4097, 4096, 16_385, 1 << 20):
        with pytest.raises(ModelError, match="layer hidden: expected biases of 13 bits times one power of two up to 128"):
            Said.of(replace(first, bias=np.full(8, bias | 1, np.int32)), "hidden")
    assert Said.of(replace(second, bias=np.array([-4096, 4095], np.int32)), "out").bias_exponent == 0
    assert Said.of(replace(second, bias=np.array([-4096 * 128, 0], np.int32)), "out").bias_exponent == 7

    envelope = split(FILE)
    arrays = bytearray(envelope.arrays)
    arrays[40:42] = (4096).to_bytes(2, "little")
    assert refused(signed(split(joined(envelope.header, bytes(arrays))), KEY)) == (
        "layer hidden: expected biases of 13 bits, -4096 to 4095, found 4096"
    )


def test_nothing_is_written_that_could_not_be_read() -> None:
    """A layer that the header tells otherwise, weights between the grid, silence as a self-test, too many bytes."""
    first, second = layers()
    with pytest.raises(ModelError, match="layer hidden: vth: expected 901, as the layer has, found 900"):
        written(header(), (replace(first, vth=901), second), recorded())
    with pytest.raises(ModelError, match="layer out: weight of unit 0, input 0: expected one that mixed synapses of 4 bits"):
        written(header(), (first, replace(second, weights=np.ones((2, 8), np.int16))), recorded())
    with pytest.raises(ModelError, match="self-test: expected spikes in the recorded input and in the outputs, found silence"):
        written(header(), (first, second), np.zeros((5, 2), np.uint32))
    with pytest.raises(ModelError, match="hold its weights and biases"):
        written(header(), (replace(first, bias=first.bias + 1), second), recorded())
    wide = Layer(weights=np.ones((1024, 1000), np.int16), du=0, dv=0, vth=1, bias=np.zeros(1024, np.int32))
    with pytest.raises(ModelError, match=r"expected at most 65,536 bytes with the signature, found 1,\d+,\d+: .* prune"):
        written(
            header(layers=(Said.of(wide, "hidden"), *header().layers[1:]), inputs=tuple(f"i{at}" for at in range(1000))),
            (wide, second),
            np.ones((1000, 1), np.uint32),
        )


@pytest.mark.parametrize("wrong", [float("nan"), np.int64(3), {1: (2, float("inf"))}], ids=str)
def test_settings_are_what_json_can_hold(wrong: Any) -> None:
    """NaN would come back as null."""
    with pytest.raises(ModelError, match="encoder: settings: expected what JSON can hold, found: "):
        unsigned(encoder=Encoder(name="delta", settings={"step": wrong}))


def test_a_network_of_another_shape_is_run_by_its_detector() -> None:
    """Whoever knows it hands over how it is run; the self-test is the same."""

    def by_hand(model: Model, words: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        return words[: len(model.header.outputs)] ^ np.uint32(1)

    first, second = header().layers
    for other in (
        msgspec.structs.replace(second, step_ns=10**9),
        msgspec.structs.replace(second, sources=("out", "band-3", "inputs")),
    ):
        data = signed(split(written(header(layers=(first, other)), layers(), recorded(), by_hand)), KEY)

        assert (load(data, TRUST, run=by_hand).expected == recorded()[:2] ^ 1).all()
        assert refused(data).startswith("layer out: expected spikes of hidden alone, on its clock")


@pytest.mark.parametrize("memory_s", [0, 301])
def test_what_remembers_longer_does_not_run_in_the_service(memory_s: int) -> None:
    """The model may still run at the edge."""
    assert not load(whole(memory_s=memory_s, window=Window(steps=32, flush=2)), TRUST).header.runs_in_service


def test_no_length_of_a_file_but_its_own_is_taken() -> None:
    """Without its signature it is unsigned, all else is truncated."""
    for length in range(len(FILE)):
        reason = refused(FILE[:length])
        assert reason.startswith("unsigned") if length == CONTENT else "truncated" in reason
        if length != CONTENT:
            with pytest.raises(ModelError, match="truncated"):
                opened(FILE[:length])
    assert refused(FILE + b"\n").endswith("something was added")


def test_no_flipped_bit_is_taken() -> None:
    """Wherever it is."""
    for at in range(len(FILE)):
        for bit in range(8):
            flipped = bytearray(FILE)
            flipped[at] ^= 1 << bit
            refused(bytes(flipped))


@pytest.mark.fuzz
@given(st.binary(max_size=300) | st.binary(max_size=300).map(lambda end: FILE[:20] + end))
def test_any_bytes_are_refused(data: bytes) -> None:
    """By those who verify, and by those who only look."""
    refused(data)
    with pytest.raises(ModelError):
        opened(data)


@pytest.mark.fuzz
@given(st.lists(st.tuples(st.integers(0, CONTENT - 1), st.binary(min_size=1, max_size=9)), min_size=1, max_size=5))
def test_who_only_looks_sees_a_model_or_a_reason(changes: list[tuple[int, bytes]]) -> None:
    """What nobody verified is in range all the same, or refused."""
    data = bytearray(FILE[:CONTENT])
    for at, piece in changes:
        data[at : at + len(piece)] = piece
    try:
        model = opened(bytes(data[:CONTENT]))
    except ModelError:
        return
    assert model.sizes["header"] + sum(model.sizes[f"layer {one.name}"] for one in model.header.layers) < CONTENT


@pytest.mark.fuzz
@given(st.dictionaries(st.sampled_from(("units", "bits", "sparse", "sources", "exponent", "sign")), st.integers(), max_size=3))
def test_any_header_that_is_signed_is_refused_or_run(changes: dict[str, Any]) -> None:
    """A key in the wrong hands makes models, but nothing else."""
    choices = {
        "units": range(1, 1025), "bits": range(1, 9), "sparse": (True, False), "exponent": range(-8, 8),
        "sign": ("mixed", "excitatory", "inhibitory"), "sources": (["inputs"], ["hidden"], ["out"] * 64, ["band-1", "out"]),
    }  # fmt: skip
    told = {f"layers.1.{key}": choices[key][number % len(choices[key])] for key, number in changes.items()}
    data = retold(told, FILE)
    try:
        model = load(data, TRUST)
    except ModelError:
        return
    assert model.digest == split(data).digest


def test_refusing_a_greedy_header_takes_no_memory() -> None:
    """It asks for 16 layers of 1,024 units that each see 17,408 inputs: 285 million weights, and gets none."""
    said = msgspec.structs.replace(header().layers[0], units=1024)
    names = [f"l{at}" for at in range(16)]
    greedy = tuple(msgspec.structs.replace(said, name=name, sources=("inputs", *names), sparse=True) for name in names)
    told = msgspec.to_builtins(header(layers=greedy, outputs=(), classes={"pump": {}}))
    told["outputs"] = [{"name": "a", "neuron": 0, "layer": "l0", "unit": 0}]
    data = signed(split(joined(msgspec.json.encode(told, order="sorted"), bytes(30_000))), KEY)

    tracemalloc.start()
    reason = refused(data)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert reason == "layer l0: arrays: expected 2,097,792 bytes from 0 on, found 30,000"
    assert peak < 1 << 20


def test_a_file_is_read_no_further_than_it_may_be_long(tmp_path: Any) -> None:
    """And written whole or not at all."""
    path = tmp_path / "pump.spike"
    path.write_bytes(bytes(3 * MOST_BYTES))
    assert len(read(path)) == MOST_BYTES + 1
    assert refused(read(path)) == "expected at most 65,536 bytes, found more: no model"

    save(path, FILE)
    assert read(path) == FILE
    assert [one.name for one in tmp_path.iterdir()] == ["pump.spike"]
    with pytest.raises(FileNotFoundError):
        save(tmp_path / "absent" / "pump.spike", FILE)


def test_the_recorded_spikes_are_words() -> None:
    """As every raster is: bit t of a word is its step t."""
    spikes = np.zeros((64, 1, 5), np.bool_)
    spikes[::2, 0, :] = True

    assert (opened(written(header(), layers(), pack(spikes)[0])).recorded == 0x5555_5555).all()


def test_the_schema_takes_the_header_of_a_file() -> None:
    """And none of which a key is left out."""
    validator = import_module("jsonschema").Draft202012Validator(header_schema())
    told = msgspec.json.decode(split(FILE).header)

    assert validator.is_valid(told)
    assert [key for key in told if validator.is_valid({other: told[other] for other in told.keys() - {key}})] == []
