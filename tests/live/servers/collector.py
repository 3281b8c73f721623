"""
A receiver of Splunk's HTTP Event Collector that we did not write: the OpenTelemetry Collector, built from `hec/` with the machine's Go.

It can't refuse, throttle or lose acknowledgements, and says some things otherwise than Splunk: acknowledgements count from 1, a wrong token
is told in plain text, trouble behind it is a 500 without a code. Those are what it is for; for the rest there is `spikebridge.testing.hec`.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from tests.live.servers.missing import Missing
from tests.live.servers.process import Server, ServerFailed, free_ports, is_listening
from tests.live.servers.search_home import completed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.live.servers.tls import Authority

MODULE = Path(__file__).with_name("hec")
TOKEN = "a-token-for-spikebridge"  # noqa: S105 -- nobody else's
FLUSH_S = 0.05
LARGEST_BYTES = 20 << 20
BUILD_S = 1_500
"""From empty caches it takes three minutes on two busy cores."""

_START_S = 30.0


@dataclass(frozen=True, slots=True)
class Received:
    """One event as the collector wrote it; `id` is the indexed field that the sink adds."""

    id: str
    time_ns: int
    labels: dict[str, str]
    event: Any
    fields: dict[str, Any]


class Collector:
    """
    One collector on loopback, for a `with` block; what it received is in a file of `directory` and outlives a restart.

    With `relay`, the address of another HEC receiver, it passes everything on to that one instead, and acknowledges when that one has taken it.
    """

    def __init__(
        self,
        directory: Path,
        *,
        acknowledges: bool = True,
        tls: Authority | None = None,
        relay: str = "",
        largest_bytes: int = LARGEST_BYTES,
    ) -> None:
        """Start nothing yet; `largest_bytes` bounds a request, unpacked."""
        self._port = free_ports(1)[0]
        self._scheme = "https" if tls else "http"
        self._written = directory / "received.jsonl"
        (directory / "collector.json").write_text(
            json.dumps(self._config(self._receiver(largest_bytes, acknowledges=acknowledges, tls=tls), relay))
        )
        self.process = Server("collector", [_program(), "--config", directory / "collector.json"], directory)

    @property
    def url(self) -> str:
        """Where it listens, also after a restart."""
        return f"{self._scheme}://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Start, and wait until it listens."""
        self.process.start(lambda: is_listening(self._port), _START_S)

    def stop(self) -> None:
        """End it as its operator would: what it acknowledged is written."""
        self.process.stop()

    def __enter__(self) -> Self:
        """Start."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End it."""
        self.process.kill()

    def received(self) -> list[Received]:
        """Return everything that it wrote, in that order; it writes a moment after it acknowledges, so we wait until no more comes."""
        size = -1
        while size != (size := self._written.stat().st_size if self._written.exists() else 0):
            time.sleep(2 * FLUSH_S)
        lines = self._written.read_text(encoding="utf-8").splitlines() if self._written.exists() else []
        return [event for line in lines for event in _events(json.loads(line))]

    def ids(self) -> list[str]:
        """Return the id of everything that it received."""
        return [event.id for event in self.received()]

    def _receiver(self, largest_bytes: int, *, acknowledges: bool, tls: Authority | None) -> dict[str, Any]:
        made: dict[str, Any] = {
            "endpoint": f"127.0.0.1:{self._port}",
            "auth": {"authenticator": "bearertokenauth"},
            "max_request_body_size": largest_bytes,
        }
        if acknowledges:
            made["ack"] = {"extension": "ack"}
        if tls:
            made["tls"] = {"cert_file": str(tls.server_cert), "key_file": str(tls.server_key)}
        return made

    def _config(self, receiver: dict[str, Any], relay: str) -> dict[str, Any]:
        to_file = {"path": str(self._written), "append": True, "flush_interval": f"{FLUSH_S}s"}
        onwards = {
            "endpoint": f"{relay}/services/collector/event",
            "token": TOKEN,
            "sending_queue": {"enabled": False},
            "retry_on_failure": {"enabled": False},
        }
        exporter = {"splunk_hec": onwards} if relay else {"file": to_file}
        extensions = {"ack": {}, "bearertokenauth": {"scheme": "Splunk", "tokens": [TOKEN]}}
        return {
            "extensions": extensions,
            "receivers": {"splunk_hec": receiver},
            "exporters": exporter,
            "service": {
                "extensions": sorted(extensions),
                "telemetry": {"metrics": {"level": "none"}, "logs": {"level": "warn"}},
                "pipelines": {"logs": {"receivers": ["splunk_hec"], "exporters": sorted(exporter)}},
            },
        }


def _program() -> Path:
    return completed("hec", [MODULE / name for name in ("main.go", "go.mod", "go.sum")], _build) / "hec"


def _build(folder: Path) -> None:
    """Build it in a way that gives the same bytes again; modules that can't be had are the machine's lack, anything else is ours."""
    go = shutil.which("go")
    if go is None:
        raise Missing("needs Go 1.26 or newer to build the HEC receiver; install it from https://go.dev/dl/")
    folder.mkdir()
    _run([go, "list", "-mod=readonly", "-deps", "."], Missing, "the HEC receiver's Go modules can't be had")
    build = [go, "build", "-mod=readonly", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-o", str(folder / "hec"), "."]
    _run(build, ServerFailed, "the HEC receiver can't be built")


def _run(command: list[str], failure: type[Exception], what: str) -> None:
    try:
        done = subprocess.run(
            command,
            check=False,
            cwd=MODULE,
            capture_output=True,
            text=True,
            timeout=BUILD_S,
            env={**os.environ, "CGO_ENABLED": "0"},
        )
    except subprocess.TimeoutExpired:
        raise failure(f"{what}: not done after {BUILD_S} s") from None
    if done.returncode:
        raise failure(f"{what}: {' '.join(command)} said:\n{done.stderr[-2_000:]}")


def _events(line: Mapping[str, Any]) -> list[Received]:
    """Read a line of the file: OTLP as JSON, in which labels belong to the resource and fields to the record."""
    found = []
    for resource in line["resourceLogs"]:
        labels = {name.removeprefix("com.splunk."): str(value) for name, value in _attributes(resource["resource"]).items()}
        for scope in resource["scopeLogs"]:
            for record in scope["logRecords"]:
                fields = _attributes(record)
                time_ns = int(record.get("timeUnixNano", 0))  # OTLP leaves zeroes out
                found.append(Received(str(fields.get("spikebridge_id", "")), time_ns, labels, _value(record["body"]), fields))
    return found


def _attributes(owner: Mapping[str, Any]) -> dict[str, Any]:
    return {one["key"]: _value(one["value"]) for one in owner.get("attributes", [])}


def _value(value: Mapping[str, Any]) -> Any:
    """Read a value of OTLP: its one key is its type."""
    kind: str
    inner: Any
    kind, inner = next(iter(value.items()), ("", None))
    if kind == "kvlistValue":
        return {one["key"]: _value(one["value"]) for one in inner.get("values", [])}
    if kind == "arrayValue":
        return [_value(one) for one in inner.get("values", [])]
    return int(inner) if kind == "intValue" else inner
