"""
Tables of packets in CSV, which name their columns in the first line.

    t        seconds; required
    device   whose packet it is, beside dir (o: sent, i: received) and peer, a number
    src,dst  the two ends by name, in place of those; every name that sends is a device, or those that are listed
    proto, sport, dport, len, flags (hexadecimal), label

A column that is missing or empty says nothing: protocol OTHER, 0, no label. Other columns are ignored.
"""

from __future__ import annotations

import csv
from collections import Counter
from itertools import islice
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

import numpy as np

from spikebridge_detectors.capture.columns import Packets, Transport
from spikebridge_detectors.capture.devices import NOBODY, Bounds, Peers, interleaved
from spikebridge_detectors.capture.frames import MOST_FRAMES, Passed
from spikebridge_detectors.capture.rows import MOST_SHOWN, TRANSPORT, lines, nanoseconds, none_read
from spikebridge_detectors.errors import CaptureError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

MOST_COLUMNS = 1024
OTHER_WIDTH = "expected as many fields as line 1 has"
_MOST = {"sport": 1 << 16, "dport": 1 << 16, "len": 1 << 32, "peer": 1 << 31}
_DIRECTIONS = {"o": True, "i": False}


class Labelled(NamedTuple):
    """Packets, and what the table calls each of them."""

    packets: Packets
    labels: list[str]


class _Row(NamedTuple):
    """A row as numbers; `sender` and `receiver` are devices or nobody, `peer` is what the table says or the names of both ends."""

    time_ns: int
    sender: int
    receiver: int
    peer: int | tuple[str, str]
    transport: int
    source_port: int
    target_port: int
    length: int
    flags: int
    label: str


class TableSource:
    """
    Packets of a table; those of a table without devices belong to `device`; with an empty one such a table is refused.

    `passed` counts rows that yielded none; `strict` refuses the first row that can't be read, with its line.
    Of a file that `grows` a last line without its end is left.
    """

    def __init__(  # noqa: PLR0913 -- what is read, whose it is, and two ways to take rows that aren't whole
        self,
        file: BinaryIO,
        name: str,
        *,
        device: str = "device",
        inside: Sequence[str] = (),
        others: bool = True,
        strict: bool = False,
        grows: bool = False,
    ) -> None:
        """
        Read `file`, which errors call `name`.

        `inside` are the names that are devices where a table has `src` and `dst`, and without `others` where it has `device` too.
        """
        self.passed: Counter[Passed] = Counter()
        self.devices: list[str] = list(dict.fromkeys(inside))
        self._file = file
        self._name = name
        self._device = device
        self._strict = strict
        self._grows = grows
        self._open = not inside
        self._others = others or not inside
        self._known = {name: number for number, name in enumerate(self.devices)}
        self._bounds = Bounds()
        self._peers: Peers[str] = Peers(self._bounds)

    def __iter__(self) -> Iterator[Packets]:
        """Yield pieces to the end of the file."""
        for piece in self.labelled():
            yield piece.packets

    def labelled(self) -> Iterator[Labelled]:
        """Yield pieces with the labels of their rows."""
        rows = self._rows()
        while piece := list(islice(rows, MOST_FRAMES)):
            yield self._labelled(piece)

    def _rows(self) -> Iterator[_Row]:
        good, why = False, ""
        named = named_rows(self._file, self._name, self.passed, self._unfit, strict=self._strict, grows=self._grows)
        for line, row in named:
            try:
                read = self._row(row)
            except ValueError as error:
                if self._strict:
                    raise CaptureError(f"{self._name}:{line}: {error}") from error
                self.passed[Passed.BAD_ROW] += 1
                why = why or f"line {line}: {error}"
                continue
            good = True
            if read.sender == NOBODY and read.receiver == NOBODY:
                self.passed[Passed.NO_DEVICE] += 1
                continue
            yield read
        if not good:
            none_read(self._name, self.passed, why or OTHER_WIDTH)

    def _unfit(self, columns: Sequence[str]) -> str:
        if columns[0].startswith(("#separator", "{", "StartTime")):
            return "expected a table of packets, not a log of flows, which `sense --flows` reads"
        if "t" not in columns or not ("dir" in columns or ("src" in columns and "dst" in columns)):
            return "expected the columns t, and dir or src and dst"
        if "dir" in columns and not ("device" in columns or self._device):
            return "expected the column device, or a name for the one device whose packets these are"
        return ""

    def _row(self, row: dict[str, str]) -> _Row:
        time_ns = nanoseconds(row["t"])
        if time_ns is None:
            raise ValueError(f't: found "{row["t"]}", expected seconds')
        numbers = {column: _number(column, row.get(column, ""), most) for column, most in _MOST.items()}
        flags = row.get("flags", "").strip("-")
        sender, receiver, peer = self._directed(row, numbers["peer"]) if "dir" in row else self._between(row)
        return _Row(
            time_ns=time_ns,
            sender=sender,
            receiver=receiver,
            peer=peer,
            transport=TRANSPORT.get(row.get("proto", ""), Transport.OTHER),
            source_port=numbers["sport"],
            target_port=numbers["dport"],
            length=numbers["len"],
            flags=_number("flags", flags, 1 << 16, base=16) & 0xFF,
            label=row.get("label", ""),
        )

    def _directed(self, row: dict[str, str], peer: int) -> tuple[int, int, int]:
        if row["dir"] not in _DIRECTIONS:
            raise ValueError(f'dir: found "{row["dir"]}", expected o or i')
        device = self._number(row.get("device", self._device), new=self._others)
        number = peer if row.get("peer") else NOBODY
        return (device, NOBODY, number) if _DIRECTIONS[row["dir"]] else (NOBODY, device, number)

    def _between(self, row: dict[str, str]) -> tuple[int, int, tuple[str, str]]:
        source, target = row["src"].strip(), row["dst"].strip()
        sender = self._number(source, new=self._open) if source else NOBODY
        return sender, self._number(target, new=False), (source, target)

    def _number(self, name: str, *, new: bool) -> int:
        if name not in self._known:
            if not new:
                return NOBODY
            if len(self.devices) >= self._bounds.devices:
                raise ValueError(f"expected at most {self._bounds.devices} devices, found more")
            self._known[name] = len(self.devices)
            self.devices.append(name)
        return self._known[name]

    def _labelled(self, rows: list[_Row]) -> Labelled:
        time_ns, sender, receiver, peers, *said, labels = zip(*rows, strict=True)
        row, outgoing = interleaved(np.array(sender, np.int64), np.array(receiver, np.int64))
        device = np.where(outgoing, np.array(sender)[row], np.array(receiver)[row])
        transport, source_port, target_port, length, flags = said
        packets = Packets(
            time_ns=np.array(time_ns, np.int64)[row],
            device=device.astype(np.int32),
            outgoing=outgoing,
            peer=self._peer(peers, row, device, outgoing),
            transport=np.array(transport, np.uint8)[row],
            source_port=np.array(source_port, np.uint16)[row],
            target_port=np.array(target_port, np.uint16)[row],
            length=np.array(length, np.uint32)[row],
            flags=np.array(flags, np.uint8)[row],
        )
        return Labelled(packets, [labels[at] for at in row.tolist()])

    def _peer(
        self,
        peers: Sequence[int | tuple[str, str]],
        row: NDArray[np.int64],
        device: NDArray[np.int64],
        outgoing: NDArray[np.bool_],
    ) -> NDArray[np.int32]:
        numbers: list[int] = []
        for at, one, out in zip(row.tolist(), device.tolist(), outgoing.tolist(), strict=True):
            peer = peers[at]
            numbers.append(peer if isinstance(peer, int) else self._peers.numbers([one], [peer[out]])[0])
        return np.array(numbers, np.int32)


