"""
The child's neuron alone, run by path in torch's environment: layers that are given, and the spikes that they answer.

    python neuron.py CHILD GIVEN OUT     GIVEN and OUT are .npz
"""

import importlib.util
import sys

import numpy as np
import torch

child_path, given, out = sys.argv[1:]
spec = importlib.util.spec_from_file_location("child", child_path)
assert spec
assert spec.loader
child = importlib.util.module_from_spec(spec)
spec.loader.exec_module(child)

answers = {}
with np.load(given, allow_pickle=False) as held, torch.no_grad():
    for number in range(int(held["count"])):
        said = {name: torch.from_numpy(held[f"{number} {name}"]).double() for name in ("weights", "bias", "du", "dv", "vth")}
        units, inputs = said["weights"].shape
        layer = child.Layer(inputs, units, 8, np.random.default_rng(0))
        layer.on_grid = lambda _keep, said=said: said
        answers[f"{number}"] = layer(torch.from_numpy(held[f"{number} spikes"]).double(), 1.0).numpy() > 0
np.savez(out, **answers)
