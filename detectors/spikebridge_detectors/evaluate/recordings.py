"""Recordings of plants, from half a minute to hours long: what is learned of each, which is never what is judged, and what comes."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np

from spikebridge_detectors.elapsed import SECOND_NS
from spikebridge_detectors.errors import CaptureError
from spikebridge_detectors.evaluate.data import Truth, between, joined, some
from spikebridge_detectors.evaluate.data import read as read_table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from spikebridge_detectors.capture.columns import Packets

T = TypeVar("T")

_FOLDER = "ics"
_END = ".csv.gz"
_FIRST = ("modbus_characterization", "modbus_moving_two_files", "modbus_exploit_ms08_netapi", "mms_normal", "mms_scanning")
"""Recordings come in this order, and others behind them."""

_NORMAL = "mms_normal"
_NOT_ODD = ("", "0")
_APART_NS = 15 * SECOND_NS
"""Labelled packets, or those that are missing, no further apart are one attack."""


class Recording(NamedTuple):
    """A part of a recording that is judged: what is learned of each device, what comes, what attacks are in it, and when it begins and ends."""

    name: str
    learned: dict[str, Packets]
    judged: dict[str, Packets]
    attacks: list[Truth]
    span_ns: tuple[int, int]


class Plant(NamedTuple):
    """Recordings of one plant, the windows they are judged by, and what stands for a day of training; both in seconds."""

    name: str
    window_s: int
    day_s: int
    recordings: list[Recording]


class _Table(NamedTuple):
    devices: dict[str, Packets]
    attacks: list[Truth]


def read(folder: Path, tell: Callable[[str], None]) -> list[Plant]:
    """Return the plants whose files are there; `tell` hears of what isn't."""
    found, unfit = [], list[str]()
    for kind, make in _PLANTS.items():
        paths = sorted((folder / _FOLDER).glob(f"{kind}_*{_END}"))
        names = sorted((path.name.removesuffix(_END) for path in paths), key=lambda name: (*_FIRST, name).index(name))
        if wanted := _wanted(kind, names):
            tell(f"not measured: {folder}: expected {_FOLDER}/{wanted}{_END} too, found none")
            continue
        try:
            found.append(make(folder, names, tell))
        except CaptureError as error:
            tell(f"not measured: {error}")
            unfit.append(str(error))
    if not found and unfit:
        raise CaptureError("\n".join(unfit))
    if not found:
        expected = ", ".join(f"{_FOLDER}/{kind}_*{_END}" for kind in _PLANTS)
        raise CaptureError(f"{folder}: expected all of a plant's files among {expected}, found none")
    return found


def _wanted(kind: str, names: Sequence[str]) -> str:
    """Return what a plant lacks: Modbus is judged by other recordings, MMS by the normal one."""
    if kind == "mms":
        return "" if _NORMAL in names else _NORMAL
    return "" if len(names) > (kind == "modbus") else f"{kind}_*"


def _modbus(folder: Path, names: Sequence[str], tell: Callable[[str], None]) -> Plant:
    """Judge each recording by what the others taught, without the packets that are labelled as attacks there."""
    senders = _fit(names, lambda name: _senders(_path(folder, name)), tell)
    hosts = sorted({host for found in senders.values() for host in found})
    tables = {name: _table(_path(folder, name), hosts) for name in senders}
    clean = {name: _table(_path(folder, name), hosts, odd=False) for name in senders}
    if not any(table.attacks for table in tables.values()):
        raise CaptureError(f"{folder / _FOLDER}: modbus_*{_END}: label: expected packets of attacks, found none")
    recordings = []
    for name, table in tables.items():
        learned, judged = {}, {}
        for device, packets in table.devices.items():
            if others := [clean[other].devices[device] for other in clean if other != name and device in clean[other].devices]:
                learned[device], judged[device] = _one_after_the_other(others), packets
            else:
                tell(f"not measured: {_path(folder, name)}: {device}: expected packets of it in other recordings too, found none")
        attacks = [attack for attack in table.attacks if attack.device in judged]
        if judged:
            recordings.append(Recording(_short(name), learned, judged, attacks, (0, _end(table.devices))))
    if not recordings:
        raise CaptureError(f"{folder / _FOLDER}: modbus_*{_END}: expected hosts that two recordings have, found none")
    return Plant("Modbus", 5, 60, recordings)


