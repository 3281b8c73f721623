"""
What we ask of a Kafka client: `kafka_python` and `confluent` give it, and nothing above knows which one it is.

No transactions and no automatic commits. A group only tells who owns which partitions and keeps positions; records are read by a reader
that belongs to no group, so that rewinds, reads by offset and rebalances never touch each other. Every call has a time limit.
Errors are `LogUnavailable` (try again), `LogDenied` (credentials or rights), `LogRefused` (not as it is asked: whoever asks waits until somebody
has changed something), its `LogTooLarge` (this record never: only that one may become a dead letter), `LogMissing`,
and for a group `LogBusy` (another instance uses our name); each says which servers and which topic, and what the client's own log said of the cause.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol, Self

from spikebridge.errors import LogDenied, LogUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from spikebridge.spikes.record import Record

CALL_S = 10.0
"""How long a call may take before it is `LogUnavailable`; looking into the cause may take as long again."""

MAX_METADATA_BYTES = 4_095
"""More metadata than this, and its end, no broker keeps with a position, unless it was configured to."""

MAX_RECORD_BYTES = (1 << 20) + (4 << 10)
"""The largest record that is sent, `Outgoing.size`: 1 MiB and its wrapping."""

MAX_READ_BYTES = 64 << 20
"""What `Reader.read` returns in one call, at most."""

_WRAPPING_BYTES = 128


class Partition(NamedTuple):
    """One partition of one topic, by name."""

    topic: str
    number: int

    def __str__(self) -> str:
        """Read as Kafka's own tools write it."""
        return f"{self.topic}-{self.number}"


class Changes(NamedTuple):
    """
    What happened to a group member's partitions since it was last asked.

    `lost`: others may own them already. `taken`: no longer ours; positions may still be committed, until the next poll.
    `given`: ours from now on; one that was lost or taken and came back since is here too: its state is to be made anew.
    """

    given: frozenset[Partition] = frozenset()
    taken: frozenset[Partition] = frozenset()
    lost: frozenset[Partition] = frozenset()


class Place(NamedTuple):
    """A committed position with its metadata."""

    offset: int
    metadata: str = ""

    @property
    def written(self) -> str:
        """Its metadata as a broker keeps them: with an end, for confluent-kafka writes one, and without it reads on into foreign memory."""
        return self.metadata and f"{self.metadata}\0"

    @classmethod
    def read(cls, offset: int, written: str | None) -> Self:
        """Return the place whose metadata a broker has kept."""
        return cls(offset, (written or "").partition("\0")[0])


class Fetched(NamedTuple):
    """
    What a poll brought: records by partition, each list in the order of offsets.

    `missing` are followed partitions whose position isn't in the log any more (or not yet): they rest until they are followed anew.
    """

    records: Mapping[Partition, list[Record]] = {}
    missing: frozenset[Partition] = frozenset()


class Outgoing(NamedTuple):
    """A record to append. Without a partition the key decides, by murmur2 as in Kafka's own client, whichever client appends."""

    topic: str
    key: bytes | None
    value: bytes
    partition: int | None = None
    headers: tuple[tuple[str, bytes], ...] = ()

    @property
    def size(self) -> int:
        """Bytes that it takes in a request, slightly overestimated."""
        headers = sum(len(name.encode()) + len(value) + 10 for name, value in self.headers)
        return len(self.value) + len(self.key or b"") + headers + _WRAPPING_BYTES


class TopicFacts(NamedTuple):
    """
    A topic as the cluster has it.

    `configs` holds the values in force, defaults of the broker included; `leaderless` are partitions without a leader.
    """

    id: str
    partitions: int
    replicas: int
    configs: Mapping[str, str]
    leaderless: frozenset[int] = frozenset()


class NewTopic(NamedTuple):
    """A topic to be created."""

    name: str
    partitions: int
    replicas: int
    configs: Mapping[str, str]


def operation(name: str) -> str:
    """Write the libraries' `DESCRIBE_CONFIGS` as Kafka's tools do: `DescribeConfigs`."""
    return "".join(word.title() for word in name.split("_"))


def without_leader(where: str, partition: Partition) -> LogUnavailable:
    """Say that the newest metadata name no leader."""
    return LogUnavailable(f"{where}: {partition} has no leader now: the brokers that hold it are away, or elect one")


def check_settings_readable(where: str, rights: Mapping[str, frozenset[str]]) -> None:
    """Refuse topics whose settings we may not read; one without any right is of a broker that doesn't tell."""
    lacking = sorted(topic for topic, operations in rights.items() if operations and "DescribeConfigs" not in operations)
    if lacking:
        advice = "grant it as `spikebridge setup kafka --dry-run` prints it"
        raise LogDenied(f"{where}: topic {', '.join(lacking)}: no right to read its settings: expected DescribeConfigs; {advice}")


