"""The layout of a frame in numbers; connector/README.md gives it to the byte."""

from __future__ import annotations

import struct
from typing import NamedTuple

import numpy as np

MAGIC = b"SPKB"
VERSION = 1
KIND_EVENTS, KIND_WINDOW, KIND_COUNT = 0, 1, 2
KINDS = ("events", "window", "count")
ROLES = ("input", "output", "tick")
ROW_BYTES = (8, 4, 12)
"""Bytes of one row by kind, a word of one channel for windows; peers come on top."""

FLAG_PEERS, FLAG_EVIDENCE = 1, 2
HEADER_BYTES = 64
SHORTEST = HEADER_BYTES + 8
"""The bytes of a tick: a header, no payload, padding and CRC."""

MARKER_BYTES = SHORTEST + 8
"""The bytes of a tick that brings a revision into force: its payload is the number."""

MAX_FRAME_BYTES = 1 << 20
DATAGRAM_BYTES = 1_180
"""What fits an IPv6 datagram of 1,280 bytes beside an outer envelope."""

MAX_STEP_NS = 1 << 30
MAX_TIME_NS = 1 << 62
MAX_PEERS = 4_096
MAX_PEER_BYTES = 255
MAX_EVIDENCE_BYTES = 1 << 15
MAX_WINDOW_STEPS = 1 << 20
"""Steps times channels of a window frame, which is what unpacking it may allocate."""

WORD_STEPS = 32
NO_PEER = 0xFFFF
RESIDUE = 0x48674BC7
"""The CRC-32C of any bytes followed by their own CRC-32C."""

HEADER = struct.Struct("<4sBBBBIIQqIHHBBHIQ8s")
COLUMNS = np.dtype(
    [
        ("magic", "<u4"),
        ("version", "u1"),
        ("kind", "u1"),
        ("role", "u1"),
        ("flags", "u1"),
        ("length", "<u4"),
        ("n", "<u4"),
        ("seq", "<u8"),
        ("start_ns", "<i8"),
        ("step_ns", "<u4"),
        ("layer", "<u2"),
        ("channels", "<u2"),
        ("id_len", "u1"),
        ("reserved", "u1"),
        ("peers", "<u2"),
        ("payload_at", "<u4"),
        ("boot", "<u8"),
        ("digest", ">u8"),
    ]
)
"""The header again, so that many headers are read as columns."""

U16, U32, U64 = 1 << 16, 1 << 32, 1 << 64


class Header(NamedTuple):
    """The header of one frame."""

    magic: bytes
    version: int
    kind: int
    role: int
    flags: int
    length: int
    n: int
    seq: int
    start_ns: int
    step_ns: int
    layer: int
    channels: int
    id_len: int
    reserved: int
    peers: int
    payload_at: int
    boot: int
    digest: bytes


def padded(size: int) -> int:
    """Round up to a multiple of 8."""
    return -(-size // 8) * 8
