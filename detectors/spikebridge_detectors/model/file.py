"""A model as a whole: from its parts to a file, and back once it is known who signed it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from spikebridge_detectors import lif
from spikebridge_detectors.errors import ModelError
from spikebridge_detectors.model import synapses
from spikebridge_detectors.model.container import joined, split
from spikebridge_detectors.model.header import INPUTS, MANTISSAS, Header, Layer, decoded, encoded
from spikebridge_detectors.network import Network
from spikebridge_detectors.timing import runner as timing
from spikebridge_detectors.windows import runner as windows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from spikebridge_detectors.model.container import Envelope
    from spikebridge_detectors.model.keys import Trust

_CURRENTS = range(-(1 << 15), 1 << 15)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Model:
    """What a file holds: `recorded` are packed spikes as [line, word], `expected` what the outputs answer, as [output, word]."""

    header: Header
    layers: tuple[lif.Layer, ...]
    recorded: NDArray[np.uint32]
    expected: NDArray[np.uint32]
    digest: str = ""
    signer: str = ""
    sizes: dict[str, int]

    def for_class(self, device_class: str) -> tuple[lif.Layer, ...]:
        """Return the layers with the thresholds of a device class."""
        if device_class not in self.header.classes:
            raise ModelError(f'{self.header.name}: expected a class of {", ".join(self.header.classes)}, found "{device_class}"')
        own = self.header.classes[device_class]
        return tuple(
            replace(layer, vth=own.get(said.name, layer.vth)) for said, layer in zip(self.header.layers, self.layers, strict=True)
        )


Run = Callable[[Model, "NDArray[np.uint32]"], "NDArray[np.uint32]"]
"""Runs a model from zero over [line, word] and returns [output, word]."""


def chained(model: Model, words: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Run layers that stand behind one another on one clock, the outputs in the last; other networks have a detector that knows how."""
    said = model.header.layers
    before = [INPUTS, *(one.name for one in said[:-1])]
    for name, layer in zip(before, said, strict=True):
        if layer.sources != (name,) or layer.step_ns != said[0].step_ns:
            raise ModelError(
                f"layer {layer.name}: expected spikes of {name} alone, on its clock: this network needs its detector"
            )
    if any(output.layer != said[-1].name for output in model.header.outputs):
        raise ModelError(f"expected outputs in layer {said[-1].name} alone: this network needs its detector")
    network = Network(model.layers)
    fired: NDArray[np.uint32] = network.run(network.zero(1), words[None])[0]
    return fired.take([output.unit for output in model.header.outputs], axis=0)


RUNNERS: dict[str, Run] = {"timing": timing.run, "power": windows.run, "vibration": windows.run, "rf": windows.run}
"""How networks are run that aren't layers behind one another on one clock, by the name of their encoder."""


