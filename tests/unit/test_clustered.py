"""The service on topics, over a cluster in memory: instances that share the partitions, and what they leave behind."""

from __future__ import annotations

import gc
import time
from collections import Counter
from contextlib import ExitStack, contextmanager
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives import serialization
from tests.reference.detection import small, with_models
from tests.reference.models import KEY

from spikebridge import metrics as numbers
from spikebridge.app import Parts, Service, Stages, groups, reading
from spikebridge.app.content import load_tested
from spikebridge.config import load_config
from spikebridge.errors import LogDenied, LogMissing, LogUnavailable
from spikebridge.kafka.client import Partition
from spikebridge.logs.kafka import sealed
from spikebridge.logs.kafka.revisions import RevisionsTopic
from spikebridge.mapping.rules import rule_set_content
from spikebridge.pipeline import SpikesStage
from spikebridge.spikes.frame import Head, encode_events
from spikebridge.testing import MemorySink
from spikebridge.testing.kafka import MemoryClient, MemoryKafka, MemoryProducer, MemoryReader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from spikebridge.logs import Switches
    from spikebridge.testing.kafka.groups import Seat

CONFIG = """
data: data
mappings: [mappings.yaml]
logs:
  plant: {type: kafka, servers: ["127.0.0.1:9"], topics: [spikes], keys: false}
sinks:
  siem: {type: file, path: lines.jsonl}
"""
MAPPINGS = """
mappings:
- {neuron_id: 42, threat_type: Burst, severity: High, suppress: 1s}
correlations:
- {id: wave, type: value_count, rules: [burst-42], timespan: 5m, group-by: [site], condition: {gte: 3, field: device}, threat_type: Wave, severity: High}
"""
ALERTS, REVISIONS, LETTERS = (f"spikebridge-{kind}-default" for kind in ("alerts", "revisions", "dead-letters"))
PARTITIONS = 4


class Plant:
    """A cluster with our topics, and instances that run on it."""

    def __init__(self, directory: Path) -> None:
        """Create the topics, and publish."""
        self.directory = directory
        self.kafka = MemoryKafka(time.time_ns, lambda seconds: time.sleep(min(0.01, seconds)))
        for name in ("spikes", ALERTS):
            self.kafka.create(name, PARTITIONS)
        self.kafka.create(REVISIONS, configs={"cleanup.policy": "compact"})
        self.kafka.create(LETTERS)
        self.sent: list[str] = []
        self.sinks: dict[str, MemorySink] = {}

    def config(self, name: str, more: str = "") -> Path:
        """Give an instance a directory of its own."""
        directory = self.directory / name
        directory.mkdir(exist_ok=True)
        (directory / "spikebridge.yaml").write_text(CONFIG + more)
        (directory / "mappings.yaml").write_text(MAPPINGS)
        return directory / "spikebridge.yaml"

    def publish(self) -> None:
        """Do what `spikebridge publish` does."""
        config = load_config(self.config("publisher"), {})
        client = self.kafka.client()
        RevisionsTopic(REVISIONS, client.reader(), client.producer()).publish(rule_set_content(load_tested(config).rule_set))

    def service(self, name: str, stages: str = "", client: MemoryClient | None = None, more: str = "") -> Service:
        """Make an instance, whose sink outlives it."""
        config = load_config(self.config(name, more), {})
        sink = self.sinks.setdefault(name, MemorySink())
        parts = Parts(sink=lambda *_: sink, client=lambda _: client or self.kafka.client(name))
        return Service(config, Stages.parse(stages, config.sinks), parts)

    def send(self, count: int) -> None:
        """Append frames of new devices, in every partition."""
        for number in range(len(self.sent), len(self.sent) + count):
            self.sent.append(f"device-{number}")
            frame = encode_events(Head(device=self.sent[-1], start_ns=time.time_ns(), boot=1, seq=1), [42], [0])
            self.kafka.append("spikes", [frame], number % PARTITIONS)

    def delivered(self, kind: str = "alert") -> Counter[str]:
        """Count what all sinks have, by id."""
        return Counter(entry.id for sink in self.sinks.values() for entry in list(sink.findings) if entry.kind == kind)

    def seats(self) -> list[Seat]:
        """Return who is in any group."""
        return [seat for group in list(self.kafka.groups.values()) for seat in group.seats]

    def owns_something(self) -> bool:
        """Say whether somebody owns a partition."""
        return any(seat.owned for seat in self.seats())

    def everything_is_committed(self) -> bool:
        """Say whether the sinks' group stands at the end of every partition: a hand-over repeats nothing then."""
        if not self.everything_is_there():
            return False
        positions = self.kafka.groups["spikebridge-default.deliver.siem"].positions
        ends = {Partition(ALERTS, number): held.end for number, held in enumerate(self.kafka.topics[ALERTS])}
        return all(one in positions and positions[one].offset == end for one, end in ends.items() if end)

    def everything_is_there(self) -> bool:
        """Say whether an alert of each device has been delivered."""
        return len(self.delivered()) == len(self.sent)


