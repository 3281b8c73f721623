"""
The service as its operator runs it: `spikebridge run` in processes of their own, on topics of their own.

What it says is read from its JSON log, what it counts from its metrics. `python -m tests.live.running SECONDS` runs it with a clock that
is so far ahead.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

from tests.live.kafka_places import everything
from tests.live.servers.process import Server, free_ports

from spikebridge.alerts import Alert, read_finding
from spikebridge.app import Parts, Service
from spikebridge.app.content import load_tested
from spikebridge.app.parts import open_revisions
from spikebridge.cli.run import stop_on_signals
from spikebridge.config import load_config
from spikebridge.journal import start_journal
from spikebridge.kafka.client import Outgoing, Place
from spikebridge.kafka.connection import Connection, connect
from spikebridge.limits import SECOND
from spikebridge.logs.kafka import sealed
from spikebridge.mapping.rules import rule_set_content

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from tests.live.servers.kafka import Cluster

    from spikebridge.alerts import AlertEntry
    from spikebridge.kafka.client import Partition

T = TypeVar("T")

ROOT = Path(__file__).parents[2]
PATIENCE_S = 120.0
STOP_S = 30.0
SESSION = "6s"
PARTITIONS = 2
STAMPED = {"message.timestamp.type": "LogAppendTime"}
MAPPINGS = """
mappings:
- {id: burst, neuron_id: 42, threat_type: Burst, severity: High, suppress: 1s}
"""
"""One spike is one alert: what must have come out is told by the devices that spoke, each once."""

_PAUSE_S = 0.05


class Site:
    """
    The topics of one tenant, and the instances that run on them; all end with the block.

    `configs` are settings of topics by role (`spikes`, `alerts`, `revisions`, `letters`), over those that are good; `library` is what
    the instances reach Kafka with.
    """

    def __init__(
        self,
        cluster: Cluster,
        directory: Path,
        configs: Mapping[str, Mapping[str, str]] | None = None,
        *,
        library: str,
        mappings: str = MAPPINGS,
        partitions: int = PARTITIONS,
    ) -> None:
        """Create the topics, so many partitions of spikes among them, and publish the mappings."""
        self.cluster, self.library = cluster, library
        self.tenant = f"site_{secrets.token_hex(4)}"
        self.spikes, self.alerts = f"spikes-{self.tenant}", f"spikebridge-alerts-{self.tenant}"
        self.letters, self.revisions = f"spikebridge-dead-letters-{self.tenant}", f"spikebridge-revisions-{self.tenant}"
        self.group = f"spikebridge-{self.tenant}"
        self._directory = directory
        self._configs = configs or {}
        self._instances: list[Instance] = []
        self._partitions = {"spikes": partitions, "alerts": PARTITIONS}
        self._sent = 0
        self._client = connect(Connection.model_validate({"servers": cluster.bootstrap().split(",")}))
        self._producer = self._client.producer()
        for role in ("spikes", "alerts", "revisions", "letters"):
            self.create(role)
        self.mappings = directory / "mappings.yaml"
        self.publish(mappings)

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(self, *_: object) -> None:
        """Kill what still runs."""
        for instance in self._instances:
            instance.server.kill()
        self._producer.close()

    def create(self, role: str) -> None:
        """Create the topic of a role, again if it was deleted."""
        own = {"alerts": STAMPED, "spikes": STAMPED, "revisions": {"cleanup.policy": "compact"}}.get(role, {})
        self.cluster.create_topic(getattr(self, role), self._partitions.get(role, 1), **{**own, **self._configs.get(role, {})})

    def publish(self, mappings: str) -> int:
        """Make a text the newest revision, as `spikebridge publish` does."""
        self.mappings.write_text(mappings)
        file = self._directory / "publish.yaml"
        file.write_text(json.dumps(self.config({}, {})))
        config = load_config(file, {})
        with open_revisions(config) as revisions:
            return revisions.publish(rule_set_content(load_tested(config).rule_set))

    def config(self, log: Mapping[str, Any], sinks: Mapping[str, Any]) -> dict[str, Any]:
        """Return a configuration; `log` is laid over the log's settings."""
        servers = self.cluster.bootstrap().split(",")
        plant = {"type": "kafka", "servers": servers, "client": self.library, "topics": [self.spikes], "session": SESSION}
        return {
            "tenant": self.tenant,
            "mappings": [str(self.mappings)],
            "logs": {"plant": {**plant, **log}},
            "sinks": dict(sinks),
            "log": {"format": "json"},
        }

    def instance(
        self,
        log: Mapping[str, Any] | None = None,
        sinks: Mapping[str, Any] | None = None,
        *,
        data: Path | None = None,
        ahead_s: float = 0.0,
    ) -> Instance:
        """Configure one more instance, not started; without `sinks` it writes lines into a file, `received`."""
        directory = self._directory / f"instance-{len(self._instances)}"
        directory.mkdir()
        chosen = {"lines": {"type": "file", "path": "lines.jsonl"}} if sinks is None else sinks
        elsewhere = {"data": str(data)} if data else {}
        made = Instance(directory, {**self.config(log or {}, chosen), **elsewhere}, ahead_s)
        self._instances.append(made)
        return made

    def send(self, count: int = 4, *, partition: int | None = None, neuron: int = 42) -> set[str]:
        """Append a spike of each of so many new devices, and return their ids."""
        devices = [f"device-{self._sent + number}" for number in range(count)]
        self._sent += count
        self.append({device: json.dumps({"device_id": device, "neuron_id": neuron}).encode() for device in devices}, partition)
        return set(devices)

    def append(self, values: Mapping[str, bytes], partition: int | None = None) -> list[int]:
        """Append records by key, "" for none, and return their offsets."""
        return self._producer.append(
            [Outgoing(self.spikes, key.encode() or None, value, partition) for key, value in values.items()]
        )

    def entries(self) -> list[AlertEntry]:
        """Return everything in the alert topic."""
        return [sealed.unseal(record) for record in everything(self.cluster, self.alerts, PARTITIONS)]

    def findings(self) -> list[Alert]:
        """Return the alerts of the alert topic, each once, as it was first appended."""
        bodies: dict[str, bytes] = {}
        for entry in self.entries():
            bodies.setdefault(entry.id, entry.body)
        found = [read_finding(body) for body in bodies.values()]
        return [finding for finding in found if isinstance(finding, Alert)]

    def differing(self) -> set[str]:
        """Return the ids of which two copies in the alert topic are not the same, byte for byte."""
        bodies: dict[str, bytes] = {}
        return {entry.id for entry in self.entries() if bodies.setdefault(entry.id, entry.body) != entry.body}

    def alerted(self) -> Counter[str]:
        """Count different alerts by device, those about the log itself by threat; copies must be the same."""
        assert not self.differing()
        return Counter(alert.device.id or alert.rule.threat for alert in self.findings())

    def committed(self, stage: str = "") -> dict[Partition, Place]:
        """Return where a stage's group stands."""
        admin = self._client.admin()
        try:
            return admin.committed(f"{self.group}.{stage}" if stage else self.group)
        finally:
            admin.close()


