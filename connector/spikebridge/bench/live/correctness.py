"""What is lost and what comes twice: after kill -9 in the middle and a restart, and after messages that are no events."""

from __future__ import annotations

import time
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING

from spikebridge.bench.live import idioms, load
from spikebridge.bench.live.contest import CLIENTS, OUTPUT, load_average, rows_mapping, to_file
from spikebridge.bench.live.load import Load
from spikebridge.bench.live.process import Lines
from spikebridge.bench.live.throughput import PARTITIONS, read
from spikebridge.bench.measure import Line
from spikebridge.errors import SpikebridgeError
from spikebridge.limits import SECOND

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from spikebridge.bench.live.contest import Contest
    from spikebridge.bench.live.process import Process

POISON = b'\xff\xfe{"device_id": '
STAGES = "spikes,deliver:out"
_EVENTS = 200_000
_EVERY = 10
_KILL_AT = 0.3
_QUIET_S = 10.0
"""So long must be quiet after the group has committed the end of the topic: repeats may follow."""

_UNREAD_QUIET_S = 60.0
"""Nothing more for so long, though the group has not committed the end: it won't come. Ten times as long as a dead member counts as alive."""

_LIMIT_S = 300.0
_LOOK_S = 1.0
_PAUSE_S = 0.005


def correctness(contest: Contest) -> Iterator[Line]:
    """Yield two lines a contestant: documents lost, with those that came twice among the conditions."""
    for kind in ("kill", "poison"):
        count = contest.many(_EVENTS if kind == "kill" else _EVENTS // 4)
        topic, expected = _filled(contest, count, poisoned=kind == "poison")
        for name, start, output, group in _contestants(contest, topic):
            unread = partial(contest.broker.unread, group, topic, PARTITIONS)
            killed_at = _run(start, Lines(output), round(len(expected) * _KILL_AT) if kind == "kill" else 0, unread)
            found = Counter(map(idioms.business_key, read(output)))
            conditions = {
                "twice": sum(found.values()) - len(found),
                "not_expected": len(found.keys() - expected),
                "documents": len(expected),
                "unread": unread(),
                "events": count,
                "killed_at": killed_at if kind == "kill" else "",
                "poison": PARTITIONS if kind == "poison" else 0,
                "load_average": load_average(),
            }
            yield Line(
                name=f"{kind}_{name.replace(' ', '_')}", value=len(expected - found.keys()), unit="lost", conditions=conditions
            )


def _filled(contest: Contest, count: int, *, poisoned: bool) -> tuple[str, set[tuple[str, str]]]:
    """Fill a topic, with one message that is no event in the middle of each partition; return what a document must be there of."""
    made = list(load.events(count, mapped_every=_EVERY, partitions=PARTITIONS, start_ns=time.time_ns() - SECOND))
    if poisoned:
        middle = len(made) // 2
        made[middle:middle] = [Load("poison", partition, POISON) for partition in range(PARTITIONS)]
    topic = contest.broker.fill("correctness", PARTITIONS, made).topic
    rows = load.rows()
    hits = -(-count // _EVERY)
    return topic, {(f"sensor-m{at // len(rows):06d}", str(rows[at % len(rows)].neuron)) for at in range(hits)}


def _contestants(contest: Contest, topic: str) -> Iterator[tuple[str, Callable[[], Process], Path, str]]:
    for peer in contest.peers:
        source = idioms.Input(contest.broker.server, topic, contest.broker.unique(idioms.GROUP))
        prepared = peer.prepare(contest.place(peer.name), load.rows(), source)
        yield f"{peer.name} {peer.version}", prepared.start, prepared.output, source.group
    for client in CLIENTS:
        service = contest.ours(topic, rows_mapping(), client, to_file())
        start = partial(service.start, STAGES, again=True)
        yield f"spikebridge {client}", start, service.directory / OUTPUT, service.group


def _run(start: Callable[[], Process], lines: Lines, kill_at: int, unread: Callable[[], int]) -> int:
    """Run to the end, with kill -9 on the way if that is wanted; return how many documents there were then."""
    killed_at = 0
    process = start()
    try:
        if kill_at:
            killed_at = _await(lines, kill_at, process)
            process.kill()
            process = start()
        _await_quiet(lines, process, unread)
    finally:
        process.__exit__()
    return killed_at


def _await(lines: Lines, wanted: int, process: Process) -> int:
    end = time.monotonic() + _LIMIT_S
    while lines() < wanted:
        if time.monotonic() > end or not process.running:
            raise SpikebridgeError(f"{process.name}: {lines.count:,} documents after {_LIMIT_S:.0f} s:\n{process.complaint()}")
        time.sleep(_PAUSE_S)
    return lines.count


def _await_quiet(lines: Lines, process: Process, unread: Callable[[], int]) -> None:
    """Wait until the group stands at the end and nothing has come for a while; without the former a good while longer."""
    end = time.monotonic() + _LIMIT_S
    last, since = -1, 0.0
    while time.monotonic() < end and process.running:
        if lines() != last:
            last, since = lines.count, time.monotonic()
        quiet_s = time.monotonic() - since
        if quiet_s > _UNREAD_QUIET_S or (quiet_s > _QUIET_S and not unread()):
            return
        time.sleep(_LOOK_S)