def named_rows(
    file: BinaryIO,
    name: str,
    passed: Counter[Passed],
    unfit: Callable[[Sequence[str]], str] | None = None,
    *,
    strict: bool = False,
    grows: bool = False,
) -> Iterator[tuple[int, dict[str, str]]]:
    """
    Yield the rows of a CSV file with their lines, by the names of their columns.

    A first line is refused of which `unfit` says why. A row that is longer or shorter than it is counted, or refused if that is asked for.
    """
    reader = csv.reader(text for _, text in lines(file, name, passed, grows=grows))
    try:
        columns = next(reader, None)
        if columns is None:
            return
        if len(columns) > MOST_COLUMNS:
            raise CaptureError(f"{name}: line 1: {len(columns)} columns, expected at most {MOST_COLUMNS}")
        if unfit and (why := unfit(columns)):
            raise CaptureError(f"{name}: line 1: {why}; found {_shown(columns)}")
        for row in reader:
            if len(row) == len(columns):
                yield reader.line_num, dict(zip(columns, row, strict=True))
            elif strict:
                raise CaptureError(f"{name}:{reader.line_num}: expected {len(columns)} fields, found {len(row)}")
            else:
                passed[Passed.BAD_ROW] += 1
    except csv.Error as error:
        raise CaptureError(f"{name}: line {reader.line_num}: {error}") from error


def _shown(columns: Sequence[str]) -> str:
    text = ", ".join(columns)
    return text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}..."


def _number(column: str, text: str, most: int, base: int = 10) -> int:
    try:
        number = int(text, base) if text else 0
    except ValueError:
        number = -1
    if not 0 <= number < most:
        raise ValueError(f'{column}: found "{text}", expected a whole number from 0 to {most - 1}')
    return number
