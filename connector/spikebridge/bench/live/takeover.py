"""How long a partition stands still while its new owner reads the look-back again."""

from __future__ import annotations

import json
import time
from datetime import datetime
from typing import TYPE_CHECKING

from spikebridge.bench.live import load
from spikebridge.bench.live.contest import CLIENTS, alone, load_average
from spikebridge.bench.live.throughput import PARTITIONS
from spikebridge.bench.measure import Line
from spikebridge.errors import SpikebridgeError
from spikebridge.limits import SECOND

if TYPE_CHECKING:
    from collections.abc import Iterator

    from spikebridge.bench.live.contest import Contest
    from spikebridge.bench.live.ours import Instance

_FRAMES = 150_000
_PER_FRAME = 1_000
_LIMIT_S = 300.0
_GIVEN, _REPLAYED = "is ours now", "records replayed"


def takeover(contest: Contest) -> Iterator[Line]:
    """Yield the seconds per G spikes in the look-back, from the partitions' coming to the last one's first new record."""
    count = contest.many(_FRAMES)
    made = load.frames(count, partitions=PARTITIONS, start_ns=time.time_ns() - SECOND)
    filled = contest.broker.fill("takeover", PARTITIONS, made)
    for client in CLIENTS:
        service = contest.ours(filled.topic, load.burst_mapping(), client)
        with service.start("spikes", [contest.core]) as first:
            alone(first, first.spikes, count * _PER_FRAME, count)
        with service.start("spikes", [contest.core]) as second:
            seconds, records = _stood_still(second)
            cpu_s = second.cpu_s()
        spikes = records * _PER_FRAME
        yield Line(
            name=f"takeover_{client}",
            value=round(seconds / spikes * 1e9, 1),
            unit="s per G",
            must=60.0,
            aim=20.0,
            conditions={
                "spikes_replayed": spikes,
                "seconds": round(seconds, 2),
                "cpu_s_since_start": round(cpu_s, 2),
                "spikes_per_frame": _PER_FRAME,
                "bytes": filled.bytes,
                "partitions": PARTITIONS,
                "look_back": "30m, of which the load fills the end",
                "before": "the other owner had left the group; one that was killed is missed after the session time-out on top",
                "cores": f"instance on core {contest.core}",
                "load_average": load_average(),
            },
        )


def _stood_still(instance: Instance) -> tuple[float, int]:
    """Read the instance's own log: from its first partition's coming to the last one's end of the replay; and how many records that were."""
    end = time.monotonic() + _LIMIT_S
    while True:
        said = [json.loads(line) for line in instance.lines() if line.startswith("{")]
        replayed = [one for one in said if _REPLAYED in one["message"]]
        if len(replayed) >= PARTITIONS:
            break
        if time.monotonic() > end or not instance.running:
            raise SpikebridgeError(f"takeover: {len(replayed)} of {PARTITIONS} partitions replayed:\n{instance.complaint()}")
        time.sleep(0.05)
    began = min(_second(one["@timestamp"]) for one in said if _GIVEN in one["message"])
    ended = max(_second(one["@timestamp"]) for one in replayed)
    records = sum(int(one["message"].partition(_REPLAYED)[0].rpartition(": ")[2]) for one in replayed)
    return ended - began, records


def _second(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
