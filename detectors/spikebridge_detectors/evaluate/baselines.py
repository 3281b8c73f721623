"""What others do, by the same protocol: minutes of packets, a score for each, and a threshold from the days of training."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple, Protocol, Self

import numpy as np

from spikebridge_detectors.alarm import Alarm
from spikebridge_detectors.elapsed import SECOND_NS
from spikebridge_detectors.errors import ModelError
from spikebridge_detectors.evaluate import autoencoders
from spikebridge_detectors.evaluate.forest import Forest, grow
from spikebridge_detectors.evaluate.measure import Row, clean
from spikebridge_detectors.evaluate.protocol import TOLERANCE_NS
from spikebridge_detectors.rules.ewma import Average
from spikebridge_detectors.rules.threshold import DAY, Budget, reached

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from spikebridge_detectors.capture.columns import Packets
    from spikebridge_detectors.evaluate.data import Capture

WINDOW_S = 60
MOST_WINDOWS = 1 << 20
_SLACK = 0.5
_LEAST_DEVIATION = 0.3
_LEAST_SCORE = 1e-6
_SEED = 20_261_121
_SYN = 2
_LATE_NS = TOLERANCE_NS + WINDOW_S * SECOND_NS
_LOWEST, _HIGHEST = 0.01, 100.0
_HALVINGS = 12


class Windows(NamedTuple):
    """Each minute from the first packet to the last, also those without: its end, its second, and what it holds [window, feature]."""

    end_ns: NDArray[np.int64]
    second: NDArray[np.int64]
    features: NDArray[np.float64]

    @property
    def level(self) -> NDArray[np.float64]:
        """Return log(1 + packets)."""
        level: NDArray[np.float64] = self.features[:, 0]
        return level


class Score(Protocol):
    """What scores minutes by what it learned of others."""

    @classmethod
    def learn(cls, found: Windows) -> Self:
        """Learn from minutes."""

    def scores(self, found: Windows, most: float) -> NDArray[np.float64]:
        """Return a score for each minute; what adds up begins anew where it passes `most`."""


@dataclass(frozen=True, slots=True)
class Packet:
    """How far the number of packets is off, both ways."""

    mean: float
    deviation: float

    @classmethod
    def learn(cls, found: Windows) -> Packet:
        """Learn mean and deviation."""
        return cls(float(found.level.mean()), float(found.level.std()))

    def off(self, found: Windows) -> NDArray[np.float64]:
        """Return deviations from the mean."""
        return (found.level - self.mean) / max(self.deviation, _LEAST_DEVIATION)

    def scores(self, found: Windows, most: float) -> NDArray[np.float64]:  # noqa: ARG002  nothing adds up here
        """Return deviations without their sign."""
        return np.abs(self.off(found))


@dataclass(frozen=True, slots=True)
class Cusum:
    """What adds up of such deviations beyond half of one, each way."""

    packets: Packet

    @classmethod
    def learn(cls, found: Windows) -> Cusum:
        """Learn mean and deviation."""
        return cls(Packet.learn(found))

    def scores(self, found: Windows, most: float) -> NDArray[np.float64]:
        """Return the larger of both sums."""
        sums = np.empty(len(found.level))
        up = down = 0.0
        for at, z in enumerate(self.packets.off(found).tolist()):
            up, down = max(0.0, up + z - _SLACK), max(0.0, down - z - _SLACK)
            sums[at] = max(up, down)
            if sums[at] > most:
                up = down = 0.0
        return sums


@dataclass(frozen=True, slots=True)
class Ewma:
    """How far the number of packets is off an average that forgets."""

    packets: Packet

    @classmethod
    def learn(cls, found: Windows) -> Ewma:
        """Learn what the average begins with."""
        return cls(Packet.learn(found))

    def scores(self, found: Windows, most: float) -> NDArray[np.float64]:  # noqa: ARG002  the average goes on in any case
        """Return deviations from the average of the minutes before."""
        average = Average(self.packets.mean, self.packets.deviation**2)
        return np.abs([average.advance(x) for x in found.level.tolist()])


@dataclass(frozen=True, slots=True)
class Isolation:
    """An isolation forest over what minutes hold."""

    forest: Forest

    @classmethod
    def learn(cls, found: Windows) -> Isolation:
        """Grow the forest, each time the same."""
        return cls(grow(found.features, np.random.default_rng(_SEED)))

    def scores(self, found: Windows, most: float) -> NDArray[np.float64]:  # noqa: ARG002  nothing adds up here
        """Return how odd each minute is."""
        return self.forest.scores(found.features)


@dataclass(frozen=True, slots=True)
class Autoencoders:
    """Autoencoders over what minutes hold."""

    ensemble: autoencoders.Ensemble

    @classmethod
    def learn(cls, found: Windows) -> Autoencoders:
        """Learn in one pass, each time the same."""
        return cls(autoencoders.learn(found.features, np.random.default_rng(_SEED)))

    def scores(self, found: Windows, most: float) -> NDArray[np.float64]:  # noqa: ARG002  nothing adds up here
        """Return how badly each minute is reproduced."""
        return self.ensemble.scores(found.features)


class Learned(NamedTuple):
    """A score and what it may be at most."""

    score: Score
    most: float


@dataclass(frozen=True, slots=True)
class Minutes:
    """
    A detector of odd minutes, or of other windows; `scale` raises or lowers what it learned as a threshold.

    `day_s` takes shorter pieces for days, where only minutes were recorded.
    """

    name: str
    score: type[Score]
    per_day: float = 1.0
    scale: float = 1.0
    window_s: int = WINDOW_S
    day_s: int = DAY

    def learn(self, packets: Packets) -> Learned:
        """Learn from days of one device; each is scored by what the others taught."""
        found = windows(packets, self.window_s)
        day = found.second // self.day_s
        seconds, scores = [], []
        for number in np.unique(day):
            inside = day == number
            if inside.all():
                raise ModelError("training: expected packets of two days at least, found one")
            part = Windows._make(column[inside] for column in found)
            seconds.append(part.second)
            scores.append(self.score.learn(Windows._make(column[~inside] for column in found)).scores(part, np.inf))
        length = len(found.second) * self.window_s
        budget = Budget(self.per_day * length / DAY, length / self.day_s, self.day_s)
        most = max(reached(np.concatenate(seconds), np.concatenate(scores), budget), _LEAST_SCORE)
        return Learned(self.score.learn(found), most)

    def scan(self, packets: Packets, state: Learned, until_ns: int | None = None) -> list[Alarm]:  # noqa: ARG002  a minute without packets scores nothing
        """Return the minutes that score too high, at their end."""
        if not len(packets.time_ns):
            return []
        found = windows(packets, self.window_s)
        most = state.most * self.scale
        scores = state.score.scores(found, most)
        odd = np.flatnonzero(scores > most)
        return [Alarm(int(found.end_ns[at]), int(packets.device[0]), self.name, float(scores[at]) / most) for at in odd]


def rows() -> list[Row]:
    """Return each as a row of the measurement; a minute must be over before it is judged, so each may be that much later."""
    return [Row(name, (Minutes(name, score),), late_ns=_LATE_NS) for name, score in scores("minute").items()]


def scores(window: str) -> dict[str, type[Score]]:
    """Return what scores windows, by a name that says what windows they are."""
    return {
        f"packets per {window}": Packet,
        f"EWMA of {window}s": Ewma,
        f"CUSUM of {window}s": Cusum,
        f"isolation forest of {window}s": Isolation,
        f"autoencoders of {window}s": Autoencoders,
    }


def oracle(row: Row, capture: Capture, per_day: float = 1.0) -> Row:
    """Return a row with the lowest thresholds, all scaled alike, that hold the budget on the days that are reported."""
    low, high = math.log(_LOWEST), math.log(_HIGHEST)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        found = clean(_scaled(row, math.exp(middle)), capture).all.rate
        low, high = (low, middle) if found <= per_day else (middle, high)
    return _scaled(row, math.exp(high))


def _scaled(row: Row, scale: float) -> Row:
    detectors = tuple(replace(one, scale=scale) if isinstance(one, Minutes) else one for one in row.detectors)
    return Row(f"{row.name}, threshold chosen afterwards", detectors, row.view, row.learned, row.late_ns)


def windows(packets: Packets, window_s: int = WINDOW_S) -> Windows:
    """Return the minutes of packets, or windows of another length."""
    minute = packets.time_ns // (window_s * SECOND_NS)
    begun, count = int(minute.min()), int(minute.max()) - int(minute.min()) + 1
    if count > MOST_WINDOWS:
        raise ModelError(f"expected packets of at most {MOST_WINDOWS} windows of {window_s} s, found {count}")
    at = minute - begun
    number = np.bincount(at, minlength=count)

    def total(values: NDArray[np.generic]) -> NDArray[np.float64]:
        sums: NDArray[np.float64] = np.bincount(at, values.astype(np.float64), minlength=count).astype(np.float64)
        return sums

    def spread(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        mean, square = total(values) / np.maximum(number, 1), total(values**2) / np.maximum(number, 1)
        return mean, np.sqrt(np.maximum(square - mean**2, 0))

    gap = np.log1p(np.maximum(np.diff(packets.time_ns, prepend=packets.time_ns[:1]), 0) / 1e6)
    ports = np.unique(np.stack([at, packets.target_port.astype(np.int64)]), axis=1)[0]
    features = (
        np.log1p(number),
        total(packets.outgoing) / np.maximum(number, 1),
        *spread(packets.length.astype(np.float64)),
        *spread(gap),
        total(packets.flags & _SYN > 0) / np.maximum(number, 1),
        np.log1p(np.bincount(ports, minlength=count)),
    )
    second = np.arange(count) * window_s
    return Windows((begun + 1 + np.arange(count)) * (window_s * SECOND_NS), second, np.stack(features, axis=1))
