"""Frames and JSON events from a broker to alerts: how many a second, beside the peers."""

from __future__ import annotations

import json
import time
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

from spikebridge.bench.live import idioms, load
from spikebridge.bench.live.contest import CLIENTS, alone, load_average, rows_mapping, through_file, through_ours
from spikebridge.bench.live.peers import LOGPREP_NG, RSYSLOG
from spikebridge.bench.live.process import Process, watch
from spikebridge.bench.measure import Line
from spikebridge.errors import SpikebridgeError
from spikebridge.limits import SECOND

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from spikebridge.bench.live.cluster import Filled
    from spikebridge.bench.live.contest import Contest
    from spikebridge.bench.live.ours import Ours
    from spikebridge.bench.live.process import Watched

PARTITIONS = 4
COMPARED = 1_000
_PER_FRAME = 1_000
_FRAMES = 100_000
_FOR_TWO = 4
"""So many times as much for two processes: both must be at work for a while."""

_EVENTS = 600_000
_ALL_MAPPED = 60_000
_SHARED_SAMPLES = 10


def frames(contest: Contest) -> Iterator[Line]:
    """Frames of 1,000 spikes to alerts in the alert topic, for one process and for two, by either client."""
    filled = _frames(contest, _FRAMES)
    for client in CLIENTS:
        found, repeats = zip(*(_one(contest, filled, client) for _ in range(contest.repeats)), strict=True)
        best = max(one.rate for one in found)
        said = _of_frames(filled, client=client, processes=1, alerts_repeated=sum(repeats))
        yield Line(
            name=f"frames_{client}", value=best, unit="spikes/s", must=9e6, aim=15e6, conditions=contest.conditions(found, **said)
        )
    filled = _frames(contest, _FOR_TWO * _FRAMES)
    for client in CLIENTS:
        rate = _two(contest, filled, client)
        said = _of_frames(filled, client=client, processes=2) | {
            "cores": "both for all, the broker too",
            "load_average": load_average(),
        }
        yield Line(name=f"frames2_{client}", value=rate, unit="spikes/s", conditions=said)


def json_events(contest: Contest) -> Iterator[Line]:
    """JSON events into files, one in 100 mapped, beside every peer that is here; their documents are compared before."""
    yield from _json(contest, "json", contest.many(_EVENTS), 100)


def json_all(contest: Contest) -> Iterator[Line]:
    """JSON events into files once more, all mapped: every event becomes an alert."""
    yield from _json(contest, "json_all", contest.many(_ALL_MAPPED), 1)


