"""`setup kafka` on real brokers: what it creates, what it leaves alone, and that the rights that it prints are enough and needed."""

from __future__ import annotations

import json
import secrets
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from tests.live.delivering import an_alert
from tests.live.kafka_makers import awaited
from tests.live.servers.kafka import Cluster
from tests.live.servers.missing import needed

from spikebridge import cli
from spikebridge.errors import LogDenied, LogMissing, LogUnavailable
from spikebridge.kafka.client import Outgoing, Partition, Place
from spikebridge.kafka.connection import CLIENTS, connect
from spikebridge.logs.kafka import Settings
from spikebridge.logs.kafka.revisions import RevisionsTopic
from spikebridge.logs.kafka.rights import Process, rights
from spikebridge.logs.kafka.settings import client_of
from spikebridge.logs.kafka.spikes import AlertTopic

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from spikebridge.kafka.client import Client

    Ask = Callable[..., tuple[int, str]]

pytestmark = pytest.mark.live

TENANT = "acme"
GRANTED_S = 30.0


@pytest.fixture(params=sorted(CLIENTS))
def library(request: pytest.FixtureRequest) -> str:
    """Each client in turn."""
    return str(request.param)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Kafka that refuses whatever nobody was granted."""
    with needed(), Cluster(tmp_path_factory.mktemp("guarded"), restricted=True) as cluster:
        yield cluster


def log_settings(cluster: Cluster, user: str = "", **settings: Any) -> dict[str, Any]:
    """Return a log with topics of its own; with a user, on the port that asks for a password."""
    name = secrets.token_hex(4)
    made = {
        "topics": [f"spikes-{name}"],
        "alerts": f"alerts-{name}",
        "revisions": f"revisions-{name}",
        "dead_letters": f"letters-{name}",
        "group": f"group-{name}",
        "servers": cluster.bootstrap("SASL_PLAINTEXT" if user else "PLAINTEXT").split(","),
        **settings,
    }
    if user:
        made["sasl"] = {"mechanism": "SCRAM-SHA-256", "user": user, "password": cluster.passwords[user]}
    return made


@pytest.fixture
def ask(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Ask:
    """Run `spikebridge setup kafka` for the settings of a log; return exit code and everything that was said."""

    def run(settings: dict[str, Any], *arguments: str) -> tuple[int, str]:
        config = tmp_path / "spikebridge.yaml"
        config.write_text(json.dumps({"tenant": TENANT, "logs": {"plant": {"type": "kafka", **settings}}}))
        code = cli.main(["setup", "kafka", "--config", str(config), *arguments])
        said = capsys.readouterr()
        return code, said.out + said.err

    return run


def test_it_creates_what_is_missing_and_a_second_time_nothing(kafka: Cluster, ask: Ask, library: str) -> None:
    """The brokers say that the topics are as they must be; with one broker every topic is told to have one copy."""
    settings = log_settings(kafka, client=library)
    code, said = ask(settings, "--replicas", "1", "--partitions", "5")
    assert (code, said.count(" created ")) == (0, 4), said

    admin = connect(Settings.model_validate(settings)).admin()
    try:
        found = admin.describe([settings["topics"][0], settings["alerts"], settings["revisions"], settings["dead_letters"]])
    finally:
        admin.close()
    assert [facts.partitions for facts in found.values()] == [5, 5, 1, 1]
    assert {facts.configs["message.timestamp.type"] for facts in found.values()} == {"LogAppendTime"}
    assert found[settings["revisions"]].configs["cleanup.policy"] == "compact"
    assert found[settings["topics"][0]].configs["retention.ms"] == str(7 * 86_400_000)
    assert found[settings["alerts"]].configs["unclean.leader.election.enable"] == "false"

    code, said = ask(settings, "--replicas", "1", "--partitions", "5", "--json")
    document = json.loads(said)
    assert (code, document["differences"]) == (0, [])
    assert {topic["result"] for topic in document["topics"]} == {"is there"}


def test_a_dry_run_creates_nothing(kafka: Cluster, ask: Ask) -> None:
    """It says what would be, in Kafka's own commands too."""
    settings = log_settings(kafka)
    code, said = ask(settings, "--dry-run", "--replicas", "1")
    assert (code, said.count("would be created")) == (0, 4)
    assert f"--create --topic {settings['alerts']} --partitions 12 --replication-factor 1" in said
    for arguments, found in ((["--dry-run"], 1), ([], 2)):
        code, said = ask(settings, *arguments)
        assert code == found
        assert (
            "--replicas: expected at most 1, which is how many brokers there are, found 3: start more, or say --replicas 1"
            in said
        )

    admin = connect(Settings.model_validate(settings)).admin()
    try:
        assert admin.describe([settings["topics"][0], settings["alerts"]]) == {}
    finally:
        admin.close()


