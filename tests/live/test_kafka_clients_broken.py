"""Both Kafka clients say what is wrong when a cluster can't be reached, refuses them or stands still; and lose nothing by it."""

from __future__ import annotations

import logging
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from confluent_kafka import KafkaError
from tests.live.kafka_makers import LIBRARIES, Maker, Member, appended, awaited, gather, messages, read, settle, values
from tests.live.servers.kafka import Cluster, unsigned_token
from tests.live.servers.missing import needed
from tests.live.servers.process import free_ports
from tests.live.servers.tls import Authority

from spikebridge.errors import LogDenied, LogError, LogUnavailable
from spikebridge.kafka.client import CALL_S, Partition
from spikebridge.kafka.confluent.reach import Heard
from spikebridge.kafka.connection import connect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from spikebridge.kafka.client import Reader
    from spikebridge.spikes.record import Record

pytestmark = pytest.mark.live

BOUNDED_S = 2 * CALL_S + 3
"""A call and the search for its cause."""


@pytest.fixture(params=LIBRARIES)
def maker(request: pytest.FixtureRequest, kafka: Cluster) -> Iterator[Maker]:
    """Each library in turn."""
    with Maker(kafka, request.param) as maker:
        yield maker


@pytest.fixture(scope="module")
def fragile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Start a broker for this module alone, to be frozen and stopped."""
    with needed(), Cluster(tmp_path_factory.mktemp("fragile")) as cluster:
        yield cluster


@pytest.fixture(params=LIBRARIES)
def breaker(request: pytest.FixtureRequest, fragile: Cluster) -> Iterator[Maker]:
    """Each library in turn, on the broker that may be broken."""
    with Maker(fragile, request.param) as maker:
        yield maker
    fragile.brokers[0].thaw()
    fragile.start()


WAYS_IN = [
    ("PLAINTEXT", ""),
    *((listener, name) for listener in ("SASL_PLAINTEXT", "SASL_SSL") for name in ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")),
    ("SSL", ""),
]


@pytest.mark.parametrize(("listener", "mechanism"), WAYS_IN)
def test_every_way_in_is_taken(maker: Maker, unique: str, listener: str, mechanism: str) -> None:
    """Each kind of client comes in by each listener."""
    maker.topic(unique)
    client = maker.client(listener, mechanism=mechanism)
    assert maker.producer(client).append(messages(unique, [b"one"])) == [0]
    assert maker.reader(client).bounds(Partition(unique, 0)) == (0, 1)
    assert unique in maker.admin(client).topics()
    member = Member(maker.group(unique, unique, client=client))
    settle(member, owned=1)


def test_a_token_is_read_anew_for_each_connection(maker: Maker, unique: str, tmp_path: Path) -> None:
    """Whoever renews it writes the file; one that has expired, is none or isn't there is refused, and never shown."""
    maker.topic(unique)
    file = tmp_path / "token"
    client = maker.client("SASL_PLAINTEXT", sasl={"mechanism": "OAUTHBEARER", "token_file": str(file)})
    for found in (None, "two words", unsigned_token("alice", valid_s=-60)):
        if found is not None:
            file.write_text(found, encoding="ascii")
        with pytest.raises(LogDenied) as told:
            client.admin()
        assert found is None or found not in str(told.value)
    file.write_text(unsigned_token("alice") + "\n", encoding="ascii")
    assert unique in maker.admin(client).topics()


WRONG_WAYS = (
    "wrong password, SCRAM",
    "wrong password, PLAIN",
    "unknown user",
    "wrong authority",
    "no certificate",
    "foreign certificate",
    "missing authority",
    "plaintext to TLS",
    "no login",
    "TLS to plaintext",
    "login where none is",
    "no such host",
    "closed port",
)


def wrong_ways(maker: Maker, stranger: Authority) -> dict[str, tuple[dict[str, Any], type[LogError], str]]:
    """Return how to come in wrongly, what that is and what is said of it."""
    closed = f"127.0.0.1:{free_ports(1)[0]}"
    theirs = {"certificate": str(stranger.client_cert), "key": str(stranger.client_key)}
    return {
        "wrong password, SCRAM": ({"listener": "SASL_PLAINTEXT", "sasl": {"password": "wr0ng-s3cret"}}, LogDenied, "alice"),
        "wrong password, PLAIN": (
            {"listener": "SASL_SSL", "mechanism": "PLAIN", "sasl": {"password": "wr0ng-s3cret"}},
            LogDenied,
            "alice",
        ),
        "unknown user": ({"listener": "SASL_SSL", "sasl": {"user": "nobody"}}, LogDenied, "nobody"),
        "wrong authority": ({"listener": "SSL", "tls": {"ca": str(stranger.ca)}}, LogDenied, "certificate"),
        "no certificate": ({"listener": "SSL", "tls": {"certificate": None, "key": None}}, LogDenied, "certificate"),
        "foreign certificate": ({"listener": "SSL", "tls": theirs}, LogDenied, "certificate"),
        "missing authority": ({"listener": "SSL", "tls": {"ca": "/none/ca.pem"}}, LogDenied, "/none/ca.pem"),
        "plaintext to TLS": ({"listener": "SSL", "tls": None}, LogError, "TLS|SSL"),
        "no login": ({"listener": "SASL_PLAINTEXT", "sasl": None}, LogError, "login|sasl"),
        "TLS to plaintext": ({"listener": "PLAINTEXT", "tls": {}}, LogError, "TLS|SSL"),
        "login where none is": (
            {"listener": "PLAINTEXT", "sasl": {"mechanism": "PLAIN", "user": "alice", "password": "wr0ng-s3cret"}},
            LogError,
            "PLAIN|login|SASL",
        ),
        "no such host": ({"servers": "no-such-host.invalid:9092"}, LogUnavailable, "no such host|resolve"),
        "closed port": ({"servers": closed}, LogUnavailable, f"{closed}.*refused"),
    }


