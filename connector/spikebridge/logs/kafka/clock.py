"""The brokers' clock, which stamps every record, held against ours."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from spikebridge.limits import MINUTE
from spikebridge.units import format_duration

if TYPE_CHECKING:
    from collections.abc import Callable

SKEW_NS = MINUTE
"""Clocks that are further apart than this are told of."""

_log = logging.getLogger(__name__)


def ahead(stamped_ns: int, before_ns: int, after_ns: int) -> int:
    """Return how far a clock is ahead of ours at least, by its stamp on what happened between two times of ours; below 0 it is behind."""
    return min(0, stamped_ns - before_ns) + max(0, stamped_ns - after_ns)


class BrokerClock:
    """
    Watches the stamps of one partition.

    Only of a record that came after we had stood at the end of the log do we know when it was appended: after that.
    """

    def __init__(self, where: str, clock: Callable[[], int]) -> None:
        """See nothing yet; `where` names the partition."""
        self.ahead_ns = 0
        self._where = where
        self._clock = clock
        self._at_end_ns = 0
        self._told = False

    def at_end(self) -> None:
        """Note that there was nothing to read."""
        self._at_end_ns = self._at_end_ns or self._clock()

    def stamped(self, append_ns: int) -> None:
        """Compare the stamp of the first record that came after that, and tell of clocks that are far apart, once."""
        if not self._at_end_ns:
            return
        self.ahead_ns = ahead(append_ns, self._at_end_ns, self._clock())
        self._at_end_ns = 0
        if (abs(self.ahead_ns) > SKEW_NS) == self._told:
            return
        self._told = not self._told
        if self._told:
            off = format_duration(round(abs(self.ahead_ns) / MINUTE) * MINUTE)
            side = "ahead of" if self.ahead_ns > 0 else "behind"
            _log.error(
                "%s: the brokers' clock is %s %s ours; alerts go by theirs: let NTP set both, and the devices'",
                *(self._where, off, side),
            )
        else:
            _log.info("%s: the brokers' clock agrees with ours again", self._where)
