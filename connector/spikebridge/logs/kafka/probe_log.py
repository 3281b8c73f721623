"""What `doctor` asks of a Kafka log, from the names of the brokers to a record that is written and read back, and to whose spikes lie where."""

from __future__ import annotations

import time
from collections import Counter
from contextlib import closing
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from spikebridge.errors import LogDenied, LogError, LogUnavailable, SpikebridgeError
from spikebridge.kafka.client import Outgoing, Partition
from spikebridge.kafka.hashing import PARTITIONERS
from spikebridge.kafka.probe_cluster import reach
from spikebridge.limits import SECOND
from spikebridge.located import printable
from spikebridge.logs.kafka.checked import spike_topics
from spikebridge.logs.kafka.clock import SKEW_NS, ahead
from spikebridge.logs.kafka.revisions import newest_revision
from spikebridge.logs.kafka.rights import rights
from spikebridge.logs.kafka.topics import differences, least_shape, wanted, wanted_spikes
from spikebridge.probe import Check
from spikebridge.units import counted, format_duration

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping, Sequence

    from spikebridge.kafka.client import Admin, Client, Reader, TopicFacts
    from spikebridge.logs.kafka.settings import Names, Settings

NEWEST_RECORDS = 2_000
MOST_PARTITIONS = 500
MOST_BYTES = 256 << 20
LOOK_S = 20.0
_SHOWN = 5
_POLL_S = 0.5
_MS = 1_000_000
KEYS_PAGE = "the manual's page on Kafka producers has the setting of each"


def probe(settings: Settings, tenant: str, look_back_ns: int) -> Iterator[Check]:
    """
    Yield the checks, from the outside in.

    One record is written, to the topic of the dead letters: nothing reads that by itself. It stays until retention takes it.
    """
    reached = yield from reach(settings)
    if reached is None:
        return
    client, admin = reached
    names = settings.names(tenant)
    try:
        topics = yield from _topics(settings, names, admin, look_back_ns)
        yield from _rights(settings, names, admin)
        yield from _group(names, admin)
        if names.revisions in topics:
            yield from revision(client, names.revisions)
        if names.dead_letters in topics:
            yield from _write(client, settings, names.dead_letters)
        ours = (names.alerts, names.revisions, names.dead_letters)
        yield from _devices(client, settings, {name: facts for name, facts in topics.items() if name not in ours})
    except LogError as error:
        yield Check("request", False, str(error), "look at the brokers' own logs")
    finally:
        admin.close()


def _topics(settings: Settings, names: Names, admin: Admin, look_back_ns: int) -> Generator[Check, None, dict[str, TopicFacts]]:
    """Compare the topics, and return those that are there."""
    shape = least_shape(look_back_ns)
    spikes = spike_topics(settings, admin)
    asked = [*(wanted_spikes(name, shape) for name in spikes), *wanted([], names, shape)]
    try:
        found = admin.describe([one.topic.name for one in asked])
    except LogDenied as error:
        yield Check("topics", False, str(error), "the rights that are lacking follow")
        return {}
    told = differences(asked, found, look_back_ns=look_back_ns, servers=settings.where)
    for difference in told:
        yield Check("topic", difference.level == "warning", f"{difference.topic}: {difference.told}", difference.mend)
    if not spikes:
        yield Check("topic", True, f"no topic matches {settings.pattern}", "correct `pattern`, or wait for the first one")
    if not told:
        shapes = ", ".join(f"{name} ({facts.partitions} x {facts.replicas})" for name, facts in found.items())
        yield Check("topics", True, f"as they must be: {shapes}")
    return found


def _rights(settings: Settings, names: Names, admin: Admin) -> Iterator[Check]:
    """Compare what we may do with what `run` needs; a pattern's topics are known only as far as we may see them."""
    needed = [
        right for right in rights(settings, names) if right.process == "run" and right.kind == "topic" and not right.prefixed
    ]
    needed = [right for right in needed if right.name != "*"]
    allowed = admin.allowed([right.name for right in needed])
    lacking = [
        f"{operation} on {right.name}"
        for right in needed
        if right.name in allowed
        for operation in right.operations
        if operation not in allowed[right.name]
    ]
    if lacking:
        advice = "grant them as `spikebridge setup kafka --dry-run` prints it"
        yield Check("rights", False, f"lacking: {', '.join(lacking)}", advice)
    elif allowed:
        yield Check("rights", True, f"all that `run` needs on {', '.join(allowed)}")


