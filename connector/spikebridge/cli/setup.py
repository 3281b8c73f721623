"""`spikebridge setup`: what must be there before the first alert, made on the other side by somebody who may."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Protocol, cast

if TYPE_CHECKING:
    import argparse

NAME = "setup"
HELP = "prepare a server for what goes there, and print the rights that are needed"
EXAMPLE = """
spikebridge setup elasticsearch --dry-run
spikebridge setup elasticsearch soc --user elastic --password env:ELASTIC_PASSWORD
spikebridge setup opensearch --user admin --password file:admin-password
spikebridge setup kafka --dry-run
spikebridge setup kafka --partitions 24 --user admin --password file:admin-password
"""

TARGETS = {
    "elasticsearch": "spikebridge.cli.setup_search",
    "kafka": "spikebridge.cli.setup_kafka",
    "opensearch": "spikebridge.cli.setup_search",
}


class Target(Protocol):
    """What the module of a target offers."""

    def describe(self, target: str) -> str:
        """Return what is prepared there, as `--help` says it."""

    def arguments(self, parser: argparse.ArgumentParser, target: str) -> None:
        """Add the target's own arguments."""

    def set_up(self, args: argparse.Namespace) -> int:
        """Do the work for `args.target` and return the exit code."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Ask for the target, then for what it needs."""
    targets = parser.add_subparsers(title="targets", metavar="TARGET", dest="target", required=True)
    for name in TARGETS:
        module = _module(name)
        text = module.describe(name)
        child = targets.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.", allow_abbrev=False)
        module.arguments(child, name)


def run(args: argparse.Namespace) -> int:
    """Hand over to the target."""
    return _module(args.target).set_up(args)


def _module(name: str) -> Target:
    return cast("Target", import_module(TARGETS[name]))
