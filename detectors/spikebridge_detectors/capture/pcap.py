"""Frames from pcap and pcapng: both byte orders, times in any resolution, as a stream."""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from spikebridge_detectors.capture import pcapng
from spikebridge_detectors.capture.frames import MOST_BYTES, MOST_FRAMES, Frames, Passed
from spikebridge_detectors.capture.packets import LINKS
from spikebridge_detectors.capture.stream import chunks
from spikebridge_detectors.errors import CaptureError

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterator

_HEADER = 24
_RECORD = 16
_SECOND = 1_000_000_000
_MAGIC = {
    b"\xd4\xc3\xb2\xa1": ("<", 1000),
    b"\xa1\xb2\xc3\xd4": (">", 1000),
    b"\x4d\x3c\xb2\xa1": ("<", 1),
    b"\xa1\xb2\x3c\x4d": (">", 1),
}


def read(file: BinaryIO, name: str, passed: Counter[Passed]) -> Iterator[Frames]:
    """
    Yield the frames of a capture file as they come; what is passed over is counted in `passed`.

    A record that was begun and not finished is the file's end. Damage raises `CaptureError` after everything before it was yielded.
    """
    stream = chunks(file, name, passed)
    held = bytearray()
    while len(held) < _HEADER and (chunk := next(stream, b"")):
        held += chunk
    start = bytes(held[:4])
    if start == pcapng.SECTION:
        yield from pcapng.read(held, stream, name, passed)
    elif start in _MAGIC:
        yield from _read(held, stream, name, passed)
    elif held:
        raise CaptureError(f"{name}: expected a pcap or pcapng file, or one in gzip; it begins with {start.hex(' ')}")
    else:
        raise CaptureError(f"{name}: expected a pcap or pcapng file, found nothing")


def _read(held: bytearray, stream: Iterator[bytes], name: str, passed: Counter[Passed]) -> Iterator[Frames]:
    order, unit = _MAGIC[bytes(held[:4])]
    if len(held) < _HEADER:
        passed[Passed.CUT_SHORT] = 1
        return
    (network,) = Struct(f"{order}I").unpack_from(held, 20)
    link = network & 0xFFFF
    if link not in LINKS:
        raise CaptureError(f"{name}: link type {link}: expected one of {', '.join(map(str, LINKS))}")
    del held[:_HEADER]
    place = _HEADER
    while True:
        starts, end, damaged = _records(held, order)
        if starts:
            yield _frames(bytes(held[:end]), starts, order, unit, link)
            del held[:end]
            place += end
        if damaged is not None:
            raise CaptureError(
                f"{name}: byte {place}: a record of {damaged} bytes, expected at most {MOST_BYTES}; the rest isn't read"
            )
        if len(starts) == MOST_FRAMES:
            continue
        if not (chunk := next(stream, b"")):
            break
        held += chunk
    if held:
        passed[Passed.CUT_SHORT] = 1


def _records(held: bytearray, order: str) -> tuple[list[int], int, int | None]:
    """Return where whole records begin and where the last one ends, and the length of a record that can't be."""
    captured_at = Struct(f"{order}8xI4x").unpack_from
    starts: list[int] = []
    at, size = 0, len(held)
    while at + _RECORD <= size and len(starts) < MOST_FRAMES:
        (captured,) = captured_at(held, at)
        if captured > MOST_BYTES:
            return starts, at, captured
        end = at + _RECORD + captured
        if end > size:
            break
        starts.append(at)
        at = end
    return starts, at, None


def _frames(block: bytes, starts: list[int], order: str, unit: int, link: int) -> Frames:
    data = np.frombuffer(block, np.uint8)
    start = np.array(starts, np.int64)
    head = data[start[:, None] + np.arange(_RECORD)].view(f"{order}u4").astype(np.int64)
    return Frames(
        data=data,
        start=start + _RECORD,
        captured=head[:, 2],
        length=head[:, 3].astype(np.uint32),
        time_ns=head[:, 0] * _SECOND + head[:, 1] * unit,
        link=np.full(len(start), link, np.uint16),
    )
