"""`spikebridge deadletters`: records that are no spikes, and alerts that a sink refused."""

from __future__ import annotations

import getpass
import time
from typing import TYPE_CHECKING

from spikebridge.cli.arguments import add_data, data_directory
from spikebridge.cli.terminal import print_json, print_table
from spikebridge.errors import SpikebridgeError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence
    from pathlib import Path

    from spikebridge.store import DeadLetter, Store

NAME = "deadletters"
HELP = "list, show, retry or drop what could not be read or delivered"
EXAMPLE = """
spikebridge deadletters list --place splunk
spikebridge deadletters show 805d1ffc
spikebridge deadletters retry 805d1ffc
spikebridge deadletters drop --all --kind record
"""

SHORT_ID = 8
SHOWN_BYTES = 2_000
EVERY = 1_000_000_000
TABLE_ROWS = 50


def configure(parser: argparse.ArgumentParser) -> None:
    """Ask what to do with which letters."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    listing = actions.add_parser("list", help="the newest letters first")
    listing.add_argument("--limit", type=int, metavar="N", help=f"at most so many (default: {TABLE_ROWS} in a table, else all)")
    listing.add_argument("--json", action="store_true", help="print one JSON document a line")
    _add_choice(listing)
    showing = actions.add_parser("show", help="one letter with its bytes")
    showing.add_argument("ids", nargs=1, metavar="ID", help="its id, or the beginning of it")
    showing.add_argument("--json", action="store_true", help="print one JSON document, the bytes in base64")
    add_data(showing)
    for name, text in (
        ("retry", "a record is appended to the spike log again, an alert delivered to its sink again by `run`"),
        ("drop", "remove letters for good"),
    ):
        changing = actions.add_parser(name, help=text)
        changing.add_argument("ids", nargs="*", metavar="ID", help="ids, or their beginnings")
        changing.add_argument("--all", action="store_true", help="every letter, or every one of --kind and --place")
        _add_choice(changing)


def run(args: argparse.Namespace) -> int:
    """Do it; dropping and retrying is written to the audit log."""
    from spikebridge.store import Store

    directory = data_directory(args)
    with Store(directory, read_only=args.action in {"list", "show"}) as store:
        if args.action == "list":
            _list(args, store)
        elif args.action == "show":
            _show(_named(store, args.ids)[0], as_json=args.json)
        else:
            if bool(args.ids) == args.all:
                raise SpikebridgeError("expected the ids of letters, or --all")
            chosen = store.letters(kind=args.kind, place=args.place, limit=EVERY) if args.all else _named(store, args.ids)
            if args.action == "retry":
                _retry(store, chosen, directory)
            else:
                print(f"{store.drop([letter.id for letter in chosen])} dropped")
            detail = {"letters": [letter.id for letter in chosen]}
            store.record(time.time_ns(), getpass.getuser(), f"deadletters.{args.action}", detail)
    return 0


def _add_choice(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--kind", choices=("record", "sink"), default="", help="only records, or only what sinks refused")
    parser.add_argument("--place", default="", metavar="TEXT", help="only of this sink, or of a log (the beginning is enough)")
    add_data(parser)


def _named(store: Store, ids: Sequence[str]) -> list[DeadLetter]:
    found = [(name, store.letter(name)) for name in ids]
    unknown = [name for name, letter in found if letter is None]
    if unknown:
        raise SpikebridgeError(f"expected ids of dead letters, or a beginning that only one has; found {', '.join(unknown)}")
    return [letter for _, letter in found if letter is not None]


def _list(args: argparse.Namespace, store: Store) -> None:
    from spikebridge.timestamps import rfc3339_ms

    letters = store.letters(kind=args.kind, place=args.place, limit=args.limit or (EVERY if args.json else TABLE_ROWS))
    if args.json:
        for letter in letters:
            print_json(letter)
        return
    rows = (
        (letter.id[:SHORT_ID], rfc3339_ms(letter.first_ns), letter.kind, letter.place, letter.count, letter.reason)
        for letter in letters
    )
    print_table(("id", "first", "kind", "place", "count", "reason"), rows)
    lost = store.letter_counts()["lost"]
    if lost:
        print(f"{lost} older records were given up for newer ones")


def _show(letter: DeadLetter, *, as_json: bool) -> None:
    from spikebridge.store import letter_entry
    from spikebridge.timestamps import rfc3339

    if as_json:
        print_json(letter)
        return
    rows = [
        ("id", letter.id),
        ("kind", letter.kind),
        ("place", letter.place),
        ("reason", letter.reason),
        ("first", rfc3339(letter.first_ns)),
        ("count", str(letter.count)),
        ("wanted", "yes" if letter.wanted else "no"),
    ]
    if letter.kind == "sink":
        entry = letter_entry(letter)
        rows += [(entry.kind, entry.id), ("body", entry.body.decode(errors="backslashreplace"))]
    else:
        rows += [("size", f"{len(letter.raw)} bytes"), ("bytes", letter.raw[:SHOWN_BYTES].decode(errors="backslashreplace"))]
    print_table(("field", "value"), rows)


def _retry(store: Store, letters: Sequence[DeadLetter], directory: Path) -> None:
    """Append records of the live log anew; ask for what a sink refused."""
    records = [letter for letter in letters if letter.kind == "record"]
    if records:
        from spikebridge.logs.spool import Spool

        with Spool(directory) as spool:
            live = [letter for letter in records if letter.place.startswith(f"{spool.id}/")]
            if live:
                spool.append([letter.raw for letter in live])
                store.drop([letter.id for letter in live])
        print(f"{len(live)} appended to the spike log again")
        if len(live) < len(records):
            print(f"{len(records) - len(live)} belong to a recording: mend the file and send it again")
    wanted = store.retry([letter.id for letter in letters if letter.kind == "sink"])
    if wanted:
        print(f"{wanted} will be delivered again by `spikebridge run`")
