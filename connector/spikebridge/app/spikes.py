"""The spike log of a configuration, opened by a command that is no service: to be read up to its end of now, or to be appended to."""

from __future__ import annotations

import time
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, cast

from spikebridge.app.parts import open_spool
from spikebridge.errors import LogMissing, LogUnavailable
from spikebridge.kafka.client import Outgoing, Partition
from spikebridge.limits import Limits
from spikebridge.logs.kafka.checked import SETUP, spike_topics
from spikebridge.logs.kafka.intake import Intake
from spikebridge.logs.kafka.sealed import Home
from spikebridge.logs.kafka.settings import client_of
from spikebridge.logs.kafka.spikes import SpikePartition
from spikebridge.logs.spool import Spool
from spikebridge.spikes.frame import is_frame
from spikebridge.spikes.parts import read_record
from spikebridge.spikes.record import Record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from spikebridge.config import Config
    from spikebridge.kafka.client import Admin, Client, Producer, TopicFacts
    from spikebridge.logs import SpikeLog
    from spikebridge.logs.kafka import Settings

POLL_BYTES = 1 << 20
SLICE_S = 0.1
FETCH_S = 10.0
LOOKED_AT = 1_000
"""So many offsets at a log's end, from which nothing comes, are asked for one by one: that of a transaction's end holds no record."""


class Past(NamedTuple):
    """A spike log, or one partition of it, that is read once; `intake` is what brings its records, where they are not here already."""

    log: SpikeLog
    intake: Intake | None = None
    partition: Partition = Partition("", 0)

    def batches(self, first: int, end: int) -> Iterator[list[Record]]:
        """Yield the records from `first` on and before `end` that the log still holds."""
        position = max(first, self.log.bounds()[0])
        try:
            while position < end and (found := self._next(position, end)):
                position = found[-1].offset + 1
                if kept := [record for record in found if record.offset < end]:
                    yield kept
        finally:
            if self.intake:
                self.intake.leave(self.partition)

    def _next(self, position: int, end: int) -> list[Record]:
        """Return what lies from `position` on, and wait for what is on its way; [] when no record is left before `end`."""
        found = self.log.poll(position, POLL_BYTES)
        if self.intake is None:
            return found
        until = self.intake.monotonic() + FETCH_S
        while not found:
            self.intake.fill(SLICE_S)
            found = self.log.poll(position, POLL_BYTES)
            if not found and self.intake.monotonic() > until:
                if position + LOOKED_AT < end or self.log.read(range(position, end)):
                    raise LogUnavailable(f"{self.partition}: nothing came from record {position} on within {FETCH_S:.0f} s")
                return []
        return found


class Taker(NamedTuple):
    """A spike log that takes records: its id, as dead letters name it; `append` returns once all are acknowledged."""

    log: str
    append: Callable[[Sequence[bytes]], object]


@contextmanager
def open_past(config: Config, client: Callable[[Settings], Client] = client_of) -> Iterator[list[Past]]:
    """Open what the service reads: the spool, or each partition of the spike topics; no consumer group hears of it."""
    if config.source is None:
        with Spool(config.data, read_only=True) as spool:
            yield [Past(spool)]
        return
    settings = cast("Settings", config.source.settings)
    with ExitStack() as opened:
        made = client(settings)
        admin = opened.enter_context(closing(made.admin()))
        intake = Intake(opened.enter_context(closing(made.reader())))
        producer = opened.enter_context(closing(made.producer()))
        cluster, topics = admin.cluster_id(), _topics(settings, admin)

        def past(name: str, number: int) -> Past:
            facts, where = topics[name], Partition(name, number)
            stamped = facts.configs.get("message.timestamp.type") == "LogAppendTime"
            log = SpikePartition(
                *(Home(cluster, facts.id), where, intake, producer),
                clock=time.time_ns,
                switches="marker" if stamped and settings.append else "commit",
                keys=settings.keys,
            )
            return Past(log, intake, where)

        yield [past(name, number) for name, facts in topics.items() for number in range(facts.partitions)]


@contextmanager
def open_takers(config: Config, client: Callable[[Settings], Client] = client_of) -> Iterator[list[Taker]]:
    """Open what the service reads to append to it: the spool, which must be there, or each spike topic."""
    if config.source is None:
        with Spool(config.data, read_only=True):
            pass
        with open_spool(config) as spool:
            yield [Taker(spool.id, spool.append)]
        return
    settings = cast("Settings", config.source.settings)
    with ExitStack() as opened:
        made = client(settings)
        admin = opened.enter_context(closing(made.admin()))
        producer = opened.enter_context(closing(made.producer()))
        cluster, topics = admin.cluster_id(), _topics(settings, admin)
        yield [Taker(Home(cluster, facts.id).log, partial(append, producer, name)) for name, facts in topics.items()]


def append(producer: Producer, topic: str, values: Sequence[bytes]) -> None:
    """Append records to a spike topic, each under the key of its device."""
    try:
        producer.append([Outgoing(topic, device_key(value), value, headers=_content_type(value)) for value in values])
    except LogMissing as error:
        raise LogMissing(f"{error}; check its name, or {SETUP}") from None


def device_key(value: bytes) -> bytes | None:
    """Return the id of the first device in a record, as its key; what can't be read gets none, and becomes a dead letter."""
    parts = read_record(Record(0, 0, value), Limits().frame_ns).parts
    return parts[0].device_id.encode() if parts else None


def _content_type(value: bytes) -> tuple[tuple[str, bytes], ...]:
    return (("content-type", b"application/vnd.spikebridge.frame" if is_frame(value) else b"application/json"),)


def _topics(settings: Settings, admin: Admin) -> dict[str, TopicFacts]:
    """Return the spike topics; `LogMissing` where one is not there, for nothing that is said of the others would be said of it."""
    names = spike_topics(settings, admin)
    found = admin.describe(names)
    missing = [name for name in names if name not in found] or ([] if names else [f"like {settings.pattern}"])
    if missing:
        raise LogMissing(
            f"kafka {settings.where}: topic {', '.join(missing)}: expected to be there, found none; check its name, or {SETUP}"
        )
    return {name: found[name] for name in names}
