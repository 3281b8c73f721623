"""
Series of one device, power, vibration or rf, by a model that was learned before.

The model learns nothing here, so a restart runs it over the file again from the beginning and tells what is behind the last save.
"""

from __future__ import annotations

import hashlib
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np

from spikebridge_detectors.capture.series import Samples
from spikebridge_detectors.elapsed import SECOND_NS
from spikebridge_detectors.evidence import MOST_SENT
from spikebridge_detectors.sense.outputs import within
from spikebridge_detectors.sense.sensor import LIFE_NS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from spikebridge_detectors.sense.judge import Judge, Odd
    from spikebridge_detectors.sense.loop import Target
    from spikebridge_detectors.sense.saved import Source
    from spikebridge_detectors.sense.state import State

    Encode = Callable[["Spikes", int, int], bytes]
    """Makes a frame of spikes, a boot id and a number."""

TOGETHER = 256
"""So many frames are made at once: each may have evidence."""


class Spikes(NamedTuple):
    """
    Spikes of one second of the series, each so many nanoseconds after the first; none prove that the device lives.

    `evidence` is that of the oddest of them, if a frame can carry it.
    """

    start_ns: int
    neurons: list[int]
    after_ns: list[int]
    oddest: Odd | None = None
    evidence: bytes = b""


def spikes(odd: list[Odd], numbers: Mapping[str, int]) -> list[Spikes]:
    """Return alarms, of which there may be one for each sample, by the second."""
    ordered = sorted(odd, key=lambda one: (within(one.alarm.time_ns), numbers[one.alarm.kind]))
    found: list[Spikes] = []
    for second, group in groupby(ordered, key=lambda one: within(one.alarm.time_ns) // SECOND_NS):
        some = list(group)
        times = [within(one.alarm.time_ns) for one in some]
        oddest = max(some, key=lambda one: one.alarm.score)
        start_ns = max(times[0], second * SECOND_NS)
        found.append(Spikes(start_ns, [numbers[one.alarm.kind] for one in some], [at - times[0] for at in times], oddest))
    return found


class SeriesLoop:
    """One run over one series: `advance` takes its pieces from the beginning, of which those that were dealt with tell nothing."""

    def __init__(self, state: State, source: Source, judge: Judge, target: Target, encode: Encode) -> None:
        """Go on from the state."""
        self.samples = self.frames = self.alarms = 0
        self._state, self._source = state, source
        self._judge = judge
        self._target, self._encode = target, encode
        self._read, self._seq = 0, state.saved.seq
        self._lived: int | None = None
        self._save()

    def advance(self, samples: Samples) -> None:
        """Deal with a piece."""
        known = min(max(self._source.rows - self._read, 0), len(samples.time_ns))
        self._told(_cut(samples, slice(known)))
        behind = _cut(samples, slice(known, None))
        told = self._told(behind)
        self._read += len(samples.time_ns)
        if not len(behind.time_ns):
            return
        self._state.dealt = True
        self.samples += len(behind.time_ns)
        self.alarms += sum(len(one.neurons) for one in told)
        for first in range(0, len(told), TOGETHER):
            self._out(told[first : first + TOGETHER])
        self._source = msgspec.structs.replace(self._source, rows=self._read)
        self._save()

    def _out(self, told: list[Spikes]) -> None:
        """Append frames with evidence of the oddest window of each; what is too large to travel is kept."""
        made = self._judge.evidence(one.oddest for one in told if one.oddest)
        evidence = [made.get(one.oddest.end, b"") if one.oddest else b"" for one in told]
        frames: list[bytes] = []
        for one, its in zip(told, evidence, strict=True):
            sent = one._replace(evidence=its) if len(its) <= MOST_SENT else one
            frame = self._encode(sent, self._state.saved.boot, self._seq + len(frames))
            if its and not sent.evidence:
                self._state.keep(hashlib.sha256(frame).hexdigest()[:16], its)
            frames.append(frame)
        self._target.append(frames)
        self._seq += len(frames)
        self.frames += len(frames)

    def _told(self, samples: Samples) -> list[Spikes]:
        """Return spikes and proofs of life in the order of time."""
        if not len(samples.time_ns):
            return []
        stretch = samples.time_ns // LIFE_NS
        new = np.flatnonzero(np.diff(stretch, prepend=stretch[0] - 1 if self._lived is None else self._lived))
        self._lived = int(stretch[-1])
        lives = [Spikes(within(at), [], []) for at in samples.time_ns[new].tolist()]
        return sorted([*lives, *spikes(self._judge.advance(samples), self._judge.numbers)], key=lambda one: one.start_ns)

    def _save(self) -> None:
        target, written = self._target.place()
        sources = [*self._state.saved.sources[:-1], self._source]
        self._state.save(
            msgspec.structs.replace(self._state.saved, seq=self._seq, target=target, written=written, sources=sources)
        )


def _cut(samples: Samples, part: slice) -> Samples:
    return Samples(samples.time_ns[part], samples.values[part], samples.labels[part])
