"""`spikebridge run`: the service, until it is told to stop."""

from __future__ import annotations

import gc
import logging
import os
import signal
import socket
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING

from spikebridge.cli.arguments import DEFAULT_FILE

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

SIGNALS = {signal.SIGTERM, signal.SIGINT}
CYCLES_AFTER = 20_000
"""So many objects more than before, and Python looks for cycles among the newest."""

NAME = "run"
HELP = "read the spike log, raise alerts, deliver them"
EXAMPLE = """
spikebridge run --config spikebridge.yaml
spikebridge run --config spikebridge.yaml --once
spikebridge run --config spikebridge.yaml --stages deliver:splunk
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Ask for the configuration and for what to run of it."""
    parser.add_argument(
        "--config", metavar="FILE", type=Path, help=f"the configuration (default: {DEFAULT_FILE}, if there is one)"
    )
    parser.add_argument("--once", action="store_true", help="read the logs to their end, wait for every sink, then exit")
    parser.add_argument(
        "--stages", default="", metavar="LIST", help="some of spikes,incidents,deliver,deliver:NAME (default: all)"
    )


def run(args: argparse.Namespace) -> int:
    """Run until SIGTERM, Ctrl-C or, with `--once`, the end of the logs; whatever was begun is finished and committed."""
    from spikebridge.app import Service, Stages
    from spikebridge.config import load_config
    from spikebridge.journal import start_journal

    default = Path(DEFAULT_FILE) if Path(DEFAULT_FILE).exists() else None
    config = load_config(args.config or default, os.environ)
    stages = Stages.parse(args.stages, config.sinks)
    start_journal(config.log.format, config.log.level)
    for warning in config.warnings:
        logging.getLogger(__name__).warning("%s", warning)
    with cycles_looked_for_seldom(), stop_on_signals() as stop, Service(config, stages) as service:
        if args.once:
            service.drain(stop)
        else:
            service.run(stop)
    return 0


@contextmanager
def cycles_looked_for_seldom() -> Iterator[None]:
    """
    Have Python look for cycles seldom enough for many records.

    Each record that is read is an object that it looks through, again and again while records wait, and none is in a cycle: by default
    that is a fifth of a process's time.
    """
    before = gc.get_threshold()
    gc.set_threshold(CYCLES_AFTER, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


@contextmanager
def stop_on_signals() -> Iterator[Event]:
    """
    Give an event that SIGTERM or Ctrl-C sets; another one ends the process at once, which the logs survive.

    Python's own handler, which may run in any thread (NumPy starts some that block nothing), only writes the signal's number down;
    a thread reads it, since a handler in the main thread could interrupt it inside the event's own lock.
    """
    stop = Event()
    reading, writing = socket.socketpair()
    writing.setblocking(False)

    def listen() -> None:
        while number := reading.recv(1):
            if number[0] in SIGNALS:
                if stop.is_set():
                    os._exit(130)
                stop.set()

    before = {number: signal.signal(number, lambda _number, _frame: None) for number in SIGNALS}
    wakeup = signal.set_wakeup_fd(writing.fileno(), warn_on_full_buffer=False)
    listener = Thread(target=listen, name="signals", daemon=True)
    listener.start()
    try:
        yield stop
    finally:
        signal.set_wakeup_fd(wakeup)
        for number, handler in before.items():
            signal.signal(number, handler)
        writing.close()
        listener.join()
        reading.close()
