"""
Alerts correlated to incidents: a function of the set of alerts, whatever the order in which they arrive.

A match of a rule ends at one alert of a group, at its time t, and lies in (t - timespan, t]; alerts are ordered by (time, id).

- `value_count`: at least `gte` distinct values of a field. The match is every alert of the group in that stretch.
- `temporal`: each entry of `rules` was seen. The match is as above.
- `temporal_ordered`: one alert for each entry of `rules`, in their order. The match is those alerts.

The incident of a group and an interval (of alert time, as long as the timespan, aligned to the epoch) holds all alerts of all matches that
end in the interval. None is used up and more alerts never undo a match, so the set only grows.
An alert is forgotten a day after its append to the alert log, and so are patterns that take longer than that to arrive.
"""

from __future__ import annotations

import ipaddress
from bisect import bisect_left, insort
from collections import deque
from fnmatch import fnmatchcase
from itertools import product
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from spikebridge.alerts import MEMBERS_LISTED, Alert, Incident, Member, incident_id
from spikebridge.explanation import explain_incident
from spikebridge.limits import MINUTE

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Sequence

    from spikebridge.mapping.rules import Device, IncidentRule, Revision

DAY_NS = 24 * 60 * MINUTE
MAX_HELD = 1_000_000
"""So many alerts of a day are correlated at most: later ones are left out and counted."""

_NEVER = -(1 << 63)
_NO_END = 1 << 63


class Seen(NamedTuple):
    """What correlation keeps of an alert; ordered by (time, id). `edges` are the devices that it touched unexpectedly."""

    time_ns: int
    id: str
    member: Member
    append_ns: int
    site: str
    device_class: str
    peers: tuple[str, ...]
    edges: tuple[str, ...]

    def values(self, field: str) -> tuple[str, ...]:
        """Return the values of a field by which alerts are grouped and counted: one, except for peers."""
        match field:
            case "peer":
                return self.peers
            case "site":
                return (self.site,)
            case "class":
                return (self.device_class,)
            case _:
                return (getattr(self.member, field),)


class _Key(NamedTuple):
    """The group of a rule in an interval: alerts are kept, and incidents told apart, by it."""

    rule: int
    group: tuple[str, ...]
    start_ns: int


