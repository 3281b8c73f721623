"""
Rules to look-up arrays: neuron to the set of rules that it concerns, one table per device class and layer.

Tables are shared where their content is equal, and sets of rules over all tables, so one class that differs in one layer costs one table.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

from spikebridge.alerts import DeviceInfo
from spikebridge.canonical import canonical_json
from spikebridge.detect.served import serving
from spikebridge.errors import ContentError, Problem
from spikebridge.spikes.names import WIRE_LAYERS, Layers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from spikebridge.detect.served import Line
    from spikebridge.mapping.rules import Cell, Device, Revision, Rule, Selector

DENSE_NEURONS = 1 << 22
"""A table with a higher neuron is searched, not indexed."""

MAX_SETS = 65_535


class Table(Protocol):
    """Neurons to sets of rules; set 0 is no rule. `summaries` is the set for summaries of the layer."""

    summaries: int

    def sets(self, neurons: NDArray[np.uint32]) -> NDArray[np.uint16]:
        """Return the set of each neuron."""


@dataclass(slots=True)
class DenseTable:
    """One cell a neuron; the last one, empty, answers for all above."""

    cells: NDArray[np.uint16]
    summaries: int

    def sets(self, neurons: NDArray[np.uint32]) -> NDArray[np.uint16]:
        """Return the set of each neuron."""
        return self.cells.take(neurons, mode="clip")


@dataclass(slots=True)
class RangeTable:
    """Sorted ranges, for neurons too high to index."""

    first: NDArray[np.uint32]
    cells: NDArray[np.uint16]
    summaries: int

    def sets(self, neurons: NDArray[np.uint32]) -> NDArray[np.uint16]:
        """Return the set of each neuron."""
        return self.cells[np.searchsorted(self.first, neurons, "right")]


class Reading(NamedTuple):
    """How one class of devices reads the wire layers."""

    number: int
    names: dict[int, str]

    def codes(self, layer: str, layers: Layers) -> set[int]:
        """Return the layer codes that this class reads as `layer`."""
        code = layers.add(layer)
        named = {wire for wire, name in self.names.items() if name == layer}
        return named | ({code} if code not in self.names else set())

    def name(self, code: int, layers: Layers) -> str:
        """Return how this class reads a layer code."""
        return self.names.get(code) or layers.text(code)


@dataclass(slots=True)
class Compiled:
    """
    A revision, ready to match.

    `tables[table_at[class, slot_of_layer[layer]]]` is the table of a frame; `sets[s]` are the positions in `counting` of the rules of set s.
    The last entry of `slot_of_layer` answers for `NO_LAYER` and for names that this revision doesn't know.
    `lines[line_at[class]]` is the model that serves a class, -1 stands for none.
    """

    revision: Revision
    counting: list[Rule]
    absences: list[Rule]
    tables: list[Table]
    table_at: NDArray[np.int32]
    slot_of_layer: NDArray[np.int32]
    sets: list[tuple[int, ...]]
    readings: dict[str, Reading]
    lines: list[Line]
    line_at: NDArray[np.int32]
    devices: dict[str, Device] = field(default_factory=dict)
    matching: dict[str, bytes] = field(default_factory=dict)

    def tables_of(self, device_class: NDArray[np.int32], layer: NDArray[np.int32]) -> NDArray[np.int32]:
        """Return the position of the table for each pair of class and layer code."""
        return self.table_at[device_class, self.slot_of_layer[np.minimum(layer, len(self.slot_of_layer) - 1)]]

    def line_of(self, device_class: str) -> Line | None:
        """Return the model that serves a class."""
        at = int(self.line_at[self.readings[device_class].number])
        return None if at < 0 else self.lines[at]

    def describe(self, device_id: str) -> DeviceInfo:
        """Return what the inventory says of a device."""
        device = self.devices.get(device_id)
        return device.info if device else DeviceInfo(id=device_id)

    def reading(self, device_class: str) -> Reading:
        """Return how a class of the inventory reads layers."""
        return self.readings[device_class]


def compile_revision(revision: Revision, layers: Layers) -> Compiled:
    """Compile; `layers` learns every name that the rules use."""
    rule_set = revision.rule_set
    counting = [rule for rule in rule_set.rules if rule.info.kind == "event_count"]
    absences = [rule for rule in rule_set.rules if rule.info.kind == "absence"]
    named: dict[str, dict[int, str]] = {"": {}}
    named.update({device.info.device_class: {} for device in rule_set.devices})
    named.update({entry.name: entry.layers for entry in rule_set.classes})
    readings = {name: Reading(index, wires) for index, (name, wires) in enumerate(sorted(named.items()))}
    codes = _layer_codes(counting, readings, layers)
    slot_of_layer = np.zeros(WIRE_LAYERS + layers.named + 1, np.int32)
    for slot, code in enumerate(codes, 1):
        slot_of_layer[code] = slot
    builder = _Builder(counting, layers)
    table_at = np.zeros((len(readings), len(codes) + 1), np.int32)
    slots: list[int | None] = [None, *codes]
    for name, reading in readings.items():
        for slot, layer_code in enumerate(slots):
            table_at[reading.number, slot] = builder.table(name, reading, layer_code)
    lines = {name: line for name, line in serving(rule_set.model_files).items() if name in readings}
    line_at = np.full(len(readings), -1, np.int32)
    for at, name in enumerate(lines):
        line_at[readings[name].number] = at
    layered = canonical_json({name: wires for name, wires in named.items() if wires})
    return Compiled(
        revision=revision,
        counting=counting,
        absences=absences,
        tables=builder.tables,
        table_at=table_at,
        slot_of_layer=slot_of_layer,
        sets=builder.sets,
        readings=readings,
        lines=[*lines.values()],
        line_at=line_at,
        devices={device.info.id: device for device in rule_set.devices},
        matching={rule.info.id: rule.matching + (layered if rule.layered else b"") for rule in rule_set.rules},
    )


def fits(selector: Selector, device: DeviceInfo) -> bool:
    """Say whether a device is one that the selector means."""
    if selector.device and not fnmatchcase(device.id, selector.device):
        return False
    if selector.device_class and selector.device_class != device.device_class:
        return False
    return not selector.site or selector.site == device.site


def in_reach(rule: Rule, device: DeviceInfo) -> tuple[bool, int]:
    """Say whether a rule concerns a device, and from which append time on."""
    if rule.devices and not any(fits(selector, device) for selector in rule.devices):
        return False, 0
    ends = [exclusion.until_ns for exclusion in rule.excepted if fits(exclusion.selector, device)]
    if 0 in ends:
        return False, 0
    return True, max(ends, default=0)


def _layer_codes(rules: Sequence[Rule], readings: dict[str, Reading], layers: Layers) -> list[int]:
    texts = {cell.layer for rule in rules for cell in rule.cells if cell.layer}
    codes = {code for reading in readings.values() for text in texts for code in reading.codes(text, layers)}
    renamed = {wire for reading in readings.values() for wire in reading.names}
    return sorted(codes | renamed)


class _Builder:
    """Collects tables and sets, each content once."""

    def __init__(self, rules: list[Rule], layers: Layers) -> None:
        self.tables: list[Table] = []
        self.sets: list[tuple[int, ...]] = [()]
        self._rules = rules
        self._layers = layers
        self._set_of: dict[tuple[int, ...], int] = {(): 0}
        self._table_of: dict[object, int] = {}

    def table(self, device_class: str, reading: Reading, code: int | None) -> int:
        """Return the position of the table for a class and a layer code; None stands for a layer that no rule names."""
        spans: list[tuple[int, int, int]] = []
        summaries: list[int] = []
        for at, rule in enumerate(self._rules):
            if rule.devices and not any(s.device_class in ("", device_class) for s in rule.devices):
                continue
            for cell in rule.cells:
                if cell.first is None:
                    if code is not None and code in reading.codes(cell.layer, self._layers):
                        summaries.append(at)
                elif not cell.layer or (code is not None and code in reading.codes(cell.layer, self._layers)):
                    spans.append((cell.first, _last(cell), at))
        key = (tuple(sorted(set(spans))), tuple(sorted(set(summaries))))
        if key not in self._table_of:
            self._table_of[key] = len(self.tables)
            self.tables.append(self._build(*key))
        return self._table_of[key]

    def _build(self, spans: tuple[tuple[int, int, int], ...], summaries: tuple[int, ...]) -> Table:
        edges = sorted({edge for first, last, _ in spans for edge in (first, last + 1)})
        changes: dict[int, list[tuple[int, int]]] = {edge: [] for edge in edges}
        for first, last, at in spans:
            changes[first].append((at, 1))
            changes[last + 1].append((at, -1))
        active: dict[int, int] = {}
        pieces: list[int] = []
        for edge in edges:
            for at, step in changes[edge]:
                active[at] = active.get(at, 0) + step
                if not active[at]:
                    del active[at]
            pieces.append(self._set(tuple(sorted(active))))
        summary_set = self._set(summaries)
        if not edges or edges[-1] <= DENSE_NEURONS:
            cells = np.zeros((edges[-1] if edges else 0) + 1, np.uint16)
            for first, after, rules in zip(edges, edges[1:], pieces, strict=False):
                cells[first:after] = rules
            return DenseTable(cells, summary_set)
        first_of = np.minimum(np.array(edges, np.uint64), np.uint64(0xFFFF_FFFF)).astype(np.uint32)
        return RangeTable(first_of, np.array([0, *pieces], np.uint16), summary_set)

    def _set(self, rules: tuple[int, ...]) -> int:
        found = self._set_of.get(rules)
        if found is None:
            found = self._set_of[rules] = len(self.sets)
            self.sets.append(rules)
            if found > MAX_SETS:
                message = f"the rules overlap in more than {MAX_SETS} different ways: merge rows"
                raise ContentError([Problem("mappings", 1, 1, "", message)])
        return found


def _last(cell: Cell) -> int:
    return cell.last if cell.last is not None else cell.first or 0
