"""
The evidence of one alarm in a file, `.spkev`: the device's state at one moment, and what came since, so that the alarm can be found again.

======  =====  ====================================================================
offset  bytes  what
======  =====  ====================================================================
0       8      `89 53 50 45 0D 0A 1A 0A`: what a transfer as text would spoil
8       2      the format's version, 1
10      2      H, the length of the header
12      4      S, the length of the state
16      4      I, the length of the input
20      H      the header, JSON in UTF-8
20+H    S      the state, at most 4 KiB
20+H+S  I      the input since: what the detector reads of it, and no peer
...     32     SHA-256 of all before
======  =====  ====================================================================

All numbers are little-endian. The digest shows damage, not who wrote it.
"""

from __future__ import annotations

import hashlib
import math
import struct
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

import msgspec
from msgspec import Meta

from spikebridge_detectors.errors import ModelError

if TYPE_CHECKING:
    from pathlib import Path

SUFFIX = ".spkev"
MOST_BYTES = 1 << 18
MOST_STATE = 4096
MOST_SENT = 1 << 15
"""So long evidence may be that a frame carries."""

_MAGIC = b"\x89SPE\r\n\x1a\n"
_VERSION = 1
_START = struct.Struct("<8sHHII")
_DIGEST_BYTES = 32
_MOST_HEADER = 4096
_MOST_TIME = (1 << 63) - 1

Time = Annotated[int, Meta(ge=-_MOST_TIME - 1, le=_MOST_TIME)]


class Said(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    What the evidence is of.

    `model` is the digest by which frames name what was learned. `until_ns` says up to when nothing came behind the input; without it
    the input was all there was.
    """

    device: Annotated[str, Meta(min_length=1, max_length=512)]
    detector: Literal["timing", "rules", "power", "vibration", "rf"]
    model: Annotated[str, Meta(pattern=r"^([0-9a-f]{16}|[0-9a-f]{64})?$(?!\n)")] = ""
    neuron: Annotated[int, Meta(ge=0, lt=1 << 16)]
    kind: Annotated[str, Meta(pattern=r"^[a-z_]{1,32}$(?!\n)")]
    time_ns: Time
    score: float
    until_ns: Time | None = None


class Evidence(NamedTuple):
    """One file, in its parts."""

    said: Said
    state: bytes
    input: bytes


def written(evidence: Evidence) -> bytes:
    """Return the file."""
    header = msgspec.json.encode(evidence.said, order="deterministic")
    if len(header) > _MOST_HEADER or len(evidence.state) > MOST_STATE:
        raise ModelError(
            f"evidence: expected a header and a state of at most {MOST_STATE:,} bytes, "
            f"found {len(header):,} and {len(evidence.state):,}"
        )
    start = _START.pack(_MAGIC, _VERSION, len(header), len(evidence.state), len(evidence.input))
    body = start + header + evidence.state + evidence.input
    if len(body) + _DIGEST_BYTES > MOST_BYTES:
        raise ModelError(f"evidence: expected at most {MOST_BYTES:,} bytes, found {len(body) + _DIGEST_BYTES:,}: begin it later")
    data = body + hashlib.sha256(body).digest()
    read(data)
    return data


def read(data: bytes) -> Evidence:
    """Cut a file into its parts; what the state and the input hold is checked by the detector that they are of."""
    if len(data) > MOST_BYTES:
        raise ModelError(f"expected at most {MOST_BYTES:,} bytes, found more: no evidence")
    if len(data) < _START.size + _DIGEST_BYTES:
        raise ModelError(f"expected at least {_START.size + _DIGEST_BYTES} bytes, found {len(data)}: truncated, or no evidence")
    magic, version, header, state, length = _START.unpack_from(data)
    if magic != _MAGIC:
        raise ModelError(f"expected evidence, which begins with {_MAGIC.hex(' ')}, found {magic.hex(' ')}")
    if version != _VERSION:
        raise ModelError(f"expected version {_VERSION} of the format, found {version}: written by a newer Spikebridge?")
    end = _START.size + header + state + length
    if len(data) != end + _DIGEST_BYTES or header > _MOST_HEADER or state > MOST_STATE:
        raise ModelError(f"expected {end + _DIGEST_BYTES:,} bytes, found {len(data):,}: truncated, or something was added")
    if hashlib.sha256(data[:end]).digest() != data[end:]:
        raise ModelError("expected what the digest at its end is of, found something else: damaged or altered")
    cut = _START.size + header
    return Evidence(_header(data[_START.size : cut]), data[cut : cut + state], data[cut + state : end])


def opened(path: Path) -> Evidence:
    """Read a file, at most as much as shows that it is too large."""
    with path.open("rb") as file:
        return read(file.read(MOST_BYTES + 1))


def _header(data: bytes) -> Said:
    try:
        said = msgspec.json.decode(data, type=Said)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ModelError(f"header: {error}") from error
    if not math.isfinite(said.score) or msgspec.json.encode(said, order="deterministic") != data:
        raise ModelError("header: expected JSON as it is written here, found another form of it")
    return said
