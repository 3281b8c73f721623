"""How much of a partition waits for a group, asked from outside: offsets that hold nothing for it wait for nobody."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spikebridge.errors import LogError, SchemaError
from spikebridge.logs.kafka import sealed

if TYPE_CHECKING:
    from spikebridge.kafka.client import Partition, Reader
    from spikebridge.spikes.record import Record

LOOKED_AT = 1_000
"""So many offsets are looked at: a group that is further behind than that has something to do."""

_AT_ONCE = 20


def behind(reader: Reader, partition: Partition, position: int, end: int, *, entries: bool) -> int:
    """
    Return how many offsets there are from the first that holds something for the group, 0 if none does.

    The end of a transaction holds no record; with `entries` what is none of ours is nothing either: a reader of the alert topic passes it, and
    its position moves with the next alert only.
    """
    for low in range(position, min(end, position + LOOKED_AT), _AT_ONCE):
        try:
            records = reader.read(partition, range(low, min(low + _AT_ONCE, end)))
        except LogError:
            return end - low
        for record in records:
            if not entries or _is_entry(record):
                return end - record.offset
    return max(0, end - position - LOOKED_AT)


def _is_entry(record: Record) -> bool:
    try:
        sealed.unseal(record)
    except SchemaError:
        return True
    except LogError:
        return False
    return True
