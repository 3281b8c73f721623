"""`spikebridge forget`: let retention wait no longer for a reader of the alert log that will not come back."""

from __future__ import annotations

import getpass
import time
from pathlib import Path
from typing import TYPE_CHECKING, cast

from spikebridge.cli.arguments import add_data, configuration
from spikebridge.errors import LogError

if TYPE_CHECKING:
    import argparse

    from spikebridge.logs.kafka import Settings

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

    config = None if args.data else configuration(args)
    if config and config.source and config.source.type == "kafka":
        settings = cast("Settings", config.source.settings)
        group = f"{settings.names(config.tenant).group}.deliver.{args.reader.removeprefix('deliver:')}"
        raise LogError(
            f"log {config.source.name}: a sink's positions are those of a consumer group, and no alert waits for them; "
            f"remove them with: kafka-consumer-groups.sh --bootstrap-server {','.join(settings.servers)} --delete --group {group}"
        )
    directory = config.data if config else Path(args.data)
    Spool(directory, read_only=True).close()  # a spool that isn't there is not made
    with Spool(directory) as spool, Store(directory) as store:
        known = ", ".join(spool.cursors()) or "none"
        if not spool.forget(args.reader):
            raise LogError(f'expected one of the readers of {directory} ({known}), found "{args.reader}"')
        store.record(time.time_ns(), getpass.getuser(), "forget", {"reader": args.reader})
    return 0
