"""One partition of a spike topic, and the alert topic as its owner sees it."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, NamedTuple

from spikebridge.errors import LogReplaced, LogTooLarge
from spikebridge.kafka.client import Outgoing, Partition, Place
from spikebridge.logs import Commit
from spikebridge.logs.kafka import sealed
from spikebridge.logs.kafka.clock import BrokerClock

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from spikebridge.alerts import AlertEntry
    from spikebridge.kafka.client import Producer, Reader
    from spikebridge.logs import Switches
    from spikebridge.logs.kafka.intake import Intake
    from spikebridge.logs.kafka.member import Member
    from spikebridge.logs.kafka.sealed import Home
    from spikebridge.spikes.record import Record

LOOK_EVERY_S = 1.0

_log = logging.getLogger(__name__)


class Ends:
    """
    Where a partition begins and ends, asked of the broker at most once a second; what the last fetch told is newer.

    `known` is what was found last, and `asked_at` when the broker was asked last for an answer that came, for any thread.
    """

    def __init__(self, reader: Reader, partition: Partition, monotonic: Callable[[], float] = time.monotonic) -> None:
        """Ask nothing yet."""
        self._reader = reader
        self._partition = partition
        self._monotonic = monotonic
        self.known = (0, 0)
        self.asked_at = self._told_at = float("-inf")

    def look(self) -> None:
        """Take in what the last fetch told: no request is made."""
        first, end = self.known
        self.known = first, max(end, self._reader.known_end(self._partition))

    def __call__(self, *, now: bool = False) -> tuple[int, int]:
        """Return (first offset kept, next offset to be written), asked of the broker if it must be `now`; an answer of now is taken as it is: the log may have lost its end."""
        asked_at = self._monotonic()
        if now or asked_at - self._told_at >= LOOK_EVERY_S:
            self.known = self._reader.bounds(self._partition)
            self.asked_at, self._told_at = asked_at, self._monotonic()
        else:
            self.look()
        return self.known


class SameTopic:
    """Sees when a topic is deleted and made again, looked at a few times a second: a reader that goes on would lose its first records."""

    def __init__(self, intake: Intake, partition: Partition, home: Home) -> None:
        """Remember the ids of now."""
        self._intake = intake
        self._partition = partition
        self._home = home

    def __call__(self, *, now: bool = False) -> None:
        """Raise `LogReplaced` when the topic has another id; `now`: than it had when the records came that were fetched last."""
        found = self._intake.topic_id(self._partition.topic, now=now)
        if found not in ("", self._home.topic):
            raise LogReplaced(
                f"{self._partition}: the topic was deleted and made again (its id was {self._home.topic}, and is {found})"
            )


class SpikePartition:
    """A partition of a spike topic as a log: its id is that of cluster and topic."""

    def __init__(  # noqa: PLR0913 -- where it is, what it reads and writes with, and three settings that are named
        self,
        home: Home,
        partition: Partition,
        intake: Intake,
        producer: Producer,
        *,
        clock: Callable[[], int],
        switches: Switches,
        keys: bool,
    ) -> None:
        """Fetch nothing before the first poll; `clock` is the wall's, `keys`: a record belongs to the device that its key names."""
        self.id = home.log
        self.partition = partition.number
        self.switches = switches
        self._where = partition
        self._intake = intake
        self._reader = intake.reader
        self._producer = producer
        self._keys = keys
        self.same = SameTopic(intake, partition, home)
        self._ends = Ends(intake.reader, partition, intake.monotonic)
        self._last_append_ns = 0
        self.clock = BrokerClock(f"log {home.log}, partition {partition.number}", clock)

    def append(self, values: Sequence[bytes]) -> int:
        """Append ticks and markers: they have no device, and so no key."""
        offsets = self._producer.append([Outgoing(self._where.topic, None, value, self._where.number) for value in values])
        return offsets[0] if offsets else self._reader.bounds(self._where)[1]

    def poll(self, position: int, max_bytes: int) -> list[Record]:
        """Return what has come; `LogReplaced` when the topic was deleted and made again."""
        self.same()
        records = self._intake.take(self._where, position, max_bytes)
        self._ends.look()
        if records:
            self._last_append_ns = records[-1].append_ns
            self.clock.stamped(records[0].append_ns)
        elif position >= self._ends.known[1]:
            self.clock.at_end()
        return self._keyed(records)

    def known_end(self) -> int:
        """Return the next offset to be written, from any thread: as the partition's own thread last had it."""
        return self._ends.known[1]

    def read(self, offsets: Sequence[int]) -> list[Record]:
        """Return single records by offset, in the order asked for."""
        found = {record.offset: record for record in self._reader.read(self._where, offsets)} if offsets else {}
        return self._keyed([found[offset] for offset in offsets if offset in found])

    def offset_at(self, append_ns: int) -> int:
        """Return the first offset appended at `append_ns` or later."""
        return self._reader.offset_at(self._where, append_ns)

    def bounds(self) -> tuple[int, int]:
        """Return (first offset kept, next offset to be written)."""
        return self._ends()

    def last_append_ns(self) -> int:
        """Return the append time of the newest record that was polled."""
        return self._last_append_ns

    def _keyed(self, records: list[Record]) -> list[Record]:
        """Have a missing key be no device's, or no key be looked at."""
        if self._keys:
            return [record if record.key is not None else record._replace(key=b"") for record in records]
        return [record._replace(key=None) for record in records]


