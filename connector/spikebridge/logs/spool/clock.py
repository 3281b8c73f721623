"""Append times that never fall."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class RisingClock:
    """
    The wall clock, except while it lies behind the newest append time: then times go on from there by the monotonic clock.

    So an hour set back by mistake costs nothing: no record stands still in time, and none goes back.
    """

    def __init__(self, wall: Callable[[], int], monotonic: Callable[[], int], last_ns: int) -> None:
        """Begin with the log's newest append time: from now on time runs on from it."""
        self._wall = wall
        self._monotonic = monotonic
        self._anchor = (last_ns, monotonic())

    def read(self, last_ns: int) -> int:
        """Return the append time of now, `last_ns` or later; `last_ns` is the newest append time, of any process."""
        wall, monotonic = self._wall(), self._monotonic()
        if wall >= last_ns:
            now = wall
        else:
            anchor_ns, anchor_monotonic = self._anchor
            now = max(last_ns, anchor_ns + monotonic - anchor_monotonic)
        self._anchor = (now, monotonic)
        return now

    def ahead_ns(self, last_ns: int) -> int:
        """Return by how much append times are ahead of the wall clock."""
        return max(0, self.read(last_ns) - self._wall())
