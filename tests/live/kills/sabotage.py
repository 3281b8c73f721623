"""Instances that break the promise on purpose: what looks for lost alerts must find these out."""

from __future__ import annotations

import time
from threading import Thread
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spikebridge.kafka.client import Client, Outgoing, Partition, Producer, Reader

SABOTAGES = ("late-alerts", "no-replay")
LATE_S = 0.7


class LateAlerts:
    """A client whose alerts are in the log only some time after it said so: the position is committed before them."""

    def __init__(self, client: Client, topic: str) -> None:
        """Wrap a client; `topic` is that of the alerts."""
        self._client = client
        self._topic = topic

    def producer(self) -> LateProducer:
        """Make one that lies."""
        return LateProducer(self._client, self._topic)

    def __getattr__(self, name: str) -> Any:
        """Hand the rest through."""
        return getattr(self._client, name)


class LateProducer:
    """Appends alerts in a thread of its own, with a producer of its own."""

    def __init__(self, client: Client, topic: str) -> None:
        """Make both producers."""
        self._producer = client.producer()
        self._client = client
        self._topic = topic
        self._waiting: list[tuple[float, Sequence[Outgoing]]] = []
        Thread(target=self._run, args=(client.producer(),), daemon=True).start()

    def append(self, messages: Sequence[Outgoing]) -> list[int]:
        """Say that it is done."""
        if messages[0].topic != self._topic:
            return self._producer.append(messages)
        self._waiting.append((time.monotonic() + LATE_S, messages))
        return [0] * len(messages)

    def close(self) -> None:
        """Let go."""
        self._producer.close()

    def _run(self, producer: Producer) -> None:
        while True:
            while self._waiting and self._waiting[0][0] <= time.monotonic():
                producer.append(self._waiting.pop(0)[1])
            time.sleep(0.01)


class NoReplay:
    """A client whose rewind ends where the last owner stood: whoever takes over knows nothing of the look-back."""

    def __init__(self, client: Client) -> None:
        """Wrap a client."""
        self._client = client

    def reader(self) -> Forgetful:
        """Make one that lies."""
        return Forgetful(self._client.reader())

    def __getattr__(self, name: str) -> Any:
        """Hand the rest through."""
        return getattr(self._client, name)


class Forgetful:
    """A reader for which everything was appended long ago."""

    def __init__(self, reader: Reader) -> None:
        """Wrap it."""
        self._reader = reader

    def offset_at(self, partition: Partition, _append_ns: int) -> int:
        """Return the end, whatever was asked."""
        return self._reader.bounds(partition)[1]

    def __getattr__(self, name: str) -> Any:
        """Hand the rest through."""
        return getattr(self._reader, name)


def sabotaged(client: Client, how: str, alerts: str) -> Any:
    """Return the client, broken in a named way, or as it is."""
    if how == "late-alerts":
        return LateAlerts(client, alerts)
    if how == "no-replay":
        return NoReplay(client)
    return client
