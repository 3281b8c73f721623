"""`spikebridge audit`: the chained record of who did what."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spikebridge.cli.arguments import add_data, data_directory
from spikebridge.cli.terminal import print_json, print_table, printable

if TYPE_CHECKING:
    import argparse

    from spikebridge.store import Store

NAME = "audit"
HELP = "list the audit log, or verify that nobody changed it"
EXAMPLE = """
spikebridge audit verify
spikebridge audit verify --head a85f0290c1b6ff48
spikebridge audit list --json
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Ask what to do."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    verifying = actions.add_parser("verify", help="walk the chain; exits 1 at the first row that is not as it was written")
    verifying.add_argument(
        "--head", default="", metavar="HASH", help="a newest hash noted earlier (or its beginning): it must be in the chain"
    )
    listing = actions.add_parser("list", help="the newest rows first")
    listing.add_argument("--limit", type=int, default=50, metavar="N", help="at most so many (default: %(default)s)")
    for action in (verifying, listing):
        action.add_argument("--json", action="store_true", help="print JSON")
        add_data(action)


def run(args: argparse.Namespace) -> int:
    """Read only; whatever is wrong stays as it is."""
    from spikebridge.store import Store

    with Store(data_directory(args), read_only=True) as store:
        if args.action == "verify":
            return _verify(args, store)
        _list(args, store)
    return 0


def _verify(args: argparse.Namespace, store: Store) -> int:
    verdict = store.verify()
    known = store.sealed(args.head) if args.head else True
    fault = verdict.fault or ("" if known else f"no row has the hash {args.head}: the chain is not the one that was noted")
    if args.json:
        print_json({"good": not fault, "rows": verdict.rows, "head": verdict.head, "bad_row": verdict.bad, "fault": fault})
    elif fault:
        print(printable(fault))
    else:
        print(f"{verdict.rows} rows, unchanged; newest hash {verdict.head or '-'}")
    return 1 if fault else 0


def _list(args: argparse.Namespace, store: Store) -> None:
    from spikebridge.timestamps import rfc3339_ms

    rows = store.audit(args.limit)
    if args.json:
        for row in rows:
            print_json(row._asdict())
    else:
        cells = ((row.seq, rfc3339_ms(row.at_ns), row.actor, row.event, row.detail) for row in rows)
        print_table(("row", "time", "actor", "event", "detail"), cells)
