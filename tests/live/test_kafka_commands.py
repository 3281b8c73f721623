"""Commands over a log on Kafka, far from any spool: what they say where a topic is missing, replaying, comparing mappings, retrying records."""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING

import pytest
from tests.live.kafka_places import everything
from tests.live.running import MAPPINGS, PARTITIONS, await_true, once_each

from spikebridge import cli
from spikebridge.store import Query, Store, record_letter

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.live.running import Site
    from tests.live.servers.kafka import Cluster

    Ask = Callable[..., tuple[int, str]]

pytestmark = pytest.mark.live

SETUP = "make it with: spikebridge setup kafka"


@pytest.fixture
def ask(capsys: pytest.CaptureFixture[str]) -> Ask:
    """Run a command; return exit code and everything that was said."""

    def run(*arguments: object) -> tuple[int, str]:
        code = cli.main([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return code, said.out + said.err

    return run


def test_where_topics_are_missing_each_command_says_how_they_are_made(
    kafka: Cluster, tmp_path: Path, library: str, ask: Ask
) -> None:
    """Each of them is the first that somebody may try."""
    topic = f"spikes-{secrets.token_hex(4)}"
    log = {"type": "kafka", "client": library, "servers": kafka.bootstrap().split(","), "topics": [topic]}
    config = tmp_path / "spikebridge.yaml"
    config.write_text(json.dumps({"tenant": f"t{secrets.token_hex(4)}", "logs": {"plant": log}}))
    event = tmp_path / "event.jsonl"
    event.write_text('{"device_id": "camera-2", "neuron_id": 42}\n')

    code, said = ask("send", event, "--to", "kafka:plant", "--config", config)
    assert (code, said.rstrip().endswith(f"; check its name, or {SETUP}")) == (2, True), said
    code, said = ask("publish", "--config", config)
    assert (code, said.rstrip().endswith(f"; {SETUP}")) == (2, True), said
    code, said = ask("status", "--config", config)
    assert (code, said.count(f"expected to be there, found none; {SETUP}")) == (1, 3), said
    assert f"problem: topic {topic}: " in said
    mappings = tmp_path / "mappings.yaml"
    mappings.write_text(MAPPINGS)
    code, said = ask("backtest", mappings, mappings, "--config", config)
    assert (code, f"topic {topic}: expected to be there, found none; check its name, or {SETUP}" in said) == (2, True), said


def test_an_alert_is_replayed_with_the_revision_of_the_topic(site: Site, ask: Ask) -> None:
    """There is no spool that could hold it."""
    instance = site.instance(sinks={"store": {"type": "store"}, "lines": {"type": "file", "path": "lines.jsonl"}}).start()
    instance.await_received(site.send(1))
    instance.await_metric(1, "delivered_total", sink="store")
    instance.stop()
    with Store(instance.data, read_only=True) as store:
        (entry,) = store.findings(Query())

    code, said = ask("replay", entry.id, "--config", instance.directory / "spikebridge.yaml")
    assert (code, said.startswith(f"same: alert {entry.id} from 1 record")) == (0, True), said


def test_mappings_are_compared_over_what_the_topics_hold(site: Site, tmp_path: Path, ask: Ask) -> None:
    """All partitions of it, under revisions of the topic or files, and no service need run; what nobody has is no revision of a spool."""
    alike, other = tmp_path / "alike.yaml", tmp_path / "other.yaml"
    alike.write_text(MAPPINGS)
    other.write_text(MAPPINGS.replace("burst", "scan").replace("42", "7"))
    number = site.publish(other.read_text()) - 2
    for partition in range(PARTITIONS):
        site.send(3, partition=partition)
    site.send(2, neuron=7)
    config = ["--config", site.instance().directory / "spikebridge.yaml", "--json"]

    code, said = ask("backtest", number, other, *config)
    told = json.loads(said)
    assert (code, told["records"], told["refused"], told["same"]) == (0, 8, 0, 0)
    assert [(len(told[side]), {line["rule"] for line in told[side]}) for side in ("gained", "lost")] == [
        (2, {"scan"}),
        (6, {"burst"}),
    ]
    assert json.loads(ask("backtest", number, alike, *config)[1])["same"] == 6
    assert json.loads(ask("backtest", number, alike, "--from", "1h", *config)[1])["records"] == 8
    assert json.loads(ask("backtest", number, alike, "--to", "1h", *config)[1])["records"] == 0
    code, said = ask("backtest", 999, alike, *config)
    assert (code, "the revisions of log plant: there is no revision 999, the newest is " in said) == (2, True), said


def test_a_refused_record_is_appended_to_its_topic_again(site: Site, ask: Ask) -> None:
    """Under the key of its device, so that the service takes it now; that of a log which is not read stays a letter, and no spool is made."""
    instance = site.instance(sinks={"store": {"type": "store"}, "lines": {"type": "file", "path": "lines.jsonl"}}).start()
    site.append({"camera-1": b'{"device_id": "camera-2", "neuron_id": 42}'})
    instance.await_metric(1, "records_refused_total")
    with Store(instance.data) as store:
        store.bury([record_letter("another", 0, 17, 0, ("x", b"past"), 1)])

    code, said = ask("deadletters", "retry", "--all", "--config", instance.directory / "spikebridge.yaml")
    assert (code, said.splitlines()) == (
        0,
        [
            "1 appended to the spike log again",
            "1 left, of a recording or a log that is not read any more: mend what it holds and send it",
        ],
    )
    await_true(lambda: site.alerted() == once_each(["camera-2"]), tell=instance.tail)
    keys = [record.key for record in everything(site.cluster, site.spikes, PARTITIONS) if record.key]
    assert sorted(keys) == [b"camera-1", b"camera-2"]
    with Store(instance.data, read_only=True) as store:
        assert [letter.raw for letter in store.letters()] == [b"past"]
    assert not (instance.data / "spool.db").exists()