@pytest.mark.parametrize("name", WRONG_WAYS)
def test_who_is_not_let_in_learns_why(maker: Maker, tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str) -> None:
    """Within the time of a call, with the server and the cause, without the password, and nothing is left running."""
    caplog.set_level(logging.DEBUG)
    changes, kind, cause = wrong_ways(maker, Authority(tmp_path / "stranger"))[name]
    connection = maker.connection(**changes)
    before = threading.active_count()
    begin = time.monotonic()
    with pytest.raises(kind) as told:
        connect(connection).producer().append(messages("topic", [b"one"]))
    with pytest.raises(kind):
        connect(connection).admin()
    assert time.monotonic() - begin < 2 * BOUNDED_S
    text = str(told.value)
    assert connection.where in text
    assert re.search(cause, text, re.IGNORECASE), text
    assert threading.active_count() <= before
    for secret in ("wr0ng-s3cret", maker.cluster.passwords["alice"]):
        assert secret not in text + caplog.text


@pytest.mark.parametrize("name", ["wrong password, SCRAM", "wrong password, PLAIN"])
def test_a_wrong_password_is_told_alike_at_every_try(maker: Maker, tmp_path: Path, name: str) -> None:
    """So it is logged once; twice where the first try lost the server's words."""
    client = connect(maker.connection(**wrong_ways(maker, Authority(tmp_path / "stranger"))[name][0]))
    told = []
    for _ in range(8):
        with pytest.raises(LogDenied) as denied:
            client.admin()
        told.append(re.sub(r"after \d+ms", "", str(denied.value)))
    changes = [one for before, one in pairwise(told) if one != before]
    assert len(changes) <= 1, told


def test_one_server_of_several_is_enough(maker: Maker, unique: str) -> None:
    """The others may be away."""
    maker.topic(unique)
    servers = [f"127.0.0.1:{port}" for port in free_ports(2)] + maker.cluster.bootstrap().split(",")
    client = maker.client(servers=servers)
    assert maker.producer(client).append(messages(unique, [b"one"])) == [0]
    assert maker.reader(client).bounds(Partition(unique, 0)) == (0, 1)


def test_who_lacks_a_right_is_told_which_topic_it_is_about(maker: Maker, unique: str) -> None:
    """Bob may use it, alice may not: appending, reading, asking and joining are denied, each in time."""
    maker.topic(unique)
    maker.cluster.allow("bob", "READ WRITE DESCRIBE", "TOPIC", unique)
    client = maker.client("SASL_PLAINTEXT")
    reader, producer, admin = maker.reader(client), maker.producer(client), maker.admin(client)
    member = Member(maker.group(unique, unique, client=client))
    calls: list[Callable[[], object]] = [
        lambda: producer.append(messages(unique, [b"one"])),
        lambda: reader.bounds(Partition(unique, 0)),
        lambda: admin.describe([unique]),
        lambda: awaited(lambda: member.poll().given),
    ]
    for call in calls:
        begin = time.monotonic()
        with pytest.raises(LogDenied, match=unique):
            call()
        assert time.monotonic() - begin < BOUNDED_S
    assert unique not in admin.topics()


def test_who_may_not_read_the_settings_of_topics_is_told_of_which_and_what_it_takes(maker: Maker, unique: str) -> None:
    """In the same words by both clients: no settings at all would pass for a topic that keeps everything for ever."""
    names = [f"{unique}-{number}" for number in range(3)]
    for name, operations in zip(names, ("READ", "READ DESCRIBE_CONFIGS", "WRITE"), strict=True):
        maker.topic(name)
        maker.cluster.allow("alice", operations, "TOPIC", name)
    admin = maker.admin(maker.client("SASL_PLAINTEXT"))

    def said() -> str:
        with pytest.raises(LogDenied) as told:
            admin.describe([*names, f"{unique}-none"])
        return str(told.value)

    # each rule comes into force a moment after it was given
    expected = f"topic {names[0]}, {names[2]}: no right to read its settings: expected DescribeConfigs; grant it as "
    awaited(lambda: expected in said())
    assert admin.describe([names[1]])[names[1]].configs["message.timestamp.type"] == "LogAppendTime"


