"""Frames through networks, exact to the step, many devices at once."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from spikebridge.detect.served import MOST_STEPS
from spikebridge.spikes.columns import spread
from spikebridge_detectors import lif
from spikebridge_detectors.engine import engine
from spikebridge_detectors.raster import WORD_STEPS, pack, unpack

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from spikebridge.detect.frames import Inputs
    from spikebridge.detect.served import Line
    from spikebridge.detect.states import States
    from spikebridge_detectors.network import Network

    Ints = NDArray[np.int64]
    Places = NDArray[np.intp]
    Words = NDArray[np.uint32]
    Run = Callable[[Network, Sequence[lif.State], Words], Words]
    Exact = Callable[[Line, list[lif.State], Words, Ints], Words]
    Begin = Callable[[Hashable], Exact]

_CELLS = 1 << 21
"""So many numbers of a layer, or words of input, are held at once."""


class Answer(NamedTuple):
    """Rows that networks gave, in the order of frames, steps and outputs; times are effective."""

    frame: Places
    neuron: NDArray[np.uint32]
    time: Ints


class _Items(NamedTuple):
    """
    Runs of equally many whole words, the longest first.

    The frame of each, which step of the frame is its first, how many silent ones come before, and how many it is in all.
    """

    frame: Places
    first: Ints
    silent: Ints
    steps: Ints

    @property
    def words(self) -> int:
        """Return how many words the longest needs."""
        return -(-int(self.steps[0]) // WORD_STEPS) if len(self.steps) else 0

    def take(self, part: Places) -> _Items:
        """Return some of them."""
        return _Items(self.frame[part], self.first[part], self.silent[part], self.steps[part])


class _Fired(NamedTuple):
    """Spikes of outputs: in which item, at which of its steps."""

    item: Places
    output: Places
    step: Ints


def answer(states: States, inputs: Inputs, late_ns: int, run: Exact | None = None) -> Answer:
    """Run frames of one line, in log order, and leave the states where they end; `run` stands in for `exact`."""
    line, run = states.line, run or exact
    runs = _windows(states, inputs, run) if line.window else _carried(states, inputs, late_ns, run)
    found = [piece for piece in runs if len(piece[0])]
    if not found:
        return Answer(np.zeros(0, np.intp), np.zeros(0, np.uint32), np.zeros(0, np.int64))
    frame, step, output, time = (np.concatenate(column) for column in zip(*found, strict=True))
    order = np.lexsort((output, step, frame))
    return Answer(frame[order], line.neurons[output[order]], time[order])


def warm(lines: Iterable[Line]) -> str:
    """Run a word of silence through each network, and say on what: the first call in a process compiles."""
    for line in lines:
        exact(line, line.network.zero(1), np.zeros((1, line.inputs, 1), np.uint32), np.array([WORD_STEPS]))
    return engine().said.partition(";")[0]


def _carried(states: States, inputs: Inputs, late_ns: int, run: Exact) -> Iterator[tuple[Places, Ints, Places, Ints]]:
    """Run one frame of each device, then the next of each that has another."""
    line = states.line
    own = _own(line, inputs)
    for some in _rounds(inputs.device):
        start = inputs.start_ns[some]
        slots, covered = states.begin(inputs.device[some], inputs.append_ns[some] // line.memory_ns, start)
        silent = np.maximum(0, start - covered) // line.step_ns if line.step_ns else np.zeros(len(some), np.int64)
        long = silent + own[some] > MOST_STEPS
        states.clear(slots[long])
        silent[long] = 0
        total = silent + own[some]
        whole = total // WORD_STEPS
        for alike in _alike(whole, states.done[slots] if line.resets else whole):
            group = alike[np.argsort(-total[alike], kind="stable")]
            items = _Items(some[group], np.zeros(len(group), np.int64), silent[group], total[group])
            for part in _cut(line, len(group), items.words):
                place = slots[group[part]]
                held = states.take(place)
                fired = _fired(run(line, held, _words(line, inputs, items.take(part)), items.steps[part]))
                states.put(place, held)
                at = group[part][fired.item]
                step = fired.step - silent[at]
                time = _times(line, inputs, some[at], step)
                before = np.maximum(covered[at] + fired.step * line.step_ns, inputs.append_ns[some[at]] - late_ns)
                yield some[at], step, fired.output, np.where(step < 0, before, time)
        states.done[slots] += total
        if line.step_ns:
            states.covered(slots, start + own[some] * line.step_ns)


def _windows(states: States, inputs: Inputs, run: Exact) -> Iterator[tuple[Places, Ints, Places, Ints]]:
    """Run every window of every frame from zero."""
    line, window = states.line, states.line.window
    if window is None:
        return
    count = -(-_own(line, inputs) // window.steps)
    ends = np.cumsum(count)
    steps = window.steps + window.flush
    for part in _cut(line, int(count.sum()), -(-steps // WORD_STEPS)):
        frame = np.searchsorted(ends, part, "right")
        first = (part - (ends - count)[frame]) * window.steps
        items = _Items(frame, first, np.zeros(len(part), np.int64), np.full(len(part), steps))
        fired = _fired(run(line, line.network.zero(len(part)), _words(line, inputs, items), items.steps))
        frame, step = frame[fired.item], first[fired.item] + fired.step
        time = np.minimum(_times(line, inputs, frame, step), inputs.end_ns[frame])
        # two windows of a frame may reach the same step, the earlier one in its flush: the order of windows comes first
        yield frame, part[fired.item] * steps + fired.step, fired.output, time


def _own(line: Line, inputs: Inputs) -> Ints:
    """Return how many steps each frame is."""
    return (inputs.end_ns - inputs.start_ns) // line.step_ns + 1 if line.step_ns else inputs.n


def _times(line: Line, inputs: Inputs, frame: Places, step: Ints) -> Ints:
    """Return the times of steps of frames; behind the last event it is that one's."""
    if line.step_ns:
        found: Ints = inputs.start_ns[frame] + step * line.step_ns
        return found
    first = np.cumsum(inputs.n) - inputs.n
    of_events: Ints = inputs.time[first[frame] + np.minimum(step, inputs.n[frame] - 1)]
    return of_events


