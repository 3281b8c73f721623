"""
Learning one device, or a class of them: marks, habits, and the thresholds at which days of training would have been quiet enough.

A class knows what any of its devices does habitually. Its days are numbered for each device from its first packet on, and held back on all
devices at once: what befalls a site befalls all.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from spikebridge_detectors.elapsed import DAY_NS, PIECE, SECOND_NS, elapsed
from spikebridge_detectors.errors import ModelError
from spikebridge_detectors.timing.calibrate import Clean, calibrated
from spikebridge_detectors.timing.habits import strengthen
from spikebridge_detectors.timing.marks import Alphabet, Lines, Seen, encode, learn_alphabet
from spikebridge_detectors.timing.surprise import MOST_EXPECTED, Habits, surprises
from spikebridge_detectors.timing.ticks import Thresholds, Tick

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from spikebridge_detectors.capture.columns import Packets
    from spikebridge_detectors.timing.calibrate import Budget

DAY_S = DAY_NS // SECOND_NS
LEAST_DAYS, MOST_DAYS = 3, 31
MOST_LEARNED = 1 << 24
SURPRISING_MINUTES = 48
"""So many minutes of a normal day hold a surprise: what is familiar is set by that."""

FADES = 1, 2, 4, 8, 16, 32, 64
"""Synapses fade at each so-many-th spike of their pair: as slowly as the minutes of a busy device need."""

_MOST_PARTS = 7
_HOURS = 24
_MINUTE = 60


@dataclass(frozen=True, slots=True, eq=False)
class Learned:
    """What was learned of one device: this and the network is all that its alarms come from."""

    alphabet: Alphabet
    habits: Habits
    thresholds: Thresholds


class Days(NamedTuple):
    """Packets of one device with the second since the first, its hour, and the part of the training that they lie in."""

    packets: Packets
    second: NDArray[np.int64]
    hour: NDArray[np.int64]
    part: NDArray[np.int64]
    parts: int
    length: int


def learn(packets: Packets, budget: Budget, day_s: int = DAY_S) -> Learned:
    """
    Learn a device from days of its packets, without labels; each of its days is scored by what the others taught.

    Something is familiar only if it would be without any single day. `day_s` takes shorter pieces for days, where only minutes were recorded.
    """
    days = cut([packets], day_s)
    return learned(days, [judged(days, part) for part in range(parts(days))], budget)


def cut(devices: Sequence[Packets], day_s: int = DAY_S) -> list[Days]:
    """Cut the training of each device of a class into days, or into seven parts where there are more."""
    seconds = [_seconds(packets.time_ns) for packets in devices if _countable(packets)]
    counts = [int(second[-1]) // day_s + 1 for second in seconds]
    for count in counts:
        if not LEAST_DAYS <= count <= MOST_DAYS:
            raise ModelError(f"training: expected packets of {LEAST_DAYS} to {MOST_DAYS} days, found {count}")
    length = day_s if max(counts) <= _MOST_PARTS else max(int(second[-1]) for second in seconds) // _MOST_PARTS + 1
    return [
        Days(packets, second, second // max(day_s // _HOURS, 1), second // length, int(second[-1]) // length + 1, length)
        for packets, second in zip(devices, seconds, strict=True)
    ]


def parts(days: Sequence[Days]) -> int:
    """Return into how many parts the training was cut."""
    return max(one.parts for one in days)


def judged(days: Sequence[Days], part: int) -> list[Clean]:
    """Return the surprises of a part of the training, by what the others taught, of each device."""
    _, habits, lines = _habits(days, [other for other in range(parts(days)) if other != part])
    found = []
    for one, line in zip(days, lines, strict=True):
        inside, after = one.part == part, one.second[one.part > part][:1].tolist()
        seconds = ticks(one.second[inside], counted(habits, Lines(*(column[inside] for column in line))))
        found.append(Clean(seconds, after[0] if seconds and after else None))
    return found


def learned(days: Sequence[Days], clean: Sequence[Sequence[Clean]], budget: Budget) -> Learned:
    """Return what all days teach; `clean` is what `judged` gave for each part. As many worst days are spared as there are devices."""
    alphabet, habits, _ = _habits(days, range(parts(days)))
    length = sum(one.parts * one.length for one in days) * SECOND_NS / DAY_NS
    every = [day for part in clean for day, one in zip(part, days, strict=True)]
    return Learned(alphabet, habits, calibrated(every, length, replace(budget, spared=budget.spared * len(days))))


def adapted(known: Learned, packets: Packets, budget: Budget, day_s: int = DAY_S) -> Learned:
    """
    Return what a class knows with thresholds of one of its devices, by days of its own packets, one at least; none below the class's.

    No habit is learned, so a single day is enough: what the class knows didn't come from it.
    """
    second = _seconds(packets.time_ns) if _countable(packets) else np.zeros(0, np.int64)
    part = second // day_s
    count = int(part[-1]) + 1
    if count > MOST_DAYS:
        raise ModelError(f"adapting: expected packets of 1 to {MOST_DAYS} days, found {count}")
    surprised = counted(known.habits, encode(known.alphabet, packets, Seen()))
    days = []
    for number in range(count):
        seconds, after = ticks(second[part == number], surprised[part == number]), second[part > number][:1].tolist()
        days.append(Clean(seconds, after[0] if seconds and after else None))
    spared = min(budget.spared, count - 1)
    own = calibrated(days, count * day_s * SECOND_NS / DAY_NS, replace(budget, spared=spared))
    return replace(known, thresholds=Thresholds(*map(max, own, known.thresholds)))


def counted(habits: Habits, lines: Lines) -> NDArray[np.int64]:
    """Return how much each packet surprises."""
    return weighed(*surprises(habits, lines), lines.new)


def weighed(gap: NDArray[np.bool_], own: NDArray[np.bool_], new: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return 1 for a surprise, one more if both gaps are one, and two if the mark is new."""
    return gap.astype(np.int64) + own + 2 * (new & (gap | own))


