"""What did come out, held against the reference: the alert topic byte by byte, Elasticsearch document by document, the HEC receiver by ids."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import permutations
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.live.kills.takeovers import Takeover, latest

from spikebridge.formats import ecs
from spikebridge.logs.kafka.sealed import unseal

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.live.kills.oracle import Reference
    from tests.live.servers.search_client import Client

    from spikebridge.spikes.record import Record
    from spikebridge.testing.hec import HecEvent

PAGE = 2_000
SHOWN = 5
LATE_S = 60.0
"""So long after a partition was another's its former owner, stopped or out of reach meanwhile, may still deliver what it had begun."""

ALERT_TYPE = "spikebridge:alert"


Takeovers = Mapping[str, Mapping[int, Sequence[Takeover]]]
"""Of one sink: by token and partition, in order of time."""

Committed = tuple[float, Mapping[int, int]]
"""What a sink's group had committed by a time, by partition."""


class Copy(NamedTuple):
    """One copy of an entry in the alert topic."""

    partition: int
    offset: int
    content: tuple[Any, ...]


class Topic(NamedTuple):
    """The alert topic: copies of alerts by id, of incidents by id and version, in the order of offsets."""

    alerts: Mapping[str, Sequence[Copy]]
    incidents: Mapping[tuple[str, int], Sequence[Copy]]


class Held(NamedTuple):
    """What Elasticsearch holds: documents by id and index, and the version of each incident."""

    alerts: Mapping[tuple[str, str], Any]
    incidents: Mapping[str, int]


class Received(NamedTuple):
    """What the HEC receiver indexed, who took over which partition from where, and what was committed now and then."""

    events: Sequence[HecEvent]
    takeovers: Takeovers
    committed: Sequence[Committed] = ()


@dataclass
class Verdict:
    """Counts, and the first differences in words."""

    alerts: int = 0
    counts: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    problems: list[str] = field(default_factory=list)

    def note(self, where: str, what: str, names: Iterable[object]) -> None:
        """Count what is wrong, and keep the first few."""
        found = sorted(map(str, names))
        self.counts[where][what] = len(found)
        if found:
            self.problems.append(f"{where}: {what}: {len(found)}: {'; '.join(found[:SHOWN])}")

    def wrong(self, where: str) -> int:
        """Return how much is wrong in a place; repeats that are promised are not."""
        return sum(count for what, count in self.counts[where].items() if what != "repeats")

    def __str__(self) -> str:
        """Say it, a line for each place."""
        lines = [f"{self.alerts:,} alerts"]
        lines += [
            f"{where}: {', '.join(f'{count:,} {what}' for what, count in counts.items())}"
            for where, counts in self.counts.items()
        ]
        return "\n".join(lines + self.problems)


def read_alerts(records: Mapping[int, Sequence[Record]]) -> Topic:
    """Open every record of the alert topic."""
    alerts: dict[str, list[Copy]] = defaultdict(list)
    incidents: dict[tuple[str, int], list[Copy]] = defaultdict(list)
    for number, some in records.items():
        for record in some:
            entry = unseal(record)
            if entry.kind == "alert":
                alerts[entry.id].append(Copy(number, record.offset, (entry.body, entry.evidence, entry.source[1:])))
            else:
                incidents[entry.id, entry.version].append(Copy(number, record.offset, (entry.body,)))
    return Topic(alerts, incidents)


def read_elastic(client: Client, tenant: str) -> Held:
    """Page through the indices of a tenant."""
    alerts: dict[tuple[str, str], Any] = {}
    for index in sorted(client.get(f"/spikebridge-alerts-{tenant}-*/_settings").expect().json):
        alerts |= {(hit["_id"], index): hit["_source"] for hit in _hits(client, index)}
    incidents = {hit["_id"]: hit["_version"] for hit in _hits(client, f"spikebridge-incidents-{tenant}")}
    return Held(alerts, incidents)


def _hits(client: Client, index: str) -> Iterable[Any]:
    client.post(f"/{index}/_refresh").expect(200, 404)
    query: dict[str, Any] = {"size": PAGE, "sort": [{"event.id": "asc"}], "version": True}
    while True:
        answer = client.post(f"/{index}/_search", query).expect(200, 404)
        hits = answer.json["hits"]["hits"] if answer.status == 200 else []
        if not hits:
            return
        yield from hits
        query["search_after"] = hits[-1]["sort"]


def judge_topic(verdict: Verdict, expected: Reference, topic: Topic) -> None:
    """Every id is there, none is foreign, every copy has the bytes that the reference has."""
    where = "alert topic"
    verdict.alerts = len(expected.entries)
    verdict.note(where, "missing", (_named(expected, name) for name in expected.entries.keys() - topic.alerts.keys()))
    verdict.note(where, "extra", topic.alerts.keys() - expected.entries.keys())
    differ, unlike = [], []
    for name, copies in topic.alerts.items():
        if len({copy.content for copy in copies}) > 1:
            differ.append(name)
        entry = expected.entries.get(name)
        if entry and copies[0].content != (entry.body, entry.evidence, entry.source[1:]):
            unlike.append(
                f"{_named(expected, name)}: {first_difference(json.loads(copies[0].content[0]), json.loads(entry.body))}"
            )
    verdict.note(where, "copies differ", differ)
    verdict.note(where, "unlike the reference", unlike)
    verdict.counts[where]["repeats"] = sum(len(copies) - 1 for copies in topic.alerts.values())
    finals: dict[str, int] = defaultdict(int)
    for name, version in topic.incidents:
        finals[name] = max(finals[name], version)
    verdict.note("incidents in the topic", "final versions differ", _versions(expected.incidents, finals))
    verdict.counts["incidents in the topic"]["repeats"] = sum(len(copies) - 1 for copies in topic.incidents.values())


