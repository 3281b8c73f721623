"""
The row-by-row peer: what the array code replaces, as a careful programmer would write it with dictionaries and deques.

It keeps the rules that the load exercises: re-timing, when a device was last seen, windows that begin anew or lift a time, one alert per interval.
"""

from __future__ import annotations

import struct
from collections import deque
from typing import TYPE_CHECKING

import msgspec

from spikebridge.limits import Limits
from spikebridge.spikes.events import Event

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from spikebridge.mapping.rules import Rule

_HEAD = struct.Struct("<4sBBBBIIQqIHHBBHI")
_event = msgspec.json.Decoder(Event)


class RowByRow:
    """Counts spikes of rules one at a time; no duplicates, crowds, absence or evidence, which the load doesn't exercise."""

    def __init__(self, rules: Mapping[int, Sequence[Rule]]) -> None:
        """Take the rules of each neuron."""
        self.alerts = 0
        self._rules = rules
        self._limits = Limits()
        self._seen: dict[bytes, int] = {}
        self._windows: dict[tuple[str, bytes], deque[int]] = {}
        self._before: dict[tuple[str, bytes], int] = {}
        self._alerted: dict[tuple[str, bytes], int] = {}

    def frames(self, values: Sequence[bytes], append_ns: int) -> None:
        """Count the spikes of binary frames."""
        for value in values:
            head = _HEAD.unpack_from(value)
            n, start_ns, step_ns, id_len, payload = head[6], head[8], head[9], head[12], head[15]
            device = value[64 : 64 + id_len]
            neurons = struct.unpack_from(f"<{n}I", value, payload)
            steps = struct.unpack_from(f"<{n}I", value, payload + 4 * n)
            start_ns += self._shift(start_ns, start_ns + steps[-1] * step_ns, append_ns)
            self._seen[device] = append_ns
            for neuron, step in zip(neurons, steps, strict=True):
                if neuron in self._rules:
                    self._spike(device, neuron, start_ns + step * step_ns, append_ns)

    def events(self, values: Sequence[bytes], append_ns: int) -> None:
        """Count the spikes of single JSON events whose time is a number of nanoseconds."""
        for value in values:
            event = _event.decode(value)
            if isinstance(event.neuron_id, int) and isinstance(event.time, int):
                device = event.device_id.encode()
                self._seen[device] = append_ns
                if event.neuron_id in self._rules:
                    shift = self._shift(event.time, event.time, append_ns)
                    self._spike(device, event.neuron_id, event.time + shift, append_ns)

    def _shift(self, start_ns: int, end_ns: int, append_ns: int) -> int:
        within = start_ns >= append_ns - self._limits.late_ns and end_ns <= append_ns + self._limits.future_ns
        return 0 if within else append_ns - end_ns

    def _spike(self, device: bytes, neuron: int, time_ns: int, append_ns: int) -> None:
        for rule in self._rules[neuron]:
            info = rule.info
            key = (info.id, device)
            window = self._windows.get(key)
            if window is None or time_ns - self._before[key] <= -info.within_ns:
                window = self._windows[key] = deque(maxlen=info.count)
            self._before[key] = time_ns
            clock_ns = max(time_ns, window[-1]) if window else time_ns
            window.append(clock_ns)
            if len(window) == info.count and clock_ns - window[0] < info.within_ns:
                interval = append_ns // info.suppress_ns
                if self._alerted.get(key) != interval:
                    self._alerted[key] = interval
                    self.alerts += 1
