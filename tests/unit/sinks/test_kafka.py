"""The Kafka sink over a cluster in memory: what is too large for the topic, and what becomes of its neighbours."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.live.delivering import an_alert

from spikebridge.errors import SinkRefused, SinkUnavailable
from spikebridge.sinks.kafka import KafkaSink, Settings
from spikebridge.testing import FakeClock
from spikebridge.testing.kafka import MemoryKafka

ENTRIES = [an_alert(number, "acme", explanation="x" * (30_000 if number in (3, 6) else 10)) for number in range(10)]
LARGE = [ENTRIES[3].id, ENTRIES[6].id]
SMALL = [entry.id for entry in ENTRIES if entry.id not in LARGE]


@pytest.fixture
def kafka() -> MemoryKafka:
    """Make a topic that takes no large documents."""
    kafka = MemoryKafka(FakeClock())
    kafka.create("ours", configs={"max.message.bytes": "20000"})
    return kafka


def a_sink(kafka: MemoryKafka) -> KafkaSink:
    """Make a sink, closed."""
    settings = Settings.model_validate({"servers": ["memory:9092"], "topic": "ours"})
    return KafkaSink(settings, Path(), dial=lambda _: kafka.client())


def keys(kafka: MemoryKafka) -> list[str]:
    """Return the ids in the topic, in its order."""
    return [(record.key or b"").decode() for record in kafka.partition("ours").records]


def test_what_is_larger_than_the_topic_takes_is_refused_and_the_others_are_there_once(kafka: MemoryKafka) -> None:
    """In their order, with the topic's words for each that is not."""
    with pytest.raises(SinkRefused) as refusal:
        a_sink(kafka).write(ENTRIES)

    assert keys(kafka) == SMALL
    assert list(refusal.value.reasons) == LARGE
    assert "more than the topic takes" in refusal.value.reasons[LARGE[0]]


def test_the_host_is_asked_after_each_that_was_too_large(kafka: MemoryKafka) -> None:
    """What is left when it says stop is named, and so is what was refused."""
    sink = a_sink(kafka)
    sink.wait = lambda seconds: seconds == 0
    with pytest.raises(SinkUnavailable, match="stopped") as trouble:
        sink.write(ENTRIES)

    assert keys(kafka) == SMALL[:3]
    assert trouble.value.undelivered == {entry.id for entry in ENTRIES[4:]}
    assert list(trouble.value.refused) == LARGE[:1]


def test_a_cluster_that_goes_away_meanwhile_leaves_only_what_was_not_appended(kafka: MemoryKafka) -> None:
    """The rest is there, or refused."""
    kafka.appends += ["", "before"]
    with pytest.raises(SinkUnavailable, match="no answer") as trouble:
        a_sink(kafka).write(ENTRIES)

    assert keys(kafka) == SMALL[:3]
    assert trouble.value.undelivered == {entry.id for entry in ENTRIES[4:]}
    assert list(trouble.value.refused) == LARGE[:1]
