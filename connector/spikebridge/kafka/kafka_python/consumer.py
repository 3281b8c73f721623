"""What the group and the reader share: a consumer of the library, never one of ours."""

# ruff: noqa: SLF001  what the library does wrong inside can be answered only there

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from kafka import KafkaConsumer, TopicPartition, errors

from spikebridge.kafka.client import CALL_S
from spikebridge.kafka.kafka_python.batches import PartitionRecords
from spikebridge.kafka.kafka_python.reach import milliseconds

if TYPE_CHECKING:
    from collections.abc import Mapping

    from spikebridge.kafka.client import Partition
    from spikebridge.kafka.kafka_python.reach import Reach

_NOBODY = -1
_LEADER_S = 0.5
_METADATA_S = 10.0
_CLOSE_S = 2.0
_HEADROOM_BYTES = 8 << 20


def connected(reach: Reach, what: str, settings: Mapping[str, Any]) -> Any:
    """Return a consumer that commits nothing by itself, never jumps to a position that we didn't name, and whose polls bring records of ours."""
    reach.check(what)
    with reach.told(what):
        consumer = KafkaConsumer(
            **reach.settings,
            **settings,
            enable_auto_commit=False,
            auto_offset_reset="none",
            isolation_level="read_committed",
            allow_auto_create_topics=False,
            metadata_max_age_ms=milliseconds(_METADATA_S),
            receive_message_max_bytes=settings.get("fetch_max_bytes", 0) + _HEADROOM_BYTES,
            metrics_enabled=False,
        )
    consumer._fetcher.PartitionRecords = PartitionRecords
    return consumer


def closed(consumer: Any) -> None:
    """
    Close a consumer, and a member of a group leaves it.

    Fault: it raises when it can't say good-bye; nobody needs to know.
    """
    with suppress(errors.KafkaError, RuntimeError):
        consumer.close(autocommit=False, timeout_ms=milliseconds(_CLOSE_S))


def partitions(reach: Reach, consumer: Any, topic: str) -> frozenset[int]:
    """
    Return the numbers of a topic's partitions as the newest metadata have them, none for a topic that isn't there.

    Fault: a question may be answered by metadata that were asked for before it, without the topic; so a "no" is asked for twice.
    """
    cluster = consumer._cluster
    for _ in range(2):
        known = cluster.partitions_for_topic(topic)
        if known is not None:
            return frozenset(known)
        try:
            consumer._manager.run(_refreshed, consumer, topic)
        except (errors.UnknownTopicOrPartitionError, errors.InvalidTopicError):
            continue
        except errors.KafkaError as error:
            raise reach.log_error(f"asking for topic {topic}", error) from error
        if topic in cluster.unauthorized_topics:
            raise reach.log_error(f"asking for topic {topic}", errors.TopicAuthorizationFailedError())
    return frozenset(cluster.partitions_for_topic(topic) or ())


def has_leader(reach: Reach, consumer: Any, partition: Partition) -> bool:
    """
    Whether somebody leads a partition, as the newest metadata have it; a "no" is asked for anew.

    Fault: the library itself asks on and on until its time is up.
    """
    cluster, asked = consumer._cluster, TopicPartition(*partition)
    if cluster.leader_for_partition(asked) == _NOBODY:
        try:
            consumer._manager.run(_refreshed, consumer, partition.topic, _LEADER_S)
        except errors.KafkaTimeoutError:
            return False
        except errors.KafkaError as error:
            raise reach.log_error(f"asking who leads {partition}", error) from error
    return cluster.leader_for_partition(asked) != _NOBODY  # type: ignore[no-any-return]


async def _refreshed(consumer: Any, topic: str, limit_s: float = CALL_S) -> None:
    consumer._cluster.add_topic(topic)
    await consumer._manager.wait_for(consumer._cluster.request_update(), milliseconds(limit_s))


class Contact:
    """
    Notices that no server has been in reach for `CALL_S`.

    Fault: the library's polls bring nothing then, for ever, and say nothing.
    """

    def __init__(self, reach: Reach, consumer: Any) -> None:
        """Begin in reach."""
        self._reach = reach
        self._connections = consumer._manager._conns
        self._last_s = time.monotonic()

    def check(self, what: str) -> None:
        """Raise what is found at the servers, once for each `CALL_S` out of reach."""
        now = time.monotonic()
        if any(connection.connected for connection in list(self._connections.values())):
            self._last_s = now
        elif now - self._last_s > CALL_S:
            self._last_s = now
            self._reach.check(what)
