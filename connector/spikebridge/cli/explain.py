"""`spikebridge explain`: why an alert exists, in words, with the spikes that counted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spikebridge.cli.arguments import add_data, data_directory
from spikebridge.cli.terminal import print_json, print_table, printable

if TYPE_CHECKING:
    import argparse

    from spikebridge.alerts import Finding, Incident

NAME = "explain"
HELP = "say in words why an alert exists, and which spikes counted"
EXAMPLE = """
spikebridge explain 0c0a8f1e
spikebridge explain 0c0a8f1e --json
"""

SHOWN_MEMBERS = 50


def configure(parser: argparse.ArgumentParser) -> None:
    """Ask which."""
    parser.add_argument("id", metavar="ID", help="an alert or incident: its id, or the beginning of it")
    parser.add_argument("--json", action="store_true", help="the explanation and the numbers in it as one JSON document")
    add_data(parser)


def run(args: argparse.Namespace) -> int:
    """Print the sentence, then what it counts."""
    from spikebridge.alerts import Alert
    from spikebridge.store import Store

    with Store(data_directory(args), read_only=True) as store:
        finding = store.opened(store.find(args.id))
    if args.json:
        print_json(_document(finding))
        return 0
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
    return 0


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