class Group(Protocol):
    """
    A member of a consumer group that reads nothing: it joins, keeps its partitions alive, and keeps positions.

    `holds_taken`: what a poll said was taken is nobody else's before the next one.
    """

    holds_taken: bool

    def poll(self) -> Changes:
        """
        Keep the membership alive and say what changed; returns within a fraction of a second, also while others join.

        To be called at least every `MAX_POLL_S` seconds, else the group takes the partitions away.
        Raises `LogBusy` for good when another instance has joined under our static name: close it then, and join no more.
        """

    def committed(self, partition: Partition) -> Place | None:
        """Return what the group last committed, None if never."""

    def commit(self, places: Mapping[Partition, Place], done: Callable[[str], None]) -> None:
        """
        Begin to commit; `done` is called with "" or with what went wrong, from any thread, by a later `poll` or `close` at the latest.

        Positions may be set back: nothing is compared. More metadata than `MAX_METADATA_BYTES` is `LogRefused` at once.
        """

    def close(self) -> None:
        """Leave the group, unless the membership is static; twice does nothing, and nothing is raised."""


class Reader(Protocol):
    """
    Reads partitions from any offset, for no group.

    What is asked of a partition that nobody leads is `LogUnavailable` as soon as the metadata say so: its neighbours wait.
    """

    def follow(self, partition: Partition, offset: int) -> None:
        """Read on from here in the next polls."""

    def leave(self, partition: Partition) -> None:
        """Read this one no more; what was not followed is left already."""

    def pause(self, partition: Partition) -> None:
        """Bring no more of it until `resume`; what `poll` has not handed out is kept or read again."""

    def resume(self, partition: Partition) -> None:
        """Go on where it was paused."""

    def poll(self, wait_s: float) -> Fetched:
        """Return what has come, at once if there is something, after `wait_s` at the latest."""

    def read(self, partition: Partition, offsets: Sequence[int]) -> list[Record]:
        """
        Return single records in the order of offsets, those that are gone left out; what is followed isn't disturbed.

        More than `MAX_READ_BYTES` in one call is `LogRefused`.
        """

    def bounds(self, partition: Partition) -> tuple[int, int]:
        """Return (first offset kept, next offset to be written), asked of the broker now."""

    def offset_at(self, partition: Partition, append_ns: int) -> int:
        """Return the first offset whose append time is `append_ns` or later; the end if there is none. Kafka's times are milliseconds."""

    def known_end(self, partition: Partition) -> int:
        """Return the next offset to be written as the newest fetch had it, -1 before the first: no request is made."""

    def topic_id(self, topic: str) -> str:
        """Return the topic's id as the newest metadata have it, "" while it isn't there: a topic made anew under its name has another."""

    def close(self) -> None:
        """Let go; twice does nothing, and nothing is raised."""


class Producer(Protocol):
    """An idempotent producer, acks=all, one request in flight for each broker."""

    def append(self, messages: Sequence[Outgoing]) -> list[int]:
        """
        Append all, those of one partition in this order, and return their offsets: all of them are in the log then.

        After an error nothing is known of any of them, and the producer has been made anew: append all again, in the same order.
        A message that is too large for every topic is `LogTooLarge` before anything is sent; one that is too large for its own topic is once
        it was sent alone: the error names it, and those that are in the log already, which needn't be appended again. Any other refusal is a plain `LogRefused` and says nothing of the message.
        """

    def close(self) -> None:
        """Let go; twice does nothing, and nothing is raised."""


class Admin(Protocol):
    """What `setup`, `doctor` and `status` ask, and what every start asks once."""

    def cluster_id(self) -> str:
        """Return the cluster's id."""

    def brokers(self) -> int:
        """Return how many brokers are alive: no new partition has more copies."""

    def topics(self) -> list[str]:
        """Return the names of all topics that we may see, internal ones left out."""

    def describe(self, topics: Sequence[str]) -> dict[str, TopicFacts]:
        """Return the topics that are there; others are left out. Settings that we may not read are `LogDenied`."""

    def allowed(self, topics: Sequence[str]) -> dict[str, frozenset[str]]:
        """Return what we may do with the topics that are there and that we may see, in Kafka's words: `Read`, `DescribeConfigs`."""

    def create(self, topics: Sequence[NewTopic]) -> None:
        """Create topics; one that is there already is `LogRefused`."""

    def committed(self, group: str) -> dict[Partition, Place]:
        """Return all positions of a group."""

    def members(self, group: str) -> dict[str, frozenset[Partition]]:
        """Return who is in a group, by instance id (else member id), and what each owns."""

    def close(self) -> None:
        """Let go; twice does nothing, and nothing is raised."""


class Client(Protocol):
    """One cluster under one set of credentials. What it makes belongs to the thread that uses it."""

    def group(self, name: str, topics: Sequence[str], pattern: str = "") -> Group:
        """Join a group for these topics, or for all whose whole name matches the pattern."""

    def reader(self) -> Reader:
        """Make a reader."""

    def producer(self) -> Producer:
        """Make a producer."""

    def admin(self) -> Admin:
        """Make an admin."""
