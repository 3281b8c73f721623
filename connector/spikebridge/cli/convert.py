"""`spikebridge convert`: spikes in, documents out, no state left behind."""

from __future__ import annotations

import os
import shutil
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING

from spikebridge import registry
from spikebridge.cli.terminal import counted, print_json, printable
from spikebridge.cli.unread import unread_lines

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from spikebridge.alerts import Finding, Incident
    from spikebridge.config import Config
    from spikebridge.logs.recording import Recording
    from spikebridge.mapping.engine import DeadRecord, Engine, Taken
    from spikebridge.mapping.rules import Revision

NAME = "convert"
HELP = "turn spikes into documents and print them, leaving nothing behind"
EXAMPLE = """
spikebridge convert spikes.jsonl --mappings mappings/ --format ecs
sensor | spikebridge convert --mappings my.yaml --inventory inventory.yaml | jq .rule.id
spikebridge convert raw.spk --config spikebridge.yaml
"""

POLL_BYTES = 1 << 20
TENANT = "default"


def configure(parser: argparse.ArgumentParser) -> None:
    """Ask for spikes, mappings and the shape of documents."""
    parser.add_argument(
        "source", nargs="?", default="-", metavar="FILE", help="frames or JSON lines; - is standard input (default)"
    )
    parser.add_argument(
        "--mappings",
        nargs="+",
        type=Path,
        default=[],
        metavar="PATH",
        help="mapping files or directories (default: those of --config, else the shipped ones)",
    )
    parser.add_argument("--inventory", type=Path, metavar="FILE", help="the inventory of devices (default: that of --config)")
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="a configuration whose models read raw sensor spikes, under its tenant and limits (default: none, no models)",
    )
    parser.add_argument("--format", choices=registry.names("formats"), default="json", help="the shape (default: %(default)s)")


def run(args: argparse.Namespace) -> int:
    """Print a document for each alert, at the end one for each incident; 1 when something could not be read."""
    from spikebridge.config import load_config

    config = load_config(args.config, os.environ) if args.config else None
    revision = _revision(args, config)
    document = registry.load("formats", args.format).document
    with _as_file(args.source) as path:
        name = "standard input" if args.source == "-" else args.source
        converted = _Converted(path, name, revision, config.tenant if config else TENANT)
        for finding in converted.findings():
            print_json(document(finding))
    if converted.unread:
        told = f"{name}: {counted(converted.unread, 'frame')} of raw sensor spikes read by no model"
        print(printable(f"{told}: --config names models, the inventory gives each device its class"), file=sys.stderr)
    for line in unread_lines(converted.keys):
        print(f"{name}: {line}", file=sys.stderr)
    return int(converted.refused > 0)


def _revision(args: argparse.Namespace, config: Config | None) -> Revision:
    """Make a revision of mappings, an inventory and models."""
    from spikebridge.canonical import sha256
    from spikebridge.config import shipped_mappings
    from spikebridge.detect.load import load_models
    from spikebridge.limits import Limits
    from spikebridge.mapping.load import load
    from spikebridge.mapping.rules import Revision, rule_set_content

    mappings, inventory, limits = args.mappings or [shipped_mappings()], args.inventory, Limits()
    if config:
        mappings, inventory, limits = args.mappings or config.mappings, inventory or config.inventory, config.limits
    models = load_models(config.models, config.model_keys) if config and config.models else []
    rule_set = load(mappings, inventory, limits, models).rule_set
    return Revision(number=1, digest=sha256(rule_set_content(rule_set)), rule_set=rule_set)


class _Converted:
    """A file of spikes under one revision, as a recording: its own times, and its bytes' digest as the log's id."""

    def __init__(self, path: Path, name: str, revision: Revision, tenant: str) -> None:
        from spikebridge.logs.recording import Recording
        from spikebridge.spikes.unread import Unread

        self.refused = 0
        self.unread = 0
        self.keys = Unread()
        self._name = name
        self._revision = revision
        self._tenant = tenant
        self._log = Recording(path, time.time_ns(), revision.rule_set.limits.frame_ns)
        self._places = _Places(path, self._log)

    def findings(self) -> Iterator[Finding]:
        """Yield alerts as they come and, last, each incident as it has become; tell what is refused."""
        from spikebridge.incidents import Correlator

        correlator = Correlator(self._tenant, self._revision)
        incidents: dict[str, Incident] = {}
        for taken in self._taken():
            for dead in taken.dead:
                self._refuse(dead)
            alerts = [raised.alert for raised in taken.alerts]
            yield from alerts
            incidents |= {one.id: one for one in correlator.feed((alert, alert.append_ns) for alert in alerts)}
        yield from incidents.values()

    def _taken(self) -> Iterator[Taken]:
        engine = self._engine()
        position, end = self._log.bounds()
        while position < end:
            records = self._log.poll(position, POLL_BYTES)
            for record in records:
                self.keys.look(record.value)
            yield engine.take(records)
            position = records[-1].offset + 1
        self.unread = engine.counters["undetected"]

    def _engine(self) -> Engine:
        from spikebridge.mapping.engine import Engine
        from spikebridge.mapping.evidence import Identity

        identity = Identity(self._tenant, self._log.id, self._log.partition, live=False)
        return Engine(identity, self._revision, lambda _: None, self._log.read)

    def _refuse(self, dead: DeadRecord) -> None:
        self.refused += 1
        print(printable(f"{self._name}:{self._places.of(dead.offset)}: {dead.reason}"), file=sys.stderr)


class _Places:
    """Where records of ascending offsets stand: the number of the line, or the byte at which a frame begins."""

    def __init__(self, path: Path, log: Recording) -> None:
        from spikebridge.spikes.frame import is_frame

        self._path = path
        self._log = log
        self._byte, self._line = 0, 1
        with path.open("rb") as file:
            self._framed = is_frame(file.read(8))

    def of(self, offset: int) -> int:
        """Return the place of a record."""
        begin = self._log.place(offset)
        if self._framed:
            return begin
        with self._path.open("rb") as file:
            file.seek(self._byte)
            while self._byte < begin:
                chunk = file.read(min(POLL_BYTES, begin - self._byte))
                self._line += chunk.count(b"\n")
                self._byte += len(chunk)
        return self._line


@contextmanager
def _as_file(source: str) -> Iterator[Path]:
    """Give the source as a file that can be read twice; standard input becomes one for as long as it takes."""
    if source != "-":
        yield Path(source)
        return
    with NamedTemporaryFile(prefix="spikebridge-") as copy:
        shutil.copyfileobj(sys.stdin.buffer, copy)
        copy.flush()
        yield Path(copy.name)
