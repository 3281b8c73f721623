"""`spikebridge backtest`: which alerts a change of mappings would gain and lose, over what the log still holds or a recording."""

from __future__ import annotations

import os
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

from spikebridge.cli.arguments import moment_ns
from spikebridge.cli.check import DEFAULT_FILE, sort
from spikebridge.cli.terminal import counted, print_json, print_table, printable
from spikebridge.errors import ContentError, LogMissing

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Iterator, Sequence

    from spikebridge.config import Config
    from spikebridge.logs import Record
    from spikebridge.mapping.backtest import Line, Outcome
    from spikebridge.mapping.rules import RuleSet

NAME = "backtest"
HELP = "show which alerts a change of mappings would gain and lose"
EXAMPLE = """
spikebridge backtest 3 mappings/ --from 6h
spikebridge backtest old.yaml new.yaml --recording night.spk --json
"""

POLL_BYTES = 1 << 20
SHOWN = 20


class Log(Protocol):
    """What is read: the spool or a recording."""

    id: str
    partition: int

    def poll(self, position: int, max_bytes: int) -> list[Record]:
        """Return the next records."""

    def read(self, offsets: Sequence[int]) -> list[Record]:
        """Return single records."""

    def bounds(self) -> tuple[int, int]:
        """Return first and next offset."""

    def offset_at(self, append_ns: int) -> int:
        """Return the first offset appended then or later."""


class Range(NamedTuple):
    """Some records of a log."""

    log: Log
    first: int
    end: int
    live: bool


def configure(parser: argparse.ArgumentParser) -> None:
    """Ask for both sides and for the records."""
    for side in ("old", "new"):
        parser.add_argument(side, metavar=side.upper(), help="a mapping file, a directory, or the number of a revision")
    parser.add_argument(
        "--from", dest="since", type=moment_ns, metavar="TIME", help="records appended from then on: 6h, or 2026-11-20T10:00:00Z"
    )
    parser.add_argument("--to", dest="until", type=moment_ns, metavar="TIME", help="records appended before then")
    parser.add_argument("--recording", type=Path, metavar="FILE", help="a file of frames or JSON lines in place of the log")
    parser.add_argument("--inventory", type=Path, metavar="FILE", help="the inventory for files (default: the configured one)")
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help=f"the configuration (default: {DEFAULT_FILE}, if there is one)"
    )
    parser.add_argument("--data", type=Path, metavar="DIR", help="the directory of the spool (default: the configured one)")
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def run(args: argparse.Namespace) -> int:
    """Match the records under both sides and print what differs; 0 whatever that is."""
    from spikebridge.config import load_config
    from spikebridge.mapping.backtest import Backtest
    from spikebridge.mapping.evidence import Identity

    default = Path(DEFAULT_FILE) if Path(DEFAULT_FILE).exists() else None
    config = load_config(args.config or default, os.environ)
    directory = args.data or config.data
    with ExitStack() as stack:
        old, new = _sides(args, config, directory)
        chosen = _chosen(args, directory, stack)
        identity = Identity(config.tenant, chosen.log.id, chosen.log.partition, live=chosen.live)
        backtest = Backtest(old, new, identity, chosen.log.read)
        for records in _watched(_batches(chosen), chosen.end - chosen.first):
            backtest.feed(records)
    outcome = backtest.outcome()
    if args.json:
        print_json(outcome)
    else:
        _show(outcome)
    return 0


def _sides(args: argparse.Namespace, config: Config, directory: Path) -> tuple[RuleSet, RuleSet]:
    """Return both rule sets; a file without an inventory is read with the devices of the other side."""
    import msgspec

    old, new = (_rule_set(text, args.inventory, config, directory) for text in (args.old, args.new))
    if not old.devices and not old.classes:
        old = msgspec.structs.replace(old, devices=new.devices, classes=new.classes)
    elif not new.devices and not new.classes:
        new = msgspec.structs.replace(new, devices=old.devices, classes=old.classes)
    return old, new


def _rule_set(text: str, inventory: Path | None, config: Config, directory: Path) -> RuleSet:
    from spikebridge.logs.spool import Spool
    from spikebridge.mapping.load import load
    from spikebridge.mapping.rules import read_revision

    if text.isascii() and text.isdigit() and not Path(text).exists():
        with Spool(directory, read_only=True) as spool:
            content = spool.revision(int(text))
            newest = spool.newest()
        if content is None:
            raise LogMissing(f"{directory}: there is no revision {text}, the newest is {newest or 'none'}")
        return read_revision(int(text), content).rule_set
    found = sort([Path(text)])
    if found.problems:
        raise ContentError(found.problems)
    return load(found.mappings, inventory or found.inventory or config.inventory, config.limits).rule_set


def _chosen(args: argparse.Namespace, directory: Path, stack: ExitStack) -> Range:
    from spikebridge.logs.recording import Recording
    from spikebridge.logs.spool import Spool

    log: Log = (
        Recording(args.recording, time.time_ns()) if args.recording else stack.enter_context(Spool(directory, read_only=True))
    )
    first, end = log.bounds()
    if args.since is not None:
        first = max(first, log.offset_at(args.since))
    if args.until is not None:
        end = min(end, log.offset_at(args.until))
    return Range(log, first, max(first, end), live=args.recording is None)


def _batches(chosen: Range) -> Iterator[list[Record]]:
    position = chosen.first
    while position < chosen.end:
        records = [record for record in chosen.log.poll(position, POLL_BYTES) if record.offset < chosen.end]
        if not records:
            return
        yield records
        position = records[-1].offset + 1


def _watched(batches: Iterable[list[Record]], total: int) -> Iterator[list[Record]]:
    """Show a bar on a terminal."""
    if not sys.stderr.isatty():
        yield from batches
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("matching", total=total)
        for records in batches:
            yield records
            progress.advance(task, len(records))


def _show(outcome: Outcome) -> None:
    print(f"{counted(outcome.records, 'record')}, {counted(outcome.spikes, 'spike')}; windows began empty")
    gained, lost = (sum(line.count for line in lines) for lines in (outcome.gained, outcome.lost))
    print(f"{counted(outcome.same, 'alert')} in both, {gained:,} gained, {lost:,} lost")
    for one in outcome.renamed:
        print(printable(f"renamed: {one.old} is now {one.new}, {one.count:,} alerts"))
    for change in outcome.changed:
        print(printable(f'changed: {change.rule}: {change.what} "{change.old}" is now "{change.new}", {change.count:,} alerts'))
    _show_lines("gained", outcome.gained)
    _show_lines("lost", outcome.lost)


def _show_lines(title: str, lines: Sequence[Line]) -> None:
    from spikebridge.timestamps import rfc3339_ms

    if not lines:
        return
    print(f"{title}:")
    rows = [
        (
            line.rule,
            line.device or "-",
            line.count,
            line.examples[0].severity,
            rfc3339_ms(line.examples[0].time_ns),
            line.examples[0].explanation,
        )
        for line in lines[:SHOWN]
    ]
    print_table(("rule", "device", "alerts", "severity", "first", "for example"), rows)
    if len(lines) > SHOWN:
        print(f"and {len(lines) - SHOWN} more: --json has them all")
