"""The rules of DESIGN.md section 2 over simulated logs: no alert lost, foreign, twice or different, whatever crashes and wherever it is cut."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.fuzzing import fuzz
from tests.reference.simulation import LIMITS, START_NS, Simulation
from tests.reference.trials import (
    CRASH_PLACES,
    REVISIONS,
    compare_with_plain,
    crash_everywhere,
    engine,
    rebuild_everywhere,
    sealed,
    try_whole,
)

from spikebridge.limits import SECOND
from spikebridge.mapping.replay import replay
from spikebridge.spikes.frame import Head, encode_events, encode_tick
from spikebridge.spikes.record import Record

if TYPE_CHECKING:
    from spikebridge.alerts import AlertEntry


@pytest.mark.parametrize("tight", [False, True])
def test_array_code_equals_the_plain_reference(*, tight: bool) -> None:
    """Every alert, its ordinal, time, interval and suppressed count are what one record at a time gives."""
    assert compare_with_plain(1, 700, tight=tight) > 100
    assert compare_with_plain(2, 700, tight=tight, falls=True) > 100


logs = st.fixed_dictionaries({"tight": st.booleans(), "falls": st.booleans(), "live": st.booleans()})


@fuzz(few=25, many=300)
@given(seed=st.integers(0, 1 << 32), cuts=st.lists(st.integers(1, 30), max_size=20), kind=logs)
def test_any_log_and_any_cuts_give_what_the_plain_reference_gives(seed: int, cuts: list[int], kind: dict[str, bool]) -> None:
    """Out of order, counts, duplicates, mad clocks, ticks, crowds, reloads, recordings: cut anywhere, the alerts are the same."""
    compare_with_plain(seed, 120, cuts, **kind)


@pytest.mark.parametrize(("seed", "tight", "live"), [(11, False, True), (12, True, True), (35, False, False)])
def test_the_state_at_a_position_is_a_function_of_the_look_back(*, seed: int, tight: bool, live: bool) -> None:
    """Wherever a takeover happens, what follows has the same bytes as without it; so it is with a recording, holes and all."""
    assert rebuild_everywhere(seed, 90, tight=tight, live=live) == 89


@pytest.mark.parametrize("seed", [21, pytest.param(22, marks=pytest.mark.long)])
def test_crashes_lose_nothing_and_repeat_only_the_same_bytes(seed: int) -> None:
    """In the alert log 0 lost, 0 foreign, no two copies that differ; behind a reader 0 twice."""
    assert set(crash_everywhere(seed, 400)) == CRASH_PLACES


def test_every_alert_replays_from_its_evidence() -> None:
    """The evidence alone gives the same alert, byte for byte."""
    records = Simulation(31).records(400)
    whole = engine(records)
    raised = whole.take(records).alerts
    verdicts = [replay(one.alert, one.evidence, REVISIONS[one.alert.revision]) for one in raised]
    assert [verdict for verdict in verdicts if verdict.verdict != "same"] == []
    assert len(verdicts) > 100


@pytest.mark.long
@pytest.mark.parametrize("first", range(100, 160, 6))
def test_sixty_logs_come_through(first: int) -> None:
    """The same promises over sixty logs, every position of each."""
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        tried = list(pool.map(try_whole, range(first, first + 6)))

    assert all(alerts > 20 and positions == 59 and set(crashes) == CRASH_PLACES for alerts, positions, crashes in tried), tried


def rebuilt(look_back_ns: int) -> tuple[list[AlertEntry], list[AlertEntry]]:
    """
    Return what follows a take-over of a log that sits at the limits, without and with the take-over.

    A frame, its repeat one late limit later, and two spikes in the next intervals: who doesn't reach back to the frame takes the repeat for new,
    so a suppression later it counts one record too many.
    """
    late_ns, suppress_ns = LIMITS.late_ns, 40 * SECOND

    def frame(seq: int, at_ns: int) -> bytes:
        return encode_events(Head(device="cam-1", start_ns=at_ns, boot=7, seq=seq), [5], [0])

    first = frame(1, START_NS)
    at = [0, late_ns - SECOND, 2 * suppress_ns - SECOND, 3 * suppress_ns - 2 * SECOND, 3 * suppress_ns - SECOND]
    values = [first, first, frame(2, START_NS + at[2]), encode_tick(START_NS + at[3]), frame(3, START_NS + at[4])]
    records = [Record(offset, START_NS + at_ns, value) for offset, (at_ns, value) in enumerate(zip(at, values, strict=True))]
    kept = [record for record in records[:4] if record.append_ns >= records[3].append_ns - look_back_ns]
    whole, again = engine(records), engine(records)
    again.replay(kept, [(0, 1)])
    return sealed(whole.take(records))[-1:], sealed(again.take(records[4:]))


def test_a_look_back_that_is_too_short_is_found_out() -> None:
    """The trial can see the fault that it looks for: one second less than this chain needs, and an alert has another content."""
    enough = rebuilt(118 * SECOND)
    short = rebuilt(117 * SECOND)

    assert enough[0] == enough[1]
    assert short[0] != short[1]
    assert LIMITS.look_back_ns >= 118 * SECOND
