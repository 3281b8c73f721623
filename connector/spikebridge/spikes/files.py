"""A file of frames, or of JSON lines, cut into the values of records."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

from crc32c import crc32c

from spikebridge.spikes.layout import MAGIC, MAX_FRAME_BYTES, RESIDUE, SHORTEST

if TYPE_CHECKING:
    from collections.abc import Iterator

LENGTH_AT = 8
CHUNK = 1 << 18


def read_values(stream: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """
    Yield each value with its place: the byte at which a frame begins, or the number of the line, from 1 on.

    The first bytes decide what the file holds. What is no frame is yielded in one piece up to the next good one, and what is too long
    for a record is cut, so that whoever decodes the values refuses these with their place and their neighbours count.
    At most three records of the largest size are in memory.
    """
    head = _read(stream, len(MAGIC))
    return _frames(stream, head) if head == MAGIC else _lines(stream, head)


def _frames(stream: BinaryIO, held: bytes) -> Iterator[tuple[int, bytes]]:
    passed = begin = 0
    while True:
        size = _good(held, begin)
        while not size and len(held) - begin <= MAX_FRAME_BYTES and (more := _some(stream, 2 * MAX_FRAME_BYTES)):
            held, passed, begin = held[begin:] + more, passed + begin, 0
            size = _good(held, 0)
        if not size:
            following = held.find(MAGIC, begin + 1, begin + MAX_FRAME_BYTES + len(MAGIC))
            size = (min(len(held), begin + MAX_FRAME_BYTES) if following < 0 else following) - begin
        if not size:
            return
        yield passed + begin, held[begin : begin + size]
        begin += size


def _good(held: bytes, begin: int) -> int:
    """Return the size of the good frame that begins here, 0 when there is none or it isn't read yet."""
    size = int.from_bytes(held[begin + LENGTH_AT : begin + LENGTH_AT + 4], "little")
    if held[begin : begin + 4] != MAGIC or not SHORTEST <= size <= min(MAX_FRAME_BYTES, len(held) - begin):
        return 0
    return size if crc32c(held[begin : begin + size]) == RESIDUE else 0


def _lines(stream: BinaryIO, held: bytes) -> Iterator[tuple[int, bytes]]:
    number = 0
    while True:
        begun, newline, rest = held.partition(b"\n")
        if newline:
            line, held = begun, rest
        else:
            line, held = held + stream.readline(MAX_FRAME_BYTES + 2 - len(held)), b""
            if not line:
                return
        number += 1
        ended = bool(newline) or line.endswith(b"\n") or len(line) <= MAX_FRAME_BYTES
        while not ended:
            more = stream.readline(CHUNK)
            ended = not more or more.endswith(b"\n")
        if line.strip():
            yield number, line.rstrip(b"\r\n")


def _read(stream: BinaryIO, size: int) -> bytes:
    """Read so many bytes, fewer only at the end; a pipe gives them in pieces."""
    pieces = []
    while size > 0:
        piece = stream.read(size)
        if not piece:
            break
        pieces.append(piece)
        size -= len(piece)
    return b"".join(pieces)


def _some(stream: BinaryIO, size: int) -> bytes:
    """Read what is there, at least a byte until the end: the next frame of a pipe may be long in coming."""
    piece: bytes = getattr(stream, "read1", stream.read)(size)
    return piece
