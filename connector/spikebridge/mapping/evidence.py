"""
From a match to an alert: the records whose spikes counted, and what they say.

Walks back from the record that crossed until the rule's count is reached, so the evidence is exactly what counted.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np

from spikebridge.alerts import (
    EVIDENCE_BYTES,
    Alert,
    DeviceInfo,
    NeuronCount,
    PeerCount,
    alert_id,
)
from spikebridge.explanation import explain
from spikebridge.mapping.derived import Derived, answered
from spikebridge.mapping.kept import Gathered, kept
from spikebridge.mapping.opened import OpenRecords
from spikebridge.spikes.batch import ROLE_INPUT, ROLE_OUTPUT, SUMMARY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from spikebridge.detect.running import Begin
    from spikebridge.limits import Limits
    from spikebridge.mapping.compile import Compiled
    from spikebridge.mapping.match import Match
    from spikebridge.mapping.opened import Opened
    from spikebridge.mapping.rules import Rule
    from spikebridge.spikes.parts import Part
    from spikebridge.spikes.record import Record

    Back = Callable[[int, int, int], Iterator[tuple[int, int]]]

LISTED = 16
"""Alerts list this many neurons and peers, the most frequent first."""

CARRIED = 64
"""So many alerts of one record carry the evidence's bytes; those with a higher ordinal name offsets and digests only."""

WALKED = 4_096
"""So many earlier records of a device are read for one alert; spikes that lie further back are left out, and the alert says `partial`."""


_READ = 64


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
        back: tuple[Back, Back],
        begin: Begin | None = None,
    ) -> None:
        """
        `read` fetches records by offset; `back` walks over a device's earlier records: those with hits, and inputs of its model.

        `begin` gives what runs inputs again, if it isn't what ran them.
        """
        self._identity = identity
        self._compiled = compiled
        self._read = read
        self._back, inputs_back = back
        self._rules = {rule.info.id: rule for rule in compiled.counting}
        self._limits = compiled.revision.rule_set.limits
        self._open = OpenRecords(self._limits.frame_ns)
        self._derived = Derived(compiled, inputs_back, self._read_all, begin)

    def build(self, match: Match, record: Record, device_id: str, ordinal: int) -> Raised:
        """Make the alert of a match at a record."""
        rule = self._rules.get(match.rule.id)
        if rule is None:
            return self._of_clock(match, record, device_id, ordinal)
        device = self._compiled.describe(device_id)
        walked, skip = self._walk(rule, device, match, record)
        spikes = [piece.spikes for piece in walked]
        times = [time for piece in spikes for time in piece.time.tolist()]
        gathered = self._gather(rule, device, match, walked)
        peers = Counter(peer for piece in spikes for peer in piece.peers if peer)
        evidence, raw = kept(
            gathered, skip, match.clock_ns, whole=len(times) == rule.info.count and gathered.whole, carried=ordinal < CARRIED
        )
        trigger = next(part for at, part in self._open.open(record).parts[device.id] if at == match.part)
        line = self._derived.line(device) if trigger.role == ROLE_INPUT else None
        alert = self._alert(match, record, device, ordinal)
        alert = msgspec.structs.replace(
            alert,
            time_source="log" if match.shifted or match.row in trigger.untimed else "device",
            first_ns=min(times),
            last_ns=max(times),
            count=len(times),
            neurons=_neurons(spikes),
            peers=[PeerCount(address=peer, count=count) for peer, count in sorted(peers.items(), key=_most_first)[:LISTED]],
            peers_total=len(peers),
            model_digest=line.digest[:16] if line else f"{trigger.digest:016x}" if trigger.digest else "",
            evidence=evidence,
        )
        return Raised(msgspec.structs.replace(alert, explanation=explain(alert, line.model if line else "")), raw)

    def _of_clock(self, match: Match, record: Record, device_id: str, ordinal: int) -> Raised:
        """Make an alert of what a clock found: a silent device, a gap of the log, a crowd."""
        started = match.started
        device = self._compiled.describe(device_id) if device_id else DeviceInfo(id="")
        records = [self._open.open(record)]
        if started is not None and 0 <= started.start_offset < record.offset:
            records = [*self._read_one(started.start_offset, started.start_ns), *records]
        evidence, raw = kept(Gathered(records, len(records), 0), 0, 0, whole=True, carried=ordinal < CARRIED)
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
        spikes = self._spikes(rule, device, crossed, match)
        part, row = spikes.part, spikes.row
        upto = bisect_right(range(len(row)), (match.part, match.row), key=lambda at: (part[at], row[at]))
        walked = [Walked(crossed, spikes.of(slice(0, upto)))]
        missing = rule.info.count - upto
        if missing > 0:
            since_ns = match.append_ns - limits.late_ns - limits.future_ns - rule.info.within_ns
            for earlier in self._earlier(match.device, record.offset, since_ns):
                spikes = self._spikes(rule, device, earlier, match._replace(answer=None))
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
        """Open a device's earlier records, the latest first: the further back, the more are read at once, so that few are read in vain."""
        back, size = islice(self._back(device, offset, since_ns), WALKED), 1
        while some := list(islice(back, size)):
            yield from filter(None, self._read_all(some))
            size = min(2 * size, _READ)

    def _read_one(self, offset: int, append_ns: int) -> Iterable[Opened]:
        """Return a record with its effective append time; none if it is gone."""
        held = self._open.held(offset, append_ns)
        if held is not None:
            return [held]
        return [self._open.open(record._replace(append_ns=append_ns)) for record in self._read([offset])]

    def _read_all(self, places: Sequence[tuple[int, int]]) -> Iterator[Opened | None]:
        """Open records in order, some at a time; none in place of one that is gone."""
        for low in range(0, len(places), _READ):
            some = dict(places[low : low + _READ])
            held = {offset: self._open.held(offset, append_ns) for offset, append_ns in some.items()}
            wanted = [offset for offset, opened in held.items() if opened is None]
            found = {record.offset: record for record in self._read(wanted)} if wanted else {}
            for offset, append_ns in some.items():
                record = found.get(offset)
                yield held[offset] or (self._open.open(record._replace(append_ns=append_ns)) if record else None)

    def _gather(self, rule: Rule, device: DeviceInfo, match: Match, walked: list[Walked]) -> Gathered:
        """Put the inputs that models' answers rest on, back to where their state was zero, to the records whose spikes counted."""
        counted = {piece.record.record.offset: piece.record for piece in walked}
        first, skipped, whole = min(counted), 0, True
        places = {offset: (one.record.append_ns, len(one.lean)) for offset, one in counted.items()}
        for opened in counted.values():
            if any(part.role == ROLE_INPUT for _, part in opened.parts.get(device.id, [])):
                inputs = self._derived.since_zero(device, match.device, opened)
                whole &= bool(inputs)
                for place in inputs:
                    if place.offset < first and place.offset not in places:
                        skipped += len(self._of_part(rule, device, 0, place.part, place.append_ns).time)
                    places[place.offset] = (place.append_ns, place.size)
        if sum(size for _, size in places.values()) > EVIDENCE_BYTES:
            whole, some = False, sorted({min(places), max(places)})
        else:
            some = sorted(places)
        others = [(offset, places[offset][0]) for offset in some if offset not in counted]
        found = counted | {place[0]: opened for place, opened in zip(others, self._read_all(others), strict=True) if opened}
        records = [found.get(offset) for offset in some]
        whole &= None not in records
        return Gathered([one for one in records if one], len(places), skipped, whole)

    def spikes(self, rule: Rule, device: DeviceInfo, record: Record) -> Spikes:
        """Return a rule's spikes of a device in a record."""
        return self._spikes(rule, device, self._open.open(record), None)

    def _spikes(self, rule: Rule, device: DeviceInfo, opened: Opened, match: Match | None) -> Spikes:
        """Return them; a match knows the device's index and what the model made of the record that crossed."""
        columns: list[Spikes] = []
        for at, part in opened.parts.get(device.id, []):
            said: Part | None = part
            if part.role == ROLE_INPUT:
                said = self._derived.part(device, match.device if match else 0, opened)
                line = self._derived.line(device)
                if said is None and line and match and match.answer:
                    said = answered(part, line, match.answer)
            if said is not None and said.role == ROLE_OUTPUT:
                columns.append(self._of_part(rule, device, at, said, opened.record.append_ns))
        return _joined(columns)

    def _of_part(self, rule: Rule, device: DeviceInfo, at: int, part: Part, append_ns: int) -> Spikes:
        names = self._compiled.reading(device.device_class).names
        layer = names.get(part.layer, str(part.layer)) if isinstance(part.layer, int) else part.layer
        return _of_part(rule, at, part, layer, append_ns, self._limits)


