"""
A topic of Apache Kafka that is yours: one finished document a record, for whatever reads topics.

The key is the finding's id. The headers are `content-type`, `kind` (`alert`, `incident`), `id` and `version`: an alert's is 1, an incident
is a new record with a higher one each time it grows.

::

    sinks:
      bus:
        type: kafka
        servers: [kafka-1:9093, kafka-2:9093]
        topic: security-alerts
        format: ecs
        tls: {ca: ca.pem}
        sasl: {mechanism: SCRAM-SHA-512, user: spikebridge, password: a-password} # better: ${env:KAFKA_PASSWORD}

The topic must be there: it is yours, so nothing here makes it or changes it.
`spikebridge doctor` appends one record to it whose header `kind` is `probe`: leave that out when you read.
"""

from __future__ import annotations

from contextlib import contextmanager
from threading import Event
from typing import TYPE_CHECKING

import msgspec
from pydantic import Field

from spikebridge import registry
from spikebridge.alerts import read_finding
from spikebridge.errors import LogDenied, LogError, LogTooLarge, SinkDenied, SinkRefused, SinkUnavailable
from spikebridge.formats import FormatName  # noqa: TC001 -- pydantic reads it
from spikebridge.kafka.client import MAX_RECORD_BYTES, Outgoing, Partition
from spikebridge.kafka.connection import Connection, Topic, connect
from spikebridge.kafka.probe_cluster import reach
from spikebridge.probe import Check

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from spikebridge.alerts import AlertEntry
    from spikebridge.kafka.client import Client, Producer

_Message = tuple[str, Outgoing]
"""A finding's id, and what is appended."""

_PROBE = b'{"kind":"probe","message":"spikebridge doctor was here"}'


class Settings(Connection):
    """Which topic of which cluster, and what the documents look like."""

    topic: Topic = Field(description="The topic; it is yours, and must be there.")
    format: FormatName = Field(
        "json", description="The shape of a document; `spikebridge list formats` names them. Default json."
    )


