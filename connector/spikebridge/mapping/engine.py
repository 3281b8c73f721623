"""
The pure heart of the spikes stage: records in, alerts with evidence out.

Nothing here knows a log, a clock or a thread. `pipeline.py` runs it over a log, `backtest`, `check` and `replay` over other records.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from spikebridge.canonical import sha256
from spikebridge.errors import LogMissing
from spikebridge.mapping.compile import compile_revision
from spikebridge.mapping.evidence import Evidence, Identity, Raised
from spikebridge.mapping.match import NO_DEVICE, Fall, Matcher
from spikebridge.mapping.rules import Revision, rule_set_content
from spikebridge.spikes.decode import Decoder
from spikebridge.spikes.frame import marker_of
from spikebridge.spikes.layout import MARKER_BYTES
from spikebridge.spikes.names import Devices, Layers

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from spikebridge.mapping.match import Match
    from spikebridge.mapping.rules import RuleSet
    from spikebridge.spikes.batch import Batch
    from spikebridge.spikes.record import Record


class DeadRecord(NamedTuple):
    """A record, or a part of one, that is no spikes."""

    offset: int
    part: int
    append_ns: int
    reason: str
    raw: bytes


class Taken(NamedTuple):
    """What a run of records gave: alerts in the order of (offset, ordinal), and what was refused."""

    alerts: list[Raised]
    dead: list[DeadRecord]
    spikes: int


class Engine:
    """
    Matches one partition of one log.

    `revisions` returns a revision by number, None for one that is not in the revisions log.
    `read` fetches earlier records by offset, for evidence.
    """

    def __init__(
        self,
        identity: Identity,
        revision: Revision,
        revisions: Callable[[int], Revision | None],
        read: Callable[[Sequence[int]], list[Record]],
    ) -> None:
        """Begin empty, with a revision in force."""
        self.identity = identity
        self.revision = revision
        self.pairs: list[tuple[int, int]] = []
        self._revisions = revisions
        self._read = read
        self._devices = Devices()
        self._layers = Layers()
        limits = revision.rule_set.limits
        compiled = compile_revision(revision, self._layers)
        self._decoder = Decoder(self._devices, self._layers, limits.frame_ns)
        self._matcher = Matcher(compiled, self._devices, limits, live=identity.live, layers=self._layers)
        self._evidence = Evidence(identity, compiled, self._fetch, (self._matcher.back, self._matcher.inputs_back))
        self._run: Sequence[Record] = ()
        self._at_hand: dict[int, Record] | None = None
        self._falls: list[Fall] = []

    @property
    def counters(self) -> Counter[str]:
        """What was counted so far: frames, duplicates, crowded, retimed, markers_ignored."""
        return self._matcher.counters

    @property
    def now_ns(self) -> int:
        """The largest append time so far."""
        return self._matcher.now_ns

    def cut(self, offset: int) -> None:
        """Say that records before this life are lost: a gap alert is raised at the first record from `offset` on."""
        self._matcher.cut_at = offset

    def force(self, number: int, position: int) -> None:
        """Bring a revision into force from `position` on, without a marker; the pair is noted already."""
        revision = self._revisions(number)
        if revision is not None:
            self._switch(revision, position - 1)

    def take(self, records: Sequence[Record]) -> Taken:
        """Match records; markers among them bring revisions into force."""
        taken = Taken([], [], 0)
        for run, marker in _cut_at_markers(records):
            part = self._match(run)
            taken = Taken(taken.alerts, taken.dead, taken.spikes + part.spikes)
            taken.alerts.extend(part.alerts)
            taken.dead.extend(part.dead)
            if marker is not None:
                self._follow(marker, run[-1].offset)
        return taken

    def replay(self, records: Sequence[Record], pairs: Iterable[tuple[int, int]]) -> None:
        """Take records in silence; `pairs` say which revision was in force from which offset on."""
        low = 0
        for offset, number in sorted(pairs):
            if number > self.revision.number and records and offset <= records[-1].offset + 1:
                high = bisect_left(records, offset, low, key=lambda record: record.offset)
                self._feed(self._effective(records[low:high]))
                revision = self._revisions(number)
                if revision is None:
                    raise LogMissing(f"revision {number} was in force from record {offset} on, but is not in the revisions log")
                self._switch(revision, offset - 1)
                low = high
        self._feed(self._effective(records[low:]))

    def _match(self, run: Sequence[Record]) -> Taken:
        run = self._effective(run)
        batch, matches = self._feed(run)
        dead = [
            DeadRecord(run[bad.record].offset, bad.part, run[bad.record].append_ns, bad.reason, bad.raw)
            for bad in sorted(batch.refused)
        ]
        self._run, self._at_hand = run, None
        alerts = list(self._build(run, matches))
        self._run, self._at_hand = (), None
        return Taken(alerts, dead, batch.spikes)

    def _feed(self, run: Sequence[Record]) -> tuple[Batch, list[Match]]:
        batch = self._decoder.decode(run)
        falls, self._falls = self._falls, []
        return batch, self._matcher.feed(batch, falls)

    def _effective(self, run: Sequence[Record]) -> Sequence[Record]:
        """Where append times fall, as a broker's may, the largest so far counts; falls beyond the limit are noted."""
        appended = np.array([record.append_ns for record in run], np.int64)
        now = np.maximum.accumulate(np.maximum(appended, self._matcher.now_ns))
        behind = now - appended
        if not behind.any():
            return run
        limit_ns = self.revision.rule_set.limits.clock_fall_ns
        self._falls = [Fall(at, run[at].append_ns) for at in np.flatnonzero(behind > limit_ns).tolist()]
        return [record._replace(append_ns=largest) for record, largest in zip(run, now.tolist(), strict=True)]

    def _build(self, run: Sequence[Record], matches: list[Match]) -> Iterator[Raised]:
        at, ordinal = -1, 0
        for match in matches:
            ordinal = ordinal + 1 if match.at == at else 0
            at = match.at
            device_id = "" if match.device == NO_DEVICE else self._devices.id(match.device)
            yield self._evidence.build(match, run[at], device_id, ordinal)

    def _fetch(self, offsets: Sequence[int]) -> list[Record]:
        if self._at_hand is None:
            self._at_hand = {record.offset: record for record in self._run}
        at_hand = self._at_hand
        missing = [offset for offset in offsets if offset not in at_hand]
        found = {record.offset: record for record in self._read(missing)} if missing else {}
        return [record for offset in offsets if (record := at_hand.get(offset) or found.get(offset))]

    def _follow(self, number: int, offset: int) -> None:
        """Bring the revision that a marker names into force, unless it goes back or isn't in the revisions log."""
        revision = self._revisions(number) if number > self.revision.number else None
        if revision is None:
            self.counters["markers_ignored"] += 1
            return
        self._switch(revision, offset)
        passed = [pair for pair in self.pairs if pair[0] <= offset + 1]
        cuts = [(at, number) for at, _ in self.pairs[len(passed) :]]
        self.pairs = [*passed, (offset + 1, number), *cuts]

    def _switch(self, revision: Revision, offset: int) -> None:
        """Bring a revision into force after the record at `offset`."""
        compiled = compile_revision(revision, self._layers)
        self._matcher.switch(compiled, offset)
        self._decoder = Decoder(self._devices, self._layers, revision.rule_set.limits.frame_ns)
        self._evidence = Evidence(self.identity, compiled, self._fetch, (self._matcher.back, self._matcher.inputs_back))
        self.revision = revision


def alerts_of(rule_set: RuleSet, records: Sequence[Record], identity: Identity | None = None) -> Taken:
    """Match records from an empty state under one rule set: what `check`, `convert` and `backtest` do."""
    content = rule_set_content(rule_set)
    revision = Revision(number=1, digest=sha256(content), rule_set=rule_set)
    held = {record.offset: record for record in records}
    engine = Engine(
        identity or Identity("default", "test", 0),
        revision,
        lambda _: None,
        lambda offsets: [held[offset] for offset in offsets if offset in held],
    )
    return engine.take(records)


def _cut_at_markers(records: Sequence[Record]) -> Iterator[tuple[Sequence[Record], int | None]]:
    """Yield runs of records; a run with a marker ends with it."""
    low = 0
    sizes = [len(record.value) for record in records]
    for at in [at for at, size in enumerate(sizes) if size == MARKER_BYTES] if MARKER_BYTES in sizes else []:
        number = marker_of(records[at].value)
        if number is not None:
            yield records[low : at + 1], number
            low = at + 1
    if low < len(records):
        yield records[low:], None
