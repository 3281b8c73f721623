"""
Input frames of a piece through their models, between admission and counting.

A frame that was answered holds the outputs' rows in the place of its own, so that mappings count them like a sensor's.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from spikebridge.detect.frames import Inputs, fault
from spikebridge.detect.running import answer
from spikebridge.detect.states import States
from spikebridge.mapping.admission import shifts
from spikebridge.mapping.recent import Recent
from spikebridge.spikes.batch import Refused
from spikebridge.spikes.columns import FlatRows, spread

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from spikebridge.limits import Limits
    from spikebridge.mapping.compile import Compiled
    from spikebridge.mapping.reach import Reach
    from spikebridge.spikes.batch import Batch, Rows
    from spikebridge.spikes.names import Layers

    Ints = NDArray[np.int64]
    Places = NDArray[np.intp]


class Detected(NamedTuple):
    """The batch with the rows of outputs in place of inputs; which of the frames were answered, and which didn't fit."""

    batch: Batch
    answered: NDArray[np.bool_]
    unfit: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Overlaid:
    """Rows of a batch, some frames' replaced: `place[f]` is the frame of `over`, -1 where frame f is as it was."""

    under: Rows
    over: FlatRows
    place: Places
    n: Ints

    def neurons(self, frames: Places) -> NDArray[np.uint32]:
        """Return the neurons of these frames, one frame after the other."""
        place = self.place[frames]
        mine = np.repeat(place >= 0, self.n[frames])
        found = np.empty(len(mine), np.uint32)
        found[mine] = self.over.neurons(place[place >= 0])
        found[~mine] = self.under.neurons(frames[place < 0])
        return found

    def times(self, frames: Places, frame_of: Places, row: Places) -> Ints:
        """Return the times of single rows."""
        place = self.place[frames]
        mine = place[frame_of] >= 0
        found = np.empty(len(row), np.int64)
        found[mine] = self.over.times(place, frame_of[mine], row[mine])
        found[~mine] = self.under.times(frames, frame_of[~mine], row[~mine])
        return found

    def weights(self, frames: Places, frame_of: Places, row: Places) -> Ints | None:
        """Return how many spikes each row stands for: an output's is one."""
        mine = self.place[frames[frame_of]] >= 0
        under = self.under.weights(frames, frame_of[~mine], row[~mine])
        if under is None:
            return None
        found = np.ones(len(row), np.int64)
        found[~mine] = under
        return found