class KafkaSink:
    """
    Append documents to a topic, acknowledged when every replica that is in sync has them.

    At least once: what was acknowledged but not yet noted by our cursor when the process died is appended again, and so is a batch whose
    answer was lost. A repeat has the same id and version, in the headers, and the same bytes: whoever reads the topic drops it by them.
    A document that is larger than the topic takes, or than 1 MiB, is a dead letter, and its neighbours are appended once.
    """

    def __init__(self, settings: Settings, _data: Path, *, dial: Callable[[Settings], Client] = connect) -> None:
        """Open nothing yet; the host may set `wait`, which says between two appends whether to stop."""
        self.settings = settings
        self.wait: Callable[[float], bool] = Event().wait
        self._dial = dial
        self._format = registry.load("formats", settings.format)
        self._producer: Producer | None = None

    def open(self) -> None:
        """Ask whether the brokers answer, know us, and have the topic."""
        if self._producer is not None:
            return
        with self._told():
            client = self._dial(self.settings)
            reader = client.reader()
            try:
                known = reader.topic_id(self.settings.topic)
            finally:
                reader.close()
        if not known:
            raise SinkUnavailable(
                f"kafka {self.settings.where}: there is no topic {self.settings.topic}, or we may not see it; create it, or correct `topic`"
            )
        self._producer = client.producer()

    def write(self, findings: Sequence[AlertEntry]) -> int:
        """Append all of them in order; what can't be read, or is too large, is refused."""
        self.open()
        messages, refused = self._messages(findings)
        left = self._append(messages, refused)
        while left:
            if self.wait(0):  # also what keeps the host's membership while many are too large
                raise SinkUnavailable("stopped before all was sent", undelivered=_ids(left), refused=refused)
            left = self._append(left, refused)
        if refused:
            raise SinkRefused(refused)
        return 0

    def close(self) -> None:
        """Close the connections."""
        producer, self._producer = self._producer, None
        if producer is not None:
            producer.close()

    def _append(self, messages: list[_Message], refused: dict[str, str]) -> list[_Message]:
        """Append all, or as far as one is too large: that one is refused, and those that are not in the topic yet are returned."""
        if self._producer is None or not messages:
            return []
        try:
            with self._told():
                self._producer.append([message for _, message in messages])
        except LogTooLarge as error:
            refused[messages[error.at][0]] = str(error)
            return [one for number, one in enumerate(messages) if number != error.at and number not in error.appended]
        except SinkUnavailable as error:
            error.undelivered, error.refused = _ids(messages), refused
            raise
        return []

    def _messages(self, findings: Sequence[AlertEntry]) -> tuple[list[_Message], dict[str, str]]:
        messages: list[_Message] = []
        refused: dict[str, str] = {}
        for entry in findings:
            try:
                message = self._message(entry)
            except msgspec.MsgspecError as error:
                refused[entry.id] = f"no finding that this version can read: {error}"
                continue
            if message.size > MAX_RECORD_BYTES:
                refused[entry.id] = f"its document has {len(message.value):,} bytes, a record takes about 1 MiB"
            else:
                messages.append((entry.id, message))
        return messages, refused

    def _message(self, entry: AlertEntry) -> Outgoing:
        headers = (
            ("content-type", self._format.CONTENT_TYPE.encode()),
            ("kind", entry.kind.encode()),
            ("id", entry.id.encode()),
            ("version", str(entry.version).encode()),
        )
        return Outgoing(self.settings.topic, entry.id.encode(), self._format.encode(read_finding(entry.body)), headers=headers)

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Have a log's errors raised as a sink's."""
        try:
            yield
        except LogTooLarge:
            raise
        except LogDenied as error:
            raise SinkDenied(str(error)) from error
        except LogError as error:
            raise SinkUnavailable(str(error)) from error


def _ids(messages: Sequence[_Message]) -> frozenset[str]:
    return frozenset(finding for finding, _ in messages)


def probe(settings: Settings, _tenant: str) -> Iterator[Check]:
    """Try the way to the topic step by step, for `doctor`; the record that it appends stays, marked as a `probe` in its headers."""
    reached = yield from reach(settings)
    if reached is None:
        return
    client, admin = reached
    try:
        allowed = admin.allowed([settings.topic]).get(settings.topic)
        if allowed is None:
            detail = f"there is no {settings.topic}, or we may not see it"
            yield Check(
                "topic", False, detail, f"create it, or grant Write on it to {settings.sasl.user if settings.sasl else 'us'}"
            )
            return
        yield Check("topic", True, f"{settings.topic} is there")
        if "Write" not in allowed:
            yield Check("rights", False, f"lacking: Write on {settings.topic}", "grant it with kafka-acls.sh")
            return
        yield Check("rights", True, f"Write on {settings.topic}")
        yield from _write(client, settings.topic, may_read="Read" in allowed)
    except LogError as error:
        yield Check("request", False, str(error), "look at the brokers' own logs")
    finally:
        admin.close()


def _write(client: Client, topic: str, *, may_read: bool) -> Iterator[Check]:
    partition = Partition(topic, 0)
    headers = (("content-type", b"application/json"), ("kind", b"probe"), ("id", b"probe"))
    producer, reader = client.producer(), client.reader()
    try:
        (offset,) = producer.append([Outgoing(topic, b"probe", _PROBE, 0, headers)])
        yield Check("write", True, f"a record of kind `probe` was appended to {partition}, where it stays as offset {offset}")
        if not may_read:
            yield Check("read back", True, "not tried: the sink may write and not read, which is as it should be")
            return
        well = [record.value for record in reader.read(partition, [offset])] == [_PROBE]
        yield Check("read back", well, "it was found again" if well else f"{partition}: offset {offset} holds something else")
    finally:
        producer.close()
        reader.close()
