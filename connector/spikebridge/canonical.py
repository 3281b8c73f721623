"""One canonical JSON and one way to make ids: for alerts, incidents, revisions, signatures and audit."""

from __future__ import annotations

import hashlib
import uuid
from typing import Any

import msgspec

NAMESPACE = uuid.UUID("6f2b4f0e-6d0a-5c3b-9a51-2f6f0b7c8d1e")
"""The namespace of every UUIDv5 that Spikebridge makes."""

_encode = msgspec.json.Encoder(order="deterministic").encode
_NAMESPACE_BYTES = NAMESPACE.bytes
_VERSION_MASK = ~((0xF << 76) | (0x3 << 62))
_VERSION_BITS = (5 << 76) | (0x2 << 62)


def canonical_json(value: Any) -> bytes:
    """Sorted keys, no white space, UTF-8: equal values give equal bytes. Whole numbers as keys become texts."""
    try:
        return _encode(value)
    except TypeError:
        return _encode(msgspec.to_builtins(value, str_keys=True))


def uuid5(name: bytes) -> str:
    """Equal to `str(uuid.uuid5(NAMESPACE, name))`, three times as fast."""
    digest = hashlib.sha1(_NAMESPACE_BYTES + name, usedforsecurity=False).digest()
    number = (int.from_bytes(digest[:16], "big") & _VERSION_MASK) | _VERSION_BITS
    text = f"{number:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def content_id(*parts: Any) -> str:
    """Make the UUIDv5 of a canonical JSON list: who computes the same facts gets the same id."""
    return uuid5(canonical_json(parts))


def sha256(data: bytes) -> str:
    """Make the digest by which revisions, evidence and models are named."""
    return hashlib.sha256(data).hexdigest()
