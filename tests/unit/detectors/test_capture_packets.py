"""What frames say is read for a whole block, and hostile frames say less, not something else."""

from __future__ import annotations

import struct
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests import captures

from spikebridge_detectors.capture.columns import Transport
from spikebridge_detectors.capture.frames import Frames, Passed
from spikebridge_detectors.capture.packets import COOKED, COOKED_2, ETHERNET, RAW, V4, Headers, decode

TCP = captures.ipv4(captures.tcp(), 6)
FRAGMENTED_V6 = struct.pack(">BBHI", 6, 0, 8 << 3, 0)


def block(frames: list[bytes], links: list[int]) -> Frames:
    """Put frames behind one another, with nothing between them."""
    sizes = np.array([len(frame) for frame in frames], np.int64)
    return Frames(
        data=np.frombuffer(b"".join(frames), np.uint8),
        start=np.cumsum(sizes) - sizes,
        captured=sizes,
        length=sizes.astype(np.uint32) + 4,
        time_ns=np.arange(len(frames), dtype=np.int64),
        link=np.array(links, np.uint16),
    )


def said(frame: bytes, link: int = ETHERNET) -> dict[str, int]:
    """Return what one frame says, between others that say more."""
    around = captures.ethernet(captures.ipv4(captures.tcp(1, 2, 0xFF), 6))
    headers = decode(block([around, frame, around], [ETHERNET, link, ETHERNET]), Counter())
    return {name: int(column[1]) for name, column in headers._asdict().items()}


def some(said: dict[str, int]) -> tuple[int, ...]:
    """Return transport, ports and flags."""
    return said["transport"], said["source_port"], said["target_port"], said["flags"]


FULL = (Transport.TCP, 40000, 443, 0x12)


def test_an_ethernet_frame_says_who_sent_what_to_whom() -> None:
    """MACs, addresses, protocol, ports, flags, and the length that it had before it was cut."""
    frame = captures.ethernet(captures.ipv4(captures.tcp(), 6, source="10.0.0.1", target="192.168.7.9"))
    assert said(frame) == {
        "time_ns": 1,
        "source_mac": 0x020000000001,
        "target_mac": 0x020000000002,
        "source_high": 0,
        "source_low": V4 | 0x0A000001,
        "target_high": 0,
        "target_low": V4 | 0xC0A80709,
        "transport": Transport.TCP,
        "source_port": 40000,
        "target_port": 443,
        "length": len(frame) + 4,
        "flags": 0x12,
    }


@pytest.mark.parametrize(
    ("frame", "link"),
    [
        (captures.ethernet(struct.pack(">HH", 5, 0x0800) + TCP, 0x8100), ETHERNET),
        (captures.ethernet(struct.pack(">HHHH", 5, 0x8100, 6, 0x0800) + TCP, 0x88A8), ETHERNET),
        (captures.ethernet(struct.pack(">HH", 5, 0x8100) * 3 + struct.pack(">HH", 5, 0x0800) + TCP, 0x8100), ETHERNET),
        (struct.pack(">HHH6sHH", 4, 1, 6, b"\2\0\0\0\0\1", 0, 0x0800) + TCP, COOKED),
        (struct.pack(">HHIHBB6sH", 0x0800, 0, 2, 1, 4, 6, b"\2\0\0\0\0\1", 0) + TCP, COOKED_2),
        (TCP, RAW),
        (TCP, 228),
        (b"\2\0\0\0" + TCP, 0),
        (b"\0\0\0\2" + TCP, 108),
    ],
)
def test_ip_is_found_behind_every_link_header_that_is_read(frame: bytes, link: int) -> None:
    """VLAN tags up to four, cooked captures with the sender's MAC, bare IP."""
    found = said(frame, link)
    assert some(found) == FULL
    assert found["source_low"] == V4 | 0x0A000001
    assert found["source_mac"] in ({0x020000000001} if link in {ETHERNET, COOKED, COOKED_2} else {0})


