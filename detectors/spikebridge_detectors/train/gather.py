"""What is learned from: packets of devices, or samples, out of files that are known by their digest."""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from spikebridge_detectors.capture.columns import Packets
from spikebridge_detectors.capture.devices import Devices
from spikebridge_detectors.capture.frames import Passed
from spikebridge_detectors.capture.series import Samples, SeriesSource
from spikebridge_detectors.capture.source import PcapSource
from spikebridge_detectors.capture.tables import TableSource
from spikebridge_detectors.errors import CaptureError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from spikebridge_detectors.capture.series import Columns

    Tell = Callable[[str, int, int], None]
    """Hears what is done, how much of it is over, and how much it is."""

MOST_PACKETS = 1 << 24
"""So many packets of all devices are held at once."""

MOST_SAMPLES = 1 << 22
MOST_FILES = 64
MOST_TOLD = 20


class Given(NamedTuple):
    """A file that was learned from."""

    name: str
    sha256: str
    size: int


class Traffic(NamedTuple):
    """The packets of each device, in the order of their files' first packets; `passed` counts what yielded none."""

    files: list[Given]
    devices: dict[str, Packets]
    passed: dict[str, int]


class Series(NamedTuple):
    """The samples of each file."""

    files: list[Given]
    recordings: list[Samples]
    passed: dict[str, int]


class _Found:
    """Pieces of packets by device, bounded in all."""

    def __init__(self) -> None:
        self.pieces: dict[str, list[list[Packets]]] = {}
        self.passed: Counter[Passed] = Counter()
        self.seen: set[str] = set()
        self._count = 0

    def take(self, source: PcapSource | TableSource, wanted: Sequence[str] | None, file: str) -> Iterator[None]:
        """Take the packets of one file, of the devices that are wanted, or of all, and stop after each piece to be told of."""
        own: dict[str, list[Packets]] = {}
        for piece in source:
            for number in np.unique(piece.device).tolist():
                name = source.devices[number]
                self.seen.add(name)
                if wanted is not None and name not in wanted:
                    continue
                some = Packets._make(column[piece.device == number] for column in piece)
                self._count += len(some.time_ns)
                if self._count > MOST_PACKETS:
                    raise CaptureError(
                        f"{file}: more than {MOST_PACKETS:,} packets with the files before it; name fewer devices or fewer days"
                    )
                own.setdefault(name, []).append(some)
            yield
        for name, pieces in own.items():
            self.pieces.setdefault(name, []).append(pieces)
        self.passed += source.passed


def given(path: Path) -> Given:
    """Return what a file is known by."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
        return Given(path.name, digest.hexdigest(), file.tell())


def traffic(pcaps: Sequence[Path], tables: Sequence[Path], listed: Sequence[str], tell: Tell) -> Traffic:
    """
    Read the packets of the devices that are `listed` as `[NAME=]WHO`, or of all there are.

    A table names its devices itself, so there NAME, or WHO without one, is that name; one without a column for it has the device that it is called after.
    """
    _counted([*pcaps, *tables])
    known, found, files = Devices(listed if pcaps else ()), _Found(), []
    names = list(known.names) if pcaps else [entry.rpartition("=")[0] or entry for entry in listed]
    for path in (*pcaps, *tables):
        files.append(given(path))
        with path.open("rb") as file:
            if path in pcaps:
                source: PcapSource | TableSource = PcapSource(file, str(path), known)
            else:
                source = TableSource(file, str(path), device=path.name.partition(".")[0], inside=names)
            wanted = names if listed and path in tables else None
            for _ in found.take(source, wanted, str(path)):
                tell(f"reading {path.name}", file.tell(), files[-1].size)
    if missing := [name for name in names if name not in found.pieces]:
        seen = ", ".join(sorted(found.seen)[:MOST_TOLD]) or "none"
        raise CaptureError(
            "\n".join(f"device {name}: expected packets in {_named(files)}, found none; of others: {seen}" for name in missing)
        )
    if not found.pieces:
        raise CaptureError(f"{_named(files)}: expected packets of a device, found none")
    devices = {name: _joined(pieces) for name, pieces in sorted(found.pieces.items())}
    return Traffic(files, devices, _said(found.passed))


def series(paths: Sequence[Path], columns: Columns, tell: Tell) -> Series:
    """Read the samples of each file."""
    _counted(paths)
    files, recordings, passed, count = [], [], Counter[Passed](), 0
    for path in paths:
        files.append(given(path))
        with path.open("rb") as file:
            source, pieces = SeriesSource(file, str(path), columns), []
            for piece in source:
                pieces.append(piece)
                count += len(piece.time_ns)
                if count > MOST_SAMPLES:
                    raise CaptureError(f"{path}: more than {MOST_SAMPLES:,} samples with the files before it; give fewer")
                tell(f"reading {path.name}", file.tell(), files[-1].size)
            passed += source.passed
        if not pieces:
            raise CaptureError(f"{path}: expected samples, found none")
        recordings.append(
            Samples(np.concatenate([one.time_ns for one in pieces]), np.concatenate([one.values for one in pieces]), [])
        )
    return Series(files, recordings, _said(passed))


def _joined(files: Iterable[list[Packets]]) -> Packets:
    """Put the files of one device behind one another by their first packet."""
    pieces = [piece for file in sorted(files, key=lambda file: int(file[0].time_ns[0])) for piece in file]
    return Packets._make(np.concatenate(column) for column in zip(*pieces, strict=True))


def _counted(paths: Sequence[Path]) -> None:
    if not 0 < len(paths) <= MOST_FILES:
        raise CaptureError(f"expected 1 to {MOST_FILES} captures, tables or series to learn from, found {len(paths)}")


def _named(files: Sequence[Given]) -> str:
    return ", ".join(file.name for file in files)


def _said(passed: Counter[Passed]) -> dict[str, int]:
    return {str(reason): count for reason, count in sorted(passed.items()) if count}
