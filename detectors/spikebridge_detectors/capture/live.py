"""
Packets of a network interface, through a ring that the kernel fills: its own time stamps, and its count of what found no room.

Only the first 256 bytes of a frame reach the ring, headers and little more. On a loopback interface the sent copies are passed over.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import select
import socket
import struct
import sys
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np

from spikebridge_detectors.capture.frames import MOST_FRAMES, Frames, Passed
from spikebridge_detectors.capture.packets import ETHERNET, RAW, decode
from spikebridge_detectors.errors import CaptureError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from spikebridge_detectors.capture.columns import Packets
    from spikebridge_detectors.capture.devices import Devices

_SNAPLEN = 256
_BLOCK = 1 << 18
_RETIRE_MS = 50
_TICK_NS = 1_000_000_000

_SOL_PACKET = 263
_ADD_MEMBERSHIP, _PROMISCUOUS = 1, 1
_RX_RING, _STATISTICS, _VERSION, _TIMESTAMP = 5, 6, 10, 17
_V3 = 2
_ALL_PROTOCOLS = 3
_ATTACH_FILTER, _TIMESTAMP_NS = 26, 35
_SOFTWARE_STAMPS = 1 << 4
_RETURN = 6

_STATUS, _USER = 8, 1
_BLOCK_HEAD = struct.Struct("=12xIII")
_NEXT = struct.Struct("=I").unpack_from
_FRAME_WORDS = 7
_LINK_AT = 48
_KIND, _OUTGOING = 10, 4

_HARDWARE = {1: ETHERNET, 772: ETHERNET, 65534: RAW}
_LOOPBACK = 772


class LiveSource:
    """Packets of an interface as they come, and an empty piece after each second without any; `passed` counts what yielded none."""

    def __init__(self, interface: str, devices: Devices, *, promiscuous: bool = True, blocks: int = 32) -> None:
        """Open the interface; the ring is of `blocks` times 256 KiB."""
        self.passed: Counter[Passed] = Counter()
        self._interface = interface
        self._devices = devices
        self._link, self._loopback = _hardware(interface)
        self._socket = _opened(interface)
        try:
            _prepare(self._socket, blocks)
            if promiscuous:
                request = struct.pack("=iHH8x", socket.if_nametoindex(interface), _PROMISCUOUS, 0)
                self._socket.setsockopt(_SOL_PACKET, _ADD_MEMBERSHIP, request)
            self._ring = mmap.mmap(self._socket.fileno(), blocks * _BLOCK)
            self._socket.bind((interface, _ALL_PROTOCOLS))
        except OSError as error:
            self._socket.close()
            raise CaptureError(f"interface {interface}: {error.strerror}") from error
        self._blocks = blocks
        self._at = 0

    @property
    def devices(self) -> Sequence[str]:
        """Return the names of the devices known so far."""
        return self._devices.names

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def close(self) -> None:
        """Leave the interface; what wasn't read is gone."""
        self._ring.close()
        self._socket.close()

    def __iter__(self) -> Iterator[Packets]:
        """Yield pieces until the interface goes away, which raises `CaptureError`."""
        poll = select.poll()
        poll.register(self._socket, select.POLLIN | select.POLLERR)
        ticked = time.monotonic_ns()
        while True:
            start = self._at * _BLOCK
            if _NEXT(self._ring, start + _STATUS)[0] & _USER:
                pieces = list(self._frames(start))
                self._ring[start + _STATUS : start + _STATUS + 4] = bytes(4)
                self._at = (self._at + 1) % self._blocks
                ticked = self._tick(ticked)
                for frames in pieces:
                    yield self._devices.rows(decode(frames, self.passed), self.passed)
                continue
            ready = poll.poll(_TICK_NS // 1_000_000)
            if ready and ready[0][1] & select.POLLERR:
                self._check()
            if not ready:
                ticked = self._tick(0)
                yield self._devices.rows(decode(_framed(np.zeros(0, np.uint8), [], ETHERNET), self.passed), self.passed)

    def _frames(self, start: int) -> Iterator[Frames]:
        count, first, size = _BLOCK_HEAD.unpack_from(self._ring, start)
        block = self._ring[start : start + min(size, _BLOCK)]
        data = np.frombuffer(block, np.uint8)
        heads: list[int] = []
        at = first
        for _ in range(count):
            heads.append(at)
            at += _NEXT(block, at)[0]
        if self._loopback:
            heads = [head for head in heads if block[head + _LINK_AT + _KIND] != _OUTGOING]
        for piece in range(0, len(heads), MOST_FRAMES):
            yield _framed(data, heads[piece : piece + MOST_FRAMES], self._link)

    def _tick(self, ticked: int) -> int:
        now = time.monotonic_ns()
        if now - ticked < _TICK_NS:
            return ticked
        _, dropped, _ = struct.unpack("=III", self._socket.getsockopt(_SOL_PACKET, _STATISTICS, 12))
        if dropped:
            self.passed[Passed.DROPPED] += dropped
        return now

    def _check(self) -> None:
        if number := self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            raise CaptureError(f"interface {self._interface}: {os.strerror(number)}")


def _hardware(interface: str) -> tuple[int, bool]:
    """Return the link type that frames of an interface have, and whether it is a loopback."""
    if not hasattr(socket, "AF_PACKET"):
        raise CaptureError("an interface can be read on Linux only; elsewhere, read what tcpdump writes")
    there = [name for _, name in socket.if_nameindex()]
    if interface not in there:
        raise CaptureError(f"interface {interface!r}: expected one of {', '.join(there)}")
    kind = int(Path("/sys/class/net", interface, "type").read_text(encoding="utf-8"))
    if kind not in _HARDWARE:
        raise CaptureError(f"interface {interface}: hardware type {kind}: expected Ethernet, a loopback or bare IP")
    return _HARDWARE[kind], kind == _LOOPBACK


def _opened(interface: str) -> socket.socket:
    try:
        return socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    except OSError as error:
        if error.errno in {errno.EPERM, errno.EACCES}:
            raise CaptureError(
                f"interface {interface}: not permitted; give the service the capability CAP_NET_RAW (systemd: AmbientCapabilities=)"
            ) from error
        raise CaptureError(f"interface {interface}: {error.strerror}") from error


def _prepare(opened: socket.socket, blocks: int) -> None:
    """Have the kernel cut frames, stamp them and put them into a ring; before it is bound, so that nothing else comes first."""
    program = ctypes.create_string_buffer(struct.pack("=HBBI", _RETURN, 0, 0, _SNAPLEN))
    opened.setsockopt(socket.SOL_SOCKET, _ATTACH_FILTER, struct.pack("HP", 1, ctypes.addressof(program)))
    opened.setsockopt(socket.SOL_SOCKET, _TIMESTAMP_NS, 1)
    opened.setsockopt(_SOL_PACKET, _VERSION, _V3)
    opened.setsockopt(_SOL_PACKET, _TIMESTAMP, _SOFTWARE_STAMPS)
    frame = 2048
    ring = struct.pack("=7I", _BLOCK, blocks, frame, _BLOCK // frame * blocks, _RETIRE_MS, 0, 0)
    opened.setsockopt(_SOL_PACKET, _RX_RING, ring)


def _framed(data: NDArray[np.uint8], heads: list[int], link: int) -> Frames:
    """Return the frames of a ring's block from where their heads are: next, seconds, nanoseconds, captured, length, status, offset."""
    head = np.array(heads, np.int64)
    words = data[head[:, None] + np.arange(4 * _FRAME_WORDS)].view("=u4").astype(np.int64)
    return Frames(
        data=data,
        start=head + (words[:, 6] & 0xFFFF if sys.byteorder == "little" else words[:, 6] >> 16),
        captured=words[:, 3],
        length=words[:, 4].astype(np.uint32),
        time_ns=words[:, 1] * 1_000_000_000 + words[:, 2],
        link=np.full(len(head), link, np.uint16),
    )
