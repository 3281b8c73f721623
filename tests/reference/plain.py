"""
DESIGN.md section 2, one record and one spike at a time: the truth that the array code is held to.

Everything here is lists and dictionaries; nothing is shared with the product but the slow reading of a record and the normal form of rules.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, NamedTuple

from tests.reference.detection import PlainDetection, key_of, model_of

from spikebridge.spikes.frame import marker_of
from spikebridge.spikes.parts import unpack_record

if TYPE_CHECKING:
    from collections.abc import Mapping

    from spikebridge.alerts import DeviceInfo
    from spikebridge.mapping.rules import Revision, Rule, Selector
    from spikebridge.spikes.parts import Part
    from spikebridge.spikes.record import Record

OUTPUT, SUMMARY, BEFORE = 1, 0xFFFF_FFFF, -1

FrameKey = tuple[str, int, int, int]
Found = tuple[int, str, str, int, int, int, bool]
Held = dict[tuple[str, str], tuple[int, int, bool]]


class PlainAlert(NamedTuple):
    """What makes an alert the one that it is."""

    offset: int
    ordinal: int
    rule: str
    device: str
    interval: int
    time_ns: int
    suppressed_before: int
    moved: bool
    revision: int


@dataclass
class PlainWindow:
    """The times of a device's spikes under one rule since its window began."""

    times: list[int] = field(default_factory=list)
    before: int | None = None

    def row(self, time: int, weight: int, count: int, within: int) -> bool:
        """Count a row and say whether the condition holds."""
        if self.before is None or time - self.before <= -within:
            self.times = []
        self.before = time
        clock = max([time, *self.times[-1:]])
        self.times += [clock] * weight
        return len(self.times) >= count and clock - self.times[-count] < within


