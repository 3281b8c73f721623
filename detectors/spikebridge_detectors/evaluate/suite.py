"""What `spikebridge evaluate` measures: everything that ships beside what others do, and what settings are chosen by."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from spikebridge_detectors.elapsed import DAY_NS, SECOND_NS
from spikebridge_detectors.errors import CaptureError, ModelError
from spikebridge_detectors.evaluate import adversarial, baselines, data, generated, held_back, measure, report
from spikebridge_detectors.evaluate.data import between
from spikebridge_detectors.evaluate.measure import LEARNED_NS, Row
from spikebridge_detectors.evaluate.protocol import LEARNED_DAYS
from spikebridge_detectors.rules import Rules
from spikebridge_detectors.timing.detector import Timing

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from spikebridge_detectors.evaluate.data import Capture

    Tell = Callable[[str], None]
    """Hears what is done next."""

QUIET, LOUD = "iot_week_hard", "iot_week"
_REPORTED_NS = 2 * 3600 * SECOND_NS


class _Week(NamedTuple):
    """Days without attacks of each device that can be learned, and why others can't."""

    capture: Capture
    unfit: dict[str, str]


def rows() -> list[Row]:
    """Return what is measured side by side: the first is what ships, and one alone looks at who the peer is."""
    counting = Rules(("rate", "silence", "ewma"))
    return [
        Row("timing and rules", (Timing(), counting)),
        Row("timing", (Timing(),)),
        Row("rules", (counting,)),
        Row("rules with the whole budget", (Rules(counting.names, per_day=1.0),)),
        Row("timing, direction and time only", (Timing(),), measure.only_direction),
        Row("timing and rules, new peers too", (Timing(), Rules())),
    ]


def measured(folder: Path, tell: Tell) -> dict[str, Any]:
    """Measure all rows on the captures of a folder."""
    tell("reading the captures")
    missing = data.missing(folder, (QUIET, LOUD))
    absent = [f"{folder}: expected {file}, found none" for files in missing.values() for file in files]
    for file in absent:
        tell(f"not measured: {file}")
    week, unfit = read = _clean(folder, tell)
    quiet, loud = (data.NOTHING if name in missing else _composite(folder, name, read) for name in (QUIET, LOUD))
    made, others = rows(), baselines.rows()
    found: list[dict[str, Any]] = []
    for number, row in enumerate((*made, *others), 1):
        tell(f"row {number} of {len(made) + len(others)}: {row.name}")
        row.learn(week.devices)
        found.append(_row(row, (week, quiet, loud), brief=False))
    tell("timing, learned from generated devices")
    for row in generated.rows(generated.devices()):
        tell(row.name)
        row.learn(week.devices)
        found.append(_row(row, (week, quiet, loud), brief=True))
    for row in others:
        tell(f"{row.name}, its best threshold")
        found.append(_row(baselines.oracle(row, week), (week, quiet, loud), brief=True))
    strain = _strain(made[1], week, quiet, tell)
    return {"rows": found, "strain": strain, "not_measured": [*absent, *unfit.values()]}


def _composite(folder: Path, name: str, week: _Week) -> Capture:
    """Read a composite without the devices that can't be learned."""
    found = data.composite(folder, name)
    if unknown := sorted(found.devices.keys() - week.capture.devices.keys() - week.unfit.keys()):
        raise CaptureError(f"{folder}: composite/{name}: expected net/ to have each device, found none of {unknown[0]}")
    devices = {device: packets for device, packets in found.devices.items() if device not in week.unfit}
    return found._replace(devices=devices, attacks=[attack for attack in found.attacks if attack.device in devices])


def _row(row: Row, captures: Sequence[Capture], *, brief: bool) -> dict[str, Any]:
    week, quiet, loud = captures
    return {
        "name": row.name,
        "brief": brief,
        "quiet": report.trials(measure.attacks(row, quiet)),
        "loud": report.trials(measure.attacks(row, loud)),
        "clean": report.clean(measure.clean(row, week)),
        "replicate": report.replicate(measure.replicate(row, week)),
    }


def _strain(row: Row, week: Capture, quiet: Capture, tell: Tell) -> dict[str, Any]:
    strain: dict[str, Any] = {}
    for name, what in (("lost", "5 % of packets lost"), ("jitter", "1 ms jitter")):
        tell(f"{row.name}, {what}")
        lost = name == "lost"
        strain[name] = {
            "what": what,
            "quiet": report.trials(measure.attacks(row, measure.strained(quiet, lost=lost))),
            "clean": report.clean(measure.clean(row, measure.strained(week, lost=lost))),
        }
    tell(f"{row.name}, an attack on a day of training")
    strain["contaminated"] = {
        kind: [report.replicate(part) for part in both] for kind, both in measure.contaminated(row, week).items()
    }
    return strain


def days_held_back(folder: Path, tell: Tell) -> dict[str, Any]:
    """Return what the network does on days held back, learned from clean days and from days with one attack among them."""
    tell("reading the captures")
    week = _clean(folder, tell).capture
    found = {}
    for name in ("clean", "scan", "regular", "shuffle"):
        tell(f"days held back, learned from {'clean days' if name == 'clean' else f'days with an hour of {name}'}")
        found[name] = report.held_back(held_back.measured(Timing(), week, None if name == "clean" else name))
    return found


def changed(folder: Path, tell: Tell) -> dict[str, Any]:
    """Return what the network finds of attacks that were changed to escape it."""
    tell("reading the captures")
    week, row = _clean(folder, tell).capture, Row("timing", (Timing(),))
    tell("learning")
    row.learn(week.devices)
    found = []
    for swept in adversarial.swept(row, week):
        tell(f"{swept.evasion.name}: {swept.kind}")
        found.append(report.swept(swept))
    return {"detectors": row.name, "adversarial": found}


def _clean(folder: Path, tell: Tell) -> _Week:
    """Read the days without attacks, which must be more than are learned from; a device that can't be learned is told and left out."""
    week = data.clean(folder)
    if week.end_ns < LEARNED_NS + _REPORTED_NS:
        found = f"found {week.end_ns / DAY_NS:.2f} days"
        raise CaptureError(
            f"{folder}: net/: expected {LEARNED_DAYS} days to learn from and two hours to report at least, {found}"
        )
    unfit = dict[str, str]()
    for device, packets in week.devices.items():
        try:
            Timing().learn(between(packets, 0, LEARNED_NS))
        except ModelError as error:
            unfit[device] = f"{folder}: net/: {device}: {error}"
            tell(f"not measured: {unfit[device]}")
    if len(unfit) == len(week.devices):
        raise CaptureError("\n".join(unfit.values()))
    devices = {device: packets for device, packets in week.devices.items() if device not in unfit}
    return _Week(week._replace(devices=devices), unfit)
