"""A file or a pipe as chunks of bounded size, unpacked when it is a gzip file."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, BinaryIO

from spikebridge_detectors.capture.frames import Passed
from spikebridge_detectors.errors import CaptureError

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterator

CHUNK = 1 << 20
_GZIP = b"\x1f\x8b"
_GZIP_BITS = 31


def chunks(file: BinaryIO, name: str, passed: Counter[Passed]) -> Iterator[bytes]:
    """Yield what can be read, as soon as it can; a gzip file without its end yields what is there and is noted in `passed`."""
    plain = _plain(file)
    first = b""
    while len(first) < len(_GZIP) and (more := next(plain, b"")):
        first += more
    if first.startswith(_GZIP):
        yield from _inflated(first, plain, name, passed)
        return
    if first:
        yield first
    yield from plain


def _plain(file: BinaryIO) -> Iterator[bytes]:
    read = getattr(file, "read1", file.read)  # a pipe hands over what it has
    while chunk := read(CHUNK):
        yield chunk


def _inflated(first: bytes, plain: Iterator[bytes], name: str, passed: Counter[Passed]) -> Iterator[bytes]:
    member = zlib.decompressobj(_GZIP_BITS)
    place, chunk = 0, first
    while chunk:
        place += len(chunk)
        while chunk:
            if member.eof:
                if not (chunk := chunk.lstrip(b"\0")):
                    break
                member = zlib.decompressobj(_GZIP_BITS)
            try:
                if out := member.decompress(chunk, CHUNK):
                    yield out
            except zlib.error as error:
                raise CaptureError(
                    f"{name}: damaged gzip data before byte {place}: {error}; what came before it was read"
                ) from error
            chunk = member.unused_data if member.eof else member.unconsumed_tail
        chunk = next(plain, b"")
    while not member.eof and (out := member.decompress(b"", CHUNK)):
        yield out
    if not member.eof:
        passed[Passed.CUT_SHORT] = 1