class AlertTopic(NamedTuple):
    """Where alerts go, and for whom; `refused` keeps durably what is too large for the topic, and is told the reason."""

    name: str
    tenant: str
    producer: Producer
    refused: Callable[[AlertEntry, str], None]

    def append(self, entries: Sequence[AlertEntry], partition: int | None = None) -> None:
        """
        Append the entries, each beside those of its site unless a partition is given; all are in the log, or kept, on return.

        What is too large is kept, and those that are in the log already all the same aren't appended again. Whatever else brokers refuse is
        raised: it waits until a clock or a setting is mended.
        """
        left = [
            (entry, Outgoing(self.name, sealed.site_key(entry, self.tenant), sealed.seal(entry), partition)) for entry in entries
        ]
        while left:
            try:
                self.producer.append([message for _, message in left])
            except LogTooLarge as error:
                self.refused(left[error.at][0], str(error))
                left = [one for number, one in enumerate(left) if number != error.at and number not in error.appended]
            else:
                return


class SpikeCommits:
    """
    The alert log as the owner of one input partition sees it.

    Positions are kept by the group, with what a takeover needs to know in their metadata.
    """

    def __init__(
        self,
        home: Home,
        partition: Partition,
        member: Member,
        alerts: AlertTopic,
        same: SameTopic | None = None,
        begun: dict[Partition, Home] | None = None,
    ) -> None:
        """
        Ask nothing yet.

        `same` is asked before alerts are appended: what was read may be of a new topic already. `begun` says in which topic this process
        has begun each partition; it is noted here once that is committed, so that a first try that fails forgets nothing.
        """
        self._same = same
        self._home = home
        self._begun = {} if begun is None else begun
        self._partition = partition
        self._member = member
        self._alerts = alerts
        self._appended = (-1, -1, -1)

    def commit(self, entries: Sequence[AlertEntry], commit: Commit, *, certain: bool = False) -> None:
        """
        Append the entries; the position follows.

        What an earlier try has appended already is left out, so that a commit that fails afterwards doesn't repeat it.
        """
        number = self._home.input(self._partition.number, commit.life)
        fresh = [entry for entry in entries if (commit.life, *entry.source[1:]) > self._appended]
        if fresh:
            if self._same:
                self._same(now=True)
            self._alerts.append([entry._replace(source=(number, *entry.source[1:])) for entry in fresh])
            self._appended = (commit.life, fresh[-1].source[1], fresh[-1].source[2])
        self._member.keep(self._partition, Place(commit.position, sealed.pack_commit(commit, self._home)))
        if certain:
            self._member.settle(self._partition)
            self._begun[self._partition] = self._home

    def committed(self) -> Commit | None:
        """Return where the group stands; what it says of another topic, or in another tool's words, is a position without a past."""
        self._member.settle(self._partition)  # what an earlier try began with is certain before anything is built on it
        place = self._member.committed(self._partition)
        if place is None and self._begun.get(self._partition, self._home) != self._home:
            # With a topic its positions are deleted, and without one this would be a log that nobody has lost anything of.
            _log.error("%s: the topic was deleted and made again: reading the new one from its beginning", self._partition)
            return Commit(0, 0, ())
        if place is None:
            return None
        commit = sealed.read_commit(place, self._home)
        if commit.pairs:
            self._begun[self._partition] = self._home
        else:
            _log.error(
                "%s: the committed position %d is not ours or of another topic of this name: reading from the beginning of the log",
                *(self._partition, place.offset),
            )
        return commit

    def room(self, pairs: tuple[tuple[int, int], ...]) -> bool:
        """Say whether the metadata of a commit has room for one pair more."""
        return sealed.room(pairs, self._home)