def known(model: Model, words: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Run any network that ships a way to be run."""
    return RUNNERS.get(model.header.encoder.name, chained)(model, words)


def written(header: Header, layers: Sequence[lif.Layer], recorded: NDArray[np.uint32], run: Run = known) -> bytes:
    """
    Return an unsigned file; what the model does with the recorded spikes, [line, word], is from then on what it must do.

    Of the two forms of weights the shorter one is stored: the header's `sparse` and `test_words` are set here.
    """
    _json(header)
    said, arrays = [], b""
    for one, layer in zip(header.layers, layers, strict=True):
        data, sparse = min(((_packed(one, layer, sparse), sparse) for sparse in (False, True)), key=lambda form: len(form[0]))
        said.append(msgspec.structs.replace(one, sparse=sparse))
        arrays += data + (layer.bias >> one.bias_exponent).astype("<i2").tobytes()
    header = msgspec.structs.replace(header, layers=tuple(said), test_words=recorded.shape[1])
    arrays += recorded.astype("<u4").tobytes()
    silence = np.zeros((len(header.outputs), header.test_words), "<u4")
    model = opened(joined(encoded(header), arrays + silence.tobytes()))
    for one, given, held in zip(header.layers, layers, model.layers, strict=True):
        _same(one.name, given, held)
    data = joined(encoded(header), arrays + run(model, model.recorded).astype("<u4").tobytes())
    self_test(opened(data), run)
    return data


def opened(data: bytes) -> Model:
    """Read a file whoever wrote it: to look at it, not to run it."""
    return _model(split(data))


def load(data: bytes, trust: Trust, *, replaces: Model | None = None, run: Run = known) -> Model:
    """
    Read a model to run it: it is signed by whom we trust, in range, no older than what it replaces, and passes its self-test.

    Nothing but the lengths in the first bytes is looked at before the signature is verified.
    """
    envelope = split(data)
    signer = trust.admit(envelope)
    model = replace(_model(envelope), signer=signer)
    if replaces:
        _newer(model, replaces)
    self_test(model, run)
    return model


def self_test(model: Model, run: Run = known) -> None:
    """Refuse a model that doesn't answer the recorded spikes as it did when it was made."""
    if not model.recorded.any() or not model.expected.any():
        raise ModelError(
            "self-test: expected spikes in the recorded input and in the outputs, found silence, which proves nothing"
        )
    differing = int(np.bitwise_count(run(model, model.recorded) ^ model.expected).sum())
    if differing:
        raise ModelError(
            f"self-test: expected the {_spikes(model.expected)} spikes that were recorded, found {differing} that differ"
        )


def _newer(model: Model, replaces: Model) -> None:
    """Refuse what is older, and two models of one number."""
    new, old = model.header, replaces.header
    if new.name != old.name or model.digest == replaces.digest:
        return
    if new.version <= old.version:
        kind = "an older one" if new.version < old.version else "another one of the same version"
        raise ModelError(f"{new.name}: expected a version above {old.version}, which it replaces, found {new.version}: {kind}")


class _Arrays:
    """Hands over what stands behind the header, piece by piece."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.at = 0

    def take(self, count: int) -> bytes:
        """Hand over so many bytes, once they are known to be there."""
        if count > len(self._data) - self.at:
            raise ModelError(f"arrays: expected {count:,} bytes from {self.at:,} on, found {len(self._data) - self.at:,}")
        self.at += count
        return self._data[self.at - count : self.at]

    def words(self, rows: int, count: int) -> NDArray[np.uint32]:
        return np.frombuffer(self.take(4 * rows * count), "<u4").reshape(rows, count)

    def end(self) -> None:
        if self.at != len(self._data):
            raise ModelError(f"arrays: expected {self.at:,} bytes, as the header says, found {len(self._data):,}")


def _model(envelope: Envelope) -> Model:
    header = decoded(envelope.header)
    arrays = _Arrays(envelope.arrays)
    sizes = {"header": len(envelope.content) - len(envelope.arrays)}
    layers = []
    for said in header.layers:
        before = arrays.at
        layers.append(_layer(said, header.fan_in(said), arrays))
        sizes[f"layer {said.name}"] = arrays.at - before
    recorded, expected = arrays.words(len(header.inputs), header.test_words), arrays.words(len(header.outputs), header.test_words)
    arrays.end()
    sizes |= {"self-test": recorded.nbytes + expected.nbytes, "signature": len(envelope.key_id) + len(envelope.signature)}
    return Model(header=header, layers=tuple(layers), recorded=recorded, expected=expected, digest=envelope.digest, sizes=sizes)


def _layer(said: Layer, inputs: int, arrays: _Arrays) -> lif.Layer:
    try:
        weights = synapses.unpack(arrays.take, (said.units, inputs), said.bits, said.sign, sparse=said.sparse)
    except ModelError as error:
        raise ModelError(f"layer {said.name}: {error}") from error
    mantissas = np.frombuffer(arrays.take(2 * said.units), "<i2").astype(np.int32)
    for mantissa in (int(mantissas.min()), int(mantissas.max())):
        if mantissa not in MANTISSAS:
            raise ModelError(
                f"layer {said.name}: expected biases of 13 bits, {MANTISSAS[0]} to {MANTISSAS[-1]}, found {mantissa}"
            )
    layer = lif.Layer(
        weights=weights,
        exponent=said.exponent,
        du=said.du,
        dv=said.dv,
        vth=said.vth,
        bias=mantissas << said.bias_exponent,
        reset=lif.Reset(said.reset.interval, said.reset.offset) if said.reset else None,
    )
    _within(layer, said.name)
    return layer


def _within(layer: lif.Layer, name: str) -> None:
    """Refuse weights that could sum up to more than reaches a neuron of the hardware in a step."""
    weights = layer.weights.astype(np.int64)
    for sums in (weights.clip(min=0).sum(axis=1).max(), weights.clip(max=0).sum(axis=1).min()):
        current = int(sums) << layer.exponent if layer.exponent > 0 else int(sums) >> -layer.exponent
        if current not in _CURRENTS:
            raise ModelError(
                f"layer {name}: expected weights that sum up to {_CURRENTS[0]:,} to {_CURRENTS[-1]:,} in a unit, shifted, "
                f"found {current:,}: 16 bits carry the current"
            )


def _packed(said: Layer, layer: lif.Layer, sparse: bool) -> bytes:  # noqa: FBT001 -- one of two forms, tried in turn
    try:
        return synapses.pack(layer.weights, said.bits, said.sign, sparse=sparse)
    except ModelError as error:
        raise ModelError(f"layer {said.name}: {error}") from error


def _json(header: Header) -> None:
    """Refuse settings that JSON can't hold: NaN would come back as null."""
    try:
        json.dumps(header.encoder.settings, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ModelError(f"encoder: settings: expected what JSON can hold, found: {error}") from error


def _same(name: str, given: lif.Layer, held: lif.Layer) -> None:
    """Refuse a header that says something else than the layers are."""
    for key in ("du", "dv", "vth", "exponent", "reset"):
        if getattr(given, key) != getattr(held, key):
            raise ModelError(f"layer {name}: {key}: expected {getattr(given, key)}, as the layer has, found {getattr(held, key)}")
    if not (np.array_equal(given.weights, held.weights) and np.array_equal(given.bias, held.bias)):
        raise ModelError(f"layer {name}: expected a header whose bits, sign and bias_exponent hold its weights and biases")


def _spikes(words: NDArray[np.uint32]) -> int:
    return int(np.bitwise_count(words).sum())
