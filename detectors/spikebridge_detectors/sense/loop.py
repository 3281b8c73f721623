"""
From a capture to a log, so that a process that dies at any moment neither forgets nor tells twice.

The frames of a piece are appended, each alarm's with its evidence, then the state is saved, with how many packets were dealt with. Who
starts again reads the same packets and sends the same bytes under the same boot id and numbers: what the log has already, it drops.
"""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple, Protocol
from zlib import crc32

import msgspec

from spikebridge_detectors.capture.columns import Packets
from spikebridge_detectors.errors import ModelError
from spikebridge_detectors.sense.sensor import Sensor

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from spikebridge_detectors.sense.device import Settings, Tell
    from spikebridge_detectors.sense.outputs import Told
    from spikebridge_detectors.sense.saved import Source
    from spikebridge_detectors.sense.sensor import Taught, Witness
    from spikebridge_detectors.sense.state import State

SAVE_S = 10.0
SAVE_ALARM_S = 1.0
"""Alarms are saved sooner, but whoever sets them off all the time may not have the state of every device saved all the time."""

_PART = 10
"""Saving takes no more than one in so many parts of the time."""


class Target(Protocol):
    """Where frames go."""

    def append(self, frames: Sequence[bytes]) -> None:
        """Return once they are there."""

    def place(self) -> tuple[str, int]:
        """Return which file it is that nobody else writes to, and its length, so that it can be cut back; else nothing."""


class Parts(NamedTuple):
    """
    What a loop is made of.

    `encode` makes a frame of what is told, a boot id and a number; `witness` makes evidence of an alarm; `seen` gives devices that were
    found by address, and `classes` what was learned of the class of a device.
    """

    target: Target
    encode: Callable[[Told, int, int], bytes]
    witness: Witness
    seen: Callable[[], dict[str, str]]
    tell: Tell
    classes: Mapping[str, Taught] = {}


class Loop:
    """One run of a sensor over one capture."""

    def __init__(self, state: State, settings: Settings, parts: Parts, source: Source, late_ns: int = 0) -> None:
        """Go on from the state, behind the packets of `source` that were dealt with; packets may come `late_ns` after others."""
        self.sensor = Sensor(state.folder / "learning", settings, parts.tell, parts.witness, parts.classes)
        self.sensor.restore(state.saved.devices)
        self.alarms: Counter[str] = Counter()
        self.frames = 0
        self.saved = state.saved
        self._state = state
        self._parts = parts
        self._source = source
        self._late_ns = late_ns
        self._skip = source.rows
        self._rows = source.rows
        self._times = 0
        self._saved_s = time.monotonic()
        self._save_took_s = 0.0
        self._alarmed = False
        self._seq, self._now_ns = state.saved.seq, state.saved.now_ns
        self.save()

    def advance(self, packets: Packets, names: Sequence[str], now_ns: int | None = None) -> None:
        """Deal with a piece; `now_ns` is the time where the capture is live, else it is up to when all came before its last packet, also where that falls."""
        skipped = min(self._skip, len(packets.time_ns))
        if skipped:
            self._known(packets.time_ns[:skipped])
            packets = Packets._make(column[skipped:] for column in packets)
            if not len(packets.time_ns):
                return
        self._state.dealt = True
        self._rows += len(packets.time_ns)
        self._times = crc32(packets.time_ns.tobytes(), self._times)
        told = self.sensor.advance(packets, names)
        if now_ns is not None or len(packets.time_ns):
            self._now_ns = int(packets.time_ns[-1]) - self._late_ns if now_ns is None else now_ns
        if self._now_ns is not None:
            told += self.sensor.wait(self._now_ns)
        self._out(told)
        self._alarmed |= any(one.kind for one in told)
        if time.monotonic() >= self._saved_s + max(SAVE_ALARM_S if self._alarmed else SAVE_S, _PART * self._save_took_s):
            self.save()

    def finish(self) -> None:
        """Deal with what the last second holds: the capture is over."""
        if self._skip:
            self._refuse()
        self._state.dealt = True
        self._out(self.sensor.finish())
        self.save()

    def save(self) -> None:
        """Save how far it got."""
        began_s = time.monotonic()
        times = self._source.times if self._skip else self._times
        source = msgspec.structs.replace(self._source, rows=self._rows, times=times)
        target, written = self._parts.target.place()
        self.saved = msgspec.structs.replace(
            self.saved,
            seq=self._seq,
            target=target,
            written=written,
            seen=self._parts.seen(),
            now_ns=self._now_ns,
            sources=[*self.saved.sources[:-1], source],
            devices=self.sensor.saved(),
        )
        self._state.save(self.saved)
        self.sensor.cleared()
        self._saved_s, self._alarmed = time.monotonic(), False
        self._save_took_s = self._saved_s - began_s

    def _known(self, time_ns: NDArray[np.int64]) -> None:
        """Pass over packets that were dealt with; once it is all, they are those of then."""
        self._skip -= len(time_ns)
        self._times = crc32(time_ns.tobytes(), self._times)
        if not self._skip and self._times != self._source.times:
            self._refuse()

    def _refuse(self) -> None:
        if self._source.times is not None:
            raise ModelError(
                f"expected the {self._source.rows:,} packets that were dealt with before, found others: "
                "leave what was read of this capture as it was, and list the same devices until all of it is read, "
                "or begin anew with another --state"
            )

    def _out(self, told: list[Told]) -> None:
        if not told:
            return
        frames = [self._parts.encode(one, self.saved.boot, self._seq + number) for number, one in enumerate(told)]
        self._parts.target.append(frames)
        self._seq += len(frames)
        self.frames += len(frames)
        self.alarms.update(f"{one.layer} {one.kind}" for one in told if one.kind)
