"""
The networks of a replay once more, on something else that runs networks.

Engines go by whole words, and frames end within them. So each network is run over all that it was given since its state was zero,
and what the replay then asks for is cut out of that.
"""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from spikebridge.detect.running import exact
from spikebridge_detectors.errors import ModelError
from spikebridge_detectors.network import Network
from spikebridge_detectors.raster import WORD_STEPS, pack, unpack

if TYPE_CHECKING:
    from collections.abc import Hashable

    from numpy.typing import NDArray

    from spikebridge.detect.running import Exact, Run
    from spikebridge.detect.served import Line
    from spikebridge_detectors.lif import State

    Ints = NDArray[np.int64]
    Spikes = NDArray[np.bool_]
    Words = NDArray[np.uint32]

MOST_CELLS = 1 << 25
"""So many steps of neurons are kept, and run elsewhere, for one alert."""


class _Call(NamedTuple):
    """Some steps of networks, `first` from zero on, as they were run: input [item, line, word] and answer [item, output, word]."""

    first: bool
    words: Words
    steps: Ints
    answered: Words


class Again(NamedTuple):
    """What another engine answered: so many spikes, of all that NumPy gave or it gave, are otherwise."""

    answers: dict[Hashable, list[Words]]
    differing: int

    def begin(self, key: Hashable) -> Exact:
        """Return what answers a run with that, call by call."""
        answers = iter(self.answers[key])
        return lambda _line, _states, _words, _steps: next(answers)


class Heard:
    """Runs networks of one line with NumPy, and keeps what they were given and what they answered."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._calls: dict[Hashable, list[_Call]] = {}
        self._line: Line | None = None
        self._cells = 0

    def __bool__(self) -> bool:
        """Say whether a network was run."""
        return self._line is not None

    @property
    def spikes(self) -> int:
        """Return how many spikes of outputs there were."""
        return sum(int(np.bitwise_count(call.answered).sum()) for calls in self._calls.values() for call in calls)

    def begin(self, key: Hashable) -> Exact:
        """Return what runs a run; one that is run twice is kept once."""
        calls, number = self._calls.setdefault(key, []), count()

        def run(line: Line, states: list[State], words: Words, steps: Ints) -> Words:
            first = not states[0].step
            answered = exact(line, states, words, steps, Network.run)
            if next(number) == len(calls):
                self._keep(line, calls, _Call(first, words, steps, answered))
            return answered

        return run

    def on(self, run: Run) -> Again:
        """Run all of it elsewhere; more than is kept is refused."""
        line = self._line
        if line is None:
            return Again({}, 0)
        streams = self._streams() if self._cells <= MOST_CELLS else []
        words = max((-(-len(stream) // WORD_STEPS) for stream in streams), default=0)
        if not words or _cells(line, len(streams), words) > MOST_CELLS:
            raise ModelError(f"expected at most {MOST_CELLS:,} steps of neurons, found more")
        given = np.zeros((words * WORD_STEPS, len(streams), line.inputs), np.bool_)
        for at, stream in enumerate(streams):
            given[: len(stream), at] = stream
        fired = unpack(run(line.network, line.network.zero(len(streams)), pack(given))[:, line.units])
        return self._cut(fired)

    def _keep(self, line: Line, calls: list[_Call], call: _Call) -> None:
        self._line = line
        self._cells += _cells(line, len(call.words), call.words.shape[2])
        if self._cells <= MOST_CELLS:
            calls.append(call)

    def _streams(self) -> list[Spikes]:
        """Return all that each network was given from zero on, as [step, line]."""
        streams: list[list[Spikes]] = []
        for call in (call for calls in self._calls.values() for call in calls):
            spikes = unpack(call.words)
            for item, steps in enumerate(call.steps.tolist()):
                if call.first:
                    streams.append([])
                streams[-1].append(spikes[:steps, item])
        return [np.concatenate(stream) for stream in streams]

    def _cut(self, fired: Spikes) -> Again:
        """Cut [step, network, output] into the answers of the calls."""
        answers: dict[Hashable, list[Words]] = {}
        network, differing, done = -1, 0, 0
        for key, calls in self._calls.items():
            answers[key] = []
            for call in calls:
                said = np.zeros((call.words.shape[2] * WORD_STEPS, len(call.steps), fired.shape[2]), np.bool_)
                for item, steps in enumerate(call.steps.tolist()):
                    network, done = (network + 1, 0) if call.first else (network, done)
                    said[:steps, item] = fired[done : done + steps, network]
                    done += steps
                answers[key].append(pack(said))
                differing += int(np.bitwise_count(answers[key][-1] ^ call.answered).sum())
        return Again(answers, differing)


def _cells(line: Line, networks: int, words: int) -> int:
    widest = max(line.inputs, *(layer.units for layer in line.network.layers))
    return networks * words * WORD_STEPS * widest
