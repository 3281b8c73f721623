"""A run of two instances that are killed, frozen and robbed of brokers while the sender goes on, and the verdict after it."""

from __future__ import annotations

import os
import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self, cast

from tests.live.kills import inputs, oracle, takeovers, verdict
from tests.live.kills.instances import Instance, stop_together
from tests.live.kills.standing import ALERT_PARTITIONS, PARTITIONS, SINKS, Standing, Watch, insisted

from spikebridge.app.parts import open_revisions
from spikebridge.config import load_config
from spikebridge.kafka.connection import Connection, connect
from spikebridge.logs.kafka.sealed import Home
from spikebridge.mapping.evidence import Identity
from spikebridge.testing.hec import HecServer, Token

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.live.servers.elasticsearch import Elasticsearch
    from tests.live.servers.kafka import Cluster

    from spikebridge.kafka.client import Client
    from spikebridge.logs.kafka import Settings

STEADY_S = 180.0
DRAINED_S = 300.0
ACK_S = 0.5
PAUSE_S = 0.05
PATIENT = "60s"
"""What the receiver may take for an answer on a slow machine: after that a sink delivers again, as it should."""

NAMES = ("a", "b", "c")


@dataclass(frozen=True)
class Plan:
    """What is to be done, and with which client; `static` gives the instances names in their groups, `sabotage` breaks them on purpose."""

    client: str
    kills: int
    brokers: int = 0
    freezes: int = 0
    reloads: int = 2
    churn_s: int = 0
    per_second: int = 300
    static: bool = False
    sabotage: str = ""