def _mms(folder: Path, names: Sequence[str], tell: Callable[[str], None]) -> Plant:
    """Judge half of what is normal by the other half, and a half with attacks by the other one without: they are one recording."""
    normal = _Halves(_path(folder, _NORMAL), _station(_path(folder, _NORMAL)))
    recordings = normal.usual("normal, ", normal.attacks)
    for name in (name for name in names if name != _NORMAL):
        path = _path(folder, name)
        try:
            if normal.station in _senders(path):
                found = _Halves(path, normal.station, normal)
                recordings += normal.attacked(_short(name), found, _odd_in(path, found, normal, tell), tell)
            else:
                found = _Halves(path, _station(path))
                recordings += found.attacked(_short(name), found, _odd_in(path, found, normal, tell), tell)
        except CaptureError as error:
            tell(f"not measured: {error}")
    return Plant("MMS", 30, 600, recordings)


def _iec104(folder: Path, names: Sequence[str], tell: Callable[[str], None]) -> Plant:
    """Judge each half by the other, without the packets that are labelled as attacks there."""
    found = _fit(names, lambda name: _Halves(_path(folder, name), _station(_path(folder, name))), tell)
    benign, recordings = next((halves for name, halves in found.items() if _is_benign(name)), None), []
    for name, halves in found.items():
        odd = halves.attacks if _is_benign(name) else _odd_in(_path(folder, name), halves, benign or halves, tell)
        if odd or _is_benign(name):
            recordings += halves.usual(f"{_short(name)}, " if len(names) > 1 else "", odd)
    return Plant("IEC 104", 60, 3600, recordings)


def _fit(names: Sequence[str], make: Callable[[str], T], tell: Callable[[str], None]) -> dict[str, T]:
    """Return what is made of each recording; those that aren't fit are told, and refused if none is."""
    found, unfit = dict[str, T](), list[CaptureError]()
    for name in names:
        try:
            found[name] = make(name)
        except CaptureError as error:
            unfit.append(error)
    if unfit and not found:
        raise unfit[0]
    for one in unfit:
        tell(f"not measured: {one}")
    return found


def _is_benign(name: str) -> bool:
    return _short(name).startswith("benign")


def _odd_in(path: Path, found: _Halves, normal: _Halves, tell: Callable[[str], None]) -> list[Truth]:
    """Return the attacks in a recording: those that are labelled, else packets of the normal recording that are missing."""
    same = found.station == normal.station
    attacks = list(found.attacks or (_lost(found.station, normal.all, found.all) if same else ()))
    if not attacks:
        tell(f"not measured: {path}: expected labelled packets, or some of {normal.name} missing, found none")
    return [attack._replace(kind=_short(found.name)) for attack in attacks]


class _Halves:
    """A recording of one station, cut in two: what comes, the attacks in it, and what is learned, which is without them."""

    def __init__(self, path: Path, station: str, normal: _Halves | None = None) -> None:
        """Read it; `normal` is the recording that it is judged by: it is cut where that one is, and lasts as long."""
        table = _table(path, (station,))
        self.name = path.name.removesuffix(_END)
        self.station, self.attacks, self.all = station, table.attacks, table.devices[station]
        end_ns = max(_end(table.devices) + 1, normal.spans[1][1] if normal else 0)
        self.half_ns: int = normal.half_ns if normal else end_ns // 2
        self.spans: tuple[tuple[int, int], tuple[int, int]] = (0, self.half_ns), (self.half_ns, end_ns)
        self.judged = [between(self.all, *span) for span in self.spans]
        clean = _table(path, (station,), odd=False).devices.get(station, some(self.all, slice(0)))
        self.learned = [between(clean, *span) for span in self.spans]
        if normal is None and not all(len(part.time_ns) for part in self.learned):
            raise CaptureError(f"{path}: expected packets of {station} in both halves that are no attacks, found none")

    def usual(self, which: str = "", attacks: Sequence[Truth] = ()) -> list[Recording]:
        """Return each half, to be judged by the other."""
        return [self._judged(f"{which}{name} half", self, number, attacks) for number, name in enumerate(("first", "second"))]

    def attacked(self, name: str, other: _Halves, attacks: Sequence[Truth], tell: Callable[[str], None]) -> list[Recording]:
        """Return the halves of another recording that hold attacks, to be judged by the other half of this one; one without packets is told."""
        halves = [self._judged(which, other, number, attacks) for number, which in enumerate((name, f"{name}, second half"))]
        found = [one for one in halves if one.attacks]
        for one in found:
            if not len(one.judged[self.station].time_ns):
                tell(
                    f"not measured: {other.name}: expected packets in the half with {len(one.attacks)} of its attacks, found none"
                )
        return [one for one in found if len(one.judged[self.station].time_ns)]

    def _judged(self, name: str, other: _Halves, number: int, attacks: Sequence[Truth]) -> Recording:
        (start_ns, end_ns), learned = other.spans[number], {self.station: self.learned[1 - number]}
        inside = [attack for attack in attacks if start_ns <= attack.start * SECOND_NS < end_ns]
        packets = {self.station: other.judged[number]}
        return Recording(name, learned if number else _begun(learned), packets, inside, (start_ns, end_ns))


