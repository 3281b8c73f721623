"""`spikebridge convert`: spikes in, documents out, no state left behind."""

from __future__ import annotations

import shutil
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING

from spikebridge import registry
from spikebridge.cli.terminal import print_json, printable

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from spikebridge.alerts import Finding, Incident
    from spikebridge.logs.recording import Recording
    from spikebridge.mapping.engine import DeadRecord, Engine, Taken
    from spikebridge.mapping.rules import Revision

NAME = "convert"
HELP = "turn spikes into documents and print them, leaving nothing behind"
EXAMPLE = """
spikebridge convert spikes.jsonl --mappings mappings/ --format ecs
sensor | spikebridge convert --mappings my.yaml --inventory inventory.yaml | jq .rule.id
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
        help="mapping files or directories (default: the shipped ones)",
    )
    parser.add_argument("--inventory", type=Path, metavar="FILE", help="the inventory of devices")
    parser.add_argument("--format", choices=registry.names("formats"), default="json", help="the shape (default: %(default)s)")


def run(args: argparse.Namespace) -> int:
    """Print a document for each alert, at the end one for each incident; 1 when something could not be read."""
    from spikebridge.canonical import sha256
    from spikebridge.config import shipped_mappings
    from spikebridge.mapping.load import load
    from spikebridge.mapping.rules import Revision, rule_set_content

    loaded = load(args.mappings or [shipped_mappings()], args.inventory)
    revision = Revision(number=1, digest=sha256(rule_set_content(loaded.rule_set)), rule_set=loaded.rule_set)
    document = registry.load("formats", args.format).document
    with _as_file(args.source) as path:
        converted = _Converted(path, "standard input" if args.source == "-" else args.source, revision)
        for finding in converted.findings():
            print_json(document(finding))
    return int(converted.refused > 0)


class _Converted:
    """A file of spikes under one revision, as a recording: its own times, and its bytes' digest as the log's id."""

    def __init__(self, path: Path, name: str, revision: Revision) -> None:
        from spikebridge.logs.recording import Recording

        self.refused = 0
        self._name = name
        self._revision = revision
        self._log = Recording(path, time.time_ns())
        self._places = _Places(path, self._log)

    def findings(self) -> Iterator[Finding]:
        """Yield alerts as they come and, last, each incident as it has become; tell what is refused."""
        from spikebridge.incidents import Correlator

        correlator = Correlator(TENANT, self._revision)
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
            yield engine.take(records)
            position = records[-1].offset + 1

    def _engine(self) -> Engine:
        from spikebridge.mapping.engine import Engine
        from spikebridge.mapping.evidence import Identity

        identity = Identity(TENANT, self._log.id, self._log.partition, live=False)
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
