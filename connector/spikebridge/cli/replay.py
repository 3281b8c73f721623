"""`spikebridge replay`: an alert again, from its evidence alone."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from spikebridge.cli.arguments import add_data, data_directory
from spikebridge.cli.terminal import print_json, printable

if TYPE_CHECKING:
    import argparse

NAME = "replay"
HELP = "compute an alert again from its evidence and compare every byte"
EXAMPLE = """
spikebridge replay 0c0a8f1e
spikebridge replay 0c0a8f1e --json
"""

FINDINGS, USAGE = 1, 2


def configure(parser: argparse.ArgumentParser) -> None:
    """Ask which."""
    parser.add_argument("id", metavar="ID", help="an alert: its id, or the beginning of it")
    parser.add_argument("--json", action="store_true", help="the verdict as one JSON document")
    add_data(parser)


def run(args: argparse.Namespace) -> int:
    """Print the verdict; exit 1 if anything differs."""
    from spikebridge.alerts import Alert
    from spikebridge.logs.spool import Spool
    from spikebridge.mapping.replay import replay
    from spikebridge.mapping.rules import read_revision
    from spikebridge.store import Store

    directory = data_directory(args)
    with Store(directory, read_only=True) as store:
        entry = store.find(args.id)
        alert = store.opened(entry)
    if not isinstance(alert, Alert):
        sys.stderr.write("replay: an incident has no spikes of its own; replay the alerts that `spikebridge explain` lists\n")
        return USAGE
    with Spool(directory, read_only=True) as spool:
        content = spool.revision(alert.revision)
    if content is None:
        sys.stderr.write(f"replay: revision {alert.revision} is not in the spool of {directory}\n")
        return USAGE
    verdict = replay(alert, entry.evidence, read_revision(alert.revision, content))
    if args.json:
        print_json(
            {
                "id": alert.id,
                "verdict": verdict.verdict,
                "differences": verdict.differences,
                "taken_as_recorded": verdict.taken_as_recorded,
            }
        )
    else:
        records = alert.evidence.total
        print(f"{verdict.verdict}: alert {alert.id} from {records} record{'s' * (records != 1)}, revision {alert.revision}")
        for text in verdict.differences:
            print(f"  differs: {printable(text)}")
        for text in verdict.taken_as_recorded:
            print(f"  taken as recorded: {text}")
    return FINDINGS if verdict.verdict == "differs" else 0
