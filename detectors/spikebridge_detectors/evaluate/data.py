"""Tables of packets with known attacks, as columns."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from spikebridge_detectors.capture.columns import Packets
from spikebridge_detectors.capture.frames import Passed
from spikebridge_detectors.capture.rows import nanoseconds
from spikebridge_detectors.capture.tables import Labelled, TableSource, named_rows
from spikebridge_detectors.elapsed import SECOND_NS
from spikebridge_detectors.errors import CaptureError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

_CLEAN = "benign_week_"
_TRUTH = ("device", "attack", "start", "end", "scored")
_BEHIND_S = 86_400
"""So long behind the last packet an attack may begin and last: nothing comes while a device is silent."""

_SCORED = {"true": True, "false": False}


class Truth(NamedTuple):
    """One attack: seconds from the start of the capture."""

    device: str
    kind: str
    start: float
    end: float
    scored: bool


class Capture(NamedTuple):
    """The packets of each device, the attacks among them, and where it ends for all."""

    devices: dict[str, Packets]
    attacks: list[Truth]
    end_ns: int


NOTHING = Capture({}, [], 0)
"""What a composite that isn't there holds."""


def missing(folder: Path, names: Sequence[str]) -> dict[str, list[str]]:
    """Return the composites that aren't there, each with the files that it lacks."""
    files = {name: [f"composite/{name}{end}" for end in (".csv.gz", "_truth.csv")] for name in names}
    lacking = {name: [file for file in both if not (folder / file).is_file()] for name, both in files.items()}
    return {name: some for name, some in lacking.items() if some}


def composite(folder: Path, name: str) -> Capture:
    """Read a capture with known attacks."""
    devices = packets(folder / "composite" / f"{name}.csv.gz")
    truth = folder / "composite" / f"{name}_truth.csv"
    attacks = truths(truth)
    if unknown := sorted({attack.device for attack in attacks} - devices.keys()):
        raise CaptureError(f"{truth}: device: found {unknown[0]}, expected one of {', '.join(devices)}")
    found = _capture(devices, attacks)
    last_s = found.end_ns / SECOND_NS
    if late := [attack for attack in attacks if attack.start > last_s + _BEHIND_S]:
        end = f"{last_s + _BEHIND_S:.0f} s, a day behind the last packet"
        raise CaptureError(f"{truth}: start: found {late[0].start:.0f}, expected at most {end}")
    end_s = min(max(attack.end for attack in attacks), last_s + _BEHIND_S)
    return found._replace(end_ns=max(found.end_ns, round(end_s * SECOND_NS)))


def clean(folder: Path) -> Capture:
    """Read the captures of devices that nobody attacked."""
    devices: dict[str, Packets] = {}
    for path in sorted((folder / "net").glob(f"{_CLEAN}*.csv.gz")):
        found = packets(path, path.name.removeprefix(_CLEAN).removesuffix(".csv.gz"))
        if twice := sorted(found.keys() & devices.keys()):
            raise CaptureError(f"{path}: found device {twice[0]}, which another file of {folder / 'net'} has too")
        devices |= found
    if not devices:
        raise CaptureError(f"{folder}: expected net/{_CLEAN}DEVICE.csv.gz, found none")
    return _capture(devices, [])


def _capture(devices: dict[str, Packets], attacks: list[Truth]) -> Capture:
    return Capture(devices, attacks, max(int(found.time_ns[-1]) for found in devices.values()))


def packets(path: Path, device: str = "") -> dict[str, Packets]:
    """Read a table of packets, each device by itself."""
    devices, pieces = read(path, device)
    found = joined(piece.packets for piece in pieces)
    alone = {name: some(found, found.device == number) for number, name in enumerate(devices)}
    return {name: one._replace(device=np.zeros_like(one.device)) for name, one in alone.items()}


def read(path: Path, device: str = "", inside: Sequence[str] = ()) -> tuple[list[str], list[Labelled]]:
    """Return the devices of a table and its pieces, of which none may be missing; who isn't inside is no device."""
    with path.open("rb") as file:
        source = TableSource(file, str(path), device=device, inside=inside, strict=True)
        pieces = list(source.labelled())
    if source.passed[Passed.CUT_SHORT]:
        raise CaptureError(f"{path}: expected a whole file: {Passed.CUT_SHORT}")
    if not pieces:
        raise CaptureError(f"{path}: expected packets{' of ' + ', '.join(inside) if inside else ''}, found none")
    return source.devices, pieces


def truths(path: Path) -> list[Truth]:
    """Read when which device was attacked."""
    found = []
    with path.open("rb") as file:
        for line, row in named_rows(file, str(path), Counter(), strict=True):
            if missing := [name for name in _TRUTH if name not in row]:
                raise CaptureError(f"{path}:1: expected the columns {', '.join(_TRUTH)}, found none called {', '.join(missing)}")
            start, end = (_seconds(row[name], f"{path}:{line}: {name}") for name in ("start", "end"))
            if end < start:
                raise CaptureError(f"{path}:{line}: end: found {row['end']}, expected {row['start']} or later")
            if row["scored"].lower() not in _SCORED:
                raise CaptureError(f'{path}:{line}: scored: found "{row["scored"]}", expected True or False')
            found.append(Truth(row["device"], row["attack"], start, end, _SCORED[row["scored"].lower()]))
    if not found:
        raise CaptureError(f"{path}: expected attacks, found none")
    return found


def _seconds(text: str, where: str) -> float:
    time_ns = nanoseconds(text)
    if time_ns is None or time_ns < 0:
        raise CaptureError(f'{where}: found "{text}", expected seconds from the start of the capture')
    return time_ns / SECOND_NS


def joined(pieces: Iterable[Packets]) -> Packets:
    """Put packets of one device together in the order of their times."""
    together = Packets._make(np.concatenate(columns) for columns in zip(*pieces, strict=True))
    order = np.argsort(together.time_ns, kind="stable")
    return Packets._make(column[order] for column in together)


def some(packets: Packets, which: NDArray[np.bool_] | slice) -> Packets:
    """Return some of the packets."""
    return Packets._make(column[which] for column in packets)


def between(packets: Packets, start_ns: int, end_ns: int) -> Packets:
    """Return the packets of a time: its start is part of it, its end is not."""
    return some(packets, (packets.time_ns >= start_ns) & (packets.time_ns < end_ns))
