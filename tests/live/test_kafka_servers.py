"""The Kafka brokers of the live tests let in whom they should, refuse the rest, and can be killed, frozen, stopped and started again."""

from __future__ import annotations

import time
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import KafkaError, KafkaTimeoutError, TopicAuthorizationFailedError
from tests.live.servers.kafka import MECHANISMS, Cluster, UnsignedTokens
from tests.live.servers.tls import CLIENT_NAME, Authority

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.live

WAYS_IN = [
    ("PLAINTEXT", ""),
    *((listener, name) for listener in ("SASL_PLAINTEXT", "SASL_SSL") for name in MECHANISMS),
    ("SSL", ""),
]
LOG_APPEND_TIME = 1
WAIT_S = 30


@contextmanager
def producer(**settings: Any) -> Iterator[KafkaProducer]:
    """Lend an idempotent producer."""
    opened = KafkaProducer(acks="all", bootstrap_timeout_ms=WAIT_S * 1000, **settings)
    try:
        yield opened
    finally:
        opened.close(timeout=WAIT_S)


def send(settings: dict[str, Any], topic: str, *values: bytes, claimed_ms: int | None = None) -> None:
    """Return when every value is acknowledged by all replicas in sync; `claimed_ms` is the time that the sender gives them."""
    with producer(**settings) as opened:
        for sent in [opened.send(topic, value, timestamp_ms=claimed_ms) for value in values]:
            sent.get(WAIT_S)


def read(settings: dict[str, Any], topic: str, count: int, group: str | None = None) -> list[Any]:
    """Return that many records from the topic's beginning; for a group, with its position committed behind them."""
    found: list[Any] = []
    consumer = KafkaConsumer(**settings, group_id=group, enable_auto_commit=False, consumer_timeout_ms=WAIT_S * 1000)
    try:
        consumer.assign([TopicPartition(topic, 0)])
        # Asked outright: a consumer without the right to read polls for ever and raises nothing.
        [beginning] = consumer.beginning_offsets([TopicPartition(topic, 0)]).values()
        consumer.seek(TopicPartition(topic, 0), beginning)
        for record in consumer:
            found.append(record)
            if len(found) == count:
                break
        if group is not None:
            consumer.commit(timeout_ms=WAIT_S * 1000)
    finally:
        consumer.close(timeout_ms=WAIT_S * 1000)
    return found


def values(settings: dict[str, Any], topic: str, count: int) -> list[bytes]:
    """Return what was sent."""
    return [record.value for record in read(settings, topic, count)]


def tried_until_told(cluster: Cluster, step: Callable[[], None], *expected: str) -> str:
    """Try until the first broker's log says all that is expected, for a minute at most; return what was written into it meanwhile."""
    log = cluster.brokers[0].server.log
    before, end, said = log.stat().st_size, time.monotonic() + 2 * WAIT_S, ""
    while not all(text in said for text in expected) and time.monotonic() < end:
        step()
        said = log.read_bytes()[before:].decode()
    return said


@pytest.mark.parametrize(("listener", "mechanism"), WAYS_IN)
def test_each_way_in_takes_records_and_gives_them_back(kafka: Cluster, unique: str, listener: str, mechanism: str) -> None:
    """Ten of them: four listeners, two of which know four mechanisms."""
    kafka.create_topic(unique)
    settings = kafka.client(listener, mechanism)
    send(settings, unique, b"one", b"two")
    assert values(settings, unique, 2) == [b"one", b"two"]


WRONG: dict[str, tuple[str, dict[str, Any], str]] = {
    "SCRAM-SHA-256": (
        "SASL_PLAINTEXT",
        {"sasl_plain_password": "wrong"},
        "invalid credentials with SASL mechanism SCRAM-SHA-256",
    ),
    "SCRAM-SHA-512": ("SASL_SSL", {"sasl_plain_password": "wrong"}, "invalid credentials with SASL mechanism SCRAM-SHA-512"),
    "PLAIN": ("SASL_PLAINTEXT", {"sasl_plain_password": "wrong"}, "Invalid username or password"),
    "OAUTHBEARER": (
        "SASL_PLAINTEXT",
        {"sasl_oauth_token_provider": UnsignedTokens("alice", valid_s=-60)},
        '{"status":"invalid_token"}',
    ),
}


def refused(settings: dict[str, Any]) -> None:
    """Expect that nobody gets in; kafka-python says no more than that."""
    with pytest.raises(KafkaTimeoutError, match="Unable to bootstrap"):
        KafkaProducer(**settings, bootstrap_timeout_ms=1_500)


@pytest.mark.parametrize("mechanism", WRONG)
def test_wrong_credentials_are_refused_and_the_broker_says_why(kafka: Cluster, mechanism: str) -> None:
    """
    The client learns little: its log holds `SaslAuthenticationFailedError` for some attempts and `socket disconnected` for others.

    Which of both is a race between the broker's answer and the end of the connection.
    """
    listener, wrong, reason = WRONG[mechanism]
    expected = ("Failed authentication with /127.0.0.1", reason)
    said = tried_until_told(kafka, lambda: refused({**kafka.client(listener, mechanism), **wrong}), *expected)
    for text in expected:
        assert text in said


