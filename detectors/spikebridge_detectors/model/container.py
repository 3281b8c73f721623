"""
The bytes of a model file.

======  =====  ==========================================================================
offset  bytes  what
======  =====  ==========================================================================
0       8      `89 53 50 4B 0D 0A 1A 0A`: what a transfer as text would spoil
8       2      the format's version, 1
10      2      0
12      4      H, the length of the header
16      4      A, the length of the arrays
20      H      the header, JSON in UTF-8
20+H    A      the arrays, one behind another; the header says which
20+H+A  0/32   the id of the key that signed: SHA-256 of the public key (DER, SubjectPublicKeyInfo)
52+H+A  0/64   ECDSA P-256 with SHA-256 over all before the key's id: r and s, 32 bytes each, highest first
======  =====  ==========================================================================

All other numbers are little-endian. A file that nobody signed ends behind the arrays.
"""

from __future__ import annotations

import hashlib
import os
import struct
import tempfile
from pathlib import Path
from typing import NamedTuple

from spikebridge_detectors.errors import ModelError

MOST_BYTES = 1 << 16
"""A model and its signature are never larger."""

KEY_ID_BYTES, SIGNATURE_BYTES = 32, 64

_MAGIC = b"\x89SPK\r\n\x1a\n"
_VERSION = 1
_START = struct.Struct("<8sHHII")


class Envelope(NamedTuple):
    """A file cut into its parts, of which none has been looked at."""

    content: bytes
    header: bytes
    arrays: bytes
    key_id: bytes
    signature: bytes

    @property
    def digest(self) -> str:
        """Return the SHA-256 of the content: the same whoever signed it."""
        return hashlib.sha256(self.content).hexdigest()


def read(path: Path) -> bytes:
    """Read a file, at most as much as shows that it is too large."""
    with path.open("rb") as file:
        return file.read(MOST_BYTES + 1)


def save(path: Path, data: bytes) -> None:
    """Write a file whole or not at all, in place of what was there."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def joined(header: bytes, arrays: bytes) -> bytes:
    """Return the content that is signed."""
    content = _START.pack(_MAGIC, _VERSION, 0, len(header), len(arrays)) + header + arrays
    if len(content) + KEY_ID_BYTES + SIGNATURE_BYTES > MOST_BYTES:
        raise ModelError(
            f"expected at most {MOST_BYTES:,} bytes with the signature, found {len(content) + KEY_ID_BYTES + SIGNATURE_BYTES:,}: "
            f"{len(header):,} of the header, {len(arrays):,} of weights, biases and self-test; prune, use fewer bits, or record less"
        )
    return content


def split(data: bytes) -> Envelope:
    """Cut a file into its parts by the lengths that it names."""
    if len(data) > MOST_BYTES:
        raise ModelError(f"expected at most {MOST_BYTES:,} bytes, found more: no model")
    if len(data) < _START.size:
        raise ModelError(f"expected at least {_START.size} bytes, found {len(data)}: truncated, or no model")
    magic, version, zero, header, arrays = _START.unpack_from(data)
    if magic != _MAGIC:
        raise ModelError(f"expected a model file, which begins with {_MAGIC.hex(' ')}, found {magic.hex(' ')}")
    if version != _VERSION or zero:
        raise ModelError(f"expected version {_VERSION} of the format, found {version}.{zero}: written by a newer Spikebridge?")
    end = _START.size + header + arrays
    whole = end + KEY_ID_BYTES + SIGNATURE_BYTES
    if len(data) not in (end, whole):
        reason = "truncated" if len(data) < whole else "something was added"
        raise ModelError(f"expected {end:,} bytes, or {whole:,} with a signature, found {len(data):,}: {reason}")
    cut = _START.size + header
    return Envelope(
        data[:end], data[_START.size : cut], data[cut:end], data[end : end + KEY_ID_BYTES], data[end + KEY_ID_BYTES :]
    )