def elasticsearch(contest: Contest) -> Iterator[Line]:
    """JSON events and frames into Elasticsearch by one process, stated without a target."""
    if not contest.elasticsearch:
        raise SpikebridgeError("elasticsearch: expected --elasticsearch URL, found none")
    sink = {"out": {"type": "elasticsearch", "endpoint": contest.elasticsearch}}
    for name, count, every in (("elastic_json", _EVENTS // 2, 100), ("elastic_json_all", _ALL_MAPPED // 2, 1)):
        filled = _events(contest, contest.many(count), every)
        for client in CLIENTS:
            service = contest.ours(filled.topic, rows_mapping(), client, sink)
            with service.start("spikes,deliver:out") as instance:
                expected = -(-filled.records // every)
                found = alone(instance, instance.delivered, expected, filled.records)
            said = contest.conditions([_times(found, every)], **_of_json(filled, every), client=client)
            said["cores"] = "both for all, servers too"
            yield Line(name=f"{name}_{client}", value=found.rate * every, unit="events/s", conditions=said)


def _frames(contest: Contest, count: int) -> Filled:
    made = load.frames(contest.many(count), partitions=PARTITIONS, start_ns=time.time_ns() - SECOND)
    return contest.broker.fill("frames", PARTITIONS, made)


def _one(contest: Contest, filled: Filled, client: str) -> tuple[Watched, int]:
    service = contest.ours(filled.topic, load.burst_mapping(), client)
    with service.start("spikes", [contest.core]) as instance:
        found = alone(instance, instance.spikes, filled.records * _PER_FRAME, filled.records)
    return found, _whole(service, filled)


def _two(contest: Contest, filled: Filled, client: str) -> float:
    """Return the rate while both are at work: from when each has begun until the first has done its share."""
    service = contest.ours(filled.topic, load.burst_mapping(), client)
    with service.start("spikes") as one, service.start("spikes") as other:
        both: list[Process] = [one, other]
        samples: list[tuple[float, int, int]] = []

        def done() -> int:
            samples.append((time.perf_counter(), one.spikes(), other.spikes()))
            return samples[-1][1] + samples[-1][2]

        watch(both, done, filled.records * _PER_FRAME, 300)
    _whole(service, filled)
    last = samples[-1]
    shared = [one for one in samples if one[1] and one[2] and one[1] < last[1] and one[2] < last[2]]
    if len(shared) < _SHARED_SAMPLES:
        raise SpikebridgeError(
            "two processes: one had read nearly everything before the other had a partition: use a larger --size"
        )
    begun, ended = shared[0], shared[-1]
    return (ended[1] + ended[2] - begun[1] - begun[2]) / (ended[0] - begun[0])


def _json(contest: Contest, name: str, count: int, every: int) -> Iterator[Line]:
    _compare(contest, every)
    filled = _events(contest, count, every)
    expected = -(-count // every)
    found: dict[str, tuple[list[Watched], float]] = {}
    for peer in contest.peers:
        tries = []
        for _ in range(contest.repeats if peer.name == RSYSLOG else 1):
            prepared = peer.prepare(contest.place(peer.name), load.rows(), _source(contest, filled))
            watched, memory = through_file(partial(prepared.start, [contest.core]), prepared.output, expected, count)
            tries.append(_times(watched, every))
        found[f"{peer.name} {peer.version}"] = (tries, memory)
    for client in CLIENTS:
        tries = []
        for _ in range(contest.repeats):
            watched, _, memory = through_ours(contest, filled, rows_mapping(), client, expected)
            tries.append(_times(watched, every))
        found[f"spikebridge {client}"] = (tries, memory)
    best = {who: max(one.rate for one in tries) for who, (tries, _) in found.items()}
    yield from _lines(contest, name, filled, every, found, best)
    if name == "json":
        contest.json_rates = {client: best[f"spikebridge {client}"] for client in CLIENTS}


def _lines(
    contest: Contest, name: str, filled: Filled, every: int, found: dict[str, tuple[list[Watched], float]], best: dict[str, float]
) -> Iterator[Line]:
    """Yield a line for each contestant; ours say how often they are quicker than Logprep's newer engine, and than rsyslog."""
    ng = next((rate for who, rate in best.items() if who.startswith(LOGPREP_NG)), None)
    quickest = next((rate for who, rate in best.items() if who.startswith(RSYSLOG)), None)
    for who, (tries, memory) in found.items():
        ours, target = who.startswith("spikebridge"), every > 1
        ratios = {"to_rsyslog": round(best[who] / quickest, 2)} if ours and quickest else {}
        said = contest.conditions(tries, **_of_json(filled, every), **ratios, memory_mb=round(memory))
        yield Line(
            name=f"{name}_{who.replace(' ', '_')}",
            value=best[who],
            unit="events/s",
            must=5 * ng if ours and ng and target else None,
            aim=quickest if ours and target else None,
            peer=LOGPREP_NG if ours and ng else "",
            ratio=best[who] / ng if ours and ng else None,
            conditions=said,
        )


def _compare(contest: Contest, every: int) -> None:
    """Have all contestants write the documents of 1,000 events, and refuse to measure what isn't the same work."""
    filled = _events(contest, COMPARED, min(every, 10))
    expected = -(-COMPARED // min(every, 10))
    _, output, _ = through_ours(contest, filled, rows_mapping(), CLIENTS[0], expected)
    ours = read(output)
    told: list[str] = []
    for peer in contest.peers:
        prepared = peer.prepare(contest.place(peer.name), load.rows(), _source(contest, filled))
        through_file(prepared.start, prepared.output, expected, COMPARED)
        told += idioms.differences(peer.name, read(prepared.output), ours)
    if told or len(ours) != expected:
        raise SpikebridgeError(
            "\n".join([f"expected {expected} equal documents, found {len(ours)} of ours and:", *islice(told, 20)])
        )


def read(output: Path) -> list[dict[str, Any]]:
    """Return the documents of a file; a last line that a crash cut short is none."""
    if not output.exists():
        return []
    whole = output.read_bytes().rpartition(b"\n")[0]
    return [json.loads(line) for line in whole.splitlines()]


def _events(contest: Contest, count: int, every: int) -> Filled:
    made = load.events(count, mapped_every=every, partitions=PARTITIONS, start_ns=time.time_ns() - SECOND)
    return contest.broker.fill("events", PARTITIONS, made)


def _source(contest: Contest, filled: Filled) -> idioms.Input:
    return idioms.Input(contest.broker.server, filled.topic, contest.broker.unique(idioms.GROUP))


def _times(watched: Watched, every: int) -> Watched:
    """Count events, of which one in `every` made a document."""
    samples = [sample._replace(done=sample.done * every) for sample in watched.samples]
    return watched._replace(samples=samples, expected=watched.expected * every)


def _whole(service: Ours, filled: Filled) -> int:
    """Refuse a figure whose alerts aren't those of the bursts; return how many were appended again."""
    found, repeated = service.alerts_there()
    if found != load.bursts(filled.records):
        raise SpikebridgeError(f"alert topic: expected {load.bursts(filled.records):,} alerts, found {found:,}")
    return repeated


def _of_frames(filled: Filled, **more: object) -> dict[str, Any]:
    said = {"rule": "20 in 1 s", "share_mapped": 0.001, "frames_with_an_alert": f"1 in {load.BURST_EVERY}", "boot": 0}
    return said | {"spikes_per_frame": _PER_FRAME, "frame_bytes": filled.bytes // filled.records} | _of_topic(filled) | more


def _of_json(filled: Filled, every: int) -> dict[str, Any]:
    said = {"mapped": f"1 in {every}", "rows": len(load.rows()), "event_bytes": filled.bytes // filled.records}
    return (
        said | {"rule": "each spike; every mapped event has a device and row of its own, so each is an alert"} | _of_topic(filled)
    )


def _of_topic(filled: Filled) -> dict[str, Any]:
    return {"records": filled.records, "partitions": filled.partitions}
