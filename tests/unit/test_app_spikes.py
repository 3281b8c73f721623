"""The spike log as commands open it: what it holds, partition by partition, and what is appended to it."""

from __future__ import annotations

import json
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from spikebridge.app.spikes import FETCH_S, LOOKED_AT, Past, open_past, open_takers
from spikebridge.config import load_config
from spikebridge.errors import LogMissing, LogUnavailable
from spikebridge.kafka.client import Partition
from spikebridge.logs.kafka.intake import Intake
from spikebridge.logs.kafka.sealed import Home
from spikebridge.logs.kafka.spikes import SpikePartition
from spikebridge.logs.spool import Spool
from spikebridge.mapping.backtest import Backtest
from spikebridge.mapping.evidence import Identity
from spikebridge.mapping.load import load
from spikebridge.spikes.frame import Head, encode_events
from spikebridge.testing import FakeClock
from spikebridge.testing.kafka import MemoryKafka

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from spikebridge.config import Config
    from spikebridge.mapping.rules import RuleSet

TOPIC = "spikes"
SPIKE = b'{"device_id": "camera-2", "neuron_id": 42}'
RULE = "mappings:\n- {id: burst, neuron_id: 42, threat_type: Burst, severity: High, suppress: 1s}\n"
OTHER = RULE.replace("burst", "scan").replace("42", "7")


@pytest.fixture
def kafka() -> MemoryKafka:
    """Give a cluster whose time passes while somebody waits."""
    clock = FakeClock()
    kafka = MemoryKafka(clock, lambda seconds: clock.advance(round(seconds * 1e9)))
    kafka.create(TOPIC, 2)
    return kafka


def config_of(directory: Path, **log: Any) -> Config:
    """Configure a log on Kafka."""
    file = directory / "spikebridge.json"
    file.write_text(json.dumps({"logs": {"plant": {"type": "kafka", "servers": ["127.0.0.1:9"], "topics": [TOPIC], **log}}}))
    return load_config(file, {})


def rules(directory: Path, text: str) -> RuleSet:
    """Read a mapping."""
    file = directory / "mapping.yaml"
    file.write_text(text)
    return load([file], None).rule_set


def spike(device: str, neuron: int = 42) -> bytes:
    """Return a frame with one spike."""
    return encode_events(Head(device=device, start_ns=1), [neuron], [0])


@pytest.fixture
def past(kafka: MemoryKafka) -> Iterator[Past]:
    """Give the first partition, read by a time that passes while it is waited for."""
    clock: FakeClock = kafka.clock  # type: ignore[assignment]
    where = Partition(TOPIC, 0)
    with closing(kafka.client().reader()) as reader:
        intake = Intake(reader, lambda: clock() / 1e9)
        home = Home(kafka.id, kafka.topics[TOPIC].id)
        log = SpikePartition(home, where, intake, kafka.client().producer(), clock=clock, switches="marker", keys=True)
        yield Past(log, intake, where)


def test_every_partition_is_read_to_its_end_of_now(kafka: MemoryKafka, tmp_path: Path) -> None:
    """In order, more than comes at once too; a record without a key is no device's, as for the service."""
    kafka.fetch = 3
    kafka.append(TOPIC, [spike(f"a-{number}") for number in range(10)], 0, b"a")
    kafka.append(TOPIC, [spike("b")], 1)

    with open_past(config_of(tmp_path), lambda _: kafka.client()) as found:
        assert [(one.log.id, one.log.partition, one.log.bounds()) for one in found] == [
            (f"{kafka.id}/{kafka.topics[TOPIC].id}", 0, (0, 10)),
            (f"{kafka.id}/{kafka.topics[TOPIC].id}", 1, (0, 1)),
        ]
        kafka.append(TOPIC, [spike("later")], 0, b"a")
        first, second = ([record for batch in one.batches(0, one.log.bounds()[1]) for record in batch] for one in found)
        assert [record.offset for record in first] == [*range(10)]
        assert [record.key for record in second] == [b""]
        assert [record.offset for batch in found[0].batches(2, 5) for record in batch] == [2, 3, 4]


