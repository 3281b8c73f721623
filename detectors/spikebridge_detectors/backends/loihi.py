"""
Networks on Lava, Intel's simulator of Loihi 2, in a Python 3.10 of its own, and how many of its spikes differ from NumPy's.

Intel has archived Lava: 0.10.0 is the last release. The hardware is lent through Intel's research community only; nothing here was tried on it.
Each run is a process with a time limit. Arrays go through pipes as they are; nothing that came from a model is unpickled.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from spikebridge_detectors.backends.python310 import with_lava
from spikebridge_detectors.errors import BackendError, ModelError
from spikebridge_detectors.lif import LEAK, WRAP, largest_current, truncated
from spikebridge_detectors.raster import WORD_STEPS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from spikebridge_detectors.engine import Engine
    from spikebridge_detectors.lif import Layer, State
    from spikebridge_detectors.network import Network

CHILD = Path(__file__).with_name("lava") / "child.py"

_MOST_SPIKES = 1 << 24
_MOST_THRESHOLD = 1 << 17
_MOST_CURRENT = 1 << 24
_MANTISSAS = range(-4096, 4096)
_BIAS_EXPONENTS = range(8)
_TOLD = 2000


class Conformance(NamedTuple):
    """What NumPy and something else, such as Lava, made of the same input: spikes of NumPy, those that differ, and neurons that ended elsewhere."""

    spikes: int
    differing: int
    states: int


@dataclass(frozen=True, slots=True)
class Lava:
    """A Python 3.10 that has Lava, and how long a run in it may take."""

    python: Path
    limit_s: float = 120.0

    @classmethod
    def found(cls, limit_s: float = 120.0) -> Lava:
        """Return the one on this machine; without one, the error says how to get it."""
        return cls(with_lava(), limit_s)

    def run(self, network: Network, states: Sequence[State], words: NDArray[np.uint32]) -> NDArray[np.uint32]:
        """Do what `Network.run` does, a device after the other."""
        network.check(states, words)
        devices, inputs, count = words.shape
        if not 1 <= inputs * count * WORD_STEPS <= _MOST_SPIKES:
            raise ModelError(
                f"expected 1 to {_MOST_SPIKES:,} steps of all inputs together, found {inputs * count * WORD_STEPS:,}"
            )
        if not devices:
            return np.empty((0, network.outputs, count), np.uint32)
        answer = self._asked(b"".join(_question(network, states, words)))
        shapes = [(devices, network.outputs, count), *((devices, layer.units) for layer in network.layers for _ in range(3))]
        outputs, *held = _arrays(answer, shapes)
        for number, state in enumerate(states):
            state.current[:], state.u[:], state.v[:] = held[3 * number : 3 * number + 3]
            state.step += count * WORD_STEPS
        return outputs.view("<u4")

    def _asked(self, question: bytes) -> bytes:
        """Start a process, hand it the question and return its answer; it and all that it started end with this."""
        environ = {name: os.environ[name] for name in ("HOME", "PATH", "TMPDIR") if name in os.environ}
        try:
            process = subprocess.Popen(  # noqa: S603 -- the interpreter that the operator named, and our own file
                [str(self.python), "-I", str(CHILD)],
                cwd="/",
                env={**environ, "OPENBLAS_NUM_THREADS": "1"},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as error:
            raise BackendError(f"Lava: {self.python}: {error.strerror}") from error
        with process:
            try:
                answer, told = process.communicate(question, self.limit_s)
            except subprocess.TimeoutExpired as error:
                raise BackendError(f"Lava: expected an answer within {self.limit_s:g} s, found none") from error
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
        if process.returncode:
            said = told[-_TOLD:].decode(errors="replace").strip()
            raise BackendError(f"Lava: the process ended with {process.returncode}: {said}")
        return answer


def conformance(network: Network, words: NDArray[np.uint32], other: Lava | Engine) -> Conformance:
    """Run packed spikes through NumPy and something else, from zero, and count what differs."""
    ours, theirs = network.zero(len(words)), network.zero(len(words))
    outputs = network.run(ours, words)
    found = other.run(network, theirs, words)
    states = sum(
        int(((mine.current != its.current) | (mine.u != its.u) | (mine.v != its.v)).sum())
        for mine, its in zip(ours, theirs, strict=True)
    )
    return Conformance(
        spikes=int(np.bitwise_count(outputs).sum()), differing=int(np.bitwise_count(outputs ^ found).sum()), states=states
    )


def _question(network: Network, states: Sequence[State], words: NDArray[np.uint32]) -> Iterator[bytes]:
    """Yield a header and the arrays that it implies."""
    exponents = [_bias_exponent(layer, number) for number, layer in enumerate(network.layers, 1)]
    for number, (layer, state) in enumerate(zip(network.layers, states, strict=True), 1):
        _check(layer, state, number)
    layers = [
        {"units": layer.units, "exponent": layer.exponent, "neurons": _neurons(layer, state, exponent)}
        for layer, state, exponent in zip(network.layers, states, exponents, strict=True)
    ]
    devices, inputs, count = words.shape
    head = json.dumps({"devices": devices, "inputs": inputs, "words": count, "layers": layers}).encode()
    yield struct.pack("<I", len(head)) + head
    yield words.astype("<u4").tobytes()
    for layer, state, exponent in zip(network.layers, states, exponents, strict=True):
        yield layer.weights.astype("<i2").tobytes()
        yield (layer.bias >> exponent).astype("<i2").tobytes()
        for held in (state.current, state.u, state.v):
            yield held.astype("<i4").tobytes()


def _neurons(layer: Layer, state: State, exponent: int) -> dict[str, int]:
    """Return what Lava's neurons are made with; its steps begin at 1 with each run, so the reset moves."""
    said = {"du": layer.du, "dv": layer.dv, "vth": layer.vth, "bias_exp": exponent}
    if layer.reset:
        said |= {"reset_interval": layer.reset.interval, "reset_offset": (layer.reset.offset - state.step) % layer.reset.interval}
    return said


