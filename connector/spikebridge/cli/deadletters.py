"""`spikebridge deadletters`: records that are no spikes, and alerts that a sink refused."""

from __future__ import annotations

import getpass
import time
from itertools import chain
from typing import TYPE_CHECKING

from spikebridge.cli.arguments import add_data, data_directory, instance_configuration
from spikebridge.cli.terminal import print_json, print_table, printable
from spikebridge.errors import SpikebridgeError, StoreError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Iterator, Sequence
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
TABLE_ROWS = 50
PART_RECORDS = 1_000
PART_BYTES = 8 << 20


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

    with Store(data_directory(args), read_only=args.action in {"list", "show"}) as store:
        if args.action == "list":
            _list(args, store)
        elif args.action == "show":
            _show(_named(store, args.ids)[0], as_json=args.json)
        else:
            if bool(args.ids) == args.all:
                raise SpikebridgeError("expected the ids of letters, or --all")
            (_retry if args.action == "retry" else _drop)(args, store)
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
    return list({letter.id: letter for _, letter in found if letter is not None}.values())


def _list(args: argparse.Namespace, store: Store) -> None:
    from spikebridge.timestamps import rfc3339_ms

    if args.json:
        for letter in _each(
            store, store.letter_ids(kind=args.kind, place=args.place)[: max(1, args.limit) if args.limit else None]
        ):
            print_json(letter)
        return
    letters = store.letters(kind=args.kind, place=args.place, limit=max(1, args.limit) if args.limit else TABLE_ROWS)
    rows = (
        (letter.id[:SHORT_ID], rfc3339_ms(letter.first_ns), letter.kind, letter.place, letter.count, letter.reason)
        for letter in letters
    )
    print_table(("id", "first", "kind", "place", "count", "reason"), rows)
    if lost := store.letters_lost():
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


def _drop(args: argparse.Namespace, store: Store) -> None:
    """Remove them: of all of them nothing but their ids is read."""
    named = [letter.id for letter in _named(store, args.ids)]
    ids = store.letter_ids(kind=args.kind, place=args.place) if args.all else named
    print(f"{store.drop(ids)} dropped")
    _note(args, store, ids)


def _retry(args: argparse.Namespace, store: Store) -> None:
    """Append records to the log that they came from, and ask for what a sink refused."""
    records, refused = (_chosen(args, store, kind) for kind in ("record", "sink"))
    _append_again(args, store, records)
    _ask_again(args, store, refused)


def _note(args: argparse.Namespace, store: Store, ids: Sequence[str]) -> None:
    """Write down in the audit log who did it to which letters."""
    if ids:
        store.record(time.time_ns(), getpass.getuser(), f"deadletters.{args.action}", {"letters": ids})


def _chosen(args: argparse.Namespace, store: Store, kind: str) -> Iterator[DeadLetter]:
    """Return the letters of a kind that are meant; of all of them the oldest first."""
    if not args.all:
        return iter([letter for letter in _named(store, args.ids) if letter.kind == kind])
    if args.kind not in {"", kind}:
        return iter(())
    return _each(store, reversed(store.letter_ids(kind=kind, place=args.place)))


def _each(store: Store, ids: Iterable[str]) -> Iterator[DeadLetter]:
    """Read letters one at a time: each may hold megabytes."""
    return (letter for letter in map(store.letter, ids) if letter is not None)


def _append_again(args: argparse.Namespace, store: Store, letters: Iterator[DeadLetter]) -> None:
    """Append records to the log that they came from, where the service reads it; what was appended is a letter no more."""
    from spikebridge.app.spikes import open_takers

    first = next(letters, None)
    if first is None:
        return
    found = appended = 0
    with open_takers(instance_configuration(args)) as takers:
        for part in _parts(chain([first], letters)):
            found += len(part)
            for taker in takers:
                chosen = [letter for letter in part if letter.place.startswith(f"{taker.log}/")]
                if chosen:
                    taker.append([letter.raw for letter in chosen])
                    ids = [letter.id for letter in chosen]
                    store.drop(ids)
                    _note(args, store, ids)
                    appended += len(ids)
    print(f"{appended} appended to the spike log again")
    if found > appended:
        print(f"{found - appended} left, of a recording or a log that is not read any more: mend what it holds and send it")


def _parts(letters: Iterable[DeadLetter]) -> Iterator[list[DeadLetter]]:
    """Yield them in lists that are neither long nor large."""
    part: list[DeadLetter] = []
    size = 0
    for letter in letters:
        part.append(letter)
        size += len(letter.raw)
        if len(part) == PART_RECORDS or size >= PART_BYTES:
            yield part
            part, size = [], 0
    if part:
        yield part


def _ask_again(args: argparse.Namespace, store: Store, letters: Iterator[DeadLetter]) -> None:
    """Ask for what sinks refused to be delivered again."""
    places = {letter.id: letter.place for letter in letters if _can_be_read(letter)}
    wanted = store.retry(list(places))
    _note(args, store, list(places))
    if wanted:
        print(f"{wanted} will be delivered again by `spikebridge run`")
        _tell_of_nobody(data_directory(args), sorted(set(places.values())))


def _can_be_read(letter: DeadLetter) -> bool:
    """Say whether this version can read the finding in a sink's letter; print what to do about one that it can't."""
    from spikebridge.store import letter_entry

    try:
        letter_entry(letter)
    except StoreError as error:
        print(printable(f"left: {error}"))
        return False
    return True


def _tell_of_nobody(directory: Path, sinks: Sequence[str]) -> None:
    """Say which sinks no service that runs over this store delivers to; one that isn't running may run every stage."""
    from spikebridge.app.status import read_status

    status = read_status(directory)
    if status is None or not status.running:
        return
    running = {stage.name for stage in status.stages}
    for stage in (f"deliver:{sink}" for sink in sinks):
        if stage not in running:
            found = f"no service that runs over {directory} has the stage {stage}: its letters wait for one, which may be"
            print(printable(f"{found} `spikebridge run --stages {stage} --once` with this `data`"))
