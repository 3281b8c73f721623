"""`spikebridge init`: a configuration, an inventory and a mapping to begin with, each with comments."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from spikebridge.cli.terminal import printable
from spikebridge.errors import SpikebridgeError

if TYPE_CHECKING:
    import argparse

NAME = "init"
HELP = "write a commented configuration, inventory and mapping to begin with"
EXAMPLE = """
spikebridge init --dir plant-1
"""

FILES = ("spikebridge.yaml", "inventory.yaml", "mappings/network.yaml")


def configure(parser: argparse.ArgumentParser) -> None:
    """Ask where."""
    parser.add_argument("--dir", metavar="DIR", type=Path, default=Path(), help="where to write (default: here)")


def run(args: argparse.Namespace) -> int:
    """Write all files, or none if one of them is there."""
    there = [name for name in FILES if (args.dir / name).exists()]
    if there:
        raise SpikebridgeError(f"init: expected none of these in {args.dir}, found {', '.join(there)}: nothing was written")
    templates = resources.files(__package__) / "start"
    for name in FILES:
        target = args.dir / name
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("xb") as file:
            file.write(templates.joinpath(*name.split("/")).read_bytes())
        print(f"{printable(str(target))} written")
    print(f"next: spikebridge check {printable(str(args.dir / FILES[0]))}")
    return 0
