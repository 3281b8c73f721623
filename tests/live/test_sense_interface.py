"""`spikebridge sense --iface` on a real pair of interfaces, in a network of its own: packets of a raw socket in, frames with evidence out."""

from __future__ import annotations

import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from tests.live.servers.missing import Missing, needed

from spikebridge import cli
from spikebridge.spikes.files import read_values
from spikebridge.spikes.frame import unpack
from spikebridge_detectors.evidence import opened, read
from spikebridge_detectors.shipped.pins import PINS

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.live

MADE = "mount -t sysfs sysfs /sys && ip link add sb0 type veth peer name sb1 && ip link set sb0 up && ip link set sb1 up"
BURST = 400
CALM = 20
SCRIPT = """
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from tests import captures

calm, burst, folder = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
found = folder / "found.spk"
asked = captures.ethernet(captures.ipv4(captures.tcp(), 6))
other = captures.ethernet(captures.ipv4(captures.tcp(source=50000, target=22, flags=2), 6))
given = ["--iface", "sb0", "--device", "lock=02:00:00:00:00:01", "--model", "timing.spike", "--class", "lock=lock"]
command = [sys.executable, "-m", "spikebridge", "sense", *given, "--to", str(found), "--state", str(folder / "state")]
with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as wire, subprocess.Popen(command) as sensing:
    wire.bind(("sb1", 0))
    until = time.monotonic() + 60
    while not (found.exists() and b"lock" in found.read_bytes()):
        assert time.monotonic() < until and sensing.poll() is None
        wire.send(asked)
        time.sleep(0.1)
    for _ in range(calm):
        wire.send(asked)
        time.sleep(0.1)
    for _ in range(burst):
        wire.send(other)
        time.sleep(0.005)
    time.sleep(3)
    sensing.send_signal(signal.SIGTERM)
    sys.exit(sensing.wait(30))
"""


@pytest.fixture
def apart() -> list[str]:
    """Return what runs a command in a network of its own, with a pair of interfaces."""
    with needed():
        if not (shutil.which("unshare") and shutil.which("ip")):
            raise Missing("needs unshare and ip (util-linux, iproute2)")
        inside = ["unshare", "--net", "--mount", "sh", "-c"]
        tried = subprocess.run([*inside, MADE], capture_output=True, text=True, check=False)
        if tried.returncode:
            raise Missing(f"no pair of interfaces can be made here, which needs root: {tried.stderr.strip()}")
    return [*inside, f'{MADE} && exec "$@"', "sh"]


def test_a_burst_on_the_wire_is_told_with_its_evidence(apart: list[str], tmp_path: Path) -> None:
    """By a model that ships, while the device is learned; SIGTERM ends it whole."""
    command = [*apart, sys.executable, "-c", SCRIPT, str(CALM), str(BURST), str(tmp_path)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=180)
    assert ran.returncode == 0, ran.stderr
    with (tmp_path / "found.spk").open("rb") as file:
        frames = [unpack(value, 1) for _, value in read_values(file)]
    assert {frame.head.device for frame in frames} == {"lock"}
    alarms = [frame for frame in frames if len(frame.neurons)]
    assert alarms, ran.stderr
    for number, frame in enumerate(alarms):
        said = read(frame.evidence).said
        assert (said.device, [said.neuron], said.time_ns) == ("lock", frame.neurons.tolist(), frame.head.start_ns)
        assert f"{frame.head.digest:016x}" == said.model == PINS["timing.spike"][:16]
        path = tmp_path / f"{number}.spkev"
        path.write_bytes(frame.evidence)
        assert opened(path).input
        assert cli.main(["replay", str(path), "--without-lava"]) == 0
