"""Topics as a broker holds them: offsets that may have holes, retention from the front, an id that outlives no deletion."""

from __future__ import annotations

import uuid
from bisect import bisect_left
from typing import TYPE_CHECKING

from spikebridge.kafka.client import TopicFacts
from spikebridge.spikes.record import Record

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

CONFIGS = {"message.timestamp.type": "LogAppendTime", "cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1"}
"""What a topic is made with, unless a test says otherwise."""

_MS = 1_000_000


class MemoryPartition:
    """The records of one partition; a test may look at them, and do to them what happens to real ones."""

    def __init__(self) -> None:
        """Begin empty, with the offset 0."""
        self.records: list[Record] = []
        self.headers: dict[int, tuple[tuple[str, bytes], ...]] = {}
        self.first = 0
        self.end = 0
        self._largest: list[int] = []

    def append(self, value: bytes, key: bytes | None, append_ns: int, headers: tuple[tuple[str, bytes], ...] = ()) -> int:
        """Append one record, stamped with a whole millisecond, and return its offset."""
        stamped = append_ns // _MS * _MS
        self.records.append(Record(self.end, stamped, value, key))
        self._largest.append(max(stamped, *self._largest[-1:], 0))
        if headers:
            self.headers[self.end] = headers
        self.end += 1
        return self.end - 1

    def skip(self, count: int) -> None:
        """Leave offsets out, as the end of a transaction does."""
        self.end += count

    def remove(self, offset: int) -> None:
        """Take one record out of the middle, as compaction does."""
        at = self._at(offset)
        del self.records[at], self._largest[at]

    def drop_before(self, offset: int) -> None:
        """Let retention pass."""
        at = self._at(offset)
        del self.records[:at], self._largest[:at]
        self.first = max(self.first, min(offset, self.end))

    def truncate(self, end: int) -> None:
        """Lose the newest records, as an unclean election does."""
        at = self._at(end)
        del self.records[at:], self._largest[at:]
        self.end = min(self.end, end)

    def since(self, offset: int, limit: int) -> list[Record]:
        """Return records from an offset on."""
        at = self._at(offset)
        return self.records[at : at + limit]

    def at(self, offsets: Sequence[int]) -> list[Record]:
        """Return single records in the order of offsets."""
        return [record for offset in sorted(set(offsets)) for record in self.since(offset, 1) if record.offset == offset]

    def offset_at(self, append_ns: int) -> int:
        """Return the first offset of this millisecond or later, the end if there is none."""
        at = bisect_left(self._largest, -(-append_ns // _MS) * _MS)
        return self.records[at].offset if at < len(self.records) else self.end

    def _at(self, offset: int) -> int:
        return bisect_left(self.records, offset, key=lambda record: record.offset)


class MemoryTopic:
    """One topic; made anew under its name it is another one, with another id."""

    def __init__(self, partitions: int, configs: Mapping[str, str]) -> None:
        """Begin with empty partitions."""
        self.id = str(uuid.uuid4())
        self.partitions = [MemoryPartition() for _ in range(partitions)]
        self.configs = dict(configs)

    def __iter__(self) -> Iterator[MemoryPartition]:
        """Walk over the partitions."""
        return iter(self.partitions)

    @property
    def facts(self) -> TopicFacts:
        """Tell what an admin is told."""
        return TopicFacts(self.id, len(self.partitions), 1, dict(self.configs))
