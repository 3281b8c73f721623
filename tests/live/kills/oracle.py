"""What must have come out, computed from what lies in the spike log: by the product's engine in one go, and row by row by the plain reference."""

from __future__ import annotations

import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from tests.reference.plain import PlainAlert, PlainEngine
from tests.reference.trials import plain_of

from spikebridge.alerts import alert_entry
from spikebridge.incidents import Correlator
from spikebridge.kafka.client import Partition
from spikebridge.mapping.engine import Engine
from spikebridge.mapping.rules import Revision, read_revision

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from spikebridge.alerts import Alert, AlertEntry
    from spikebridge.kafka.client import Client
    from spikebridge.mapping.evidence import Identity
    from spikebridge.spikes.record import Record

RUN_RECORDS = 5_000
READ_S = 300.0
DEAD_ORIGIN = ("partition", "offset", "part")

Contents = list[tuple[int, bytes]]


class Reference(NamedTuple):
    """What the records give: alerts by id, as they are sealed and as they were; final versions of incidents; places of dead letters."""

    entries: dict[str, AlertEntry]
    alerts: dict[str, Alert]
    incidents: dict[str, int]
    dead: set[str]


def read_topic(client: Client, topic: str, ends: Mapping[int, int]) -> dict[int, list[Record]]:
    """Return the records of each partition before its end."""
    reader = client.reader()
    found: dict[int, list[Record]] = {number: [] for number in ends}
    left = {number for number, end in ends.items() if end}
    for number in left:
        reader.follow(Partition(topic, number), 0)
    until = time.monotonic() + READ_S
    while left:
        for partition, records in reader.poll(0.2).records.items():
            number = partition.number
            found[number] += [record for record in records if record.offset < ends[number]]
            if records[-1].offset >= ends[number] - 1:
                left.discard(number)
        assert time.monotonic() < until, f"{topic}: partitions {left} not read within {READ_S:g} s"
    reader.close()
    return found


def keyed(records: Sequence[Record]) -> list[Record]:
    """Have a record without a key be no device's."""
    return [record if record.key is not None else record._replace(key=b"") for record in records]


def reference(identity: Identity, logs: Mapping[int, Sequence[Record]], contents: Contents) -> Reference:
    """Match each partition whole, from an empty state, and hold that to the plain reference."""
    revisions = {number: read_revision(number, content) for number, content in contents}
    first, last = min(revisions), max(revisions)
    entries: dict[str, AlertEntry] = {}
    alerts: dict[str, Alert] = {}
    dead: set[str] = set()
    by_array: dict[int, list[PlainAlert]] = {}
    for number, records in logs.items():
        held = {record.offset: record for record in records}
        own = identity._replace(partition=number)
        engine = Engine(own, revisions[first], revisions.get, partial(_found, held))
        engine.pairs = [(0, first)]
        by_array[number] = []
        for low in range(0, len(records), RUN_RECORDS):
            taken = engine.take(records[low : low + RUN_RECORDS])
            by_array[number] += map(plain_of, taken.alerts)
            for raised in taken.alerts:
                assert raised.alert.id not in alerts, f"the reference raises {raised.alert.id} twice"
                alerts[raised.alert.id] = raised.alert
                entries[raised.alert.id] = alert_entry(raised.alert, raised.evidence)
            dead.update(f"{own.log}/{number}/{one.offset}/{one.part}" for one in taken.dead)
    assert row_by_row(logs, contents) == by_array
    incidents = Correlator(identity.tenant, revisions[last]).feed((alert, alert.append_ns) for alert in alerts.values())
    return Reference(entries, alerts, {one.id: one.version for one in incidents}, dead)


def _found(held: Mapping[int, Record], offsets: Sequence[int]) -> list[Record]:
    return [held[offset] for offset in offsets if offset in held]


def row_by_row(logs: Mapping[int, Sequence[Record]], contents: Contents) -> dict[int, list[PlainAlert]]:
    """Return what the plain reference says of each partition."""
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        waiting = {number: pool.submit(plainly, list(records), contents) for number, records in logs.items()}
        return {number: answer.result() for number, answer in waiting.items()}


def plainly(records: Sequence[Record], contents: Contents) -> list[PlainAlert]:
    """Take one record at a time."""
    revisions: dict[int, Revision] = {number: read_revision(number, content) for number, content in contents}
    plain = PlainEngine(revisions[min(revisions)], revisions)
    return [alert for record in records for alert in plain.take(record)]
