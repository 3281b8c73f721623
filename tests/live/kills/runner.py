"""`spikebridge run` in a process that may kill itself and notes what it takes over: `python -m tests.live.kills.runner DIRECTORY`."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from tests.live.kills.points import Fuse, FusedClient, FusedSink
from tests.live.kills.sabotage import SABOTAGES, sabotaged

from spikebridge.app import Parts, Service, Stages
from spikebridge.app.parts import make_sink
from spikebridge.cli.run import stop_on_signals
from spikebridge.config import load_config
from spikebridge.journal import start_journal
from spikebridge.logs.kafka.settings import client_of

if TYPE_CHECKING:
    from spikebridge.logs.kafka import Settings

SINK_DELAY_S = 0.1


def main() -> None:
    """Run until SIGTERM, until the fuse burns, or with `--rest` until what there is was delivered."""
    parser = argparse.ArgumentParser(prog="python -m tests.live.kills.runner")
    parser.add_argument("directory", type=Path)
    parser.add_argument("--sabotage", choices=SABOTAGES, default="")
    parser.add_argument("--rest", action="store_true", help="the later stages alone, once")
    asked = parser.parse_args()
    config = load_config(asked.directory / "spikebridge.yaml", os.environ)
    start_journal(config.log.format, config.log.level)
    assert config.source is not None
    names = cast("Settings", config.source.settings).names(config.tenant)
    fuse = Fuse(asked.directory)

    def client(settings: Settings) -> Any:
        return FusedClient(sabotaged(client_of(settings), asked.sabotage, names.alerts), names, fuse, asked.directory)

    parts = Parts(client=client, sink=lambda sink, config: FusedSink(make_sink(sink, config), fuse, SINK_DELAY_S))
    stages = Stages.parse("incidents,deliver" if asked.rest else "", config.sinks)
    with stop_on_signals() as stop, Service(config, stages, parts=parts) as service:
        (service.drain if asked.rest else service.run)(stop)


if __name__ == "__main__":
    main()
