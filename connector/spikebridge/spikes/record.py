"""One record of a spike log."""

from __future__ import annotations

from typing import NamedTuple


class Record(NamedTuple):
    """A record as the log gave it: its offset, its append time, its bytes."""

    offset: int
    append_ns: int
    value: bytes
