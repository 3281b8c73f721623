"""
From a match to an alert: the records whose spikes counted, and what they say.

Walks back from the record that crossed until the rule's count is reached, so the evidence is exactly what counted.
"""

from __future__ import annotations

from collections import Counter
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np

from spikebridge.alerts import (
    EVIDENCE_BYTES,
    Alert,
    DeviceInfo,
    EvidenceInfo,
    EvidenceRecord,
    NeuronCount,
    PeerCount,
    alert_id,
)
from spikebridge.explanation import explain
from spikebridge.mapping.admission import shifts
from spikebridge.mapping.opened import OpenRecords
from spikebridge.spikes.batch import ROLE_OUTPUT, SUMMARY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from spikebridge.limits import Limits
    from spikebridge.mapping.compile import Compiled
    from spikebridge.mapping.match import Match
    from spikebridge.mapping.opened import Opened
    from spikebridge.mapping.rules import Rule
    from spikebridge.spikes.parts import Part
    from spikebridge.spikes.record import Record

LISTED = 16
"""Alerts list this many neurons and peers, the most frequent first."""

CARRIED = 64
"""So many alerts of one record carry the evidence's bytes; those with a higher ordinal name offsets and digests only."""

WALKED = 4_096
"""So many earlier records of a device are read for one alert; spikes that lie further back are left out, and the alert says `partial`."""


class Identity(NamedTuple):
    """Whose alerts these are. `live` is false for a recording."""

    tenant: str
    log: str
    partition: int
    live: bool = True


class Spikes(NamedTuple):
    """A rule's spikes of one device in one record, in order: one row a spike, weights expanded up to the rule's count."""

    part: NDArray[np.intp]
    row: NDArray[np.intp]
    neuron: NDArray[np.uint32]
    time: NDArray[np.int64]
    layers: list[str]
    peers: list[str | None]

    def of(self, at: slice) -> Spikes:
        """Return some of the spikes."""
        return Spikes(self.part[at], self.row[at], self.neuron[at], self.time[at], self.layers[at], self.peers[at])


class Walked(NamedTuple):
    """One record of the evidence, and those of its spikes that counted."""

    record: Opened
    spikes: Spikes


class Raised(NamedTuple):
    """An alert with the raw records of its evidence."""

    alert: Alert
    evidence: tuple[bytes, ...]


