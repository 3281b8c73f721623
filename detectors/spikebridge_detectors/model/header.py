"""What a model says of itself: typed, in the ranges that the hardware has, as canonical JSON."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Annotated, Any, Self

import msgspec
from msgspec import Meta

from spikebridge_detectors.errors import ModelError
from spikebridge_detectors.lif import Sign
from spikebridge_detectors.model.synapses import sign_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    import numpy as np
    from numpy.typing import NDArray

    from spikebridge_detectors import lif

INPUTS = "inputs"
"""What a layer calls all of the model's own lines among its sources."""

RUN_MEMORY_S = 300
"""A detector inside the service remembers at most so long: the log is its state."""

MANTISSAS = range(-4096, 4096)
_MOST_UNITS = 1024
_MOST_LAYERS = 16
_MOST_SOURCES = 64

Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$(?!\n)")]
Text = Annotated[str, Meta(max_length=2000)]
Digest = Annotated[str, Meta(pattern=r"^([0-9a-f]{64})?$(?!\n)")]
Whole = Annotated[int, Meta(ge=0, lt=1 << 31)]
Positive = Annotated[int, Meta(ge=1, lt=1 << 31)]
Threshold = Annotated[int, Meta(ge=0, lt=1 << 17)]


class Encoder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What makes spikes of a signal."""

    name: Annotated[Name, Meta(description="Which encoder; its lines are the model's inputs, in this order.")]
    settings: Annotated[dict[str, Any], Meta(max_length=64, description="Its parameters, which the encoder itself checks.")] = {}


class Reset(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """u and v begin anew at each step, counted from 1, that leaves `offset` when it is divided by `interval`."""

    interval: Annotated[Positive, Meta(description="Every so many steps.")]
    offset: Annotated[Whole, Meta(description="Less than the interval.")]


class Window(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The network begins from zero with each window."""

    steps: Annotated[Positive, Meta(description="Steps with input.")]
    flush: Annotated[
        Whole,
        Meta(description="Silent steps behind them: at least one for each layer, or the last input leaks into the next window."),
    ]


class Layer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Synapses and their neurons. The weights stand behind the header, packed; so do the mantissas of the biases."""

    name: Annotated[Name, Meta(description="What others call it.")]
    sources: Annotated[
        tuple[Name, ...],
        Meta(
            min_length=1,
            max_length=_MOST_SOURCES,
            description="What spikes reach it, behind one another: `inputs` for all lines, or single lines and layers by name.",
        ),
    ]
    units: Annotated[int, Meta(ge=1, le=_MOST_UNITS, description="How many neurons.")]
    step_ns: Annotated[
        Annotated[int, Meta(ge=1000, le=86_400 * 10**9)] | None,
        Meta(description="Its clock: a step each so many nanoseconds, or, where it is null, a step for each input event."),
    ]
    du: Annotated[
        int, Meta(ge=0, le=4095, description="How fast the current u fades, in 4096ths a step (0 fades by one of them).")
    ]
    dv: Annotated[int, Meta(ge=0, le=4095, description="How fast the voltage v fades, in 4096ths a step.")]
    vth: Annotated[Threshold, Meta(description="The threshold: a neuron fires above 64 times this.")]
    exponent: Annotated[int, Meta(ge=-8, le=7, description="Weights count 2 to this power.")]
    bits: Annotated[int, Meta(ge=1, le=8, description="Bits of a weight.")]
    sign: Annotated[Sign, Meta(description="What its synapses do; mixed ones spend a bit on it.")]
    sparse: Annotated[bool, Meta(description="Weights are stored as one bit each that says which aren't 0, then these.")] = False
    bias_exponent: Annotated[int, Meta(ge=0, le=7, description="Biases count 2 to this power.")]
    reset: Annotated[Reset | None, Meta(description="When u and v begin anew, or null.")]

    @classmethod
    def of(
        cls,
        layer: lif.Layer,
        name: str,
        *,
        sources: Iterable[str] = (INPUTS,),
        step_ns: int | None = None,
        bits: int = 8,
        sign: Sign | None = None,
    ) -> Self:
        """Describe a layer; without a sign it is that of all weights."""
        return cls(
            name=name,
            sources=tuple(sources),
            units=layer.units,
            step_ns=step_ns,
            du=layer.du,
            dv=layer.dv,
            vth=layer.vth,
            exponent=layer.exponent,
            bits=bits,
            sign=sign or sign_of(layer.weights),
            sparse=False,
            bias_exponent=_bias_exponent(layer.bias, name),
            reset=Reset(interval=layer.reset.interval, offset=layer.reset.offset % layer.reset.interval) if layer.reset else None,
        )


class Output(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A neuron whose spikes leave the network."""

    name: Annotated[Name, Meta(description="What its spike means.")]
    neuron: Annotated[int, Meta(ge=0, le=0xFFFF, description="The number by which mappings know it, each once in a model.")]
    layer: Annotated[Name, Meta(description="The layer that it is in.")]
    unit: Annotated[Whole, Meta(description="Which of the layer's neurons, counted from 0.")]


