"""Learning a class of devices from their packets, and what it finds on days that it didn't learn, with attacks of our own in them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from spikebridge_detectors.elapsed import DAY_NS, SECOND_NS, gaps
from spikebridge_detectors.evaluate.data import Truth, some
from spikebridge_detectors.evaluate.inject import KINDS, inject
from spikebridge_detectors.evaluate.protocol import incidents, judged
from spikebridge_detectors.timing import learning
from spikebridge_detectors.timing.calibrate import Budget
from spikebridge_detectors.timing.detector import Timing
from spikebridge_detectors.train import learned as kept

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from spikebridge_detectors.capture.columns import Packets
    from spikebridge_detectors.timing.learning import Learned
    from spikebridge_detectors.train.gather import Tell
    from spikebridge_detectors.train.steps import Arrays, Keep

PLACES = 2
"""So many attacks of each kind are put into each day that is held back."""

MOST_HELD_BACK = 7
_LATE_NS = 3600 * SECOND_NS
_NONE = -1


class Settings(NamedTuple):
    """How many alarms a device may raise a day, and the seed of where attacks are put."""

    per_day: float = 1.0
    seed: int = 0


class Trial(NamedTuple):
    """An attack on a device, and after how many seconds what was learned of its class found it, and what was learned of it alone."""

    device: str
    kind: str
    day: int
    by_class: float | None
    alone: float | None


class Quiet(NamedTuple):
    """A device's day without an attack: alarms of what was learned of its class, and of it alone."""

    device: str
    day: int
    by_class: int
    alone: int


class HeldBack(NamedTuple):
    """What was found on days that nothing was learned from; `taught` is what the others taught of the class, by day."""

    trials: list[Trial]
    quiet: list[Quiet]
    taught: dict[int, Learned]


def learn(devices: dict[str, Packets], settings: Settings, keep: Keep, tell: Tell) -> Learned:
    """Return what all days of all devices teach."""
    days = learning.cut(list(devices.values()))
    every = learning.parts(days)
    clean = []
    for part in range(every):
        tell("learning", part, every + 1)
        clean.append(kept.days(keep(f"part {part}", lambda part=part: kept.day_arrays(learning.judged(days, part)))))  # type: ignore[misc]
    tell("learning", every, every + 1)
    made = keep("learned", lambda: kept.arrays(learning.learned(days, clean, Budget(per_day=settings.per_day))))
    tell("learning", every + 1, every + 1)
    return kept.learned(made)


def held_back(devices: dict[str, Packets], settings: Settings, keep: Keep, tell: Tell) -> HeldBack:
    """Learn from all days but one, attack that one, and so on; with too few days nothing is found out."""
    names, found = list(devices), HeldBack([], [], {})
    days = _days(devices)
    for number, day in enumerate(days):
        tell("attacking days held back", number, len(days))
        made = keep(f"day {day}", lambda day=day: _attacked(devices, day, settings))  # type: ignore[misc]
        for device, kind, *seconds in made["trials"].tolist():
            by_class, alone = (None if one < 0 else one for one in seconds)
            found.trials.append(Trial(names[int(device)], list(KINDS)[int(kind)], day, by_class, alone))
        found.quiet.extend(Quiet(names[device], day, *alarms) for device, *alarms in made["quiet"].tolist())
        found.taught[day] = kept.learned(made)
    tell("attacking days held back", len(days), len(days))
    return found


def day_of(packets: Packets, day: int) -> NDArray[np.bool_]:
    """Say which packets are of a day, counted from the device's first packet."""
    since: NDArray[np.bool_] = (packets.time_ns - packets.time_ns[0]) // DAY_NS == day
    return since


def without(packets: Packets, day: int) -> Packets:
    """Return packets without a day, the later ones a day earlier."""
    inside = day_of(packets, day)
    left, first = some(packets, ~inside), int(packets.time_ns[0])
    return left._replace(time_ns=left.time_ns - np.where((left.time_ns - first) // DAY_NS > day, DAY_NS, 0))


def _days(devices: dict[str, Packets]) -> list[int]:
    """Return the days to hold back, seven at most: whole ones, without which the others still are enough to learn from."""
    fit = [day for day in range(learning.MOST_DAYS) if _fitting(devices, day)]
    return [fit[at] for at in np.linspace(0, len(fit) - 1, min(len(fit), MOST_HELD_BACK)).astype(int).tolist()]


def lasted(packets: Packets) -> float:
    """Return the days of a device as learning counts them: no gap is longer than one."""
    return float(np.minimum(gaps(packets.time_ns, None)[1:], DAY_NS).sum(dtype=np.float64)) / DAY_NS


def _fitting(devices: dict[str, Packets], day: int) -> list[str]:
    """Return the devices that have this day whole, and enough others."""
    found = []
    for name, packets in devices.items():
        length = int(packets.time_ns.max()) - int(packets.time_ns[0])
        if length >= (day + 1) * DAY_NS - _LATE_NS and day_of(packets, day).any() and _enough(without(packets, day)):
            found.append(name)
    return found


def _enough(packets: Packets) -> bool:
    return lasted(packets) > learning.LEAST_DAYS - 1


def _attacked(devices: dict[str, Packets], day: int, settings: Settings) -> Arrays:
    """Learn without a day, and put attacks into it."""
    budget = Budget(per_day=settings.per_day)
    fit, left = _fitting(devices, day), {name: without(packets, day) for name, packets in devices.items()}
    enough = [packets for packets in left.values() if _enough(packets)]
    by_class = _class(enough, budget)
    trials: list[tuple[float, ...]] = []
    quiet: list[tuple[int, ...]] = []
    for number, name in enumerate(devices):
        if name not in fit:
            continue
        alone = by_class if len(devices) == 1 else learning.learn(left[name], budget)
        both = (by_class, alone)
        clean = some(devices[name], day_of(devices[name], day))
        begins = int(devices[name].time_ns[0]) + day * DAY_NS
        quiet.append((number, *(len(incidents(Timing().scan(clean, one), begins)) for one in both)))
        luck = np.random.default_rng([settings.seed, day, number])
        for kind, attacked, truth in attacks(clean, begins, luck):
            trials.append((number, kind, *(_seconds(attacked, one, truth) for one in both)))
    return {
        "trials": np.array(trials, np.float64).reshape(-1, 4),
        "quiet": np.array(quiet, np.int64).reshape(-1, 3),
        **kept.arrays(by_class),
    }


def _class(devices: Sequence[Packets], budget: Budget) -> Learned:
    days = learning.cut(devices)
    return learning.learned(days, [learning.judged(days, part) for part in range(learning.parts(days))], budget)


def attacks(clean: Packets, begins: int, luck: np.random.Generator) -> list[tuple[int, Packets, Truth]]:
    """Return a day with an attack, at places an hour from its start and ten minutes from its end at least, one a time."""
    found = []
    for number, (kind, lasts) in enumerate(KINDS.items()):
        length = lasts * SECOND_NS
        for start in luck.integers(begins + _LATE_NS, begins + DAY_NS - length - _LATE_NS // 6, PLACES).tolist():
            attacked = inject(clean, kind, start, luck)
            if attacked is not None:
                found.append((number, attacked, Truth("", kind, start / SECOND_NS, (start + length) / SECOND_NS, scored=True)))
    return found


def _seconds(attacked: Packets, learned: Learned, truth: Truth) -> float:
    found = judged(Timing().scan(attacked, learned), truth).seconds
    return _NONE if found is None else found