def test_the_alerts_of_all_partitions_are_compared_together(kafka: MemoryKafka, tmp_path: Path) -> None:
    """Each partition has windows and ids of its own; what is gained and lost is one sum."""
    kafka.append(TOPIC, [spike("a")], 0, b"a")
    kafka.append(TOPIC, [spike("b"), spike("b", 7)], 1, b"b")
    backtest = Backtest(rules(tmp_path, RULE), rules(tmp_path, OTHER))

    with open_past(config_of(tmp_path), lambda _: kafka.client()) as found:
        for one in found:
            backtest.begin(Identity("default", one.log.id, one.log.partition), one.log.read)
            for records in one.batches(*one.log.bounds()):
                backtest.feed(records)

    told = backtest.outcome()
    assert (told.records, told.refused, told.same) == (3, 0, 0)
    assert [(line.rule, line.device, line.count) for line in told.lost] == [("burst", "a", 1), ("burst", "b", 1)]
    assert [(line.rule, line.device, line.count) for line in told.gained] == [("scan", "b", 1)]


def test_a_topic_that_is_not_stamped_is_not_live(kafka: MemoryKafka, tmp_path: Path) -> None:
    """Nor is one that the service may not append to: silence is not watched there."""
    for stamp, append, switches in (
        ("LogAppendTime", True, "marker"),
        ("LogAppendTime", False, "commit"),
        ("CreateTime", True, "commit"),
    ):
        kafka.create(TOPIC, configs={"message.timestamp.type": stamp})
        with open_past(config_of(tmp_path, append=append), lambda _: kafka.client()) as found:
            assert [one.log.switches for one in found] == [switches]


def test_what_retention_has_taken_since_is_passed_over(kafka: MemoryKafka, past: Past) -> None:
    """The log was longer when it was asked for its bounds."""
    kafka.append(TOPIC, [SPIKE] * 5, 0, b"camera-2")
    kafka.partition(TOPIC).drop_before(2)

    assert [record.offset for batch in past.batches(0, 5) for record in batch] == [2, 3, 4]


def test_offsets_without_a_record_end_the_log(kafka: MemoryKafka, past: Past) -> None:
    """As a transaction leaves one behind: it is waited for, and then asked for."""
    kafka.append(TOPIC, [SPIKE], 0, b"camera-2")
    kafka.partition(TOPIC).skip(1)
    before_ns = kafka.clock()

    assert [record.offset for batch in past.batches(0, 2) for record in batch] == [0]
    assert kafka.clock() - before_ns >= FETCH_S * 1e9


def test_where_nothing_comes_that_is_no_end(kafka: MemoryKafka, past: Past) -> None:
    """A log that was read in part would say that nothing is gained."""
    kafka.append(TOPIC, [SPIKE], 0, b"camera-2")
    kafka.partition(TOPIC).skip(LOOKED_AT + 1)

    with pytest.raises(LogUnavailable, match="spikes-0: nothing came from record 1 on within 10 s"):
        list(past.batches(0, LOOKED_AT + 2))


@pytest.mark.parametrize(
    ("log", "said"),
    [
        ({"topics": [TOPIC, "more"]}, "topic more: expected to be there, found none"),
        ({"topics": [], "pattern": "plant-.*"}, "topic like plant-.*: expected to be there, found none"),
    ],
)
def test_a_topic_that_is_not_there_is_told(log: dict[str, Any], said: str, kafka: MemoryKafka, tmp_path: Path) -> None:
    """Both by what reads and by what appends."""
    config = config_of(tmp_path, **log)
    for opening in (open_past, open_takers):
        with pytest.raises(LogMissing, match=said), opening(config, lambda _: kafka.client()):
            pass


def test_records_are_appended_to_the_topic_that_they_came_from(kafka: MemoryKafka, tmp_path: Path) -> None:
    """Each under the key of its device, and what can't be read under none."""
    kafka.create("more")

    with open_takers(config_of(tmp_path, topics=[TOPIC, "more"]), lambda _: kafka.client()) as takers:
        assert [taker.log for taker in takers] == [f"{kafka.id}/{kafka.topics[name].id}" for name in (TOPIC, "more")]
        takers[1].append([SPIKE, b"nonsense"])

    assert [(record.key, record.value) for record in kafka.partition("more").records] == [
        (b"camera-2", SPIKE),
        (None, b"nonsense"),
    ]


def test_a_spool_is_read_and_appended_to_where_there_is_one(tmp_path: Path) -> None:
    """None is made: it would be another log."""
    file = tmp_path / "spikebridge.yaml"
    file.write_text("data: data\n")
    config = load_config(file, {})
    for opening in (open_past, open_takers):
        with pytest.raises(LogMissing, match="there is no spool"), opening(config):
            pass
    assert not (tmp_path / "data").exists()

    with Spool(config.data) as spool:
        known = spool.id
    with open_takers(config) as takers:
        assert [taker.log for taker in takers] == [known]
        takers[0].append([SPIKE])
    with open_past(config) as found:
        assert [[record.value for record in batch] for one in found for batch in one.batches(0, 1)] == [[SPIKE]]
