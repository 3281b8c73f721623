"""`setup kafka` where no broker answers: what is planned, what is refused, and what never leaves."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from tests.reference.plant import Plant

from spikebridge import cli
from spikebridge.cli.setup_kafka import lack_of_brokers
from spikebridge.kafka.client import NewTopic

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Ask = Callable[..., tuple[int, str]]

NOWHERE = "127.0.0.1:1"
LOG: dict[str, Any] = {"type": "kafka", "servers": [NOWHERE], "topics": ["spikes"]}


@pytest.fixture
def ask(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Ask:
    """Run `spikebridge setup kafka`; return exit code and everything that was said."""
    monkeypatch.chdir(tmp_path)

    def run(logs: dict[str, Any], *arguments: str) -> tuple[int, str]:
        (tmp_path / "spikebridge.yaml").write_text(json.dumps({"tenant": "acme", "logs": logs}))
        code = cli.main(["setup", "kafka", *arguments])
        said = capsys.readouterr()
        return code, said.out + said.err

    return run


def test_a_plan_needs_no_cluster(ask: Ask) -> None:
    """Topics and rights are printed for whoever makes them by other means; that nobody was asked is an error."""
    code, said = ask({"plant": LOG}, "--dry-run", "--partitions", "6", "--replicas", "2", "--principal", "CN=spike")

    assert code == 1
    assert f"kafka-topics.sh --bootstrap-server {NOWHERE} --create --topic spikes --partitions 6 --replication-factor 2" in said
    assert "error: the cluster was not asked: " in said
    assert "--allow-principal User:CN=spike --operation Read --operation Write --operation DescribeConfigs --topic spikes" in said


def test_a_plan_as_json_says_the_same(ask: Ask) -> None:
    """One document: topics with their result, differences, rights."""
    code, said = ask({"plant": LOG}, "--dry-run", "--json", "--keep", "3d", "--size", "2GB")
    document = json.loads(said)
    spikes = document["topics"][0]

    assert code == 1
    assert (spikes["name"], spikes["role"], spikes["result"], spikes["partitions"]) == ("spikes", "spikes", "not asked", 12)
    assert (spikes["configs"]["retention.ms"], spikes["configs"]["retention.bytes"]) == (str(3 * 86_400_000), "2000000000")
    assert document["error"].startswith(f"the cluster was not asked: kafka {NOWHERE}: ")
    assert {right["process"] for right in document["rights"]} == {"run", "publish", "send", "setup", "doctor", "status"}


def test_more_copies_than_there_are_brokers_are_told_before_anything_is_made() -> None:
    """The first topic would fail, or, made by other hands, each of them."""
    admin = Plant().kafka.client().admin()

    assert lack_of_brokers([NewTopic("spikes", 12, 1, {})], admin) == ""
    assert lack_of_brokers([NewTopic("a", 1, 1, {}), NewTopic("b", 1, 3, {})], admin) == (
        "--replicas: expected at most 1, which is how many brokers there are, found 3: start more, or say --replicas 1"
    )


def test_a_cluster_that_is_away_is_told_in_a_line(ask: Ask) -> None:
    """Where it was looked for and what was found there; no traceback."""
    code, said = ask({"plant": LOG})
    assert code == 2
    assert said.startswith(f"spikebridge: kafka {NOWHERE}: ")
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize(
    ("logs", "arguments", "told"),
    [
        ({}, [], "NAME: expected the log of type kafka (none: add one of `type: kafka` to the configuration), found no name"),
        ({"plant": LOG}, ["plan"], 'NAME: expected the log of type kafka (plant), found "plan"'),
        ({"plant": LOG}, ["--partitions", "0"], 'expected a number from 1 to 10000, found "0"'),
        ({"plant": LOG}, ["--replicas", "many"], 'expected a number from 1 to 100, found "many"'),
        ({"plant": LOG}, ["--keep", "45m"], "--keep: expected 1h or more, found 45m"),
        ({"plant": LOG}, ["--keep-alerts", "1d"], "--keep-alerts: expected 2d or more, found 1d"),
        ({"plant": LOG}, ["--user", "admin"], "expected --user and --password together"),
        ({"plant": LOG}, ["--user", "admin", "--password", "env:HOME"], "--user: expected a log with `sasl`"),
    ],
)
def test_what_can_not_work_is_refused(ask: Ask, logs: dict[str, Any], arguments: list[str], told: str) -> None:
    """Exit code 2 and a sentence, before anything is asked of a cluster."""
    code, said = ask(logs, *arguments)
    assert code == 2
    assert told in said


def test_secrets_stay_where_they_are(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither one of the configuration nor an administrator's is in a plan, an error or the rights; one on the command line is refused."""
    monkeypatch.setenv("OURS", "our-secret")
    monkeypatch.setenv("ADMINS", "admins-secret")
    sasl = {"mechanism": "SCRAM-SHA-512", "user": "spike", "password": "${env:OURS}"}
    said = "".join(
        ask({"plant": {**LOG, "sasl": sasl}}, *arguments)[1]
        for arguments in (
            ["--dry-run", "--user", "admin", "--password", "env:ADMINS"],
            ["--dry-run", "--json"],
            ["--user", "admin", "--password", "env:ADMINS"],
            ["--user", "admin", "--password", "admins-secret"],
        )
    )
    assert "User:spike" in said
    assert "expected env:NAME or file:PATH" in said
    assert "secret" not in said.replace("a secret on the command line", "")