class Trial:
    """A site of its own on the given servers; a context manager."""

    def __init__(self, plan: Plan, directory: Path, kafka: Cluster, elastic: Elasticsearch, say: Callable[[str], None]) -> None:
        """Make topics and configurations, and publish the first revision."""
        self.plan = plan
        self.kafka = kafka
        self.say = say
        self.tenant = f"kills_{secrets.token_hex(4)}"
        self.topic = f"spikes-{self.tenant}"
        self.ended: list[str] = []
        self._committed: list[verdict.Committed] = []
        self._elastic = elastic
        self._began_s = time.monotonic()
        self.hec = HecServer({_token(name): Token(acknowledges=True) for name in NAMES})
        self.hec.ack_s = ACK_S
        self.hec.start()
        self._make_topics()
        inputs.write_content(directory, 0)
        self._directory = directory
        self.instances = [self._instance(name) for name in NAMES]
        self.config = load_config(self.instances[0].config_file, os.environ)
        assert self.config.source is not None
        self.names = cast("Settings", self.config.source.settings).names(self.tenant)
        self.client = self._client("confluent")
        # librdkafka's admin has aborted the process, and after a broker's death it went on failing
        self.watch = Watch(self._client("kafka-python"), self.topic, self.names)
        self.sender = inputs.Sender(self.client, self.topic, plan.per_second)
        insisted(lambda: inputs.publish(self.config))

    def __enter__(self) -> Self:
        """Start two instances, and send."""
        for instance in self.instances[:2]:
            instance.start()
        self.sender.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End whatever runs."""
        self.sender.stop()
        for instance in self.instances:
            instance.kill()
        self.watch.close()
        self.hec.stop()

    def tell(self, text: str) -> None:
        """Say it with the time since the start."""
        self.say(f"{time.monotonic() - self._began_s:6.1f} s  {text}")

    def steady(self, members: int = 2) -> None:
        """
        Wait until so many members share all partitions in every group, and everything that was there before is matched and delivered.

        Whoever ended by itself is noted and started again.
        """
        begun = self.watch.standing()
        end = time.monotonic() + STEADY_S
        while True:
            self._revive(members)
            standing = self.watch.standing()
            if standing.passed(begun) and self.watch.shared(members):
                return
            assert time.monotonic() < end, f"not steady after {STEADY_S:g} s: {self.watch.shares()}, {standing}; {self._said()}"
            time.sleep(0.2)

    def undelivered(self) -> Standing:
        """Wait until something is under way to every sink."""
        end = time.monotonic() + STEADY_S
        while True:
            standing = self.watch.standing()
            if all(standing.undelivered(sink) for sink in SINKS):
                return standing
            assert time.monotonic() < end, f"nothing is under way: {standing}; {self._said()}"
            time.sleep(PAUSE_S)

    def trouble(self, do: Callable[[], str]) -> None:
        """Do something to the service, wait until it has recovered, and tell what was done and how all stood just before."""
        before = self.undelivered()
        self._committed.append((time.monotonic(), before.cursors["splunk"]))
        what = do()
        done_s = time.monotonic()
        self.steady()
        self.tell(f"{what}: {before}; steady again after {time.monotonic() - done_s:.1f} s")

    def reload(self, revision: int) -> int:
        """Publish the next revision."""
        inputs.write_content(self._directory, revision)
        return insisted(lambda: inputs.publish(self.config))

    def finish(self) -> verdict.Verdict:
        """End in order, deliver what is left, and compare everything."""
        self.sender.stop()
        self._drain()
        stop_together(self.instances)
        self.instances[0].deliver_rest()
        return self.judge()

    def judge(self) -> verdict.Verdict:
        """Read the logs and the sinks, and hold them against the reference of the records that were committed."""
        standing = self.watch.standing()
        self.tell(f"at the end: {standing}; computing the reference")
        # by the other client than that of the instances: what one reads wrongly the other one shows
        client = self._client("kafka-python" if self.plan.client == "confluent" else "confluent")
        logs = {number: oracle.keyed(some) for number, some in oracle.read_topic(client, self.topic, standing.committed).items()}
        expected = oracle.reference(Identity(self.tenant, self._home().log, 0), logs, self._contents())
        topic = verdict.read_alerts(oracle.read_topic(client, self.names.alerts, standing.alerts))
        found = verdict.Verdict()
        verdict.judge_topic(found, expected, topic)
        verdict.judge_elastic(found, expected, verdict.read_elastic(self._elastic.admin, self.tenant))
        verdict.judge_hec(found, expected, topic, verdict.Received(self.hec.events, self._takeovers(), self._committed))
        verdict.judge_letters(found, expected, self._letters())
        rules = sorted({(alert.rule.id, alert.revision) for alert in expected.alerts.values()})
        self.tell(
            f"{sum(map(len, logs.values())):,} records; alerts of {', '.join(f'{rule} in {number}' for rule, number in rules)}"
        )
        self.tell(str(found))
        return found

    def _drain(self) -> None:
        end = time.monotonic() + DRAINED_S
        begun = self.watch.standing()
        while True:
            standing = self.watch.standing()
            if standing.passed(begun) and not any(standing.undelivered(reader) for reader in standing.cursors):
                return
            assert time.monotonic() < end, f"not drained after {DRAINED_S:g} s: {standing}; {self._said()}"
            time.sleep(0.5)

    def _revive(self, members: int) -> None:
        for instance in self.instances[:members]:
            if not instance.server.running:
                self.ended.append(f"{instance.name} with {instance.server.ending}: {instance.server.tail()[-600:]}")
                self.tell(f"{instance.name} had ended by itself with {instance.server.ending}: {instance.server.tail()[-600:]}")
                instance.start()

    def _said(self) -> str:
        return " | ".join(f"{instance.name}: {instance.troubles()}" for instance in self.instances if instance.server.running)

    def _letters(self) -> list[str]:
        ends = {0: self.watch.end(self.names.dead_letters)}
        return [(record.key or b"").decode() for record in oracle.read_topic(self.client, self.names.dead_letters, ends)[0]]

    def _home(self) -> Home:
        admin = self._client("kafka-python").admin()
        try:
            return Home(admin.cluster_id(), admin.describe([self.topic])[self.topic].id)
        finally:
            admin.close()

    def _takeovers(self) -> verdict.Takeovers:
        return {_token(instance.name): takeovers.read(instance.directory, "splunk") for instance in self.instances}

    def _contents(self) -> oracle.Contents:
        with open_revisions(self.config) as revisions:
            newest = revisions.newest() or 0
            found = [(number, revisions.revision(number)) for number in range(newest + 1)]
        return [(number, content) for number, content in found if content is not None]

    def _client(self, library: str) -> Client:
        return connect(Connection.model_validate({"servers": self.kafka.bootstrap().split(","), "client": library}))

    def _make_topics(self) -> None:
        stamped = {"message_timestamp_type": "LogAppendTime"}
        self.kafka.create_topic(self.topic, PARTITIONS, **stamped)
        self.kafka.create_topic(f"spikebridge-alerts-{self.tenant}", ALERT_PARTITIONS, **stamped)
        self.kafka.create_topic(f"spikebridge-revisions-{self.tenant}", cleanup_policy="compact")
        self.kafka.create_topic(f"spikebridge-dead-letters-{self.tenant}")

    def _instance(self, name: str) -> Instance:
        log: dict[str, Any] = {
            "type": "kafka",
            "servers": self.kafka.bootstrap().split(","),
            "topics": [self.topic],
            "client": self.plan.client,
            "session": "6s",
        }
        if self.plan.static:
            log["instance"] = name
        config = {
            "tenant": self.tenant,
            "mappings": ["../mappings.yaml"],
            "inventory": "../inventory.yaml",
            "logs": {"plant": log},
            "sinks": {
                "elastic": {"type": "elasticsearch", "endpoint": self._elastic.url},
                "splunk": {"type": "splunk", "endpoints": self.hec.url, "token": _token(name), "timeout": PATIENT},
            },
            "log": {"format": "text"},
        }
        return Instance(name, self._directory / name, config, self.plan.sabotage)


def _token(name: str) -> str:
    """Name the token with which an instance comes to the HEC receiver."""
    return f"a-token-of-{name}"
