"""`spikebridge docs`: keeps what is generated in a checkout true to the code."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import spikebridge
from spikebridge.errors import SpikebridgeError

if TYPE_CHECKING:
    import argparse

NAME = "docs"
HELP = "write the generated parts of the manual and the JSON Schemas anew (in a checkout)"
EXAMPLE = """
spikebridge docs --check
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Ask whether to write."""
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a file is stale")


def run(args: argparse.Namespace) -> int:
    """Write, or name, every file that differs."""
    from spikebridge.cli.manual import render

    root = _checkout()
    stale = {path: text for path, text in render(root).items() if not path.exists() or path.read_text(encoding="utf-8") != text}
    for path, text in stale.items():
        if args.check:
            print(f"{path.relative_to(root)} is stale: run `make docs`")
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            print(f"{path.relative_to(root)} is written anew")
    return 1 if stale and args.check else 0


def _checkout() -> Path:
    root = Path(spikebridge.__file__).parents[2]
    if not (root / "pyproject.toml").exists():
        raise SpikebridgeError("docs: expected to run from a checkout, found an installed package")
    return root
