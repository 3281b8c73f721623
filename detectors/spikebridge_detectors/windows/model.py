"""What was learned of windows of a series as a model file, and back: power, vibration and rf differ in what makes their numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, NamedTuple

import msgspec
import numpy as np
from msgspec import Meta

from spikebridge_detectors.errors import ModelError
from spikebridge_detectors.lif import Layer, alike
from spikebridge_detectors.model.file import written
from spikebridge_detectors.model.header import Encoder, Header, outputs_of, same_outputs
from spikebridge_detectors.model.header import Layer as Said
from spikebridge_detectors.raster import pack
from spikebridge_detectors.windows import sums, surprise
from spikebridge_detectors.windows.bins import BINS, MOST_COLUMNS
from spikebridge_detectors.windows.detector import Learned
from spikebridge_detectors.windows.habits import ALWAYS, Pairs, pairs
from spikebridge_detectors.windows.sums import Thresholds
from spikebridge_detectors.windows.surprise import Habits

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from spikebridge_detectors.model.file import Model
    from spikebridge_detectors.model.header import Training

NUMBERS = {"power": (63, 64), "vibration": (92, 93), "rf": (83, 84)}
"""The numbers by which mappings know the outputs: columns alone, and columns together."""

STEP_NS = 1_000_000
_MOST_UNITS = 1008
_FLUSH = 32

Both = tuple[float, float]


class About(NamedTuple):
    """What a model says of itself beside what was learned."""

    kind: str
    name: str
    version: int
    about: str
    classes: tuple[str, ...]
    training: Training


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    The encoder's: where each line but the first begins, [edge, column], and which columns belong together; what a normal window holds.

    Vibration and rf have mean and deviation of each channel too, and the samples of a window, one `every` so many.
    """

    edges: tuple[Annotated[tuple[float, ...], Meta(min_length=1, max_length=MOST_COLUMNS)], ...]
    groups: Annotated[tuple[int, ...], Meta(min_length=1, max_length=MOST_COLUMNS)]
    mean: Both
    spread: Both
    most: float
    scale_mean: tuple[float, ...] = ()
    scale_deviation: tuple[float, ...] = ()
    length: int = 0
    every: int = 0

    def checked(self) -> Settings:
        """Refuse what can't be looked up."""
        edges = np.array([row for row in self.edges if len(row) == len(self.groups)], np.float64)
        numbers = [*self.mean, *self.spread, self.most, *self.scale_mean, *self.scale_deviation]
        if edges.shape != (BINS - 1, len(self.groups)) or not np.isfinite(edges).all() or (np.diff(edges, axis=0) < 0).any():
            raise ModelError(
                f"encoder: edges: expected {BINS - 1} rising rows of {len(self.groups)} finite numbers, found others"
            )
        if not np.isfinite(numbers).all() or min(*self.spread, *self.scale_deviation) <= 0:
            raise ModelError("encoder: expected finite numbers, and spreads and deviations above 0, found others")
        return self


def modelled(learned: Learned, groups: Sequence[int], about: About, **own: object) -> bytes:
    """Return an unsigned model; `own` are the settings of vibration and rf."""
    first, made = surprise.layer(learned.habits), learned.habits.pairs
    settings = Settings(
        edges=tuple(map(tuple, learned.edges.tolist())),
        groups=tuple(groups),
        mean=learned.thresholds.mean,
        spread=learned.thresholds.spread,
        most=learned.thresholds.most,
        **own,  # type: ignore[arg-type]
    ).checked()
    parts = _parts(first)
    last = sums.layers(learned.thresholds, made)
    header = Header(
        name=about.name,
        version=about.version,
        about=about.about,
        inputs=_inputs(made),
        encoder=Encoder(name=about.kind, settings=msgspec.to_builtins(settings)),
        layers=(
            *(Said.of(one, name, step_ns=STEP_NS, sign="mixed") for name, one in parts.items()),
            *(Said.of(one, name, sources=tuple(parts), step_ns=STEP_NS) for name, one in zip(sums.NEURONS, last, strict=True)),
        ),
        outputs=outputs_of(_numbers(about.kind)),
        classes={name: {} for name in about.classes},
        memory_s=0,
        training=about.training,
    )
    return written(header, [*parts.values(), *last], pack(_recorded(learned))[0])