def test_certificates_of_a_stranger_are_refused_on_both_sides(
    kafka: Cluster, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The client refuses a server that its CA didn't sign; the server wants a certificate, and one of its own CA's."""
    stranger = Authority(tmp_path / "stranger")
    right = kafka.client("SSL")
    cases: dict[str, dict[str, Any]] = {
        "CERTIFICATE_VERIFY_FAILED": {"ssl_cafile": str(stranger.ca)},
        "ALERT_BAD_CERTIFICATE": {"ssl_certfile": None, "ssl_keyfile": None},
        "ALERT_CERTIFICATE_UNKNOWN": {"ssl_certfile": str(stranger.client_cert), "ssl_keyfile": str(stranger.client_key)},
    }
    for seen, wrong in cases.items():
        caplog.clear()
        step = partial(refused, {**right, **wrong})
        assert "(SSL handshake failed)" in tried_until_told(kafka, step, "(SSL handshake failed)")
        assert seen in caplog.text


@pytest.mark.parametrize("listener", ["SASL_PLAINTEXT", "SSL"])
def test_who_speaks_plainly_to_a_guarded_port_is_refused(kafka: Cluster, listener: str) -> None:
    """Also on the port that only wants a password."""
    refused({"bootstrap_servers": kafka.bootstrap(listener)})


def test_a_user_may_do_what_a_rule_grants_and_no_more(kafka: Cluster, unique: str) -> None:
    """Bob may read, not write; alice, whom no rule names, may neither, and who comes by certificate is named after it."""
    kafka.create_topic(unique)
    send(kafka.client(), unique, b"one")
    kafka.allow("bob", "READ DESCRIBE", "TOPIC", unique)
    kafka.allow(CLIENT_NAME, "READ DESCRIBE", "TOPIC", unique)
    bob = kafka.client("SASL_PLAINTEXT", user="bob")
    assert values(bob, unique, 1) == [b"one"]
    assert values(kafka.client("SSL"), unique, 1) == [b"one"]
    assert values(kafka.client("SASL_SSL", "OAUTHBEARER", user="bob"), unique, 1) == [b"one"]
    with pytest.raises(TopicAuthorizationFailedError):
        send(bob, unique, b"two")
    with pytest.raises(TopicAuthorizationFailedError):
        values(kafka.client("SASL_PLAINTEXT", user="alice"), unique, 1)


def test_a_restricted_cluster_refuses_what_no_rule_mentions(tmp_path: Path, unique: str) -> None:
    """Groups too: what a process needs can be found out exactly."""
    with Cluster(tmp_path / "kafka", restricted=True) as cluster:
        cluster.create_topic(unique)
        send(cluster.client(), unique, b"one")
        bob = cluster.client("SASL_PLAINTEXT", user="bob")
        with pytest.raises(TopicAuthorizationFailedError):
            values(bob, unique, 1)
        cluster.allow("bob", "READ", "TOPIC", unique)
        assert values(bob, unique, 1) == [b"one"]
        with pytest.raises(KafkaError, match="GroupAuthorizationFailed"):
            read(bob, unique, 1, group="ours")
        cluster.allow("bob", "READ", "GROUP", "ours")
        assert len(read(bob, unique, 1, group="ours")) == 1


def test_a_topic_may_take_the_time_of_the_broker(kafka: Cluster, unique: str) -> None:
    """The times that a sender claims are replaced there, and only there."""
    kafka.create_topic(unique, message_timestamp_type="LogAppendTime")
    kafka.create_topic(f"{unique}-plain")
    # Not older: where the broker believes the sender, retention counts from this time.
    claimed_ms = (int(time.time()) - 3_600) * 1_000
    for topic in (unique, f"{unique}-plain"):
        send(kafka.client(), topic, b"one", claimed_ms=claimed_ms)
    record, plain = (read(kafka.client(), topic, 1)[0] for topic in (unique, f"{unique}-plain"))
    assert record.timestamp_type == LOG_APPEND_TIME
    assert record.timestamp > claimed_ms + 3_000_000
    assert plain.timestamp == claimed_ms


def test_a_killed_leader_is_replaced_and_comes_back(kafka3: Cluster, unique: str) -> None:
    """Nothing that was acknowledged is lost; kill -9 leaves a log that the broker repairs by itself."""
    kafka3.create_topic(unique)
    send(kafka3.client(), unique, b"one")
    killed = kafka3.leader(unique)
    killed.kill()
    assert not killed.alive
    assert kafka3.leader(unique) is not killed
    send(kafka3.client(), unique, b"two")
    killed.start()
    kafka3.await_in_sync()
    assert values(kafka3.client(), unique, 2) == [b"one", b"two"]


def test_the_coordinator_of_a_group_is_found_and_frozen_and_thawed(kafka3: Cluster, unique: str) -> None:
    """A frozen broker keeps its connections and answers nobody; the group's positions are with another by then."""
    kafka3.create_topic(unique)
    send(kafka3.client(), unique, b"one")
    read(kafka3.client(), unique, 1, group=unique)
    frozen = kafka3.coordinator(unique)
    with kafka3.admin() as admin:
        assert admin.describe_groups([unique], group_coordinator_id=frozen.number)[unique]["error"] is None
    frozen.freeze()
    try:
        assert frozen.server.frozen
        assert kafka3.coordinator(unique) is not frozen
    finally:
        frozen.thaw()
    kafka3.await_in_sync()
    with kafka3.admin() as admin:
        assert admin.list_group_offsets({unique: None})[unique][TopicPartition(unique, 0)].offset == 1


def test_three_stop_cleanly_and_come_back_with_what_they_held(kafka3: Cluster, unique: str) -> None:
    """All at once, by SIGTERM alone: no process is left, and the topic is the same one."""
    kafka3.create_topic(unique, partitions=3)
    send(kafka3.client(), unique, b"one")
    with kafka3.admin() as admin:
        before = admin.describe_topics([unique])[0]["topic_id"]
    kafka3.stop()
    assert not any(broker.alive for broker in kafka3.brokers)
    kafka3.start()
    with kafka3.admin() as admin:
        assert admin.describe_topics([unique])[0]["topic_id"] == before
    kafka3.await_in_sync()