@pytest.fixture
def plant(tmp_path: Path) -> Plant:
    """Begin with topics and mappings."""
    plant = Plant(tmp_path)
    plant.publish()
    return plant


def until(holds: Callable[[], object], seconds: float = 60) -> None:
    """Wait for something that another thread does."""
    give_up = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < give_up, "it did not happen in time"
        time.sleep(0.01)


@contextmanager
def running(service: Service) -> Iterator[Service]:
    """Run a service beside the test."""
    stop = Event()
    thread = Thread(target=service.run, args=(stop,))
    thread.start()
    try:
        yield service
    finally:
        stop.set()
        thread.join()
        service.close()


def test_instances_share_the_partitions_and_take_over_from_each_other(plant: Plant) -> None:
    """Every alert once, whoever comes and goes in good order; incidents over all devices of a site."""
    with running(plant.service("one")) as one:
        plant.send(8)
        until(plant.everything_is_committed)
        with running(plant.service("two")):
            until(lambda: [len(seat.owned) for seat in plant.seats()] == [2] * 6)
            plant.send(8)
            until(plant.everything_is_there)
            until(lambda: plant.sinks["two"].findings)
        plant.kafka.evict("spikebridge-default.deliver.siem", 1)
        plant.kafka.evict("spikebridge-default", 1)
        plant.kafka.evict("spikebridge-default.incidents", 1)
        plant.send(8)
        until(plant.everything_is_there)
        until(lambda: plant.delivered("incident"))
        assert [stage for stage in one.errors() if stage.error] == []
    assert set(plant.delivered().values()) == {1}
    with running(plant.service("one")):
        plant.send(4)
        until(plant.everything_is_there)
    assert set(plant.delivered().values()) == {1}


class Matching(Plant):
    """The same, with a pattern that the default names of our own topics match."""

    def config(self, name: str, more: str = "") -> Path:
        """Give an instance the pattern."""
        path = super().config(name, more)
        path.write_text(path.read_text().replace("topics: [spikes]", 'pattern: "spike.*"'))
        return path


def test_a_pattern_reads_nothing_of_our_own(tmp_path: Path) -> None:
    """A dead letter that was read as a spike would be buried again, and that one too, without end."""
    plant = Matching(tmp_path)
    plant.publish()
    with running(plant.service("one")) as service:
        plant.kafka.append("spikes", [b"rubbish"], 0)
        plant.send(8)
        until(plant.everything_is_there)
        until(plant.everything_is_committed)
        read = {partition.topic for seat in plant.kafka.groups["spikebridge-default"].seats for partition in seat.owned}
        assert read == {"spikes"}
        assert [stage for stage in service.errors() if stage.error] == []
    assert plant.kafka.partition(LETTERS).end == 1


def test_rebalances_without_end_lose_nothing(plant: Plant) -> None:
    """What is appended again has the same bytes; readers drop it."""
    with running(plant.service("one")), running(plant.service("two")):
        for _ in range(15):
            plant.send(3)
            for group in list(plant.kafka.groups):
                plant.kafka.rebalance(group)
            plant.kafka.commits.append("not now")
            time.sleep(0.03)
        until(plant.everything_is_there)

    copies: dict[tuple[str, int], set[bytes]] = {}
    for topic in plant.kafka.topics[ALERTS]:
        for record in topic.records:
            entry = sealed.unseal(record)
            copies.setdefault((entry.id, entry.version), set()).add(record.value)
    assert {name for name, values in copies.items() if len(values) > 1} == set()


def test_what_a_lost_partition_held_in_memory_is_let_go(plant: Plant) -> None:
    """An instance that stood still has lost everything; windows of partitions that are another's now are not kept beside its own."""

    def in_memory() -> int:
        gc.collect()
        return sum(isinstance(one, SpikesStage) for one in gc.get_objects())

    before = in_memory()
    with running(plant.service("a")):
        plant.send(8)
        until(plant.everything_is_there)
        with running(plant.service("b")):
            for _ in range(3):
                plant.kafka.evict("spikebridge-default")
                plant.send(8)
                until(plant.everything_is_there)
            until(lambda: in_memory() <= before + PARTITIONS)


