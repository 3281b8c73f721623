"""The encoder: three lines for each packet, whatever the clock does and wherever the pieces are cut."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.detectors.traffic import packets, poller

from spikebridge_detectors.capture.columns import Packets, Transport
from spikebridge_detectors.elapsed import DAY_NS, PIECE, SECOND_NS, elapsed, gaps
from spikebridge_detectors.timing.marks import (
    BINS,
    COMMON,
    MARKS,
    OTHER_PAIR,
    PAIRS,
    Alphabet,
    Seen,
    encode,
    learn_alphabet,
    marks,
)

TIMES = st.lists(st.integers(-(1 << 63), (1 << 63) - 1) | st.integers(0, 10 * SECOND_NS), min_size=1, max_size=40)


def alphabet(found: Packets) -> Alphabet:
    """Learn from two days, of which each shows the same."""
    part = np.arange(len(found.time_ns)) % 2
    return learn_alphabet(found, np.arange(len(found.time_ns)), part, np.ones(len(part), np.bool_))


@given(times=TIMES, cut=st.integers(0, 40), seed=st.integers(0, 1 << 30))
def test_pieces_make_no_difference_and_no_clock_breaks_it(times: list[int], cut: int, seed: int) -> None:
    """Times that fall, repeat or jump by centuries still give one line of each kind."""
    luck = np.random.default_rng(seed)
    found = packets(times, transport=luck.integers(0, 7, len(times)), flags=luck.integers(0, 256, len(times)))
    known = alphabet(found)
    whole = encode(known, found, Seen())
    seen = Seen()
    cuts = [encode(known, Packets._make(column[part] for column in found), seen) for part in (slice(cut), slice(cut, None))]
    for line, most, *pieces in zip(whole, (PAIRS, BINS, BINS, 2), *cuts, strict=True):
        assert np.array_equal(line, np.concatenate(pieces))
        assert ((line >= 0) & (line < most)).all()


@given(times=TIMES, cut=st.integers(0, 40))
def test_time_never_falls_and_gaps_never_wrap(times: list[int], cut: int) -> None:
    """Plain integers say the same, cut anywhere."""
    found = np.array(times, np.int64)
    steps = [max(0, min(later - earlier, 1 << 62)) for earlier, later in pairwise(times)]
    assert gaps(found, None).tolist() == [1 << 62, *steps]
    since = [0]
    for step in steps:
        since.append(since[-1] + min(step, DAY_NS))
    first, rest = found[:cut], found[cut:]
    assert elapsed(first, None).tolist() == since[:cut]
    if first.size and rest.size:
        assert (elapsed(rest, int(first[-1])) + since[len(first) - 1]).tolist() == since[cut:]


def test_the_longest_piece_of_the_longest_gaps_fits() -> None:
    """A clock that jumps with each packet doesn't overflow."""
    jumps = np.tile(np.array([0, 1 << 62]), PIECE // 2)
    assert elapsed(jumps, None)[-1] == PIECE // 2 * DAY_NS


def test_gaps_are_told_within_a_protocol_and_within_a_mark() -> None:
    """A question over TCP and its answer 70 ms later; between them another protocol changes nothing."""
    known = alphabet(poller())
    found = packets(
        [0, 30_000_000, 70_000_000, 60 * SECOND_NS],
        outgoing=[True, True, False, True],
        transport=[Transport.TCP, Transport.ARP, Transport.TCP, Transport.TCP],
    )
    lines = encode(known, found, Seen())
    assert lines.gap.tolist() == [BINS - 1, BINS - 1, 6, BINS - 1]
    assert lines.own.tolist() == [BINS - 1, BINS - 1, BINS - 1, 7]
    assert lines.pair[2] != OTHER_PAIR
    assert lines.pair[0] == lines.pair[1] == OTHER_PAIR


def test_what_one_day_alone_shows_is_not_learned() -> None:
    """A kind of packet that fills one day, and no other, is no mark and makes no pair of the device."""
    usual = poller(hours=72)
    odd = packets(DAY_NS + np.arange(3000) * 20 * SECOND_NS, transport=np.full(3000, Transport.UDP), length=np.full(3000, 900))
    together = Packets._make(np.concatenate((usual[at], odd[at])) for at in range(len(usual)))
    order = np.argsort(together.time_ns, kind="stable")
    together = Packets._make(column[order] for column in together)
    hour, day = together.time_ns // (3600 * SECOND_NS), together.time_ns // DAY_NS
    known = learn_alphabet(together, hour, day, np.ones(len(day), np.bool_))
    assert len(known.common) == 3
    lines = encode(known, odd, Seen())
    assert lines.new.all()
    assert (lines.pair == OTHER_PAIR).all()


def test_every_packet_has_a_mark() -> None:
    """What is no common kind falls into one of ten, by direction and protocol."""
    found = packets(np.zeros(6, np.int64), transport=[1, 1, 2, 3, 4, 0], flags=[2, 16, 0, 0, 0, 0], outgoing=[True, False] * 3)
    got = marks(np.empty(0, np.int64), found)
    assert got.tolist() == [COMMON + 1, COMMON + 2, COMMON + 5, COMMON + 6, COMMON + 9, COMMON + 8]
    assert got.max() < MARKS