def _joined(pieces: list[Spikes]) -> Spikes:
    if len(pieces) == 1:
        return pieces[0]
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
    if len(part.neurons) == 1:
        wanted = _names(rule, layer, int(part.neurons[0]))
        rows = np.zeros(min(int(part.weights[0]), rule.info.count) if wanted else 0, np.intp)
    else:
        rows = _named(rule, layer, part)
    within = part.start_ns >= append_ns - limits.late_ns and part.end_ns <= append_ns + limits.future_ns
    shift = 0 if within else append_ns - part.end_ns
    peers: list[str | None] = [part.peers[row] for row in rows.tolist()] if part.peers else [None] * len(rows)
    return Spikes(np.full(len(rows), at), rows, part.neurons[rows], part.times[rows] + shift, [layer] * len(rows), peers)


def _names(rule: Rule, layer: str, neuron: int) -> bool:
    """Say whether a rule names a neuron of a layer, by itself: columns of one row take longer."""
    for cell in rule.cells:
        if cell.layer in ("", layer):
            if cell.first is None:
                if cell.layer and neuron == SUMMARY:
                    return True
            elif cell.first <= neuron <= (cell.first if cell.last is None else cell.last):
                return True
    return False


def _named(rule: Rule, layer: str, part: Part) -> NDArray[np.intp]:
    """Return the rows that a rule names, each as often as its weight says, up to the rule's count."""
    wanted = np.zeros(len(part.neurons), np.bool_)
    for cell in rule.cells:
        if cell.layer in ("", layer):
            if cell.first is None:
                wanted |= part.neurons == SUMMARY if cell.layer else False
            else:
                wanted |= (part.neurons >= cell.first) & (part.neurons <= (cell.first if cell.last is None else cell.last))
    wanted &= part.weights > 0
    rows = np.flatnonzero(wanted)
    return np.repeat(rows, np.minimum(part.weights[rows], rule.info.count))


def _neurons(spikes: Iterable[Spikes]) -> list[NeuronCount]:
    counts = Counter(pair for piece in spikes for pair in zip(piece.layers, piece.neuron.tolist(), strict=True))
    return [
        NeuronCount(layer=layer, neuron=None if neuron == SUMMARY else neuron, count=count)
        for (layer, neuron), count in sorted(counts.items(), key=_most_first)[:LISTED]
    ]


def _most_first(item: tuple[object, int]) -> tuple[int, object]:
    return -item[1], item[0]
