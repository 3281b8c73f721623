"""Who is a device, who its peers are, and that a flood makes neither more work nor more memory."""

from __future__ import annotations

import io
from collections import Counter
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests import captures
from tests.captures import Frame

from spikebridge_detectors.capture.devices import Bounds, Devices, Known
from spikebridge_detectors.capture.frames import Passed
from spikebridge_detectors.capture.source import PcapSource
from spikebridge_detectors.errors import CaptureError

if TYPE_CHECKING:
    from spikebridge_detectors.capture.columns import Packets

ONE, TWO, ALL = "02:00:00:00:00:01", "02:00:00:00:00:02", "ff:ff:ff:ff:ff:ff"


def packet(source: str, target: str, source_mac: str = ONE, target_mac: str = TWO) -> bytes:
    """Return a TCP packet."""
    return captures.ethernet(captures.ipv4(captures.tcp(), 6, source=source, target=target), source=source_mac, target=target_mac)


def seen(frames: list[bytes], *inside: str, bounds: Bounds | None = None) -> tuple[list[tuple[str, bool, int]], Counter[Passed]]:
    """Return device, direction and peer of each row, and what was passed over."""
    passed: Counter[Passed] = Counter()
    return rows(Devices(inside, bounds), frames, passed), +passed


def rows(devices: Devices, frames: list[bytes], passed: Counter[Passed] | None = None) -> list[tuple[str, bool, int]]:
    """Return device, direction and peer of each row, and add up what was passed over."""
    source = PcapSource(
        io.BytesIO(captures.pcap([Frame(at * 1000, frame) for at, frame in enumerate(frames)])), "a.pcap", devices
    )
    found = [row for piece in source for row in zip(piece.device, piece.outgoing, piece.peer, strict=True)]
    assert list(source.devices) == devices.names
    if passed is not None:
        passed.update(source.passed)
    return [(devices.names[device], bool(outgoing), int(peer)) for device, outgoing, peer in found]


def test_devices_are_listed_by_mac_address_or_network() -> None:
    """A MAC stands above an address, an address above a network, and the rest is no device's."""
    frames = [
        packet("10.0.0.1", "8.8.8.8"),
        packet("10.0.0.7", "8.8.8.8", TWO, ALL),
        packet("10.9.0.3", "10.0.0.7", TWO, ALL),
        packet("9.9.9.9", "8.8.8.8", TWO, ALL),
    ]
    found, passed = seen(frames, f"camera={ONE}", "10.0.0.7", "plant=10.9.0.0/16")
    assert found == [
        ("camera", True, 0),
        ("10.0.0.7", True, 0),
        ("plant", True, 0),
        ("10.0.0.7", False, 1),
    ]
    assert passed == {Passed.NO_DEVICE: 1}


def test_what_shares_a_name_is_one_device() -> None:
    """With its peers numbered together."""
    other = captures.ethernet(captures.ipv6(captures.udp(), 17, source=b"\xfd" + bytes(14) + b"\5"), 0x86DD, source=TWO)
    frames = [packet("10.0.0.1", "8.8.8.8"), other]
    assert seen(frames, "lock=10.0.0.1", "lock=fd00::5")[0] == [("lock", True, 0), ("lock", True, 1)]


def test_a_network_of_one_version_of_ip_holds_nothing_else() -> None:
    """All of IPv6 is neither IPv4 nor a frame without addresses."""
    frames = [packet("10.0.0.1", "8.8.8.8"), captures.ethernet(b"hello", 0x88CC)]
    assert seen(frames, "all=::/0") == ([], {Passed.NO_DEVICE: 2})
    assert seen(frames, "all=0.0.0.0/0") == ([("all", True, 0), ("all", False, 1)], {Passed.NO_DEVICE: 1})


def test_a_packet_between_two_devices_is_two_rows_the_senders_first() -> None:
    """Each sees the other as its peer."""
    frames = [packet("10.0.0.2", "10.0.0.1"), packet("10.0.0.1", "10.0.0.2"), packet("10.0.0.1", "8.8.8.8")]
    assert seen(frames, "a=10.0.0.1", "b=10.0.0.2")[0] == [
        ("b", True, 0),
        ("a", False, 0),
        ("a", True, 0),
        ("b", False, 0),
        ("a", True, 1),
    ]


def test_a_network_holds_a_device_for_each_address_that_sends() -> None:
    """One that was only spoken to has none: a scan of addresses that nobody has makes no devices."""
    frames = [packet("9.9.9.9", f"10.0.0.{at}") for at in range(200)]
    frames += [packet("9.9.9.9", "10.0.0.5"), packet("10.0.0.5", "9.9.9.9"), packet("9.9.9.9", "10.0.0.5")]
    found, passed = seen(frames)
    assert found == [("10.0.0.5", True, 0), ("10.0.0.5", False, 0)]
    assert passed == {Passed.NO_DEVICE: 201}


