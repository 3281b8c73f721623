"""
Two rule sets over the same records: which alerts would be gained, which lost.

Alerts are compared by id, which holds rule, group and interval. A rule that was only renamed loses every alert under its old id and
gains it under the new one, so a lost rule and a gained rule whose alerts lie at the same places are shown as one renaming.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from spikebridge.canonical import sha256
from spikebridge.mapping.engine import Engine
from spikebridge.mapping.rules import Revision, rule_set_content

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from spikebridge.alerts import Alert
    from spikebridge.mapping.engine import DeadRecord
    from spikebridge.mapping.evidence import Identity
    from spikebridge.mapping.rules import RuleSet
    from spikebridge.spikes.record import Record

EXAMPLES = 3

TOLD = 10
"""So many of the parts that can't be read are told; all are counted."""


class Example(msgspec.Struct, frozen=True, kw_only=True):
    """One alert of many."""

    id: str
    time_ns: int
    severity: str
    explanation: str


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """So many alerts of a rule on a device, the first of them as examples."""

    rule: str
    device: str
    count: int
    examples: list[Example]


class Renaming(msgspec.Struct, frozen=True, kw_only=True):
    """A rule whose alerts lie where those of another one lay."""

    old: str
    new: str
    count: int


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """Alerts of a rule that both have, and that say something else: `what` is severity, threat or action."""

    rule: str
    what: str
    old: str
    new: str
    count: int


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """A part of a record that can't be read."""

    partition: int
    offset: int
    reason: str


class Refusals:
    """Counts what can't be read, and keeps the first of it."""

    def __init__(self) -> None:
        """Begin at nothing."""
        self.count = 0
        self.first: list[Refusal] = []

    def look(self, partition: int, dead: Sequence[DeadRecord]) -> None:
        """Count what a run of records had."""
        self.count += len(dead)
        room = TOLD - len(self.first)
        self.first += [Refusal(partition=partition, offset=one.offset, reason=one.reason) for one in dead[:room]]


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What the new rule set would change; `same` alerts are in both, of `refused` parts of records `refusals` are the first."""

    records: int
    spikes: int
    refused: int
    refusals: list[Refusal]
    same: int
    gained: list[Line]
    lost: list[Line]
    renamed: list[Renaming]
    changed: list[Change]


class _Kept(NamedTuple):
    """What is kept of an alert until the other side has it too."""

    rule: str
    device: str
    offset: int
    time_ns: int
    says: tuple[str, str, str]
    explanation: str


class Backtest:
    """
    Both rule sets, fed with the records of one log after the other, each in order.

    Only alerts that one side alone has are kept.
    """

    def __init__(self, old: RuleSet, new: RuleSet) -> None:
        """Begin with no log."""
        self.records = 0
        self._rule_sets = (old, new)
        self._engines: list[Engine] = []
        self._only: tuple[dict[str, _Kept], dict[str, _Kept]] = ({}, {})
        self._same = self._spikes = self._partition = 0
        self._refused = Refusals()
        self._changed: dict[tuple[str, str, str, str], int] = defaultdict(int)

    def begin(self, identity: Identity, read: Callable[[Sequence[int]], list[Record]]) -> None:
        """Begin a log, or a partition of one, from an empty state; `read` fetches earlier records by offset, for explanations."""
        self._partition = identity.partition
        self._engines = [_engine(rule_set, identity, read) for rule_set in self._rule_sets]

    def feed(self, records: Sequence[Record]) -> None:
        """Match records of the log that was begun last, under both."""
        self.records += len(records)
        for side, engine in enumerate(self._engines):
            taken = engine.take(records)
            for raised in taken.alerts:
                self._meet(side, raised.alert)
        self._spikes += taken.spikes
        self._refused.look(self._partition, taken.dead)

    def outcome(self) -> Outcome:
        """Say what differs so far."""
        lost, gained = (_by_rule(only) for only in self._only)
        renamed = [
            Renaming(old=old, new=new, count=len(lost[old]))
            for old in sorted(lost)
            for new in sorted(gained)
            if old not in gained and new not in lost and _places(lost[old]) == _places(gained[new])
        ]
        gone = {one.old for one in renamed}, {one.new for one in renamed}
        return Outcome(
            records=self.records,
            spikes=self._spikes,
            refused=self._refused.count,
            refusals=self._refused.first,
            same=self._same,
            gained=_lines(gained, gone[1]),
            lost=_lines(lost, gone[0]),
            renamed=renamed,
            changed=[
                Change(rule=rule, what=what, old=old, new=new, count=count)
                for (rule, what, old, new), count in sorted(self._changed.items())
            ],
        )

    def _meet(self, side: int, alert: Alert) -> None:
        says = (alert.rule.severity, alert.rule.threat, alert.rule.action)
        other = self._only[1 - side].pop(alert.id, None)
        if other is None:
            self._only[side][alert.id] = _Kept(
                alert.rule.id, alert.device.id, alert.offset, alert.time_ns, says, alert.explanation
            )
            return
        self._same += 1
        pair = (says, other.says) if side == 0 else (other.says, says)
        for what, old, new in zip(("severity", "threat", "action"), *pair, strict=True):
            if old != new:
                self._changed[alert.rule.id, what, old, new] += 1


def _engine(rule_set: RuleSet, identity: Identity, read: Callable[[Sequence[int]], list[Record]]) -> Engine:
    """Match under this rule set alone: markers of the log name revisions that are unknown here."""
    revision = Revision(number=1, digest=sha256(rule_set_content(rule_set)), rule_set=rule_set)
    return Engine(identity, revision, lambda _: None, read)


def _by_rule(only: dict[str, _Kept]) -> dict[str, list[tuple[str, _Kept]]]:
    found: dict[str, list[tuple[str, _Kept]]] = defaultdict(list)
    for alert_id, kept in only.items():
        found[kept.rule].append((alert_id, kept))
    return found


def _places(alerts: list[tuple[str, _Kept]]) -> set[tuple[str, int, int]]:
    return {(kept.device, kept.offset, kept.time_ns) for _, kept in alerts}


def _lines(by_rule: dict[str, list[tuple[str, _Kept]]], left_out: set[str]) -> list[Line]:
    """Return a line for each rule and device, the most alerts first."""
    found: dict[tuple[str, str], list[Example]] = defaultdict(list)
    counts: dict[tuple[str, str], int] = defaultdict(int)
    for rule, alerts in by_rule.items():
        for alert_id, kept in alerts if rule not in left_out else []:
            key = (rule, kept.device)
            counts[key] += 1
            if len(found[key]) < EXAMPLES:
                example = Example(id=alert_id, time_ns=kept.time_ns, severity=kept.says[0], explanation=kept.explanation)
                found[key].append(example)
    order = sorted(counts, key=lambda key: (-counts[key], key))
    return [Line(rule=rule, device=device, count=counts[rule, device], examples=found[rule, device]) for rule, device in order]
