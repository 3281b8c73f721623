"""What is to be learned: examples with their labels, the size of the network, and how long and how hard to try."""

from __future__ import annotations

import hashlib
import json
import struct
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from spikebridge_detectors.errors import ModelError
from spikebridge_detectors.raster import WORD_STEPS

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

QUIET = -1
"""The label of what no output must fire for."""

HELD_BACK = -2
"""The label of what isn't learned from."""

_MOST_UNITS = 1024
_MOST_LAYERS = 16
_MOST_EXAMPLES = 1 << 17
_MOST_STEPS = 1 << 28
_MOST_CURRENT = (1 << 15) - 1
_BITS = range(2, 9)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """
    A network of layers behind one another, and how to learn it.

    `keep` is the share of the weights that stay, `passes` how often all examples are shown, `rate` Adam's, `wanted` the share of steps in
    which the output of an example's label shall fire.
    """

    hidden: tuple[int, ...]
    outputs: int
    bits: int = 8
    keep: float = 1.0
    passes: int = 60
    batch: int = 64
    rate: float = 0.01
    wanted: float = 0.2
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what can't be learned, all at once."""
        whole = {
            "outputs": (self.outputs, range(1, _MOST_UNITS + 1)),
            "bits": (self.bits, _BITS),
            "passes": (self.passes, range(1, 100_001)),
            "batch": (self.batch, range(1, 4097)),
            "seed": (self.seed, range(1 << 31)),
            "hidden layers": (len(self.hidden), range(_MOST_LAYERS)),
            **{f"hidden layer {number}": (units, range(1, _MOST_UNITS + 1)) for number, units in enumerate(self.hidden, 1)},
        }
        found = [
            f"{name}: expected {allowed[0]} to {allowed[-1]}, found {value}"
            for name, (value, allowed) in whole.items()
            if value not in allowed
        ]
        shares = {"keep": self.keep, "rate": self.rate, "wanted": self.wanted}
        found += [
            f"{name}: expected above 0 and at most 1, found {value}" for name, value in shares.items() if not 0 < value <= 1
        ]
        if found:
            raise ModelError("\n".join(found))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Examples:
    """Packed spikes as [example, line, word], and which output each is for, or `QUIET`, or `HELD_BACK`."""

    words: NDArray[np.uint32]
    labels: NDArray[np.int16]

    def check(self, plan: Plan) -> None:
        """Refuse examples that don't fit together, or the plan."""
        if self.words.ndim != 3 or self.labels.shape != self.words.shape[:1]:  # noqa: PLR2004 -- example, line, word
            raise ModelError(
                f"expected spikes as example, line, word and a label for each example, found {self.words.shape} and {self.labels.shape}"
            )
        count, lines, words = self.words.shape
        if not (
            1 <= count <= _MOST_EXAMPLES and 1 <= lines <= _MOST_UNITS and 1 <= words * WORD_STEPS * count * lines <= _MOST_STEPS
        ):
            raise ModelError(
                f"expected 1 to {_MOST_EXAMPLES:,} examples of 1 to {_MOST_UNITS:,} lines, and at most {_MOST_STEPS:,} steps of all of them "
                f"together, found {count:,} of {lines:,} lines and {words * WORD_STEPS:,} steps"
            )
        outside = self.labels[(self.labels < HELD_BACK) | (self.labels >= plan.outputs)]
        if outside.size:
            raise ModelError(f"labels: expected {HELD_BACK} to {plan.outputs - 1}, found {outside[0]}")
        if (self.labels == HELD_BACK).all():
            raise ModelError("labels: expected examples to learn from, found none that isn't held back")
        for inputs in (lines, *plan.hidden):
            if inputs * (1 << 9 - plan.bits) > _MOST_CURRENT:
                raise ModelError(
                    f"bits: expected more for {inputs} inputs of a layer, found {plan.bits}: 16 bits carry the current of a neuron"
                )


def question(plan: Plan, examples: Examples, checkpoint: Path | None) -> bytes:
    """Return what the child reads; the same examples and settings have the same digest in it, wherever the checkpoint lies."""
    count, lines, words = examples.words.shape
    said: dict[str, Any] = {**asdict(plan), "examples": count, "inputs": lines, "words": words}
    arrays = examples.words.astype("<u4").tobytes() + examples.labels.astype("<i2").tobytes()
    digest = hashlib.sha256(json.dumps(said, sort_keys=True).encode() + arrays).hexdigest()
    head = json.dumps({**said, "digest": digest, "checkpoint": str(checkpoint.absolute()) if checkpoint else ""}).encode()
    return struct.pack("<I", len(head)) + head + arrays
