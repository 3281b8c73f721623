"""`spikebridge list`: the components there are, from the registry, in their own words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spikebridge import registry
from spikebridge.cli.terminal import print_json, print_table

if TYPE_CHECKING:
    import argparse

NAME = "list"
HELP = "list the logs, sinks and formats there are"
EXAMPLE = """
spikebridge list sinks
spikebridge list formats --json
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Ask for the kind."""
    parser.add_argument("kind", choices=list(registry.KINDS), help="what to list")
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def run(args: argparse.Namespace) -> int:
    """Print each name with the first sentence of its description."""
    rows = [(name, registry.describe(args.kind, name).partition("\n")[0]) for name in registry.names(args.kind)]
    if args.json:
        print_json([{"name": name, "summary": text} for name, text in rows])
    else:
        print_table(("name", "summary"), rows)
    return 0
