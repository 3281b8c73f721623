"""
Other frameworks, run by path in torch's environment: it reads a NIR file and runs spikes through it, or writes a network of its own.

    python frameworks.py snntorch|norse NIR SPIKES OUT     SPIKES and OUT are [step, line] as .npy
    python frameworks.py write NIR SPIKES OUT              a network of snnTorch, and what it answers
"""

import sys
from itertools import pairwise

import nir
import norse.torch
import numpy as np
import snntorch
import torch
from snntorch.export_nir import export_to_nir
from snntorch.import_nir import import_from_nir

DT = 1e-4
SIZES = (5, 8, 2)


def snntorch_of(path: str, spikes: np.ndarray) -> np.ndarray:
    """Run what snnTorch makes of the file."""
    return stepped(import_from_nir(nir.read(path)), spikes)


def norse_of(path: str, spikes: np.ndarray) -> np.ndarray:
    """Run what Norse makes of the file, told how long a step is."""
    return stepped(norse.torch.from_nir(nir.read(path), dt=DT), spikes)


def stepped(network: torch.nn.Module, spikes: np.ndarray) -> np.ndarray:
    """Run step by step from zero."""
    state, fired = None, []
    with torch.no_grad():
        for step in torch.from_numpy(spikes.astype(np.float32)):
            answer, state = network(step[None], state)
            fired.append(answer[0].numpy() > 0)
    return np.array(fired)


def written(path: str, spikes: np.ndarray) -> np.ndarray:
    """Write a network that snnTorch made, and run it there."""
    torch.manual_seed(4)
    parts: list[torch.nn.Module] = []
    for inputs, units in pairwise(SIZES):
        linear = torch.nn.Linear(inputs, units, bias=False)
        torch.nn.init.normal_(linear.weight, 0.3, 0.5)
        neurons = snntorch.Synaptic(
            alpha=torch.full((units,), 0.5), beta=torch.full((units,), 0.75), threshold=torch.ones(units),
            reset_mechanism="zero", reset_delay=False, init_hidden=True,
        )  # fmt: skip
        parts += [linear, neurons]
    network = torch.nn.Sequential(*parts)
    nir.write(path, export_to_nir(network, torch.rand(SIZES[0])))
    for part in parts[1::2]:
        part.reset_mem()
    with torch.no_grad():
        return np.array([network(step[None])[0].numpy() > 0 for step in torch.from_numpy(spikes.astype(np.float32))])


if __name__ == "__main__":
    how, nir_path, given, out = sys.argv[1:]
    np.save(out, {"snntorch": snntorch_of, "norse": norse_of, "write": written}[how](nir_path, np.load(given)))
