"""Which devices each rule concerns, as columns by device index; grows as devices appear."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from spikebridge.mapping.columns import grown
from spikebridge.mapping.compile import in_reach

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from spikebridge.mapping.compile import Compiled
    from spikebridge.spikes.names import Devices


OUT_OF_REACH = (1 << 62) + 1
"""Later than every append time."""


class Reach:
    """
    What a revision makes of the devices.

    `since[r]` holds for rule r, by device, the append time from which on the rule concerns it: 0 always, `OUT_OF_REACH` never.
    A counting rule without devices and exceptions has no column (None).
    """

    def __init__(self, compiled: Compiled, devices: Devices) -> None:
        """Describe every device that has an index, those of the inventory among them."""
        self._compiled = compiled
        self._devices = devices
        for device_id in compiled.devices:
            devices.index(device_id)
        devices.take_fresh()
        self.device_class = np.zeros(0, np.int32)
        self.known = np.zeros(0, np.bool_)
        self._rules = [*compiled.counting, *compiled.absences]
        self.since: list[NDArray[np.int64] | None] = [
            None if rule.info.kind == "event_count" and not rule.devices and not rule.excepted else np.zeros(0, np.int64)
            for rule in self._rules
        ]
        self.add(index for _, index in devices.items())

    def add(self, indices: Iterable[int]) -> None:
        """Describe devices that got these indices."""
        size = len(self._devices)
        if size > len(self.known):
            self.device_class = grown(self.device_class, size, 0)
            self.known = grown(self.known, size, 0)
            self.since = [None if column is None else grown(column, size, 0) for column in self.since]
        for index in indices:
            info = self._compiled.describe(self._devices.id(index))
            self.device_class[index] = self._compiled.reading(info.device_class).number
            self.known[index] = info.known
            for rule, column in zip(self._rules, self.since, strict=True):
                if column is not None:
                    reached, since_ns = in_reach(rule, info)
                    column[index] = since_ns if reached else OUT_OF_REACH

    def of_counting(self, rule: int) -> NDArray[np.int64] | None:
        """Return the column of a counting rule."""
        return self.since[rule]

    def of_absence(self, rule: int) -> NDArray[np.int64]:
        """Return the column of an absence rule."""
        column = self.since[len(self._compiled.counting) + rule]
        return column if column is not None else np.zeros(0, np.int64)