def _senders(path: Path) -> Counter[str]:
    """Return how many packets each host sends, in the order in which they begin to."""
    names, pieces = read_table(path)
    sent = np.concatenate([piece.packets.device[piece.packets.outgoing] for piece in pieces])
    return Counter(dict(zip(names, np.bincount(sent, minlength=len(names)).tolist(), strict=True)))


def _station(path: Path) -> str:
    """Return the host that sends most, which is the one that is asked; of equals the last to begin."""
    senders = _senders(path)
    return max(reversed(senders), key=senders.__getitem__)


def _lost(device: str, normal: Packets, found: Packets) -> Iterator[Truth]:
    """Yield when packets of the normal recording are missing in one that holds nothing else: from the first of them to the next that came."""
    usual, there = (packets.time_ns * 2 + packets.outgoing for packets in (normal, found))
    if not np.isin(there, usual).all():
        return
    lost_ns = normal.time_ns[~np.isin(usual, there)]
    if not lost_ns.size:
        return
    before = np.searchsorted(found.time_ns, lost_ns)
    apart = (np.diff(before) > 0) & (np.diff(lost_ns) > _APART_NS)
    for part in np.split(lost_ns, np.flatnonzero(apart) + 1):
        after = found.time_ns[np.searchsorted(found.time_ns, part[-1]) :]
        yield Truth(
            device, "attack", float(part[0]) / SECOND_NS, float(after[0] if len(after) else part[-1]) / SECOND_NS, scored=True
        )


_PLANTS = {"modbus": _modbus, "mms": _mms, "iec104": _iec104}


def _short(name: str) -> str:
    return name.partition("_")[2]


def _path(folder: Path, name: str) -> Path:
    return folder / _FOLDER / f"{name}{_END}"


def _table(path: Path, inside: Sequence[str], *, odd: bool = True) -> _Table:
    """Read the packets of some stations, without those that are labelled as attacks if these aren't wanted."""
    names, pieces = read_table(path, inside=inside)
    labelled = [np.array([label not in _NOT_ODD for label in piece.labels]) for piece in pieces]
    devices, attacks = {}, []
    for number, name in enumerate(names):
        own = [piece.packets.device == number for piece in pieces]
        bad = joined(some(piece.packets, mine & marked) for piece, mine, marked in zip(pieces, own, labelled, strict=True))
        attacks += list(_attacks(name, bad.time_ns))
        kept = joined(
            some(piece.packets, mine & (odd | ~marked)) for piece, mine, marked in zip(pieces, own, labelled, strict=True)
        )
        if len(kept.time_ns):
            devices[name] = kept
    return _Table(devices, attacks)


def _attacks(device: str, time_ns: NDArray[np.int64]) -> Iterator[Truth]:
    """Yield attacks of a device from the times of its labelled packets."""
    if time_ns.size:
        for part in np.split(time_ns, np.flatnonzero(np.diff(time_ns) > _APART_NS) + 1):
            yield Truth(device, "attack", part[0] / SECOND_NS, part[-1] / SECOND_NS, scored=True)


def _end(devices: dict[str, Packets]) -> int:
    return max(int(packets.time_ns[-1]) for packets in devices.values())


def _begun(devices: dict[str, Packets]) -> dict[str, Packets]:
    """Return packets as if the first came at 0."""
    return {name: packets._replace(time_ns=packets.time_ns - packets.time_ns[0]) for name, packets in devices.items()}


def _one_after_the_other(pieces: Iterable[Packets]) -> Packets:
    """Return recordings as one: each begins a second after the end of the one before."""
    begins, moved = 0, []
    for piece in pieces:
        time_ns = piece.time_ns - piece.time_ns[0] + begins
        begins = int(time_ns[-1]) + SECOND_NS
        moved.append(piece._replace(time_ns=time_ns))
    return joined(moved)