def _group(names: Names, admin: Admin) -> Iterator[Check]:
    """Ask for the group of the spikes stage: who may join it may ask."""
    try:
        members, positions = admin.members(names.group), admin.committed(names.group)
    except LogDenied as error:
        yield Check("group", False, str(error), "grant Describe on the group as `spikebridge setup kafka --dry-run` prints it")
        return
    except LogUnavailable as error:
        yield Check(
            "group", True, str(error), "a new cluster makes what coordinates groups when it is first asked: run doctor again"
        )
        return
    yield Check("group", True, f"{names.group}: {len(members)} members, positions in {len(positions)} partitions")


def revision(client: Client, topic: str) -> Iterator[Check]:
    """Read the newest revision as `run` does: without one it waits."""
    with closing(client.reader()) as reader:
        try:
            found = newest_revision(topic, reader)
        except SpikebridgeError as error:
            yield Check("revision", False, f"topic {topic}: {error}", "publish it again, or upgrade: spikebridge publish")
            return
    if found is None:
        yield Check("revision", False, f"topic {topic}: none was published: `run` waits for one", "spikebridge publish")
        return
    rules = found.rule_set
    numbers = {"rule": len(rules.rules), "incident rule": len(rules.incidents), "device": len(rules.devices)}
    told = ", ".join(counted(number, noun) for noun, number in numbers.items())
    yield Check("revision", True, f"{found.number} is the newest in {topic}: {told}")


def _write(client: Client, settings: Settings, topic: str) -> Iterator[Check]:
    """Write a record, compare its append time with our clock, and read it back."""
    partition = Partition(topic, 0)
    value = b"spikebridge doctor was here"
    producer, reader = client.producer(), client.reader()
    try:
        before_ns = time.time_ns()
        (offset,) = producer.append([Outgoing(topic, b"doctor", value, 0, (("reason", b"a test of spikebridge doctor"),))])
        after_ns = time.time_ns()
        yield Check("write", True, f"a record was appended to {partition}, where it stays as offset {offset}")
        found = reader.read(partition, [offset])
        if [record.value for record in found] != [value]:
            yield Check("read back", False, f"{partition}: offset {offset} holds something else", "who else writes there?")
            return
        yield Check("read back", True, "it was found again")
        yield skew(found[0].append_ns, before_ns, after_ns)
    except LogError as error:
        yield Check(
            "write", False, str(error), f"{settings.where}: whoever runs the service must write to {topic} and read from it"
        )
    finally:
        producer.close()
        reader.close()


def skew(append_ns: int, before_ns: int, after_ns: int) -> Check:
    """Compare a broker's clock with ours: the record was stamped between `before_ns` and `after_ns`, to the millisecond."""
    off_ns = ahead(append_ns, before_ns - _MS, after_ns)
    side = "ahead of" if off_ns > 0 else "behind"
    if abs(off_ns) <= SKEW_NS:
        told = f"is {format_duration(abs(off_ns) // _MS * _MS)} {side} ours" if abs(off_ns) >= _MS else "agrees with ours"
        return Check("clock", True, f"the broker's {told}")
    detail = f"the broker's is {format_duration(abs(off_ns) // SECOND * SECOND)} {side} ours: times of devices will look wrong"
    return Check("clock", True, detail, "let NTP set both: the broker's clock, this machine's and the devices' must agree")


