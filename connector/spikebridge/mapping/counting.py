"""
Counting rules over the frames of a piece: look up, group, count.

Nothing is computed for a spike that no rule names: neurons are looked up first; times, devices and rules follow for the hits alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from spikebridge.mapping.recent import Recent
from spikebridge.mapping.windows import Windows
from spikebridge.spikes.batch import SUMMARY

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from spikebridge.limits import Limits
    from spikebridge.mapping.compile import Compiled
    from spikebridge.mapping.reach import Reach
    from spikebridge.spikes.batch import Batch

    Ints = NDArray[np.int64]
    Places = NDArray[np.intp]


class Hits(NamedTuple):
    """Rows that a rule may concern: device by device, each device's in log order."""

    frame: Places
    row: Places
    device: NDArray[np.int32]
    time: Ints
    weight: Ints | None
    now: Ints

    def take(self, at: Places | NDArray[np.bool_]) -> Hits:
        """Return some of the rows."""
        weight = None if self.weight is None else self.weight[at]
        return Hits(self.frame[at], self.row[at], self.device[at], self.time[at], weight, self.now[at])


class Crossing(NamedTuple):
    """The rows of a piece at which one rule's condition holds; `rule` is its position among the counting rules."""

    rule: int
    device: NDArray[np.int32]
    record: Places
    frame: Places
    row: Places
    time: Ints
    clock: Ints
    shifted: NDArray[np.bool_]


class Piece(NamedTuple):
    """The frames of a piece that count, each with its effective append time and by how much it is moved."""

    batch: Batch
    frames: Places
    now: Ints
    shift: Ints


class Counting:
    """The windows of every counting rule, and where recent hits lie."""

    def __init__(self, compiled: Compiled, limits: Limits) -> None:
        """Begin with no open window."""
        self._limits = limits
        self._compiled = compiled
        self._windows = [_windows(compiled, at) for at in range(len(compiled.counting))]
        self.recent = Recent(limits.look_back_ns)

    def switch(self, after: Compiled, old: Reach, new: Reach) -> None:
        """Carry the windows of unchanged rules over; empty those of devices that come into a rule's reach, or read layers anew."""
        before = self._compiled
        kept = {rule.info.id: at for at, rule in enumerate(before.counting)}
        reclassed = _reclassed(before, after, old, new)
        windows = []
        for at, rule in enumerate(after.counting):
            name = rule.info.id
            was = kept.get(name)
            if was is None or before.matching[name] != after.matching[name]:
                windows.append(_windows(after, at))
                continue
            window = self._windows[was]
            window.drop(_moved(old.of_counting(was), new.of_counting(at), reclassed if rule.layered else None))
            windows.append(window)
        self._windows = windows
        self._compiled = after

    def feed(self, piece: Piece, reach: Reach) -> list[Crossing]:
        """Count the frames of a piece (in log order) and return where conditions hold."""
        batch, frames = piece.batch, piece.frames
        tables = self._compiled.tables_of(reach.device_class[batch.device[frames]], batch.layer[frames])
        found: dict[int, list[Hits]] = {}
        for table in np.unique(tables).tolist():
            self._look_up(piece, np.flatnonzero(tables == table), table, found)
        crossings = []
        for rule, parts in sorted(found.items()):
            crossing = self._count(rule, _merged(parts), reach, piece)
            if crossing is not None:
                crossings.append(crossing)
        self._remember(piece, found)
        return crossings

    def close(self, now_ns: int) -> None:
        """Free windows that no later record can be counted with."""
        for window in self._windows:
            window.close(now_ns - self._limits.late_ns)
        self.recent.forget(now_ns)

    def drop(self, devices: NDArray[np.int32]) -> None:
        """Forget these devices."""
        for window in self._windows:
            window.drop(devices)
        self.recent.drop(devices)

    def _look_up(self, piece: Piece, at: Places, table: int, found: dict[int, list[Hits]]) -> None:
        """Find the rows of the frames of one table that rules name, and hand them to each rule."""
        batch = piece.batch
        at = at[np.argsort(batch.device[piece.frames[at]], kind="stable")]
        frames = piece.frames[at]
        neurons = batch.rows.neurons(frames)
        looked_up = self._compiled.tables[table]
        sets = looked_up.sets(neurons)
        if looked_up.summaries:
            sets = np.where(neurons == SUMMARY, np.uint16(looked_up.summaries), sets)
        hit = np.flatnonzero(sets != 0)
        if not len(hit):
            return
        ends = np.cumsum(batch.n[frames])
        frame_of = _owners(hit, ends)
        row = hit - (ends - batch.n[frames])[frame_of]
        time = batch.rows.times(frames, frame_of, row) + piece.shift[at][frame_of]
        weight = batch.rows.weights(frames, frame_of, row)
        hits = Hits(frames[frame_of], row, batch.device[frames][frame_of], time, weight, piece.now[at][frame_of])
        sets = sets[hit]
        if weight is not None and not weight.all():
            hits, sets = hits.take(weight > 0), sets[weight > 0]
        for rule, rows in self._by_rule(sets).items():
            found.setdefault(rule, []).append(hits if rows is None else hits.take(rows))

    def _by_rule(self, sets: NDArray[np.uint16]) -> dict[int, Places | None]:
        """Return the rows of each rule, ascending; None is all of them."""
        if not len(sets):
            return {}
        if (sets == sets[0]).all():
            return dict.fromkeys(self._compiled.sets[sets[0]])
        order = np.argsort(sets, kind="stable")
        ordered = sets[order]
        starts = np.flatnonzero(np.diff(ordered, prepend=ordered[0] ^ 1))
        pieces: dict[int, list[Places]] = {}
        for rows in np.split(order, starts[1:]):
            for rule in self._compiled.sets[sets[rows[0]]]:
                pieces.setdefault(rule, []).append(rows)
        return {rule: parts[0] if len(parts) == 1 else np.sort(np.concatenate(parts)) for rule, parts in pieces.items()}

    def _count(self, rule: int, hits: Hits, reach: Reach, piece: Piece) -> Crossing | None:
        since = reach.of_counting(rule)
        if since is not None:
            concerned = since[hits.device] <= hits.now
            if not concerned.all():
                hits = hits.take(concerned)
        if not len(hits.frame):
            return None
        holds, clock = self._windows[rule].feed(hits.device, hits.time, hits.weight)
        at = np.flatnonzero(holds)
        if not len(at):
            return None
        frame = hits.frame[at]
        moved = piece.shift[np.searchsorted(piece.frames, frame)] != 0
        return Crossing(rule, hits.device[at], piece.batch.record[frame], frame, hits.row[at], hits.time[at], clock[at], moved)

    def _remember(self, piece: Piece, found: dict[int, list[Hits]]) -> None:
        """Keep where hits of rules with windows lie, for evidence."""
        parts = [hits.frame for rule, many in found.items() if self._windows[rule].count > 1 for hits in many]
        if parts:
            frames = np.unique(np.concatenate(parts))
            batch = piece.batch
            now = piece.now[np.searchsorted(piece.frames, frames)]
            self.recent.add(batch.device[frames], batch.offset[batch.record[frames]], now)


