"""Vectors that Lava made, in a folder as `tests/golden/lava/README.md` describes it, and what must be equal to them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from spikebridge_detectors.lif import Layer, Reset, truncated
from spikebridge_detectors.network import Network
from spikebridge_detectors.raster import pack, unpack
from spikebridge_detectors.stdp import Learner, Rule, Scale, Trace

if TYPE_CHECKING:
    from pathlib import Path

    from spikebridge_detectors.engine import Engine

DEVICES = 3


class Vectors:
    """Networks and learning layers, each with its input, its output and the state that it ended in."""

    def __init__(self, folder: Path) -> None:
        """Read a folder."""
        self.networks: list[dict[str, Any]] = json.loads((folder / "static.json").read_text(encoding="utf-8"))
        self.learnt: list[dict[str, Any]] = json.loads((folder / "stdp.json").read_text(encoding="utf-8"))
        self.arrays = np.load(folder / "static.npz")
        self.learnt_arrays = np.load(folder / "stdp.npz")

    def layer(self, number: int, at: int) -> Layer:
        """Return a layer of a network, from what Lava was given."""
        said = self.networks[number]["layers"][at]
        mantissa = self.arrays[f"{number:03}/layer{at}_bias_mant"].astype(np.int64)
        shift, sign = said["bias_exp"], said["sign_mode"]
        return Layer(
            weights=truncated(
                self.arrays[f"{number:03}/layer{at}_weights"], said["num_weight_bits"], sign.lower() if sign else None
            ),
            exponent=said["weight_exp"],
            du=said["du"],
            dv=said["dv"],
            vth=said["vth"],
            bias=(mantissa << shift if shift >= 0 else mantissa >> -shift).astype(np.int32),
            reset=Reset(said["reset_interval"], said["reset_offset"]) if said["reset_interval"] else None,
        )

    def check_network(self, number: int, engine: Engine) -> None:
        """Compare every spike and the last state, for several devices at once, and with the time cut into pieces."""
        network = Network((self.layer(number, 0), self.layer(number, 1)))
        states = network.zero(DEVICES)
        for state, said in zip(states, self.networks[number]["layers"], strict=True):
            state.u[:], state.v[:] = said["u0"], said["v0"]
        words = np.repeat(self.arrays[f"{number:03}/input"][None], DEVICES, axis=0)
        cut = number % 47 + 1
        outputs = np.concatenate([engine.run(network, states, part) for part in (words[:, :, :cut], words[:, :, cut:])], axis=2)

        wanted = self.arrays[f"{number:03}/layer1_output"]
        assert [int((one != wanted).sum()) for one in outputs] == [0] * DEVICES
        for at, state in enumerate(states):
            assert (state.u == self.arrays[f"{number:03}/layer{at}_final_u"]).all()
            assert (state.v == self.arrays[f"{number:03}/layer{at}_final_v"]).all()
            assert not np.signbit(state.u[state.u == 0]).any()

    def check_learning(self, number: int) -> None:
        """Compare every spike on the way, and the weights and traces at its end."""
        said, sign = self.learnt[number], self.learnt[number]["sign_mode"].lower()
        units = said["units"][1]
        weights = truncated(self.learnt_arrays[f"{number:03}/weights"], sign=sign)
        rule = Rule(
            plus=Scale.of(said["learning_rate"], said["A_plus"]),
            minus=Scale.of(said["learning_rate"], said["A_minus"]),
            before=Trace(said["x1_impulse"], said["tau_plus"]),
            after=Trace(said["y1_impulse"], said["tau_minus"]),
            epoch=said["t_epoch"],
            seed=said["rng_seed"],
        )
        layer = Layer(weights=weights, du=said["du"], dv=said["dv"], vth=said["vth"], bias=np.zeros(units, np.int32))
        learner = Learner(layer, rule, sign)
        fired = learner.advance(unpack(self.learnt_arrays[f"{number:03}/input"][None])[:, 0])

        assert (pack(fired[:, None])[0] == self.learnt_arrays[f"{number:03}/output"]).all()
        assert (learner.weights == self.learnt_arrays[f"{number:03}/final_weights"]).all()
        assert (learner.x1.values == self.learnt_arrays[f"{number:03}/final_x1"]).all()
        assert (learner.y1.values == self.learnt_arrays[f"{number:03}/final_y1"]).all()