def learned_from(model: Model) -> tuple[Learned, Settings]:
    """Return what was learned; a model whose layers aren't just those that this would make is refused."""
    header = model.header
    if header.encoder.name not in NUMBERS:
        raise ModelError(f'{header.name}: expected an encoder of {", ".join(NUMBERS)}, found "{header.encoder.name}"')
    same_outputs(header, _numbers(header.encoder.name))
    try:
        settings = msgspec.convert(header.encoder.settings, Settings).checked()
    except msgspec.ValidationError as error:
        raise ModelError(f"encoder {header.encoder.name}: {error}") from error
    made = pairs(settings.groups)
    first, last = model.layers[: -len(sums.NEURONS)], model.layers[-len(sums.NEURONS) :]
    shapes = [one.weights.shape for one in first]
    if (
        header.inputs != _inputs(made)
        or sum(units for units, _ in shapes) != len(made.given) * BINS
        or {lines for _, lines in shapes} != {len(header.inputs)}
    ):
        raise ModelError(f"{header.name}: expected the lines and layers of windows, found others")
    weights = np.concatenate([one.weights for one in first]).reshape(len(made.given), BINS, -1)
    habits = Habits(made, _inhibition(made, weights.astype(np.int64)))
    thresholds = Thresholds(settings.mean, settings.spread, settings.most)
    wanted = [*_parts(surprise.layer(habits)).values(), *sums.layers(thresholds, made)]
    if len(wanted) != len(model.layers) or not all(map(alike, [*first, *last], wanted)):
        raise ModelError(f"{header.name}: expected layers as they were learned, found others")
    return Learned(np.array(settings.edges), habits, thresholds), settings


def _numbers(kind: str) -> dict[str, int]:
    return dict(zip(sums.NEURONS, NUMBERS[kind], strict=True))


def _inputs(made: Pairs) -> tuple[str, ...]:
    return (*(f"line-{column}-{line}" for column in range(made.alone) for line in range(BINS)), "always")


def _parts(first: Layer) -> dict[str, Layer]:
    """Cut layer 1 into layers that the hardware holds."""
    cuts = range(0, first.units, _MOST_UNITS)
    return {
        f"surprise-{number}": Layer(
            weights=first.weights[at : at + _MOST_UNITS],
            exponent=first.exponent,
            du=first.du,
            dv=first.dv,
            vth=first.vth,
            bias=first.bias[at : at + _MOST_UNITS],
            reset=first.reset,
        )
        for number, at in enumerate(cuts)
    }


def _inhibition(made: Pairs, weights: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the inhibition [pair, context's line, line] of layer 1's weights [pair, line, input]."""
    held = np.zeros((len(made.given), BINS, BINS), np.int64)
    for pair, given in enumerate(made.given.tolist()):
        if given == ALWAYS:
            held[pair, 0] = -weights[pair, :, -1]
        else:
            held[pair] = -weights[pair, :, given * BINS : (given + 1) * BINS].T
    return held


def _recorded(learned: Learned) -> NDArray[np.bool_]:
    """Return [step, 1, line]: windows of the commonest lines, of those beyond all, and of lines that seldom go together; then silence."""
    made = learned.habits.pairs
    usual = learned.habits.weights[: made.alone, 0].argmax(axis=1)
    beyond = np.where(usual == 0, BINS - 1, 0)
    seldom = np.where(np.arange(made.alone) % 2, 1, BINS - 2)
    raster = surprise.spikes(learned.habits, np.stack((usual, beyond, seldom)))
    return np.concatenate((raster, np.zeros((_FLUSH, 1, raster.shape[2]), np.bool_)))
