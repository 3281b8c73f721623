"""The rules of DESIGN.md section 2 over simulated logs: no alert lost, foreign, twice or different, whatever crashes and wherever it is cut."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.reference.simulation import Simulation
from tests.reference.trials import REVISIONS, compare_with_plain, crash_everywhere, engine, rebuild_everywhere, try_whole

from spikebridge.mapping.replay import replay


@pytest.mark.parametrize("tight", [False, True])
def test_array_code_equals_the_plain_reference(*, tight: bool) -> None:
    """Every alert, its ordinal, time, interval and suppressed count are what one record at a time gives."""
    assert compare_with_plain(1, 700, tight=tight) > 100
    assert compare_with_plain(2, 700, tight=tight, falls=True) > 100


logs = st.fixed_dictionaries({"tight": st.booleans(), "falls": st.booleans(), "live": st.booleans()})


@given(seed=st.integers(0, 1 << 32), cuts=st.lists(st.integers(1, 30), max_size=20), kind=logs)
def test_any_log_and_any_cuts_give_what_the_plain_reference_gives(seed: int, cuts: list[int], kind: dict[str, bool]) -> None:
    """Out of order, counts, duplicates, mad clocks, ticks, crowds, reloads, recordings: cut anywhere, the alerts are the same."""
    compare_with_plain(seed, 120, cuts, **kind)


@pytest.mark.parametrize(("seed", "tight"), [(11, False), (12, True)])
def test_the_state_at_a_position_is_a_function_of_the_look_back(*, seed: int, tight: bool) -> None:
    """Wherever a takeover happens, what follows has the same bytes as without it."""
    assert rebuild_everywhere(seed, 160, tight=tight) == 159


@pytest.mark.parametrize("seed", [21, 22])
def test_crashes_lose_nothing_and_repeat_only_the_same_bytes(seed: int) -> None:
    """In the alert log 0 lost, 0 foreign, no two copies that differ; behind a reader 0 twice."""
    assert crash_everywhere(seed, 500) > 10


def test_every_alert_replays_from_its_evidence() -> None:
    """The evidence alone gives the same alert, byte for byte."""
    records = Simulation(31).records(700)
    whole = engine(records)
    raised = whole.take(records).alerts
    verdicts = [replay(one.alert, one.evidence, REVISIONS[one.alert.revision]) for one in raised]
    assert [verdict for verdict in verdicts if verdict.verdict != "same"] == []
    assert len(verdicts) > 100


@pytest.mark.long
@pytest.mark.parametrize("first", range(100, 160, 6))
def test_sixty_logs_come_through(first: int) -> None:
    """The same promises over sixty logs: every position of the tight ones, every other of the wide ones."""
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        tried = list(pool.map(try_whole, range(first, first + 6)))

    assert all(alerts > 20 and positions >= 129 and crashes > 10 for alerts, positions, crashes in tried), tried