class Failing(MemoryClient):
    """A client that can't make one of the things that it is asked for."""

    def __init__(self, kafka: MemoryKafka, at: int) -> None:
        """Fail at that one."""
        super().__init__(kafka)
        self.left = at

    def _made(self) -> None:
        self.left -= 1
        if self.left == 0:
            raise LogUnavailable("no broker answers")

    def reader(self) -> MemoryReader:
        """Make a reader, unless it is its turn."""
        self._made()
        return super().reader()

    def producer(self) -> MemoryProducer:
        """Make a producer, unless it is its turn."""
        self._made()
        return super().producer()

    def group(self, *arguments: Any) -> Any:
        """Join, unless it is its turn."""
        self._made()
        return super().group(*arguments)


@pytest.mark.parametrize(("stage", "things"), [("spikes", 4), ("incidents", 4), ("deliver:siem", 2)])
def test_a_join_that_fails_leaves_no_member_and_no_connection(plant: Plant, stage: str, things: int) -> None:
    """Whatever can't be opened: whoever joined would own partitions that nobody reads."""
    for at in range(1, things + 1):
        plant.kafka.made.clear()
        plant.kafka.groups.clear()
        client = Failing(plant.kafka, at)
        with running(plant.service("one", stage, client)) as service:
            until(plant.owns_something)
            assert len(plant.seats()) == 1
            assert [one.error for one in service.errors() if one.error] == []
        assert client.left <= 0
        assert all(one.closed for one in plant.kafka.made)
        assert plant.seats() == []


def test_what_a_client_made_is_used_by_one_thread(plant: Plant) -> None:
    """Measuring and telling how things are, too, which other threads do: they go by what was known last."""
    with running(plant.service("one")) as service:
        for _ in range(4):
            plant.send(8)
            until(plant.everything_is_there)
            rendered = service.metrics.render().decode()
            assert [one for one in service.errors() if one.error] == []
    assert {len(one.threads) for one in plant.kafka.made if isinstance(one, MemoryReader)} == {1}
    assert {len(one.threads) for one in plant.kafka.made if isinstance(one, MemoryProducer)} <= {0, 1}
    for number in range(PARTITIONS):
        assert f'partition="{number}"}} 0' in rendered


def test_a_run_once_ends_though_the_last_offsets_hold_no_record(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    """The end of a transaction has an offset, and where we may not append no tick lies beyond it: what doesn't come is no record."""
    monkeypatch.setattr(reading, "EMPTY_S", 0.5)
    monkeypatch.setattr(groups, "SETTLED_S", 0.5)
    path = plant.config("one")
    path.write_text(CONFIG.replace("keys: false", "keys: false, append: false"))
    config = load_config(path, {})
    plant.send(8)
    for partition in plant.kafka.topics["spikes"]:
        partition.skip(2)
    sink = plant.sinks["one"] = MemorySink()
    parts = Parts(sink=lambda *_: sink, client=lambda _: plant.kafka.client())
    stop = Event()
    with Service(config, Stages.parse("", config.sinks), parts) as service:
        thread = Thread(target=service.drain, args=(stop,))
        thread.start()
        thread.join(60)
        ended = not thread.is_alive()
        stop.set()
        thread.join()
    assert ended
    assert plant.everything_is_there()


@pytest.mark.parametrize("stages", ["", "deliver"])
def test_a_run_once_without_a_revision_ends_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stages: str) -> None:
    """Only the spikes stage needs one: sinks have their own to deliver, and nothing then."""
    monkeypatch.setattr(groups, "SETTLED_S", 0.5)
    plant = Plant(tmp_path)
    with plant.service("one", stages) as service:
        if stages:
            service.drain(Event())
            return
        with pytest.raises(LogMissing, match=f"^kafka 127.0.0.1:9: topic {REVISIONS}: expected a revision, found none; publish"):
            service.drain(Event())
        assert all(reader.closed for reader in plant.kafka.made if isinstance(reader, MemoryReader))


@pytest.mark.parametrize("library", ["kafka-python", "confluent"])
def test_certificates_that_can_not_be_read_end_the_start(tmp_path: Path, library: str) -> None:
    """A mistake in the configuration, with either client: no waiting mends it."""
    path = Plant(tmp_path).config("one")
    path.write_text(CONFIG.replace("keys: false", f"keys: false, client: {library}, tls: {{ca: no-such.pem}}"))
    config = load_config(path, {})
    with pytest.raises(LogDenied, match=r"^kafka 127\.0\.0\.1:9: tls\.ca .*no-such\.pem: No such file or directory"):
        Service(config)


