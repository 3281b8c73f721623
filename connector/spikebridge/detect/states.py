"""The states of networks by device: zero with each interval, dropped when it is over."""

from __future__ import annotations

from collections import OrderedDict
from itertools import takewhile
from typing import TYPE_CHECKING

import numpy as np

from spikebridge_detectors.lif import State

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from spikebridge.detect.served import Line

    Ints = NDArray[np.int64]
    Places = NDArray[np.intp]

_BEFORE = -1
"""The interval of a slot that nobody has used."""


class States:
    """The states of the devices of one line, each in a slot; u, v and currents fit float32 exactly."""

    def __init__(self, line: Line) -> None:
        """Begin with no device."""
        self.line = line
        self.done = np.zeros(0, np.int64)
        self._interval = np.zeros(0, np.int64)
        self._covered_ns = np.zeros(0, np.int64)
        self._layers = [np.zeros((3, 0, layer.units), np.float32) for layer in line.network.layers]
        self._slot: OrderedDict[int, int] = OrderedDict()  # a plain one walks over what stood in front of its first
        self._free: list[int] = []

    @property
    def devices(self) -> int:
        """Tell how many devices have a state."""
        return len(self._slot)

    def begin(self, devices: NDArray[np.int32], interval: Ints, start_ns: Ints) -> tuple[Places, Ints]:
        """Return each device's slot and up to when its frames cover time; in a new interval it begins at zero, at its start."""
        slots = np.fromiter((self._slot_of(device) for device in devices.tolist()), np.intp, len(devices))
        new = self._interval[slots] != interval
        self._interval[slots] = interval
        for device in devices[new].tolist():
            self._slot.move_to_end(device)
        self.clear(slots[new])
        self._covered_ns[slots[new]] = start_ns[new]
        return slots, self._covered_ns[slots]

    def clear(self, slots: Places) -> None:
        """Set states to zero."""
        for held in self._layers:
            held[:, slots] = 0
        self.done[slots] = 0
        self._covered_ns[slots] = np.iinfo(np.int64).min

    def covered(self, slots: Places, until_ns: Ints) -> None:
        """Note up to when frames cover time: never less than before."""
        self._covered_ns[slots] = np.maximum(self._covered_ns[slots], until_ns)

    def take(self, slots: Places) -> list[State]:
        """Return the states of some slots as networks run them; all have done equally many steps where that matters."""
        done = int(self.done[slots[0]])
        found = [held[:, slots].astype(np.float64, order="C") for held in self._layers]
        return [State(current, u, v, done) for current, u, v in found]

    def put(self, slots: Places, states: list[State]) -> None:
        """Keep what networks have left."""
        for held, state in zip(self._layers, states, strict=True):
            held[0, slots], held[1, slots], held[2, slots] = state.current, state.u, state.v

    def drop(self, devices: Iterable[int]) -> None:
        """Forget devices."""
        for device in devices:
            slot = self._slot.pop(device, None)
            if slot is not None:
                self._interval[slot] = _BEFORE
                self._free.append(slot)

    def close(self, now_ns: int) -> None:
        """Forget devices whose interval is over: those that began theirs first stand first, so that the others aren't looked at."""
        current = now_ns // self.line.memory_ns
        self.drop([*takewhile(lambda device: self._interval[self._slot[device]] < current, self._slot)])

    def _slot_of(self, device: int) -> int:
        slot = self._slot.get(device)
        if slot is None:
            if not self._free:
                self._grow()
            slot = self._slot[device] = self._free.pop()
        return slot

    def _grow(self) -> None:
        """Make room for twice as many, 64 at least."""
        old = len(self.done)
        new = max(64, 2 * old)
        self.done = np.resize(self.done, new)
        self._covered_ns = np.resize(self._covered_ns, new)
        self._interval = np.concatenate([self._interval, np.full(new - old, _BEFORE)])
        self._layers = [
            np.concatenate([held, np.zeros((3, new - old, held.shape[2]), np.float32)], axis=1) for held in self._layers
        ]
        self._free += range(new - 1, old - 1, -1)
