"""Capture files and frames, byte by byte."""

from __future__ import annotations

import struct
from typing import NamedTuple


class Frame(NamedTuple):
    """A frame, when it came, and how long it was before it was cut."""

    time_ns: int
    data: bytes
    length: int | None = None

    @property
    def said(self) -> int:
        """Return the length that the file says."""
        return len(self.data) if self.length is None else self.length


def pcap(frames: list[Frame], *, order: str = "<", nano: bool = False, link: int = 1) -> bytes:
    """Write a pcap file."""
    out = struct.pack(f"{order}IHHiIII", 0xA1B23C4D if nano else 0xA1B2C3D4, 2, 4, 0, 0, 65535, link)
    for frame in frames:
        part = frame.time_ns % 10**9 // (1 if nano else 1000)
        out += struct.pack(f"{order}4I", frame.time_ns // 10**9, part, len(frame.data), frame.said) + frame.data
    return out


def block(kind: int, body: bytes, order: str = "<") -> bytes:
    """Write one block of pcapng."""
    total = 12 + len(body) + -len(body) % 4
    return struct.pack(f"{order}II", kind, total) + body + b"\0" * (-len(body) % 4) + struct.pack(f"{order}I", total)


def section(order: str = "<") -> bytes:
    """Write the block that begins a section."""
    return block(0x0A0D0D0A, struct.pack(f"{order}IHHq", 0x1A2B3C4D, 1, 0, -1), order)


def interface(order: str = "<", *, link: int = 1, options: dict[int, bytes] | None = None) -> bytes:
    """Write the block of an interface."""
    body = struct.pack(f"{order}HHI", link, 0, 0)
    for code, value in (options or {}).items():
        body += struct.pack(f"{order}HH", code, len(value)) + value + b"\0" * (-len(value) % 4)
    return block(1, body + (b"\0" * 4 if options else b""), order)


def packet(ticks: int, data: bytes, order: str = "<", number: int = 0) -> bytes:
    """Write the block of a packet."""
    head = struct.pack(f"{order}5I", number, ticks >> 32, ticks & 0xFFFFFFFF, len(data), len(data))
    return block(6, head + data + b"\0" * (-len(data) % 4), order)


def ethernet(
    payload: bytes, kind: int = 0x0800, *, source: str = "02:00:00:00:00:01", target: str = "02:00:00:00:00:02"
) -> bytes:
    """Write an Ethernet frame."""
    macs = bytes.fromhex((target + source).replace(":", ""))
    return macs + struct.pack(">H", kind) + payload


def ipv4(payload: bytes, protocol: int, *, source: str = "10.0.0.1", target: str = "8.8.8.8", fragment: int = 0) -> bytes:
    """Write an IPv4 packet."""
    ends = bytes(map(int, source.split("."))) + bytes(map(int, target.split(".")))
    return struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(payload), 0, fragment, 64, protocol, 0) + ends + payload


def ipv6(
    payload: bytes, first: int, *, source: bytes = b"\xfd" + bytes(14) + b"\1", target: bytes = b"\x20\1" + bytes(14)
) -> bytes:
    """Write an IPv6 packet."""
    return struct.pack(">IHBB", 6 << 28, len(payload), first, 64) + source + target + payload


def tcp(source: int = 40000, target: int = 443, flags: int = 0x12) -> bytes:
    """Write a TCP header."""
    return struct.pack(">HHIIBBHHH", source, target, 0, 0, 0x50, flags, 0, 0, 0)


def udp(source: int = 5353, target: int = 53) -> bytes:
    """Write a UDP header."""
    return struct.pack(">HHHH", source, target, 8, 0)


def arp(asking: str = "10.0.0.1", asked: str = "10.0.0.2") -> bytes:
    """Write the question who has an address."""
    sender, target = (bytes(map(int, end.split("."))) for end in (asking, asked))
    return struct.pack(">HHBBH", 1, 0x0800, 6, 4, 1) + bytes(6) + sender + bytes(6) + target
