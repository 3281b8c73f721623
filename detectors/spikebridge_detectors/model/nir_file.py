"""
Files of the exchange format NIR: layers that stand behind one another, written, and read by a process of their own.

A file is HDF5, which takes a large parser in C, so whatever a stranger's file does to it happens elsewhere, with little memory and time.
NIR tells neurons as equations in continuous time; here they are told for steps of `DT` seconds, as snnTorch and Norse take them.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import nir
import numpy as np

from spikebridge_detectors.errors import ModelError
from spikebridge_detectors.model.floating import Floating

if TYPE_CHECKING:
    from collections.abc import Sequence

DT = 1e-4
"""Seconds of a step, which a file can't say."""

_MOST_BYTES = 1 << 25
_MOST_WEIGHTS = 1 << 19
_MOST_UNITS = 1024
_MEMORY = 1 << 31
_SECONDS = 30


def write(path: Path, layers: Sequence[Floating]) -> None:
    """Write layers as Linear and CubaLIF nodes; all values are vectors, since readers disagree about scalars."""
    nodes: dict[str, Any] = {"input": nir.Input(input_type={"input": np.array([layers[0].weights.shape[1]])})}
    for number, layer in enumerate(layers, 1):
        if layer.keep_v == 1:
            raise ModelError(f"layer {number}: expected a voltage that fades (dv above 0): NIR has no CubaLIF without")
        ones = np.ones(len(layer.bias))
        tau_syn, tau_mem = DT / (1 - layer.keep_u), DT / (1 - layer.keep_v)
        nodes[f"synapses_{number}"] = nir.Linear(weight=layer.weights)
        nodes[f"neurons_{number}"] = nir.CubaLIF(
            tau_syn=ones * tau_syn,
            tau_mem=ones * tau_mem,
            r=ones * tau_mem / DT,
            v_leak=layer.bias * tau_mem / DT,
            v_threshold=ones * layer.threshold,
            v_reset=ones * 0,
            w_in=ones * tau_syn / DT,
        )
    nodes["output"] = nir.Output(output_type={"output": np.array([len(layers[-1].bias)])})
    nir.write(path, nir.NIRGraph(nodes=nodes, edges=[*pairwise(nodes)], metadata={}))


def read(path: Path) -> list[Floating]:
    """Read layers, in a process of their own."""
    if path.stat().st_size > _MOST_BYTES:
        raise ModelError(f"expected at most {_MOST_BYTES:,} bytes, found {path.stat().st_size:,}")
    command = [sys.executable, "-I", "-m", __name__, str(path)]
    env = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}  # each of its threads would take memory
    try:
        done = subprocess.run(command, capture_output=True, timeout=_SECONDS, check=False, env=env)  # noqa: S603 -- ourselves
    except subprocess.TimeoutExpired:
        raise ModelError(f"expected a file that is read within {_SECONDS} s") from None
    if done.returncode:
        raise ModelError(f"it could not be read: the process that tried ended with {done.returncode}")
    told = msgspec.json.decode(done.stdout)
    if isinstance(told, str):
        raise ModelError(told)
    return [
        Floating(
            weights=np.array(one["weights"], np.float64), bias=np.array(one["bias"], np.float64),
            keep_u=one["keep_u"], keep_v=one["keep_v"], threshold=one["threshold"],
        )
        for one in told
    ]  # fmt: skip


