"""
Which frames count, and when: duplicates, crowds, re-timing.

Whether a frame counts is a function of the records before it, never of clocks or of how the log was cut.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from spikebridge.mapping.columns import NEVER, grown

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from spikebridge.limits import Limits
    from spikebridge.spikes.batch import Batch

    Ints = NDArray[np.int64]
    Mask = NDArray[np.bool_]

Key = tuple[int, int, int, int]


class Crowd:
    """
    The first `max_unknown_devices` devices outside the inventory count, per minute of append time.

    Later ones are refused for the rest of that minute.
    """

    def __init__(self, limits: Limits) -> None:
        """Begin with an empty minute."""
        self.limits = limits
        self._minute = NEVER
        self._admitted = 0
        self._seen_in = np.full(0, NEVER, np.int64)

    def minute_of(self, append_ns: int) -> int:
        """Return the minute to which an append time belongs."""
        return append_ns // self.limits.crowd_ns

    def admit(self, minute: int, device: NDArray[np.int32], known: Mask) -> Mask:
        """Say which frames, in log order and all of one minute, are let in."""
        if minute != self._minute:
            self._minute, self._admitted = minute, 0
        if known.all():
            return known
        self._seen_in = grown(self._seen_in, int(device.max()) + 1, NEVER)
        strangers = device[~known]
        new = strangers[self._seen_in[strangers] != minute]
        if len(new):
            room = max(0, self.limits.max_unknown_devices - self._admitted)
            devices, first = np.unique(new, return_index=True)
            admitted = devices[np.argsort(first, kind="stable")[:room]]
            self._seen_in[admitted] = minute
            self._admitted += len(admitted)
        let_in: Mask = self._seen_in[device] == minute
        return let_in | known

    def drop(self, devices: NDArray[np.int32]) -> None:
        """Forget these devices: their indices may be given to others."""
        self._seen_in[devices[devices < len(self._seen_in)]] = NEVER


class Sighting(NamedTuple):
    """The last record with a key, and whether it was a duplicate itself."""

    at_ns: int
    offset: int
    duplicate: bool


class Duplicates:
    """
    A frame is a duplicate if the log holds one of the same device, boot, sequence and checksum from the late limit before it.

    It doesn't matter whether that one was dropped itself. Frames of one record are never duplicates of each other.
    """

    def __init__(self, limits: Limits) -> None:
        """Begin with nothing remembered; two generations make forgetting cheap."""
        self.limits = limits
        self._recent: dict[Key, Sighting] = {}
        self._older: dict[Key, Sighting] = {}
        self._turned_ns = NEVER

    def find(self, batch: Batch, frames: NDArray[np.intp], at_ns: Ints) -> Mask:
        """Say which of these frames (in log order, appended at `at_ns`) are duplicates; boot 0 is not checked."""
        found = np.zeros(len(frames), np.bool_)
        checked = np.flatnonzero(batch.boot[frames] != 0)
        if not len(checked):
            return found
        part = frames[checked]
        keys = zip(
            batch.device[part].tolist(),
            batch.boot[part].tolist(),
            batch.seq[part].tolist(),
            batch.crc[part].tolist(),
            strict=True,
        )
        offsets = batch.offset[batch.record[part]].tolist()
        for at, key, now, offset in zip(checked.tolist(), keys, at_ns[checked].tolist(), offsets, strict=True):
            found[at] = self._see(key, now, offset)
        return found

    def _see(self, key: Key, now: int, offset: int) -> bool:
        if now - self._turned_ns > self.limits.late_ns:
            self._older, self._recent, self._turned_ns = self._recent, {}, now
        last = self._recent.get(key) or self._older.get(key)
        if last is None:
            duplicate = False
        elif last.offset == offset:
            return last.duplicate
        else:
            duplicate = now - last.at_ns <= self.limits.late_ns
        self._recent[key] = Sighting(now, offset, duplicate)
        return duplicate


def shifts(start_ns: Ints, end_ns: Ints, append_ns: Ints, limits: Limits) -> Ints:
    """Return by how much each frame is moved: 0 within the limits, else as a whole so that it ends at its append time."""
    within = (start_ns >= append_ns - limits.late_ns) & (end_ns <= append_ns + limits.future_ns)
    return np.where(within, 0, append_ns - end_ns)
