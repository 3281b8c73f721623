"""Judging samples of one device piece by piece, and the evidence of what was odd in the last piece."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from spikebridge_detectors import evidence
from spikebridge_detectors.errors import ModelError
from spikebridge_detectors.evidence import Evidence, Said
from spikebridge_detectors.vibration.encode import Moved
from spikebridge_detectors.windows.encoder import encoder_of
from spikebridge_detectors.windows.evidence import MOST_INPUT, Start, pack, row, to_rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from spikebridge_detectors.alarm import Alarm
    from spikebridge_detectors.capture.series import Samples
    from spikebridge_detectors.model.file import Model


class Odd(NamedTuple):
    """An alarm, and which of the samples that are held ends its window."""

    alarm: Alarm
    end: int


class Judge:
    """What judges one device by a model; it holds the last piece, and the samples before it that windows of that piece have."""

    def __init__(self, model: Model, device: str, names: Sequence[str]) -> None:
        """Begin with channels of these names."""
        self.encoder = encoder_of(model)
        if len(names) != self.encoder.channels:
            raise ModelError(f"{model.header.name}: expected {self.encoder.channels} channels, found {len(names)}")
        self.numbers = {output.name: output.neuron for output in model.header.outputs}
        self.fits = self.encoder.length * row(len(names)).itemsize <= MOST_INPUT
        self.device = device
        self._model, self._names = model, tuple(names)
        self._advance = self.encoder.judge()
        self._time_ns, self._values = np.zeros(0, np.int64), np.zeros((0, len(names)))
        self._moved = Moved()
        self._count = 0

    def advance(self, samples: Samples) -> list[Odd]:
        """Return what is odd in a piece."""
        over = max(0, len(self._time_ns) - self.encoder.length + 1)
        self.encoder.skip(self._values[:over], self._moved)
        first = self._count - len(self._time_ns) + over
        self._time_ns = np.concatenate((self._time_ns[over:], samples.time_ns))
        self._values = np.concatenate((self._values[over:], samples.values))
        numbers = self._count + np.arange(len(samples.time_ns))
        self._count += len(samples.time_ns)
        ends = [alarm._replace(time_ns=alarm.time_ns - first) for alarm in self._advance(samples._replace(time_ns=numbers))]
        return [Odd(alarm._replace(time_ns=int(self._time_ns[alarm.time_ns])), alarm.time_ns) for alarm in ends]

    def evidence(self, odd: Iterable[Odd]) -> dict[int, bytes]:
        """Return the evidence of windows of the last piece by where they end; none where a window doesn't fit."""
        found: dict[int, bytes] = {}
        moved, before = deepcopy(self._moved), 0
        for one in sorted(odd, key=lambda one: one.end) if self.fits else ():
            window = slice(one.end - self.encoder.length + 1, one.end + 1)
            self.encoder.skip(self._values[before : window.start], moved)
            before = window.start
            held = Evidence(
                self._said(one.alarm), pack(Start(self._names, moved)), to_rows(self._time_ns[window], self._values[window])
            )
            found[one.end] = evidence.written(held)
        return found

    def _said(self, alarm: Alarm) -> Said:
        return Said(
            device=self.device,
            detector=self._model.header.encoder.name,  # type: ignore[arg-type]  # encoder_of refuses others
            model=self._model.digest,
            neuron=self.numbers[alarm.kind],
            kind=alarm.kind,
            time_ns=alarm.time_ns,
            score=alarm.score,
        )