def test_who_may_not_use_a_group_is_told_which(maker: Maker, unique: str) -> None:
    """Neither a member nor one who only asks."""
    maker.topic(unique)
    maker.cluster.allow("bob", "READ", "GROUP", unique)
    client = maker.client("SASL_PLAINTEXT")
    member = Member(maker.group(unique, unique, client=client))
    with pytest.raises(LogDenied, match=unique):
        awaited(lambda: member.poll().given)
    with pytest.raises(LogDenied, match=unique):
        maker.admin(client).committed(unique)
    with pytest.raises(LogDenied, match=unique):
        maker.admin(client).members(unique)


def test_while_the_broker_is_frozen_every_call_ends_in_time_and_nothing_is_sent_later(breaker: Maker, unique: str) -> None:
    """
    The producer gives up what it held, whole: had it sent the rest later, a later record could have come before an earlier one.

    What the frozen broker has already received may still be appended: repeats, never a gap.
    """
    breaker.topic(unique)
    broker, partition = breaker.cluster.brokers[0], Partition(unique, 0)
    producer, reader, admin = breaker.producer(), breaker.reader(), breaker.admin()
    producer.append(messages(unique, [b"before"]))
    assert reader.read(partition, [0])
    sent = [b"%04d" % number + b"." * 1_000 for number in range(1_000)]
    broker.freeze()
    calls = (
        lambda: producer.append(messages(unique, sent)),
        lambda: reader.bounds(partition),
        lambda: reader.read(partition, [0]),
        lambda: admin.describe([unique]),
    )
    with ThreadPoolExecutor(len(calls)) as pool:
        begin = time.monotonic()
        for done in [pool.submit(call) for call in calls]:
            with pytest.raises(LogUnavailable, match=broker.address()):
                done.result(BOUNDED_S)
        assert time.monotonic() - begin < BOUNDED_S
    broker.thaw()
    time.sleep(3)
    end = awaited(lambda: ends(reader, partition))
    time.sleep(2)
    assert awaited(lambda: ends(reader, partition)) == end, "somebody goes on sending"
    awaited(lambda: appended(producer, unique, sent))
    reader.follow(partition, 1)
    found = values(read(reader, reader.bounds(partition)[1] - 1)[partition])
    assert list(dict.fromkeys(found)) == sent


def test_a_reader_says_when_no_broker_is_in_reach_and_goes_on_when_one_is(breaker: Maker, unique: str) -> None:
    """The libraries' own polls bring nothing then, for ever; and appending fails with what was found."""
    breaker.topic(unique)
    partition, reader, producer = Partition(unique, 0), breaker.reader(), breaker.producer()
    producer.append(messages(unique, [b"one"]))
    reader.follow(partition, 0)
    read(reader, 1)
    breaker.cluster.stop()
    address = breaker.cluster.brokers[0].address()
    with pytest.raises(LogUnavailable, match=f"{address}.*refused"):
        awaited(lambda: reader.poll(0.2).records, 3 * CALL_S)
    with pytest.raises(LogUnavailable, match=f"{address}.*refused"):
        producer.append(messages(unique, [b"two"]))
    breaker.cluster.start()
    awaited(lambda: appended(producer, unique, [b"two"]))
    found: dict[Partition, list[Record]] = {}
    awaited(lambda: polled(found, reader))
    assert values(found[partition])[:1] == [b"two"]


def test_a_reader_says_so_too_where_librdkafka_does_not_say_that_the_last_one_went(
    fragile: Cluster, unique: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is an event of its own, which sometimes never comes: here it is passed over each time."""
    took = Heard.error
    monkeypatch.setattr(Heard, "error", lambda heard, error: error.code() == KafkaError._ALL_BROKERS_DOWN or took(heard, error))  # noqa: SLF001 -- its codes are named so
    with Maker(fragile, "confluent") as maker:
        maker.topic(unique)
        reader = maker.reader()
        reader.follow(Partition(unique, 0), 0)
        reader.poll(1)
        fragile.stop()
        with pytest.raises(LogUnavailable, match=f"{fragile.brokers[0].address()}.*refused"):
            awaited(lambda: reader.poll(0.2).records, 4 * CALL_S)
    fragile.start()


def ends(reader: Reader, partition: Partition) -> int | None:
    """Return the log's end, None while nobody answers."""
    try:
        return reader.bounds(partition)[1]
    except LogUnavailable:
        return None


def polled(found: dict[Partition, list[Record]], reader: Reader) -> bool:
    """Poll once, a broker away or not, and say whether anything was found."""
    with suppress(LogUnavailable):
        gather(found, reader, 0.2)
    return bool(found)
