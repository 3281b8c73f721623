"""
Input frames through models, one frame, one step and one neuron at a time: the truth that `spikebridge.detect` is held to.

The neuron itself is that of `lif.py` beside this; times, intervals, silence and budgets are here.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from tests.reference.lif import Reference

from spikebridge.detect.file import ModelFile
from spikebridge.spikes.frame import unpack
from spikebridge_detectors.lif import Layer, Reset, truncated
from spikebridge_detectors.model.container import split
from spikebridge_detectors.model.file import opened, written
from spikebridge_detectors.model.header import Encoder, Header, Output, Training, Window
from spikebridge_detectors.model.header import Layer as Said

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spikebridge.limits import Limits
    from spikebridge.mapping.rules import RuleSet
    from spikebridge.spikes.parts import Part
    from spikebridge_detectors.model.file import Model

MOST = 32_768
SECOND = 1_000_000_000
LINES = 3

Key = tuple[str, str]
Rows = list[tuple[int, int]]


@cache
def small(
    name: str,
    classes: tuple[str, ...],
    *,
    version: int = 1,
    step_ns: int | None = SECOND // 10,
    window: Window | None = None,
    memory_s: int = 20,
    neurons: tuple[int, ...] = (5, 3),
    reset: int = 0,
) -> ModelFile:
    """Make a network of three lines, four neurons and two outputs; those of even versions also fire in silence. Nobody signed it."""
    luck = np.random.default_rng(version)
    first = Layer(
        weights=truncated(luck.integers(20, 200, (4, LINES))),
        du=1500,
        dv=600,
        vth=260,
        bias=np.zeros(4, np.int32),
        reset=Reset(reset, 1) if reset else None,
    )
    second = Layer(
        weights=truncated(luck.integers(-60, 256, (2, 4))),
        du=3000,
        dv=900,
        vth=200,
        bias=np.full(2, (version + 1) % 2 * 3600, np.int32),
    )
    header = Header(
        name=name,
        version=version,
        inputs=tuple(f"line-{at}" for at in range(LINES)),
        encoder=Encoder(name="rate"),
        layers=(
            Said.of(first, "hidden", step_ns=step_ns),
            Said.of(second, "out", sources=("hidden",), step_ns=step_ns),
        ),
        outputs=tuple(Output(name=f"o{at}", neuron=neuron, layer="out", unit=1 - at) for at, neuron in enumerate(neurons)),
        classes={one: {"out": 200 + 40 * at} for at, one in enumerate(classes)},
        window=window,
        memory_s=memory_s,
        training=Training(data="luck", seed=version),
    )
    data = written(header, (first, second), np.full((LINES, 1), 0x0F0F_FFFF, np.uint32))
    return ModelFile(name=name, version=version, digest=split(data).digest, classes=tuple(sorted(classes)), file=data)


@dataclass
class Held:
    """What a device's network holds: which one, in which interval, up to when frames cover time."""

    key: Key
    interval: int
    covered: int
    layers: list[Reference]

    def step(self, lines: set[int]) -> list[bool]:
        """Take a step."""
        spikes = np.array([line in lines for line in range(LINES)])
        for layer in self.layers:
            spikes = layer.advance(spikes)
        return [bool(fired) for fired in spikes]


