"""`spikebridge alerts`: what the embedded store holds, newest first, or one alert whole."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from spikebridge import registry
from spikebridge.cli.arguments import add_data, data_directory, moment_ns
from spikebridge.cli.terminal import print_json, print_table

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

    from spikebridge.alerts import Finding
    from spikebridge.store import Query

NAME = "alerts"
HELP = "show the alerts and incidents in the embedded store"
EXAMPLE = """
spikebridge alerts --since 1h --severity High
spikebridge alerts 0c0a8f1e
spikebridge alerts --device camera-3 --format ecs | jq .message
"""

SEVERITIES = ("Low", "Medium", "High", "Critical")
KINDS = ("alert", "incident")
SHORT_ID = 8
TABLE_ROWS, EVERY = 50, 1_000_000_000


def configure(parser: argparse.ArgumentParser) -> None:
    """Ask which, and in what shape."""
    parser.add_argument("id", nargs="?", metavar="ID", help="one alert or incident: its id, or the beginning of it")
    parser.add_argument("--since", type=moment_ns, default=0, metavar="WHEN", help="from then on: 1h, 7d or 2026-11-20T10:00:00Z")
    parser.add_argument("--severity", choices=SEVERITIES, help="of this severity or a higher one")
    parser.add_argument("--device", default="", metavar="ID", help="of this device; incidents that concern it too")
    parser.add_argument("--kind", choices=KINDS, help="only alerts, or only incidents")
    parser.add_argument("--limit", type=int, metavar="N", help=f"at most so many (default: {TABLE_ROWS} in a table, else all)")
    parser.add_argument("--format", choices=("table", *registry.names("formats")), default="table", help="default: %(default)s")
    parser.add_argument("--json", action="store_const", const="json", dest="format", help="the same as --format json")
    add_data(parser)


def run(args: argparse.Namespace) -> int:
    """Print a table, or one document a line."""
    from spikebridge.store import Store

    with Store(data_directory(args), read_only=True) as store:
        entries = iter([store.find(args.id)]) if args.id else store.each(_query(args))
        findings = map(store.opened, entries)
        if args.format != "table":
            document = registry.load("formats", args.format).document
            for finding in findings:
                print_json(document(finding))
        elif args.id:
            print_table(("field", "value"), _fields(next(findings)))
        else:
            rows = [_row(finding) for finding in findings]
            print_table(("id", "time", "severity", "threat", "device", "site", "count"), rows)
            if not args.limit and len(rows) == TABLE_ROWS:
                print(f"alerts: the newest {TABLE_ROWS}; --limit N shows more", file=sys.stderr)
            if lost := store.findings_lost():
                print(f"alerts: {lost:,} that came first were given up for newer ones (`size` of the store)", file=sys.stderr)
    return 0


def _query(args: argparse.Namespace) -> Query:
    from spikebridge.alerts import SEVERITIES as NUMBERS
    from spikebridge.store import Query

    return Query(
        since_ns=args.since,
        severity=NUMBERS[args.severity] if args.severity else 0,
        device=args.device,
        kinds=(args.kind,) if args.kind else KINDS,
        limit=max(1, args.limit) if args.limit else TABLE_ROWS if args.format == "table" else EVERY,
    )


def _row(finding: Finding) -> Sequence[object]:
    from spikebridge.alerts import Alert
    from spikebridge.timestamps import rfc3339_ms

    if isinstance(finding, Alert):
        device, site, count = finding.device.id, finding.device.site, finding.count
    else:
        device = finding.devices[0] if len(finding.devices) == 1 else f"{len(finding.devices)} devices"
        site, count = finding.site, finding.version
    return (
        finding.id[:SHORT_ID],
        rfc3339_ms(finding.time_ns),
        finding.rule.severity,
        finding.rule.threat,
        device,
        site or "-",
        count,
    )


def _fields(finding: Finding) -> Iterator[tuple[str, object]]:
    """Say what an analyst reads first."""
    from spikebridge.alerts import Alert
    from spikebridge.timestamps import rfc3339

    rule = finding.rule
    yield "kind", "alert" if isinstance(finding, Alert) else "incident"
    yield "id", finding.id
    yield "time", rfc3339(finding.time_ns)
    yield "threat", rule.threat
    yield "severity", rule.severity
    yield "rule", f"{rule.id} (revision {finding.revision})"
    yield "why", finding.explanation
    if isinstance(finding, Alert):
        place = ", ".join(filter(None, (finding.device.device_class, finding.device.site)))
        yield "device", f"{finding.device.id} ({place})" if place else finding.device.id
        yield "spikes", f"{finding.count} from {rfc3339(finding.first_ns)} to {rfc3339(finding.last_ns)}"
        for peer in finding.peers:
            yield "peer", f"{peer.address} ({peer.count})"
        evidence = finding.evidence
        offsets = ", ".join(str(record.offset) for record in evidence.records)
        yield "evidence", f"{finding.log}/{finding.partition}: {offsets or '-'}{' (partial)' if evidence.partial else ''}"
    else:
        yield "devices", ", ".join(finding.devices)
        for member in finding.members:
            yield "member", f"{member.id[:SHORT_ID]} {rfc3339(member.time_ns)} {member.threat} {member.device}"
    for name, value in (("action", rule.action), ("attack", ", ".join(rule.attack)), ("description", rule.description)):
        if value:
            yield name, value
    for text in rule.false_positives:
        yield "false positive", text