def test_a_topic_that_is_there_is_compared_and_left_as_it_is(kafka: Cluster, ask: Ask, library: str) -> None:
    """Each difference in a line with the command that mends it; exit code 1 as long as one is an error."""
    settings = log_settings(kafka, client=library)
    spikes = settings["topics"][0]
    kafka.create_topic(spikes, partitions=2, retention_ms="60000")
    for _ in range(2):
        code, said = ask(settings, "--replicas", "1")
        assert code == 1
        assert f"error: topic {spikes}: retention.ms: expected 30m or more, found 1m: " in said
        assert f"warning: topic {spikes}: message.timestamp.type: expected LogAppendTime, found CreateTime" in said
        assert f"warning: topic {spikes}: partitions: expected 12, found 2" in said
        assert f"--entity-name {spikes} --alter --add-config retention.ms=604800000" in said


def test_topics_of_a_pattern_are_compared_and_none_is_made(kafka: Cluster, ask: Ask) -> None:
    """Who matches is known to the cluster alone; a name that only begins so is left out."""
    settings = log_settings(kafka)
    name = settings.pop("topics")[0]
    kafka.create_topic(f"{name}-a", retention_ms="60000")
    kafka.create_topic(f"{name}-b-not", retention_ms="60000")
    code, said = ask({**settings, "pattern": f"{name}-[a-z]"}, "--replicas", "1")

    assert code == 1
    assert f"error: topic {name}-a: retention.ms" in said
    assert f"{name}-b-not" not in said


def test_more_copies_than_brokers_are_told_with_the_way_out(kafka: Cluster, ask: Ask, library: str) -> None:
    """Before anything is made, in one line; no traceback."""
    code, said = ask(log_settings(kafka, client=library))

    assert code == 2
    assert "found 3: start more, or say --replicas 1" in said
    assert len(said.splitlines()) == 1


def granted(cluster: Cluster, settings: dict[str, Any], process: Process, user: str) -> None:
    """Grant a user what the table says of a process."""
    model = Settings.model_validate(settings)
    for right in rights(model, model.names(TENANT)):
        if right.process == process:
            words = ["".join(f"_{letter}" if letter.isupper() else letter for letter in name) for name in right.operations]
            operations = " ".join(word.strip("_").upper() for word in words)
            cluster.allow(user, operations, right.kind.upper(), right.name, prefixed=right.prefixed)


def test_the_rights_of_setup_are_enough_for_it(guarded: Cluster, ask: Ask, library: str) -> None:
    """Before they are granted it is refused, and says whom the cluster refuses."""
    settings = log_settings(guarded, "alice", client=library)
    code, said = ask(settings, "--replicas", "1")
    assert code == 2
    assert "no right to do it" in said
    granted(guarded, settings, "setup", "alice")
    told: list[str] = []

    def done() -> bool:
        code, said = ask(settings, "--replicas", "1")
        told.append(said)
        return code == 0

    awaited(done)  # a grant comes into force a moment after it was given
    assert "".join(told).count(" created ") == 4, told