class PlainDetection:
    """The devices' networks."""

    def __init__(self) -> None:
        """Begin with none."""
        self.held: dict[str, Held] = {}
        self.spent: dict[str, tuple[int, int]] = {}

    def forget(self, device: str) -> None:
        """Begin anew with a device."""
        self.held.pop(device, None)
        self.spent.pop(device, None)

    def take(self, model: Model, device_class: str, value: bytes, part: Part, at: tuple[int, int], limits: Limits) -> Part | str:
        """Return the outputs' part for an input part at (append time, shift), or why it doesn't fit."""
        now, shift = at
        step_ns = model.header.layers[0].step_ns
        start, end = part.start_ns + shift, part.end_ns + shift
        events = [(time + shift, neuron) for time, neuron in zip(part.times.tolist(), part.neurons.tolist(), strict=True)]
        steps = (end - start) // step_ns + 1 if step_ns else len(events)
        reason = unfit(model, value, steps) or self.dear(model, part.device_id, steps, now, limits)
        if reason:
            return reason
        lines: list[set[int]] = [set() for _ in range(steps)]
        for number, (time, neuron) in enumerate(events):
            lines[(time - start) // step_ns if step_ns else number].add(neuron)
        times = [start + number * step_ns if step_ns else events[number][0] for number in range(steps)]
        if model.header.window:
            rows = windowed(model, device_class, lines, times, end)
        else:
            rows = self.carried(model, device_class, part.device_id, (lines, times), (start, now), limits)
        return part._replace(
            role=1,
            layer="out",
            neurons=np.array([neuron for _, neuron in rows], np.uint32),
            times=np.array([time - shift for time, _ in rows], np.int64),
            weights=np.ones(len(rows), np.int64),
            peers=[],
        )

    def dear(self, model: Model, device: str, steps: int, now: int, limits: Limits) -> str:
        """Say whether a device has had its steps; else count them."""
        step_ns = model.header.layers[0].step_ns
        memory = model.header.memory_s * SECOND
        interval, spent = self.spent.get(device, (-1, 0))
        spent = cost(model, steps) + (spent if interval == now // memory else 0)
        if step_ns and spent > max(MOST, 2 * cost(model, (memory + limits.late_ns + limits.future_ns) // step_ns + 1)):
            return "dear"
        self.spent[device] = (now // memory, spent)
        return ""

    def carried(
        self,
        model: Model,
        device_class: str,
        device: str,
        frame: tuple[Sequence[set[int]], Sequence[int]],
        at: tuple[int, int],
        limits: Limits,
    ) -> Rows:
        """Run a frame where the one before has left the network, time without a frame in silence."""
        (lines, times), (start, now) = frame, at
        step_ns, interval = model.header.layers[0].step_ns, now // (model.header.memory_s * SECOND)
        key = (model.digest, device_class)
        held = self.held.get(device)
        silent: list[int] = []
        if held and held.interval == interval and step_ns:
            silent = list(range(held.covered, start - step_ns + 1, step_ns))
        if held is None or held.interval != interval or len(silent) + len(lines) > MOST:
            held, silent = Held(key, interval, start, fresh(model, device_class)), []
            self.held[device] = held
        assert held.key == key
        rows: Rows = []
        for time in silent:
            rows += [(max(time, now - limits.late_ns), neuron) for neuron in fired(model, held.step(set()))]
        for time, spikes in zip(times, lines, strict=True):
            rows += [(time, neuron) for neuron in fired(model, held.step(spikes))]
        if step_ns:
            held.covered = max(held.covered, start + len(lines) * step_ns)
        return rows


def windowed(model: Model, device_class: str, lines: Sequence[set[int]], times: Sequence[int], end: int) -> Rows:
    """Run a frame window by window, each from zero."""
    window, step_ns = model.header.window, model.header.layers[0].step_ns
    assert window
    rows: Rows = []
    for first in range(0, len(lines), window.steps):
        held = Held(("", ""), 0, 0, fresh(model, device_class))
        for number in range(window.steps + window.flush):
            at = first + number
            spikes = lines[at] if number < window.steps and at < len(lines) else set()
            time = min(times[0] + at * step_ns, end) if step_ns else times[min(at, len(times) - 1)]
            rows += [(min(time, end), neuron) for neuron in fired(model, held.step(spikes))]
    return rows


def unfit(model: Model, value: bytes, steps: int) -> str:
    """Say in a word why a frame doesn't fit."""
    frame, step_ns = unpack(value, 1 << 62), model.header.layers[0].step_ns
    if frame.kind == 2:
        return "count"
    if frame.kind == 1:
        channels = int.from_bytes(value[38:40], "little")
        names = np.frombuffer(value, "<u4", channels, int.from_bytes(value[44:48], "little")).tolist()
        if frame.head.step_ns != step_ns or sorted(names) != list(range(LINES)):
            return "window"
    elif any(neuron >= LINES for neuron in frame.neurons.tolist()):
        return "neuron"
    return "long" if cost(model, steps) > MOST else ""


def cost(model: Model, steps: int) -> int:
    """Return how many steps the network takes for so many of a frame."""
    window = model.header.window
    return -(-steps // window.steps) * (window.steps + window.flush) if window else steps


def fresh(model: Model, device_class: str) -> list[Reference]:
    """Return a network at zero."""
    return [Reference(layer) for layer in model.for_class(device_class)]


def fired(model: Model, spikes: Sequence[bool]) -> list[int]:
    """Return what mappings call the outputs that fire."""
    return [output.neuron for output in model.header.outputs if spikes[output.unit]]


@cache
def _opened(file: bytes) -> Model:
    return opened(file)


def model_of(rule_set: RuleSet, device_class: str) -> Model | None:
    """Return the model that serves a class."""
    return next((_opened(one.file) for one in rule_set.model_files if device_class in one.classes), None)


def key_of(rule_set: RuleSet, device_class: str) -> Key | None:
    """Tell one device's model from that of another revision."""
    model = model_of(rule_set, device_class)
    return (model.digest, device_class) if model else None


def with_models(rule_set: RuleSet, *models: ModelFile) -> RuleSet:
    """Add models to a rule set."""
    changes: dict[str, Any] = {"rules_version": 2, "models": sorted(models, key=lambda one: one.name)}
    return msgspec.structs.replace(rule_set, **changes)