def judge_elastic(verdict: Verdict, expected: Reference, held: Held) -> None:
    """Exactly the reference's ids, each once, each document what the format makes of the reference's alert."""
    where = "Elasticsearch"
    ids = Counter(name for name, _ in held.alerts)
    verdict.note(where, "missing", (_named(expected, name) for name in expected.alerts.keys() - ids.keys()))
    verdict.note(where, "extra", ids.keys() - expected.alerts.keys())
    verdict.note(where, "twice", (name for name, count in ids.items() if count > 1))
    differ = []
    for (name, _), document in held.alerts.items():
        alert = expected.alerts.get(name)
        if alert and document != (wanted := json.loads(ecs.encode(alert))):
            differ.append(f"{_named(expected, name)}: {first_difference(document, wanted)}")
    verdict.note(where, "documents differ", differ)
    verdict.note("incidents in Elasticsearch", "final versions differ", _versions(expected.incidents, held.incidents))


def judge_hec(verdict: Verdict, expected: Reference, topic: Topic, received: Received) -> None:
    """
    Exactly the reference's ids; an alert comes again only where somebody took over before it, and once for each who did.

    Nobody takes over further back than was committed by then, and who has lost a partition ends with it.
    """
    where = "HEC"
    arrived: dict[str, list[HecEvent]] = defaultdict(list)
    for event in received.events:
        if event.sourcetype == ALERT_TYPE:
            arrived[event.id].append(event)
    verdict.note(where, "missing", (_named(expected, name) for name in expected.alerts.keys() - arrived.keys()))
    verdict.note(where, "extra", arrived.keys() - expected.alerts.keys())
    verdict.counts[where]["repeats"] = sum(len(events) - 1 for events in arrived.values())
    copies = {name: topic.alerts[name][0] for name in arrived.keys() & topic.alerts.keys()}
    owners = {
        name: [latest(received.takeovers[event.token][copy.partition], event.indexed_s) for event in arrived[name]]
        for name, copy in copies.items()
    }
    twice = (f"{name}: {copies[name][:2]} by {by}" for name, by in owners.items() if not _excused(copies[name], by))
    verdict.note(where, "twice by one, or by one who took over behind it", twice)
    every = [one for some in received.takeovers.values() for ones in some.values() for one in ones]
    verdict.note(
        where,
        "taken over from further back than was committed",
        (one for one in every if one.position < _committed(received.committed, one)),
    )
    last: dict[Takeover, float] = {}
    for name, by in owners.items():
        for owner, event in zip(by, arrived[name], strict=True):
            if owner:
                last[owner] = max(last.get(owner, 0.0), event.indexed_s)
    verdict.note(where, "two owners at once", _at_once(last))


def _excused(copy: Copy, owners: Sequence[Takeover | None]) -> bool:
    once = len(set(owners)) == len(owners)
    return once and all(owner is not None and owner.position <= copy.offset for owner in owners)


def _committed(known: Sequence[Committed], takeover: Takeover) -> int:
    """Return what was known to be committed of its partition when somebody took it over."""
    return max((cursor.get(takeover.partition, 0) for at_s, cursor in known if at_s <= takeover.at_s), default=0)


def _at_once(last: Mapping[Takeover, float]) -> Iterable[str]:
    """Name the pairs of which both went on long after the later one took over; `last` is when each delivered last."""
    for one, other in permutations(last, 2):
        if one.partition == other.partition and one.at_s < other.at_s and min(last[one], last[other]) > other.at_s + LATE_S:
            yield f"{one} beside {other}"


def judge_letters(verdict: Verdict, expected: Reference, letters: Iterable[str]) -> None:
    """Every record that is no spikes, or a part of one, is in the topic of dead letters, at least once."""
    counts = Counter(letters)
    verdict.note("dead letters", "missing", expected.dead - counts.keys())
    verdict.note("dead letters", "extra", counts.keys() - expected.dead)
    verdict.counts["dead letters"]["repeats"] = counts.total() - len(counts)


def first_difference(found: Any, wanted: Any, path: str = "") -> str:
    """Name the first place where two documents differ."""
    if isinstance(found, dict) and isinstance(wanted, dict):
        for key in sorted(found.keys() | wanted.keys()):
            if found.get(key) != wanted.get(key):
                return first_difference(found.get(key), wanted.get(key), f"{path}.{key}")
    return f"{path or 'elsewhere'}: found {found!r}, expected {wanted!r}"


def _named(expected: Reference, name: str) -> str:
    alert = expected.alerts[name]
    return f"{name} ({alert.rule.id} {alert.device.id}, partition {alert.partition}, record {alert.offset})"


def _versions(expected: Mapping[str, int], found: Mapping[str, int]) -> Iterable[str]:
    for name in expected.keys() | found.keys():
        if expected.get(name) != found.get(name):
            yield f"{name}: found {found.get(name)}, expected {expected.get(name)}"
