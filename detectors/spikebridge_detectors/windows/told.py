"""
An odd window in words: which columns surprised, what they usually are, and which two of them seldom go together.

Lines are stretches of what was learned: the median and the middle 98% of a column are edges of them. How often a line went with its context
is in the inhibition w that was learned, whole numbers up to 254, so this is coarse:

    share = 2 ** ((w - 255) / 32)        0.4% or fewer where w = 0
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from spikebridge_detectors.plot import raster
from spikebridge_detectors.windows import again, sums
from spikebridge_detectors.windows.bins import BINS, FAR
from spikebridge_detectors.windows.habits import ALWAYS
from spikebridge_detectors.windows.surprise import inhibited

if TYPE_CHECKING:
    from spikebridge_detectors.alarm import Alarm
    from spikebridge_detectors.windows.evidence import Seen

LEAST_SHARE = 2.0 ** (-255 / 32)
_MEDIAN, _LOW, _HIGH = 5, 1, 9
_DRAWN = 100


class Column(NamedTuple):
    """A column of the window: what it is, what it usually was, and the middle 98% of that; `far` is beyond all that was learned."""

    name: str
    value: float
    usual: float
    low: float
    high: float
    far: bool


class Surprise(NamedTuple):
    """
    What filled a neuron: a column, alone or while another one was as it is; how often that was so, and how much it counted.

    Each of two columns surprises given the other: said once, the way round that is rarer, with what both counted.
    """

    column: Column
    given: Column | None
    share: float
    counted: int


class Told(NamedTuple):
    """An alarm: what its neuron counted, the most that it bears, by how many deviations that is above normal windows; and the surprises, oddest first."""

    alarm: Alarm
    held: int
    threshold: int
    deviations: float
    surprises: list[Surprise]


def told(seen: Seen, alarm: Alarm) -> Told:
    """Say what an alarm of a window comes from."""
    neuron = sums.NEURONS.index(alarm.kind)
    learned, columns = seen.encoder.learned, _columns(seen)
    pairs, limits = learned.habits.pairs, learned.thresholds
    shares = 2.0 ** ((inhibited(learned.habits, seen.lines[np.newaxis])[0] - 255) / 32)
    weights = np.where(np.isin(seen.lines, FAR), sums.FAR_COUNTS, 1)
    found = dict[frozenset[int], Surprise]()
    for pair in np.flatnonzero((seen.fired > 0) & ((pairs.given == ALWAYS) == (neuron == 0))).tolist():
        given, column = int(pairs.given[pair]), int(pairs.column[pair])
        counted = int(seen.fired[pair]) * int(weights[column] if neuron == 0 else 1)
        one = Surprise(columns[column], columns[given] if given != ALWAYS else None, float(shares[pair]), counted)
        both = frozenset((given, column))
        found[both] = _joined(found[both], one) if both in found else one
    held = int(sums.counted(pairs, seen.lines[np.newaxis], seen.fired[np.newaxis])[0, neuron])
    deviations = (held - limits.mean[neuron]) / limits.spread[neuron]
    surprises = sorted(found.values(), key=lambda one: (-one.counted, one.share))
    return Told(alarm, held, limits.vth[neuron], deviations, surprises)


def _joined(one: Surprise, other: Surprise) -> Surprise:
    rarer = min(one, other, key=lambda each: each.share)
    return rarer._replace(counted=one.counted + other.counted)


def sentence(said: Told, device: str) -> str:
    """Return it as one sentence."""
    text = (
        f"{device}: {said.held:,} spikes in a window, where {said.threshold:,} are the most, "
        f"{said.deviations:.1f} deviations above normal ones"
    )
    return f"{text}; the oddest: {described(said.surprises[0])}" if said.surprises else text


def described(one: Surprise) -> str:
    """Return one surprise in words."""
    column, such = one.column, "such windows" if one.given else "windows"
    seldom = f"so in {one.share:.1%} of {such}{' or fewer' if one.share <= LEAST_SHARE else ''}"
    if one.given:
        return f"{_valued(column)} while {_valued(one.given)}: {seldom}"
    return f"{_valued(column)}, {'far beyond' if column.far else f'{seldom}, against'} a learned {column.usual:.4g} ({column.low:.4g} to {column.high:.4g})"


def picture(seen: Seen, said: Told, device: str) -> str:
    """Return an SVG of the steps for which the window is held: its lines, what surprised layer 1, and the neurons of layer 2."""
    lines = again.lines_of(seen)
    names = [column.name for column in _columns(seen)]
    active = np.arange(len(names)) * BINS + seen.lines
    rows = [
        (f"{name} in {line + 1} of {BINS}", np.flatnonzero(lines[:, at]))
        for name, line, at in zip(names, seen.lines.tolist(), active.tolist(), strict=True)
    ]
    first, pairs = again.first_layer(seen), seen.encoder.learned.habits.pairs
    for pair in np.argsort(-seen.fired, kind="stable")[: _DRAWN - len(rows)].tolist():
        given, column = int(pairs.given[pair]), int(pairs.column[pair])
        name = names[column] if given == ALWAYS else f"{names[column]} while {names[given]}"
        rows.append((f"1: odd {name}", np.flatnonzero(first[:, pair * BINS + seen.lines[column]])))
    rows += [(f"2: {part.name}", np.flatnonzero(part.fired[:, 0])) for part in again.parts(seen)[-len(sums.NEURONS) :]]
    return raster(rows, title=f"{said.alarm.kind} of {device}", x="steps of the window")


def _columns(seen: Seen) -> list[Column]:
    """Return the columns of a window, each channel's behind one another."""
    edges = seen.encoder.learned.edges
    names = [
        f"{name or f'channel {number}'} {what}"
        for number, name in enumerate(seen.start.names, 1)
        for what in seen.encoder.columns
    ]
    usual, low, high = (edges[row].tolist() for row in (_MEDIAN, _LOW, _HIGH))
    far = np.isin(seen.lines, FAR).tolist()
    return [Column(*one) for one in zip(names, seen.values.tolist(), usual, low, high, far, strict=True)]


def _valued(column: Column) -> str:
    return f"{column.name} {column.value:.4g}"
