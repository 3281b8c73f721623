"""
What runs inside Lava's own Python 3.10: a chain of layers from packed spikes to packed spikes, read from one pipe and written to another.

It imports nothing of ours, and lies alone in its directory because Lava executes all modules beside one whose processes it runs.
Both messages are the length of a header (4 bytes), the header as JSON, and little-endian arrays in the order that the header implies.
"""

import json
import os
import struct
import sys
from importlib.metadata import version
from typing import Any, BinaryIO

import numpy as np
from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.py.model import PyLoihiProcessModel
from lava.magma.core.model.py.ports import PyInPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.process.ports.ports import InPort
from lava.magma.core.process.process import AbstractProcess
from lava.magma.core.process.variable import Var
from lava.magma.core.resources import CPU
from lava.magma.core.run_conditions import RunSteps
from lava.magma.core.run_configs import Loihi2SimCfg
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol
from lava.proc.dense.process import Dense
from lava.proc.io.source import RingBuffer
from lava.proc.lif.process import LIF, LIFReset

WORD_STEPS = 32


class Packed(AbstractProcess):
    """Keeps the spikes that reach it as words of 32 steps: reading one costs as much as reading a single spike would."""

    def __init__(self, *, units: int, steps: int) -> None:
        """Take how many units there are, and for how many steps to make room."""
        super().__init__(units=units, steps=steps)
        self.s_in = InPort(shape=(units,))
        self.words = Var(shape=(units, -(-steps // WORD_STEPS)), init=0)


@implements(proc=Packed, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class PyPacked(PyLoihiProcessModel):
    """The same, as Lava runs it."""

    s_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, np.int32)
    words: np.ndarray = LavaPyType(np.ndarray, np.int64)

    def run_spk(self) -> None:
        """Take one step's spikes."""
        word, bit = divmod(self.time_step - 1, WORD_STEPS)
        self.words[:, word] |= (self.s_in.recv() > 0).astype(np.int64) << bit


def unpacked(words: np.ndarray) -> np.ndarray:
    """Return [unit, step] spikes from [unit, word] words."""
    return np.unpackbits(np.ascontiguousarray(words, "<u4").view(np.uint8), axis=1, bitorder="little").astype(np.int32)


def run(process: AbstractProcess, steps: int) -> None:
    """Run all that is connected with a process."""
    process.run(condition=RunSteps(num_steps=steps), run_cfg=Loihi2SimCfg(select_tag="fixed_pt"))


def chain(words: np.ndarray, layers: list[tuple[dict[str, Any], dict[str, Any]]]) -> list[tuple[np.ndarray, ...]]:
    """
    Run layers behind one another over [input, word] spikes, once; return for each its spikes as words and its current, u and v at the end.

    A layer is a pair: what Dense is made with, and what the neurons are made with, among it `current`, what they get in the first step.
    """
    spikes = unpacked(words)
    before = RingBuffer(data=spikes)
    built = []
    for synapses, neurons in layers:
        units = len(synapses["weights"])
        said = {"current": np.zeros(units, np.int32), **neurons}
        dense = Dense(**synapses)
        dense.a_buff.init = said.pop("current")
        lif = (LIFReset if "reset_interval" in said else LIF)(shape=(units,), **said)
        sink = Packed(units=units, steps=spikes.shape[1])
        before.s_out.connect(dense.s_in)
        dense.a_out.connect(lif.a_in)
        lif.s_out.connect(sink.s_in)
        built.append((dense, lif, sink))
        before = lif
    run(before, spikes.shape[1])
    try:
        return [
            tuple(np.asarray(held.get()).astype(np.int64) for held in (sink.words, dense.a_buff, lif.u, lif.v))
            for dense, lif, sink in built
        ]
    finally:
        before.stop()


def main(source: BinaryIO, target: BinaryIO) -> None:
    """Answer the one question that stands in the pipe."""
    said = json.loads(source.read(struct.unpack("<I", source.read(4))[0]))

    def taken(kind: str, *shape: int) -> np.ndarray:
        count = int(np.prod(shape))
        return np.frombuffer(source.read(count * np.dtype(kind).itemsize), kind).reshape(shape)

    devices = said["devices"]
    words = taken("<u4", devices, said["inputs"], said["words"])
    layers, fan_in = [], said["inputs"]
    for layer in said["layers"]:
        weights = taken("<i2", layer["units"], fan_in)
        mantissas = taken("<i2", layer["units"])
        held = [taken("<i4", devices, layer["units"]) for _ in ("current", "u", "v")]
        layers.append(({"weights": weights, "weight_exp": layer["exponent"]}, {**layer["neurons"], "bias_mant": mantissas}, held))
        fan_in = layer["units"]
    answers = []
    for device in range(devices):
        at = [
            (synapses, {**neurons, **dict(zip(("current", "u", "v"), (each[device] for each in held), strict=True))})
            for synapses, neurons, held in layers
        ]
        answers.append(chain(words[device], at))
    head = json.dumps({"lava": version("lava-nc"), "numpy": np.__version__}).encode()
    target.write(struct.pack("<I", len(head)) + head)
    target.write(np.stack([answer[-1][0] for answer in answers]).astype("<u4").tobytes())
    for layer in range(len(layers)):
        target.writelines(np.stack([answer[layer][kind] for answer in answers]).astype("<i4").tobytes() for kind in (1, 2, 3))
    target.flush()


if __name__ == "__main__":
    # whatever Lava prints goes to stderr: stdout carries the answer alone
    with os.fdopen(os.dup(1), "wb") as answer_pipe:
        os.dup2(2, 1)
        main(sys.stdin.buffer, answer_pipe)
