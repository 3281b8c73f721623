"""`spikebridge forget`: let retention wait no longer for a reader of the alert log that will not come back."""

from __future__ import annotations

import getpass
import time
from typing import TYPE_CHECKING

from spikebridge.cli.arguments import add_data, data_directory
from spikebridge.errors import LogError

if TYPE_CHECKING:
    import argparse

NAME = "forget"
HELP = "give up the cursor of a sink that will not come back"
EXAMPLE = """
spikebridge forget deliver:splunk
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Ask for the reader."""
    parser.add_argument("reader", metavar="READER", help="its name as `spikebridge status` shows it, for example deliver:splunk")
    add_data(parser)


def run(args: argparse.Namespace) -> int:
    """Remove the cursor; under that name a sink would begin at the oldest alert again."""
    from spikebridge.logs.spool import Spool
    from spikebridge.store import Store

    directory = data_directory(args)
    Spool(directory, read_only=True).close()  # a spool that isn't there is not made
    with Spool(directory) as spool, Store(directory) as store:
        known = ", ".join(spool.cursors()) or "none"
        if not spool.forget(args.reader):
            raise LogError(f'expected one of the readers of {directory} ({known}), found "{args.reader}"')
        store.record(time.time_ns(), getpass.getuser(), "forget", {"reader": args.reader})
    return 0
