"""What models made of earlier inputs, computed again from the records: for evidence and replay."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from spikebridge.detect.frames import Inputs, fault
from spikebridge.detect.running import answer, exact
from spikebridge.detect.states import States
from spikebridge.mapping.admission import shifts
from spikebridge.spikes.batch import ROLE_INPUT, ROLE_OUTPUT

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence

    from spikebridge.alerts import DeviceInfo
    from spikebridge.detect.running import Begin, Exact
    from spikebridge.detect.served import Line
    from spikebridge.limits import Limits
    from spikebridge.mapping.compile import Compiled
    from spikebridge.mapping.match import Answered
    from spikebridge.mapping.opened import Opened
    from spikebridge.spikes.parts import Part

    Places = Sequence[tuple[int, int]]

MOST_INPUTS = 4_096
"""So many inputs of a device are run again for its alerts, from where its state was zero; what later ones gave is then known of the last alone."""

_HELD = 64


class Place(NamedTuple):
    """A record of inputs: where it lies, how large it is, and what the model made of it."""

    offset: int
    append_ns: int
    size: int
    part: Part


@dataclass(slots=True)
class _Run:
    """The inputs of a device since its state was zero; `cut` once one of them is gone, or there are too many."""

    states: States
    exact: Exact
    upto: int = -1
    places: dict[int, Place] = field(default_factory=dict)
    cut: bool = False


class Derived:
    """Runs inputs again, once for all alerts of a device while its run is among the last."""

    def __init__(
        self,
        compiled: Compiled,
        back: Callable[[int, int, int], Iterator[tuple[int, int]]],
        read: Callable[[Places], Iterable[Opened | None]],
        begin: Begin | None = None,
    ) -> None:
        """`back` walks over a device's earlier inputs, `read` opens records in order, None for one that is gone; `begin` gives what runs a run."""
        self._compiled = compiled
        self._limits = compiled.revision.rule_set.limits
        self._back = back
        self._read = read
        self._begin = begin or _as_served
        self._runs: dict[tuple[str, int], _Run] = {}

    def line(self, device: DeviceInfo) -> Line | None:
        """Return the model that reads a device's inputs."""
        return self._compiled.line_of(device.device_class)

    def part(self, device: DeviceInfo, index: int, opened: Opened) -> Part | None:
        """Return what the outputs said at an input record; None where it can't be known any more."""
        line = self.line(device)
        place = self._run(line, device, index, opened).places.get(opened.record.offset) if line else None
        return place.part if place else None

    def since_zero(self, device: DeviceInfo, index: int, opened: Opened) -> list[Place]:
        """Return the inputs that made an input record's answer, itself the last; none where that can't be known any more."""
        line, offset = self.line(device), opened.record.offset
        run = self._run(line, device, index, opened) if line else None
        if run is None or offset not in run.places:
            return []
        return [place for place in run.places.values() if place.offset <= offset]

    def _run(self, line: Line, device: DeviceInfo, index: int, opened: Opened) -> _Run:
        """Return the run that an input record is in, extended up to it."""
        record = opened.record
        start_ns = record.append_ns // line.memory_ns * line.memory_ns
        key = (device.id, record.offset if line.window else -1 - start_ns)
        run = self._runs.pop(key, None) or _Run(States(line), self._begin(key))
        self._runs[key] = run
        while len(self._runs) > _HELD:
            del self._runs[next(iter(self._runs))]
        if run.upto < record.offset and not run.cut:
            self._extend(
                run,
                device,
                [(record.offset, record.append_ns)] if line.window else self._new(run, index, record.offset, start_ns),
            )
            run.upto = record.offset
        return run

    def _new(self, run: _Run, index: int, upto: int, start_ns: int) -> Places:
        """Return the inputs that a run hasn't seen yet, in order."""
        found = []
        for offset, append_ns in self._back(index, upto + 1, start_ns):
            if offset <= run.upto:
                break
            found.append((offset, append_ns))
        found.reverse()
        return found

    def _extend(self, run: _Run, device: DeviceInfo, places: Places) -> None:
        room = MOST_INPUTS - len(run.places)
        run.cut = len(places) > room
        for opened in self._read(places[:room]):
            if opened is None:
                run.cut = True
                return
            for _, part in opened.parts.get(device.id, []):
                if part.role == ROLE_INPUT:
                    self._feed(run, opened, part)

    def _feed(self, run: _Run, opened: Opened, part: Part) -> None:
        record, line = opened.record, run.states.line
        if fault(line, record.value, part.end_ns - part.start_ns, part.neurons):
            return
        inputs, shift_ns = _input(part, record.append_ns, self._limits)
        found = answer(run.states, inputs, self._limits.late_ns, run.exact)
        said = answered(part, line, (found.neuron, found.time - shift_ns))
        run.places[record.offset] = Place(record.offset, record.append_ns, len(record.value), said)


def _as_served(_key: Hashable) -> Exact:
    return exact


def answered(part: Part, line: Line, rows: Answered) -> Part:
    """Return an input part with the outputs' rows in place of its own."""
    neurons, times = rows
    weights = np.ones(len(neurons), np.int64)
    return part._replace(role=ROLE_OUTPUT, layer=line.layer, neurons=neurons, times=times, weights=weights, peers=[])


def _input(part: Part, append_ns: int, limits: Limits) -> tuple[Inputs, int]:
    """Return one frame at its effective times, and by how much it is moved."""
    start, end, append = np.array([part.start_ns]), np.array([part.end_ns]), np.array([append_ns])
    shift = shifts(start, end, append, limits)
    n = np.array([len(part.neurons)])
    none = np.zeros(1, np.int32)
    return Inputs(none, none, append, start + shift, end + shift, n, part.neurons, part.times + shift), int(shift[0])