@pytest.mark.parametrize(
    ("first", "payload", "wanted"),
    [
        (6, captures.tcp(), FULL),
        (17, captures.udp(), (Transport.UDP, 5353, 53, 0)),
        (58, bytes(8), (Transport.ICMP, 0, 0, 0)),
        (0, b"\x06\x00" + bytes(6) + captures.tcp(), FULL),
        (60, b"\x2b\x01" + bytes(14) + b"\x06\x00" + bytes(6) + captures.tcp(), FULL),
        (51, b"\x06\x01" + bytes(10) + captures.tcp(), FULL),
        (44, struct.pack(">BBHI", 6, 0, 1, 0) + captures.tcp(), FULL),
        (44, FRAGMENTED_V6 + captures.tcp(), (Transport.TCP, 0, 0, 0)),
        (0, (b"\x00\x00" + bytes(6)) * 9 + captures.tcp(), (Transport.OTHER, 0, 0, 0)),
        (0, b"\x06\xff" + bytes(6) + captures.tcp(), (Transport.TCP, 0, 0, 0)),
        (59, b"", (Transport.OTHER, 0, 0, 0)),
    ],
)
def test_extension_headers_are_stepped_over_eight_at_most(first: int, payload: bytes, wanted: tuple[int, ...]) -> None:
    """A longer chain, or one that ends outside of the packet, leaves the ports unsaid."""
    found = said(captures.ethernet(captures.ipv6(payload, first), 0x86DD))
    assert some(found) == wanted
    assert (found["source_high"], found["source_low"]) == (0xFD << 56, 1)


def test_arp_says_who_asks_for_whom() -> None:
    """Its addresses are the packet's; in another kind of network than IPv4 over Ethernet only the MACs are."""
    found = said(captures.ethernet(captures.arp("10.0.0.1", "10.0.0.9"), 0x0806))
    assert found["transport"] == Transport.ARP
    assert (found["source_low"], found["target_low"]) == (V4 | 0x0A000001, V4 | 0x0A000009)
    found = said(captures.ethernet(b"\0\6" + captures.arp()[2:], 0x0806))
    assert (found["transport"], found["source_low"]) == (Transport.ARP, 0)


@pytest.mark.parametrize(
    ("frame", "wanted"),
    [
        (captures.ethernet(TCP[:19]), (Transport.OTHER, 0, 0, 0)),
        (captures.ethernet(b"\x44" + TCP[1:]), (Transport.OTHER, 0, 0, 0)),
        (captures.ethernet(b"\x65" + TCP[1:]), (Transport.OTHER, 0, 0, 0)),
        (captures.ethernet(TCP[:2] + b"\0\x13" + TCP[4:]), (Transport.OTHER, 0, 0, 0)),
        (captures.ethernet(b"\x4f" + TCP[1:]), (Transport.OTHER, 0, 0, 0)),
        (captures.ethernet(TCP[:23]), (Transport.TCP, 0, 0, 0)),
        (captures.ethernet(TCP[:24]), (Transport.TCP, 40000, 443, 0)),
        (captures.ethernet(TCP[:33]), (Transport.TCP, 40000, 443, 0)),
        (captures.ethernet(TCP[:34]), FULL),
        (captures.ethernet(TCP[:2] + b"\0\x16" + TCP[4:]), (Transport.TCP, 0, 0, 0)),
        (captures.ethernet(TCP[:2] + b"\0\0" + TCP[4:]), FULL),
        (captures.ethernet(captures.ipv4(captures.tcp(), 6, fragment=1)), (Transport.TCP, 0, 0, 0)),
        (captures.ethernet(captures.ipv4(captures.tcp(), 6, fragment=0x2000)), FULL),
        (captures.ethernet(captures.ipv4(captures.tcp(), 132)), (Transport.OTHER, 0, 0, 0)),
        (captures.ethernet(TCP, 0x05DC), (Transport.OTHER, 0, 0, 0)),
        (captures.ethernet(struct.pack(">HH", 5, 0x8100) * 9 + TCP, 0x8100), (Transport.OTHER, 0, 0, 0)),
        (captures.ethernet(b"\0", 0x8100), (Transport.OTHER, 0, 0, 0)),
        (captures.ethernet(b"", 0x0806), (Transport.ARP, 0, 0, 0)),
    ],
)
def test_what_is_cut_off_or_makes_no_sense_is_told_by_less(frame: bytes, wanted: tuple[int, ...]) -> None:
    """And never by the bytes of the frame behind it."""
    assert some(said(frame)) == wanted


