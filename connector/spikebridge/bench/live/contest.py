"""What every row is given, and how one contestant is sent through a load."""

from __future__ import annotations

import itertools
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from spikebridge import __version__
from spikebridge.bench.live import load
from spikebridge.bench.live.ours import Ours
from spikebridge.bench.live.process import Lines, watch

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from spikebridge.bench.live.cluster import Broker, Filled
    from spikebridge.bench.live.ours import Instance
    from spikebridge.bench.live.peers import Peer
    from spikebridge.bench.live.process import Process, Watched

CLIENTS = ("kafka-python", "confluent")
OUTPUT = "out.jsonl"
SESSION_S = 6
"""A dead member is missed after so long, ours and the peers' alike."""


@dataclass(slots=True, kw_only=True)
class Contest:
    """One run of the bench: servers, peers, sizes; `core` is the one that a single process may use, the broker has the others."""

    broker: Broker
    directory: Path
    elasticsearch: str = ""
    peers: Sequence[Peer] = ()
    size: float = 1.0
    repeats: int = 1
    core: int = 0
    json_rates: Mapping[str, float] = field(default_factory=dict)
    _numbers: itertools.count[int] = field(default_factory=itertools.count)

    def many(self, count: int) -> int:
        """Return a number of records as the size of this run has it."""
        return max(1_000, round(count * self.size))

    def place(self, name: str) -> Path:
        """Return a directory that isn't there yet."""
        return self.directory / f"{name}-{next(self._numbers)}"

    def ours(self, topic: str, mapping: str, client: str, sinks: Mapping[str, Any] | None = None, look_back: str = "") -> Ours:
        """Make a service over a topic."""
        place = self.place(client)
        return Ours(self.broker, place, topic, mapping, client=client, sinks=sinks, look_back=look_back, session_s=SESSION_S)

    def conditions(self, watched: Sequence[Watched], **more: object) -> dict[str, Any]:
        """Say what a figure was measured under; `rates` are those of all repeats."""
        return {
            **more,
            "version": __version__,
            "rates": [round(one.rate) for one in watched],
            "per_cpu_s": round(max(one.per_cpu_s for one in watched)),
            "stretch_s": round(max(one.seconds for one in watched), 1),
            "cores": f"contestant on core {self.core}, broker not on it" if os.cpu_count() != 1 else "one for all",
            "load_average": load_average(),
        }


def load_average() -> list[float]:
    """Return the machine's load of the last minutes: other work on it spoils a figure."""
    return [round(value, 1) for value in os.getloadavg()]


def to_file() -> dict[str, Any]:
    """Return our file sink."""
    return {"out": {"type": "file", "path": OUTPUT, "format": "ecs", "rotate_size": "10GB"}}


def through_ours(contest: Contest, filled: Filled, mapping: str, client: str, expected: int) -> tuple[Watched, Path, float]:
    """Send a load through one process of ours into a file; return how that went, the file, and the most memory."""
    service = contest.ours(filled.topic, mapping, client, to_file())
    output = service.directory / OUTPUT
    with service.start("spikes,deliver:out", [contest.core]) as instance:
        watched = watch([instance], Lines(output), expected, limit_s(filled.records))
        return watched, output, instance.peak_mb()


def through_file(
    start: Callable[[], AbstractContextManager[Process]], output: Path, expected: int, records: int
) -> tuple[Watched, float]:
    """Send a load through one process of a peer into its file."""
    with start() as process:
        watched = watch([process], Lines(output), expected, limit_s(records))
        return watched, process.peak_mb()


def alone(instance: Instance, done: Callable[[], int], expected: int, records: int) -> Watched:
    """Watch one instance of ours by a count of one's choice."""
    return watch([instance], done, expected, limit_s(records))


def limit_s(records: int) -> float:
    """Return when to give up: far behind the slowest contestant."""
    return 120.0 + records / 1_500


def rows_mapping() -> str:
    """Return the mapping of the JSON rows."""
    return load.mapping(load.rows())