class PlainEngine:
    """Matches records one at a time."""

    def __init__(self, revision: Revision, revisions: Mapping[int, Revision], *, live: bool = True) -> None:
        """Begin a life with a revision in force."""
        self.revisions = revisions
        self.live = live
        self.now = BEFORE
        self.gap = 0
        self.seen: dict[str, int] = {}
        self.frames: list[tuple[FrameKey, int]] = []
        self.windows: dict[tuple[str, str], PlainWindow] = {}
        self.held: dict[tuple[str, int, str], dict[int, int]] = {}
        self.fired: dict[tuple[str, str], int] = {}
        self.since: dict[tuple[str, str], int] = {}
        self.crowd: dict[int, set[str]] = {}
        self.force: dict[str, int] = {}
        self.revision = revision
        self.pairs: list[tuple[int, int]] = []
        self.detection = PlainDetection()
        self.value = b""
        self.unfit: list[int] = []

    def take(self, record: Record, schedule: Mapping[int, int] | None = None) -> list[PlainAlert]:
        """Take the next record; a schedule (offset to revision) replaces what markers say."""
        if schedule and record.offset in schedule:
            self.switch(schedule[record.offset])
        limits = self.revision.rule_set.limits
        found: list[Found] = []
        now = max(self.now, record.append_ns)
        if now - record.append_ns > limits.clock_fall_ns:
            self.hold(found, (0, "log_clock", ""), 60_000_000_000, now, record.append_ns)
        if self.now == BEFORE or (self.live and now - self.now > limits.gap_ns):
            if self.now != BEFORE:
                self.hold(found, (0, "log_gap", ""), 1_000_000_000, now, now)
            self.gap = now
        self.now = now
        self.clocks(found)
        self.value = record.value
        parts = unpack_record(record._replace(append_ns=now), limits.frame_ns)
        self.record(found, parts)
        alerts = [
            PlainAlert(record.offset, ordinal, rule, device, now // suppress, time, hidden, moved, self.revision.number)
            for ordinal, (_, rule, device, suppress, time, hidden, moved) in enumerate(sorted(found, key=lambda alert: alert[:3]))
        ]
        number = marker_of(record.value)
        if schedule is None and number is not None and number > self.revision.number and number in self.revisions:
            self.switch(number)
            self.pairs.append((record.offset + 1, number))
        return alerts

    def hold(
        self, found: list[Found], key: tuple[int, str, str], suppress: int, now: int, time: int, moved: bool = False
    ) -> None:
        """Note that a condition holds at this record: the first time in an interval is an alert."""
        _, rule, device = key
        counts = self.held.setdefault((rule, suppress, device), {})
        interval = now // suppress
        if interval not in counts:
            found.append((*key, suppress, time, max(0, counts.get(interval - 1, 0) - 1), moved))
        counts[interval] = counts.get(interval, 0) + 1

    def clocks(self, found: list[Found]) -> None:
        """Absence, before the record itself counts: always of the inventory, of others and in a recording from their own last record on."""
        inventory = {device.info.id for device in self.revision.rule_set.devices}
        for rule in self.rules("absence"):
            for device in sorted(inventory | set(self.seen)):
                reached, until = self.reach(rule, device)
                start = max(
                    self.seen.get(device, 0),
                    self.gap,
                    self.force.get(rule.info.id, 0),
                    self.since.get((rule.info.id, device), 0),
                    until,
                )
                watched = self.live and device in inventory
                if not watched and self.seen.get(device) != start:
                    continue
                due = start + rule.info.within_ns
                if reached and until <= self.now and due <= self.now and self.fired.get((rule.info.id, device)) != start:
                    self.fired[rule.info.id, device] = start
                    self.hold(found, (1, rule.info.id, device), rule.info.suppress_ns, self.now, due)

    def record(self, found: list[Found], parts: list[Part]) -> None:
        """Admit the record's frames and count their spikes."""
        limits, now = self.revision.rule_set.limits, self.now
        inventory = {device.info.id for device in self.revision.rule_set.devices}
        held: Held = {}
        crowded = False
        verdicts: dict[FrameKey, bool] = {}
        for part in parts:
            if part.device_id not in inventory:
                crowd = self.crowd.setdefault(now // limits.crowd_ns, set())
                if part.device_id not in crowd and len(crowd) >= limits.max_unknown_devices:
                    crowded = True
                    continue
                crowd.add(part.device_id)
            self.seen[part.device_id] = now
            key = (part.device_id, part.boot, part.seq, part.crc)
            if part.boot and key not in verdicts:
                verdicts[key] = any(k == key and now - at <= limits.late_ns for k, at in self.frames)
                self.frames.append((key, now))
            if verdicts.get(key):
                continue
            within = part.start_ns >= now - limits.late_ns and part.end_ns <= now + limits.future_ns
            shift = 0 if within else now - part.end_ns
            counted = part if part.role == OUTPUT else self.detect(part, shift)
            if counted is not None:
                self.count(held, counted, shift)
        if crowded:
            self.hold(found, (0, "crowd", ""), 60_000_000_000, now, now)
        for (rule, device), (suppress, time, moved) in held.items():
            self.hold(found, (2, rule, device), suppress, now, time, moved)

    def detect(self, part: Part, shift: int) -> Part | None:
        """Return what the model of the device makes of an input part, if there is one and the part fits it."""
        device_class = self.class_of(part.device_id, self.revision)
        model = model_of(self.revision.rule_set, device_class)
        if model is None:
            return None
        limits = self.revision.rule_set.limits
        found = self.detection.take(model, device_class, self.value, part, (self.now, shift), limits)
        if isinstance(found, str):
            self.unfit.append(self.now)
            return None
        return found

    def class_of(self, device: str, revision: Revision) -> str:
        """Return the class that a revision gives a device."""
        info = self.info(revision, device)
        return info.device_class if info else ""

    def count(self, held: Held, part: Part, shift: int) -> None:
        """Count a frame's rows, one by one, under every rule that concerns them."""
        device = self.device(part.device_id)
        names = next((c.layers for c in self.revision.rule_set.classes if c.name == device.device_class), {}) if device else {}
        layer = names.get(part.layer, str(part.layer)) if isinstance(part.layer, int) else part.layer
        rows = zip(part.neurons.tolist(), part.times.tolist(), part.weights.tolist(), strict=True)
        for at, (neuron, time, weight) in enumerate(rows):
            for rule in self.rules("event_count"):
                reached, until = self.reach(rule, part.device_id)
                if not reached or until > self.now or not weight or not self.names(rule, layer, neuron):
                    continue
                window = self.windows.setdefault((rule.info.id, part.device_id), PlainWindow())
                if window.row(time + shift, weight, rule.info.count, rule.info.within_ns) or rule.info.count == 1:
                    moved = shift != 0 or at in part.untimed
                    held.setdefault((rule.info.id, part.device_id), (rule.info.suppress_ns, time + shift, moved))

    def switch(self, number: int) -> None:
        """Bring a revision into force."""
        before, self.revision = self.revision, self.revisions[number]
        old = {rule.info.id: rule for rule in before.rule_set.rules}
        kept = {
            rule.info.id
            for rule in self.revision.rule_set.rules
            if rule.info.id in old and self.matching(old[rule.info.id], before) == self.matching(rule, self.revision)
        }
        known_before = {device.info.id for device in before.rule_set.devices}
        known = {device.info.id for device in self.revision.rule_set.devices}
        remodelled = {
            device
            for device in {device for _, device in self.windows} | set(self.detection.held) | set(self.detection.spent)
            if key_of(before.rule_set, self.class_of(device, before))
            != key_of(self.revision.rule_set, self.class_of(device, self.revision))
        }
        for device in remodelled:
            self.detection.forget(device)
        for name, device in list(self.windows):
            if name not in kept or device in remodelled or self.came(old[name], before, device):
                del self.windows[name, device]
        for rule in self.rules("absence"):
            name = rule.info.id
            if name not in kept:
                self.force[name] = self.now
                self.since = {key: at for key, at in self.since.items() if key[0] != name}
                self.fired = {key: at for key, at in self.fired.items() if key[0] != name}
            else:
                for device in known:
                    if not self.fits(old[name], before, device) or device not in known_before:
                        self.since[name, device] = self.now

    def came(self, rule: Rule, before: Revision, device: str) -> bool:
        """Whether a rule now concerns a device otherwise than before."""
        was, now = self.info(before, device), self.device(device)
        classes = (was.device_class if was else "") != (now.device_class if now else "")
        return (classes and any(cell.layer for cell in rule.cells)) or self.fits(rule, before, device) != self.fits(
            rule, self.revision, device
        )

    def matching(self, rule: Rule, revision: Revision) -> tuple[object, ...]:
        """Return what must be unchanged for a rule to keep its windows."""
        layers = [(c.name, c.layers) for c in revision.rule_set.classes if c.layers]
        return rule.matching, layers if any(cell.layer for cell in rule.cells) else None

    def rules(self, kind: str) -> list[Rule]:
        """Return the rules of a kind in force."""
        return [rule for rule in self.revision.rule_set.rules if rule.info.kind == kind]

    def names(self, rule: Rule, layer: str, neuron: int) -> bool:
        """Whether a rule names a neuron of a layer."""
        for cell in rule.cells:
            if cell.first is None:
                if cell.layer == layer and neuron == SUMMARY:
                    return True
            elif cell.layer in ("", layer) and neuron != SUMMARY:
                last = cell.first if cell.last is None else cell.last
                if cell.first <= neuron <= last:
                    return True
        return False

    def reach(self, rule: Rule, device: str) -> tuple[bool, int]:
        """Whether and from when on a rule concerns a device."""
        info = self.device(device)
        if rule.devices and not any(self.selects(selector, info, device) for selector in rule.devices):
            return False, 0
        ends = [e.until_ns for e in rule.excepted if self.selects(e.selector, info, device)]
        return 0 not in ends, max(ends, default=0)

    def fits(self, rule: Rule, revision: Revision, device: str) -> tuple[()] | tuple[bool, int]:
        """`reach` under another revision."""
        current, self.revision = self.revision, revision
        try:
            reached, until = self.reach(rule, device)
            return (reached, until) if reached else ()
        finally:
            self.revision = current

    @staticmethod
    def selects(selector: Selector, info: DeviceInfo | None, device: str) -> bool:
        """Whether a selector means a device."""
        if selector.device and not fnmatchcase(device, selector.device):
            return False
        if selector.device_class and (info is None or info.device_class != selector.device_class):
            return False
        return not selector.site or (info is not None and info.site == selector.site)

    def device(self, name: str) -> DeviceInfo | None:
        """Return the inventory's entry, if there is one."""
        return self.info(self.revision, name)

    @staticmethod
    def info(revision: Revision, name: str) -> DeviceInfo | None:
        """Return the entry in a revision's inventory."""
        return next((device.info for device in revision.rule_set.devices if device.info.id == name), None)