class Correlator:
    """
    The incidents of one tenant under one revision.

    `left_out` counts alerts that came while `max_held` others were held.
    """

    def __init__(self, tenant: str, revision: Revision, max_held: int = MAX_HELD) -> None:
        """Begin with no alerts."""
        self.left_out = 0
        self.revision = revision
        self._tenant = tenant
        self._max_held = max_held
        self._rules = revision.rule_set.incidents
        self._edges = _Edges(revision.rule_set.devices)
        self._reached: dict[str, list[int]] = {}
        self._alerts: dict[_Key, list[Seen]] = {}
        self._sizes: dict[_Key, int] = {}
        self._held: dict[str, tuple[Seen, list[_Key]]] = {}
        self._touched: set[_Key] = set()
        self._grown: dict[str, Incident] = {}
        self._order: deque[tuple[int, str]] = deque()
        self._now_ns = 0
        self._minute = 0

    @property
    def held(self) -> int:
        """How many alerts are held."""
        return len(self._held)

    def take(self, alerts: Iterable[tuple[Alert, int]]) -> None:
        """Hold alerts, each with its append time in the alert log; one that is held already (a repeat) changes nothing."""
        for alert, append_ns in alerts:
            self._now_ns = max(self._now_ns, append_ns)
            if self._now_ns // MINUTE > self._minute:
                self._evaluate_touched()
                self._forget()
            self._touched.update(self._take(alert))

    def grown(self) -> list[Incident]:
        """
        Return the incidents that have grown since the last call, sorted.

        The work is linear in the alerts of the groups that were touched: the more are held, the rarer a caller with a backlog asks.
        """
        self._evaluate_touched()
        grown, self._grown = self._grown, {}
        return sorted(grown.values(), key=lambda incident: (incident.rule.id, incident.group, incident.interval_start_ns))

    def feed(self, alerts: Iterable[tuple[Alert, int]]) -> list[Incident]:
        """Take alerts and return the incidents that have grown."""
        self.take(alerts)
        return self.grown()

    def _take(self, alert: Alert) -> Iterable[_Key]:
        """Hold an alert; return the keys whose incidents it may change: a pattern ends less than a timespan after it."""
        reached = self._reached_by(alert.rule.id)
        if not reached or alert.id in self._held:
            return ()
        if len(self._held) >= self._max_held:
            self.left_out += 1
            return ()
        seen = _seen(alert, self._edges)
        keys = [key for at in reached for key in _keys(at, self._rules[at], seen)]
        for key in keys:
            insort(self._alerts.setdefault(key, []), seen)
        self._held[seen.id] = seen, keys
        self._order.append((self._now_ns, seen.id))
        return [*keys, *(self._beside(key, 1) for key in keys)]

    def _evaluate_touched(self) -> None:
        self._grown |= {incident.id: incident for key in self._touched if (incident := self._evaluate(key))}
        self._touched.clear()

    def _evaluate(self, key: _Key) -> Incident | None:
        """Return the incident under the key if it has grown."""
        ending = self._alerts.get(key)
        if not ending:
            return None
        members = _members(self._rules[key.rule], [*self._alerts.get(self._beside(key, -1), ()), *ending], key.start_ns)
        if len(members) <= self._sizes.get(key, 0):
            return None
        self._sizes[key] = len(members)
        return self._document(key, members)

    def _document(self, key: _Key, members: Sequence[Seen]) -> Incident:
        rule = self._rules[key.rule]
        span_ns = rule.info.within_ns
        sites = {seen.site for seen in members}
        devices = {seen.member.device for seen in members}
        if rule.condition.edge:
            devices.update(*(seen.edges for seen in members))
        incident = Incident(
            id=incident_id(self._tenant, rule.info.id, list(key.group), (key.start_ns, span_ns)),
            version=len(members),
            tenant=self._tenant,
            revision=self.revision.number,
            revision_digest=self.revision.digest,
            rule=rule.info,
            site=sites.pop() if len(sites) == 1 else "",
            group=list(key.group),
            time_ns=members[-1].time_ns,
            append_ns=max(seen.append_ns for seen in members),
            first_ns=members[0].time_ns,
            last_ns=members[-1].time_ns,
            interval_start_ns=key.start_ns,
            interval_ns=span_ns,
            devices=sorted(devices)[:MEMBERS_LISTED],
            members=[seen.member for seen in members[:MEMBERS_LISTED]],
        )
        return msgspec.structs.replace(incident, explanation=explain_incident(incident))

    def _forget(self) -> None:
        """Drop what was appended a day before this minute, or earlier: by whole minutes, so that it is no work for each alert."""
        self._minute = self._now_ns // MINUTE
        while self._order and self._order[0][0] <= self._minute * MINUTE - DAY_NS:
            _, alert_id = self._order.popleft()
            seen, keys = self._held.pop(alert_id)
            for key in keys:
                kept = self._alerts[key]
                del kept[bisect_left(kept, seen)]
                if not kept:
                    del self._alerts[key]
                    self._sizes.pop(key, None)

    def _reached_by(self, rule_id: str) -> list[int]:
        reached = self._reached.get(rule_id)
        if reached is None:
            reached = self._reached[rule_id] = [at for at, rule in enumerate(self._rules) if _steps(rule, rule_id)]
        return reached

    def _beside(self, key: _Key, intervals: int) -> _Key:
        return key._replace(start_ns=key.start_ns + intervals * self._rules[key.rule].info.within_ns)


class _Edges:
    """Who is expected to talk to whom, by the inventory."""

    def __init__(self, devices: Sequence[Device]) -> None:
        self._talks_to = {device.info.id: device.talks_to for device in devices}
        self._by_address = {_address(text): device.info.id for device in reversed(devices) for text in device.info.addresses}

    def unexpected(self, device_id: str, peers: Iterable[str]) -> tuple[str, ...]:
        """Return the other devices among the peers (addresses or ids) that the device isn't expected to talk to."""
        expected = self._talks_to.get(device_id, ())
        found = (peer if peer in self._talks_to else self._by_address.get(_address(peer), device_id) for peer in peers)
        return tuple(other for other in found if other != device_id and not any(fnmatchcase(other, glob) for glob in expected))


def _address(text: str) -> str:
    """Write an address in its one way: 2001:DB8:0::1 is 2001:db8::1."""
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return text.lower()