def _devices(client: Client, settings: Settings, topics: Mapping[str, TopicFacts]) -> Iterator[Check]:
    """Read the newest records, and say which device lies in several partitions."""
    if not settings.keys:
        yield Check("devices", True, "not looked at: `keys` is false, so a record's key is no device")
        return
    every = (Partition(name, number) for name, facts in topics.items() for number in range(facts.partitions))
    partitions = list(islice(every, MOST_PARTITIONS))
    reader = client.reader()
    try:
        keys = _newest_keys(reader, partitions)
    finally:
        reader.close()
    if not keys:
        yield Check("devices", True, "no spikes yet: which device lies where is not known")
        return
    looked = f"the newest {sum(keys[partition].total() for partition in keys):,} records of {len(keys)} partitions"
    found = scattered(keys)
    if not found:
        yield Check("devices", True, f"{looked}: each device in one partition")
        return
    for key, places in islice(found.items(), _SHOWN):
        yield Check("devices", True, f"{_named(key)} is in {_told(key, places, topics)}", _advice(key, places, topics))
    if len(found) > _SHOWN:
        detail = f"{looked}: {len(found) - _SHOWN:,} more devices lie in several partitions, and so have several windows"
        yield Check("devices", True, detail, KEYS_PAGE)


def _newest_keys(reader: Reader, partitions: Sequence[Partition]) -> dict[Partition, Counter[bytes]]:
    """Count the keys of the newest records, within bounds of records, bytes and time; ticks and markers have none."""
    ends: dict[Partition, int] = {}
    for partition in partitions:
        first, end = reader.bounds(partition)
        if first < end:
            ends[partition] = end
            reader.follow(partition, max(first, end - NEWEST_RECORDS))
    keys: dict[Partition, Counter[bytes]] = {partition: Counter() for partition in ends}
    left_bytes, until = MOST_BYTES, time.monotonic() + LOOK_S
    while ends and left_bytes > 0 and time.monotonic() < until:
        fetched = reader.poll(_POLL_S)
        for partition, records in fetched.records.items():
            keys[partition].update(record.key for record in records if record.key)
            left_bytes -= sum(len(record.value) for record in records)
            if partition in ends and records[-1].offset + 1 >= ends[partition]:
                reader.leave(partition)
                del ends[partition]
        for partition in fetched.missing:
            ends.pop(partition, None)
    return keys


def scattered(keys: Mapping[Partition, Counter[bytes]]) -> dict[bytes, dict[Partition, int]]:
    """Return the keys that were seen in more than one partition, with how often in each; the busiest first."""
    places: dict[bytes, dict[Partition, int]] = {}
    for partition, counts in keys.items():
        for key, count in counts.items():
            places.setdefault(key, {})[partition] = count
    found = [(key, where) for key, where in places.items() if len(where) > 1]
    return dict(sorted(found, key=lambda one: (-sum(one[1].values()), one[0])))


class _Sign(NamedTuple):
    """A partition in which a key was seen, and the way of hashing that leads there, "" if none that we know does."""

    partition: Partition
    by: str


def _signs(key: bytes, places: Mapping[Partition, int], topics: Mapping[str, TopicFacts]) -> list[_Sign]:
    return [
        _Sign(
            partition,
            next(
                (
                    name
                    for name, choose in PARTITIONERS.items()
                    if choose(key, topics[partition.topic].partitions) == partition.number
                ),
                "",
            ),
        )
        for partition in places
    ]


def _told(key: bytes, places: Mapping[Partition, int], topics: Mapping[str, TopicFacts]) -> str:
    signs = [f"{sign.partition} ({sign.by or 'by no hash that we know'})" for sign in _signs(key, places, topics)[:_SHOWN]]
    more = f" and {len(places) - _SHOWN} more" if len(places) > _SHOWN else ""
    return f"{', '.join(signs)}{more}: it has windows and alerts in each"


def _advice(key: bytes, places: Mapping[Partition, int], topics: Mapping[str, TopicFacts]) -> str:
    if len({partition.topic for partition in places}) > 1:
        return "send each device to one topic only"
    ways = {sign.by for sign in _signs(key, places, topics)}
    if ways == {"murmur2", "crc32"}:
        return "a producer on librdkafka needs `partitioner=murmur2_random`; " + KEYS_PAGE
    return "all producers must choose the partition by murmur2 of the device's id; " + KEYS_PAGE


def _named(key: bytes) -> str:
    return printable(key[:128].decode(errors="backslashreplace"))
