"""
Sensing in a process that kills itself at a moment that the test names.

`python -m tests.sense_worker DIR TABLE POINT LEFT [CONFIG]` senses a table with the state in DIR, in pieces of 100 packets, into the
spool in DIR, or into the log `plant` of a configuration. At the LEFTth time that it comes by POINT it dies.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from contextlib import ExitStack
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

from spikebridge.cli.sense import encode
from spikebridge.cli.targets import Patient, kafka_topic
from spikebridge.logs.spool import Spool
from spikebridge_detectors.capture.columns import Packets
from spikebridge_detectors.capture.tables import TableSource
from spikebridge_detectors.sense.device import DAY_S, Settings
from spikebridge_detectors.sense.loop import Loop, Parts
from spikebridge_detectors.sense.state import State
from spikebridge_detectors.sense.watch import witness

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from spikebridge_detectors.sense.saved import Saved

POINTS = ("before_append", "after_append", "before_save", "after_save")


class Fuse:
    """Kills this process at the right moment."""

    def __init__(self, point: str, left: int) -> None:
        """Wait for that moment."""
        self._point = point
        self._left = left

    def passed(self, point: str) -> None:
        """Say that a moment has come."""
        self._left -= point == self._point
        if not self._left:
            os.kill(os.getpid(), signal.SIGKILL)

    def append(self, append: Callable[[Sequence[bytes]], object]) -> Callable[[Sequence[bytes]], None]:
        """Return what appends, with a moment on both sides."""

        def both(values: Sequence[bytes]) -> None:
            self.passed("before_append")
            append(values)
            self.passed("after_append")

        return both


class FusedState(State):
    """A state with a moment on both sides of each save."""

    def __init__(self, folder: Path, fuse: Fuse) -> None:
        """Open it."""
        super().__init__(folder)
        self._fuse = fuse

    def save(self, saved: Saved) -> None:
        """Save, unless this is the moment."""
        self._fuse.passed("before_save")
        super().save(saved)
        self._fuse.passed("after_save")


def main(folder: Path, table: Path, fuse: Fuse, config: str) -> None:
    """Sense the table to its end."""
    with ExitStack() as stack, FusedState(folder / "state", fuse) as state, table.open("rb") as file:
        append: Callable[[Sequence[bytes]], object]
        if config:
            append = kafka_topic(stack, argparse.Namespace(config=config, topic=""), "plant").append
        else:
            append = stack.enter_context(Spool(folder)).append
        source = state.begin(file)
        assert source is not None
        target = Patient(fuse.append(append), Event(), print)
        loop = Loop(state, Settings(learn_s=3 * DAY_S), Parts(target, encode, witness, dict, print), source)
        packeted = TableSource(file, "table")
        for packets in packeted:
            for first in range(0, len(packets.time_ns), 100):
                loop.advance(Packets._make(column[first : first + 100] for column in packets), packeted.devices)
                if first % 300 == 0:
                    loop.save()
        loop.finish()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), Fuse(sys.argv[3], int(sys.argv[4])), "".join(sys.argv[5:]))
