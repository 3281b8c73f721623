"""Frames from pcapng: sections in either byte order, interfaces with their own clocks, blocks of other kinds skipped unread."""

from __future__ import annotations

from array import array
from math import gcd
from struct import Struct
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from spikebridge_detectors.capture.frames import MOST_BYTES, MOST_FRAMES, Frames, Passed
from spikebridge_detectors.errors import CaptureError

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterator

SECTION = b"\x0a\x0d\x0d\x0a"
MOST_INTERFACES = 1024

_SECTION, _INTERFACE, _OLD_PACKET, _SIMPLE, _PACKET = 0x0A0D0D0A, 1, 2, 3, 6
_LEAST = {_SECTION: 28, _INTERFACE: 20, _OLD_PACKET: 32, _SIMPLE: 16, _PACKET: 32}
_MOST_BLOCK = MOST_BYTES + (1 << 16)
_LEAST_BLOCK = 12
_ORDERS = {b"\x4d\x3c\x2b\x1a": "<", b"\x1a\x2b\x3c\x4d": ">"}
_RESOLUTION, _OFFSET = 9, 14
_SECOND = 1_000_000_000
_DATA = 28
_PACKETS = (_PACKET, _OLD_PACKET)
_NUMBERS = 5
_MOST_NUMBERS = MOST_FRAMES * _NUMBERS


class _Interface(NamedTuple):
    """What a packet's count of ticks means: nanoseconds = ticks * times // parts + offset."""

    link: int
    times: int
    parts: int
    offset_ns: int


class _Damage(Exception):  # noqa: N818 - says what it found; the reader adds the file and the place
    """A block that can't be."""


def read(held: bytearray, stream: Iterator[bytes], name: str, passed: Counter[Passed]) -> Iterator[Frames]:
    """Yield the frames of a file of which `held` was read already; `pcap.read` says how it ends."""
    blocks = _Blocks(passed)
    place = 0
    while True:
        found = array("q")
        end, damage = blocks.scan(held, found)
        if found:
            yield _frames(bytes(held[:end]), found)
        del held[:end]
        place += end
        if damage:
            raise CaptureError(f"{name}: byte {place}: {damage}; the rest isn't read")
        if len(found) == _MOST_NUMBERS:
            continue
        if not (chunk := next(stream, b"")):
            break
        held += chunk
    if held or blocks.skip:
        passed[Passed.CUT_SHORT] = 1


def _frames(block: bytes, found: array[int]) -> Frames:
    start, captured, length, time_ns, link = np.array(found).reshape(-1, _NUMBERS).T
    return Frames(
        data=np.frombuffer(block, np.uint8),
        start=start,
        captured=captured,
        length=length.astype(np.uint32),
        time_ns=time_ns,
        link=link.astype(np.uint16),
    )


class _Blocks:
    """The state of the section that is being read."""

    def __init__(self, passed: Counter[Passed]) -> None:
        self.skip = 0
        self._passed = passed
        self._interfaces: list[_Interface] = []
        self._turn("<")

    def _turn(self, order: str) -> None:
        self._order = order
        self._head = Struct(f"{order}II").unpack_from
        self._word = Struct(f"{order}I").unpack_from
        self._packet = Struct(f"{order}IIIII").unpack_from
        self._old_packet = Struct(f"{order}HHIIII").unpack_from
        self._option = Struct(f"{order}HH").unpack_from

    def scan(self, held: bytearray, found: array[int]) -> tuple[int, str]:
        """Read whole blocks into `found`; return where the last one ends and what is wrong with the one behind it."""
        at, size = 0, len(held)
        try:
            while len(found) < _MOST_NUMBERS:
                if self.skip:
                    step = min(self.skip, size - at)
                    self.skip -= step
                    at += step
                if at + _LEAST_BLOCK > size:
                    break
                kind, total = self._sized(held, at)
                if kind not in _LEAST:
                    self.skip = total
                    continue
                if at + total > size:
                    break
                self._block(kind, held, at, total, found)
                at += total
        except _Damage as damage:
            return at, str(damage)
        return at, ""

    def _sized(self, held: bytearray, at: int) -> tuple[int, int]:
        """Return kind and length of a block; a section turns to its byte order."""
        kind, total = self._head(held, at)
        if kind == _SECTION:
            order = _ORDERS.get(bytes(held[at + 8 : at + 12]))
            if order is None:
                raise _Damage("a section whose byte order can't be told")
            self._turn(order)
            kind, total = self._head(held, at)
        least = _LEAST.get(kind, _LEAST_BLOCK)
        if total % 4 or total < least or (total > _MOST_BLOCK and kind in _LEAST):
            raise _Damage(f"a block of kind {kind} and {total} bytes, expected {least} to {_MOST_BLOCK} in fours")
        return kind, total

    def _block(self, kind: int, held: bytearray, at: int, total: int, found: array[int]) -> None:
        (again,) = self._word(held, at + total - 4)
        if again != total:
            raise _Damage(f"a block that says {total} bytes in front and {again} behind")
        if kind in _PACKETS:
            self._take(kind, held, at, total, found)
        elif kind == _INTERFACE:
            self._add(held, at, total)
        elif kind == _SECTION:
            self._interfaces.clear()
        else:
            self._passed[Passed.WITHOUT_TIME] += 1

    def _add(self, held: bytearray, at: int, total: int) -> None:
        if len(self._interfaces) == MOST_INTERFACES:
            raise _Damage(f"interface {MOST_INTERFACES + 1}, expected at most {MOST_INTERFACES} in a section")
        resolution, offset = 6, 0
        for code, start, length in self._options(held, at + 16, at + total - 4):
            if code == _RESOLUTION and length == 1:
                resolution = held[start]
            elif code == _OFFSET and length == 8:  # noqa: PLR2004 - seconds, 64 bits
                offset = int.from_bytes(held[start : start + 8], "little" if self._order == "<" else "big", signed=True)
        parts = 1 << (resolution & 0x7F) if resolution & 0x80 else 10**resolution
        common = gcd(_SECOND, parts)
        (link,) = Struct(f"{self._order}H").unpack_from(held, at + 8)
        self._interfaces.append(_Interface(link, _SECOND // common, parts // common, offset * _SECOND))

    def _options(self, held: bytearray, at: int, end: int) -> Iterator[tuple[int, int, int]]:
        while at + 4 <= end:
            code, length = self._option(held, at)
            if not code:
                return
            if at + 4 + length > end:
                raise _Damage(f"an option of {length} bytes that reaches past its block")
            yield code, at + 4, length
            at += 4 + (length + 3) // 4 * 4

    def _take(self, kind: int, held: bytearray, at: int, total: int, found: array[int]) -> None:
        if kind == _PACKET:
            number, high, low, captured, length = self._packet(held, at + 8)
        else:
            number, _, high, low, captured, length = self._old_packet(held, at + 8)
        if captured > total - _LEAST[kind]:
            raise _Damage(f"a packet of {captured} bytes in a block of {total}")
        if number >= len(self._interfaces):
            raise _Damage(f"a packet of interface {number}, of which the section says nothing")
        interface = self._interfaces[number]
        time_ns = (high << 32 | low) * interface.times // interface.parts + interface.offset_ns
        if not -(1 << 63) <= time_ns < 1 << 63:
            self._passed[Passed.WITHOUT_TIME] += 1
            return
        found.extend((at + _DATA, captured, length, time_ns, interface.link))
