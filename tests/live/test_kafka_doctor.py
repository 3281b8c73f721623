"""`doctor` on real brokers: every way in, what is lacking, clocks, and devices that lie in two partitions."""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING, Any

import pytest
from tests.live.kafka_makers import awaited
from tests.live.kafka_places import everything

from spikebridge import cli
from spikebridge.kafka.client import Outgoing
from spikebridge.kafka.connection import CLIENTS, Connection, connect
from spikebridge.kafka.hashing import crc32, murmur2

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.live.servers.kafka import Cluster

    Ask = Callable[..., tuple[int, str]]

pytestmark = pytest.mark.live

LISTENERS = ("PLAINTEXT", "SASL_PLAINTEXT", "SASL_SSL", "SSL")


@pytest.fixture(params=sorted(CLIENTS))
def library(request: pytest.FixtureRequest) -> str:
    """Each client in turn."""
    return str(request.param)


@pytest.fixture
def ask(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Ask:
    """Run a command for a configuration; return exit code and everything that was said."""

    def run(config: dict[str, Any], *arguments: str) -> tuple[int, str]:
        file = tmp_path / "spikebridge.yaml"
        file.write_text(json.dumps({"data": str(tmp_path / "data"), **config}))
        code = cli.main([*arguments, "--config", str(file)])
        said = capsys.readouterr()
        return code, said.out + said.err

    return run


def way(cluster: Cluster, listener: str, **sasl: str) -> dict[str, Any]:
    """Return how alice comes in by a listener."""
    made: dict[str, Any] = {"servers": cluster.bootstrap(listener).split(",")}
    if listener.endswith("SSL"):
        made["tls"] = {"ca": str(cluster.tls.ca)}
    if listener == "SSL":
        made["tls"] |= {"certificate": str(cluster.tls.client_cert), "key": str(cluster.tls.client_key)}
    if listener.startswith("SASL"):
        made["sasl"] = {"mechanism": "SCRAM-SHA-512", "user": "alice", "password": cluster.passwords["alice"], **sasl}
    return made


@pytest.fixture
def log(kafka: Cluster, ask: Ask, library: str, tmp_path: Path) -> Iterator[dict[str, Any]]:
    """Return a log whose topics are there, as `setup` makes them, with a revision."""
    name = secrets.token_hex(4)
    own = {
        "alerts": f"alerts-{name}",
        "revisions": f"revisions-{name}",
        "dead_letters": f"letters-{name}",
        "group": f"group-{name}",
    }
    made = {"type": "kafka", "client": library, "topics": [f"spikes-{name}"], **own, **way(kafka, "PLAINTEXT")}
    assert ask({"logs": {"plant": made}}, "setup", "kafka", "--replicas", "1", "--partitions", "4")[0] == 0
    mappings = tmp_path / "mappings.yaml"
    mappings.write_text("mappings:\n- {neuron_id: 42, threat_type: Burst, severity: High}\n")
    code, said = ask({"logs": {"plant": made}, "mappings": [str(mappings)]}, "publish")
    assert code == 0, said
    yield made
    for topic in (f"spikes-{name}", f"alerts-{name}", f"revisions-{name}", f"letters-{name}"):
        kafka.delete_topic(topic)


def put(cluster: Cluster, topic: str, *records: tuple[str, int]) -> None:
    """Append a record of a device to a partition, for each."""
    producer = connect(Connection.model_validate({"servers": cluster.bootstrap().split(",")})).producer()
    try:
        producer.append([Outgoing(topic, device.encode(), b"a frame", partition) for device, partition in records])
    finally:
        producer.close()


@pytest.mark.parametrize("listener", LISTENERS)
def test_every_way_in_is_walked_to_a_record_read_back(kafka: Cluster, ask: Ask, log: dict[str, Any], listener: str) -> None:
    """Names, port, certificate, who we are, topics, rights, group, revision, write, read back, clock, devices."""
    code, said = ask({"logs": {"plant": {**log, **way(kafka, listener)}}}, "doctor", "--only", "plant", "--json")
    checks = {check["name"]: check for check in json.loads(said)["checks"]}

    assert code == 0, said
    steps = ["DNS", "TCP", "TLS", "credentials", "topic", "rights", "group", "revision", "write", "read back", "clock", "devices"]
    assert list(checks) == [step for step in steps if step != "TLS" or listener.endswith("SSL")]
    assert ("alice" in checks["credentials"]["detail"]) == listener.startswith("SASL")
    assert [record.value for record in everything(kafka, log["dead_letters"])] == [b"spikebridge doctor was here"]


@pytest.mark.parametrize(
    ("listener", "changes", "name"),
    [
        ("SASL_PLAINTEXT", {"sasl": {"mechanism": "SCRAM-SHA-512", "user": "alice", "password": "a-wrong-one"}}, "credentials"),
        ("SASL_SSL", {"tls": {}}, "TLS"),
        ("SSL", {"tls": {"ca": "no-such-file.pem"}}, "TLS files"),
    ],
)
def test_a_way_in_that_is_closed_ends_at_the_door(
    kafka: Cluster, ask: Ask, log: dict[str, Any], listener: str, changes: dict[str, Any], name: str
) -> None:
    """The last line names the step and what to do; nothing behind it is tried, and no secret is told."""
    code, said = ask({"logs": {"plant": {**log, **way(kafka, listener), **changes}}}, "doctor", "--only", "plant")
    *_, last, summary = said.splitlines()

    assert (code, ", 1 failed" in summary) == (1, True), said
    assert last.startswith(f"FAIL log plant: {name}: ")
    assert "; " in last
    assert "a-wrong-one" not in said


def test_a_topic_that_differs_is_told_with_its_command(kafka: Cluster, ask: Ask, log: dict[str, Any]) -> None:
    """An error fails; everything behind it is tried all the same."""
    letters = f"{log['dead_letters']}-small"
    kafka.create_topic(letters, max_message_bytes="1000")
    code, said = ask({"logs": {"plant": {**log, "dead_letters": letters}}}, "doctor", "--only", "plant")
    kafka.delete_topic(letters)

    assert code == 1
    assert f"FAIL log plant: topic: {letters}: max.message.bytes: expected 1,052,672 or more, found 1,000" in said
    assert f"--entity-name {letters} --alter --add-config max.message.bytes=2097152" in said
    assert "ok   log plant: read back: " in said


def test_a_log_without_a_revision_fails_with_the_mend(kafka: Cluster, ask: Ask, log: dict[str, Any]) -> None:
    """`run` would wait for it."""
    topic = f"{log['revisions']}-empty"
    kafka.create_topic(topic, cleanup_policy="compact")
    code, said = ask({"logs": {"plant": {**log, "revisions": topic}}}, "doctor", "--only", "plant")
    kafka.delete_topic(topic)

    assert code == 1
    assert f"FAIL log plant: revision: topic {topic}: none was published: `run` waits for one; spikebridge publish\n" in said


def test_settings_that_may_not_be_read_are_told_with_the_right_that_is_lacking(
    kafka: Cluster, ask: Ask, log: dict[str, Any]
) -> None:
    """They would pass for a topic that keeps everything for ever."""
    kafka.allow("alice", "READ WRITE", "TOPIC", log["alerts"])
    told: list[tuple[int, str]] = []

    def refused() -> bool:
        told.append(ask({"logs": {"plant": {**log, **way(kafka, "SASL_PLAINTEXT")}}}, "doctor", "--only", "plant"))
        return f"topic {log['alerts']}: no right to read its settings: expected DescribeConfigs; grant it as " in told[-1][1]

    awaited(refused)  # a rule comes into force a moment after it was given
    code, said = told[-1]
    assert code == 1
    assert "log plant: rights: lacking: " in said
    assert "brokers' own logs" not in said


def test_a_device_in_two_partitions_is_named_with_what_to_change(kafka: Cluster, ask: Ask, log: dict[str, Any]) -> None:
    """By which hash each record came where it lies, and the setting of the producer that is wrong."""
    topic = log["topics"][0]
    device = next(
        f"cam-{number}" for number in range(99) if len({way_(f"cam-{number}".encode(), 4) for way_ in (murmur2, crc32)}) > 1
    )
    right, wrong = murmur2(device.encode(), 4), crc32(device.encode(), 4)
    put(kafka, topic, (device, right), (device, wrong), ("lamp", murmur2(b"lamp", 4)), ("lamp", murmur2(b"lamp", 4)))
    code, said = ask({"logs": {"plant": log}}, "doctor", "--only", "plant")

    assert code == 0
    (line,) = [line for line in said.splitlines() if " devices: " in line]
    assert line.startswith(f"warn log plant: devices: {device} is in ")
    assert f"{topic}-{right} (murmur2)" in line
    assert f"{topic}-{wrong} (crc32)" in line
    assert "partitioner=murmur2_random" in line


def test_a_name_that_steers_a_terminal_is_written_out(kafka: Cluster, ask: Ask, log: dict[str, Any]) -> None:
    """Keys are anybody's words."""
    put(kafka, log["topics"][0], ("\x1b[2Jcam", 0), ("\x1b[2Jcam", 1))
    said = ask({"logs": {"plant": log}}, "doctor", "--only", "plant")[1]
    assert "\\u001b[2Jcam is in " in said
    assert "\x1b" not in said


def test_a_sink_is_walked_to_a_record_that_says_what_it_is(kafka: Cluster, ask: Ask, library: str, unique: str) -> None:
    """First there is no topic; then the record of the test lies in it, named in the report."""
    sinks = {"bus": {"type": "kafka", "client": library, "topic": unique, **way(kafka, "SASL_SSL")}}
    code, said = ask({"sinks": sinks}, "doctor", "--only", "bus")
    assert (code, f"FAIL sink bus: topic: there is no {unique}" in said) == (1, True), said

    kafka.create_topic(unique)
    code, said = ask({"sinks": sinks}, "doctor", "--only", "bus")
    assert code == 0, said
    assert "where it stays as offset 0\nok   sink bus: read back: it was found again\n" in said
    (record,) = everything(kafka, unique)
    assert json.loads(record.value)["kind"] == "probe"
    kafka.delete_topic(unique)
