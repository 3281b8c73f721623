"""Arguments that several commands share, and how they are read."""

from __future__ import annotations

import argparse
import os
import time
from datetime import UTC, datetime
from pathlib import Path

from spikebridge.units import parse_duration

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def add_data(parser: argparse.ArgumentParser) -> None:
    """Ask for the directory of spool and store."""
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--data", metavar="DIR", help="the directory of spool.db and store.db (default: that of the configuration)"
    )
    where.add_argument("--config", metavar="FILE", help="the configuration that names it")


def data_directory(args: argparse.Namespace) -> Path:
    """Return the directory; without any argument that of the default configuration and the environment."""
    if args.data:
        return Path(args.data)
    from spikebridge.config import load_config

    return load_config(Path(args.config) if args.config else None, os.environ).data


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
