"""Durations and sizes as people write them, to nanoseconds and bytes, and back; numbers with their nouns."""

from __future__ import annotations

import re

_NANOSECONDS = {
    "d": 86_400_000_000_000,
    "h": 3_600_000_000_000,
    "m": 60_000_000_000,
    "s": 1_000_000_000,
    "ms": 1_000_000,
    "us": 1_000,
    "ns": 1,
}
_BYTES = {
    "B": 1,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
    "TiB": 2**40,
}
DURATION_PATTERN = r"^[0-9]{1,9}(ns|us|ms|s|m|h|d)$"
SIZE_PATTERN = r"^[0-9]{1,9} ?([KMGT]i?)?B$"
_LONGEST_NS = 36_500 * _NANOSECONDS["d"]


def parse_duration(text: object) -> int:
    """Read one number with its unit, as in 50ms, 1s, 5m, 24h or 7d; anything else is a `ValueError` for the operator."""
    if not isinstance(text, str) or not (match := re.fullmatch(r"([0-9]{1,9})(ns|us|ms|s|m|h|d)", text)):
        message = "expected a duration such as 50ms, 1s, 5m, 24h or 7d"
        raise ValueError(message)
    nanoseconds = int(match[1]) * _NANOSECONDS[match[2]]
    if nanoseconds > _LONGEST_NS:
        message = "expected at most 36500d"
        raise ValueError(message)
    return nanoseconds


def format_duration(nanoseconds: int) -> str:
    """Write a duration exactly, in as few units as it takes: `1m 30s`."""
    parts = []
    rest = nanoseconds
    for unit, size in _NANOSECONDS.items():
        number, rest = divmod(rest, size)
        if number:
            parts.append(f"{number}{unit}")
    return " ".join(parts) or "0s"


def parse_size(text: object) -> int:
    """Read a number of bytes, as in 500MB, 10GB or 4GiB; anything else is a `ValueError` for the operator."""
    if not isinstance(text, str) or not (match := re.fullmatch(r"([0-9]{1,9}) ?((?:[KMGT]i?)?B)", text)):
        message = "expected a size such as 500MB, 10GB or 4GiB"
        raise ValueError(message)
    return int(match[1]) * _BYTES[match[2]]


def format_size(size: int) -> str:
    """Write a number of bytes roughly, as a reader wants it: `1.5 MB`."""
    unit = "B"
    amount = float(size)
    for larger in ("kB", "MB", "GB", "TB"):
        if amount < 1000:  # noqa: PLR2004 -- the next unit
            break
        amount, unit = amount / 1000, larger
    return f"{amount:.3g} {unit}"


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, as people write it."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