def test_frames_that_say_nobody_are_left_out_and_counted() -> None:
    """Too short for their link's header, or of a link that isn't read."""
    passed: Counter[Passed] = Counter()
    headers = decode(block([captures.ethernet(TCP), b"x" * 13, TCP, b""], [ETHERNET, ETHERNET, 105, RAW]), passed)
    assert headers.time_ns.tolist() == [0]
    assert passed == {Passed.SHORT_FRAME: 2, Passed.UNKNOWN_LINK: 1}


def plain(frame: bytes) -> tuple[int, ...]:
    """Read Ethernet and IPv4 the slow way."""
    kind, payload = int.from_bytes(frame[12:14], "big"), frame[14:]
    for _ in range(4):
        if kind in {0x8100, 0x88A8, 0x9100} and len(payload) >= 4:
            kind, payload = int.from_bytes(payload[2:4], "big"), payload[4:]
    if kind == 0x0806:
        return (Transport.ARP, 0, 0, 0)
    if kind != 0x0800 or len(payload) < 20 or payload[0] >> 4 != 4:
        return (Transport.OTHER, 0, 0, 0)
    size, total = payload[0] % 16 * 4, int.from_bytes(payload[2:4], "big")
    if size < 20 or 0 < total < size:
        return (Transport.OTHER, 0, 0, 0)
    transport = {1: Transport.ICMP, 58: Transport.ICMP, 6: Transport.TCP, 17: Transport.UDP}.get(payload[9], Transport.OTHER)
    rest = payload[size : total or None]
    if transport not in {Transport.TCP, Transport.UDP} or (payload[6] % 32 << 8 | payload[7]) or len(rest) < 4:
        return (transport, 0, 0, 0)
    ports = int.from_bytes(rest[:2], "big"), int.from_bytes(rest[2:4], "big")
    return (transport, *ports, rest[13] if transport == Transport.TCP and len(rest) >= 14 else 0)


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 255), st.integers(14, 60)), min_size=1, max_size=5))
def test_a_block_gives_what_frames_give_one_by_one(changes: list[tuple[int, int, int]]) -> None:
    """Against a slow reader, for frames with changed bytes and cut ends."""
    frames = []
    for at, value, size in changes:
        frame = bytearray(captures.ethernet(TCP) + bytes(7))
        frame[at] = value
        frames.append(bytes(frame[:size]))
    frames = [frame for frame in frames if frame[12:14] != b"\x86\xdd"]
    headers = decode(block(frames, [ETHERNET] * len(frames)), Counter())
    found = zip(headers.transport, headers.source_port, headers.target_port, headers.flags, strict=True)
    assert [tuple(map(int, row)) for row in found] == [plain(frame) for frame in frames]


@given(st.lists(st.binary(max_size=120), max_size=8), st.sampled_from([0, 1, 12, 101, 105, 108, 113, 228, 229, 276]))
def test_noise_is_never_an_error(noise: list[bytes], link: int) -> None:
    """Of any link type, also behind a header that promises IPv6."""
    frames = noise + [captures.ethernet(b"\x60" + frame, 0x86DD) for frame in noise]
    headers: Headers = decode(block(frames, [link] * len(frames)), Counter())
    assert {len(column) for column in headers} == {len(headers.time_ns)}
