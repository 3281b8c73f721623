"""`spikebridge replay`: an alert again, from its evidence alone; or a recording, through the mappings in force."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from spikebridge.cli.arguments import add_data, add_evidence, instance_configuration
from spikebridge.cli.replay_alert import replay_alert
from spikebridge.cli.replay_file import replay_evidence, replay_recording

if TYPE_CHECKING:
    import argparse

NAME = "replay"
HELP = "compute an alert again from its evidence and compare every byte"
EXAMPLE = """
spikebridge replay 0c0a8f1e
spikebridge replay 0c0a8f1e --json
spikebridge replay 0c0a8f1e --evidence sensing/evidence
spikebridge replay evidence/0c0a8f1e.spkev
spikebridge replay night.spk
"""

USAGE = 2


def configure(parser: argparse.ArgumentParser) -> None:
    """Ask which."""
    parser.add_argument(
        "id",
        metavar="ID|FILE",
        help="an alert: its id, or the beginning of it; or a file: the evidence of an alarm (*.spkev) that sensing wrote, "
        "or a recording of spikes, whose alerts are then computed under the mappings in force",
    )
    add_evidence(parser)
    parser.add_argument("--json", action="store_true", help="the verdict as one JSON document")
    parser.add_argument(
        "--without-lava", action="store_true", help="leave Lava out, which may take a minute where it is installed"
    )
    add_data(parser)


def run(args: argparse.Namespace) -> int:
    """Print the verdict; exit 1 if anything differs, or a part of a recording can't be read."""
    path = Path(args.id)
    if path.suffix == ".spkev":
        return replay_evidence(path, lava=not args.without_lava, as_json=args.json)
    return _recording(args, path) if path.is_file() or path.suffix == ".spk" else _alert(args)


def _recording(args: argparse.Namespace, path: Path) -> int:
    """Replay a recording under the newest good revision."""
    from spikebridge.app.parts import open_revisions, revisions_place
    from spikebridge.app.readable import ReadableRevisions
    from spikebridge.mapping.rules import read_revision

    config = instance_configuration(args)
    with open_revisions(config, read_only=True) as revisions:
        number = ReadableRevisions(revisions).newest()
        content = None if number is None else revisions.revision(number)
    if number is None or content is None:
        where = revisions_place(config)
        sys.stderr.write(f"replay: no mappings are in force in {where}: `spikebridge publish` some, or start the service\n")
        return USAGE
    return replay_recording(path, config.tenant, read_revision(number, content), as_json=args.json)


def _alert(args: argparse.Namespace) -> int:
    """Replay an alert of the store."""
    from spikebridge.alerts import Alert
    from spikebridge.app.parts import open_revisions, revisions_place
    from spikebridge.mapping.rules import read_revision
    from spikebridge.store import Store

    config = instance_configuration(args)
    with Store(config.data, read_only=True) as store:
        entry = store.find(args.id)
        alert = store.opened(entry)
    if not isinstance(alert, Alert):
        sys.stderr.write("replay: an incident has no spikes of its own; replay the alerts that `spikebridge explain` lists\n")
        return USAGE
    with open_revisions(config, read_only=True) as revisions:
        content = revisions.revision(alert.revision)
    if content is None:
        sys.stderr.write(f"replay: revision {alert.revision} is not in {revisions_place(config)}\n")
        return USAGE
    revision = read_revision(alert.revision, content)
    return replay_alert((alert, entry.evidence), revision, args.evidence, lava=not args.without_lava, as_json=args.json)