class Detecting:
    """The models of a revision, the states of the devices that they serve, and where their inputs lie."""

    def __init__(self, compiled: Compiled, layers: Layers) -> None:
        """Begin with every state at zero."""
        self._layers = layers
        self._states: dict[tuple[str, str], States] = {}
        self._spent: dict[int, tuple[int, int]] = {}
        self.recent = Recent(compiled.revision.rule_set.limits.look_back_ns)
        self._use(compiled)

    def switch(self, compiled: Compiled, moved: Places) -> None:
        """Take the models of another revision; devices that have another model or class begin at zero."""
        self.recent.keep_ns = compiled.revision.rule_set.limits.look_back_ns
        self.drop(moved.astype(np.int32))
        self._use(compiled)

    def feed(self, batch: Batch, frames: Places, at_ns: Ints, device_class: NDArray[np.int32]) -> Detected:
        """Run frames of role input, in log order; those that don't fit are added to what the batch refused."""
        line = self._compiled.line_at[device_class]
        answered, unfit = line >= 0, np.zeros(len(frames), np.bool_)
        if not answered.any():
            return Detected(batch, answered, unfit)
        some = np.flatnonzero(answered)
        inputs = _inputs(batch, frames[some], at_ns[some], self._limits)._replace(line=line[some])
        for at, reason in self._refused(batch, frames[some], inputs):
            record = int(batch.record[frames[some[at]]])
            batch.refused.append(Refused(record, 0, reason, batch.values[record]))
            answered[some[at]], unfit[some[at]] = False, True
        kept = np.flatnonzero(answered[some])
        if len(kept) < len(some):
            some, inputs = some[kept], inputs.take(kept)
        self._remember(batch, frames[some], inputs)
        return Detected(self._overlaid(batch, frames[some], inputs), answered, unfit)

    def drop(self, devices: NDArray[np.int32]) -> None:
        """Forget these devices: their indices may be given to others."""
        for states in self._states.values():
            states.drop(devices.tolist())
        for device in devices.tolist():
            self._spent.pop(device, None)
        self.recent.drop(devices)

    def close(self, now_ns: int) -> None:
        """Forget what no later record can be judged with."""
        for states in self._states.values():
            states.close(now_ns)
        self.recent.forget(now_ns)

    def _use(self, compiled: Compiled) -> None:
        self._compiled = compiled
        self._limits = compiled.revision.rule_set.limits
        self._states = {line.key: self._states.get(line.key) or States(line) for line in compiled.lines}
        self._codes = np.array([self._code(line.layer) for line in compiled.lines], np.int32)
        self._budgets = [line.budget(self._limits) for line in compiled.lines]

    def _code(self, layer: int | str) -> int:
        return layer if isinstance(layer, int) else self._layers.code(layer)

    def _refused(self, batch: Batch, frames: Places, inputs: Inputs) -> Iterator[tuple[int, str]]:
        """Yield the frames that don't fit their model, or cost more than their device may, with the reason."""
        first = np.cumsum(inputs.n) - inputs.n
        columns = (
            inputs.line,
            inputs.device,
            inputs.append_ns,
            inputs.end_ns - inputs.start_ns,
            first,
            inputs.n,
            batch.record[frames],
        )
        for at, (number, device, append_ns, span_ns, low, n, record) in enumerate(
            zip(*(c.tolist() for c in columns), strict=True)
        ):
            line = self._compiled.lines[number]
            reason = fault(line, batch.values[record], span_ns, inputs.neuron[low : low + n])
            if not reason:
                interval, (before, spent) = append_ns // line.memory_ns, self._spent.get(device, (-1, 0))
                spent = line.cost(span_ns, n) + (spent if before == interval else 0)
                if spent <= self._budgets[number]:
                    self._spent[device] = (interval, spent)
                    continue
                reason = f"steps: expected at most {self._budgets[number]:,} of a device within the memory of model {line.model}, found {spent:,}"
            yield at, reason

    def _remember(self, batch: Batch, frames: Places, inputs: Inputs) -> None:
        """Keep where the inputs of states lie that are carried on, for evidence."""
        carried = np.array([line.window is None for line in self._compiled.lines])[inputs.line]
        if carried.any():
            frames = frames[carried]
            self.recent.add(batch.device[frames], batch.offset[batch.record[frames]], inputs.append_ns[carried])

    def _overlaid(self, batch: Batch, frames: Places, inputs: Inputs) -> Batch:
        """Put the rows of outputs in the place of the frames' own."""
        pieces = []
        for number, line in enumerate(self._compiled.lines):
            at = np.flatnonzero(inputs.line == number)
            if len(at):
                found = answer(self._states[line.key], inputs.take(at), self._limits.late_ns)
                pieces.append((at[found.frame], found.neuron, found.time))
        frame, neuron, time = (np.concatenate(column) for column in zip(*pieces, strict=True)) if pieces else _NONE
        order = np.argsort(frame, kind="stable")
        n = np.bincount(frame, minlength=len(frames)).astype(np.int64)
        moved = inputs.end_ns - batch.end_ns[frames]
        over = FlatRows(np.cumsum(n) - n, n, neuron[order], time[order] - moved[frame[order]], None)
        place = np.full(len(batch.n), -1, np.intp)
        place[frames] = np.arange(len(frames))
        sizes, layer = batch.n.copy(), batch.layer.copy()
        sizes[frames], layer[frames] = n, self._codes[inputs.line]
        return replace(batch, n=sizes, layer=layer, rows=Overlaid(batch.rows, over, place, sizes))


_NONE = (np.zeros(0, np.intp), np.zeros(0, np.uint32), np.zeros(0, np.int64))


def _inputs(batch: Batch, frames: Places, at_ns: Ints, limits: Limits) -> Inputs:
    """Return frames of a batch at their effective times."""
    n = batch.n[frames]
    shift = shifts(batch.start_ns[frames], batch.end_ns[frames], at_ns, limits)
    frame_of = np.repeat(np.arange(len(frames)), n)
    time = batch.rows.times(frames, frame_of, spread(np.zeros(len(frames), np.int64), n))
    return Inputs(
        line=np.zeros(len(frames), np.int32),
        device=batch.device[frames],
        append_ns=at_ns,
        start_ns=batch.start_ns[frames] + shift,
        end_ns=batch.end_ns[frames] + shift,
        n=n,
        neuron=batch.rows.neurons(frames),
        time=time + shift[frame_of],
    )


def remodelled(before: Compiled, after: Compiled, old: Reach, new: Reach) -> Places:
    """Return the devices whose model or class of a model is another one."""
    keys = {line.key: at for at, line in enumerate({line.key: line for line in (*before.lines, *after.lines)}.values())}
    size = min(len(old.known), len(new.known))
    was, now = (
        np.array([*(keys[line.key] for line in compiled.lines), -1], np.int32)[compiled.line_at[reach.device_class[:size]]]
        for compiled, reach in ((before, old), (after, new))
    )
    return np.flatnonzero(was != now)
