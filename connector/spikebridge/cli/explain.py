"""`spikebridge explain`: why an alert exists, in words, with the spikes that counted."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from spikebridge.cli.arguments import add_data, add_evidence, data_directory
from spikebridge.cli.explain_attached import Networks, save
from spikebridge.cli.explain_file import explained
from spikebridge.cli.terminal import print_json, print_table, printable
from spikebridge.errors import SpikebridgeError

if TYPE_CHECKING:
    from spikebridge.alerts import Finding, Incident
    from spikebridge.cli.explain_file import Explained
    from spikebridge.cli.explain_rule import ExplainedRule
    from spikebridge.cli.explain_window import ExplainedWindow

NAME = "explain"
HELP = "say in words why an alert exists, and which spikes counted"
EXAMPLE = """
spikebridge explain 0c0a8f1e
spikebridge explain 0c0a8f1e --plot burst.svg
spikebridge explain 0c0a8f1e --json
spikebridge explain 0c0a8f1e --evidence sensing/evidence
spikebridge explain 0c0a8f1e --save burst.spkev
spikebridge explain sensing/evidence/7d3f0a9be2c41586.spkev --plot burst.svg
"""

SHOWN_MEMBERS = 50
USAGE = 2


def configure(parser: argparse.ArgumentParser) -> None:
    """Ask which."""
    parser.add_argument(
        "id",
        metavar="ID|FILE",
        help="an alert or incident: its id, or the beginning of it; or the evidence of an alarm that sensing kept (*.spkev)",
    )
    add_evidence(parser)
    parser.add_argument("--plot", type=_svg, metavar="FILE", help="write a raster of what the network saw, as SVG: FILE.svg")
    parser.add_argument(
        "--save",
        type=_new_evidence,
        metavar="FILE",
        help="of an alert: write the evidence of its last frame that has some to FILE.spkev, which `replay` and `explain` take anywhere",
    )
    parser.add_argument("--json", action="store_true", help="the explanation and the numbers in it as one JSON document")
    add_data(parser)


def _svg(text: str) -> Path:
    path = Path(text)
    if path.suffix.lower() != ".svg":
        message = f'expected a name that ends in .svg, which is what is written, found "{text}"'
        raise argparse.ArgumentTypeError(message)
    return path


def _new_evidence(text: str) -> Path:
    path = Path(text)
    if path.suffix != ".spkev" or path.exists():
        found = "a file that is there" if path.exists() else "another name"
        message = f'expected a new file that ends in .spkev, found {found}: "{text}"'
        raise argparse.ArgumentTypeError(message)
    return path


def run(args: argparse.Namespace) -> int:
    """Print the sentence, then what it counts."""
    if args.id.endswith(".spkev"):
        return _alarm(args)
    if args.id.endswith(".spk"):
        raise SpikebridgeError(
            f"{args.id}: expected an alert, found a recording: `spikebridge replay {args.id}` lists its alerts"
        )
    return _finding(args)


def _finding(args: argparse.Namespace) -> int:
    """Explain an alert or incident of the store."""
    from spikebridge.alerts import Alert
    from spikebridge.store import Store

    with Store(data_directory(args), read_only=True) as store:
        entry = store.find(args.id)
        finding = store.opened(entry)
    networks = Networks(finding, entry.evidence, args.evidence) if isinstance(finding, Alert) else None
    last = networks.last() if networks else None
    carried = networks.carried() if networks else None
    if args.plot and last is None:
        sys.stderr.write(
            f"explain: --plot shows what a network saw: {networks.unplotted() if networks else 'an incident has none'}\n"
        )
        return USAGE
    if args.save and carried is None:
        sys.stderr.write(f"explain: --save: {networks.unsaved() if networks else 'an incident has no evidence of its own'}\n")
        return USAGE
    if args.json:
        documents = networks.documents() if networks else []
        print_json(_document(finding) | ({"networks": documents} if documents else {}))
    else:
        _show(finding)
        if networks:
            networks.show()
    if args.plot and last:
        _plot(last, args.plot)
    if args.save and carried:
        save(carried, args.save)
    return 0


def _alarm(args: argparse.Namespace) -> int:
    """Explain the alarm of a network from a file of its evidence."""
    if args.save:
        raise SpikebridgeError(f"--save: expected an alert, found a file of evidence: copy {args.id}")
    found = explained(Path(args.id))
    if args.json:
        print_json(found.document())
    else:
        found.show()
    if args.plot:
        _plot(found, args.plot)
    return 0


def _plot(found: Explained | ExplainedRule | ExplainedWindow, path: Path) -> None:
    found.plot(path)
    sys.stderr.write(f"explain: wrote {printable(str(path))}\n")


def _show(finding: Finding) -> None:
    from spikebridge.alerts import Alert

    print(printable(finding.explanation))
    if isinstance(finding, Alert):
        neurons = [
            (f"{counted.layer}:{'all' if counted.neuron is None else counted.neuron}", counted.count)
            for counted in finding.neurons
        ]
        if neurons:
            print()
            print_table(("neuron", "spikes"), neurons)
        if finding.peers:
            print()
            print_table(("peer", "spikes"), [(peer.address, peer.count) for peer in finding.peers])
    else:
        _show_members(finding)
    for title, texts in (("likely false positives", finding.rule.false_positives), ("att&ck", finding.rule.attack)):
        if texts:
            print(f"\n{title}: {printable('; '.join(texts))}")
    if isinstance(finding, Alert):
        print(f"\nreplay it: spikebridge replay {finding.id[:8]}")
    elif finding.members:
        print(f"\neach can be replayed: spikebridge replay {finding.members[0].id[:8]}")


def _show_members(incident: Incident) -> None:
    """Show the alerts that it is made of, oldest first."""
    from spikebridge.timestamps import rfc3339_ms

    members = incident.members[:SHOWN_MEMBERS]
    print()
    print_table(
        ("id", "time", "severity", "threat", "device"),
        [(one.id[:8], rfc3339_ms(one.time_ns), one.severity, one.threat, one.device) for one in members],
    )
    if incident.version > len(members):
        print(f"and {incident.version - len(members):,} more: `--json` has the first {len(incident.members):,}")


def _document(finding: Finding) -> dict[str, object]:
    import msgspec

    from spikebridge.alerts import Alert

    document: dict[str, object] = {
        "id": finding.id,
        "explanation": finding.explanation,
        "rule": msgspec.to_builtins(finding.rule),
    }
    if isinstance(finding, Alert):
        document |= {
            "neurons": msgspec.to_builtins(finding.neurons),
            "peers": msgspec.to_builtins(finding.peers),
            "first_ns": finding.first_ns,
            "last_ns": finding.last_ns,
            "count": finding.count,
            "suppressed_before": finding.suppressed_before,
        }
    else:
        document["members"] = msgspec.to_builtins(finding.members)
    return document
