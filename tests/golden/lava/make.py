"""
Make more golden vectors, with Lava: for a Python 3.10 that has what `requirements.txt` here names, and nothing else.

    lava/bin/python tests/golden/lava/make.py DIRECTORY --first 1000 --networks 8 --learning 4

Each network is drawn from its seed, so the same seeds give the same files.
"""

import argparse
import json
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[3] / "detectors/spikebridge_detectors/backends/lava"))
from child import Packed, chain, run, unpacked  # type: ignore[import-not-found] # found by path
from lava.proc.dense.process import LearningDense
from lava.proc.io.source import RingBuffer
from lava.proc.learning_rules.stdp_learning_rule import STDPLoihi
from lava.proc.lif.process import LIF
from lava.utils.weightutils import SignMode

NETWORK_STEPS, LEARNING_STEPS = 1536, 1024


def drawn(luck: np.random.Generator, lines: int, steps: int) -> np.ndarray:
    """Draw [line, word] spikes, at a rate of each line's own."""
    spikes = luck.random((lines, steps)) < luck.uniform(0.01, 0.3, (lines, 1))
    return np.packbits(spikes, axis=1, bitorder="little").view("<u4")


def network(seed: int) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Run one network of two layers: what it was made with, and its arrays."""
    luck = np.random.default_rng(seed)
    units = [int(count) for count in luck.integers(4, 80, 3)]
    arrays = {"input": drawn(luck, units[0], NETWORK_STEPS)}
    said: list[dict[str, Any]] = []
    layers = []
    for at, (before, count) in enumerate(pairwise(units)):
        one = _layer(luck)
        low, high = {"EXCITATORY": (0, 300), "INHIBITORY": (-300, 0)}.get(one["sign_mode"] or "", (-300, 300))
        arrays[f"layer{at}_weights"] = luck.integers(low, high + 1, (count, before)).astype(np.int16)
        arrays[f"layer{at}_bias_mant"] = luck.integers(-200, 400, count).astype(np.int16)
        layers.append(_built(one, arrays[f"layer{at}_weights"], arrays[f"layer{at}_bias_mant"]))
        said.append(one)
    for at, (words, _, u, v) in enumerate(chain(arrays["input"], layers)):
        arrays[f"layer{at}_output"] = words.astype("<u4")
        arrays[f"layer{at}_final_u"], arrays[f"layer{at}_final_v"] = u.astype(np.int32), v.astype(np.int32)
        said[at]["spikes"] = int(unpacked(words.astype("<u4")).sum())
    return {"seed": seed, "steps": NETWORK_STEPS, "units": units, "layers": said}, arrays


def _layer(luck: np.random.Generator) -> dict[str, Any]:
    begun = bool(luck.random() < 0.5)
    resets = bool(luck.random() < 0.3)
    return {
        "num_weight_bits": int(luck.integers(2, 9)),
        "weight_exp": int(luck.integers(-4, 5)),
        "du": int(luck.choice([0, 1, 5, 100, 400, 2048, 4094, 4095])),
        "dv": int(luck.choice([0, 1, 7, 200, 1024, 4095, 4096])),
        "vth": int(luck.choice([1, 100, 1000, 20_000, 131_071])),
        "bias_exp": int(luck.integers(-3, 8)),
        "u0": int(luck.integers(-(1 << 23) + 1, 1 << 23)) if begun else 0,
        "v0": int(luck.integers(-(1 << 23) + 1, 1 << 23)) if begun else 0,
        "reset_interval": int(luck.integers(1, 64)) if resets else None,
        "reset_offset": int(luck.integers(0, 64)) if resets else None,
        "sign_mode": [None, None, "EXCITATORY", "INHIBITORY", "MIXED"][int(luck.integers(0, 5))],
    }


def _built(said: dict[str, Any], weights: np.ndarray, mantissas: np.ndarray) -> tuple[dict[str, Any], dict[str, Any]]:
    synapses = {
        "weights": weights,
        "weight_exp": said["weight_exp"],
        "num_weight_bits": said["num_weight_bits"],
        "sign_mode": SignMode[said["sign_mode"]] if said["sign_mode"] else None,
    }
    neurons = {name: said[name] for name in ("du", "dv", "vth", "bias_exp")}
    neurons |= {"bias_mant": mantissas, "u": said["u0"], "v": said["v0"]}
    if said["reset_interval"]:
        neurons |= {name: said[name] for name in ("reset_interval", "reset_offset")}
    return synapses, neurons


def learning(seed: int) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Run one layer that learns by STDP: what it was made with, and its arrays."""
    luck = np.random.default_rng(seed)
    units = [int(luck.integers(5, 40)), int(luck.integers(4, 34))]
    sign = str(luck.choice(["EXCITATORY", "MIXED"]))
    rule = {
        "learning_rate": 1.0,
        "A_plus": float(luck.choice([0.25, 0.5, 1.0, 2.0])),
        "A_minus": -float(luck.choice([0.25, 0.5, 1.0])),
        "tau_plus": float(luck.choice([4.0, 10.0, 20.0])),
        "tau_minus": float(luck.choice([4.0, 10.0, 20.0])),
        "t_epoch": int(luck.choice([1, 2, 4, 8])),
        "x1_impulse": int(luck.choice([16, 32])),
        "y1_impulse": int(luck.choice([16, 24])),
        "rng_seed": seed + 7,
    }
    neurons = {"du": 1000, "dv": 300, "vth": 700}
    words = drawn(luck, units[0], LEARNING_STEPS)
    weights = luck.integers(0 if sign == "EXCITATORY" else -100, 150, units[::-1]).astype(np.int16)
    source = RingBuffer(data=unpacked(words))
    dense = LearningDense(weights=weights, learning_rule=STDPLoihi(**rule), sign_mode=SignMode[sign])
    lif = LIF(shape=(units[1],), **neurons)
    sink = Packed(units=units[1], steps=LEARNING_STEPS)
    source.s_out.connect(dense.s_in)
    dense.a_out.connect(lif.a_in)
    lif.s_out.connect(dense.s_in_bap)
    lif.s_out.connect(sink.s_in)
    run(source, LEARNING_STEPS)
    held = {"output": sink.words, "final_weights": dense.weights, "final_x1": dense.x1, "final_y1": dense.y1}
    whole = {name: np.asarray(var.get()).astype(np.int64) for name, var in held.items()}
    arrays = {name: array.astype("<u4" if name == "output" else np.int16) for name, array in whole.items()}
    source.stop()
    changes = np.abs(arrays["final_weights"].astype(int) - weights)
    said = {"seed": seed, "steps": LEARNING_STEPS, "units": units, "sign_mode": sign, **neurons, **rule}
    said |= {"spikes": int(unpacked(arrays["output"]).sum()), "max_change": int(changes.max())}
    return said, {"input": words, "weights": weights, **arrays}


def main() -> None:
    """Write `static` and `stdp`, each as JSON beside its arrays."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--first", type=int, default=0, help="the first seed (default: 0)")
    parser.add_argument("--networks", type=int, default=64)
    parser.add_argument("--learning", type=int, default=24)
    asked = parser.parse_args()
    asked.directory.mkdir(parents=True, exist_ok=True)
    for name, made, count in (("static", network, asked.networks), ("stdp", learning, asked.learning)):
        results = [made(asked.first + number) for number in range(count)]
        text = json.dumps([said for said, _ in results], indent=1) + "\n"
        (asked.directory / f"{name}.json").write_text(text, encoding="utf-8")
        stored: dict[str, Any] = {
            f"{number:03}/{key}": array for number, (_, arrays) in enumerate(results) for key, array in arrays.items()
        }
        np.savez_compressed(asked.directory / f"{name}.npz", **stored)


if __name__ == "__main__":
    main()
