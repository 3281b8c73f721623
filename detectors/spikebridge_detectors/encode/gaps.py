"""Gaps: a line for each stream of a device's packets and each length of the gap before them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from spikebridge_detectors.capture.columns import Packets, Transport
from spikebridge_detectors.elapsed import SECOND_NS, gaps
from spikebridge_detectors.encode.bins import Bins
from spikebridge_detectors.encode.signal import MOST_LINES, bounded, expect

if TYPE_CHECKING:
    from numpy.typing import NDArray

STREAMS = ("open", "end", "tcp", "udp", "other")
"""What opens a TCP connection, what ends one, other TCP, UDP, and the rest; each of these sent and received."""

_FIN, _SYN, _RST = 1, 2, 4
_DIRECTIONS = ("in", "out")


class Gaps(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    One spike a packet: of ten streams its own, and of `count` bins the seconds since the packet before it in that stream.

    Bins are those of `bins`: the first is what is shorter than `low`, the last what is `high` or longer, and a stream's very first packet.
    Where a clock falls or repeats a time the gap is 0. Neither peer, port nor length is asked.
    """

    low: float
    high: float
    count: int

    def __post_init__(self) -> None:
        """Refuse what has no ratio."""
        most = MOST_LINES // (len(_DIRECTIONS) * len(STREAMS))
        expect("gaps: count", f"3 to {most}", self.count, fits=self.bins.count <= most)

    @property
    def bins(self) -> Bins:
        """Return the bins of one stream."""
        return Bins(low=self.low, high=self.high, count=self.count)

    @property
    def lines(self) -> int:
        """Return how many lines there are."""
        return len(_DIRECTIONS) * len(STREAMS) * self.count

    @property
    def names(self) -> tuple[str, ...]:
        """Return the lines' names in their order."""
        return tuple(f"{way}-{stream}-{at}" for way in _DIRECTIONS for stream in STREAMS for at in range(self.count))

    def spikes(self, packets: Packets, last_ns: NDArray[np.int64] | None = None) -> NDArray[np.bool_]:
        """Return the spikes of one device's packets, a step for each."""
        bounded("gaps", packets.time_ns, self.lines)
        fired: NDArray[np.bool_] = self.line(packets, last_ns)[:, np.newaxis] == np.arange(self.lines)
        return fired

    def line(self, packets: Packets, last_ns: NDArray[np.int64] | None = None) -> NDArray[np.int64]:
        """
        Return the line of each packet of one device.

        `last_ns` holds the time of the last packet of each stream, -1 for none, and is left where these packets end.
        """
        stream = streams(packets)
        seconds = np.empty(len(stream), np.float64)
        for number in range(len(_DIRECTIONS) * len(STREAMS)):
            at = np.flatnonzero(stream == number)
            if at.size:
                before = None if last_ns is None or last_ns[number] < 0 else int(last_ns[number])
                seconds[at] = gaps(packets.time_ns[at], before) / SECOND_NS
                if last_ns is not None:
                    last_ns[number] = packets.time_ns[at[-1]]
        return stream * self.count + np.searchsorted(self.bins.edges, seconds, side="right")


def streams(packets: Packets) -> NDArray[np.int64]:
    """Return the stream of each packet: its place in `STREAMS`, and five more where the device sends it."""
    tcp = packets.transport == Transport.TCP
    kind = np.select(
        [tcp & (packets.flags & _SYN != 0), tcp & (packets.flags & (_FIN | _RST) != 0), tcp, packets.transport == Transport.UDP],
        [0, 1, 2, 3],
        default=4,
    )
    return kind.astype(np.int64) + len(STREAMS) * packets.outgoing
