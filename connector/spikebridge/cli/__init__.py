"""
The command line: one module per command, imported only when it is the one asked for.

A module `spikebridge.cli.NAME` has `NAME`, `HELP` (as in the table below), `EXAMPLE` (command lines, one a line),
`configure(parser)`, which adds arguments, and `run(args)`, which returns the exit code: 0 good, 1 findings, 2 usage.
What such a module imports at its top delays only its own command; NumPy, pydantic, PyYAML and rich are for `run` to import.
"""

from __future__ import annotations

import argparse
import importlib
import io
import os
import sys
from typing import TYPE_CHECKING, NoReturn, Protocol, cast

from spikebridge import __version__
from spikebridge.cli.terminal import printable
from spikebridge.errors import SpikebridgeError

if TYPE_CHECKING:
    from collections.abc import Sequence

GOOD, FINDINGS, USAGE = 0, 1, 2
INTERRUPTED, BROKEN_PIPE = 130, 141
"""What a shell shows for a program that SIGINT or SIGPIPE ended."""

COMMANDS = {
    "alerts": "show the alerts and incidents in the embedded store",
    "audit": "list the audit log, or verify that nobody changed it",
    "backtest": "show which alerts a change of mappings would gain and lose",
    "bench": "measure speed and memory on this machine, ratios to a plain peer in the same run",
    "check": "check configuration, inventory and mappings, and run their tests",
    "convert": "turn spikes into documents and print them, leaving nothing behind",
    "deadletters": "list, show, retry or drop what could not be read or delivered",
    "demo": "play attacks on a small site through the real product, and watch its alerts",
    "doctor": "try the way to every log and sink of the configuration, step by step, and say what to do",
    "evaluate": "measure the detectors on captures with known attacks, simple rules and usual detectors beside them",
    "explain": "say in words why an alert exists, and which spikes counted",
    "forget": "give up the cursor of a sink that will not come back",
    "frames": "show frames as readable JSON lines, and why a refused one was refused",
    "init": "write a commented configuration, inventory and mapping to begin with",
    "list": "list the logs, sinks and formats there are",
    "model": "sign a model, verify one, show what is in it, compare engines, learn anew, or exchange it with other frameworks",
    "publish": "make mappings and inventory the next revision",
    "replay": "compute an alert again from its evidence and compare every byte",
    "run": "read the spike log, raise alerts, deliver them",
    "schema": "print the JSON Schema of mappings, inventory, configuration, JSON events or a model's header",
    "sense": "learn devices from a capture or an interface, then watch them, and append what is found to a log",
    "send": "append frames or JSON lines to a spike log",
    "setup": "prepare a server for what goes there, and print the rights that are needed",
    "status": "show positions, cursors, lag, last errors and the revision in force",
    "train": "learn what is normal for a class of devices, from captures or measured values, and show what the model finds",
}

UNLISTED = {
    "docs": "write the generated parts of the manual and the JSON Schemas anew (in a checkout)",
}


class Command(Protocol):
    """What a command's module offers."""

    NAME: str
    HELP: str
    EXAMPLE: str

    def configure(self, parser: argparse.ArgumentParser) -> None:
        """Add the command's arguments."""

    def run(self, args: argparse.Namespace) -> int:
        """Do the work and return the exit code."""


class _Parser(argparse.ArgumentParser):
    """Says what is wrong with an argument without handing the terminal what is in it."""

    def error(self, message: str) -> NoReturn:
        """As argparse does, but printable."""
        super().error(printable(message))


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; what goes wrong on purpose is told in a line on stderr, never with a traceback."""
    arguments = [*(sys.argv[1:] if argv is None else argv)]  # in this namespace `list` is the command's module
    # NumPy reads it when it is imported; our products are small, and a second thread waits for the first at each step
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        code = _run(arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read our output has gone. Python flushes stdout once more on its way out: let that go nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except KeyboardInterrupt:
        return INTERRUPTED
    except SpikebridgeError as error:
        return _complain(str(error))
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return _complain(f"{where}{error.strerror or error}")
    return code


def load(name: str) -> Command:
    """Import the module of one command."""
    return cast("Command", importlib.import_module(f"spikebridge.cli.{name}"))


def build_parser(*names: str) -> argparse.ArgumentParser:
    """Build the tree of arguments; only the commands named here are imported and have theirs."""
    parser = _Parser(
        prog="spikebridge",
        description="Turns the spikes of neuromorphic sensors into alerts that a security team can act on.",
        epilog="`spikebridge COMMAND --help` says more and shows an example. "
        "Exit codes: 0 good, 1 findings, 2 wrong usage or configuration.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"spikebridge {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", dest="command", required=True)
    for name, text in COMMANDS.items():
        _fill(commands.add_parser(name, help=text, allow_abbrev=False), name if name in names else "", text)
    for name, text in UNLISTED.items():
        _fill(commands.add_parser(name, allow_abbrev=False), name if name in names else "", text)
    return parser


def _fill(parser: argparse.ArgumentParser, name: str, text: str) -> None:
    parser.description = f"{text[0].upper()}{text[1:]}."
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    if name:
        module = load(name)
        lines = "\n".join(f"  {line}" for line in module.EXAMPLE.strip().splitlines())
        parser.epilog = f"example:\n{lines}"
        module.configure(parser)
        _show_examples(parser, module.EXAMPLE)


def _show_examples(parser: argparse.ArgumentParser, example: str) -> None:
    """Give each of the command's own commands those examples that are its."""
    for action in parser._actions:  # noqa: SLF001 -- argparse has no other way to its children
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001 -- as above
            for child in action.choices.values():
                lines = "\n".join(f"  {line}" for line in example.strip().splitlines() if f"{line} ".startswith(f"{child.prog} "))
                child.formatter_class = argparse.RawDescriptionHelpFormatter
                child.epilog = lines and f"example:\n{lines}"


def _run(arguments: list[str]) -> int:
    name = next((word for word in arguments if not word.startswith("-")), "")
    known = name in COMMANDS or name in UNLISTED
    try:
        args = build_parser(*([name] if known else [])).parse_args(arguments)
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else USAGE
    return load(args.command).run(args)


def _complain(message: str) -> int:
    """Say one thing after the program's name; problems, one a line, as they are: editors jump to `file:line:column`."""
    lines = message.splitlines()
    lead = "spikebridge: " if len(lines) == 1 else ""
    for line in lines:
        print(f"{lead}{printable(line)}", file=sys.stderr)
    return USAGE
