"""The Kafka sink on a real broker: what a record looks like, what is refused, and what an operator is told."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from kafka import KafkaConsumer
from tests.live.delivering import Host, an_alert, an_incident
from tests.live.kafka_places import everything

from spikebridge import registry
from spikebridge.config.load import settings_model
from spikebridge.errors import SinkDenied, SinkUnavailable
from spikebridge.kafka.connection import CLIENTS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.live.servers.kafka import Cluster

    from spikebridge.delivery import Sink

pytestmark = pytest.mark.live

_MEBIBYTE = 1 << 20


@pytest.fixture(params=sorted(CLIENTS))
def library(request: pytest.FixtureRequest) -> str:
    """Each client in turn."""
    return str(request.param)


@pytest.fixture
def topic(kafka: Cluster, unique: str) -> Iterator[str]:
    """Make a topic with three partitions."""
    kafka.create_topic(unique, partitions=3)
    yield unique
    kafka.delete_topic(unique)


def a_sink(cluster: Cluster, topic: str, **settings: Any) -> Sink:
    """Make a sink, closed; settings as the configuration has them."""
    given = {"servers": cluster.bootstrap().split(","), "topic": topic, **settings}
    sink: Sink = registry.load("sinks", "kafka")(settings_model("sinks", "kafka").model_validate(given), Path())
    return sink


def as_alice(cluster: Cluster, **sasl: Any) -> dict[str, Any]:
    """Return settings for the port that asks for a password."""
    login = {"mechanism": "SCRAM-SHA-512", "user": "alice", "password": cluster.passwords["alice"], **sasl}
    return {"servers": cluster.bootstrap("SASL_PLAINTEXT").split(","), "sasl": login}


def test_a_record_is_the_document_under_the_findings_id(kafka: Cluster, topic: str, library: str) -> None:
    """Key, value and order within a key; documents of one finding share a partition, whichever client appends them."""
    entries = [an_alert(number, "acme") for number in range(30)] + [an_incident(version, "acme") for version in (1, 2, 3)]
    Host().deliver(a_sink(kafka, topic, client=library, format="ecs"), entries)

    records = everything(kafka, topic, partitions=3)
    assert sorted(record.key or b"" for record in records) == sorted(entry.id.encode() for entry in entries)
    documents = [msgspec.json.decode(record.value) for record in records]
    assert {document["event"]["id"].encode() for document in documents} == {record.key for record in records}
    assert [one["spike"]["version"] for one in documents if one["event"]["id"] == "acme-incident"] == [1, 2, 3]


def test_headers_say_what_it_is_without_opening_it(kafka: Cluster, topic: str, library: str) -> None:
    """Content type, kind, id and version, read by Kafka's own words."""
    Host().deliver(a_sink(kafka, topic, client=library, format="stix"), [an_alert(7, "acme"), an_incident(2, "acme")])

    assert sorted(headers_of(kafka, topic), key=lambda headers: headers["kind"]) == [
        {"content-type": "application/stix+json;version=2.1", "kind": "alert", "id": "acme-000007", "version": "1"},
        {"content-type": "application/stix+json;version=2.1", "kind": "incident", "id": "acme-incident", "version": "2"},
    ]


def headers_of(cluster: Cluster, topic: str) -> list[dict[str, str]]:
    """Read the headers of all records with the library's own consumer: our reader leaves them out."""
    settings = {"bootstrap_servers": cluster.bootstrap(), "auto_offset_reset": "earliest", "consumer_timeout_ms": 3_000}
    with KafkaConsumer(topic, **settings) as consumer:
        found = [record.headers for record in consumer]
    return [{name: value.decode() for name, value in headers} for headers in found]


def test_what_is_too_large_is_put_aside_and_the_rest_arrives(kafka: Cluster, topic: str, library: str) -> None:
    """A document larger than any record of ours, and one larger than this topic takes: dead letters that say so."""
    too_large = an_alert(1, "acme", explanation="x" * (_MEBIBYTE + 8192))
    entries = [an_alert(0, "acme"), too_large, an_alert(2, "acme")]
    host = Host()
    host.deliver(a_sink(kafka, topic, client=library), entries)

    assert {record.key for record in everything(kafka, topic, partitions=3)} == {b"acme-000000", b"acme-000002"}
    assert list(host.refused) == ["acme-000001"]
    assert "a record takes about 1 MiB" in host.refused["acme-000001"]


def test_the_topics_own_limit_is_told_with_the_documents_fate(kafka: Cluster, unique: str, library: str) -> None:
    """A topic with small messages: only the documents that don't fit are put aside, the others arrive once and in order."""
    kafka.create_topic(unique, max_message_bytes="20000")
    entries = [an_alert(number, "acme", explanation="x" * (30_000 if number in (3, 6) else 10)) for number in range(8)]
    host = Host()
    host.deliver(a_sink(kafka, unique, client=library), entries)

    small = [entry.id.encode() for number, entry in enumerate(entries) if number not in (3, 6)]
    assert [record.key for record in everything(kafka, unique)] == small
    assert list(host.refused) == ["acme-000003", "acme-000006"]
    assert all(unique in reason for reason in host.refused.values())


def test_a_wrong_password_is_somebodys_to_mend(kafka: Cluster, topic: str, library: str) -> None:
    """Denied, which waits longer than what may mend itself; the password is never told."""
    sink = a_sink(kafka, topic, client=library, **as_alice(kafka, password="not-alices"))  # noqa: S106 -- wrong on purpose
    with pytest.raises(SinkDenied) as trouble:
        sink.open()
    assert "not-alices" not in str(trouble.value)


def test_a_topic_that_isnt_there_is_named(kafka: Cluster, unique: str, library: str) -> None:
    """And what to do about it."""
    with pytest.raises(SinkUnavailable, match=f"there is no topic {unique}.*create it"):
        a_sink(kafka, unique, client=library).open()


def test_a_topic_that_comes_later_gets_everything(kafka: Cluster, unique: str, library: str) -> None:
    """The delivery tries again, and the first wait creates what was missing."""
    host = Host(mend=lambda: kafka.create_topic(unique))
    host.deliver(a_sink(kafka, unique, client=library), [an_alert(1, "acme")])

    assert [record.key for record in everything(kafka, unique)] == [b"acme-000001"]
    assert "there is no topic" in host.errors[0]
