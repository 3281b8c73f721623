"""`spikebridge run` in a process that may kill itself: `python -m tests.live.kills.runner DIRECTORY [late-alerts|no-replay]`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from tests.live.kills.points import Fuse, FusedClient, FusedSink
from tests.live.kills.sabotage import sabotaged

from spikebridge.app import Parts, Service
from spikebridge.app.parts import make_sink
from spikebridge.cli.run import stop_on_signals
from spikebridge.config import load_config
from spikebridge.journal import start_journal
from spikebridge.logs.kafka.settings import client_of

if TYPE_CHECKING:
    from spikebridge.logs.kafka import Settings

SINK_DELAY_S = 0.1


def main(directory: Path, sabotage: str = "") -> None:
    """Run until SIGTERM, or until the fuse burns."""
    config = load_config(directory / "spikebridge.yaml", os.environ)
    start_journal(config.log.format, config.log.level)
    assert config.source is not None
    names = cast("Settings", config.source.settings).names(config.tenant)
    fuse = Fuse(directory)

    def client(settings: Settings) -> Any:
        return FusedClient(sabotaged(client_of(settings), sabotage, names.alerts), names, fuse)

    parts = Parts(client=client, sink=lambda sink, config: FusedSink(make_sink(sink, config), fuse, SINK_DELAY_S))
    with stop_on_signals() as stop, Service(config, parts=parts) as service:
        service.run(stop)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