@pytest.mark.parametrize("process", ["run", "publish", "send", "doctor", "status"])
def test_the_rights_of_a_process_are_enough_for_it(guarded: Cluster, ask: Ask, library: str, process: Process) -> None:
    """What it asks of a cluster is refused without its rights, and answered with them."""
    settings = log_settings(guarded, client=library)
    assert ask(settings, "--replicas", "1")[0] == 0
    theirs = {**settings, **{key: log_settings(guarded, "bob")[key] for key in ("servers", "sasl")}}
    model = Settings.model_validate(theirs)
    client, names = client_of(model), model.names(TENANT)
    (spikes,) = model.topics
    everything = [spikes, names.alerts, names.revisions, names.dead_letters]
    steps: dict[Process, list[Callable[[], object]]] = {
        "send": [lambda: _append(client, spikes)],
        "publish": [lambda: _publish(client, names.revisions)],
        "run": [
            lambda: _described(client, everything),
            lambda: _read(client, spikes),
            lambda: _read(client, names.revisions),
            lambda: _append(client, spikes),
            lambda: _append(client, names.dead_letters),
            lambda: _append_alert(client, names.alerts),
            lambda: _read(client, names.alerts),
            lambda: _joined(client, names.group, spikes),
            lambda: _joined(client, f"{names.group}.deliver.elastic", names.alerts),
        ],
        "doctor": [
            lambda: _described(client, everything),
            *(partial(_read, client, topic) for topic in everything),
            lambda: _append(client, names.dead_letters),
            lambda: _asked(client, names.group),
        ],
        "status": [
            lambda: _described(client, [spikes, names.alerts]),
            lambda: _read(client, names.revisions),
            *(partial(_bounded, client, topic) for topic in (spikes, names.alerts)),
            *(partial(_asked, client, group) for group in (names.group, f"{names.group}.deliver.elastic")),
        ],
    }
    for step in steps[process]:
        with pytest.raises((LogDenied, LogMissing)):
            step()
    granted(guarded, theirs, process, "bob")
    for step in steps[process]:
        _answered(step)


def _answered(step: Callable[[], object]) -> None:
    """Do it within some seconds: a grant comes into force a moment after it was given, and a new cluster first makes what keeps groups."""
    end = time.monotonic() + GRANTED_S
    while True:
        try:
            step()
        except (LogDenied, LogMissing, LogUnavailable):
            if time.monotonic() > end:
                raise
            time.sleep(0.1)
        else:
            return


def _asked(client: Client, group: str) -> None:
    admin = client.admin()
    try:
        assert (admin.members(group), admin.committed(group)) == ({}, {})
    finally:
        admin.close()


def _bounded(client: Client, topic: str) -> None:
    reader = client.reader()
    try:
        first, end = reader.bounds(Partition(topic, 0))
        assert first <= end
    finally:
        reader.close()


def _described(client: Client, topics: list[str]) -> None:
    admin = client.admin()
    try:
        assert len(admin.cluster_id()) > 0
        assert sorted(admin.describe(topics)) == sorted(topics)
    finally:
        admin.close()


def _read(client: Client, topic: str) -> None:
    reader = client.reader()
    try:
        first, end = reader.bounds(Partition(topic, 0))
        reader.read(Partition(topic, 0), [*range(first, end)][:1])
        if not reader.topic_id(topic):
            raise LogMissing(topic)
    finally:
        reader.close()


def _append(client: Client, topic: str) -> None:
    producer = client.producer()
    try:
        producer.append([Outgoing(topic, b"cam", b"a frame", 0)])
    finally:
        producer.close()


def _append_alert(client: Client, topic: str) -> None:
    producer = client.producer()
    try:
        AlertTopic(topic, TENANT, producer, lambda _, reason: pytest.fail(reason)).append([an_alert(1, TENANT)])
    finally:
        producer.close()


def _publish(client: Client, topic: str) -> None:
    producer, reader = client.producer(), client.reader()
    try:
        revisions = RevisionsTopic(topic, reader, producer)
        number = revisions.publish(b"a revision")
        assert revisions.revision(number) == b"a revision"
    finally:
        producer.close()
        reader.close()


def _joined(client: Client, group: str, topic: str) -> None:
    member = client.group(group, [topic])
    owned: set[Partition] = set()

    def given() -> set[Partition]:
        owned.update(member.poll().given)
        return owned

    try:
        awaited(given)
        said: list[str] = []
        partition = min(owned)
        member.commit({partition: Place(0, "x")}, said.append)
        awaited(lambda: (member.poll(), said)[1])
        assert said == [""]
        assert member.committed(partition) == Place(0, "x")
    finally:
        member.close()
