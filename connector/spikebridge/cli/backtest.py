"""`spikebridge backtest`: which alerts a change of mappings would gain and lose, over what the log still holds or a recording."""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from spikebridge.cli.arguments import DEFAULT_FILE, moment_ns
from spikebridge.cli.check import sort
from spikebridge.cli.recorded import open_recording, show_refused
from spikebridge.cli.terminal import counted, print_json, print_table, printable
from spikebridge.errors import ContentError, LogMissing

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Iterator, Sequence

    from spikebridge.app.spikes import Past
    from spikebridge.config import Config
    from spikebridge.logs import Record
    from spikebridge.mapping.backtest import Backtest, Line, Outcome
    from spikebridge.mapping.rules import RuleSet

NAME = "backtest"
HELP = "show which alerts a change of mappings would gain and lose"
EXAMPLE = """
spikebridge backtest 3 mappings/ --from 6h
spikebridge backtest old.yaml new.yaml --recording night.spk --json
"""

SHOWN = 20


class Range(NamedTuple):
    """Some records of a log."""

    past: Past
    first: int
    end: int


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
    parser.add_argument("--data", type=Path, metavar="DIR", help="read the spool of this directory (default: the configured log)")
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def run(args: argparse.Namespace) -> int:
    """Match the records under both sides and print what differs; exit 1 only if a part of a recording can't be read."""
    from spikebridge.config import load_config
    from spikebridge.mapping.backtest import Backtest

    default = Path(DEFAULT_FILE) if Path(DEFAULT_FILE).exists() else None
    config = load_config(args.config or default, os.environ)
    if args.data:
        config = replace(config, data=args.data, source=None)
    with ExitStack() as stack:
        backtest = Backtest(*_sides(args, config))
        chosen = _chosen(args, config, stack)
        batches = chain.from_iterable(_fed(backtest, config.tenant, one) for one in chosen)
        for records in _watched(batches, sum(one.end - one.first for one in chosen)):
            backtest.feed(records)
    outcome = backtest.outcome()
    if args.json:
        print_json(outcome)
    else:
        _show(outcome)
    return int(bool(args.recording and outcome.refused))


def _sides(args: argparse.Namespace, config: Config) -> tuple[RuleSet, RuleSet]:
    """Return both rule sets; a file without an inventory is read with the devices of the other side."""
    import msgspec

    old, new = (_rule_set(text, args.inventory, config) for text in (args.old, args.new))
    if not old.devices and not old.classes:
        old = msgspec.structs.replace(old, devices=new.devices, classes=new.classes)
    elif not new.devices and not new.classes:
        new = msgspec.structs.replace(new, devices=old.devices, classes=old.classes)
    return old, new


def _rule_set(text: str, inventory: Path | None, config: Config) -> RuleSet:
    from spikebridge.app.parts import open_revisions, revisions_place
    from spikebridge.detect.load import load_models
    from spikebridge.mapping.load import load
    from spikebridge.mapping.rules import read_revision

    if text.isascii() and text.isdigit() and not Path(text).exists():
        with open_revisions(config, read_only=True) as revisions:
            content = revisions.revision(int(text))
            newest = revisions.newest()
        if content is None:
            known = "none" if newest is None else newest
            raise LogMissing(f"{revisions_place(config)}: there is no revision {text}, the newest is {known}")
        return read_revision(int(text), content).rule_set
    found = sort([Path(text)])
    if found.problems:
        raise ContentError(found.problems)
    chosen = found.config or config
    models = load_models(chosen.models, chosen.model_keys) if chosen.models else []
    return load(found.mappings, inventory or found.inventory or config.inventory, config.limits, models).rule_set


def _chosen(args: argparse.Namespace, config: Config, stack: ExitStack) -> list[Range]:
    """Return what is asked for of the recording, or of all that the service reads."""
    from spikebridge.app.spikes import Past, open_past

    if args.recording:
        return [_range(args, Past(open_recording(args.recording, config.limits.frame_ns)))]
    return [_range(args, past) for past in stack.enter_context(open_past(config))]


def _range(args: argparse.Namespace, past: Past) -> Range:
    first, end = past.log.bounds()
    if args.since is not None:
        first = max(first, past.log.offset_at(args.since))
    if args.until is not None:
        end = min(end, past.log.offset_at(args.until))
    return Range(past, first, max(first, end))


def _fed(backtest: Backtest, tenant: str, chosen: Range) -> Iterator[list[Record]]:
    """Yield the records of a log, once the backtest has begun it."""
    from spikebridge.mapping.evidence import Identity

    log = chosen.past.log
    backtest.begin(Identity(tenant, log.id, log.partition, live=log.switches == "marker"), log.read)
    yield from chosen.past.batches(chosen.first, chosen.end)


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
    show_refused(outcome.refused, outcome.refusals)
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
