"""What was learned of a device's timing as a model file, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np

from spikebridge_detectors.errors import ModelError
from spikebridge_detectors.lif import alike
from spikebridge_detectors.model.file import written
from spikebridge_detectors.model.header import Encoder, Header, Training, outputs_of, same_outputs
from spikebridge_detectors.model.header import Layer as Said
from spikebridge_detectors.raster import pack
from spikebridge_detectors.timing.learning import Learned
from spikebridge_detectors.timing.marks import BINS, COMMON, LINES, MARKS, OTHER_PAIR, PAIRS, Alphabet
from spikebridge_detectors.timing.runner import ENCODED, FIRST, INPUTS
from spikebridge_detectors.timing.surprise import Habits, layer
from spikebridge_detectors.timing.ticks import COUNTERS, Thresholds, neurons

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from spikebridge_detectors.model.file import Model

NAME = "timing"
NEURONS = {"burst": 48, "spell": 49, "spread": 50, "lasting": 51, "silence": 52}
"""The outputs and the numbers by which mappings know them."""

SECOND_NS = 1_000_000_000
_WORDS = 32
_MOST_CODE = 1 << 32
_WIDEST = 254


class About(NamedTuple):
    """What a model says of itself beside what was learned."""

    name: str
    version: int
    about: str
    classes: tuple[str, ...]
    training: Training


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The encoder's: codes of the device's own kinds of packet, which marks it uses, and the line of each pair of marks."""

    common: tuple[int, ...]
    used: tuple[int, ...]
    pairs: tuple[int, ...]

    def alphabet(self) -> Alphabet:
        """Return it as the encoder takes it; what it can't look up is refused."""
        for name, found, most, count in (
            ("common", self.common, _MOST_CODE, range(COMMON + 1)),
            ("used", self.used, MARKS, range(MARKS + 1)),
            ("pairs", self.pairs, PAIRS, range(MARKS * MARKS, MARKS * MARKS + 1)),
        ):
            if len(found) not in count or not all(0 <= one < most for one in found):
                raise ModelError(f"encoder {NAME}: {name}: expected {count[-1]} numbers below {most} at most, found others")
        used = np.zeros(MARKS, np.bool_)
        used[list(self.used)] = True
        return Alphabet(np.array(self.common, np.int64), used, np.array(self.pairs, np.int64).reshape(MARKS, MARKS))


def modelled(learned: Learned, about: About) -> bytes:
    """Return an unsigned model; `sense` alone can run it, since it remembers as long as it runs."""
    first, second = layer(learned.habits), neurons(learned.thresholds)
    alphabet = learned.alphabet
    settings = Settings(
        common=tuple(alphabet.common.tolist()),
        used=tuple(np.flatnonzero(alphabet.used).tolist()),
        pairs=tuple(alphabet.pairs.ravel().tolist()),
    )
    header = Header(
        name=about.name,
        version=about.version,
        about=about.about,
        inputs=INPUTS,
        encoder=Encoder(name=NAME, settings=msgspec.to_builtins(settings)),
        layers=(
            Said.of(first, FIRST, sources=ENCODED, sign="mixed"),
            *(Said.of(one.layer, name, sources=one.sources, step_ns=SECOND_NS) for name, one in second.items()),
        ),
        outputs=outputs_of(NEURONS),
        classes={name: {} for name in about.classes},
        memory_s=0,
        training=about.training,
    )
    return written(header, [first, *(one.layer for one in second.values())], pack(_recorded(learned)[:, None])[0])


def learned_from(model: Model) -> Learned:
    """Return what was learned; a model whose layers aren't just those of timing is refused."""
    header, layers = model.header, model.layers
    if header.encoder.name != NAME:
        raise ModelError(f'{header.name}: expected the encoder {NAME}, found "{header.encoder.name}"')
    same_outputs(header, NEURONS)
    try:
        settings = msgspec.convert(header.encoder.settings, Settings)
    except msgspec.ValidationError as error:
        raise ModelError(f"encoder {NAME}: {error}") from error
    held = {one.name: one for one in header.layers}
    if header.inputs != INPUTS or not {"timer", *COUNTERS} <= held.keys() or layers[0].weights.shape != (2 * BINS, LINES):
        raise ModelError(f"{header.name}: expected the lines and layers of timing, found others")
    weights = -layers[0].weights[:, :PAIRS].astype(np.int64)
    thresholds = Thresholds(**{name: held["timer" if name == "silence" else name].vth for name in Thresholds._fields}).checked()
    habits = Habits(weights[:BINS].T.copy(), weights[BINS:].T.copy(), _WIDEST - (layers[0].vth + 1) // 2)
    found = Learned(settings.alphabet(), habits, thresholds)
    _as_made(model, found)
    return found


def _as_made(model: Model, learned: Learned) -> None:
    """Refuse layers that are others than this would make."""
    made = neurons(learned.thresholds)
    wanted = [(FIRST, ENCODED, layer(learned.habits)), *((name, one.sources, one.layer) for name, one in made.items())]
    for said, held, (name, sources, one) in zip(model.header.layers, model.layers, wanted, strict=False):
        same = said.name == name and said.sources == sources and alike(held, one)
        if not same or said.step_ns != (None if name == FIRST else SECOND_NS):
            raise ModelError(f"layer {said.name}: expected layer {name} of timing as it was learned, found another")
    if len(model.layers) != len(wanted):
        raise ModelError(f"{model.header.name}: expected {len(wanted)} layers, found {len(model.layers)}")


def _recorded(learned: Learned) -> NDArray[np.bool_]:
    """Return [second, line]: familiar packets, then new ones without end, then silence, so that each output has its turn as far as it fits."""
    raster = np.zeros((32 * _WORDS, len(INPUTS)), np.bool_)
    quiet = min(learned.thresholds.silence + 10, 32 * _WORDS // 2)
    familiar = int(learned.habits.gap.sum(axis=1).argmax())
    for second in range(32 * _WORDS - quiet):
        pair = familiar if second < PAIRS else OTHER_PAIR
        gap = int(learned.habits.gap[pair].argmax()) if second < PAIRS else second % BINS
        raster[second, [pair, PAIRS + gap, PAIRS + BINS + gap]] = True
        raster[second, LINES] = second >= PAIRS
    return raster
