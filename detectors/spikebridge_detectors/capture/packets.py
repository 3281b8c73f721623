"""
What frames say: who sent them to whom over which protocol, read for a whole block at once.

Read are Ethernet with up to four VLAN tags, Linux cooked captures, loopback and bare IP; in them ARP, IPv4 and IPv6 with up to eight
extension headers, TCP, UDP and ICMP. What is cut off or makes no sense is told by less: a packet is `OTHER` between two MACs when its
IP header can't be read, and has no ports when it is a later fragment or ends before them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from spikebridge_detectors.capture.columns import Transport
from spikebridge_detectors.capture.frames import Passed

if TYPE_CHECKING:
    from collections import Counter

    from numpy.typing import NDArray

    from spikebridge_detectors.capture.frames import Frames

ETHERNET, RAW, COOKED, COOKED_2 = 1, 101, 113, 276
_NULL, _LOOP, _IPV4_ONLY, _IPV6_ONLY = 0, 108, 228, 229
LINKS = {
    ETHERNET: 14,
    COOKED: 16,
    COOKED_2: 20,
    RAW: 1,
    12: 1,
    14: 1,
    _IPV4_ONLY: 1,
    _IPV6_ONLY: 1,
    _NULL: 4,
    _LOOP: 4,
}
"""Link types that are read, by their numbers in capture files, and the length of their headers; bare IP is told by its first bits."""

V4 = 0xFFFF << 32
"""IPv4 addresses stand in the lower half, as IPv6 writes them: ::ffff:a.b.c.d."""

_IPV4, _ARP, _IPV6 = 0x0800, 0x0806, 0x86DD
_VLAN = (0x8100, 0x88A8, 0x9100)
_MOST_VLAN = 4
_BARE = (RAW, 12, 14, _IPV4_ONLY, _IPV6_ONLY)
_NO_TYPE = -1
_ARP_FOR_IPV4 = (1, _IPV4, 0x0604)

_TRANSPORT = np.full(256, Transport.OTHER, np.uint8)
_TRANSPORT[[1, 6, 17, 58]] = Transport.ICMP, Transport.TCP, Transport.UDP, Transport.ICMP

_MOST_EXTENSIONS = 8
_FRAGMENT, _AUTHENTICATION = 44, 51
_EXTENSIONS = np.zeros(256, np.bool_)
_EXTENSIONS[[0, 43, _FRAGMENT, _AUTHENTICATION, 60, 135, 139, 140]] = True


class Headers(NamedTuple):
    """What each packet says; an end is 0 where there is none. MACs are 48 bits; `_high` and `_low` are halves of IPv6 addresses."""

    time_ns: NDArray[np.int64]
    source_mac: NDArray[np.uint64]
    target_mac: NDArray[np.uint64]
    source_high: NDArray[np.uint64]
    source_low: NDArray[np.uint64]
    target_high: NDArray[np.uint64]
    target_low: NDArray[np.uint64]
    transport: NDArray[np.uint8]
    source_port: NDArray[np.uint16]
    target_port: NDArray[np.uint16]
    length: NDArray[np.uint32]
    flags: NDArray[np.uint8]


def empty(time_ns: NDArray[np.int64], length: NDArray[np.uint32]) -> Headers:
    """Return headers that say no more than when and how long."""
    count = len(time_ns)
    types = (np.uint64,) * 6 + (np.uint8, np.uint16, np.uint16)
    said = (np.zeros(count, kind) for kind in types)
    return Headers._make([time_ns, *said, length, np.zeros(count, np.uint8)])


def decode(frames: Frames, passed: Counter[Passed]) -> Headers:
    """Return what the frames say; those too short for their link's header, or of an unknown link, are left out and counted."""
    block = _Block(frames)
    passed[Passed.UNKNOWN_LINK] += int((block.header < 0).sum())
    passed[Passed.SHORT_FRAME] += int(((block.header >= 0) & ~block.whole).sum())
    for link in np.unique(frames.link):
        block.link(int(link))
    block.vlan()
    block.arp()
    block.ipv4()
    block.ipv6()
    return block.headers if block.whole.all() else Headers._make(column[block.whole] for column in block.headers)


