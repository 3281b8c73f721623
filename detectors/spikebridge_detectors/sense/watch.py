"""What watches one device that was learned: the network of timing and the simple rules, and the evidence of what they find."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from spikebridge_detectors import evidence, rules
from spikebridge_detectors.capture.columns import Packets
from spikebridge_detectors.capture.kinds import ROW, from_rows, to_rows
from spikebridge_detectors.elapsed import MOST_TIME_NS, SECOND_NS
from spikebridge_detectors.lif import UNIT
from spikebridge_detectors.rules import evidence as ruling
from spikebridge_detectors.sense.outputs import NEURONS
from spikebridge_detectors.sense.saved import MOST_SINCE, SavedWatch
from spikebridge_detectors.timing import detector as timing
from spikebridge_detectors.timing.detector import Timing
from spikebridge_detectors.timing.evidence import pack, unpack

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from spikebridge_detectors.alarm import Alarm
    from spikebridge_detectors.rules import Running
    from spikebridge_detectors.timing.learning import Learned

RULES = rules.Rules(("rate", "silence", "ewma"))
"""Those that `spikebridge evaluate` measures beside timing, in one budget."""

CHUNK = MOST_SINCE
"""So many packets of a device are looked at together at most."""

SNAPSHOT_NS = 600 * SECOND_NS
_NOTHING = from_rows(b"")
_SETTLED_NS = 2 * SECOND_NS


class Found(NamedTuple):
    """An alarm by what was learned: the state before it, the rows since, and up to when none came."""

    layer: Literal["timing", "rules"]
    alarm: Alarm
    digest: bytes
    snapshot: bytes
    since: bytes
    until_ns: int | None = None


def witness(device: str, found: Found) -> bytes:
    """Return the evidence of an alarm."""
    alarm = found.alarm
    said = evidence.Said(
        device=device,
        detector=found.layer,
        model=found.digest.hex(),
        neuron=NEURONS[found.layer, alarm.kind],
        kind=alarm.kind,
        time_ns=alarm.time_ns,
        score=alarm.score,
        until_ns=found.until_ns,
    )
    return evidence.written(evidence.Evidence(said, found.snapshot, found.since))


@dataclass(slots=True)
class Watch:
    """Goes on from piece to piece."""

    learned: Learned
    running: timing.Running
    rules: rules.Running | None
    digest: bytes
    snapshot: bytes = b""
    snapshot_ns: int = 0
    since: bytearray = field(default_factory=bytearray)
    waited_ns: int | None = None

    @classmethod
    def learn(cls, packets: Packets, *, with_rules: bool) -> Watch:
        """Learn a device from days of its packets; nothing is watched yet."""
        learned = Timing().learn(packets)
        ruled = RULES.learn(packets) if with_rules else ()
        said = pack(learned, timing.Running()) + repr(ruled).encode()
        digest = hashlib.sha256(said).digest()[:8]
        return cls(learned, timing.Running(), rules.Running.of(ruled) if with_rules else None, digest)

    @classmethod
    def of_class(cls, learned: Learned, digest: bytes) -> Watch:
        """Watch a device by what a model learned of its class; the rules know nothing of it."""
        return cls(learned, timing.Running(), None, digest[:8])

    def adapt(self, learned: Learned) -> None:
        """Go on by other thresholds; evidence of what comes begins here."""
        self.learned = learned
        held = self.running.held
        held.timer = min(held.timer, learned.thresholds.silence * UNIT)
        self.snapshot = pack(learned, self.running)
        self.since.clear()

    def warm(self, packets: Packets) -> None:
        """Have the network take in packets of the days of learning, of which nothing is told."""
        timing.advance(self.learned, self.running, packets)

    def advance(self, packets: Packets) -> list[Found]:
        """Return what is found in at most `CHUNK` packets of the device."""
        start_ns = int(packets.time_ns[0])
        fell = self.waited_ns is not None and int(packets.time_ns.min()) < self.waited_ns
        many = len(self.since) // ROW.itemsize + len(packets.time_ns) > MOST_SINCE
        if not self.snapshot or fell or many or not self.since or self._old(start_ns):
            self.snapshot, self.snapshot_ns = pack(self.learned, self.running), start_ns
            self.since.clear()
        self.since += to_rows(packets)
        self.waited_ns = None
        return self._run(packets, None)

    def wait(self, now_ns: int) -> list[Found]:
        """Return what is found because nothing came up to now."""
        last_ns = self.running.last_ns
        if last_ns is None or not self.snapshot:
            return []
        quiet_ns = now_ns - (last_ns if self.waited_ns is None else self.waited_ns)
        if quiet_ns < _SETTLED_NS or (self.waited_ns is not None and quiet_ns < self._patience_ns()):
            return []
        self.waited_ns = now_ns
        return self._run(_NOTHING, now_ns)

    def finish(self) -> list[Found]:
        """Return what the last second holds: the capture is over; of days of learning nothing is told."""
        if not self.snapshot:
            return []
        return [self._found(alarm, None) for alarm in timing.end(self.learned, self.running)]

    def saved(self) -> SavedWatch:
        """Return what a restart needs."""
        return SavedWatch(
            digest=self.digest,
            timing=pack(self.learned, self.running),
            rules=ruling.pack(self.rules) if self.rules else None,
            snapshot=self.snapshot,
            since=bytes(self.since),
            waited_ns=self.waited_ns,
        )

    @classmethod
    def restored(cls, saved: SavedWatch) -> Watch:
        """Go on from what was saved; refuse what can't be."""
        learned, running = unpack(saved.timing)
        if saved.snapshot:
            unpack(saved.snapshot)
        times = from_rows(saved.since).time_ns
        ruled = None if saved.rules is None else ruling.unpack(saved.rules)
        watch = cls(learned, running, ruled, saved.digest, saved.snapshot)
        watch.since[:] = saved.since
        watch.snapshot_ns, watch.waited_ns = int(times[0]) if len(times) else 0, saved.waited_ns
        return watch

    def _old(self, now_ns: int) -> bool:
        return not 0 <= now_ns - self.snapshot_ns < SNAPSHOT_NS

    def _patience_ns(self) -> int:
        return min(60, self.learned.thresholds.silence) * SECOND_NS // 4

    def _run(self, packets: Packets, now_ns: int | None) -> list[Found]:
        found = [self._found(alarm, now_ns) for alarm in timing.advance(self.learned, self.running, packets, now_ns)]
        if self.rules is not None:
            found += self._ruled(self.rules, packets, now_ns)
        return sorted(found, key=lambda one: (one.alarm.time_ns, one.layer, one.alarm.kind))

    def _ruled(self, running: Running, packets: Packets, now_ns: int | None) -> list[Found]:
        """Return alarms of the rules, each with their state just before the packets that showed it, and those."""
        state, at = ruling.pack(running), 0
        found: list[Found] = []
        for alarm in rules.advance(running, packets, now_ns):
            first, behind = _around(packets.time_ns, alarm.time_ns)
            if first > at:
                again = ruling.unpack(state)
                rules.advance(again, _cut(packets, at, first))
                state, at = ruling.pack(again), first
            found.append(Found("rules", alarm, self.digest, state, to_rows(_cut(packets, first, behind + 1)), now_ns))
        return found

    def _found(self, alarm: Alarm, now_ns: int | None) -> Found:
        """Return an alarm of the network with the rows up to it."""
        times = np.frombuffer(self.since, ROW)["time_ns"]
        _, rows = _around(times, alarm.time_ns)
        behind = min(alarm.time_ns + SECOND_NS, MOST_TIME_NS) if alarm.kind == "silence" else None
        until_ns = behind if rows < len(times) else now_ns
        return Found("timing", alarm, self.digest, self.snapshot, bytes(self.since[: rows * ROW.itemsize]), until_ns)


def _around(times: NDArray[np.int64], time_ns: int) -> tuple[int, int]:
    """Return how many packets came before a time, and how many up to it; where time fell, none and all."""
    if not (np.diff(times) >= 0).all():
        return 0, len(times)
    first, behind = (int(np.searchsorted(times, time_ns, side=side)) for side in ("left", "right"))
    return first, behind


def _cut(packets: Packets, first: int, last: int) -> Packets:
    return Packets._make(column[first:last] for column in packets)
