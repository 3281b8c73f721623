"""
What runs where torch and snnTorch are: it learns the weights of layers behind one another by surrogate gradients, on the chip's own grid.

It imports nothing of ours. Forward it computes the whole numbers of the fixed-point neuron, in float64, where they are exact:

    u      = trunc(u * (4095 - du) / 4096) + 64 * weights @ spikes of the step before
    v      = trunc(v * (4096 - dv) / 4096) + u + bias
    spike  = v > 64 * vth, and v = 0 then

Backward a spike has snnTorch's fast sigmoid for a slope, and what rounds or truncates is passed through as if it didn't.
The question stands in one pipe: the length of a header (4 bytes), the header as JSON, little-endian arrays; so does the answer in another.
stderr carries a line of JSON for each pass over the examples. A checkpoint holds arrays alone: nothing is pickled.
"""

import itertools
import json
import os
import resource
import struct
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

if __name__ == "__main__":  # before torch takes any
    resource.setrlimit(resource.RLIMIT_DATA, (int(sys.argv[1]), int(sys.argv[1])))

import snntorch
import torch
from snntorch import surrogate

UNIT = 64
LEAK = 4096
WRAP = 1 << 23
LARGEST_WEIGHT = 256
MOST_CURRENT = (1 << 15) - 1
MOST_VTH = (1 << 17) - 1
MANTISSA = 4095
BIAS_UNIT = 8
FIRST_VTH = 256
SLOPE = 5
QUIET, HELD_BACK = -1, -2
PRUNED_FROM, PRUNED_UNTIL = 0.25, 0.75


class PassedThrough(torch.autograd.Function):
    """Something that makes whole numbers, and whose gradient is taken to be 1."""

    @staticmethod
    def forward(ctx: Any, value: torch.Tensor, whole: Any) -> torch.Tensor:
        """Make them whole."""
        del ctx
        return whole(value)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        """Pass the gradient on."""
        del ctx
        return gradient, None


def whole(value: torch.Tensor, least: int, most: int) -> torch.Tensor:
    """Round to the nearest whole number within a range, of two as near to the higher."""
    return PassedThrough.apply(value, lambda given: torch.floor(given + 0.5).clamp(least, most))


def cut(value: torch.Tensor) -> torch.Tensor:
    """Truncate toward zero."""
    return PassedThrough.apply(value, torch.trunc)