def ticks(second: NDArray[np.int64], count: NDArray[np.int64]) -> list[Tick]:
    """Return the seconds that hold packets; `second` never falls."""
    if not second.size:
        return []
    first = np.flatnonzero(np.diff(second, prepend=second[0] - 1))
    return [Tick(*tick) for tick in zip(second[first].tolist(), np.add.reduceat(count, first).tolist(), strict=True)]


def _countable(packets: Packets) -> bool:
    if not 0 < len(packets.time_ns) <= MOST_LEARNED:
        raise ModelError(f"training: expected 1 to {MOST_LEARNED} packets of a device, found {len(packets.time_ns)}")
    return True


def _seconds(time_ns: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the second since the first packet."""
    second = np.empty(len(time_ns), np.int64)
    before, base = None, 0
    for first in range(0, len(time_ns), PIECE):
        piece = elapsed(time_ns[first : first + PIECE], before) + base % SECOND_NS
        second[first : first + PIECE] = piece // SECOND_NS + base // SECOND_NS
        before, base = int(time_ns[first : first + PIECE][-1]), int(piece[-1]) + base - base % SECOND_NS
    return second


def _habits(days: Sequence[Days], some: Sequence[int]) -> tuple[Alphabet, Habits, list[Lines]]:
    """Learn from some parts, and return the lines of all packets of each device beside it."""
    chosen = [np.isin(one.part, some) for one in days]
    alphabet = _alphabet(days, chosen)
    lines = [encode(alphabet, one.packets, Seen()) for one in days]
    minutes, last = [], 0
    for one, inside in zip(days, chosen, strict=True):
        minutes.append(one.second[inside] // _MINUTE + last)
        last += int(one.second[-1]) // _MINUTE + 1
    length = sum(one.length for one in days for part in some if part < one.parts)
    allowed = round(SURPRISING_MINUTES * length / DAY_S)
    for fades in FADES:
        taught = [_taught(one, line, inside, fades) for one, line, inside in zip(days, lines, chosen, strict=True)]
        gap, own = (np.maximum.reduce(weights) for weights in zip(*taught, strict=True))
        familiar = [
            np.minimum(gap[line.pair, line.gap], own[line.pair, line.own])[inside]
            for line, inside in zip(lines, chosen, strict=True)
        ]
        expected = _expected(np.concatenate(familiar), np.concatenate(minutes), allowed)
        if expected >= 0:
            break
    return alphabet, Habits(gap, own, max(expected, 0)), lines


def _alphabet(days: Sequence[Days], chosen: Sequence[NDArray[np.bool_]]) -> Alphabet:
    """Choose the marks and pairs of a class, whose devices follow one another; a pair at their seams is seen once and counts for nothing."""
    packets = type(days[0].packets)._make(np.concatenate(column) for column in zip(*(one.packets for one in days), strict=True))
    hour, part = [], []
    for number, one in enumerate(days):
        hour.append(one.hour + number * (int(max(other.hour[-1] for other in days)) + 1))
        part.append(one.part + number * parts(days))
    return learn_alphabet(packets, np.concatenate(hour), np.concatenate(part), np.concatenate(chosen))


def _taught(one: Days, lines: Lines, inside: NDArray[np.bool_], fades: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the weights that a device teaches, each the least of those without one of its parts."""
    rest = [inside & (one.part != part) for part in np.unique(one.part[inside]).tolist()]
    gap, own = (
        np.minimum.reduce([strengthen(lines.pair[left], line[left], fades) for left in rest]) & ~1
        for line in (lines.gap, lines.own)
    )
    return gap, own


def _expected(familiar: NDArray[np.int64], minute: NDArray[np.int64], most: int) -> int:
    """Return the inhibition up to which a gap is a surprise, so that at most so many minutes hold one; -1 where more do."""
    if not familiar.size:
        return MOST_EXPECTED
    first = np.flatnonzero(np.diff(minute, prepend=minute[0] - 1))
    least = np.sort(np.minimum.reduceat(familiar, first))
    return int(min(least[most] - 1, MOST_EXPECTED)) if most < len(least) else MOST_EXPECTED
