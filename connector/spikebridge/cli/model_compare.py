"""`spikebridge model compare`: what each engine that is here makes of a model's spikes."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from spikebridge.cli.model_files import model_at, named
from spikebridge.cli.terminal import counted, print_json, printable

if TYPE_CHECKING:
    import argparse

    import numpy as np
    from numpy.typing import NDArray

    from spikebridge_detectors.backends.loihi import Conformance
    from spikebridge_detectors.model.file import Model
    from spikebridge_detectors.network import Network

_WORDS = 8


class _Trial(NamedTuple):
    """Networks and the spikes that each is shown, and what these are in words."""

    shown: str
    parts: list[tuple[Network, NDArray[np.uint32]]]


def arguments(parser: argparse.ArgumentParser) -> None:
    """Ask whether Lava is wanted, and how long it may take."""
    parser.add_argument(
        "--lava", action="store_true", help="with Lava too, Intel's archived simulator of Loihi 2, if it is installed"
    )
    parser.add_argument(
        "--limit", metavar="SECONDS", type=float, default=120, help="how long a run in Lava may take (default: %(default)s)"
    )


def compare(args: argparse.Namespace) -> int:
    """Run the spikes everywhere; exit 1 if a spike, or a neuron's state at the end, differs anywhere."""
    from spikebridge_detectors.model.file import self_test

    model = model_at(args.file)
    with named(args.file):
        self_test(model)
        trial = _trial(model)
        found = _found(trial, limit_s=args.limit if args.lava else None)
    said = {name: one if isinstance(one, str) else one._asdict() for name, one in found.items()}
    if args.json:
        print_json({"shown": trial.shown, "engines": said})
    else:
        print(printable(f"{args.file}: {trial.shown}, with NumPy and otherwise"))
        for name, one in found.items():
            print(printable(f"{name}: {one if isinstance(one, str) else _said(one)}"))
    return int(any(not isinstance(one, str) and (one.differing or one.states) for one in found.values()))


def _trial(model: Model) -> _Trial:
    """Return the network and its recorded spikes; of one that needs its detector each layer alone, and spikes by luck."""
    import numpy as np

    from spikebridge_detectors.errors import ModelError
    from spikebridge_detectors.model.file import chained
    from spikebridge_detectors.network import Network

    try:
        chained(model, model.recorded)
    except ModelError:
        luck = np.random.default_rng(0)
        words = [luck.integers(0, 1 << 32, (1, layer.inputs, _WORDS), np.uint32) for layer in model.layers]
        parts = [(Network((layer,)), some) for layer, some in zip(model.layers, words, strict=True)]
        return _Trial("each layer alone, for spikes by luck", parts)
    return _Trial("the network, for its recorded spikes", [(Network(model.layers), model.recorded[None])])


def _found(trial: _Trial, *, limit_s: float | None) -> dict[str, Conformance | str]:
    """Return what differs with each engine, or why it wasn't run."""
    from spikebridge_detectors.backends.loihi import Conformance, Lava, conformance
    from spikebridge_detectors.engine import Engine, engine
    from spikebridge_detectors.errors import BackendError

    def all_of(other: Lava | Engine) -> Conformance:
        each = [conformance(network, words, other) for network, words in trial.parts]
        return Conformance(*map(sum, zip(*each, strict=True)))

    compiled = engine("compiled")
    found: dict[str, Conformance | str] = {
        "compiled": all_of(compiled) if compiled.name == "compiled" else f"not run: {compiled.said}",
    }
    if limit_s is not None:
        try:
            found["Lava"] = all_of(Lava.found(limit_s))
        except BackendError as error:
            found["Lava"] = f"not run: {error}"
    return found


def _said(found: Conformance) -> str:
    spikes, neurons = counted(found.spikes, "spike"), counted(found.states, "neuron")
    return f"of {spikes} {found.differing:,} differ, and the states of {neurons}"
