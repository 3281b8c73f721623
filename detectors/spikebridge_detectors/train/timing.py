"""One training of timing: what it is known by, its steps, and what its report shows."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, NamedTuple

from spikebridge_detectors.elapsed import DAY_NS
from spikebridge_detectors.evaluate.data import some
from spikebridge_detectors.timing.learning import LEAST_DAYS, MOST_DAYS
from spikebridge_detectors.train import page, pictures, traffic

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spikebridge_detectors.timing.learning import Learned
    from spikebridge_detectors.train.gather import Tell, Traffic
    from spikebridge_detectors.train.steps import Keep
    from spikebridge_detectors.train.traffic import HeldBack, Settings

MOST_TOLD = 20
_FORMAT = 1


class Trained(NamedTuple):
    """What was learned, and what it found on days held back if that was asked for."""

    learned: Learned
    found: HeldBack | None


def key(given: Traffic, settings: Settings, *, measured: bool) -> str:
    """Return what the steps of a training are known by: all that they come from."""
    files = [file.sha256 for file in given.files]
    said = {"format": _FORMAT, "files": files, "devices": list(given.devices), "settings": settings, "measured": measured}
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def trained(given: Traffic, settings: Settings, keep: Keep, tell: Tell, *, measured: bool) -> Trained:
    """Learn the class, and attack days held back if it is to be `measured`."""
    learned = traffic.learn(given.devices, settings, keep, tell)
    return Trained(learned, traffic.held_back(given.devices, settings, keep, tell) if measured else None)


def unfit(given: Traffic) -> list[str]:
    """Return what is wrong with the devices, a line for each with too few days or too many."""
    found = [
        f"device {name}: expected packets of more than {LEAST_DAYS - 1} and less than {MOST_DAYS} days, found {days:.1f}"
        for name, packets in given.devices.items()
        if not LEAST_DAYS - 1 < (days := traffic.lasted(packets)) < MOST_DAYS
    ]
    return found if len(found) <= MOST_TOLD else [*found[:MOST_TOLD], f"and {len(found) - MOST_TOLD:,} devices more"]


def report(given: Traffic, what: Trained, title: str, facts: dict[str, str], seed: int) -> str:
    """Return the page of a training."""
    devices = [(name, f"{len(packets.time_ns):,}", f"{traffic.lasted(packets):.1f}") for name, packets in given.devices.items()]
    thresholds = ", ".join(f"{name} {value:,}" for name, value in what.learned.thresholds._asdict().items())
    facts = {**facts, "thresholds (silence in seconds)": thresholds}
    said = page.Said(title, facts, given.files, ("device", "packets", "days"), devices, given.passed)
    sections = [
        ("Found on days held back", page.held_back(what.found)),
        *_shown(given, what.found, seed),
        ("Learned weights", pictures.weights(what.learned)),
    ]
    return page.written(said, sections)


def _shown(given: Traffic, found: HeldBack | None, seed: int) -> list[tuple[str, Sequence[str]]]:
    """Return a day held back with attacks in it as its neurons saw it, of the device with the most packets on it."""
    if not found or not found.quiet:
        return []
    day = max(one.day for one in found.quiet)
    clean = {
        one.device: some(given.devices[one.device], traffic.day_of(given.devices[one.device], day))
        for one in found.quiet
        if one.day == day
    }
    name = max(clean, key=lambda one: len(clean[one].time_ns))
    shown = pictures.attacked(clean[name], int(given.devices[name].time_ns[0]) + day * DAY_NS, seed)
    scores, alarms = pictures.scores(found.taught[day], shown)
    heading = f"Day {day + 1} of {name}, held back, with attacks of our own"
    return [(heading, [scores, pictures.raster(found.taught[day], shown, alarms)])]