def test_a_run_without_a_revision_waits_for_it(tmp_path: Path) -> None:
    """Whoever publishes ends the wait."""
    plant = Plant(tmp_path)
    with running(plant.service("one")) as service:
        until(lambda: any("no revision was ever published" in stage.error for stage in service.errors()))
        plant.publish()
        plant.send(4)
        until(plant.everything_is_there)


def test_an_instance_that_names_keys_takes_no_model_of_a_stranger(plant: Plant, caplog: pytest.LogCaptureFixture) -> None:
    """What others have published is verified by whoever is to bring it into force."""
    keys = plant.directory / "keys"
    keys.mkdir()
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    (keys / "ours.pub").write_bytes(KEY.public_key().public_bytes(serialization.Encoding.PEM, form))
    client = plant.kafka.client()
    stranger = with_models(load_tested(load_config(plant.config("publisher"), {})).rule_set, small("cam", ("cam",)))
    RevisionsTopic(REVISIONS, client.reader(), client.producer()).publish(rule_set_content(stranger))
    with running(plant.service("one", more=f"model_keys: {keys}\n")) as made:
        until(lambda: made.logs.revision() is not None)
        until(lambda: "does not come into force here" in caplog.text)
        assert made.logs.revision() == 1
    assert "model cam: unsigned: expected a signature by a trusted key" in caplog.text


def test_what_is_no_alert_in_the_alert_topic_is_counted_for_each_reader(plant: Plant) -> None:
    """Whoever wrote it there, every reader goes on behind it."""
    readers = ("deliver:siem", "incidents")
    plant.kafka.append(ALERTS, [b"rubbish"], 3)
    with running(plant.service("one")) as service:
        until(lambda: [service.metrics.value(numbers.PASSED_OVER, reader=reader) for reader in readers] == [1, 1])
        plant.send(4)
        until(plant.everything_is_there)


def test_a_sink_of_a_group_that_has_given_nothing_yet_is_not_drained(plant: Plant) -> None:
    """`run --once` waits for its share."""
    other = plant.kafka.client().group("spikebridge-default.deliver.siem", [ALERTS])
    other.poll()
    service = plant.service("one", "deliver:siem")
    (courier,) = service.couriers
    assert not courier.drained()
    with running(service):
        until(lambda: len(plant.kafka.groups["spikebridge-default.deliver.siem"].seats) == 2)
        assert not courier.drained()
        assert courier.health().lag == 0


@pytest.mark.parametrize(
    ("configs", "append", "switches"),
    [({}, True, "marker"), ({}, False, "commit"), ({"message.timestamp.type": "CreateTime"}, True, "commit")],
)
def test_where_silence_can_not_be_told_revisions_come_with_the_commit(
    plant: Plant, configs: dict[str, str], *, append: bool, switches: Switches, caplog: pytest.LogCaptureFixture
) -> None:
    """A topic that brokers don't stamp, or to which we may not append, gets no marker, no tick, and that is said."""
    plant.kafka.topics["spikes"].configs |= configs
    path = plant.config("one")
    path.write_text(CONFIG.replace("keys: false", f"keys: false, append: {str(append).lower()}"))
    config = load_config(path, {})
    parts = Parts(sink=lambda *_: MemorySink(), client=lambda _: plant.kafka.client())
    with ExitStack() as stack:
        service = Service(config, Stages.parse("spikes", config.sinks), parts)
        stack.enter_context(running(service))
        until(lambda: service.logs.revision() is not None)
        before = service.logs.revision()
        (path.parent / "mappings.yaml").write_text(MAPPINGS.replace("High, suppress", "Low, suppress"))
        client = plant.kafka.client()
        number = RevisionsTopic(REVISIONS, client.reader(), client.producer()).publish(
            rule_set_content(load_tested(config).rule_set)
        )
        plant.send(PARTITIONS)
        until(lambda: service.logs.revision() == number != before)
    appended = sum(len(partition.records) for partition in plant.kafka.topics["spikes"]) - PARTITIONS
    assert (appended > 0) == (switches == "marker")
    assert ("silence is not watched" in caplog.text) == (switches == "commit")
    assert plant.kafka.has(Partition("spikes", 0))
