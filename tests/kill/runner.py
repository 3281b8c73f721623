"""
`spikebridge run --once` with a sender inside it, in a process that may kill itself: `runner.py DIRECTORY RECORDS [POINT TIMES]`.

The log and every sink are wrapped by ordinary injection; the product has no hook for it.
"""

from __future__ import annotations

import os
import random
import sys
import time
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING, cast

from spikebridge.app import Parts, Service
from spikebridge.app.parts import make_sink, open_spool
from spikebridge.config import load_config
from spikebridge.spikes.frame import Head, encode_events
from spikebridge.testing import KillingLog, KillingSink, KillPoint

if TYPE_CHECKING:
    from spikebridge.logs import Record
    from spikebridge.logs.spool import Spool

PER_SECOND = 20_000
BATCH = 100
DEVICES = 400
NEVER = 1 << 62


class SmallBatches(KillingLog):
    """Reads so few records at a time that every point is passed more than a dozen times, however slow the machine."""

    def poll(self, position: int, max_bytes: int) -> list[Record]:
        """Return at most 16 KiB."""
        return super().poll(position, min(max_bytes, 1 << 14))


def records(first: int, count: int, now_ns: int) -> list[bytes]:
    """Return records number `first` and on: mostly a spike or three of a random device, now and then rubbish."""
    found = []
    for number in range(first, first + count):
        drawn = random.Random(number)
        if drawn.random() < 0.002:
            found.append(b"rubbish %d" % number)
            continue
        head = Head(device=f"sensor-{drawn.randrange(DEVICES)}", start_ns=now_ns, boot=1, seq=number)
        spikes = drawn.randrange(1, 4)
        found.append(encode_events(head, [drawn.choice((7, 42, 1_000)) for _ in range(spikes)], list(range(spikes))))
    return found


def send(spool: Spool, count: int, done: Event) -> None:
    """Append at 20,000 records a second what the log lacks."""
    sent, began = spool.bounds()[1], time.monotonic()
    first = sent
    while sent < count:
        spool.append(records(sent, BATCH, time.time_ns()))
        sent += BATCH
        time.sleep(max(0.0, began + (sent - first) / PER_SECOND - time.monotonic()))
    done.set()


def main(directory: Path, count: int, point: KillPoint) -> None:
    """Run until every record is sent, matched and delivered."""
    parts = Parts(
        spool=lambda config: cast("Spool", SmallBatches(open_spool(config), point)),
        sink=lambda sink, config: KillingSink(make_sink(sink, config), point),
    )
    with Service(load_config(directory / "spikebridge.yaml", os.environ), parts=parts) as service:
        sent = Event()
        Thread(target=send, args=(service.spool, count, sent), daemon=True).start()
        service.run(sent)
    with Service(load_config(directory / "spikebridge.yaml", os.environ), parts=parts) as service:
        service.drain(Event())


if __name__ == "__main__":
    name, times = sys.argv[3:] or ("after_append", str(NEVER))
    main(Path(sys.argv[1]), int(sys.argv[2]), KillPoint(name, int(times)))
