"""
Flows as packets: Zeek's conn.log (TSV or JSON) and Argus' binetflow.

A flow is one packet of who opened it, at its end: `length` is what both ends sent, in bytes, at most 2^32 - 1, and `flags` are those that
the opener set in TCP. Logs are written some time after flows end, each kind of flow after another, so a flow that lies up to an hour behind
one of the same device that was logged before it counts at that one's time. What can't be read is passed over and counted.
"""

from __future__ import annotations

import socket
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

import msgspec
import numpy as np

from spikebridge_detectors.capture.columns import Transport
from spikebridge_detectors.capture.frames import MOST_FRAMES, Passed
from spikebridge_detectors.capture.packets import V4, Headers, empty
from spikebridge_detectors.capture.rows import TRANSPORT, fitting, lines, nanoseconds, none_read
from spikebridge_detectors.capture.source import HeaderSource
from spikebridge_detectors.elapsed import SECOND_NS
from spikebridge_detectors.errors import CaptureError

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Iterator, Mapping

    from spikebridge_detectors.capture.columns import Packets
    from spikebridge_detectors.capture.devices import Devices

_MOST_LENGTH = (1 << 32) - 1
_LETTERS = {"F": 1, "S": 2, "R": 4, "P": 8, "A": 16, "U": 32, "E": 64, "C": 128}
_ZEEK_LETTERS = {"S": 2, "H": 18, "A": 16, "D": 16, "F": 1, "R": 4}
_ARGUS_TIME = "%Y/%m/%d %H:%M:%S"
_NONE = frozenset({"", "-", "(empty)"})
_LATE_NS = 3600 * SECOND_NS
"""So long after they end flows may be logged; a time that falls by more is that of a clock that was set."""

_1970 = datetime(1970, 1, 1, tzinfo=UTC)
_HALF = (1 << 64) - 1
_MOST_PORT = 65535


class _Flow(NamedTuple):
    """One flow as numbers."""

    time_ns: int
    source: int
    target: int
    transport: int
    source_port: int
    target_port: int
    length: int
    flags: int


class FlowSource(HeaderSource):
    """Packets of a flow log, told by its first line; any of the last `late_ns` before its end may still be missing."""

    late_ns = _LATE_NS

    def __init__(self, file: BinaryIO, name: str, devices: Devices, *, grows: bool = False) -> None:
        """Read `file`, which errors call `name`; of one that `grows` a last line without its end is left."""
        super().__init__(partial(_read, grows=grows), file, name, devices)
        self._latest: dict[int, int] = {}

    def __iter__(self) -> Iterator[Packets]:
        """Yield a piece for all that could be read at once."""
        for packets in super().__iter__():
            yield packets._replace(time_ns=np.array(self._rising(packets), np.int64))

    def _rising(self, packets: Packets) -> list[int]:
        """Return the times, none of them a little before another of the same device."""
        times = []
        for device, time_ns in zip(packets.device.tolist(), packets.time_ns.tolist(), strict=True):
            latest = self._latest.get(device, time_ns)
            self._latest[device] = latest if latest - _LATE_NS <= time_ns < latest else time_ns
            times.append(self._latest[device])
        return times


def _read(file: BinaryIO, name: str, passed: Counter[Passed], *, grows: bool) -> Iterator[Headers]:
    flows = _flows(lines(file, name, passed, grows=grows), name, passed)
    while piece := list(islice(flows, MOST_FRAMES)):
        yield _headers(piece)


def _flows(rows: Iterator[tuple[int, str]], name: str, passed: Counter[Passed]) -> Iterator[_Flow]:
    first = next(rows, None)
    if first is None:
        return
    read, rest = _reader(first[1], name), chain([first], rows)
    good = False
    for _, text in rest:
        try:
            flow = read(text)
        except (ValueError, KeyError, OverflowError, msgspec.DecodeError, RecursionError):
            passed[Passed.BAD_ROW] += 1
            continue
        if flow is not None:
            good = True
            yield flow
    if not good:
        none_read(name, passed, "expected the fields of a conn.log or a binetflow")


def _reader(first: str, name: str) -> Callable[[str], _Flow | None]:
    if first.startswith("#"):
        return _ZeekLines()
    if first.startswith("{"):
        return _zeek_json
    if first.startswith("StartTime,"):
        return _ArgusLines(first.split(","))
    raise CaptureError(
        f"{name}: line 1: expected a Zeek conn.log (which begins with #separator, or with a JSON object) or a binetflow (StartTime,...)"
    )


class _ZeekLines:
    """Rows of a conn.log whose `#fields` came before them; a log that is turned over may bring others."""

    def __init__(self) -> None:
        self._fields: list[str] = []

    def __call__(self, text: str) -> _Flow | None:
        if not text.startswith("#"):
            return _zeek(dict(zip(self._fields, text.split("\t"), strict=True)))
        if text.startswith("#fields\t"):
            self._fields = text.split("\t")[1:]
        return None


