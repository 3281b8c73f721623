"""What the group and the reader share: a consumer of the library, never one of ours."""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from confluent_kafka import KafkaException

from spikebridge.kafka.client import Place

if TYPE_CHECKING:
    from confluent_kafka import Consumer, TopicPartition

SETTINGS: dict[str, Any] = {
    "enable.auto.commit": False,
    "auto.offset.reset": "error",
    "isolation.level": "read_committed",
    "check.crcs": True,
    "allow.auto.create.topics": False,
}
"""A consumer that commits nothing by itself and never jumps to a position that we didn't name."""

_CLOSE_S = 2.0


def closed(consumer: Consumer) -> None:
    """
    Close a consumer, and a member of a group leaves it.

    Fault: it has no time limit; one that doesn't come to an end is left behind in a thread of its own.
    """

    def close() -> None:
        with suppress(KafkaException, RuntimeError):
            consumer.close()

    thread = threading.Thread(target=close, name="kafka-close", daemon=True)
    thread.start()
    thread.join(_CLOSE_S)


def place(found: TopicPartition) -> Place:
    """
    Return a committed position with its metadata.

    Fault: the library reads to the next zero byte; where somebody else wrote metadata without one, that is in foreign memory.
    """
    try:
        return Place.read(found.offset, found.metadata)
    except UnicodeDecodeError:
        return Place(found.offset, "\N{REPLACEMENT CHARACTER}")
