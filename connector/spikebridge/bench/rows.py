"""The row-by-row peer: what the array code replaces, as a careful programmer would write it with dictionaries and deques."""

from __future__ import annotations

import struct
from collections import defaultdict, deque
from typing import TYPE_CHECKING

import msgspec

from spikebridge.spikes.events import Event

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from spikebridge.mapping.rules import Rule

_HEAD = struct.Struct("<IBBBBIIQqIHHBBHI")
_event = msgspec.json.Decoder(Event)


class RowByRow:
    """Counts spikes of rules one at a time; no re-timing, no duplicates, no evidence: a lower bound of the work."""

    def __init__(self, rules: Mapping[int, Sequence[Rule]]) -> None:
        """Take the rules of each neuron."""
        self._rules = rules
        self._windows: dict[tuple[str, bytes], deque[int]] = defaultdict(deque)
        self._alerted: dict[tuple[str, bytes], int] = {}
        self.alerts = 0

    def frames(self, values: Sequence[bytes], append_ns: int) -> None:
        """Count the spikes of binary frames."""
        for value in values:
            head = _HEAD.unpack_from(value)
            n, start_ns, step_ns, id_len, payload = head[6], head[8], head[9], head[12], head[15]
            device = value[64 : 64 + id_len]
            neurons = struct.unpack_from(f"<{n}I", value, payload)
            steps = struct.unpack_from(f"<{n}I", value, payload + 4 * n)
            for neuron, step in zip(neurons, steps, strict=True):
                self._spike(device, neuron, start_ns + step * step_ns, append_ns)

    def events(self, values: Sequence[bytes], append_ns: int) -> None:
        """Count the spikes of single JSON events whose time is a number of nanoseconds."""
        for value in values:
            event = _event.decode(value)
            if isinstance(event.neuron_id, int) and isinstance(event.time, int):
                self._spike(event.device_id.encode(), event.neuron_id, event.time, append_ns)

    def _spike(self, device: bytes, neuron: int, time_ns: int, append_ns: int) -> None:
        for rule in self._rules.get(neuron, ()):
            info = rule.info
            key = (info.id, device)
            window = self._windows[key]
            window.append(time_ns)
            while len(window) > info.count:
                window.popleft()
            if len(window) == info.count and time_ns - window[0] < info.within_ns:
                interval = append_ns // info.suppress_ns
                if self._alerted.get(key) != interval:
                    self._alerted[key] = interval
                    self.alerts += 1
