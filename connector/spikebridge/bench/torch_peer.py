"""
The peer snnTorch, run as a program of its own: the same layer as a loop over steps, in float32, from spikes that are unpacked already.

    python torch_peer.py DEVICES STEPS INPUTS UNITS RATE      prints seconds, the best of several passes
"""

import sys
import time

import snntorch
import torch


def main(devices: int, steps: int, inputs: int, units: int, *, rate: float) -> None:
    """Time the layer on one core."""
    torch.set_num_threads(1)
    torch.manual_seed(1)
    weights = torch.randint(-80, 120, (units, inputs)).float()
    spikes = (torch.rand(steps, devices, inputs) < rate).float()
    neurons = snntorch.Synaptic(
        alpha=(4095 - 400) / 4096, beta=(4096 - 200) / 4096, threshold=2000, reset_mechanism="zero", reset_delay=False
    )
    best = float("inf")
    with torch.no_grad():
        for _ in range(4):
            started = time.perf_counter()
            u, v = torch.zeros(devices, units), torch.zeros(devices, units)
            for step in spikes:
                _, u, v = neurons(step @ weights.T, u, v)
            best = min(best, time.perf_counter() - started)
    sys.stdout.write(f"{best}\n")


if __name__ == "__main__":
    *counts, share = sys.argv[1:]
    main(*map(int, counts), rate=float(share))
