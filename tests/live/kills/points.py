"""Where an instance can be made to die: named points in what it asks of Kafka and of its sinks, wrapped around it by ordinary injection."""

from __future__ import annotations

import os
import signal
import time
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING, Any

from tests.live.kills import takeovers
from tests.live.kills.takeovers import Takeover

from spikebridge.delivery import Batch, Batching, Lingering, Waiting
from spikebridge.spikes.frame import marker_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from spikebridge.alerts import AlertEntry
    from spikebridge.delivery import Sink
    from spikebridge.kafka.client import Changes, Client, Fetched, Group, Outgoing, Partition, Place, Producer, Reader
    from spikebridge.logs.kafka import Names

RUNNING_POINTS = (
    "before_append",
    "after_append",
    "before_commit",
    "after_commit",
    "after_letters",
    "after_incidents",
    "after_sink_ack",
    "before_cursor",
)
"""Passed all the time: before and after alerts are appended, a position is asked to be committed, and is; and so on to the sink's cursor."""

STARTING_POINTS = ("join", "replay")
"""Passed by an instance that comes in: while it waits for its share of the partitions; with a batch of the look-back."""

MARKER = "marker"
"""Passed when a marker was appended and not read yet."""

POINTS = (*RUNNING_POINTS, *STARTING_POINTS, MARKER)

DELIVER = ".deliver."
_LOOK_S = 0.01


class Fuse:
    """
    Kills this process with SIGKILL at a point: the one that the file `fuse` in its directory names, `after_append 3` for the third time.

    The file may come at any time. `fired` is written before the end.
    """

    def __init__(self, directory: Path) -> None:
        """Look for the file now and then."""
        self._directory = directory
        self._name, self._left = "", 0
        self._lock = Lock()
        self._look()
        Thread(target=self._watch, name="fuse", daemon=True).start()

    def passed(self, name: str) -> None:
        """Die, if it is time."""
        with self._lock:
            if name != self._name:
                return
            self._left -= 1
            if not self._left:
                (self._directory / "fired").write_text(name)
                os.kill(os.getpid(), signal.SIGKILL)

    def _watch(self) -> None:
        while True:
            time.sleep(_LOOK_S)
            self._look()

    def _look(self) -> None:
        path = self._directory / "fuse"
        try:
            name, times = path.read_text().split()
        except (FileNotFoundError, ValueError):
            return
        path.unlink()
        with self._lock:
            self._name, self._left = name, int(times)


class FusedClient:
    """A Kafka client whose group, reader and producer pass the points; `names` tell the groups and topics apart."""

    def __init__(self, client: Client, names: Names, fuse: Fuse, directory: Path) -> None:
        """Wrap a client; `replayed` is where each partition stood when it was taken over, sinks' takeovers are noted in the directory."""
        self._client = client
        self.directory = directory
        self.names = names
        self.fuse = fuse
        self.replayed: dict[Partition, int] = {}

    def group(self, name: str, topics: Sequence[str], pattern: str = "") -> FusedGroup:
        """Join."""
        return FusedGroup(self._client.group(name, topics, pattern), name.removeprefix(self.names.group), self)

    def reader(self) -> FusedReader:
        """Read."""
        return FusedReader(self._client.reader(), self)

    def producer(self) -> FusedProducer:
        """Append."""
        return FusedProducer(self._client.producer(), self)

    def __getattr__(self, name: str) -> Any:
        """Hand the rest through."""
        return getattr(self._client, name)


