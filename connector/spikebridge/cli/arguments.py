"""Arguments that several commands share, and how they are read."""

from __future__ import annotations

import argparse
import os
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from spikebridge.units import parse_duration

if TYPE_CHECKING:
    from spikebridge.config import Config

DEFAULT_FILE = "spikebridge.yaml"

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def add_data(parser: argparse.ArgumentParser) -> None:
    """Ask for the directory of spool and store."""
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--data", metavar="DIR", help="the directory of spool.db and store.db (default: that of the configuration)"
    )
    where.add_argument(
        "--config", metavar="FILE", help=f"the configuration that names it (default: {DEFAULT_FILE}, if there is one)"
    )


def add_evidence(parser: argparse.ArgumentParser) -> None:
    """Ask where evidence lies that didn't travel with its alert."""
    parser.add_argument(
        "--evidence",
        type=_directory,
        metavar="DIR",
        help="of an alert: where sensing keeps evidence that was too large to travel, and models that don't ship",
    )


def _directory(text: str) -> Path:
    if not Path(text).is_dir():
        message = f'expected a directory, found none at "{text}"'
        raise argparse.ArgumentTypeError(message)
    return Path(text)


def data_directory(args: argparse.Namespace) -> Path:
    """Return the directory; without any argument that of the default configuration and the environment."""
    return Path(args.data) if args.data else configuration(args).data


def instance_configuration(args: argparse.Namespace) -> Config:
    """Return the configuration; with `--data` the default one over the spool of that directory, whatever else is configured."""
    from dataclasses import replace

    from spikebridge.config import load_config

    return replace(load_config(None, {}), data=Path(args.data)) if args.data else configuration(args)


def configuration(args: argparse.Namespace, *, sinks: bool = True) -> Config:
    """Return the configuration that `--config` names, else the one of the working directory, else the default one; without sinks if asked."""
    from spikebridge.config import load_config

    default = Path(DEFAULT_FILE) if Path(DEFAULT_FILE).exists() else None
    return load_config(Path(args.config) if args.config else default, os.environ, sinks=sinks)


def moment_ns(text: str) -> int:
    """Read a point in time: so long ago (`1h`, `7d`), or RFC 3339 (UTC where no zone is given); for argparse's `type`."""
    try:
        return time.time_ns() - parse_duration(text)
    except ValueError:
        pass
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        message = f'expected a time such as 1h, 7d or 2026-11-20T10:00:00Z, found "{text}"'
        raise argparse.ArgumentTypeError(message) from None
    since = (found if found.tzinfo else found.replace(tzinfo=UTC)) - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000_000 + since.microseconds * 1_000


def secret_reference(text: str) -> str:
    """Take where a secret is, and never repeat what may be one; for argparse's `type`."""
    if not text.startswith(("env:", "file:")):
        message = "expected env:NAME or file:PATH: a secret on the command line can be read by everybody on this machine"
        raise argparse.ArgumentTypeError(message)
    return text
