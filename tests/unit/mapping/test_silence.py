"""Absence clocks: what is looked at, and when."""

from __future__ import annotations

import numpy as np

from spikebridge.limits import SECOND
from spikebridge.mapping.silence import Clocks, Seen


def seen_at(seen: Seen, seconds: dict[int, int]) -> None:
    """Mark devices as seen."""
    seen.grow(max(seconds) + 1)
    times = np.array([second * SECOND for second in seconds.values()])
    seen.mark(np.array([*seconds], np.int32), times, np.zeros(len(seconds), np.int64))


def test_a_device_that_was_seen_again_cuts_no_batch() -> None:
    """Of thousands that report in time none is looked at before the next search; the silent one fires when it is due."""
    seen, clocks = Seen(), Clocks(3 * SECOND, 0, -1)
    since, known = np.zeros(3, np.int64), np.ones(3, np.bool_)
    seen_at(seen, {0: 10, 1: 11, 2: 11})
    assert clocks.fire(11 * SECOND, seen, since, known) == []
    assert clocks.next_ns(seen) == 13 * SECOND

    seen_at(seen, {0: 12})
    assert clocks.next_ns(seen) == 14 * SECOND
    seen_at(seen, {1: 13})
    assert [silent.device for silent in clocks.fire(14 * SECOND, seen, since, known)] == [2]
    assert clocks.next_ns(seen) == 15 * SECOND
