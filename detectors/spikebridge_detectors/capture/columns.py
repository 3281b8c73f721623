"""The columns that every source of network traffic yields, in pieces of bounded size."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray

MOST_PACKETS = 1 << 16
"""A piece holds at most so many."""


class Transport(IntEnum):
    """What carries a packet."""

    OTHER = 0
    TCP = 1
    UDP = 2
    ICMP = 3
    ARP = 4


class Packets(NamedTuple):
    """
    Packets in the order of capture; all columns are of one length.

    `device` counts in the source's `devices`; `outgoing` packets are sent by it, the others received. `peer` numbers who it spoke with, for each
    device in the order of first sight, and -1 where there are too many to remember. Ports are 0 where there are none, `flags` are TCP's.
    Times may fall and repeat, as clocks do.
    """

    time_ns: NDArray[np.int64]
    device: NDArray[np.int32]
    outgoing: NDArray[np.bool_]
    peer: NDArray[np.int32]
    transport: NDArray[np.uint8]
    source_port: NDArray[np.uint16]
    target_port: NDArray[np.uint16]
    length: NDArray[np.uint32]
    flags: NDArray[np.uint8]


class Source(Protocol):
    """Where packets come from."""

    @property
    def devices(self) -> Sequence[str]:
        """Return the names of the devices that are listed, then of those that were seen so far: the list grows."""

    def __iter__(self) -> Iterator[Packets]:
        """Yield pieces until the source ends."""
