"""What ships, measured on generated devices of each kind: devices that no setting was chosen by, and what strains it there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from spikebridge_detectors.elapsed import DAY_NS, SECOND_NS
from spikebridge_detectors.errors import ModelError
from spikebridge_detectors.evaluate import measure, report
from spikebridge_detectors.evaluate.data import Capture, Truth, between
from spikebridge_detectors.evaluate.measure import LEARNED_NS, WARM_NS, Replicate, Row
from spikebridge_detectors.evaluate.protocol import INCIDENT_NS, LEARNED_DAYS, TOLERANCE_NS, judged
from spikebridge_detectors.rules import Rules
from spikebridge_detectors.timing.detector import Timing
from spikebridge_detectors.traffic.attacks import LASTS_S, attacked
from spikebridge_detectors.traffic.days import generated
from spikebridge_detectors.traffic.kinds import KINDS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from spikebridge_detectors.capture.columns import Packets

    Tell = Callable[[str], None]

GENERATED = "<!-- generated -->"
SEEDS = range(600, 603)
"""So many devices of each kind, by none of which anything was chosen."""

DAYS = LEARNED_DAYS + 3
PLACES = 2
_SEED = 20_261_122
_FORWARDS_NS, _BACK_NS = LEARNED_NS + DAY_NS // 2, LEARNED_NS + 5 * DAY_NS // 2


def rows() -> list[Row]:
    """Return what ships, and the rules by themselves."""
    counting = Rules(("rate", "silence", "ewma"))
    return [Row("timing and rules", (Timing(), counting)), Row("rules", (counting,))]


def measured(tell: Tell, kinds: Sequence[str] = tuple(KINDS), seeds: Sequence[int] = SEEDS) -> dict[str, Any]:
    """Measure devices of each kind."""
    found = []
    for kind in kinds:
        devices = {f"{kind}-{seed}": generated(kind, DAYS, seed, 0) for seed in seeds}
        capture = Capture(devices, [], DAYS * DAY_NS)
        for row in rows():
            tell(f"{len(devices)} devices of the kind {kind}: {row.name}")
            row.learn(capture.devices)
            found.append({"kind": kind, **_figures(row, capture)})
            if len(row.detectors) > 1:
                found[-1]["strain"] = _strained(row, capture)
    return {"learned_days": LEARNED_DAYS, "days": DAYS, "seeds": list(seeds), "generated": found}


def _figures(row: Row, capture: Capture) -> dict[str, Any]:
    return {
        "name": row.name,
        "clean": report.clean(measure.clean(row, capture)),
        "attacks": report.replicate(tried(row, capture)),
    }


def _strained(row: Row, capture: Capture) -> list[dict[str, Any]]:
    """Return false alarms, and recall where attacks can be put into what is strained."""
    strains = (("5 % of packets lost", True), ("1 ms jitter", False))
    found = [{"what": what, **_figures(row, measure.strained(capture, lost=lost))} for what, lost in strains]
    clock = capture._replace(devices={name: stepped(packets) for name, packets in capture.devices.items()})
    what = "a clock that steps an hour forwards, two days later back"
    return [*found, {"what": what, "clean": report.clean(measure.clean(row, clock))}]


def stepped(packets: Packets) -> Packets:
    """Return packets whose clock steps an hour forwards at noon of the first day that is reported, and back two days later."""
    ahead = (packets.time_ns >= _FORWARDS_NS) & (packets.time_ns < _BACK_NS)
    return packets._replace(time_ns=packets.time_ns + np.where(ahead, 3600 * SECOND_NS, 0))


def tried(row: Row, capture: Capture, places: int = PLACES) -> Replicate:
    """Put each attack into the days that are reported, one a run, at places drawn by luck, and look for it."""
    trials, chance = [], 0
    for number, (device, packets) in enumerate(capture.devices.items()):
        for kind, lasts_s in LASTS_S.items():
            luck = np.random.default_rng([_SEED, number, [*LASTS_S].index(kind)])
            length = lasts_s * SECOND_NS
            for start in luck.integers(LEARNED_NS, capture.end_ns - length - TOLERANCE_NS, places).tolist():
                until = min(start + length + INCIDENT_NS, capture.end_ns)
                around = between(packets, start - WARM_NS, start + length + INCIDENT_NS)
                try:
                    changed = attacked(around, kind, start, luck)
                except ModelError:
                    continue  # too few packets lie there to be changed
                truth = Truth(device, kind, start / SECOND_NS, start / SECOND_NS + lasts_s, scored=True)
                trials.append(judged(row.scan(device, changed, until), truth, row.late_ns))
                chance += judged(row.scan(device, around, until), truth, row.late_ns).seconds is not None
    return Replicate(trials, chance)


def text(measured: dict[str, Any]) -> str:
    """Return the figures as tables for a reader."""
    first = f"Days 0 to {measured['learned_days']} of each device are learned, those up to {measured['days']} reported; {len(measured['seeds'])} devices of each kind:"
    lines = [
        first,
        "",
        "| devices | detectors | attacks found | by chance | false alarms per device-day (95 %) | by what | worst device |",
    ]
    lines.append("|---|---|---|---|---|---|---|")
    lines += [_row(row) for row in measured["generated"]]
    shown = [row for row in measured["generated"] if "strain" in row]
    lines += ["", f"Found of tried, and the median of seconds it took, by {shown[0]['name']}:", ""]
    lines += [f"| attack | {' | '.join(row['kind'] for row in shown)} |", f"|---|{'---|' * len(shown)}"]
    for kind in LASTS_S:
        cells = [report.cell(row["attacks"]["kinds"].get(kind)) for row in shown]
        lines.append(f"| {kind} | {' | '.join(cells)} |")
    lines += ["", f"Strained from day {measured['learned_days']} on: attacks found, and false alarms per device-day:", ""]
    lines += [f"| strain | {' | '.join(row['kind'] for row in shown)} |", f"|---|{'---|' * len(shown)}"]
    for number, strain in enumerate(shown[0]["strain"]):
        cells = [_strain(row["strain"][number]) for row in shown]
        lines.append(f"| {strain['what']} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _strain(strain: dict[str, Any]) -> str:
    told = f"{strain['clean']['per_day']:.2f}"
    return f"{report.share(strain['attacks'])}, {told}" if "attacks" in strain else told


def _row(row: dict[str, Any]) -> str:
    false = row["clean"]
    worst = max(rate["per_day"] for rate in false["devices"].values())
    by = ", ".join(f"{count} {kind}" for kind, count in false["kinds"].items()) or "-"
    held = "" if worst <= report.MOST_PER_DAY else ", **above 2**"
    cells = [row["kind"], row["name"], report.share(row["attacks"]), str(row["attacks"]["chance"]), report.interval(false), by]
    return f"| {' | '.join(cells)} | {worst:.2f}{held} |"