def _rounds(device: NDArray[np.int32]) -> Iterator[Places]:
    """Yield the first frames of all devices, then the second ones, and so on."""
    order = np.argsort(device, kind="stable")
    begins = np.flatnonzero(np.diff(device[order], prepend=device[order][:1] - 1))
    rank = np.empty(len(device), np.int64)
    rank[order] = np.arange(len(device)) - np.repeat(begins, np.diff(begins, append=len(device)))
    by_rank = np.argsort(rank, kind="stable")
    yield from np.split(by_rank, np.flatnonzero(np.diff(rank[by_rank])) + 1)


def _alike(*keys: Ints) -> Iterator[Places]:
    """Yield places of equal keys together."""
    _, which = np.unique(np.stack(keys), axis=1, return_inverse=True)
    order = np.argsort(which.ravel(), kind="stable")
    yield from np.split(order, np.flatnonzero(np.diff(which.ravel()[order])) + 1)


def _cut(line: Line, items: int, words: int) -> Iterator[Places]:
    """Cut so many items of so many words that those of a piece stay within bounds; of none there are none."""
    if words:
        most = max(1, _CELLS // (words * line.inputs))
        for low in range(0, items, most):
            yield np.arange(low, min(low + most, items))


def _words(line: Line, inputs: Inputs, items: _Items) -> Words:
    """Return the packed input of items, as [item, line, word]."""
    frame, n = items.frame, inputs.n[items.frame]
    item = np.repeat(np.arange(len(frame)), n)
    row = spread((np.cumsum(inputs.n) - inputs.n)[frame], n)
    step = (
        (inputs.time[row] - np.repeat(inputs.start_ns[frame], n)) // line.step_ns if line.step_ns else spread(np.zeros_like(n), n)
    )
    step = step - items.first[item]
    if line.window:
        inside = (step >= 0) & (step < line.window.steps)
        item, row, step = item[inside], row[inside], step[inside]
    step = step + items.silent[item]
    words = np.zeros((len(frame), line.inputs, items.words), np.uint32)
    bit = np.uint32(1) << (step % WORD_STEPS).astype(np.uint32)
    np.bitwise_or.at(words, (item, inputs.neuron[row], step // WORD_STEPS), bit)
    return words


def exact(line: Line, states: list[lif.State], words: Words, steps: Ints, run: Run | None = None) -> Words:
    """Run so many steps of each item, the last word's in part, and return the outputs as [item, output, word]; on the quickest engine, unless told."""
    network, run = line.network, run or _engine()
    whole = int(steps[0]) // WORD_STEPS
    widest = max(line.inputs, *(layer.units for layer in network.layers))
    width = max(1, _CELLS // (WORD_STEPS * widest * min(len(words), 256)))
    fired = np.zeros((len(words), len(line.units), words.shape[2]), np.uint32)
    for low in range(0, whole, width):
        high = min(whole, low + width)
        fired[:, :, low:high] = run(network, states, np.ascontiguousarray(words[:, :, low:high]))[:, line.units]
    if words.shape[2] > whole:
        fired[:, :, whole:] = _rest(line, states, words[:, :, whole:], steps % WORD_STEPS)
    return fired


def _rest(line: Line, states: list[lif.State], words: Words, steps: Ints) -> Words:
    """Run the steps of a last word one by one, each with those items that have so many: the first ones have most."""
    spikes = unpack(words)
    fired = np.zeros((WORD_STEPS, len(words), len(line.units)), np.bool_)
    for step in range(int(steps[0])):
        active = slice(0, int(np.count_nonzero(steps > step)))
        said = spikes[step : step + 1, active]
        for layer, state in zip(line.network.layers, states, strict=True):
            said = lif.advance(layer, state.part(active), said)
            state.step += 1
        fired[step, active] = said[0][:, line.units]
    return pack(fired)


@cache
def _engine() -> Run:
    """Look for the compiled engine once."""
    return engine().run


def _fired(words: Words) -> _Fired:
    """Return the spikes of packed outputs."""
    item, output, word = np.nonzero(words)
    bits = np.unpackbits(words[item, output, word].astype("<u4").view(np.uint8).reshape(-1, 4), axis=1, bitorder="little")
    which, bit = np.nonzero(bits)
    return _Fired(item[which], output[which], word[which] * WORD_STEPS + bit)
