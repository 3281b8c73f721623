"""What the models that ship find on generated devices that none of them was made with: the figures of their cards."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from spikebridge_detectors.elapsed import SECOND_NS
from spikebridge_detectors.shipped import energy, rhythm
from spikebridge_detectors.traffic.attacks import LASTS_S
from spikebridge_detectors.traffic.days import generated
from spikebridge_detectors.traffic.kinds import KINDS
from spikebridge_detectors.traffic.packets import kept

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from spikebridge_detectors.capture.columns import Packets
    from spikebridge_detectors.lif import Layer

HELD_OUT = range(300, 304)
"""Devices that neither the weights nor the thresholds have seen."""

_GRACE_S = 10
_AROUND_S = 3600
_OCCASION_NS = 600 * SECOND_NS


class Day(NamedTuple):
    """What a day without attack raised, and what it cost."""

    kind: str
    false: dict[str, int]
    packets: int
    synapses: int


def card(made: Layer, seeds: range = HELD_OUT) -> str:
    """Return the tables of `rhythm.spike`."""
    days = [clean(made, kind, seed) for kind in KINDS for seed in seeds]
    rows = [
        "| attack | " + " | ".join(KINDS) + " | seconds to the alarm, median | named |",
        "|---" * (len(KINDS) + 3) + "|",
        *(_row(made, name, seeds) for name in LASTS_S),
    ]
    return "\n".join([*rows, "", *_quiet(days), "", _energy(days, made)])


def clean(made: Layer, kind: str, seed: int) -> Day:
    """Run a day without attack; alarms of one output within ten minutes are one."""
    packets = generated(kind, 1, seed)
    lines = rhythm.ENCODER.line(packets)
    fired = rhythm.fired(made, lines)
    false = {told.name: _apart(rhythm.alarms(told, packets.time_ns[fired[:, unit]])) for unit, told in enumerate(rhythm.OUTPUTS)}
    return Day(kind, false, len(lines), int((made.weights != 0).sum(axis=0)[lines].sum()))


def found(made: Layer, kind: str, name: str, seed: int) -> tuple[str, float] | None:
    """Return which output told an attack first, and after how many seconds; nothing where none did."""
    packets = rhythm.attack_at(generated(kind, 1, seed), name, [*KINDS].index(kind) * 1000 + seed)
    start_ns = rhythm.NOON_NS
    packets = _between(packets, start_ns - _AROUND_S * SECOND_NS, start_ns + (LASTS_S[name] + _AROUND_S) * SECOND_NS)
    fired = rhythm.fired(made, rhythm.ENCODER.line(packets))
    told = []
    for unit, output in enumerate(rhythm.OUTPUTS):
        raised = rhythm.alarms(output, packets.time_ns[fired[:, unit]])
        told += [(int(at), output.name) for at in raised[rhythm.inside(name, raised, _GRACE_S)][:1]]
    return (min(told)[1], (min(told)[0] - start_ns) / SECOND_NS) if told else None


def _row(made: Layer, name: str, seeds: range) -> str:
    cells, took, named = [], [], set()
    for kind in KINDS:
        hits = [hit for seed in seeds if (hit := found(made, kind, name, seed))]
        cells.append(f"{len(hits)}/{len(seeds)}")
        took += [seconds for _, seconds in hits]
        named |= {output for output, _ in hits}
    seconds = f"{np.median(took):.1f}" if took else ""
    return f"| {name} | {' | '.join(cells)} | {seconds} | {', '.join(sorted(named)) or '**missed**'} |"


def _quiet(days: list[Day]) -> list[str]:
    """Return the false alarms of each kind of device."""
    rows = ["| days without attack | " + " | ".join(told.name for told in rhythm.OUTPUTS) + " | false alarms a device-day |"]
    rows.append("|---" * (len(rhythm.OUTPUTS) + 2) + "|")
    for kind in KINDS:
        own = [day for day in days if day.kind == kind]
        counts = [sum(day.false[told.name] for day in own) for told in rhythm.OUTPUTS]
        rows.append(f"| {kind}, {len(own)} | {' | '.join(map(str, counts))} | {sum(counts) / len(own):.2f} |")
    return rows


def _energy(days: list[Day], made: Layer) -> str:
    """Tell what a day would cost on the chip, by counted operations."""
    packets, synapses = (sum(getattr(day, name) for day in days) / len(days) for name in ("packets", "synapses"))
    spent = energy.told(synapses, packets * made.units, "a day")
    return f"Counted on these days, on average of a device: {packets:,.0f} packets, {spent}"


def _between(packets: Packets, first_ns: int, last_ns: int) -> Packets:
    return kept(packets, (packets.time_ns >= first_ns) & (packets.time_ns < last_ns))


def _apart(time_ns: NDArray[np.int64]) -> int:
    """Count alarms, those within ten minutes of the first of them once."""
    count, last = 0, -_OCCASION_NS
    for at in time_ns.tolist():
        if at - last >= _OCCASION_NS:
            count, last = count + 1, at
    return count
