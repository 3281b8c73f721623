"""What a start refuses and says of its topics, over a cluster in memory: those that are named and those that match a pattern alike."""

from __future__ import annotations

from typing import Any

import pytest
from tests.reference.plant import Plant

from spikebridge.errors import LogMissing, SpikebridgeError
from spikebridge.limits import MINUTE
from spikebridge.logs.kafka import Settings
from spikebridge.logs.kafka.checked import CheckedTopics, spike_topics
from spikebridge.sinks.kafka import Settings as KafkaSink

NAMES = {"alerts": "alerts", "revisions": "revisions", "dead_letters": "letters"}
NAMED: dict[str, Any] = {"topics": ["plant-1"]}
MATCHING: dict[str, Any] = {"pattern": "plant-[0-9]+"}
HOUR_MS = 3_600_000
both = pytest.mark.parametrize("which", [NAMED, MATCHING], ids=["named", "matching"])


@pytest.fixture
def plant() -> Plant:
    """Begin with every topic as `setup` makes it, and one whose name is almost one of ours."""
    plant = Plant()
    for name in ("plant-1", "plant-x", "letters"):
        plant.kafka.create(name)
    plant.kafka.create("revisions", configs={"cleanup.policy": "compact"})
    plant.kafka.topics["plant-x"].configs["retention.ms"] = "1"
    return plant


def checked(plant: Plant, which: dict[str, Any]) -> CheckedTopics:
    """Look at the topics of a configuration."""
    settings = Settings.model_validate({"servers": ["kafka:9092"], **which, **NAMES})
    return CheckedTopics(settings, settings.names("acme"), plant.kafka.client(), 30 * MINUTE)


@both
def test_good_topics_are_taken_without_a_word(plant: Plant, which: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    """What doesn't match is nobody's concern."""
    checked(plant, which).check()
    assert caplog.text == ""


@both
def test_spikes_that_are_kept_too_short_are_refused(plant: Plant, which: dict[str, Any]) -> None:
    """A restart would read back what is gone; the alerts of which nothing would be left for incidents, too: all at once."""
    plant.kafka.topics["plant-1"].configs["retention.ms"] = str(HOUR_MS // 4)
    plant.kafka.topics["alerts"].configs["retention.ms"] = str(HOUR_MS)
    with pytest.raises(SpikebridgeError) as refused:
        checked(plant, which).check()
    assert "kafka kafka:9092: topic plant-1: retention.ms: expected 30m or more, found 15m: " in str(refused.value)
    assert "kafka kafka:9092: topic alerts: retention.ms: expected 2d or more, found 1h: " in str(refused.value)


@both
def test_what_else_breaks_a_promise_is_said_once(plant: Plant, which: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    """The service works with it, and the log holds the command that mends it."""
    plant.kafka.topics["plant-1"].configs |= {"cleanup.policy": "compact", "unclean.leader.election.enable": "true"}
    topics = checked(plant, which)
    for _ in range(2):
        topics.check()
        topics.switches("plant-1")
    for difference in (
        "cleanup.policy: expected delete, found compact",
        "unclean.leader.election.enable: expected false, found true",
    ):
        assert caplog.text.count(f"kafka kafka:9092: topic plant-1: {difference}: ") == 1
    assert "--entity-name plant-1 --alter --add-config cleanup.policy=delete" in caplog.text


@both
def test_a_topic_without_stamps_watches_no_silence(plant: Plant, which: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    """Revisions come into force with the commit there."""
    plant.kafka.topics["plant-1"].configs["message.timestamp.type"] = "CreateTime"
    topics = checked(plant, which)
    topics.check()
    assert topics.switches("plant-1") == "commit"
    assert "topic plant-1: silence is not watched: message.timestamp.type is not LogAppendTime" in caplog.text


def test_a_topic_that_matches_later_is_compared_when_it_comes(plant: Plant, caplog: pytest.LogCaptureFixture) -> None:
    """Its partitions wait until it is mended; the others go on."""
    topics = checked(plant, MATCHING)
    topics.check()
    late = plant.kafka.create("plant-2", configs={"retention.ms": "60000", "cleanup.policy": "compact"})
    for _ in range(2):
        with pytest.raises(SpikebridgeError, match=r"topic plant-2: retention.ms: expected 30m or more, found 1m: "):
            topics.switches("plant-2")
    assert topics.switches("plant-1") == "marker"
    late.configs["retention.ms"] = str(HOUR_MS)
    for _ in range(2):
        assert topics.switches("plant-2") == "marker"
    assert caplog.text.count("topic plant-2: cleanup.policy: expected delete, found compact: ") == 1


def test_a_named_topic_must_be_there_and_one_that_matches_may_come(plant: Plant) -> None:
    """A pattern that nothing matches yet waits for the first one."""
    del plant.kafka.topics["plant-1"]
    with pytest.raises(
        LogMissing, match="topic plant-1: expected to be there, found none; make it with: spikebridge setup kafka"
    ):
        checked(plant, NAMED).check()
    checked(plant, MATCHING).check()


LOG = {"servers": ["kafka:9092"]}
SINKS = [
    KafkaSink.model_validate({**LOG, "topic": "out"}),
    KafkaSink.model_validate({"servers": ["other:9092"], "topic": "spikes-2"}),
]


def test_a_pattern_takes_nothing_that_a_service_writes(plant: Plant) -> None:
    """Neither ours by name or by default, nor another tenant's, nor a sink's of this cluster, nor Kafka's own."""
    ours = [f"spikebridge-{kind}-{tenant}" for kind in ("alerts", "revisions", "dead-letters") for tenant in ("acme", "b_2")]
    for name in (*ours, "out", "outer", "spikes-2", "spikebridge-alerts-line-4", "__consumer_offsets"):
        plant.kafka.create(name)
    admin = plant.kafka.client().admin()

    default = Settings.model_validate({**LOG, "pattern": ".*"}).apart("acme", SINKS)
    others = {"alerts", "letters", "plant-1", "plant-x", "revisions", "spikes"}
    assert {*spike_topics(default, admin)} == {*others, "outer", "spikes-2", "spikebridge-alerts-line-4"}
    named = Settings.model_validate({**LOG, "pattern": "a.*|l.*|p.*|rev.*|out|__.*", **NAMES}).apart("acme", SINKS)
    assert spike_topics(named, admin) == ["plant-1", "plant-x"]


@pytest.mark.parametrize(
    ("name", "whose"),
    [
        ("spikebridge-dead-letters-acme", "the service itself writes to"),
        ("alerts", "the service itself writes to"),
        ("out", "the service itself writes to"),
        ("__consumer_offsets", "is Kafka's own"),
    ],
)
def test_a_topic_that_a_service_writes_is_refused_by_name(name: str, whose: str) -> None:
    """What is named is read, so it must not be such a one; a sink's topic on another cluster may have the name of one here."""
    settings = Settings.model_validate({**LOG, "topics": ["spikes", name], "alerts": "alerts"})
    with pytest.raises(ValueError, match=f'expected topics with spikes, found "{name}", which {whose}'):
        settings.apart("acme", SINKS)
    good = Settings.model_validate({**LOG, "topics": ["spikes", "spikes-2"]})
    assert good.apart("acme", SINKS).topics == good.topics


@pytest.mark.parametrize("pattern", ["(?i)spikes.*", "a)(?:b", "("])
def test_a_pattern_that_can_not_be_asked_with_is_refused(pattern: str) -> None:
    """Clients put it into an expression of theirs."""
    with pytest.raises(ValueError, match="expected a regular expression"):
        Settings.model_validate({**LOG, "pattern": pattern})
