"""The rows of `bench live`, by name, in the order in which they are measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spikebridge.bench.live.correctness import correctness
from spikebridge.bench.live.latency import latency
from spikebridge.bench.live.takeover import takeover
from spikebridge.bench.live.throughput import elasticsearch, frames, json_all, json_events

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from spikebridge.bench.live.contest import Contest
    from spikebridge.bench.measure import Line

ROWS: dict[str, Callable[[Contest], Iterator[Line]]] = {
    "frames": frames,
    "json": json_events,
    "json_all": json_all,
    "elasticsearch": elasticsearch,
    "correctness": correctness,
    "latency": latency,
    "takeover": takeover,
}
NEED_ELASTICSEARCH = frozenset({"elasticsearch", "latency"})
