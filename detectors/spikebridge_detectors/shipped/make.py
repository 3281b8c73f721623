"""
Make the models that ship anew, from seeds alone: the same bytes each time with the NumPy of the lock.

    python -m spikebridge_detectors.shipped.make [DIRECTORY] [--only NAME] [--measure]

Without a directory they are written where they ship from; `--measure` also writes the figures into their cards, which takes minutes; `timing.spike` takes one by itself.
It exits 1 where a digest isn't the one that is pinned.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from spikebridge_detectors.model.container import save, split
from spikebridge_detectors.model.file import opened, written
from spikebridge_detectors.model.header import Encoder, Header, Output, Training
from spikebridge_detectors.model.header import Layer as Said
from spikebridge_detectors.raster import pack
from spikebridge_detectors.shipped import measure, measure_timing, rhythm, timing, windows
from spikebridge_detectors.shipped.pins import PINS, shipped
from spikebridge_detectors.timing.model import learned_from
from spikebridge_detectors.traffic.days import VERSION, generated
from spikebridge_detectors.traffic.kinds import KINDS

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

HERE = Path(__file__).parent
_MARKS = "<!-- measured -->", "<!-- end -->"
_ABOUT = (
    "Bursts, port scans and beacons, by the gaps between a device's packets. It learned from generated traffic alone, and learns nothing "
    "where it runs. A packet is one step."
)
_TRIED = (("lock", "burst", 64), ("hub", "scan", 64), ("thermostat", "beacon", 192))


def rhythm_file() -> bytes:
    """Return `rhythm.spike`."""
    made = rhythm.shipped_layer()
    code = rhythm.ENCODER
    header = Header(
        name="rhythm",
        version=1,
        about=_ABOUT,
        inputs=code.names,
        encoder=Encoder(name="gaps", settings={"low": code.low, "high": code.high, "count": code.count}),
        layers=(Said.of(made, "rhythm", sign="mixed"),),
        outputs=tuple(
            Output(name=told.name, neuron=told.neuron, layer="rhythm", unit=unit) for unit, told in enumerate(rhythm.OUTPUTS)
        ),
        classes={kind: {} for kind in KINDS},
        memory_s=60,
        training=Training(
            data="generated days of five kinds of devices, and attacks on them",
            generator=f"spikebridge_detectors.traffic version {VERSION}",
            seed=rhythm.TRAINED.start,
        ),
    )
    return written(header, [made], pack(_recorded())[0])


def _recorded() -> NDArray[np.bool_]:
    """Return [packet, 1, line]: the beginnings of three attacks, in which each output fires."""
    found = []
    for kind, name, count in _TRIED:
        packets = rhythm.attack_at(generated(kind, 1, rhythm.TRAINED.start), name, rhythm.TRAINED.start)
        lines = rhythm.ENCODER.line(packets)
        first = int(np.flatnonzero(rhythm.inside(name, packets.time_ns))[0])
        found.append(lines[first : first + count])
    raster: NDArray[np.bool_] = np.concatenate(found)[:, None, None] == np.arange(rhythm.ENCODER.lines)
    return raster


FILES = {
    "rhythm.spike": rhythm_file,
    "timing.spike": timing.timing_file,
    "power.spike": windows.power_file,
    "vibration.spike": windows.vibration_file,
    "rf.spike": windows.rf_file,
}


CARDS: dict[str, Callable[[], str]] = {
    "rhythm": lambda: measure.card(rhythm.shipped_layer()),
    "timing": lambda: measure_timing.card(learned_from(opened(shipped("timing.spike")))),
    "power": windows.power_card,
    "vibration": windows.vibration_card,
    "rf": windows.rf_card,
}


def main(arguments: list[str] | None = None) -> int:
    """Write all models, and say what differs from the pins."""
    parser = argparse.ArgumentParser(
        prog="python -m spikebridge_detectors.shipped.make", description="Make the models that ship."
    )
    parser.add_argument("directory", nargs="?", type=Path, default=HERE, help="where they go (default: where they ship from)")
    parser.add_argument("--only", choices=FILES, help="make this one alone")
    parser.add_argument("--measure", action="store_true", help="write the figures into the cards too")
    args = parser.parse_args(arguments)
    stale = 0
    for name, made in FILES.items():
        if args.only not in {None, name}:
            continue
        data = made()
        save(args.directory / name, data)
        digest = split(data).digest
        stale += digest != PINS.get(name)
        print(f'"{name}": "{digest}",  # {len(data):,} bytes{"" if digest == PINS.get(name) else ", not what is pinned"}')  # noqa: T201 -- a program
    if args.measure:
        for name, told in CARDS.items():
            _write_card(args.directory / f"{name}.md", told())
    return 1 if stale else 0


def _write_card(path: Path, told: str) -> None:
    """Put figures between the marks of a card."""
    text = (HERE / path.name).read_text(encoding="utf-8")
    before, _, rest = text.partition(_MARKS[0])
    _, _, after = rest.partition(_MARKS[1])
    path.write_text(f"{before}{_MARKS[0]}\n\n{told}\n\n{_MARKS[1]}{after}", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
