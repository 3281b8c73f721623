"""What the store holds against a second computation over the same records; and how long alerts took."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from spikebridge.alerts import SEVERITIES, Alert, Incident, alert_entry, read_finding
from spikebridge.demo.directory import TENANT
from spikebridge.logs.recording import Recording
from spikebridge.mapping.engine import Engine
from spikebridge.mapping.evidence import Identity
from spikebridge.mapping.rules import Revision, known_revision, read_revision
from spikebridge.store import Query, Store

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from spikebridge.alerts import Severity
    from spikebridge.demo.play import Demo
    from spikebridge.logs import Commit, Record, SpikeLog

BATCH_BYTES = 1 << 20
_ALL = 1_000_000


class Latency(NamedTuple):
    """From a record's append to its alert's append, ns: of live alerts while a worker ran, and the longest that waited for one."""

    alerts: int
    p50_ns: int
    p99_ns: int
    waited: int
    longest_wait_ns: int


class Proof(NamedTuple):
    """
    One run, counted.

    `lost` are alerts that the second computation has and the store lacks, `differing` those whose bytes differ, `foreign` those that
    only the store has. `repeated` were appended twice to the alert log after the kill; the store keeps each once.
    """

    spikes: int
    records: int
    alerts: dict[Severity, int]
    incidents: list[Incident]
    lost: int
    differing: int
    foreign: int
    repeated: int
    latency: Latency
    example: str

    @property
    def holds(self) -> bool:
        """Say whether the store has exactly the alerts that it should have."""
        return not self.lost and not self.differing and not self.foreign


class _Expected(NamedTuple):
    bodies: dict[str, bytes]
    spikes: int
    records: int


def prove(demo: Demo) -> Proof:
    """Compute once more what this run should have given, and compare; the worker has ended."""
    spool = demo.spool
    logs: list[tuple[SpikeLog, Commit | None, int, bool]] = [(spool, spool.committed(), demo.first, True)]
    if demo.recording:
        taken = demo.recording
        logs.append((Recording(demo.place.night, taken.added_ns), spool.alert_log(taken.number).committed(), 0, False))
    bodies: dict[str, bytes] = {}
    spikes = records = 0
    for log, commit, first, live in logs:
        expected = _expected(demo, log, commit, Identity(TENANT, log.id, log.partition, live), first)
        bodies |= expected.bodies
        spikes, records = spikes + expected.spikes, records + expected.records
    with Store(demo.place.directory, read_only=True) as store:
        held = {entry.id: entry.body for entry in store.findings(Query(limit=_ALL))}
    findings = [read_finding(body) for body in held.values()]
    starts = {log.id: first for log, _, first, _ in logs}
    own = [one for one in findings if isinstance(one, Alert) and one.log in starts and one.offset >= starts[one.log]]
    members = {alert.id for alert in own}
    appended = _appended(demo)
    return Proof(
        spikes=spikes,
        records=records,
        alerts=_by_severity(own),
        incidents=[one for one in findings if isinstance(one, Incident) and members & {member.id for member in one.members}],
        lost=sum(finding_id not in held for finding_id in bodies),
        differing=sum(held.get(finding_id, body) != body for finding_id, body in bodies.items()),
        foreign=len(members - bodies.keys()),
        repeated=len(appended) - len({alert.id for alert, _ in appended}),
        latency=_latency(demo, appended),
        example=max(own, key=lambda alert: (SEVERITIES[alert.rule.severity], alert.time_ns)).id if own else "",
    )


def _expected(demo: Demo, log: SpikeLog, commit: Commit | None, identity: Identity, first: int) -> _Expected:
    """Match the records of a log from `first` on, after a replay of the look-back before it."""
    if commit is None:
        return _Expected({}, 0, 0)
    before = [record for record in _records(log, log.bounds()[0]) if record.offset < first]
    numbers = [number for offset, number in commit.pairs if offset <= (before[0].offset if before else first)]
    engine = Engine(
        identity, _revision(demo, (numbers or [commit.pairs[0][1]])[-1]), lambda number: _known(demo, number), log.read
    )
    engine.replay(before, commit.pairs)
    bodies: dict[str, bytes] = {}
    spikes = records = 0
    for batch in _batches(log, first):
        taken = engine.take(batch)
        spikes, records = spikes + taken.spikes, records + len(batch)
        for raised in taken.alerts:
            entry = alert_entry(raised.alert, raised.evidence)
            bodies.setdefault(entry.id, entry.body)
    return _Expected(bodies, spikes, records)


def _records(log: SpikeLog, position: int) -> Iterator[Record]:
    for batch in _batches(log, position):
        yield from batch


def _batches(log: SpikeLog, position: int) -> Iterator[Sequence[Record]]:
    while batch := log.poll(position, BATCH_BYTES):
        yield batch
        position = batch[-1].offset + 1


def _revision(demo: Demo, number: int) -> Revision:
    return read_revision(number, demo.spool.revision(number) or b"{}")


def _known(demo: Demo, number: int) -> Revision | None:
    return known_revision(number, demo.spool.revision(number))


def _by_severity(alerts: Sequence[Alert]) -> dict[Severity, int]:
    counts = Counter(alert.rule.severity for alert in alerts)
    return {severity: counts[severity] for severity in reversed(SEVERITIES) if counts[severity]}


def _appended(demo: Demo) -> list[tuple[Alert, int]]:
    """Return the alerts of live records of this run as the alert log got them, each with its append time there."""
    found = []
    position = demo.alerts_first
    while entries := demo.spool.poll_alerts(position, 1_000):
        position = entries[-1].offset + 1
        for entry in entries:
            finding = read_finding(entry.body)
            if isinstance(finding, Alert) and finding.log == demo.spool.id:
                found.append((finding, entry.append_ns))
    return found


def _latency(demo: Demo, appended: list[tuple[Alert, int]]) -> Latency:
    """Tell how long alerts took from append to append, apart from those whose records met no worker."""
    first: dict[str, tuple[int, int]] = {}
    for alert, append_ns in appended:
        first.setdefault(alert.id, (alert.append_ns, append_ns))
    down = (demo.kill.from_ns, demo.kill.back_ns) if demo.kill else (0, 0)
    took = sorted(done - at for at, done in first.values() if not down[0] <= at <= down[1])
    waits = [done - at for at, done in first.values() if down[0] <= at <= down[1]]
    return Latency(len(took), _percentile(took, 50), _percentile(took, 99), len(waits), max(waits, default=0))


def _percentile(ordered: list[int], percent: int) -> int:
    """Return the value that so many per cent of an ordered list don't exceed; 0 of nothing."""
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)] if ordered else 0
