"""`spikebridge list`: the components there are, from the registry, in their own words."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from spikebridge import registry
from spikebridge.cli.terminal import print_json, print_table, printable

if TYPE_CHECKING:
    import argparse

NAME = "list"
MODELS = "models"
HELP = "list the logs, sinks and formats there are"
EXAMPLE = """
spikebridge list sinks
spikebridge list formats --json
spikebridge list models
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Ask for the kind."""
    parser.add_argument("kind", choices=[*registry.KINDS, MODELS], help="what to list")
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def run(args: argparse.Namespace) -> int:
    """Print each name with the first sentence of its description."""
    rows = _models() if args.kind == MODELS else _components(args.kind)
    if args.kind == MODELS and not args.json:
        print(printable(f"in {Path(rows[0][0]).parent}:"))
        rows = [(Path(name).name, text) for name, text in rows]
    if args.json:
        print_json([{"name": name, "summary": text} for name, text in rows])
    else:
        print_table(("name", "summary"), rows)
    return 0


def _components(kind: registry.Kind) -> list[tuple[str, str]]:
    return [(name, registry.describe(kind, name).partition("\n")[0]) for name in registry.names(kind)]


def _models() -> list[tuple[str, str]]:
    """Return the models that ship; where they lie is what a configuration names."""
    from spikebridge_detectors.model.file import opened
    from spikebridge_detectors.shipped.pins import PINS, place, shipped

    return [(str(place(name)), opened(shipped(name)).header.about) for name in PINS]