class Instance:
    """One instance in a directory of its own."""

    def __init__(self, directory: Path, config: Mapping[str, Any], ahead_s: float) -> None:
        """Write the configuration; start nothing."""
        self.directory = directory
        self.data = directory / str(config.get("data", "data"))
        self._port = free_ports(1)[0]
        self._received, self._received_bytes = Counter[str](), 0
        self.configure(config)
        runner = ["tests.live.running", str(ahead_s)] if ahead_s else ["spikebridge", "run"]
        self.server = Server("service", [sys.executable, "-m", *runner], directory, env={"PYTHONPATH": str(ROOT)})

    def configure(self, config: Mapping[str, Any]) -> None:
        """Write another configuration, for the next start."""
        served = {"metrics": {"listen": f"127.0.0.1:{self._port}"}}
        (self.directory / "spikebridge.yaml").write_text(json.dumps({**config, **served}))

    def start(self) -> Self:
        """Start, and wait until its partitions are read, unless something is wrong with the logs."""
        self.launch()
        self.server.await_ready(lambda: self.said(r"reading from record") != [], PATIENCE_S)
        return self

    def launch(self) -> Self:
        """Start, and don't wait."""
        self.server.launch()
        return self

    def stop(self) -> None:
        """End it as its operator would."""
        self.server.stop(STOP_S)

    def journal(self) -> Iterator[dict[str, Any]]:
        """Return its log, line by line; what is no JSON is the text of one that could not start."""
        text = self.server.log.read_text(encoding="utf-8") if self.server.log.exists() else ""
        for line in text.splitlines(keepends=True):
            if line.endswith("\n"):
                yield json.loads(line) if line.startswith("{") else {"log.level": "error", "message": line.rstrip()}

    def said(self, pattern: str, since: int = 0) -> list[str]:
        """Return the messages that a pattern is found in."""
        return [line["message"] for line in list(self.journal())[since:] if re.search(pattern, line["message"])]

    def await_said(self, pattern: str, since: int = 0, deadline_s: float = PATIENCE_S) -> str:
        """Wait for a message, and return it."""
        return await_true(lambda: self.said(pattern, since), deadline_s, self.tail)[0]

    def lines(self) -> int:
        """Return how many lines its log has by now, for `since`."""
        return sum(1 for _ in self.journal())

    def metrics(self) -> dict[str, float]:
        """Return its numbers by their series, as Prometheus would read them; none while it isn't there."""
        with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{self._port}/metrics", timeout=10) as answer:
            text = answer.read().decode()
            pairs = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
            return {series: float(value) for series, _, value in pairs}
        return {}

    def metric(self, name: str, **labels: str) -> float:
        """Return the sum of a metric's series that have these labels; -1 if there is none."""
        wanted = [f'{label}="{value}"' for label, value in labels.items()]
        found = [
            value
            for series, value in self.metrics().items()
            if re.fullmatch(rf"spikebridge_{name}(\{{.*)?", series) and all(one in series for one in wanted)
        ]
        return sum(found) if found else -1.0

    def await_metric(self, value: float, name: str, deadline_s: float = PATIENCE_S, **labels: str) -> None:
        """Wait until a metric has a value."""
        await_true(
            lambda: self.metric(name, **labels) == value, deadline_s, lambda: f"{self.metric(name, **labels)}\n{self.tail()}"
        )

    def troubles(self) -> str:
        """Return what /readyz says."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/readyz", timeout=10) as answer:
                return str(answer.read().decode())
        except urllib.error.HTTPError as error:
            with error:
                return error.read().decode()
        except OSError as error:
            return str(error)

    def received(self) -> Counter[str]:
        """Count the lines that its sink of type `file` has written, by device, those about the log itself by threat."""
        with suppress(FileNotFoundError), (self.directory / "lines.jsonl").open("rb") as file:
            file.seek(self._received_bytes)
            whole = file.read().rpartition(b"\n")[0]
            self._received_bytes += len(whole) + 1 if whole else 0
            found = map(json.loads, whole.splitlines())
            self._received.update(one["device"]["id"] or one["rule"]["threat"] for one in found if one["kind"] == "alert")
        return self._received.copy()

    def await_received(self, devices: Iterable[str], deadline_s: float = PATIENCE_S) -> None:
        """Wait until the file has a line of each of these devices; a process that has ended will write none."""
        wanted = set(devices)
        await_true(
            lambda: wanted <= self.received().keys() or not self.server.running,
            deadline_s,
            lambda: f"{wanted - self.received().keys()}\n{self.tail()}",
        )
        missing = wanted - self.received().keys()
        assert not missing, f"it has ended by itself, without {missing}\n{self.server.tail()}"

    def memory(self) -> int:
        """Return the resident memory, in bytes."""
        status = Path(f"/proc/{self.server.pid}/status").read_text(encoding="ascii")
        found = re.search(r"^VmRSS:\s+(\d+) kB", status, re.MULTILINE)
        assert found
        return int(found[1]) << 10

    def tail(self) -> str:
        """Return the end of its log, readably."""
        return "\n".join(f"{line['log.level']:8}{line['message']}" for line in list(self.journal())[-30:])


def await_true(ask: Callable[[], T], deadline_s: float = PATIENCE_S, tell: Callable[[], str] = str) -> T:
    """Ask until the answer is true, and return it; `tell` says what is to be seen where it never is."""
    end = time.monotonic() + deadline_s
    while not (answer := ask()):
        assert time.monotonic() < end, f"not within {deadline_s:g} s; the last answer was {answer!r}\n{tell()}"
        time.sleep(_PAUSE_S)
    return answer


def once_each(devices: Iterable[str]) -> Counter[str]:
    """Return what `alerted` and `received` must be: one of each."""
    return Counter(dict.fromkeys(devices, 1))


def main(ahead_s: float) -> None:
    """Run the configuration of this directory by a clock that is ahead, until SIGTERM."""
    config = load_config(Path("spikebridge.yaml"), os.environ)
    start_journal(config.log.format, config.log.level)
    parts = Parts(clock=lambda: time.time_ns() + round(ahead_s * SECOND))
    with stop_on_signals() as stop, Service(config, parts=parts) as service:
        service.run(stop)


if __name__ == "__main__":
    main(float(sys.argv[1]))
