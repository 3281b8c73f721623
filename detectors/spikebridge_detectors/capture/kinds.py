"""
The kind of a packet in one number, and packets as rows of 12 bytes: a time and the kind. Not who the peer was.

Rows are what detectors learn from, and what evidence holds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from spikebridge_detectors.capture.columns import Packets, Transport
from spikebridge_detectors.errors import ModelError

if TYPE_CHECKING:
    from numpy.typing import NDArray

LENGTHS = np.array([64, 96, 160, 320, 640, 1280])
"""Where classes of length begin."""

ROW = np.dtype([("time_ns", "<i8"), ("code", "<u4")])
MOST_ROWS = 20_000
_CODE_BITS = 24
_SERVICE_PORTS = 10_000
_FIN, _SYN, _RST = 1, 2, 4
_FLAGS = np.array([0, 2, 1, 0], np.uint8)
"""A flag for each class: SYN, and FIN for all that ends a connection."""


def codes(packets: Packets) -> NDArray[np.int64]:
    """Return the kind of each packet: direction, protocol, length class, TCP flag class and service port in one number."""
    service = np.minimum(packets.source_port, packets.target_port).astype(np.int64)
    service[service >= _SERVICE_PORTS] = 0
    code = (service << 3) | np.searchsorted(LENGTHS, packets.length, side="right")
    return (code << 6) | (flag_class(packets) << 4) | (packets.transport.astype(np.int64) << 1) | packets.outgoing


def flag_class(packets: Packets) -> NDArray[np.int64]:
    """Return 1 for what opens a TCP connection, 2 for what ends one, else 0."""
    tcp = packets.transport == Transport.TCP
    opens, ends = (packets.flags & _SYN) != 0, (packets.flags & (_FIN | _RST)) != 0
    return np.where(tcp & opens, 1, np.where(tcp & ends, 2, 0)).astype(np.int64)


def to_rows(packets: Packets) -> bytes:
    """Return packets of one device as rows; what runs over them gives the same as over the packets."""
    if len(packets.time_ns) > MOST_ROWS:
        raise ModelError(f"input: expected at most {MOST_ROWS:,} packets, found {len(packets.time_ns):,}")
    rows = np.empty(len(packets.time_ns), ROW)
    rows["time_ns"] = packets.time_ns
    known = np.where(packets.transport < len(Transport), packets.transport, Transport.OTHER).astype(np.uint8)
    rows["code"] = codes(packets._replace(transport=known)) | packets.transport.astype(np.int64) << _CODE_BITS
    return rows.tobytes()


def from_rows(data: bytes, device: int = 0) -> Packets:
    """Return rows as packets that give the same marks; refuse rows that no packet gives."""
    if len(data) % ROW.itemsize or len(data) > MOST_ROWS * ROW.itemsize:
        raise ModelError(f"input: expected at most {MOST_ROWS:,} rows of {ROW.itemsize} bytes, found {len(data):,} bytes")
    rows = np.frombuffer(data, ROW)
    code = rows["code"].astype(np.int64)
    service = (code >> 9 & 0x7FFF).astype(np.uint16)
    found = Packets(
        time_ns=rows["time_ns"].astype(np.int64),
        device=np.full(len(rows), device, np.int32),
        outgoing=(code & 1).astype(np.bool_),
        peer=np.full(len(rows), -1, np.int32),
        transport=(code >> _CODE_BITS).astype(np.uint8),
        source_port=service,
        target_port=service,
        length=np.concatenate(([0], LENGTHS, [0]))[code >> 6 & 7].astype(np.uint32),
        flags=_FLAGS[code >> 4 & 3],
    )
    if to_rows(found) != data:
        raise ModelError("input: expected kinds of packets, found numbers that are none")
    return found