class FusedGroup:
    """A membership; `stage` is "" for the spikes stage, `.deliver.NAME` for a sink."""

    def __init__(self, group: Group, stage: str, client: FusedClient) -> None:
        """Wrap it."""
        self._group = group
        self._stage = stage
        self._client = client
        self._given: set[Partition] = set()
        self._unasked: set[Partition] = set()

    def poll(self) -> Changes:
        """Pass `join` as long as nothing was given."""
        if not self._stage and not self._given:
            self._client.fuse.passed("join")
        changes = self._group.poll()
        self._given |= changes.given
        self._unasked |= changes.given
        return changes

    def committed(self, partition: Partition) -> Place | None:
        """Note where a takeover begins: what is asked later by the same owner is none."""
        at_s = time.monotonic()
        place = self._group.committed(partition)
        if self._stage.startswith(DELIVER) and partition in self._unasked:
            self._unasked.discard(partition)
            takeover = Takeover(at_s, self._stage.removeprefix(DELIVER), partition.number, place.offset if place else 0)
            takeovers.note(self._client.directory, takeover)
        elif place is not None and not self._stage:
            self._client.replayed[partition] = place.offset
        return place

    def commit(self, places: Mapping[Partition, Place], done: Callable[[str], None]) -> None:
        """Pass `before_commit` and `after_commit`, or `before_cursor`."""

        def answered(error: str) -> None:
            if not error:
                self._client.fuse.passed("after_commit")
            done(error)

        if not self._stage:
            self._client.fuse.passed("before_commit")
        elif self._stage.startswith(DELIVER):
            self._client.fuse.passed("before_cursor")
        self._group.commit(places, done if self._stage else answered)

    def __getattr__(self, name: str) -> Any:
        """Hand the rest through."""
        return getattr(self._group, name)


class FusedReader:
    """A reader that passes `replay` with records that lie before where the spikes stage took over."""

    def __init__(self, reader: Reader, client: FusedClient) -> None:
        """Wrap it."""
        self._reader = reader
        self._client = client

    def poll(self, wait_s: float) -> Fetched:
        """Read on."""
        fetched = self._reader.poll(wait_s)
        for partition, records in fetched.records.items():
            if records[0].offset < self._client.replayed.get(partition, 0):
                self._client.fuse.passed("replay")
        return fetched

    def __getattr__(self, name: str) -> Any:
        """Hand the rest through."""
        return getattr(self._reader, name)


class FusedProducer:
    """A producer that tells by topic and partition what is appended."""

    def __init__(self, producer: Producer, client: FusedClient) -> None:
        """Wrap it."""
        self._producer = producer
        self._client = client

    def append(self, messages: Sequence[Outgoing]) -> list[int]:
        """Pass a point before alerts, and one after anything."""
        first, names, fuse = messages[0], self._client.names, self._client.fuse
        alerts = first.topic == names.alerts and first.partition is None
        if alerts:
            fuse.passed("before_append")
        offsets = self._producer.append(messages)
        if alerts:
            fuse.passed("after_append")
        elif first.topic == names.alerts:
            fuse.passed("after_incidents")
        elif first.topic == names.dead_letters:
            fuse.passed("after_letters")
        elif any(marker_of(message.value) is not None for message in messages):
            fuse.passed(MARKER)
        return offsets

    def __getattr__(self, name: str) -> Any:
        """Hand the rest through."""
        return getattr(self._producer, name)


class FusedSink:
    """A sink that takes `delay_s` for each batch, so that something is under way at any time, and passes `after_sink_ack`."""

    def __init__(self, sink: Sink, fuse: Fuse, delay_s: float) -> None:
        """Wrap it."""
        self._sink = sink
        self._fuse = fuse
        self._delay_s = delay_s
        self.wait: Callable[[float], bool] = Event().wait
        self.linger: Callable[[float], bool] = Event().wait

    @property
    def batch(self) -> Batch:
        """Take as much at once as the sink does."""
        return self._sink.batch if isinstance(self._sink, Batching) else Batch()

    def write(self, findings: Sequence[AlertEntry]) -> int:
        """Wait, deliver."""
        time.sleep(self._delay_s)
        known = self._sink.write(findings)
        self._fuse.passed("after_sink_ack")
        return known

    def open(self) -> None:
        """Hand through, with the host's ways to wait."""
        if isinstance(self._sink, Waiting):
            self._sink.wait = self.wait
        if isinstance(self._sink, Lingering):
            self._sink.linger = self.linger
        self._sink.open()

    def close(self) -> None:
        """Hand through."""
        self._sink.close()
