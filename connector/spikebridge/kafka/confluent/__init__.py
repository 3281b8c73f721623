"""
confluent-kafka: librdkafka, in C, for a fraction of the CPU.

It keeps what `client.py` promises. The library's faults that touch us are answered in this package, each where a comment begins
with "Fault", so that a later release can shed the answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from spikebridge.kafka.confluent.admin import ConfluentAdmin
from spikebridge.kafka.confluent.group import ConfluentGroup
from spikebridge.kafka.confluent.producer import ConfluentProducer
from spikebridge.kafka.confluent.reach import Reach
from spikebridge.kafka.confluent.reader import ConfluentReader

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spikebridge.kafka.connection import Connection, Membership


class ConfluentClient:
    """One cluster under one set of credentials, by confluent-kafka."""

    def __init__(self, connection: Connection, membership: Membership) -> None:
        """Connect nothing yet."""
        self._reach = Reach(connection)
        self._membership = membership

    def group(self, name: str, topics: Sequence[str], pattern: str = "") -> ConfluentGroup:
        """Join a group for these topics, or for all whose whole name matches the pattern."""
        return ConfluentGroup(self._reach, self._membership, name, topics, pattern)

    def reader(self) -> ConfluentReader:
        """Make a reader."""
        return ConfluentReader(self._reach)

    def producer(self) -> ConfluentProducer:
        """Make a producer."""
        return ConfluentProducer(self._reach)

    def admin(self) -> ConfluentAdmin:
        """Make an admin."""
        return ConfluentAdmin(self._reach)
