"""What the instances read: mappings in three revisions, an inventory, and a sender that never rests."""

from __future__ import annotations

import json
import random
import time
from threading import Event, Thread
from typing import TYPE_CHECKING

import msgspec

from spikebridge.app.content import load_tested
from spikebridge.app.parts import open_revisions
from spikebridge.errors import LogError
from spikebridge.kafka.client import Outgoing
from spikebridge.limits import SECOND, Limits
from spikebridge.mapping.rules import rule_set_content
from spikebridge.spikes.frame import Head, encode_events

if TYPE_CHECKING:
    from pathlib import Path

    from spikebridge.config import Config
    from spikebridge.kafka.client import Client, Producer

KNOWN, UNKNOWN, SENTINELS, SITES = 40, 80, 4, 5
CHECKED_EVERY = 20
"""One device in so many has a boot id: its frames are checked for duplicates, and some are sent twice."""

SLICE_S = 0.1

LIMITS = Limits(
    late_ns=10 * SECOND,
    future_ns=5 * SECOND,
    frame_ns=5 * SECOND,
    gap_ns=15 * SECOND,
    clock_fall_ns=5 * SECOND,
    look_back_ns=75 * SECOND,
)
"""Scaled down, so that runs of minutes have rewinds that leave most of the log behind; the sum of DESIGN's section 2 is 70 s here."""

_MAPPINGS = """
mappings:
- {{id: burst, neuron_id: 42, threat_type: Burst, severity: High, when: {{count: {burst}, within: 3s}}, suppress: 5s}}
- {{id: stray, neuron_id: 7, threat_type: Stray, severity: Low, suppress: {stray}}}
- {{id: sweep, neuron_id: 100-107, threat_type: Sweep, severity: Medium, suppress: 3s}}
correlations:
- {{id: silent, type: absence, timespan: 20s, devices: [sentinel-*], threat_type: Silent, severity: Medium, suppress: 5s}}
- id: sweeping
  type: value_count
  rules: [sweep]
  group-by: [site]
  timespan: 10s
  condition: {{gte: 2, field: device}}
  threat_type: Sweeping
  severity: Critical
"""
REVISIONS = ({"burst": 5, "stray": "5s"}, {"burst": 4, "stray": "5s"}, {"burst": 4, "stray": "4s"})
"""At the first reload the windows of a rule begin anew, at the second only a suppression changes."""


def write_content(directory: Path, revision: int) -> None:
    """Write the files of a revision, counted from 0."""
    (directory / "mappings.yaml").write_text(_MAPPINGS.format(**REVISIONS[revision]))
    devices = [f"- {{id: sensor-{number}, site: hall-{number % SITES}}}" for number in range(KNOWN)]
    devices += [f"- {{id: sentinel-{number}, site: hall-{number % SITES}}}" for number in range(SENTINELS)]
    (directory / "inventory.yaml").write_text("\n".join(["devices:", *devices, ""]))


def publish(config: Config) -> int:
    """Publish what the files say, as `spikebridge publish` does, but with limits that fit a run of minutes."""
    rule_set = msgspec.structs.replace(load_tested(config).rule_set, limits=LIMITS)
    with open_revisions(config) as revisions:
        return revisions.publish(rule_set_content(rule_set))


class Sender:
    """
    Appends to a spike topic at an even rate, each record under its device's key; it repeats what the brokers did not acknowledge.

    `silent` are sentinels that send nothing for now.
    """

    def __init__(self, client: Client, topic: str, per_second: int) -> None:
        """Send nothing yet."""
        self.sent = 0
        self.silent: set[str] = set()
        self._client = client
        self._topic = topic
        self._per_second = per_second
        self._random = random.Random(1)
        self._repeated: list[Outgoing] = []
        self._stop = Event()
        self._thread = Thread(target=self._run, name="sender", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End with what is in hand."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        producer = self._client.producer()
        due, owed = time.monotonic(), 0.0
        while not self._stop.is_set():
            owed += self._per_second * SLICE_S
            self._append(producer, self._records(int(owed)))
            owed -= int(owed)
            # After an outage it goes on at its rate: what wasn't sent then is not owed.
            due = max(due + SLICE_S, time.monotonic() - SLICE_S)
            self._stop.wait(max(0.0, due - time.monotonic()))
        producer.close()

    def _append(self, producer: Producer, records: list[Outgoing]) -> None:
        while True:
            try:
                producer.append(records)
            except LogError:
                if self._stop.is_set():
                    return
            else:
                self.sent += len(records)
                return

    def _records(self, count: int) -> list[Outgoing]:
        drawn = self._random
        found = [self._record(drawn.randrange(KNOWN + UNKNOWN)) for _ in range(count)]
        if drawn.random() < 0.2 * len(found) / 30:
            found.append(self._duplicate())
        for number in range(SENTINELS):
            device = f"sentinel-{number}"
            if device not in self.silent and drawn.random() < 0.1:
                found.append(self._outgoing(device, encode_events(Head(device=device, start_ns=time.time_ns()), [], [])))
        return found

    def _record(self, number: int) -> Outgoing:
        """Make a record of a device: now and then rubbish, a foreign key, JSON, a clock that is years behind."""
        drawn, device = self._random, f"sensor-{number}"
        kind = drawn.random()
        if kind < 0.002:
            return self._outgoing(device, b"rubbish %d" % drawn.randrange(1 << 30))
        if kind < 0.003:
            return self._outgoing("nobody", self._frame(device, number))
        if kind < 0.02:
            return self._outgoing(device, json.dumps({"device_id": device, "neuron_id": 42}).encode())
        return self._outgoing(device, self._frame(device, number, behind_ns=3_600 * SECOND if kind < 0.03 else 0))

    def _frame(self, device: str, number: int, behind_ns: int = 0) -> bytes:
        drawn = self._random
        kind = drawn.random()
        neurons = [42] * drawn.randrange(1, 4) if kind < 0.6 else [7] if kind < 0.64 else [drawn.randrange(100, 110)]
        if kind > 0.65:
            neurons = [drawn.randrange(1_000, 2_000)]
        boot, seq = (1 + number, drawn.randrange(1 << 32)) if number % CHECKED_EVERY == 0 else (0, 0)
        head = Head(device=device, start_ns=time.time_ns() - behind_ns, boot=boot, seq=seq)
        return encode_events(head, neurons, list(range(len(neurons))))

    def _duplicate(self) -> Outgoing:
        """Make what a sender repeats that got no answer: a frame of a checked device, once now and once at the next call."""
        number = CHECKED_EVERY * self._random.randrange((KNOWN + UNKNOWN) // CHECKED_EVERY)
        kept = self._repeated.pop() if self._repeated else None
        if kept is None:
            kept = self._outgoing(f"sensor-{number}", self._frame(f"sensor-{number}", number))
            self._repeated.append(kept)
        return kept

    def _outgoing(self, key: str, value: bytes) -> Outgoing:
        return Outgoing(self._topic, key.encode(), value)