class Training(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the weights come from."""

    data: Annotated[Text, Meta(description="What it was trained on, in words.")]
    sha256: Annotated[Digest, Meta(description="The digest of that data, or nothing.")] = ""
    generator: Annotated[Text, Meta(description="What generated the data, with its version, or nothing.")] = ""
    seed: Annotated[Whole | None, Meta(description="The seed of all luck in it.")] = None


class Header(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a model says of itself."""

    name: Annotated[Name, Meta(description="What a new version replaces.")]
    version: Annotated[Positive, Meta(description="Rises with each change: a lower one never replaces a higher one.")]
    about: Annotated[Text, Meta(description="What it finds, for people.")] = ""
    inputs: Annotated[
        tuple[Name, ...], Meta(min_length=1, max_length=_MOST_UNITS, description="The input lines by name, in their order.")
    ]
    encoder: Annotated[Encoder, Meta(description="What makes spikes of a signal.")]
    layers: Annotated[
        tuple[Layer, ...], Meta(min_length=1, max_length=_MOST_LAYERS, description="The network, in the order of the arrays.")
    ]
    outputs: Annotated[
        tuple[Output, ...], Meta(min_length=1, max_length=_MOST_UNITS, description="The neurons whose spikes leave the network.")
    ]
    classes: Annotated[
        dict[Name, dict[Name, Threshold]],
        Meta(
            min_length=1,
            max_length=64,
            description="The device classes that it serves, each with the thresholds by layer that are its own; timing, power, vibration and rf have none.",
        ),
    ]
    window: Annotated[Window | None, Meta(description="Null: the state is carried on.")] = None
    memory_s: Annotated[
        Whole,
        Meta(
            description="The state begins at zero with each interval of so many seconds, aligned to the epoch; 0: never, which only `sense` can run."
        ),
    ]
    training: Annotated[Training, Meta(description="Where the weights come from.")]
    test_words: Annotated[
        int,
        Meta(
            ge=1,
            le=128,
            description="How many words of 32 steps the recorded spikes have that it is tried with when it is loaded.",
        ),
    ] = 1

    @property
    def runs_in_service(self) -> bool:
        """Return whether what it remembers is short enough for the service."""
        return 0 < self.memory_s <= RUN_MEMORY_S

    def fan_in(self, layer: Layer) -> int:
        """Return how many inputs the neurons of a layer have."""
        units = {INPUTS: len(self.inputs)} | dict.fromkeys(self.inputs, 1) | {one.name: one.units for one in self.layers}
        return sum(units[source] for source in layer.sources)


def outputs_of(numbers: Mapping[str, int]) -> tuple[Output, ...]:
    """Return outputs that are each the first neuron of the layer of their name, with the numbers by which mappings know them."""
    return tuple(Output(name=name, neuron=neuron, layer=name, unit=0) for name, neuron in numbers.items())


def same_outputs(header: Header, numbers: Mapping[str, int]) -> None:
    """Refuse a model of a detector that has outputs and thresholds of its own: others in the file would do nothing."""
    if header.outputs != outputs_of(numbers):
        told = ", ".join(f"{number} {name}" for name, number in numbers.items())
        raise ModelError(f"{header.name}: expected the outputs {told}, each of the layer of its name, found others")
    if own := [name for name, thresholds in header.classes.items() if thresholds]:
        raise ModelError(
            f"{header.name}: expected classes without thresholds of their own, which a model of {header.encoder.name} has none of, "
            f"found some of {', '.join(own)}"
        )


def encoded(header: Header) -> bytes:
    """Return the one text of a header: sorted keys, no white space."""
    return msgspec.json.encode(header, order="sorted")


def decoded(text: bytes) -> Header:
    """Read a header; anything but the one text that a header has is refused, with all that doesn't fit together."""
    try:
        header = msgspec.json.decode(text, type=Header)
        canonical = encoded(header) == text
    except (ValueError, RecursionError) as error:  # msgspec's errors and those of UTF-8 are ValueErrors
        raise ModelError(f"header: {error}") from error
    found = [*_unfit(header)]
    if not canonical:
        found.append("expected canonical JSON (each key once, sorted, no white space)")
    if found:
        raise ModelError("\n".join(f"header: {one}" for one in found))
    return header


def header_schema() -> dict[str, Any]:
    """Return the JSON Schema of a header in a file, where no key is left out; what it can't say, `decoded` checks."""
    definitions = msgspec.json.schema(Header)["$defs"]
    for one in definitions.values():
        one["required"] = [*one["properties"]]
    return {**definitions.pop("Header"), "$defs": definitions}


def _bias_exponent(bias: NDArray[np.int32], layer: str) -> int:
    """Return the least exponent with which 13 bits hold every bias."""
    for exponent in range(8):
        mantissas = bias >> exponent
        if (mantissas << exponent == bias).all() and mantissas.min() in MANTISSAS and mantissas.max() in MANTISSAS:
            return exponent
    raise ModelError(
        f"layer {layer}: expected biases of 13 bits times one power of two up to 128, found {bias.min()} to {bias.max()}"
    )


def _unfit(header: Header) -> Iterator[str]:
    """Say what the types can't."""
    layers = {one.name: one for one in header.layers}
    names = [INPUTS, *header.inputs, *(one.name for one in header.layers)]
    yield from _twice("inputs and layers", names)
    yield from _twice("outputs", [one.name for one in header.outputs])
    yield from _twice("outputs", [one.neuron for one in header.outputs])
    for layer in header.layers:
        for source in layer.sources:
            if source not in names:
                yield f'layer {layer.name}: sources: expected "{INPUTS}", a line or a layer, found "{source}"'
        if layer.reset and layer.reset.offset >= layer.reset.interval:
            yield f"layer {layer.name}: reset: expected an offset below the interval {layer.reset.interval}, found {layer.reset.offset}"
    for output in header.outputs:
        if output.layer not in layers:
            yield f'output {output.name}: expected a layer, found "{output.layer}"'
        elif output.unit >= layers[output.layer].units:
            yield f"output {output.name}: expected a unit below {layers[output.layer].units}, found {output.unit}"
    for device_class, thresholds in header.classes.items():
        for name in thresholds.keys() - layers.keys():
            yield f'class {device_class}: expected thresholds of layers, found "{name}"'
    if header.window and header.window.flush < len(layers):
        yield f"window: expected {len(layers)} flush steps or more, one for each layer, found {header.window.flush}"


def _twice(place: str, names: Iterable[str | int]) -> Iterator[str]:
    for name, times in Counter(names).items():
        if times > 1:
            kind, told = ("name", f'"{name}"') if isinstance(name, str) else ("neuron", name)
            yield f"{place}: expected each {kind} once, found {told} {times} times"
