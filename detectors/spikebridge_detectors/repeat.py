"""Parts of a network once more, on whatever runs networks: each layer is given the spikes that reached it, and must answer as it did."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from spikebridge_detectors.backends.loihi import Lava
from spikebridge_detectors.engine import engine
from spikebridge_detectors.errors import BackendError, ModelError
from spikebridge_detectors.lif import State
from spikebridge_detectors.network import Network
from spikebridge_detectors.raster import pack, unpack

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from spikebridge_detectors.lif import Layer

    Run = Callable[[Network, Sequence[State], NDArray[np.uint32]], NDArray[np.uint32]]

MOST_STEPS = 1 << 17
"""So many steps of a layer are run at most: a day and a half of seconds."""

MOST_IN_LAVA = 1 << 18
"""So many steps of all layers together are run in Lava at most, which takes two minutes."""


class Part(NamedTuple):
    """
    One layer: its state, the spikes that reached it [step, input], and its own as they are known [step, unit].

    What layers tell each other is in those spikes. Every synapse delays, so a network whose layers all answer what is known does just that.
    """

    name: str
    layer: Layer
    state: State
    spikes: NDArray[np.bool_]
    fired: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Ran:
    """What one engine made of all parts: how many spikes were expected, how many differ where, or why it didn't run."""

    engine: str
    spikes: int = 0
    differing: dict[str, int] = field(default_factory=dict)
    missing: str = ""

    @property
    def verdict(self) -> str:
        """Return `same`, `differs` or `not run`."""
        return "not run" if self.missing else "differs" if self.differing else "same"


def repeated(parts: Sequence[Part], *, lava: bool = True) -> list[Ran]:
    """Run all parts with NumPy, compiled, and in Lava, each where it is installed."""
    if any(len(part.spikes) > MOST_STEPS for part in parts):
        return [Ran("NumPy", missing=f"more than {MOST_STEPS:,} steps")]
    found = [ran("NumPy", parts, engine("numpy").run)]
    best = engine()
    found.append(
        ran("compiled", parts, best.run) if best.name == "compiled" else Ran("compiled", missing="the extra isn't installed")
    )
    if lava:
        found.append(in_lava(parts))
    return found


def ran(name: str, parts: Sequence[Part], run: Run) -> Ran:
    """Run all parts on one engine."""
    differing = {part.name: count for part in parts if (count := _differing(part, run))}
    return Ran(name, sum(int(part.fired.sum()) for part in parts), differing)


def in_lava(parts: Sequence[Part]) -> Ran:
    """Run all parts in Lava, if it is installed and they aren't more than it does in two minutes."""
    if sum(len(part.spikes) for part in parts) > MOST_IN_LAVA:
        return Ran("Lava", missing=f"more than {MOST_IN_LAVA:,} steps of all layers together")
    try:
        return ran("Lava", parts, Lava.found().run)
    except (BackendError, ModelError) as error:
        return Ran("Lava", missing=str(error))


def _differing(part: Part, run: Run) -> int:
    """Count the spikes of a part that an engine sets otherwise."""
    state = State(part.state.current.copy(), part.state.u.copy(), part.state.v.copy(), part.state.step)
    if not len(part.spikes):
        return 0
    outputs = unpack(run(Network((part.layer,)), [state], pack(part.spikes[:, np.newaxis])))
    return int((outputs[: len(part.fired), 0] != part.fired).sum())
