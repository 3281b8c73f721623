"""The trial of docker-compose.yml without an engine: Kafka under the very settings of the file, and our containers' commands against it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.content.compose import DIRECTORY, filled, made_environment
from tests.live.servers.fetch import pinned
from tests.live.servers.missing import needed
from tests.live.servers.process import Server, free_ports, is_listening, java

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.live

READY_S = 60.0
ALERTS_S = 60.0
BIN = Path(sys.executable).parent


def properties(environment: dict[str, str], data: Path, ports: dict[str, int]) -> str:
    """Return what the image makes of its environment: `KAFKA_NODE_ID` is `node.id`; places and ports are this machine's."""
    named = {
        key.removeprefix("KAFKA_").lower().replace("_", "."): value
        for key, value in environment.items()
        if key.startswith("KAFKA_") and key not in ("KAFKA_HEAP_OPTS", "KAFKA_OPTS")
    }
    named["log.dirs"] = str(data)
    text = "".join(f"{key}={value}\n" for key, value in named.items())
    for port, own in ports.items():
        text = re.sub(rf":{port}\b", f":{own}", text)
    return text.replace("//kafka:", "//127.0.0.1:").replace("//:", "//127.0.0.1:").replace("localhost", "127.0.0.1")


@contextmanager
def kafka(directory: Path, environment: dict[str, str]) -> Iterator[int]:
    """Start the broker; give the port of the listener for the other containers."""
    ports = dict(zip(("9092", "29092", "19092", "9093"), free_ports(4), strict=True))
    file = directory / "server.properties"
    file.write_text(properties(environment, directory / "data", ports), encoding="utf-8")
    program = str(java(17) / "bin/java")
    classpath = ":".join(str(path) for path in pinned("kafka").values())
    begin = [program, "-Xmx256m", "-XX:+UseSerialGC", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", classpath]
    identity = "5L6g3nShT-eMCtK--X86sw"
    subprocess.run(
        [*begin, "kafka.tools.StorageTool", "format", "-t", identity, "-c", file], check=True, capture_output=True, timeout=60
    )
    server = Server("kafka-trial", [*begin, "kafka.Kafka", file], directory)
    server.start(lambda: is_listening(ports["9092"]), READY_S)
    try:
        yield ports["9092"]
    finally:
        server.stop()


class Container:
    """What a container of ours is given: its command, its environment, the mounted directory with this machine's addresses."""

    def __init__(self, directory: Path, service: dict[str, Any], port: int) -> None:
        """Copy the mounted directory; only places and ports are changed in it."""
        self._service = service
        self.place = directory / "etc"
        shutil.copytree(DIRECTORY, self.place)
        config = self.place / "spikebridge.yaml"
        text = config.read_text(encoding="utf-8").replace("kafka:9092", f"127.0.0.1:{port}")
        text = text.replace("/var/lib/spikebridge", str(directory / "data")).replace(
            "0.0.0.0:9464", f"127.0.0.1:{free_ports(1)[0]}"
        )
        config.write_text(text, encoding="utf-8")
        self._environ = {**service["environment"], "PATH": f"{BIN}:{os.environ['PATH']}"}

    def start(self, output: Path) -> subprocess.Popen[bytes]:
        """Start its command."""
        words = [*self._service.get("entrypoint", ["spikebridge"]), *self._service["command"]]
        words = [word.replace("/tmp/alive", str(self.place / "alive")) for word in words]  # noqa: S108 -- the container's own
        with output.open("wb") as file:
            return subprocess.Popen(
                words, cwd=self.place, env=self._environ, stdout=file, stderr=subprocess.STDOUT, start_new_session=True
            )


def test_the_trial_raises_alerts(tmp_path: Path) -> None:
    """Prepared once, twice without harm; then the load's attacks become alerts on standard output of an instance that ends in order."""
    services = filled({**made_environment(tmp_path / "checkout"), "LOAD_RATE": "50"})["services"]
    with needed(), kafka(tmp_path, services["kafka"]["environment"]) as port:
        for turn in ("first", "second"):
            said = tmp_path / f"prepare-{turn}.txt"
            assert Container(tmp_path / turn, services["prepare"], port).start(said).wait(60) == 0, said.read_text()
        assert "already the newest" in said.read_text()

        log = tmp_path / "one.txt"
        running = [Container(tmp_path / "one", services["spikebridge-1"], port).start(log)]
        running.append(Container(tmp_path / "load", services["load"], port).start(tmp_path / "load.txt"))
        try:
            end = time.monotonic() + ALERTS_S
            while '"kind":"alert"' not in log.read_text():
                assert time.monotonic() < end, log.read_text() + (tmp_path / "load.txt").read_text()
                assert [one.poll() for one in running] == [None, None]
                time.sleep(0.2)
            assert (tmp_path / "load/etc/alive").exists()
        finally:
            for one in running:
                os.killpg(one.pid, 15)
            codes = [one.wait(30) for one in running]
        assert codes[0] == 0, log.read_text()
