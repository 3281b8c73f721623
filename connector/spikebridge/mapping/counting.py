"""
Counting rules over the frames of a piece: look up, group, count.

Nothing is computed for a spike that no rule names: neurons are looked up first; times, devices and rules follow for the hits alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from spikebridge.mapping.columns import borders
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
    """Rows that a rule may concern, device by device, each device's in log order; `frame` is a position in the piece."""

    frame: Places
    row: Places
    time: Ints
    weight: Ints | None

    def take(self, at: Places | NDArray[np.bool_]) -> Hits:
        """Return some of the rows."""
        return Hits(self.frame[at], self.row[at], self.time[at], None if self.weight is None else self.weight[at])


class Named(NamedTuple):
    """Those of some hits that one rule names; `at` None is all of them."""

    hits: Hits
    at: Places | None

    def rows(self) -> Hits:
        """Return them as rows of their own."""
        return self.hits if self.at is None else self.hits.take(self.at)


class Crossing(NamedTuple):
    """The first row of each frame at which one rule's condition holds; `rule` is its position among the counting rules."""

    rule: int
    device: NDArray[np.int32]
    record: Places
    frame: Places
    row: Places
    time: Ints
    clock: Ints
    shifted: NDArray[np.bool_]


class Piece(NamedTuple):
    """The frames of a piece that count, in log order, each with its effective append time and by how much it is moved."""

    batch: Batch
    frames: Places
    now: Ints
    shift: Ints

    @property
    def device(self) -> NDArray[np.int32]:
        """The devices of the frames."""
        return self.batch.device[self.frames]


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
        self._limits = after.revision.rule_set.limits
        self.recent.keep_ns = self._limits.look_back_ns

    def feed(self, piece: Piece, reach: Reach) -> list[Crossing]:
        """Count the frames of a piece and return where conditions hold."""
        if not len(piece.frames):
            return []
        device = piece.device
        tables = self._compiled.tables_of(reach.device_class[device], piece.batch.layer[piece.frames])
        found: dict[int, list[Named]] = {}
        for table in np.flatnonzero(np.bincount(tables)).tolist():
            self._look_up(piece, np.flatnonzero(tables == table), table, found)
        crossings = [self._count(rule, _merged(parts, device), reach, piece) for rule, parts in sorted(found.items())]
        self._remember(piece, found)
        return [crossing for crossing in crossings if crossing is not None]

    def close(self, now_ns: int) -> None:
        """Free windows that no later record can be counted with."""
        for window in self._windows:
            window.close(now_ns - self._limits.late_ns)
        self.recent.forget(now_ns)

    def empty(self, devices: Places) -> None:
        """Empty every window of these devices."""
        for window in self._windows:
            window.drop(devices)

    def drop(self, devices: NDArray[np.int32]) -> None:
        """Forget these devices."""
        for window in self._windows:
            window.drop(devices)
        self.recent.drop(devices)

    def _look_up(self, piece: Piece, at: Places, table: int, found: dict[int, list[Named]]) -> None:
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
        time = batch.rows.times(frames, frame_of, row)
        shift = piece.shift[at]
        if shift.any():
            time = time + shift[frame_of]
        hits = Hits(at[frame_of], row, time, batch.rows.weights(frames, frame_of, row))
        sets = sets if len(hit) == len(sets) else sets[hit]
        weight = hits.weight
        if weight is not None and not weight.all():
            hits, sets = hits.take(weight > 0), sets[weight > 0]
        for rule, rows in self._by_rule(sets).items():
            found.setdefault(rule, []).append(Named(hits, rows))

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

    def _count(self, rule: int, named: Named, reach: Reach, piece: Piece) -> Crossing | None:
        hits, rows = named
        frame, time = (hits.frame, hits.time) if rows is None else (hits.frame[rows], hits.time[rows])
        weight = hits.weight if hits.weight is None or rows is None else hits.weight[rows]
        device = piece.device[frame]
        since = reach.of_counting(rule)
        if since is not None:
            concerned = np.flatnonzero(since[device] <= piece.now[frame])
            rows = concerned if rows is None else rows[concerned]
            frame, device, time = frame[concerned], device[concerned], time[concerned]
            weight = None if weight is None else weight[concerned]
        if not len(device):
            return None
        holds, clock = self._windows[rule].feed(device, time, weight)
        at = np.flatnonzero(holds)
        if not len(at):
            return None
        at = at[borders(frame[at])]
        crossed = hits.take(at if rows is None else rows[at])
        batch_frame = piece.frames[crossed.frame]
        record = piece.batch.record[batch_frame]
        moved = piece.shift[crossed.frame] != 0
        return Crossing(rule, device[at], record, batch_frame, crossed.row, crossed.time, clock[at], moved)

    def _remember(self, piece: Piece, found: dict[int, list[Named]]) -> None:
        """Keep where hits of rules with windows lie, for evidence."""
        hit = np.zeros(len(piece.frames), np.bool_)
        for rule, parts in found.items():
            if self._windows[rule].count > 1:
                for hits, rows in parts:
                    hit[hits.frame if rows is None else hits.frame[rows]] = True
        if hit.any():
            frames = piece.frames[hit]
            batch = piece.batch
            self.recent.add(batch.device[frames], batch.offset[batch.record[frames]], piece.now[hit])


def _windows(compiled: Compiled, rule: int) -> Windows:
    info = compiled.counting[rule].info
    return Windows(info.count, info.within_ns)


def _owners(hit: Places, ends: Ints) -> Places:
    """Return which frame each hit lies in, whether hits are few or many."""
    total = int(ends[-1])
    if len(hit) * 8 < total:
        return np.searchsorted(ends, hit, "right")
    return np.repeat(np.arange(len(ends)), np.diff(ends, prepend=0))[hit]


def _merged(parts: list[Named], device: NDArray[np.int32]) -> Named:
    """Bring the rows that a rule found through several tables back into one order."""
    if len(parts) == 1:
        return parts[0]
    found = [part.rows() for part in parts]
    weights = [np.ones(len(rows.frame), np.int64) if rows.weight is None else rows.weight for rows in found]
    joined = Hits(
        np.concatenate([rows.frame for rows in found]),
        np.concatenate([rows.row for rows in found]),
        np.concatenate([rows.time for rows in found]),
        None if all(rows.weight is None for rows in found) else np.concatenate(weights),
    )
    return Named(joined, np.lexsort((joined.row, joined.frame, device[joined.frame])))


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