def _seen(alert: Alert, edges: _Edges) -> Seen:
    peers = tuple(peer.address for peer in alert.peers)
    device = alert.device
    member = Member(
        id=alert.id,
        rule=alert.rule.id,
        threat=alert.rule.threat,
        severity=alert.rule.severity,
        device=device.id,
        time_ns=alert.time_ns,
    )
    found = edges.unexpected(device.id, peers)
    return Seen(alert.time_ns, alert.id, member, alert.append_ns, device.site, device.device_class, peers, found)


def _keys(at: int, rule: IncidentRule, seen: Seen) -> list[_Key]:
    """Return where a rule keeps an alert: nowhere if it lacks what is grouped by or counted."""
    if rule.info.kind == "value_count" and not seen.values(rule.condition.field):
        return []
    start_ns = seen.time_ns - seen.time_ns % rule.info.within_ns
    return [_Key(at, group, start_ns) for group in product(*map(seen.values, rule.group_by))]


def _steps(rule: IncidentRule, rule_id: str) -> tuple[int, ...]:
    """Return which entries of `rules` a rule id stands for."""
    return tuple(at for at, glob in enumerate(rule.rules) if fnmatchcase(rule_id, glob))


def _members(rule: IncidentRule, alerts: Sequence[Seen], start_ns: int) -> Sequence[Seen]:
    """Return the alerts of all matches that end at `start_ns` or later; `alerts` are those of two intervals, in order."""
    steps = {rule_id: _steps(rule, rule_id) for rule_id in {seen.member.rule for seen in alerts}}

    def ends(seen: Seen) -> bool:
        return seen.time_ns >= start_ns and (not rule.condition.edge or bool(seen.edges))

    if rule.info.kind == "temporal_ordered":
        return _chained(alerts, [steps[seen.member.rule] for seen in alerts], len(rule.rules), rule.info.within_ns, ends)
    if rule.info.kind == "temporal":
        return _covered(alerts, [steps[seen.member.rule] for seen in alerts], len(rule.rules), rule.info.within_ns, ends)
    return _covered(alerts, [seen.values(rule.condition.field) for seen in alerts], rule.condition.gte, rule.info.within_ns, ends)


def _covered(
    alerts: Sequence[Seen], values: Sequence[Sequence[Hashable]], need: int, span_ns: int, ends: Callable[[Seen], bool]
) -> Sequence[Seen]:
    """
    Return the alerts within a timespan before an end, where they have `need` distinct values together.

    Ends of one interval are less than a timespan apart, so their stretches are one.
    """
    counts: dict[Hashable, int] = {}
    low, first, after = 0, -1, -1
    for at, seen in enumerate(alerts):
        for value in values[at]:
            counts[value] = counts.get(value, 0) + 1
        while alerts[low].time_ns <= seen.time_ns - span_ns:
            for value in values[low]:
                counts[value] -= 1
                if not counts[value]:
                    del counts[value]
            low += 1
        if len(counts) >= need and ends(seen):
            first, after = low if first < 0 else first, at + 1
    return alerts[first:after] if after > 0 else ()


def _chained(
    alerts: Sequence[Seen], steps: Sequence[tuple[int, ...]], length: int, span_ns: int, ends: Callable[[Seen], bool]
) -> Sequence[Seen]:
    """
    Return the alerts that lie on a chain of steps 0 to `length` - 1, shorter than a timespan, with its last alert an end.

    An alert does if the latest start of a chain up to it and the earliest end of one from it are near enough.
    """
    latest = [_NEVER] * length
    starts: list[dict[int, int]] = []
    for seen, taken in zip(alerts, steps, strict=True):
        start = {step: latest[step - 1] if step else seen.time_ns for step in taken}
        starts.append(start)
        for step, start_ns in start.items():
            latest[step] = max(latest[step], start_ns)
    earliest = [_NO_END] * length
    members: list[Seen] = []
    for seen, start in zip(reversed(alerts), reversed(starts), strict=True):
        end = {step: earliest[step + 1] for step in start if step < length - 1}
        if length - 1 in start and ends(seen):
            end[length - 1] = seen.time_ns
        if any(end_ns - start[step] < span_ns for step, end_ns in end.items()):
            members.append(seen)
        for step, end_ns in end.items():
            earliest[step] = min(earliest[step], end_ns)
    return members[::-1]
