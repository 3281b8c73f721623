"""`spikebridge bench`: the product's own figures, peers in the same run."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from spikebridge.cli.terminal import print_json

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from spikebridge.bench.measure import Line

NAME = "bench"
HELP = "measure speed and memory on this machine, ratios to a plain peer in the same run"
EXAMPLE = "spikebridge bench sparse dense"


def configure(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("cases", nargs="*", metavar="NAME", help="sparse, dense, json, ecs, memory, help; all of them by default")
    parser.add_argument("--json", action="store_true", help="print one JSON document with the machine and every condition")


def run(args: Namespace) -> int:
    """Run the cases one after the other."""
    import msgspec

    from spikebridge.bench.cases import CASES
    from spikebridge.bench.measure import machine

    unknown = [name for name in args.cases if name not in CASES]
    if unknown:
        sys.stderr.write(f"bench: expected one of {', '.join(CASES)}, found {', '.join(unknown)}\n")
        return 2
    lines: list[Line] = []
    for name in args.cases or CASES:
        found = CASES[name]()
        lines += found
        if not args.json:
            for line in found:
                sys.stdout.write(_text(line) + "\n")
                sys.stdout.flush()
    if args.json:
        print_json({"machine": machine(), "lines": msgspec.to_builtins(lines)})
    return 0


def _text(line: Line) -> str:
    ratio = f"{line.ratio:6.1f} x {line.peer}" if line.ratio else ""
    targets = f"must {_figure(line.must)}, aim {_figure(line.aim)}" if line.must and line.aim else ""
    conditions = ", ".join(f"{name} {value}" for name, value in line.conditions.items() if name != "peer_value")
    return f"{line.name:16}{_figure(line.value):>10} {line.unit:10}{ratio:36}{targets:28}{conditions}"


def _figure(value: float | None) -> str:
    if value is None:
        return "-"
    if value >= 1e6:  # noqa: PLR2004 -- millions read better
        return f"{value / 1e6:.1f} M"
    return f"{value:,.0f}" if value >= 1_000 else f"{value:g}"  # noqa: PLR2004 -- thousands do too
