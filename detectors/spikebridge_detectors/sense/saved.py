"""
What a restart goes on from, in one file: written whole or not at all, checked before anything of it is believed.

    0   8   SPKSENSE
    8   4   the format's version
    12  8   the length of what follows the digest
    20  32  SHA-256 of that
    52      MessagePack
"""

from __future__ import annotations

import hashlib
import os
import struct
from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import Meta

from spikebridge_detectors.capture.kinds import ROW
from spikebridge_detectors.errors import ModelError
from spikebridge_detectors.evidence import MOST_SENT
from spikebridge_detectors.rules.clock import Clock
from spikebridge_detectors.timing.evidence import SIZE

if TYPE_CHECKING:
    from pathlib import Path

MAGIC, VERSION = b"SPKSENSE", 1
MOST_BYTES = 1 << 28
_HEAD = struct.Struct("<8sIQ32s")

_AROUND = 1024
"""More than a file of evidence has around its state and rows, whatever the device is called."""

MOST_SINCE = (MOST_SENT - _AROUND - SIZE) // ROW.itemsize
"""So many packets behind a state of timing fit into evidence that a frame carries."""

Name = Annotated[str, Meta(max_length=512)]
Whole = Annotated[int, Meta(ge=0, lt=1 << 62)]
State = Annotated[bytes, Meta(max_length=4096)]


class SavedWatch(msgspec.Struct, frozen=True):
    """What watches a device, and what the next alarm's evidence begins with."""

    digest: Annotated[bytes, Meta(min_length=8, max_length=8)]
    timing: State
    rules: State | None
    snapshot: State
    since: Annotated[bytes, Meta(max_length=MOST_SINCE * ROW.itemsize)]
    waited_ns: int | None


class SavedDevice(msgspec.Struct, frozen=True):
    """One device: its clock, until which second it is learned, its rows on disk, whether it was learned, what watches it, and whether a day of it is `due`."""

    name: Name
    clock: Clock
    until_s: Whole
    first: Whole
    count: Whole
    lived: int | None
    learned: bool
    watch: SavedWatch | None
    due: bool = False


class Source(msgspec.Struct, frozen=True):
    """A capture by the digest of its first bytes, how many packets of its devices have been dealt with, and the CRC-32 of their times."""

    length: Whole
    digest: Annotated[bytes, Meta(max_length=32)]
    rows: Whole = 0
    times: Annotated[int, Meta(ge=0, lt=1 << 32)] | None = None


class Saved(msgspec.Struct, frozen=True, kw_only=True):
    """
    All of it: who sends, how far it got in which capture (the last is the one that is read), and the devices.

    `target` is a file that nobody else writes to, and `written` how long it was.
    `seen` are the devices that were found by their addresses, and `seen_before` those when the capture began.
    """

    boot: Annotated[int, Meta(ge=1, lt=1 << 62)]
    seq: Whole = 0
    target: Annotated[str, Meta(max_length=4096)] = ""
    written: Whole = 0
    now_ns: int | None = None
    seen: Annotated[dict[Name, Name], Meta(max_length=10_000)] = {}
    seen_before: Annotated[dict[Name, Name], Meta(max_length=10_000)] = {}
    sources: Annotated[list[Source], Meta(max_length=64)] = []
    devices: Annotated[list[SavedDevice], Meta(max_length=10_000)] = []


_decode = msgspec.msgpack.Decoder(Saved).decode


def write(path: Path, saved: Saved) -> None:
    """Put the file in place of the one before, once it is on the disk."""
    body = msgspec.msgpack.encode(saved)
    if len(body) > MOST_BYTES:
        raise ModelError(f"{path}: expected a state of at most {MOST_BYTES} bytes, found {len(body)}: watch fewer devices")
    new = path.with_suffix(".new")
    with new.open("wb") as file:
        file.write(_HEAD.pack(MAGIC, VERSION, len(body), hashlib.sha256(body).digest()) + body)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def read(path: Path) -> Saved | None:
    """Return what was saved, nothing where nothing was."""
    if not path.exists():
        return None
    size = path.stat().st_size
    if not _HEAD.size <= size <= _HEAD.size + MOST_BYTES:
        raise ModelError(f"{path}: expected a state of sense of at most {MOST_BYTES} bytes, found {size} bytes")
    data = path.read_bytes()
    magic, version, length, digest = _HEAD.unpack_from(data)
    body = data[_HEAD.size :]
    if magic != MAGIC or version != VERSION:
        raise ModelError(f"{path}: expected a state of sense, version {VERSION}; found {magic!r}, version {version}")
    if length != len(body) or hashlib.sha256(body).digest() != digest:
        raise ModelError(f"{path}: the state is damaged; go on with another --state, or with its copy")
    try:
        return _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ModelError(f"{path}: {error}") from error
