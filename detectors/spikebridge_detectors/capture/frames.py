"""Frames as a capture holds them: where each begins in a block of bytes, and what was passed over on the way."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MOST_FRAMES = 1 << 15
"""A piece holds at most so many: each may be a row for both of its ends."""

MOST_BYTES = 1 << 18
"""No frame is longer, whatever a file says."""


class Passed(StrEnum):
    """Why something yielded no packet."""

    CUT_SHORT = "the end of the file is missing"
    SHORT_FRAME = "frame shorter than its link header"
    UNKNOWN_LINK = "link type that isn't read"
    WITHOUT_TIME = "packet without a time, or with one that can't be"
    NO_DEVICE = "packet of no device"
    TOO_MANY_DEVICES = "packet of a device more than may be"
    BAD_ROW = "row that can't be read"
    UNENDED = "last line without its newline, left until it has one"
    DROPPED = "packet that the kernel dropped"


class Frames(NamedTuple):
    """Frames in one block: where each begins, how much of it was captured, how long it was, its time and its link type."""

    data: NDArray[np.uint8]
    start: NDArray[np.int64]
    captured: NDArray[np.int64]
    length: NDArray[np.uint32]
    time_ns: NDArray[np.int64]
    link: NDArray[np.uint16]
