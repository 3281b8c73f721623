"""What was learned of timing as arrays, to be kept between steps, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from spikebridge_detectors.errors import ModelError
from spikebridge_detectors.timing.calibrate import Clean
from spikebridge_detectors.timing.learning import Learned
from spikebridge_detectors.timing.marks import Alphabet
from spikebridge_detectors.timing.surprise import Habits
from spikebridge_detectors.timing.ticks import Thresholds, Tick

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from spikebridge_detectors.train.steps import Arrays

_NONE = -1


def arrays(learned: Learned) -> Arrays:
    """Return all that was learned."""
    return {
        "common": learned.alphabet.common,
        "used": learned.alphabet.used.astype(np.int64),
        "pairs": learned.alphabet.pairs,
        "gap": learned.habits.gap,
        "own": learned.habits.own,
        "expected": np.array([learned.habits.expected]),
        "thresholds": np.array(learned.thresholds),
    }


def learned(kept: Arrays) -> Learned:
    """Return what `arrays` was given."""
    whole = {name: kept[name].astype(np.int64) for name in ("common", "used", "pairs", "gap", "own", "expected", "thresholds")}
    alphabet = Alphabet(whole["common"], whole["used"].astype(np.bool_), whole["pairs"])
    habits = Habits(whole["gap"], whole["own"], int(whole["expected"][0]))
    return Learned(alphabet, habits, Thresholds(*whole["thresholds"].tolist()).checked())


def day_arrays(days: Sequence[Clean]) -> Arrays:
    """Return a day of each device: its seconds with what surprised in them, and the second after it."""
    found: dict[str, NDArray[np.generic]] = {"until": np.array([_NONE if day.until is None else day.until for day in days])}
    for number, day in enumerate(days):
        found[f"{number}"] = np.array(day.ticks, np.int64).reshape(-1, 2)
    return found


def days(kept: Arrays) -> list[Clean]:
    """Return what `day_arrays` was given."""
    until = kept["until"].tolist()
    if set(kept) != {"until", *map(str, range(len(until)))}:
        raise ModelError(f"expected a day of {len(until)} devices, found {', '.join(kept)}")
    return [
        Clean([Tick(*tick) for tick in kept[f"{number}"].tolist()], None if at == _NONE else at)
        for number, at in enumerate(until)
    ]
