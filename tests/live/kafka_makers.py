"""What the tests of Kafka clients share: the same client by each library, closed at the end, and patience with limits."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Self, TypeVar

from spikebridge.errors import LogUnavailable
from spikebridge.kafka.client import Changes, NewTopic, Outgoing, Partition, Place
from spikebridge.kafka.connection import CLIENTS, Connection, Membership, connect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tests.live.servers.kafka import Cluster

    from spikebridge.kafka.client import Admin, Client, Group, Producer, Reader
    from spikebridge.spikes.record import Record

T = TypeVar("T")

LIBRARIES = tuple(CLIENTS)
PATIENCE_S = 30.0
QUICK_S = 10.0
"""A poll of a group is far shorter, however busy the machine is; one that waits for a join isn't, where another member holds that up."""


class Maker:
    """Makes clients of one library for one cluster, and closes what they made."""

    def __init__(self, cluster: Cluster, library: str) -> None:
        """Connect nothing yet."""
        self.cluster = cluster
        self.library = library
        self._made: list[Any] = []

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close everything, newest first; again, where a test has closed it already."""
        for made in reversed(self._made):
            made.close()

    def connection(self, listener: str = "PLAINTEXT", mechanism: str = "SCRAM-SHA-512", **changes: Any) -> Connection:
        """Return how alice comes in; `changes` are of the sections `tls` and `sasl`, or of the whole."""
        tls: dict[str, Any] = {"ca": str(self.cluster.tls.ca)}
        if listener == "SSL":
            tls |= {"certificate": str(self.cluster.tls.client_cert), "key": str(self.cluster.tls.client_key)}
        sasl = {"mechanism": mechanism, "user": "alice", "password": self.cluster.passwords["alice"]}
        found: dict[str, Any] = {"servers": self.cluster.bootstrap(listener).split(","), "client": self.library}
        if listener.endswith("SSL") or "tls" in changes:
            found["tls"] = tls
        if listener.startswith("SASL"):
            found["sasl"] = sasl
        for section, change in changes.items():
            found[section] = {**found.get(section, {}), **change} if isinstance(change, dict) else change
        return Connection.model_validate(found)

    def client(self, listener: str = "PLAINTEXT", **changes: Any) -> Client:
        """Return a client as `connection` says."""
        return connect(self.connection(listener, **changes))

    def group(
        self, name: str, *topics: str, instance: str = "", session: str = "10s", pattern: str = "", client: Client | None = None
    ) -> Group:
        """Join a group; the membership is what it is for `client`, if there is one."""
        membership = Membership.model_validate({"instance": instance, "session": session})
        return self._kept((client or connect(self.connection(), membership)).group(name, topics, pattern))

    def reader(self, client: Client | None = None) -> Reader:
        """Make a reader."""
        return self._kept((client or self.client()).reader())

    def producer(self, client: Client | None = None) -> Producer:
        """Make a producer."""
        return self._kept((client or self.client()).producer())

    def admin(self, client: Client | None = None) -> Admin:
        """Make an admin."""
        return self._kept((client or self.client()).admin())

    def topic(self, name: str, partitions: int = 1, **configs: str) -> None:
        """Create a topic with append times, by the library's own admin."""
        dotted = {key.replace("_", "."): value for key, value in configs.items()}
        configured = {"message.timestamp.type": "LogAppendTime", **dotted}
        self.admin().create([NewTopic(name, partitions, len(self.cluster.brokers), configured)])

    def _kept(self, made: T) -> T:
        self._made.append(made)
        return made


def messages(topic: str, values: Iterable[bytes], partition: int | None = 0, key: bytes | None = None) -> list[Outgoing]:
    """Return messages for one partition."""
    return [Outgoing(topic, key, value, partition) for value in values]


def awaited(ask: Callable[[], Any], deadline_s: float = PATIENCE_S) -> Any:
    """Ask until the answer is true, and return it."""
    end = time.monotonic() + deadline_s
    while not (answer := ask()):
        assert time.monotonic() < end, f"not within {deadline_s:g} s; the last answer was {answer!r}"
        time.sleep(0.02)
    return answer


def read(reader: Reader, count: int, deadline_s: float = PATIENCE_S) -> dict[Partition, list[Record]]:
    """Poll until so many records have come, and once more: none beyond them."""
    found: dict[Partition, list[Record]] = {}
    end = time.monotonic() + deadline_s
    while sum(map(len, found.values())) < count:
        assert time.monotonic() < end, f"not within {deadline_s:g} s; found {found}"
        gather(found, reader, 0.2)
    gather(found, reader, 0.2)
    assert sum(map(len, found.values())) == count
    return found


def gather(found: dict[Partition, list[Record]], reader: Reader, wait_s: float) -> None:
    """Poll once."""
    fetched = reader.poll(wait_s)
    assert not fetched.missing
    for partition, records in fetched.records.items():
        found.setdefault(partition, []).extend(records)


def values(records: Iterable[Record]) -> list[bytes]:
    """Return the records' values."""
    return [record.value for record in records]


class Member:
    """A group member with what it was told since the start, as a stage would keep it."""

    def __init__(self, group: Group) -> None:
        """Own nothing."""
        self.group = group
        self.owned: set[Partition] = set()
        self.changes: list[Changes] = []
        self.longest_s = 0.0

    def poll(self) -> Changes:
        """Poll once and keep the books; nothing is taken that wasn't given."""
        begin = time.monotonic()
        found = self.group.poll()
        self.longest_s = max(self.longest_s, time.monotonic() - begin)
        if any(found):
            self.changes.append(found)
        assert found.taken | found.lost <= self.owned
        self.owned -= found.taken | found.lost
        assert not found.given & self.owned, "given again without having been taken or lost"
        self.owned |= found.given
        return found

    def commit(self, places: dict[Partition, Place]) -> str:
        """Commit, and poll until the answer is there."""
        said: list[str] = []
        self.group.commit(places, said.append)
        awaited(lambda: (self.poll(), said)[1])
        assert len(said) == 1
        return said[0]


def settle(*members: Member, owned: int) -> None:
    """Poll all of them until together they own so many partitions, and each its share."""
    least = owned // len(members)

    def settled() -> bool:
        for member in members:
            member.poll()
        return sum(len(member.owned) for member in members) == owned and all(len(member.owned) >= least for member in members)

    awaited(settled)


def appended(producer: Producer, topic: str, sent: list[bytes]) -> bool:
    """Try once more."""
    try:
        producer.append(messages(topic, sent))
    except LogUnavailable:
        return False
    return True


def appended_after(pause_s: float, producer: Producer, topic: str) -> bool:
    """Try once, a little later."""
    time.sleep(pause_s)
    return appended(producer, topic, [b"one"])