def _check(layer: Layer, state: State, number: int) -> None:
    """Refuse what Lava would change, or carry in fewer bits."""
    if not np.array_equal(truncated(layer.weights), layer.weights):
        raise ModelError(f"layer {number}: expected weights that 8 bits hold (mixed ones are even), found others")
    limits = {"du": (layer.du, LEAK), "dv": (layer.dv, LEAK + 1), "vth": (layer.vth, _MOST_THRESHOLD)}
    for name, (value, end) in limits.items():
        if not 0 <= value < end:
            raise ModelError(f"layer {number}: {name}: expected 0 to {end - 1}, found {value}")
    current = max(largest_current(layer) * 2.0**layer.exponent, np.abs(state.current).max(initial=0))
    if current >= _MOST_CURRENT or max(np.abs(state.u).max(initial=0), np.abs(state.v).max(initial=0)) > WRAP:
        raise ModelError(f"layer {number}: expected currents and states of 24 bits, found more")


def _bias_exponent(layer: Layer, number: int) -> int:
    """Return the least exponent with which 13 bits hold every bias."""
    for exponent in _BIAS_EXPONENTS:
        mantissas = layer.bias >> exponent
        if (mantissas << exponent == layer.bias).all() and all(int(one) in _MANTISSAS for one in mantissas):
            return exponent
    raise ModelError(f"layer {number}: expected biases of 13 bits times one power of two up to 128, found others")


def _arrays(answer: bytes, shapes: list[tuple[int, ...]]) -> list[NDArray[np.int32]]:
    """Read an answer to its end: all its numbers have 32 bits."""
    length = struct.unpack_from("<I", answer)[0] if len(answer) >= 4 else 0  # noqa: PLR2004 -- the length of a length
    body = answer[4 + length :]
    wanted = 4 * sum(int(np.prod(shape)) for shape in shapes)
    if len(body) != wanted:
        raise BackendError(f"Lava: expected an answer of {wanted} bytes, found {len(body)}")
    found: list[Any] = []
    at = 0
    for shape in shapes:
        count = int(np.prod(shape))
        found.append(np.frombuffer(body, "<i4", count, at).reshape(shape))
        at += 4 * count
    return found