def _read(path: Path) -> list[dict[str, Any]]:
    graph = nir.read(path, type_check=False)  # which says nothing about where
    followed = dict(graph.edges)
    if len(followed) != len(graph.edges) or len(graph.edges) != len(graph.nodes) - 1 or len(graph.inputs) != 1:
        raise ModelError("expected one chain of nodes from Input to Output")
    nodes = [next(iter(graph.inputs.items()))]
    while (name := followed.get(nodes[-1][0])) and len(nodes) < len(graph.nodes):
        nodes.append((name, graph.nodes[name]))
    _, *inner, last = nodes
    if not isinstance(last[1], nir.Output) or len(nodes) != len(graph.nodes) or len(inner) % 2 or not inner:
        raise ModelError("expected one chain of nodes from Input to Output: synapses and neurons, by turns")
    if sum(node.weight.size for _, node in inner[::2] if isinstance(node, nir.Linear | nir.Affine)) > _MOST_WEIGHTS:
        raise ModelError(f"expected at most {_MOST_WEIGHTS:,} weights: a model has no room for more")
    return [_layer(*synapses, *neurons) for synapses, neurons in zip(inner[::2], inner[1::2], strict=True)]


def _layer(synapses_name: str, synapses: Any, neurons_name: str, neurons: Any) -> dict[str, Any]:
    if not isinstance(synapses, nir.Linear | nir.Affine) or synapses.weight.ndim != 2:  # noqa: PLR2004 -- units and inputs
        raise ModelError(f"{synapses_name}: expected Linear or Affine with a matrix, found {type(synapses).__name__}")
    if not isinstance(neurons, nir.CubaLIF | nir.LIF):
        raise ModelError(f"{neurons_name}: expected CubaLIF or LIF, found {type(neurons).__name__}")
    if max(synapses.weight.shape) > _MOST_UNITS:
        raise ModelError(f"{synapses_name}: expected at most {_MOST_UNITS} units and inputs, found {synapses.weight.shape}")
    if neurons.v_threshold.shape not in {(), synapses.weight.shape[:1]}:
        raise ModelError(f"{neurons_name}: expected {synapses.weight.shape[0]} neurons, found {neurons.v_threshold.shape}")
    if np.any(neurons.v_reset):
        raise ModelError(f"{neurons_name}: expected v_reset 0: hardware has no other")
    ones = np.ones(len(synapses.weight))
    gain = ones * neurons.r * DT / _tau(neurons)
    if isinstance(neurons, nir.CubaLIF):
        gain = gain * neurons.w_in * DT / neurons.tau_syn
    bias = ones * neurons.v_leak * DT / _tau(neurons)
    if isinstance(synapses, nir.Affine) and np.any(synapses.bias):
        if isinstance(neurons, nir.CubaLIF):
            raise ModelError(f"{synapses_name}: expected no bias before CubaLIF, whose current would hold it")
        bias = bias + synapses.bias * gain
    return {
        "weights": (synapses.weight * gain[:, None]).tolist(),
        "bias": bias.tolist(),
        "keep_u": 1 - DT / _one(neurons_name, "tau_syn", neurons.tau_syn) if isinstance(neurons, nir.CubaLIF) else 0.0,
        "keep_v": 1 - DT / _one(neurons_name, "tau", _tau(neurons)),
        "threshold": _one(neurons_name, "v_threshold", neurons.v_threshold),
    }


def _tau(neurons: Any) -> Any:
    return neurons.tau_mem if isinstance(neurons, nir.CubaLIF) else neurons.tau


def _one(name: str, key: str, values: Any) -> float:
    """Return the value that all neurons share, as those of a layer do."""
    if np.ptp(values):
        raise ModelError(f"{name}: {key}: expected one value for all neurons, found {np.min(values)} to {np.max(values)}")
    return float(np.ravel(values)[0])


def _main() -> None:
    """Read the file that the arguments name, and print what was found, or why not."""
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    answer: list[dict[str, Any]] | str
    try:
        answer = _read(Path(sys.argv[1]))
        text = json.dumps(answer, allow_nan=False)
    except ModelError as error:
        text = json.dumps(str(error))
    except Exception as error:  # noqa: BLE001 -- whatever a strange file makes the library raise
        text = json.dumps(f"no NIR file that can be used: {type(error).__name__}: {error}")
    print(text)  # noqa: T201 -- what the other process waits for


if __name__ == "__main__":
    _main()
