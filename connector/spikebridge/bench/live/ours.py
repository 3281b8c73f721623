"""Our own service as a contestant: a directory with its configuration and mapping, topics of its own, instances."""

from __future__ import annotations

import json
import os
import socket
import sys
import urllib.request
from typing import TYPE_CHECKING, Any

from spikebridge.app.content import load_tested
from spikebridge.app.parts import open_revisions
from spikebridge.bench.live.process import Process
from spikebridge.config import load_config
from spikebridge.logs.kafka.sealed import unseal
from spikebridge.mapping.rules import rule_set_content

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from spikebridge.bench.live.cluster import Broker

ALERT_PARTITIONS = 2
UNKNOWN_DEVICES = 10_000_000
_SPIKES = "spikebridge_spikes_total"
_DELIVERED = "spikebridge_delivered_total"


class Ours:
    """A service over one spike topic, with a group and an alert topic that nobody has used."""

    def __init__(  # noqa: PLR0913 -- the conditions of a case, all of which are printed
        self,
        broker: Broker,
        directory: Path,
        topic: str,
        mapping: str,
        *,
        client: str = "kafka-python",
        sinks: Mapping[str, Any] | None = None,
        look_back: str = "",
        session_s: int = 10,
    ) -> None:
        """Make the topics, write the configuration, publish the mapping."""
        self.directory = directory
        self._broker = broker
        self._instances = 0
        directory.mkdir()
        names = {name: broker.unique(name.replace("_", "-")) for name in ("alerts", "revisions", "dead_letters", "group")}
        self.alerts, self.group = names["alerts"], names["group"]
        broker.make(names["alerts"], ALERT_PARTITIONS)
        broker.make(names["revisions"], 1, cleanup_policy="compact")
        broker.make(names["dead_letters"], 1)
        (directory / "mappings.yaml").write_text(mapping)
        log = {"type": "kafka", "servers": broker.server, "client": client, "topics": topic, "session": f"{session_s}s", **names}
        limits: dict[str, Any] = {"max_unknown_devices": UNKNOWN_DEVICES} | ({"look_back": look_back} if look_back else {})
        self._config = {"mappings": ["mappings.yaml"], "limits": limits, "logs": {"spikes": log}, "sinks": dict(sinks or {})}
        self._publish()

    def start(self, stages: str, cores: Sequence[int] = (), *, again: bool = False) -> Instance:
        """Start one more instance, or the one that died once more, in the directory that it had."""
        self._instances += 0 if again and self._instances else 1
        return Instance(self._write(f"instance-{self._instances}"), self.directory, stages, cores)

    def alerts_there(self) -> tuple[int, int]:
        """Return how many alerts the alert topic holds, and how many repeats: an owner that begins anew appends some again, under their ids."""
        records = self._broker.read(self.alerts, ALERT_PARTITIONS)
        ids = {unseal(record).id for record in records}
        return len(ids), len(records) - len(ids)

    def _publish(self) -> None:
        config = load_config(self._write("publisher"), os.environ)
        with open_revisions(config) as revisions:
            revisions.publish(rule_set_content(load_tested(config).rule_set))

    def _write(self, name: str) -> Path:
        path = self.directory / f"{name}.yaml"
        own = {"data": name, "metrics": {"listen": f"127.0.0.1:{_free_port()}"}}
        path.write_text(json.dumps(self._config | own))
        return path


class Instance(Process):
    """One process of ours."""

    def __init__(self, config: Path, directory: Path, stages: str, cores: Sequence[int]) -> None:
        """Start it."""
        listen = json.loads(config.read_text())["metrics"]["listen"]
        self._url = f"http://{listen}/metrics"
        command: list[str | Path] = [sys.executable, "-m", "spikebridge", "run", "--config", config, "--stages", stages]
        super().__init__(config.stem, command, directory, cores)

    def spikes(self) -> int:
        """Return how many spikes it has matched, their alerts acknowledged; 0 while it doesn't answer yet."""
        return self._sum(_SPIKES)

    def delivered(self) -> int:
        """Return how many alerts its sinks have acknowledged."""
        return self._sum(_DELIVERED)

    def _sum(self, metric: str) -> int:
        try:
            with urllib.request.urlopen(self._url, timeout=5) as answer:  # noqa: S310 -- our own loopback port
                text = answer.read().decode()
        except OSError:
            return 0
        return sum(int(float(line.rpartition(" ")[2])) for line in text.splitlines() if line.startswith(metric))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
