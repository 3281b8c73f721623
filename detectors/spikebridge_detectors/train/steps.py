"""
Steps of learning that are kept on disk, so that what is begun again goes on where it was.

A step is some arrays by name, in a file of its own, written whole or not at all:

    8 bytes   `SPKSTEP` and the format's version, 1
    4 bytes   H, the length of the header, little-endian
    H bytes   the header, JSON: what is learned from (key), the step's name, and each array's name, type and shape
    ...       the arrays, behind one another, little-endian
    32 bytes  SHA-256 of all before
"""

from __future__ import annotations

import hashlib
import json
import struct
from math import prod
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
import numpy as np
from msgspec import Meta

from spikebridge_detectors.errors import ModelError
from spikebridge_detectors.model.container import save

Kind = Literal["f8", "i8"]

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    Arrays = dict[str, NDArray[np.generic]]
    Keep = Callable[[str, Callable[[], Arrays]], Arrays]
    """Returns what a step made before, or has it made and keeps it."""

MOST_BYTES = 1 << 28
_MAGIC = b"SPKSTEP\x01"
_START = struct.Struct("<8sI")
_DIGEST = 32
_TYPES = {"i8": np.dtype("<i8"), "f8": np.dtype("<f8")}
_ENDS = ".step"


class _Array(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: Annotated[str, Meta(max_length=200)]
    type: Kind
    shape: Annotated[tuple[Annotated[int, Meta(ge=0, le=MOST_BYTES)], ...], Meta(max_length=4)]


class _Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    key: str
    step: str
    arrays: Annotated[tuple[_Array, ...], Meta(max_length=4096)]


def straight(_name: str, make: Callable[[], Arrays]) -> Arrays:
    """Make a step and keep nothing."""
    return make()


class Steps:
    """The steps of one run in a directory; `key` is the digest of all that they come from."""

    def __init__(self, directory: Path, key: str, *, resume: bool) -> None:
        """Go on from what is there, or begin anew; what isn't of this run is refused."""
        self.directory = directory
        self.resumed = 0
        self._key = key
        self._count = 0
        directory.mkdir(exist_ok=True)
        if not resume:
            self.forget(directory=False)

    def __call__(self, name: str, make: Callable[[], Arrays]) -> Arrays:
        """Return what a step made before, or have it made and keep it."""
        path = self.directory / f"{self._count:05d}{_ENDS}"
        self._count += 1
        if path.exists():
            self.resumed += 1
            return self._read(path, name)
        made = make()
        save(path, packed(self._key, name, made))
        return made

    def forget(self, *, directory: bool = True) -> None:
        """Remove what is kept, the directory too if nothing else is in it."""
        for path in sorted(self.directory.glob(f"*{_ENDS}")):
            path.unlink()
        if directory and not any(self.directory.iterdir()):
            self.directory.rmdir()

    def _read(self, path: Path, name: str) -> Arrays:
        if path.stat().st_size > MOST_BYTES:
            raise ModelError(f"{path}: expected at most {MOST_BYTES:,} bytes, found more: no step of learning")
        try:
            return unpacked(path.read_bytes(), self._key, name)
        except ModelError as error:
            raise ModelError(f"{path}: {error}; begin anew without --resume") from error


def packed(key: str, step: str, arrays: Arrays) -> bytes:
    """Return a step as bytes."""
    said, data = [], b""
    for name, array in arrays.items():
        kind: Kind = "f8" if array.dtype.kind == "f" else "i8"
        said.append(_Array(name, kind, array.shape))
        data += array.astype(_TYPES[kind]).tobytes()
    header = json.dumps(msgspec.to_builtins(_Header(key, step, tuple(said))), sort_keys=True).encode()
    content = _START.pack(_MAGIC, len(header)) + header + data
    return content + hashlib.sha256(content).digest()


def unpacked(data: bytes, key: str, step: str) -> Arrays:
    """Return the arrays of a step, refused unless it is this one, whole, of this run."""
    if len(data) < _START.size + _DIGEST or data[:8] != _MAGIC:
        raise ModelError(f"expected a step of learning, which begins with {_MAGIC!r}, found {data[:8]!r}")
    content, digest = data[:-_DIGEST], data[-_DIGEST:]
    if hashlib.sha256(content).digest() != digest:
        raise ModelError("damaged: its digest is not that of its bytes")
    end = _START.size + _START.unpack_from(content)[1]
    try:
        header = msgspec.json.decode(content[_START.size : end], type=_Header)
    except (ValueError, RecursionError) as error:
        raise ModelError(f"header: {error}") from error
    if header.key != key:
        raise ModelError("learned from other files or with other settings")
    if header.step != step:
        raise ModelError(f'expected the step "{step}", found "{header.step}"')
    found: Arrays = {}
    for one in header.arrays:
        count = prod(one.shape)
        if 8 * count > len(content) - end:
            raise ModelError(f"{one.name}: expected {8 * count:,} bytes, found {len(content) - end:,}")
        found[one.name] = np.frombuffer(content, _TYPES[one.type], count, end).reshape(one.shape).copy()
        end += 8 * count
    if end != len(content):
        raise ModelError(f"expected {end:,} bytes, found {len(content):,}")
    return found
