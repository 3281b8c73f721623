"""A frame without the evidence that it carries: what alerts take along where not all evidence has room."""

from __future__ import annotations

from crc32c import crc32c

from spikebridge.errors import FrameError
from spikebridge.spikes.frame import unpack
from spikebridge.spikes.layout import FLAG_EVIDENCE, FLAG_PEERS, HEADER, MAGIC, MAX_TIME_NS, ROW_BYTES, Header, padded

FLAGS_AT, LENGTH_AT, N_AT = 7, 8, 12


def lean(value: bytes) -> bytes:
    """Return a frame as its sender would have written it without evidence; whatever else a record is stays as it is."""
    if value[:4] != MAGIC or not value[FLAGS_AT : FLAGS_AT + 1] or not value[FLAGS_AT] & FLAG_EVIDENCE:
        return value
    try:
        unpack(value, MAX_TIME_NS)
    except FrameError:
        return value
    head = Header(*HEADER.unpack_from(value))
    payload = (ROW_BYTES[head.kind] + 2 * (head.flags & FLAG_PEERS)) * head.n
    length = head.payload_at + padded(payload + 4)
    flags = bytes([head.flags & ~FLAG_EVIDENCE])
    body = value[:FLAGS_AT] + flags + length.to_bytes(4, "little") + value[N_AT : head.payload_at + payload]
    body = body.ljust(length - 4, b"\0")
    return body + crc32c(body).to_bytes(4, "little")