def _windows(compiled: Compiled, rule: int) -> Windows:
    info = compiled.counting[rule].info
    return Windows(info.count, info.within_ns)


def _owners(hit: Places, ends: Ints) -> Places:
    """Return which frame each hit lies in, whether hits are few or many."""
    total = int(ends[-1])
    if len(hit) * 8 < total:
        return np.searchsorted(ends, hit, "right")
    return np.repeat(np.arange(len(ends)), np.diff(ends, prepend=0))[hit]


def _merged(parts: list[Hits]) -> Hits:
    """Bring the rows that a rule found through several tables back into one order."""
    if len(parts) == 1:
        return parts[0]
    weights = [np.ones(len(part.frame), np.int64) if part.weight is None else part.weight for part in parts]
    plain = all(part.weight is None for part in parts)
    joined = Hits(
        np.concatenate([part.frame for part in parts]),
        np.concatenate([part.row for part in parts]),
        np.concatenate([part.device for part in parts]),
        np.concatenate([part.time for part in parts]),
        None if plain else np.concatenate(weights),
        np.concatenate([part.now for part in parts]),
    )
    return joined.take(np.lexsort((joined.row, joined.frame, joined.device)))


def _moved(was: Ints | None, now: Ints | None, reclassed: NDArray[np.bool_] | None) -> Places:
    """Return the devices that a rule didn't concern, or read otherwise, before."""
    moved = np.zeros(0, np.bool_) if reclassed is None else reclassed.copy()
    if was is not None and now is not None:
        size = min(len(was), len(now))
        moved = np.pad(moved, (0, max(0, size - len(moved))))
        moved[:size] |= was[:size] != now[:size]
    return np.flatnonzero(moved)


def _reclassed(before: Compiled, after: Compiled, old: Reach, new: Reach) -> NDArray[np.bool_]:
    """Say which devices are of another class than before."""
    numbers = {name: reading.number for name, reading in after.readings.items()}
    renumbered = np.array([numbers.get(name, -1) for name in sorted(before.readings)], np.int32)
    size = min(len(old.known), len(new.known))
    changed: NDArray[np.bool_] = renumbered[old.device_class[:size]] != new.device_class[:size]
    return changed
