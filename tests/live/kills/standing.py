"""Where the groups stand, as anybody may ask: committed positions, cursors, heads, and what is under way between them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from spikebridge.errors import LogError
from spikebridge.kafka.client import Partition

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from spikebridge.kafka.client import Client, Place
    from spikebridge.logs.kafka import Names

PARTITIONS = 12
ALERT_PARTITIONS = 4
SINKS = ("elastic", "splunk")
ASK_S = 180.0
_READERS = {**{sink: f"deliver.{sink}" for sink in SINKS}, "incidents": "incidents"}
"""Who reads the alert topic, and how the name of its group ends."""

T = TypeVar("T")


class Standing(NamedTuple):
    """Positions by partition number: of the spikes stage, of each reader of the alert topic, and both heads."""

    committed: Mapping[int, int]
    head: Mapping[int, int]
    cursors: Mapping[str, Mapping[int, int]]
    alerts: Mapping[int, int]

    @property
    def unmatched(self) -> int:
        """Records that the spikes stage has not committed."""
        return sum(end - self.committed.get(number, 0) for number, end in self.head.items())

    def undelivered(self, sink: str) -> int:
        """Entries of the alert topic that a sink's cursor has not passed."""
        return sum(end - self.cursors[sink].get(number, 0) for number, end in self.alerts.items())

    def passed(self, before: Standing) -> bool:
        """Say whether all that was there then is matched and delivered now."""
        matched = all(self.committed.get(number, 0) >= end for number, end in before.head.items())
        return matched and all(
            self.cursors[sink].get(number, 0) >= end for sink in self.cursors for number, end in before.alerts.items()
        )

    def __str__(self) -> str:
        """Say it in a line."""
        flights = ", ".join(f"{sink} {self.undelivered(sink):,}" for sink in self.cursors)
        cursors = ", ".join(f"{sink} {sum(cursor.values()):,}" for sink, cursor in self.cursors.items())
        return (
            f"committed {sum(self.committed.values()):,} of {sum(self.head.values()):,} records; cursors {cursors}, "
            f"head {sum(self.alerts.values()):,}; in flight: records {self.unmatched:,}, {flights}"
        )


class Watch:
    """Asks a cluster where the groups of a tenant stand, with a client of its own, and goes on asking while brokers are away."""

    def __init__(self, client: Client, topic: str, names: Names) -> None:
        """Connect."""
        self._reader = client.reader()
        self._admin = client.admin()
        self._topic = topic
        self._names = names

    def standing(self) -> Standing:
        """Ask: positions before heads, so that nothing seems to be ahead."""
        return insisted(self._standing)

    def shares(self) -> dict[str, list[int]]:
        """Return, for each group, how many partitions each member owns."""
        groups = {end: f"{self._names.group}.{end}" for end in _READERS.values()}
        return insisted(
            lambda: {
                name: [len(owned) for owned in self._admin.members(group).values()]
                for name, group in {"spikes": self._names.group, **groups}.items()
            }
        )

    def shared(self, members: int) -> bool:
        """Say whether so many members share all partitions in every group."""
        return all(
            len(owned) == members and all(owned) and sum(owned) == (PARTITIONS if name == "spikes" else ALERT_PARTITIONS)
            for name, owned in self.shares().items()
        )

    def end(self, topic: str) -> int:
        """Return the end of a topic with one partition."""
        return insisted(lambda: self._ends(topic, 1)[0])

    def close(self) -> None:
        """Let go."""
        self._reader.close()
        self._admin.close()

    def _standing(self) -> Standing:
        committed = _offsets(self._admin.committed(self._names.group))
        cursors = {name: _offsets(self._admin.committed(f"{self._names.group}.{end}")) for name, end in _READERS.items()}
        return Standing(committed, self._ends(self._topic, PARTITIONS), cursors, self._ends(self._names.alerts, ALERT_PARTITIONS))

    def _ends(self, topic: str, partitions: int) -> dict[int, int]:
        return {number: self._reader.bounds(Partition(topic, number))[1] for number in range(partitions)}


def _offsets(places: Mapping[Partition, Place]) -> dict[int, int]:
    return {partition.number: place.offset for partition, place in places.items()}


def insisted(ask: Callable[[], T]) -> T:
    """Ask until there is an answer: brokers may be away."""
    end = time.monotonic() + ASK_S
    while True:
        try:
            return ask()
        except LogError:
            if time.monotonic() > end:
                raise
            time.sleep(0.1)
