"""The detector's case: many devices through one layer of neurons, from packed spikes to packed spikes, beside whoever else is installed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spikebridge.bench.measure import Line, resident_mb, seconds
from spikebridge_detectors.backends.loihi import Lava
from spikebridge_detectors.engine import engine
from spikebridge_detectors.errors import BackendError
from spikebridge_detectors.lif import Layer, truncated
from spikebridge_detectors.network import Network
from spikebridge_detectors.raster import WORD_STEPS, pack, unpack
from spikebridge_detectors.train.gradients.environment import with_snntorch

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from spikebridge_detectors.engine import Engine

DEVICES, INPUTS, UNITS, RATE = 10_000, 64, 32, 0.1
PLAIN_SHARE = 20
"""The plain loop gets one device in this many."""

_LAVA_WORDS = 128
_LAVA_LIMIT_S = 120
_SNNTORCH_LIMIT_S = 300
_ABSENT = "not installed"


def network() -> Network:
    """Make one layer of neurons, of which some fire."""
    luck = np.random.default_rng(1)
    weights = truncated(luck.integers(-80, 120, (UNITS, INPUTS)))
    return Network((Layer(weights=weights, du=400, dv=200, vth=2000, bias=np.zeros(UNITS, np.int32)),))


def spikes(devices: int, words: int) -> NDArray[np.uint32]:
    """Make random spikes for each input of each device."""
    luck = np.random.default_rng(2)
    return np.concatenate([pack(luck.random((WORD_STEPS, devices, INPUTS)) < RATE) for _ in range(words)], axis=2)


def detect(devices: int = DEVICES, repeats: int = 7) -> list[Line]:
    """Measure a window of 32 steps of each device: NumPy and compiled, beside a plain loop, snnTorch and Lava; then the memory."""
    net, words = network(), spikes(devices, 1)
    part = words[: max(1, devices // PLAIN_SHARE)]
    scale = devices / len(part)
    conditions: dict[str, Any] = {
        "devices": devices,
        "steps": WORD_STEPS,
        "inputs": INPUTS,
        "units": UNITS,
        "input_rate": RATE,
        "cores": 1,
    }
    before = seconds(lambda: plain(net.layers[0], part), 2)
    took = {name: seconds(partial(_window, one, net, words), repeats) for name, one in _engines().items()}
    plain_s = scale * min(before, seconds(lambda: plain(net.layers[0], part), 2))
    peers = {"snntorch": snntorch(devices), "lava_one_by_one": _lava(net, devices)}
    if "compiled" not in took:
        conditions["compiled"] = _ABSENT
    targets = {"numpy": (0.2, 0.1), "compiled": (0.05, 0.025)}
    return [
        *(
            Line(
                name=f"detect_{name}",
                value=round(own, 4),
                unit="s",
                must=targets[name][0],
                aim=targets[name][1],
                peer="plain int64 loop",
                ratio=plain_s / own,
                conditions={**conditions, **_beside(own, peers), "load_average": round(os.getloadavg()[0], 1)},
            )
            for name, own in took.items()
        ),
        *memory(),
    ]


def memory() -> list[Line]:
    """Measure what 100,000 devices hold in a process of its own: their state, and a window of input and output spikes."""
    code = "from spikebridge.bench.detect import memory_here; print(memory_here(100_000))"
    held = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)  # noqa: S603 -- ourselves
    state = sum(one.nbytes for state in network().zero(1) for one in (state.current, state.u, state.v))
    return [
        Line(
            name="detect_memory",
            value=float(held.stdout),
            unit="B/device",
            conditions={"devices": 100_000, "state_bytes": state, "spike_bytes": 4 * (INPUTS + UNITS)},
        )
    ]


def memory_here(devices: int) -> float:
    """Run devices in this process and return the bytes that each holds."""
    net = network()
    net.run(net.zero(1), spikes(1, 1))
    before = resident_mb()
    words = np.tile(spikes(1, 1), (devices, 1, 1))
    states = net.zero(devices)
    outputs = net.run(states, words)
    held = resident_mb() - before
    return round(held * 1e6 / len(outputs))


def plain(layer: Layer, words: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Return the layer's spikes as its equations are written: a loop over steps, in 64-bit integers, all devices at once."""
    weights = layer.weights.T.astype(np.int64)
    current, u, v = (np.zeros((len(words), layer.units), np.int64) for _ in range(3))
    fired = []
    for step in unpack(words):
        u = _leaked(u, 4095 - layer.du) + (current << 6)
        u = np.where(u > 1 << 23, u - (1 << 24), np.where(u <= -(1 << 23), u + (1 << 24), u))
        v = np.clip(_leaked(v, 4096 - layer.dv) + u + layer.bias, 1 - (1 << 23), (1 << 23) - 1)
        fired.append(v > layer.vth << 6)
        v[fired[-1]] = 0
        current = step.astype(np.int64) @ weights
    return pack(np.stack(fired))


def _leaked(value: NDArray[np.int64], share: int) -> NDArray[np.int64]:
    product = value * share
    leaked: NDArray[np.int64] = np.sign(product) * (np.abs(product) >> 12)
    return leaked


def _window(one: Engine, net: Network, words: NDArray[np.uint32]) -> None:
    one.run(net, net.zero(len(words)), words)


def _engines() -> dict[str, Engine]:
    """Return the engines that are here."""
    found = (engine("numpy"), engine("compiled"))
    return {one.name: one for one in found}


def _beside(own: float, peers: dict[str, float | str]) -> dict[str, float | str]:
    """Return each peer's seconds and how many times as fast we are, or why there are none."""
    said: dict[str, float | str] = {}
    for name, took in peers.items():
        said[f"{name}_s"] = round(took, 3) if isinstance(took, float) else took
        if isinstance(took, float):
            said[f"times_{name}"] = round(took / own, 1)
    return said


def snntorch(devices: int) -> float | str:
    """Return the seconds of snnTorch for the same devices and steps."""
    try:
        python = with_snntorch()
    except BackendError:
        return _ABSENT
    shape = [devices, WORD_STEPS, INPUTS, UNITS, RATE]
    command = [str(python), "-I", str(Path(__file__).with_name("torch_peer.py")), *map(str, shape)]
    try:
        done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=_SNNTORCH_LIMIT_S)  # noqa: S603 -- ours
        return float(done.stdout)
    except (subprocess.SubprocessError, ValueError):
        return "failed"


def _lava(net: Network, devices: int) -> float | str:
    """Return the seconds that Lava would take: what one device's steps add to a run, without start and end, times all devices."""
    try:
        lava = Lava.found(_LAVA_LIMIT_S)
    except BackendError:
        return _ABSENT
    took = []
    try:
        for words in (1, _LAVA_WORDS):
            window = spikes(1, words)
            started = time.perf_counter()
            lava.run(net, net.zero(1), window)
            took.append(time.perf_counter() - started)
    except BackendError:
        return "failed"
    return max(0.0, took[1] - took[0]) / (_LAVA_WORDS - 1) * devices
