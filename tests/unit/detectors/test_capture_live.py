"""An interface is read with the kernel's own times, and what found no room is counted."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from spikebridge_detectors.capture.columns import Packets, Transport
from spikebridge_detectors.capture.devices import Devices
from spikebridge_detectors.capture.frames import Passed
from spikebridge_detectors.capture.live import LiveSource
from spikebridge_detectors.errors import CaptureError

if TYPE_CHECKING:
    from collections.abc import Iterator

PORT = 47_113


@pytest.fixture
def loopback() -> Iterator[LiveSource]:
    """Read the loopback interface, of which 127.0.0.1 is the one device."""
    try:
        source = LiveSource("lo", Devices(["here=127.0.0.1"]), promiscuous=False, blocks=4)
    except CaptureError as error:
        pytest.skip(str(error))
    with source:
        yield source


def send(count: int, size: int = 300) -> None:
    """Send datagrams to a port that nobody listens on."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for _ in range(count):
            sender.sendto(b"x" * size, ("127.0.0.1", PORT))


def ours(piece: Packets) -> list[tuple[int, ...]]:
    """Return time, direction, transport and length of what we sent."""
    rows = zip(piece.time_ns, piece.outgoing, piece.transport, piece.length, piece.target_port, strict=True)
    return [tuple(map(int, row[:4])) for row in rows if row[4] == PORT]


def test_an_interface_yields_what_passes_it_once_and_when(loopback: LiveSource) -> None:
    """Each datagram is a packet between two devices, here of one with itself, as long as it was, however little is read of it."""
    before = time.time_ns()
    send(3)
    after = time.time_ns()
    found: list[tuple[int, ...]] = []
    for piece in loopback:
        found += ours(piece)
        if len(found) >= 6:
            break
    assert [row[1:] for row in found] == [(1, Transport.UDP, 342), (0, Transport.UDP, 342)] * 3
    assert before <= found[0][0] <= found[-1][0] <= after
    assert list(loopback.devices) == ["here"]


def test_reading_goes_on_where_it_stopped(loopback: LiveSource) -> None:
    """Nothing is read twice, and no block of the ring is left out."""
    lengths: list[int] = []
    for count in range(1, 7):
        send(1, 300 + count)
        for piece in loopback:
            lengths += [row[3] for row in ours(piece)]
            if len(lengths) >= 2 * count:
                break
    assert lengths == [342 + count for count in range(1, 7) for _ in range(2)]


def test_what_the_kernel_had_no_room_for_is_counted(loopback: LiveSource) -> None:
    """The ring is full while nobody reads."""
    send(9000)
    for piece in loopback:
        if loopback.passed[Passed.DROPPED] or not len(piece.time_ns):
            break
    assert loopback.passed[Passed.DROPPED] > 1000


def test_an_interface_that_is_not_there_is_named_with_those_that_are() -> None:
    """Before anything is opened."""
    if not hasattr(socket, "AF_PACKET"):
        pytest.skip("no AF_PACKET here")
    with pytest.raises(CaptureError, match=r"interface 'nosuch0': expected one of .*lo"):
        LiveSource("nosuch0", Devices())


def test_without_the_right_it_is_said_which_one_is_lacking() -> None:
    """For the operator, not as a traceback."""
    if not hasattr(socket, "AF_PACKET") or os.geteuid() != 0:
        pytest.skip("needs Linux, and root to give the right up")
    script = (
        "import os\n"
        "from spikebridge_detectors.capture.devices import Devices\n"
        "from spikebridge_detectors.capture.live import LiveSource\n"
        "os.setgid(65534), os.setuid(65534)\n"
        "try:\n    LiveSource('lo', Devices())\n"
        "except Exception as error:\n    print(type(error).__name__, error)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("CaptureError interface lo: not permitted; give the service the capability CAP_NET_RAW")


@pytest.fixture
def interface() -> Iterator[str]:
    """Make an interface that is up, and take it away."""
    name = f"sb{os.getpid() % 10**8}"
    made = [["ip", "link", "add", name, "type", "veth", "peer", "name", f"{name}p"], ["ip", "link", "set", name, "up"]]
    try:
        done = [subprocess.run(command, capture_output=True, text=True, check=False) for command in made]
    except FileNotFoundError as error:
        pytest.skip(f"needs ip, to make an interface: {error}")
    if any(command.returncode for command in done):
        pytest.skip(f"no interface can be made here: {done[0].stderr or done[1].stderr}")
    yield name
    subprocess.run(["ip", "link", "del", name], capture_output=True, check=False)  # noqa: S607 - wherever it is


def test_silence_is_an_empty_piece_and_an_interface_that_goes_away_an_error(interface: str) -> None:
    """So that who reads it can tell time, and the end."""
    with LiveSource(interface, Devices([])) as source:
        pieces = iter(source)
        while len(next(pieces).time_ns):
            pass
        subprocess.run(["ip", "link", "del", interface], check=True)  # noqa: S607 - wherever it is
        with pytest.raises(CaptureError, match=f"interface {interface}: Network is down"):
            list(pieces)
