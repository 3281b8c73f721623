"""The highest of days, each occasion once."""

from __future__ import annotations

import numpy as np

from spikebridge_detectors.peaks import APART_SECONDS, peaks


def _of(*pairs: tuple[int, float], most: int = 10) -> list[float]:
    second, value = zip(*pairs, strict=True) if pairs else ((), ())
    return peaks(np.array(second, np.int64), np.array(value, np.float64), most)


def test_what_is_close_to_a_higher_value_is_the_same_occasion() -> None:
    """Half an hour on both sides belongs to it, a second more doesn't."""
    assert _of((0, 3.0), (APART_SECONDS, 9.0), (2 * APART_SECONDS + 1, 5.0)) == [9.0, 5.0]


def test_no_more_are_returned_than_asked_for_and_none_of_nothing() -> None:
    """The highest come first; zeros and no values are no peaks."""
    assert _of(*((at * 7200, float(at)) for at in range(5)), most=2) == [4.0, 3.0]
    assert _of((0, 0.0)) == []
    assert _of() == []
