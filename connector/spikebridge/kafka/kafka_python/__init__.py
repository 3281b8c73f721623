"""
kafka-python: the default client, pure Python.

It keeps what `client.py` promises. The library's faults that touch us are answered in this package, each where a comment begins
with "Fault", so that a later release can shed the answer.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

with warnings.catch_warnings():
    # Fault: it reads its own files by a call that Python 3.11 and 3.12 deprecate.
    warnings.simplefilter("ignore", DeprecationWarning)
    from spikebridge.kafka.kafka_python.admin import KafkaPythonAdmin
    from spikebridge.kafka.kafka_python.group import KafkaPythonGroup
    from spikebridge.kafka.kafka_python.producer import KafkaPythonProducer
    from spikebridge.kafka.kafka_python.reach import Reach
    from spikebridge.kafka.kafka_python.reader import KafkaPythonReader

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spikebridge.kafka.connection import Connection, Membership


class KafkaPythonClient:
    """One cluster under one set of credentials, by kafka-python."""

    def __init__(self, connection: Connection, membership: Membership) -> None:
        """Connect nothing yet."""
        self._reach = Reach(connection)
        self._membership = membership

    def group(self, name: str, topics: Sequence[str], pattern: str = "") -> KafkaPythonGroup:
        """Join a group for these topics, or for all whose whole name matches the pattern."""
        return KafkaPythonGroup(self._reach, self._membership, name, topics, pattern)

    def reader(self) -> KafkaPythonReader:
        """Make a reader."""
        return KafkaPythonReader(self._reach)

    def producer(self) -> KafkaPythonProducer:
        """Make a producer."""
        return KafkaPythonProducer(self._reach)

    def admin(self) -> KafkaPythonAdmin:
        """Make an admin."""
        return KafkaPythonAdmin(self._reach)
