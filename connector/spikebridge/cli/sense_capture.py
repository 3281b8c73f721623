"""Where `spikebridge sense` gets its packets from: a file, a pipe or an interface, read on behind what was read before."""

from __future__ import annotations

import os
import select
import sys
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple, Protocol, cast

if TYPE_CHECKING:
    import argparse
    from collections import Counter
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import ExitStack
    from threading import Event

    from spikebridge_detectors.capture.columns import Packets
    from spikebridge_detectors.capture.frames import Passed
    from spikebridge_detectors.sense.saved import Source
    from spikebridge_detectors.sense.state import State


class Capture(NamedTuple):
    """
    Where packets come from, and how far they were read; `seen` gives devices that were found by address, `read` the bytes read.

    Packets may come `late_ns` after others.
    """

    packets: Packeted
    source: Source
    seen: Callable[[], dict[str, str]]
    read: Callable[[], int] = int
    live: bool = False
    late_ns: int = 0


class Packeted(Protocol):
    """A source of packets that counts what it passes over."""

    passed: Counter[Passed]

    @property
    def devices(self) -> Sequence[str]:
        """Return the names of devices so far."""

    def __iter__(self) -> Iterator[Packets]:
        """Yield pieces."""


def captured(args: argparse.Namespace, listed: Sequence[str], stack: ExitStack, state: State, stop: Event) -> Capture | None:
    """Open the source of the devices that are `listed` behind what was read of it; None if it is one that another followed."""
    from spikebridge_detectors.capture.devices import Bounds, Devices, Known
    from spikebridge_detectors.capture.flows import FlowSource
    from spikebridge_detectors.capture.live import LiveSource
    from spikebridge_detectors.capture.source import PcapSource
    from spikebridge_detectors.capture.tables import TableSource
    from spikebridge_detectors.sense.sensor import MOST_DEVICES

    if args.table:
        file = _opened(stack, args.table)
        known = state.begin(file)
        table = TableSource(file, args.table, device=(args.device or [""])[0], inside=listed, others=False, grows=True)
        return Capture(table, known, dict, file.tell) if known else None
    devices = Devices(listed, Bounds(devices=MOST_DEVICES))

    def seen() -> dict[str, str]:
        return devices.known().seen

    if args.iface:
        live = stack.enter_context(LiveSource(args.iface, devices))
        known = state.begin_live()
        devices.recall(Known(state.saved.seen_before, {}))
        return Capture(live, known, seen, live=True)
    piped = args.pcap == "-"
    stream = cast("BinaryIO", _Pipe(stop)) if piped else _opened(stack, args.flows or args.pcap)
    known = state.begin_live() if piped else state.begin(stream)
    devices.recall(Known(state.saved.seen_before, {}))
    if known is None:
        return None
    if args.flows:
        flows = FlowSource(stream, args.flows, devices, grows=True)
        return Capture(flows, known, seen, stream.tell, late_ns=flows.late_ns)
    packets = PcapSource(stream, "standard input" if piped else args.pcap, devices)
    return Capture(packets, known, seen, int if piped else stream.tell)


def _opened(stack: ExitStack, path: str) -> BinaryIO:
    return stack.enter_context(Path(path).open("rb"))


class _Pipe:
    """Standard input, which ends when somebody ends the command."""

    def __init__(self, stop: Event) -> None:
        self._stop = stop

    def read1(self, size: int) -> bytes:
        """Return what has come."""
        number = sys.stdin.buffer.fileno()
        while not select.select([number], [], [], 0.2)[0]:
            if self._stop.is_set():
                return b""
        return os.read(number, size)

    read = read1