class _Block:
    """Where reading stands in each frame: `at` is the next byte, `kind` what begins there, `end` the first byte that wasn't captured."""

    def __init__(self, frames: Frames) -> None:
        self.headers = empty(frames.time_ns, frames.length)
        self._frames = frames
        self._data = frames.data
        self._at = frames.start.copy()
        self._end = frames.start + frames.captured
        self._kind = np.full(len(self._at), _NO_TYPE, np.int32)
        known = np.full(1 << 16, -1, np.int64)
        known[list(LINKS)] = list(LINKS.values())
        self.header = known[frames.link]
        self.whole = (self.header >= 0) & (frames.captured >= self.header)

    def _words(self, rows: NDArray[np.int64], count: int, skip: int = 0) -> NDArray[np.uint16]:
        """Return `count` words of 16 bits for each row; the caller made sure that they are there."""
        at = self._at[rows] + skip
        words: NDArray[np.uint16] = self._data[at[:, None] + np.arange(2 * count)].view(">u2").astype(np.uint16)
        return words

    def _with(self, rows: NDArray[np.int64], size: int) -> NDArray[np.int64]:
        return rows[self._at[rows] + size <= self._end[rows]]

    def link(self, link: int) -> None:
        """Read link headers of one kind."""
        rows = np.flatnonzero((self._frames.link == link) & self.whole)
        if not rows.size:
            return
        if link == ETHERNET:
            words = self._words(rows, 7)
            self.headers.target_mac[rows] = _joined(words[:, 0:3])
            self.headers.source_mac[rows] = _joined(words[:, 3:6])
            self._kind[rows] = words[:, 6]
        elif link in {COOKED, COOKED_2}:
            words = self._words(rows, LINKS[link] // 2)
            start = 3 if link == COOKED else 6
            size = words[:, 2] if link == COOKED else words[:, 5] & 0xFF
            self.headers.source_mac[rows] = np.where(size == 6, _joined(words[:, start : start + 3]), 0)  # noqa: PLR2004 - bytes
            self._kind[rows] = words[:, -1] if link == COOKED else words[:, 0]
        if link in {ETHERNET, COOKED, COOKED_2}:
            self._at[rows] += LINKS[link]
            return
        self._at[rows] += 0 if link in _BARE else LINKS[link]
        rows = self._with(rows, 1)
        version = self._data[self._at[rows]] >> 4
        self._kind[rows] = np.select([version == 4, version == 6], [_IPV4, _IPV6], _NO_TYPE)  # noqa: PLR2004 - versions of IP

    def vlan(self) -> None:
        """Step over VLAN tags."""
        for _ in range(_MOST_VLAN):
            rows = self._with(np.flatnonzero(np.isin(self._kind, _VLAN)), 4)
            if not rows.size:
                return
            self._kind[rows] = self._words(rows, 1, skip=2)[:, 0]
            self._at[rows] += 4

    def arp(self) -> None:
        """Read who asks for whom."""
        rows = np.flatnonzero(self._kind == _ARP)
        self.headers.transport[rows] = Transport.ARP
        rows = self._with(rows, 28)
        words = self._words(rows, 14)
        fits = (words[:, :3] == _ARP_FOR_IPV4).all(axis=1)
        rows, words = rows[fits], words[fits]
        self.headers.source_low[rows] = _joined(words[:, 7:9]) | V4
        self.headers.target_low[rows] = _joined(words[:, 12:14]) | V4

    def ipv4(self) -> None:
        """Read IPv4 headers and what follows them."""
        rows = self._with(np.flatnonzero(self._kind == _IPV4), 20)
        if not rows.size:
            return
        words = self._words(rows, 10)
        size = (words[:, 0] >> 8 & 0xF).astype(np.int64) * 4
        total = words[:, 1].astype(np.int64)
        fits = (words[:, 0] >> 12 == 4) & (size >= 20) & ((total >= size) | (total == 0))  # noqa: PLR2004 - RFC 791; 0: by the network card
        rows, words, size, total = rows[fits], words[fits], size[fits], total[fits]
        self.headers.source_low[rows] = _joined(words[:, 6:8]) | V4
        self.headers.target_low[rows] = _joined(words[:, 8:10]) | V4
        self._shorten(rows, np.where(total == 0, np.iinfo(np.int64).max >> 1, total))
        protocol = words[:, 4] & 0xFF
        self.headers.transport[rows] = _TRANSPORT[protocol]
        self._at[rows] += size
        first = (words[:, 3] & 0x1FFF) == 0
        self._ports(rows[first], protocol[first])

    def ipv6(self) -> None:
        """Read IPv6 headers, step over what extends them, and read what follows."""
        rows = self._with(np.flatnonzero(self._kind == _IPV6), 40)
        if not rows.size:
            return
        words = self._words(rows, 20)
        fits = words[:, 0] >> 12 == 6  # noqa: PLR2004 - the version
        rows, words = rows[fits], words[fits]
        self.headers.source_high[rows] = _joined(words[:, 4:8])
        self.headers.source_low[rows] = _joined(words[:, 8:12])
        self.headers.target_high[rows] = _joined(words[:, 12:16])
        self.headers.target_low[rows] = _joined(words[:, 16:20])
        payload = words[:, 2].astype(np.int64)
        self._shorten(rows, np.where(payload == 0, np.iinfo(np.int64).max >> 1, payload + 40))
        self._at[rows] += 40
        protocol, later = self._extensions(rows, (words[:, 3] >> 8).astype(np.int64))
        self.headers.transport[rows] = _TRANSPORT[protocol]
        self._ports(rows[~later], protocol[~later])

    def _shorten(self, rows: NDArray[np.int64], size: NDArray[np.int64]) -> None:
        """Leave out what is behind the packet: padding of short frames isn't part of it."""
        self._end[rows] = np.minimum(self._end[rows], self._at[rows] + size)

    def _extensions(self, rows: NDArray[np.int64], protocol: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Return what follows the extension headers, and which packets are later fragments."""
        later = np.zeros(len(rows), np.bool_)
        for _ in range(_MOST_EXTENSIONS):
            inside = np.flatnonzero(_EXTENSIONS[protocol] & ~later & (self._at[rows] + 8 <= self._end[rows]))
            if not inside.size:
                break
            words, kind = self._words(rows[inside], 2), protocol[inside]
            units = (words[:, 0] & 0xFF).astype(np.int64)
            size = np.select([kind == _FRAGMENT, kind == _AUTHENTICATION], [8, (units + 2) * 4], (units + 1) * 8)
            later[inside] = (kind == _FRAGMENT) & (words[:, 1] >> 3 != 0)
            protocol[inside] = words[:, 0] >> 8
            self._at[rows[inside]] += size
        return protocol, later

    def _ports(self, rows: NDArray[np.int64], protocol: NDArray[np.integer]) -> None:
        transport = _TRANSPORT[protocol]
        has_ports = rows[(transport == Transport.TCP) | (transport == Transport.UDP)]
        has_ports = self._with(has_ports, 4)
        words = self._words(has_ports, 2)
        self.headers.source_port[has_ports] = words[:, 0]
        self.headers.target_port[has_ports] = words[:, 1]
        tcp = self._with(rows[transport == Transport.TCP], 14)
        self.headers.flags[tcp] = self._data[self._at[tcp] + 13]


def _joined(words: NDArray[np.uint16]) -> NDArray[np.uint64]:
    """Return a number of up to four words."""
    number = np.zeros(len(words), np.uint64)
    for word in words.T:
        number = number << np.uint64(16) | word
    return number