class Evidence:
    """Builds alerts of one log under the revision in force."""

    def __init__(
        self,
        identity: Identity,
        compiled: Compiled,
        read: Callable[[Sequence[int]], list[Record]],
        back: Callable[[int, int, int], Iterator[tuple[int, int]]],
    ) -> None:
        """`read` fetches records by offset; `back` walks over a device's earlier records with hits."""
        self._identity = identity
        self._compiled = compiled
        self._read = read
        self._back = back
        self._rules = {rule.info.id: rule for rule in compiled.counting}
        self._limits = compiled.revision.rule_set.limits
        self._open = OpenRecords(self._limits.frame_ns)

    def build(self, match: Match, record: Record, device_id: str, ordinal: int) -> Raised:
        """Make the alert of a match at a record."""
        rule = self._rules.get(match.rule.id)
        if rule is None:
            return self._of_clock(match, record, device_id, ordinal)
        device = self._compiled.describe(device_id)
        walked, skip = self._walk(rule, device, match, record)
        spikes = [piece.spikes for piece in walked]
        times = np.concatenate([piece.time for piece in spikes])
        peers = Counter(peer for piece in spikes for peer in piece.peers if peer)
        whole = len(times) == rule.info.count
        evidence, raw = _kept([piece.record for piece in walked], skip, match.clock_ns, whole=whole, carried=ordinal < CARRIED)
        trigger = next(part for at, part in self._open.open(record).parts[device.id] if at == match.part)
        alert = self._alert(match, record, device, ordinal)
        alert = msgspec.structs.replace(
            alert,
            time_source="log" if match.shifted or match.time_ns == match.append_ns else "device",
            first_ns=int(times.min()),
            last_ns=int(times.max()),
            count=len(times),
            neurons=_neurons(spikes),
            peers=[PeerCount(address=peer, count=count) for peer, count in sorted(peers.items(), key=_most_first)[:LISTED]],
            peers_total=len(peers),
            model_digest=f"{trigger.digest:016x}" if trigger.digest else "",
            evidence=evidence,
        )
        return Raised(msgspec.structs.replace(alert, explanation=explain(alert)), raw)

    def _of_clock(self, match: Match, record: Record, device_id: str, ordinal: int) -> Raised:
        """Make an alert of what a clock found: a silent device, a gap of the log, a crowd."""
        started = match.started
        device = self._compiled.describe(device_id) if device_id else DeviceInfo(id="")
        records = [self._open.open(record)]
        if started is not None and 0 <= started.start_offset < record.offset:
            records = [*self._read_one(started.start_offset, started.start_ns), *records]
        evidence, raw = _kept(records, 0, 0, whole=True, carried=ordinal < CARRIED)
        start_ns = started.start_ns if started is not None else match.time_ns
        alert = msgspec.structs.replace(
            self._alert(match, record, device, ordinal),
            first_ns=start_ns,
            last_ns=max(start_ns, match.time_ns),
            evidence=evidence,
        )
        return Raised(msgspec.structs.replace(alert, explanation=explain(alert)), raw)

    def _alert(self, match: Match, record: Record, device: DeviceInfo, ordinal: int) -> Alert:
        identity, revision = self._identity, self._compiled.revision
        group = [device.id] if device.id else [f"partition-{identity.partition}"]
        interval = (match.append_ns // match.interval_ns * match.interval_ns, match.interval_ns)
        return Alert(
            id=alert_id(identity.tenant, identity.log, identity.partition, match.rule.id, group, interval),
            tenant=identity.tenant,
            log=identity.log,
            partition=identity.partition,
            offset=record.offset,
            ordinal=ordinal,
            revision=revision.number,
            revision_digest=revision.digest,
            rule=match.rule,
            device=device,
            group=group,
            time_ns=match.time_ns,
            time_source="log",
            append_ns=match.append_ns,
            interval_start_ns=interval[0],
            interval_ns=interval[1],
            first_ns=match.time_ns,
            last_ns=match.time_ns,
            count=0,
            suppressed_before=match.suppressed_before,
        )

    def _walk(self, rule: Rule, device: DeviceInfo, match: Match, record: Record) -> tuple[list[Walked], int]:
        """Collect the rule's last `count` spikes up to the one that crossed, oldest record first; say how many of the first are left out."""
        limits, crossed = self._limits, self._open.open(record)
        spikes = self._spikes(rule, device, crossed)
        upto = np.searchsorted(spikes.part * (1 << 40) + spikes.row, match.part * (1 << 40) + match.row, "right")
        walked = [Walked(crossed, spikes.of(slice(0, int(upto))))]
        missing = rule.info.count - int(upto)
        if missing > 0:
            since_ns = match.append_ns - limits.late_ns - limits.future_ns - rule.info.within_ns
            for earlier in self._earlier(match.device, record.offset, since_ns):
                spikes = self._spikes(rule, device, earlier)
                if len(spikes.time):
                    walked.append(Walked(earlier, spikes))
                    missing -= len(spikes.time)
                if missing <= 0:
                    break
        walked.reverse()
        skip = max(0, -missing)
        walked[0] = Walked(walked[0].record, walked[0].spikes.of(slice(skip, None)))
        return walked, skip

    def _earlier(self, device: int, offset: int, since_ns: int) -> Iterator[Opened]:
        for found, append_ns in islice(self._back(device, offset, since_ns), WALKED):
            yield from self._read_one(found, append_ns)

    def _read_one(self, offset: int, append_ns: int) -> Iterable[Opened]:
        """Return a record with its effective append time; none if it is gone."""
        held = self._open.held(offset, append_ns)
        if held is not None:
            return [held]
        return [self._open.open(record._replace(append_ns=append_ns)) for record in self._read([offset])]

    def spikes(self, rule: Rule, device: DeviceInfo, record: Record) -> Spikes:
        """Return a rule's spikes of a device in a record."""
        return self._spikes(rule, device, self._open.open(record))

    def _spikes(self, rule: Rule, device: DeviceInfo, opened: Opened) -> Spikes:
        reading = self._compiled.reading(device.device_class)
        columns: list[Spikes] = []
        for at, part in opened.parts.get(device.id, []):
            if part.role == ROLE_OUTPUT:
                layer = reading.names.get(part.layer, str(part.layer)) if isinstance(part.layer, int) else part.layer
                columns.append(_of_part(rule, at, part, layer, opened.record.append_ns, self._limits))
        return _joined(columns)


def _joined(pieces: list[Spikes]) -> Spikes:
    if not pieces:
        nothing = np.zeros(0, np.int64)
        return Spikes(nothing, nothing, np.zeros(0, np.uint32), nothing, [], [])
    return Spikes(
        np.concatenate([piece.part for piece in pieces]),
        np.concatenate([piece.row for piece in pieces]),
        np.concatenate([piece.neuron for piece in pieces]),
        np.concatenate([piece.time for piece in pieces]),
        [layer for piece in pieces for layer in piece.layers],
        [peer for piece in pieces for peer in piece.peers],
    )


def _of_part(rule: Rule, at: int, part: Part, layer: str, append_ns: int, limits: Limits) -> Spikes:
    wanted = np.zeros(len(part.neurons), np.bool_)
    for cell in rule.cells:
        if cell.layer in ("", layer):
            if cell.first is None:
                wanted |= part.neurons == SUMMARY if cell.layer else False
            else:
                wanted |= (part.neurons >= cell.first) & (part.neurons <= (cell.first if cell.last is None else cell.last))
    wanted &= part.weights > 0
    rows = np.flatnonzero(wanted)
    rows = np.repeat(rows, np.minimum(part.weights[rows], rule.info.count))
    shift = shifts(np.array([part.start_ns]), np.array([part.end_ns]), np.array([append_ns]), limits)
    peers: list[str | None] = [part.peers[row] for row in rows.tolist()] if part.peers else [None] * len(rows)
    return Spikes(np.full(len(rows), at), rows, part.neurons[rows], part.times[rows] + shift, [layer] * len(rows), peers)


def _kept(
    records: list[Opened], skip: int, clock_ns: int, *, whole: bool, carried: bool
) -> tuple[EvidenceInfo, tuple[bytes, ...]]:
    """Keep the records up to the limit, else the first and the last; bytes that are too large alone are left out."""
    total = len(records)
    partial = not (whole and carried)
    if sum(len(opened.record.value) for opened in records) > EVIDENCE_BYTES:
        partial = True
        records = [records[0], records[-1]] if total > 1 else records
    room = EVIDENCE_BYTES if carried else 0
    raw: list[bytes] = []
    for opened in reversed(records):
        fits = len(opened.record.value) <= room
        raw.append(opened.record.value if fits else b"")
        room -= len(opened.record.value) if fits else 0
    info = EvidenceInfo(
        records=[
            EvidenceRecord(
                offset=opened.record.offset,
                append_ns=opened.record.append_ns,
                size=len(opened.record.value),
                sha256=opened.digest,
            )
            for opened in records
        ],
        total=total,
        partial=partial,
        skip=skip,
        clock_ns=clock_ns,
    )
    return info, tuple(reversed(raw))


def _neurons(spikes: Iterable[Spikes]) -> list[NeuronCount]:
    counts = Counter(pair for piece in spikes for pair in zip(piece.layers, piece.neuron.tolist(), strict=True))
    return [
        NeuronCount(layer=layer, neuron=None if neuron == SUMMARY else neuron, count=count)
        for (layer, neuron), count in sorted(counts.items(), key=_most_first)[:LISTED]
    ]


def _most_first(item: tuple[object, int]) -> tuple[int, object]:
    return -item[1], item[0]