def test_what_goes_to_everybody_is_its_senders_alone() -> None:
    """But who is asked for by ARP is asked."""
    frames = [
        packet("10.0.0.1", "10.0.0.255", target_mac=ALL),
        captures.ethernet(captures.arp("10.0.0.1", "10.0.0.2"), 0x0806, target=ALL),
        captures.ethernet(b"hello", 0x88CC, source=TWO, target=ALL),
    ]
    found, passed = seen(frames, "a=10.0.0.1", "b=10.0.0.2", f"b={TWO}")
    assert found == [("a", True, 0), ("a", True, 1), ("b", False, 0), ("b", True, 1)]
    assert not passed


def test_a_flood_from_made_up_senders_fills_no_memory() -> None:
    """Of peers so many are remembered, the others are -1, and those known before keep their numbers."""
    flood = [packet(f"{at % 200 + 11}.{at // 200}.1.1", "10.0.0.1") for at in range(5000)]
    found, _ = seen([packet("10.0.0.1", "8.8.8.8"), *flood, packet("10.0.0.1", "8.8.8.8")], "a=10.0.0.1", bounds=Bounds(peers=64))
    assert [row[2] for row in found] == [*range(64), *[-1] * (5001 - 64), 0]
    found, _ = seen(flood, "a=10.0.0.1", bounds=Bounds(all_peers=10))
    assert max(row[2] for row in found) == 9


def test_devices_beyond_the_bound_are_counted_and_passed_over() -> None:
    """What was known before goes on."""
    frames = [packet(f"10.0.{at // 200}.{at % 200}", "8.8.8.8") for at in range(1000)]
    found, passed = seen([*frames, frames[3]], bounds=Bounds(devices=16))
    assert [row[0] for row in found] == [*(f"10.0.0.{at}" for at in range(16)), "10.0.0.3"]
    assert passed == {Passed.TOO_MANY_DEVICES: 984}


@pytest.mark.parametrize(
    ("inside", "said"),
    [
        (["camera"], "device 'camera': expected [NAME=] and a MAC, an address or a network"),
        (["10.0.0.1/8"], "device '10.0.0.1/8': expected"),
        (["02:00:00:00:00"], "device '02:00:00:00:00': expected"),
        ([f"10.{at // 200}.{at % 200}.0/24" for at in range(257)], "devices: 257 networks, expected at most 256"),
        ([f"10.0.{at // 200}.{at % 200}" for at in range(10_001)], "devices: more than 10000 are listed"),
    ],
)
def test_a_list_that_makes_no_sense_is_refused(inside: list[str], said: str) -> None:
    """With the entry that is wrong."""
    with pytest.raises(CaptureError) as error:
        Devices(inside)
    assert str(error.value).startswith(said)


def test_a_restart_finds_devices_and_peers_as_they_were() -> None:
    """From plain values; what is no longer listed is forgotten, and so is what is more than may be."""
    frames = [
        packet("10.0.0.3", "8.8.8.8"),
        packet("10.0.0.1", "9.9.9.9"),
        packet("10.0.0.3", "10.0.0.1"),
        packet("10.9.0.1", "1.1.1.1"),
    ]
    lists = ["lock=10.0.0.1", "10.0.0.0/24", "10.9.0.0/24"]
    before = Devices(lists)
    rows(before, frames)
    known = msgspec.json.decode(msgspec.json.encode(before.known()), type=Known)
    after = Devices(lists)
    after.recall(known)
    assert (after.names, after.known()) == (before.names, before.known())
    assert rows(after, [packet("10.0.0.3", "10.0.0.1")]) == [("10.0.0.3", True, 1), ("lock", False, 1)]
    fewer = Devices(["10.0.0.0/24"], Bounds(devices=1))
    fewer.recall(known)
    assert (fewer.names, rows(fewer, [packet("10.0.0.3", "10.0.0.1")])) == (["10.0.0.3"], [("10.0.0.3", True, 1)])


@given(st.lists(st.tuples(st.integers(1, 6), st.integers(1, 6)), min_size=1, max_size=30), st.integers(1, 29))
def test_where_pieces_are_cut_changes_nothing(pairs: list[tuple[int, int]], cut: int) -> None:
    """Neither the devices nor the numbers of peers."""
    frames = [packet(f"10.0.0.{source}", f"10.0.0.{target}") for source, target in pairs]

    def cut_into(*pieces: list[bytes]) -> tuple[list[list[object]], list[str]]:
        devices = Devices(["x=10.0.0.6", "10.0.0.0/29"], Bounds(devices=4, peers=3))
        files = (io.BytesIO(captures.pcap([Frame(0, frame) for frame in piece])) for piece in pieces)
        found: list[Packets] = [packets for file in files for packets in PcapSource(file, "a.pcap", devices)]
        return [np.concatenate(column).tolist() for column in zip(*found, strict=True)], devices.names

    assert cut_into(frames) == cut_into(*(piece for piece in (frames[:cut], frames[cut:]) if piece))
