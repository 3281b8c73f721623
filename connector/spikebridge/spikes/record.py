"""One record of a spike log."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable


class Record(NamedTuple):
    """
    A record as the log gave it: its offset, its append time, its bytes.

    `key` is the device to which the sender says it belongs, where a log has keys: frames of any other device in it are refused.
    """

    offset: int
    append_ns: int
    value: bytes
    key: bytes | None = None


record: Callable[[tuple[int, int, bytes, bytes | None]], Record] = partial(tuple.__new__, Record)
"""Make a record of its fields in order, as quickly as Python can: clients do it for each one that they read."""