def _zeek_json(text: str) -> _Flow:
    row = msgspec.json.decode(text, type=dict[str, Any])
    return _zeek({name: str(value) for name, value in row.items()})


def _zeek(row: Mapping[str, str]) -> _Flow:
    transport = TRANSPORT.get(row["proto"], Transport.OTHER)
    has_ports = transport in {Transport.TCP, Transport.UDP}
    length = sum(_count(row.get(f"{end}_ip_bytes") or "") or _count(row.get(f"{end}_bytes") or "") for end in ("orig", "resp"))
    return _Flow(
        time_ns=fitting(_nanoseconds(row["ts"]) + _lasted(row.get("duration", ""))),
        source=_address(row["id.orig_h"]),
        target=_address(row["id.resp_h"]),
        transport=transport,
        source_port=_port(row["id.orig_p"]) if has_ports else 0,
        target_port=_port(row["id.resp_p"]) if has_ports else 0,
        length=min(length, _MOST_LENGTH),
        flags=_flags(row.get("history", ""), _ZEEK_LETTERS) if transport == Transport.TCP else 0,
    )


class _ArgusLines:
    """Rows of a binetflow; times are taken as UTC."""

    def __init__(self, fields: list[str]) -> None:
        self._fields = fields

    def __call__(self, text: str) -> _Flow | None:
        if text.startswith("StartTime,"):
            return None
        row = dict(zip(self._fields, text.split(","), strict=True))
        transport = TRANSPORT.get(row["Proto"].lower(), Transport.OTHER)
        has_ports = transport in {Transport.TCP, Transport.UDP}
        ends = [(row[f"{end}Addr"], row[port] if has_ports else "") for end, port in (("Src", "Sport"), ("Dst", "Dport"))]
        if row.get("Dir", "").strip() in {"<-", "<?"}:
            ends.reverse()
        opened, _, answered = row.get("State", "").partition("_")
        return _Flow(
            time_ns=fitting(_argus_time(row["StartTime"]) + _lasted(row.get("Dur", ""))),
            source=_address(ends[0][0]),
            target=_address(ends[1][0]),
            transport=transport,
            source_port=_port(ends[0][1]),
            target_port=_port(ends[1][1]),
            length=min(_count(row["TotBytes"]), _MOST_LENGTH),
            flags=_flags(opened if ends[0][0] == row["SrcAddr"] else answered, _LETTERS) if transport == Transport.TCP else 0,
        )


def _nanoseconds(text: str) -> int:
    """Read seconds since 1970, or a date and time as Zeek writes them on request."""
    if (time_ns := nanoseconds(text)) is not None:
        return time_ns
    moment = datetime.fromisoformat(text)
    return _since_1970(moment if moment.tzinfo else moment.replace(tzinfo=UTC))


def _argus_time(text: str) -> int:
    whole, _, part = text.partition(".")
    moment = datetime.strptime(whole, _ARGUS_TIME).replace(tzinfo=UTC)
    return _since_1970(moment) + int(part[:9].ljust(9, "0"))


def _lasted(text: str) -> int:
    return 0 if text in _NONE else max(round(float(text) * SECOND_NS), 0)


def _since_1970(moment: datetime) -> int:
    return fitting((moment - _1970) // timedelta(microseconds=1) * 1000)


def _address(text: str) -> int:
    """Return an address as a number of 128 bits, 0 for what isn't one: Argus writes MACs where there is no IP."""
    try:
        if ":" in text:
            return int.from_bytes(socket.inet_pton(socket.AF_INET6, text), "big")
        return V4 | int.from_bytes(socket.inet_pton(socket.AF_INET, text), "big")
    except OSError:
        return 0


def _port(text: str) -> int:
    if text in _NONE:
        return 0
    port = int(text, 16 if text.startswith("0x") else 10)
    if not 0 <= port <= _MOST_PORT:
        raise ValueError(text)
    return port


def _count(text: str) -> int:
    return 0 if text in _NONE else max(int(text), 0)


def _flags(letters: str, meaning: Mapping[str, int]) -> int:
    flags = 0
    for letter in letters:
        flags |= meaning.get(letter, 0)
    return flags


def _headers(flows: list[_Flow]) -> Headers:
    time_ns, source, target, transport, source_port, target_port, length, flags = zip(*flows, strict=True)
    return empty(np.array(time_ns, np.int64), np.array(length, np.uint32))._replace(
        source_high=np.array([end >> 64 for end in source], np.uint64),
        source_low=np.array([end & _HALF for end in source], np.uint64),
        target_high=np.array([end >> 64 for end in target], np.uint64),
        target_low=np.array([end & _HALF for end in target], np.uint64),
        transport=np.array(transport, np.uint8),
        source_port=np.array(source_port, np.uint16),
        target_port=np.array(target_port, np.uint16),
        flags=np.array(flags, np.uint8),
    )
