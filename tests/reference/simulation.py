"""
Simulated spike logs: clocks exact, slow, fast, stepping and mad; repeats at the limits; outages; deaths; crowds; attacks; reloads.

Limits are scaled down so that a short log visits every edge: late 60 s, future 30 s, gap 30 s, minutes of 20 s.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec
from tests.reference.detection import LINES, small, with_models

from spikebridge.alerts import DeviceInfo, RuleInfo
from spikebridge.canonical import sha256
from spikebridge.limits import SECOND, Limits
from spikebridge.logs import Record
from spikebridge.mapping.rules import (
    Cell,
    Device,
    DeviceClass,
    Exclusion,
    Revision,
    Rule,
    RuleSet,
    Selector,
    rule_set_content,
)
from spikebridge.spikes.frame import Head, encode_counts, encode_events, encode_tick, encode_window
from spikebridge_detectors.model.header import Window

if TYPE_CHECKING:
    from collections.abc import Sequence

START_NS = 1_700_000_000 * SECOND
LIMITS = Limits(
    late_ns=60 * SECOND,
    future_ns=30 * SECOND,
    frame_ns=60 * SECOND,
    gap_ns=30 * SECOND,
    clock_fall_ns=10 * SECOND,
    crowd_ns=20 * SECOND,
    look_back_ns=(2 * 60 + 30 + 30 + 40 + 2 * 40 + 20) * SECOND,
    max_unknown_devices=3,
)
INVENTORY = ("cam-1", "cam-2", "lock-1", "arm-1", "dead-1")
STRANGERS = tuple(f"guest-{number}" for number in range(6))
LARGE_EVIDENCE = 20_000
"""So much is carried by each frame of an attack in one minute of eight: an alert of four such frames has no room for it."""


def rule(
    name: str,
    neurons: tuple[int, int] | None,
    *,
    count: int = 1,
    within: int = 1,
    suppress: int = 20,
    devices: Sequence[Selector] = (),
    excepted: Sequence[Exclusion] = (),
) -> Rule:
    """Make a counting rule in seconds; without neurons it counts summaries of layer `out`."""
    info = RuleInfo(
        id=name,
        kind="event_count",
        threat=name,
        severity="High",
        digest=name,
        count=count,
        within_ns=within * SECOND,
        suppress_ns=suppress * SECOND,
    )
    cells = [Cell(first=neurons[0], last=neurons[1])] if neurons else [Cell(layer="out")]
    return Rule(info=info, cells=cells, devices=[*devices], excepted=[*excepted])


def absence(name: str, span: int, *, suppress: int = 20, devices: Sequence[Selector] = ()) -> Rule:
    """Make an absence rule in seconds."""
    info = RuleInfo(
        id=name, kind="absence", threat=name, severity="Low", digest=name, within_ns=span * SECOND, suppress_ns=suppress * SECOND
    )
    return Rule(info=info, devices=[*devices])


def revisions() -> dict[int, Revision]:
    """Four revisions: threshold and suppression change, a rule goes, reach, classes and models move, an exception ends."""
    devices = [
        Device(info=DeviceInfo(id=name, device_class=name.split("-")[0], site="east", known=True)) for name in sorted(INVENTORY)
    ]
    burst = rule("burst", (1, 9), count=4, within=5)
    layered = rule("summary", None, count=6, within=10, suppress=5)
    single = rule("single", (5, 5), suppress=40)
    wide = rule("wide", (2, 30), count=9, within=40, devices=[Selector(device_class="cam"), Selector(device="guest-*")])
    spared = rule(
        "spared",
        (3, 3),
        count=2,
        within=20,
        excepted=[Exclusion(selector=Selector(device="arm-*"), reason="test", until_ns=START_NS + 400 * SECOND)],
    )
    silent, quiet = absence("silent", 12, suppress=5), absence("quiet", 40, devices=[Selector(site="east")])
    named = [DeviceClass(name="cam", layers={3: "out"})]
    sets = [
        RuleSet(limits=LIMITS, rules=[burst, layered, quiet, silent, single, spared, wide], devices=devices, classes=named),
        RuleSet(
            limits=LIMITS,
            rules=[
                msgspec.structs.replace(burst, info=msgspec.structs.replace(burst.info, count=2)),
                layered,
                silent,
                msgspec.structs.replace(single, info=msgspec.structs.replace(single.info, suppress_ns=5 * SECOND)),
                spared,
                wide,
            ],
            devices=devices,
            classes=named,
        ),
        RuleSet(
            limits=LIMITS,
            rules=[
                burst,
                layered,
                quiet,
                single,
                msgspec.structs.replace(wide, devices=[Selector(device="cam-1"), Selector(device="guest-*")]),
            ],
            devices=[device for device in devices if device.info.id != "lock-1"],
            classes=[DeviceClass(name="cam", layers={4: "out"}), DeviceClass(name="arm", layers={3: "out"})],
        ),
    ]
    sets.append(
        msgspec.structs.replace(sets[0], devices=[_moved(device) if device.info.id == "cam-2" else device for device in devices])
    )
    lock = small("lock", ("lock",), window=Window(steps=24, flush=3), neurons=(8, 5))
    arm = small("arm", ("arm",), step_ns=None, neurons=(3, 4))
    sets[0] = with_models(sets[0], small("cam", ("cam",), neurons=(5, 3), reset=7), lock)
    sets[1] = with_models(sets[1], small("cam", ("cam",), version=2, neurons=(5, 2)), lock)
    sets[2] = with_models(sets[2], arm)
    sets[3] = with_models(sets[3], small("cam", ("arm", "cam"), version=3), lock)
    return {
        number: Revision(number=number, digest=sha256(rule_set_content(content)), rule_set=content)
        for number, content in enumerate(sets, 1)
    }


def _moved(device: Device) -> Device:
    return msgspec.structs.replace(device, info=msgspec.structs.replace(device.info, device_class="arm", site="west"))


@dataclass
class Sender:
    """A device with a clock of its own."""

    name: str
    clock: str
    boot: int
    seq: int = 0
    step_ns: int = 0
    sent: list[tuple[int, bytes]] = field(default_factory=list)


class Simulation:
    """Writes one log, record by record; the same seed gives the same bytes."""

    def __init__(self, seed: int, *, tight: bool = False, falls: bool = False) -> None:
        """`tight` logs are sparse and sit at the limits; with `falls` append times go back now and then, as a broker's may."""
        self.random = random.Random(seed)
        self.tight = tight
        self.falls = falls
        clocks = ("exact", "slow", "fast", "stepping", "mad", "limit")
        names = (*INVENTORY[:-1], *STRANGERS)
        self.senders = [
            Sender(name, self.random.choice(clocks), 0 if self.random.random() < 0.2 else self.random.getrandbits(63))
            for name in names
        ]

    def records(self, count: int, *, reloads: bool = True) -> list[Record]:
        """Write a log of `count` records."""
        now, found, revision = START_NS, [], 1
        attacked: Sender | None = None
        for offset in range(count):
            now += self.pause()
            if self.random.random() < 0.02:
                attacked = self.random.choice([None, *self.senders])
            if reloads and self.random.random() < 0.012:
                revision += 1
                value = encode_tick(now, self.random.choice([revision, revision, 1, 99]) if revision <= 4 else 2)
            elif self.random.random() < 0.1:
                value = encode_tick(now)
            elif self.random.random() < 0.02:
                value = b"\x00garbage"
            elif self.random.random() < 0.15:
                value = self.json(now)
            else:
                value = self.frame(self.sender(attacked), now, attack=attacked is not None)
            fall = self.random.randint(0, 20) * SECOND if self.falls and self.random.random() < 0.03 else 0
            found.append(Record(offset, now - fall, value))
        return found

    def pause(self) -> int:
        """Return the time to the next record: mostly short, now and then an outage of ours."""
        luck = self.random.random()
        if luck < 0.01:
            return self.random.choice([29, 30, 31, 35, 70, 400]) * SECOND
        if luck < 0.3:
            return 0
        return self.random.randint(0, (12 if self.tight else 4) * SECOND)

    def sender(self, attacked: Sender | None) -> Sender:
        """Choose who sends; strangers come in crowds, an attacked device dominates."""
        if attacked is not None and self.random.random() < 0.6:
            return attacked
        if self.random.random() < 0.3:
            return self.random.choice(self.senders)
        return self.random.choice(self.senders[: len(INVENTORY) - 1])

    def frame(self, sender: Sender, now: int, *, attack: bool) -> bytes:
        """Send a frame, or an earlier one again."""
        if sender.sent and self.random.random() < 0.12:
            repeats = [value for at, value in sender.sent if now - at <= 62 * SECOND]
            if repeats:
                return self.random.choice([repeats[0], repeats[-1], self.random.choice(repeats)])
        raw = sender.name in INVENTORY and self.random.random() < 0.3
        value = self.raw(sender, now) if raw else self.fresh(sender, now, attack=attack)
        sender.sent = [*sender.sent[-6:], (now, value)]
        return value

    def fresh(self, sender: Sender, now: int, *, attack: bool) -> bytes:
        """Make a frame of a few spikes, events or counts, dated by the sender's clock."""
        sender.seq += self.random.random() < 0.95
        length = self.random.choice([0, 0, 1, 3, 12])
        start = now + self.offset_ns(sender) - length * SECOND
        rows = self.random.choice([0, 1, 1, 2, 4]) + (3 if attack else 0)
        steps = sorted(self.random.randint(0, length * 10) for _ in range(rows))
        if rows > 1 and self.random.random() < 0.1:
            self.random.shuffle(steps)
        head = Head(
            device=sender.name,
            start_ns=start,
            step_ns=SECOND // 10,
            layer=self.random.choice([0, 3, 3, 4]),
            role=1 if self.random.random() < 0.95 else 0,
            boot=sender.boot,
            seq=sender.seq,
        )
        large = attack and now // (60 * SECOND) % 8 == 0
        evidence = bytes([rows]) * (LARGE_EVIDENCE if large else 9) if head.role and rows > 1 else b""
        if self.random.random() < 0.3:
            neurons = [self.random.choice([0xFFFFFFFF, 4, 5]) for _ in range(rows)]
            counts = [self.random.choice([0, 1, 2, 3, 40]) for _ in range(rows)]
            return encode_counts(head, neurons, steps, counts, evidence=evidence)
        neurons = [self.random.choice([1, 2, 3, 5, 8, 20, 77]) for _ in range(rows)]
        return encode_events(head, neurons, steps, evidence=evidence)

    def raw(self, sender: Sender, now: int) -> bytes:
        """Make a frame for a model: windows or events, now and then one that doesn't fit."""
        sender.seq += 1
        head = Head(
            device=sender.name,
            start_ns=now + self.offset_ns(sender) - self.random.choice([0, 3, 3, 9]) * SECOND,
            step_ns=SECOND // self.random.choice([10, 10, 10, 10, 10, 3]),
            role=0,
            boot=sender.boot,
            seq=sender.seq,
        )
        if self.random.random() < 0.4:
            lines = self.random.sample(range(LINES), LINES) if self.random.random() < 0.95 else [0, 1, 1]
            words = [[self.random.getrandbits(32) & self.random.getrandbits(32) for _ in range(1)] for _ in lines]
            return encode_window(head, lines, words)
        rows = self.random.choice([0, 1, 4, 12, 30])
        steps = sorted(self.random.randint(0, self.random.choice([3, 40])) for _ in range(rows))
        neurons = [self.random.randrange(LINES + (self.random.random() < 0.01)) for _ in range(rows)]
        if self.random.random() < 0.03:
            return encode_counts(head, neurons, steps, [1] * rows)
        return encode_events(head, neurons, steps)

    def json(self, now: int) -> bytes:
        """Send JSON: one event or several, of one device or two, on named layers, with and without times."""
        senders = self.random.sample(self.senders, self.random.choice([1, 1, 2]))
        events = [self.event(self.random.choice(senders), now) for _ in range(self.random.choice([1, 1, 3, 6]))]
        return msgspec.json.encode(events[0] if len(events) == 1 else events)

    def event(self, sender: Sender, now: int) -> dict[str, object]:
        """Make one event: a spike, a weight, a summary, or only proof of life."""
        event: dict[str, object] = {"device_id": sender.name}
        kind = self.random.random()
        if kind < 0.6:
            event["neuron_id"] = self.random.choice([1, 2, 3, 5, 8, 20, 77])
        if kind > 0.3:
            event["spike_count"] = self.random.choice([0, 1, 2, 7])
            event["neuron_layer"] = self.random.choice(["out", "3", "4", "nowhere"])
        if self.random.random() < 0.7:
            event["time"] = now + self.offset_ns(sender) - self.random.randint(0, 20) * SECOND
        if sender.boot and self.random.random() < 0.5:
            event |= {"boot": sender.boot, "seq": sender.seq}
        return event

    def offset_ns(self, sender: Sender) -> int:
        """Return how far the sender's clock is off just now."""
        if sender.clock == "stepping" and self.random.random() < 0.1:
            sender.step_ns = self.random.choice([-50, -5, 0, 5, 29]) * SECOND
        off = {
            "exact": 0,
            "slow": -self.random.randint(20, 59),
            "fast": self.random.randint(5, 29),
            "stepping": 0,
            "mad": self.random.choice([0, 0, -600, 600, 86_400, -86_400]),
            "limit": self.random.choice([-61, -60, -59, 30, 31, 29]),
        }[sender.clock]
        return off * SECOND + sender.step_ns