class Neurons(snntorch.Synaptic):
    """snnTorch's neuron with a current, told to count as the chip does: its states are whole numbers, and it resets at once."""

    def __init__(self) -> None:
        """Take snnTorch's surrogate, for a distance from the threshold that is counted in thresholds."""
        super().__init__(alpha=0.5, beta=0.5, spike_grad=self._fired, reset_mechanism="zero", reset_delay=False)
        self.state_function = self._counted
        self.slope = surrogate.fast_sigmoid(slope=SLOPE)
        self.bias = torch.zeros(())

    def held(self, keep_u: torch.Tensor, keep_v: torch.Tensor, threshold: torch.Tensor, bias: torch.Tensor) -> None:
        """Take what the next steps are computed with."""
        self.alpha, self.beta, self.threshold, self.bias = keep_u, keep_v, threshold, bias

    def _fired(self, above: torch.Tensor) -> torch.Tensor:
        return self.slope(above / self.threshold.detach()).double()

    def _counted(self, current: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        u = cut(self.syn * self.alpha) + current * UNIT
        u = u - 2 * WRAP * (u.detach() > WRAP) + 2 * WRAP * (u.detach() <= -WRAP)
        v = cut(self.mem * self.beta) + u + self.bias
        return u, v.clamp(1 - WRAP, WRAP - 1)


class Layer(torch.nn.Module):
    """Synapses and neurons: what is learned is real, what is computed with is on the grid."""

    def __init__(self, inputs: int, units: int, bits: int, luck: np.random.Generator) -> None:
        """Begin with weights that let about every neuron fire now and then."""
        super().__init__()
        self.step = 1 << 9 - bits
        spread = luck.normal(0.02, 0.6 / np.sqrt(inputs), (units, inputs)).clip(-0.9, 0.9)
        self.weights = torch.nn.Parameter(torch.tensor(spread))
        self.bias = torch.nn.Parameter(torch.zeros(units, dtype=torch.float64))
        self.fades = torch.nn.Parameter(torch.zeros(2, dtype=torch.float64))
        self.vth = torch.nn.Parameter(torch.zeros((), dtype=torch.float64))
        self.neurons = Neurons()

    def on_grid(self, keep: float) -> dict[str, torch.Tensor]:
        """Return what hardware would hold: of the weights only the largest share by magnitude."""
        kept = self.weights
        dropped = kept.numel() - int(kept.numel() * keep)
        if dropped:
            order = torch.argsort(kept.detach().abs().flatten(), stable=True)
            mask = torch.ones(kept.numel(), dtype=torch.float64)
            mask[order[:dropped]] = 0
            kept = kept * mask.view_as(kept)
        steps = LARGEST_WEIGHT // self.step
        fades = whole(torch.sigmoid(self.fades) * (LEAK - 1), 0, LEAK - 1)
        return {
            "weights": whole(kept * steps, -steps, steps - 1) * self.step,
            "bias": whole(self.bias * LEAK, -MANTISSA, MANTISSA) * BIAS_UNIT,
            "du": fades[0],
            "dv": fades[1],
            "vth": whole(FIRST_VTH * torch.exp(self.vth), 1, MOST_VTH),
        }

    def forward(self, spikes: torch.Tensor, keep: float) -> torch.Tensor:
        """Run from zero over [step, example, input] spikes, a step late, and return the neurons' own."""
        held = self.on_grid(keep)
        came = spikes @ held["weights"].T
        came = torch.cat((torch.zeros_like(came[:1]), came[:-1]))
        self.neurons.held((LEAK - 1 - held["du"]) / LEAK, (LEAK - held["dv"]) / LEAK, held["vth"] * UNIT, held["bias"])
        u, v, fired = torch.zeros_like(came[0]), torch.zeros_like(came[0]), []
        for current in came:
            spike, u, v = self.neurons(current, u, v)
            fired.append(spike)
        return torch.stack(fired)

    def bounded(self) -> None:
        """Scale down what would sum up to more than 16 bits carry in a unit."""
        room = (MOST_CURRENT - self.weights.shape[1] * self.step / 2) / LARGEST_WEIGHT
        with torch.no_grad():
            self.weights.clamp_(-1, 1)
            self.bias.clamp_(-1, 1)
            for signed in (self.weights.clamp(min=0), -self.weights.clamp(max=0)):
                self.weights *= (room / signed.sum(1, keepdim=True).clamp(min=1e-9)).clamp(max=1)


class Learning:
    """Layers, what they learn from, and how far they are."""

    def __init__(self, said: dict[str, Any], spikes: torch.Tensor, labels: torch.Tensor) -> None:
        """Begin from the seed."""
        luck = np.random.default_rng(said["seed"])
        sizes = [said["inputs"], *said["hidden"], said["outputs"]]
        self.said, self.spikes, self.labels, self.passes = said, spikes, labels, 0
        self.layers = [Layer(before, units, said["bits"], luck) for before, units in itertools.pairwise(sizes)]
        self.parameters = [one for layer in self.layers for one in layer.parameters()]
        self.steps = torch.optim.Adam(self.parameters, lr=said["rate"])
        for one in self.parameters:
            self.steps.state[one] = {
                "step": torch.zeros(()),
                "exp_avg": torch.zeros_like(one),
                "exp_avg_sq": torch.zeros_like(one),
            }

    def run(self, spikes: torch.Tensor, keep: float) -> torch.Tensor:
        """Return the last layer's spikes."""
        for layer in self.layers:
            spikes = layer(spikes, keep)
        return spikes

    def share(self) -> float:
        """Return how many of the weights are kept in this pass: all at first, then fewer and fewer."""
        done: float = self.passes / self.said["passes"]
        keep: float = self.said["keep"]
        part = min(max((done - PRUNED_FROM) / (PRUNED_UNTIL - PRUNED_FROM), 0), 1)
        return 1 - (1 - keep) * part

    def once(self) -> tuple[float, float]:
        """Go through all examples once, in an order that seed and pass alone decide; return the loss and the share told rightly."""
        shown = np.flatnonzero(self.labels.numpy() != HELD_BACK)
        order = np.random.default_rng([self.said["seed"], self.passes]).permutation(shown)
        keep, lost, right = self.share(), 0.0, 0
        wanted_spikes = self.said["wanted"] * len(self.spikes)
        for first in range(0, len(order), self.said["batch"]):
            some = torch.from_numpy(order[first : first + self.said["batch"]])
            labels = self.labels[some]
            counts = self.run(self.spikes[:, some], keep).sum(0)
            wanted = wanted_spikes * (labels[:, None] == torch.arange(self.said["outputs"])).double()
            loss = ((counts - wanted) / wanted_spikes).square().sum(1).mean()
            self.steps.zero_grad()
            loss.backward()
            self.steps.step()
            for layer in self.layers:
                layer.bounded()
            lost += float(loss.detach()) * len(some)
            right += int((told(counts.detach(), wanted_spikes / 2) == labels).sum())
        self.passes += 1
        return lost / len(order), right / len(order)

    def save(self, path: Path) -> None:
        """Write where we are, whole or not at all."""
        held = {"question": np.array(self.said["digest"]), "passes": np.array(self.passes)}
        for number, one in enumerate(self.parameters):
            state = self.steps.state[one]
            held |= {f"{number} {name}": state[name].numpy() for name in ("step", "exp_avg", "exp_avg_sq")}
            held[f"{number} value"] = one.detach().numpy()
        beside = path.with_name(f".{path.name}.{os.getpid()}")
        with beside.open("wb") as file:
            np.savez(file, allow_pickle=False, **held)
        beside.replace(path)

    def resume(self, path: Path) -> None:
        """Go on from where somebody was who had the same question."""
        with np.load(path, allow_pickle=False) as held:
            if str(held["question"]) != self.said["digest"]:
                raise SystemExit(f"{path}: expected a checkpoint of the same examples and settings, found another's")
            for number, one in enumerate(self.parameters):
                state = self.steps.state[one]
                for name, target in (("value", one.data), *((name, state[name]) for name in ("step", "exp_avg", "exp_avg_sq"))):
                    found = held[f"{number} {name}"]
                    if found.shape != tuple(target.shape) or not np.isfinite(found).all():
                        raise SystemExit(f"{path}: {number} {name}: expected finite numbers of shape {tuple(target.shape)}")
                    target.copy_(torch.from_numpy(found))
            self.passes = int(held["passes"])


def told(counts: torch.Tensor, least: float) -> torch.Tensor:
    """Return which output has most spikes, and that it is quiet where none has enough."""
    return torch.where(counts.amax(1) >= least, counts.argmax(1), QUIET)


def learn(learning: Learning, checkpoint: Path | None) -> None:
    """Pass over the examples until it is done, telling of each pass; end with whoever started us."""
    parent = os.getppid()
    if checkpoint and checkpoint.exists():
        learning.resume(checkpoint)
    while learning.passes < learning.said["passes"]:
        lost, right = learning.once()
        if checkpoint:
            learning.save(checkpoint)
        sys.stderr.write(json.dumps({"pass": learning.passes, "loss": round(lost, 6), "right": round(right, 4)}) + "\n")
        sys.stderr.flush()
        if os.getppid() != parent:
            raise SystemExit("whoever asked is gone")


def answered(learning: Learning, target: BinaryIO) -> None:
    """Write the layers as hardware holds them, and the spikes that they answer all examples with."""
    head = json.dumps({"torch": torch.__version__, "snntorch": version("snntorch"), "numpy": np.__version__}).encode()
    target.write(struct.pack("<I", len(head)) + head)
    keep, batch = learning.said["keep"], learning.said["batch"]
    with torch.no_grad():
        for layer in learning.layers:
            held = {name: value.numpy() for name, value in layer.on_grid(keep).items()}
            target.write(np.array([held[name] for name in ("du", "dv", "vth")]).astype("<i4").tobytes())
            target.write(held["bias"].astype("<i4").tobytes() + held["weights"].astype("<i2").tobytes())
        for first in range(0, len(learning.labels), batch):
            fired = learning.run(learning.spikes[:, first : first + batch], keep).numpy() > 0
            target.write(np.packbits(fired.transpose(1, 2, 0), axis=2, bitorder="little").tobytes())
    target.flush()


def main(source: BinaryIO, target: BinaryIO) -> None:
    """Answer the one question that stands in the pipe."""
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(mode=True)
    said = json.loads(source.read(struct.unpack("<I", source.read(4))[0]))
    shape = said["examples"], said["inputs"], said["words"]
    words = np.frombuffer(source.read(4 * int(np.prod(shape))), "<u4").reshape(shape)
    labels = np.frombuffer(source.read(2 * said["examples"]), "<i2").astype(np.int64)
    octets = np.ascontiguousarray(words).view(np.uint8)
    spikes = np.unpackbits(octets, axis=2, bitorder="little").transpose(2, 0, 1).astype(np.float64)
    learning = Learning(said, torch.from_numpy(spikes), torch.from_numpy(labels))
    learn(learning, Path(said["checkpoint"]) if said["checkpoint"] else None)
    answered(learning, target)


if __name__ == "__main__":
    # whatever a library prints goes to stderr: stdout carries the answer alone
    with os.fdopen(os.dup(1), "wb") as answer_pipe:
        os.dup2(2, 1)
        main(sys.stdin.buffer, answer_pipe)
