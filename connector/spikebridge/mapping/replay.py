"""
An alert again, from its evidence alone: the same bytes, or a verdict that says what differs.

What the evidence can't show is taken as recorded and said: how often the condition held in the interval before, and that a device was
silent between the two records of an absence.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec
import numpy as np
from msgspec import UNSET

from spikebridge.canonical import sha256
from spikebridge.mapping.admission import shifts
from spikebridge.mapping.compile import compile_revision
from spikebridge.mapping.evidence import Evidence, Identity, Spikes
from spikebridge.mapping.match import HEALTH, Match
from spikebridge.mapping.silence import Silent
from spikebridge.mapping.windows import Windows
from spikebridge.spikes.names import Layers
from spikebridge.spikes.parts import unpack_record
from spikebridge.spikes.record import Record

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from spikebridge.alerts import Alert, RuleInfo
    from spikebridge.detect.running import Begin
    from spikebridge.mapping.compile import Compiled
    from spikebridge.mapping.rules import Revision, Rule


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """`same`: every byte; `partial`: the evidence was cut, what is left agrees; `differs`: see `differences`."""

    verdict: Literal["same", "partial", "differs"]
    differences: list[str] = []
    taken_as_recorded: list[str] = []


def replay(alert: Alert, evidence: Sequence[bytes], revision: Revision, begin: Begin | None = None) -> Verdict:
    """Compute an alert anew from its evidence under its revision and compare; `begin` gives what runs its networks."""
    faults = _tampered(alert, evidence)
    if faults:
        return Verdict(verdict="differs", differences=faults)
    if alert.evidence.partial:
        return Verdict(
            verdict="partial", taken_as_recorded=["the evidence was cut: the first and the last record agree with their digests"]
        )
    records = [Record(kept.offset, kept.append_ns, raw) for kept, raw in zip(alert.evidence.records, evidence, strict=True)]
    again = _Again(alert, records, compile_revision(revision, Layers()), begin)
    match = again.match()
    if isinstance(match, str):
        return Verdict(verdict="differs", differences=[match])
    built = again.build(match)
    differences = _differences(alert, built)
    if differences:
        return Verdict(verdict="differs", differences=differences)
    return Verdict(verdict="same", taken_as_recorded=again.taken_as_recorded())


class _Again:
    """One alert's records under its revision."""

    def __init__(self, alert: Alert, records: list[Record], compiled: Compiled, begin: Begin | None) -> None:
        self._alert = alert
        self._records = records
        self._compiled = compiled
        self._leaned = [kept for kept in alert.evidence.records if kept.lean is not UNSET]
        identity = Identity(alert.tenant, alert.log, alert.partition)
        self._evidence = Evidence(identity, compiled, self._read, (self._back, self._back), begin)

    def match(self) -> Match | str:
        """Find the crossing again; a text says why there is none."""
        rules = {rule.info.id: rule for rule in self._compiled.counting}
        rule = rules.get(self._alert.rule.id)
        if rule is not None:
            return self._crossing(rule)
        infos = [*(rule.info for rule in self._compiled.absences), *HEALTH]
        info = next((info for info in infos if info.id == self._alert.rule.id), None)
        if info is None:
            return f"rule {self._alert.rule.id}: not in revision {self._alert.revision}"
        return self._clock(info)

    def build(self, match: Match) -> Alert:
        """Make the alert of the match; of a frame that travelled without its evidence, the log's record is as recorded."""
        built = self._evidence.build(match, self._records[-1], self._alert.device.id, self._alert.ordinal).alert
        recorded = {kept.offset: kept for kept in self._leaned}
        records = [recorded.get(kept.offset, kept) for kept in built.evidence.records]
        return msgspec.structs.replace(built, evidence=msgspec.structs.replace(built.evidence, records=records))

    def taken_as_recorded(self) -> list[str]:
        """Say what no evidence can show."""
        said = []
        if self._leaned:
            said.append(
                f"evidence of networks in {len(self._leaned)} of the records had no room: those are in the log, and not compared"
            )
        if self._alert.suppressed_before:
            said.append("suppressed_before counts records of the interval before, which are not evidence")
        if self._alert.rule.kind == "absence":
            said.append("that no record of the device lies between the two is shown by the log, not by the evidence")
        return said

    def _crossing(self, rule: Rule) -> Match | str:
        alert = self._alert
        device = self._compiled.describe(alert.device.id)
        found = [self._evidence.spikes(rule, device, record) for record in self._records]
        times = np.concatenate([spikes.time for spikes in found])[alert.evidence.skip :][: rule.info.count]
        if len(times) < rule.info.count:
            return f"count: expected {rule.info.count} spikes in the evidence, found {len(times)}"
        windows = Windows(rule.info.count, rule.info.within_ns)
        if rule.info.count > 1:
            windows.seed(0, int(times[0]), alert.evidence.clock_ns)
        holds, clock = windows.feed(np.zeros(len(times), np.int32), times, None)
        if not holds[-1]:
            return f"window: the spikes of the evidence don't lie within {rule.info.within_ns} ns"
        last = found[-1]
        before = sum(len(spikes.time) for spikes in found[:-1]) - alert.evidence.skip
        return self._crossed(rule, last, rule.info.count - before - 1, int(clock[-1]))

    def _crossed(self, rule: Rule, last: Spikes, at: int, clock_ns: int) -> Match:
        limits = self._compiled.revision.rule_set.limits
        record = self._records[-1]
        part = unpack_record(record, limits.frame_ns)[int(last.part[at])]
        moved = shifts(np.array([part.start_ns]), np.array([part.end_ns]), np.array([record.append_ns]), limits)
        return Match(
            at=0,
            order=2,
            rule=rule.info,
            device=0,
            append_ns=record.append_ns,
            interval_ns=rule.info.suppress_ns,
            time_ns=int(last.time[at]),
            suppressed_before=self._alert.suppressed_before,
            shifted=bool(moved[0]),
            part=int(last.part[at]),
            row=int(last.row[at]),
            clock_ns=clock_ns,
        )

    def _clock(self, info: RuleInfo) -> Match | str:
        alert, found = self._alert, self._records[-1]
        start = self._records[0] if len(self._records) > 1 else None
        start_ns = start.append_ns if start else alert.first_ns
        due_ns = start_ns + info.within_ns if info.kind == "absence" else alert.time_ns
        if found.append_ns < due_ns and info.kind == "absence":
            return f"span: the clock ends at {due_ns}, the record that found it was appended at {found.append_ns}"
        silent = Silent(0, start_ns, start.offset if start else -1, due_ns)
        order: Literal[0, 1] = 1 if info.kind == "absence" else 0
        return Match(0, order, info, 0, found.append_ns, info.suppress_ns, due_ns, alert.suppressed_before, started=silent)

    def _read(self, offsets: Sequence[int]) -> list[Record]:
        return [record for record in self._records if record.offset in offsets]

    def _back(self, _device: int, before_offset: int, since_ns: int) -> Iterator[tuple[int, int]]:
        for record in reversed(self._records):
            if record.offset < before_offset and record.append_ns >= since_ns:
                yield record.offset, record.append_ns


def _tampered(alert: Alert, evidence: Sequence[bytes]) -> list[str]:
    if len(evidence) != len(alert.evidence.records):
        return [f"evidence: expected {len(alert.evidence.records)} records, found {len(evidence)}"]
    if not evidence:
        return ["evidence: expected a record, found none"]
    return [
        f"evidence: the record at offset {kept.offset} is not the one that counted (SHA-256 differs)"
        for kept, raw in zip(alert.evidence.records, evidence, strict=True)
        if (raw or not alert.evidence.partial) and sha256(raw) != (kept.sha256 if kept.lean is UNSET else kept.lean)
    ]


def _differences(alert: Alert, again: Alert) -> list[str]:
    before, after = msgspec.to_builtins(alert), msgspec.to_builtins(again)
    return [
        f"{name}: recorded {msgspec.json.encode(before[name]).decode()}, replayed {msgspec.json.encode(after[name]).decode()}"
        for name in before
        if before[name] != after[name]
    ]
