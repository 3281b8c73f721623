"""Lines of a text file, packed or not, of bounded length, and what their fields say."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, BinaryIO

from spikebridge_detectors.capture.columns import Transport
from spikebridge_detectors.capture.frames import Passed
from spikebridge_detectors.capture.stream import chunks
from spikebridge_detectors.errors import CaptureError

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterator

MOST_LINE = 1 << 16
MOST_SHOWN = 200

TRANSPORT = {
    "tcp": Transport.TCP,
    "udp": Transport.UDP,
    "icmp": Transport.ICMP,
    "ipv6-icmp": Transport.ICMP,
    "icmp6": Transport.ICMP,
    "arp": Transport.ARP,
}
"""What carries a packet, as logs and tables call it."""

_SECONDS = re.compile(r"(-?)([0-9]{1,12})(?:\.([0-9]{0,40}))?")


def lines(file: BinaryIO, name: str, passed: Counter[Passed], *, grows: bool = False) -> Iterator[tuple[int, str]]:
    """
    Yield number and text of each line that isn't empty; bytes that are no UTF-8 become U+FFFD.

    A last line without its end is one too, but of a file that `grows`: there it may be half a line, and is counted.
    """
    number, held = 0, b""
    for chunk in chunks(file, name, passed):
        *whole, held = (held + chunk).split(b"\n")
        for line in whole:
            number += 1
            if text := _text(line, name, number):
                yield number, text
        _bounded(held, name, number + 1)
    if grows:
        passed[Passed.UNENDED] += bool(held)
    elif text := _text(held, name, number + 1):
        yield number + 1, text


def _text(line: bytes, name: str, number: int) -> str:
    _bounded(line, name, number)
    return line.decode(errors="replace").rstrip("\r")


def _bounded(line: bytes, name: str, number: int) -> None:
    if len(line) > MOST_LINE:
        raise CaptureError(f"{name}: line {number}: longer than {MOST_LINE} bytes")


def none_read(name: str, passed: Counter[Passed], why: str) -> None:
    """Refuse a file that had rows, but none that could be read; `why` says it of the first."""
    if bad := passed[Passed.BAD_ROW]:
        raise CaptureError(f"{name}: no row of {bad:,} can be read; {why[:MOST_SHOWN]}")


def nanoseconds(text: str, digits: int = 9) -> int | None:
    """Read a time whose unit is `digits` decimal places above a nanosecond, exactly but for what is below one; None if it isn't one."""
    found = _SECONDS.fullmatch(text)
    if found is None:
        return None
    sign, whole, part = found.groups()
    time_ns = int(whole) * 10**digits + int((part or "")[:digits].ljust(digits, "0") or 0)
    return fitting(-time_ns if sign else time_ns)


def fitting(time_ns: int) -> int:
    """Return a time that 64 bits hold, or raise `ValueError`."""
    if not -(1 << 63) <= time_ns < 1 << 63:
        raise ValueError(time_ns)
    return time_ns
