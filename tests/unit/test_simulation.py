"""The rules of DESIGN.md section 2 over simulated logs: no alert lost, foreign, twice or different, whatever crashes and wherever it is cut."""

from __future__ import annotations

import random
from bisect import bisect_left
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.reference.plain import PlainAlert, PlainEngine
from tests.reference.simulation import LIMITS, START_NS, Simulation, revisions

from spikebridge.alerts import alert_entry
from spikebridge.errors import LogError
from spikebridge.mapping.engine import Engine
from spikebridge.mapping.evidence import Identity
from spikebridge.mapping.replay import replay
from spikebridge.mapping.rules import rule_set_content
from spikebridge.pipeline import SpikesStage
from spikebridge.testing import FakeClock, MemoryLog

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spikebridge.alerts import AlertEntry
    from spikebridge.logs import Commit, Record
    from spikebridge.mapping.engine import Taken
    from spikebridge.mapping.evidence import Raised

IDENTITY = Identity("default", "simulated", 0)
REVISIONS = revisions()


def engine(records: Sequence[Record], number: int = 1) -> Engine:
    """Make a new engine over these records."""
    held = {record.offset: record for record in records}
    return Engine(IDENTITY, REVISIONS[number], REVISIONS.get, lambda offsets: [held[at] for at in offsets if at in held])


def sealed(taken: Taken) -> list[AlertEntry]:
    """Return the alerts as the bytes that reach the alert log."""
    return [alert_entry(raised.alert, raised.evidence) for raised in taken.alerts]


def matched(records: Sequence[Record], seed: int) -> tuple[Engine, list[AlertEntry]]:
    """Match a whole log in batches of random size; return the engine and its entries."""
    cuts, found, low = random.Random(seed), [], 0
    whole = engine(records)
    whole.pairs = [(0, 1)]
    while low < len(records):
        high = low + cuts.choice([1, 2, 7, 50])
        found += sealed(whole.take(records[low:high]))
        low = high
    return whole, found


def plain_of(raised: Raised) -> PlainAlert:
    """Return what the plain reference says of an alert."""
    alert = raised.alert
    moved = alert.time_source == "log" and alert.rule.kind == "event_count"
    interval = alert.interval_start_ns // alert.interval_ns
    return PlainAlert(
        alert.offset,
        alert.ordinal,
        alert.rule.id,
        alert.device.id,
        interval,
        alert.time_ns,
        alert.suppressed_before,
        moved,
        alert.revision,
    )


def compare_with_plain(seed: int, count: int, cuts: Sequence[int] = (), **kind: bool) -> int:
    """Hold the array code equal to the plain reference; return how many alerts there were."""
    records = Simulation(seed, **kind).records(count)
    plain = PlainEngine(REVISIONS[1], REVISIONS)
    expected = [alert for record in records for alert in plain.take(record)]
    whole = engine(records)
    found, low = [], 0
    for cut in cuts or [random.Random(seed).choice([1, 3, 20, 200]) for _ in records]:
        found += [plain_of(raised) for raised in whole.take(records[low : low + cut]).alerts]
        low += cut
    found += [plain_of(raised) for raised in whole.take(records[low:]).alerts]

    assert found == expected
    return len(expected)


def rebuild_everywhere(seed: int, count: int, step: int, **kind: bool) -> int:
    """Rebuild the state at every position and compare what follows with the crash-free run; return the positions tried."""
    records = Simulation(seed, **kind).records(count)
    whole, found = matched(records, seed)
    pairs = whole.pairs
    largest = [max(record.append_ns for record in records[: at + 1]) for at in range(len(records))]
    follow_ns = LIMITS.look_back_ns
    tried = 0
    for position in range(1, count, step):
        begin = bisect_left(largest, largest[position - 1] - LIMITS.look_back_ns)
        end = bisect_left(largest, largest[position - 1] + follow_ns)
        known = [pair for pair in pairs if pair[0] <= position]
        in_force = [number for offset, number in known if offset <= begin][-1]
        again = engine(records, in_force)
        again.replay(records[begin:position], known)
        after = sealed(again.take(records[position:end]))
        assert after == [entry for entry in found if position <= entry.source[1] < end], f"position {position} of log {seed}"
        tried += 1
    return tried


class Crash(LogError):  # noqa: N818 -- what happens to a process, not a fault of ours
    """The process dies here."""


class Fragile(MemoryLog):
    """A log whose user dies at random before or after an append or a commit."""

    def __init__(self, clock: FakeClock, seed: int) -> None:
        """Begin empty; the seed decides when its user dies."""
        super().__init__(clock, "simulated", falls=True)
        self.luck = random.Random(seed)
        self.crashes = 0

    def write(self, record: Record) -> None:
        """Append a record of the simulation at its own time."""
        self._records.append(record)
        self._largest.append(max(record.append_ns, *self._largest[-1:], 0))

    def append(self, _values: Sequence[bytes]) -> int:
        """Owners of a simulated log add nothing to it: its ticks and markers are part of it."""
        return self.bounds()[1]

    def newest(self) -> int:
        """Begin with the first revision: later ones come by the log's own markers."""
        return 1

    def die(self, chance: float) -> None:
        """Crash with a chance."""
        if self.luck.random() < chance:
            self.crashes += 1
            raise Crash("killed")

    def commit(self, entries: Sequence[AlertEntry], commit: Commit) -> None:
        """Append the entries first, some of them, and the position only if all of them were."""
        self.die(0.05)
        for entry in entries:
            self._append_alerts([entry])
            self.die(0.03)
        self.commits.append(commit)
        self.die(0.05)

    def poll(self, position: int, _max_bytes: int) -> list[Record]:
        """Small batches: more places to die at."""
        self.die(0.03)
        return super().poll(position, self.luck.choice([1, 200, 3_000]))


class Quiet:
    """An observer that hears nothing."""

    def batch(self, *_: object) -> None:
        """Ignore a batch."""

    def dead(self, *_: object) -> None:
        """Ignore dead records."""


def crash_everywhere(seed: int, count: int) -> int:
    """Run owners that die, old owners that live on, and commits set back; return the crashes survived."""
    records = Simulation(seed, falls=seed % 3 == 0).records(count)
    _, expected = matched(records, seed)
    clock = FakeClock(START_NS)
    log = Fragile(clock, seed)
    for revision in REVISIONS.values():
        log.publish(rule_set_content(revision.rule_set))
    for record in records:
        log.write(record)
    owners: list[SpikesStage] = []
    while True:
        owner = log.luck.choice(owners) if owners and log.luck.random() > 0.02 else None
        clock.advance(log.luck.randint(0, 2_000_000_000))
        try:
            if owner is None:
                owner = SpikesStage(IDENTITY, log, log, log, Quiet(), clock)
                owners = [owner, *owners[:1]]
                owner.open()
            elif not owner.step() and owner is owners[0]:
                owner.close()
                break
        except Crash:
            owners = [other for other in owners if other is not owner]
        if log.luck.random() < 0.02 and len(log.commits) > 3:
            del log.commits[-2:]
    by_id: dict[str, set[AlertEntry]] = {}
    for entry in log.alerts:
        by_id.setdefault(entry.id, set()).add(entry._replace(offset=-1, append_ns=0))
    assert {name: len(copies) for name, copies in by_id.items() if len(copies) > 1} == {}
    assert set(by_id) == {entry.id for entry in expected}
    behind: list[AlertEntry] = []
    highest = (-1, -1)
    for entry in log.alerts:
        if entry.source[1:] > highest:
            highest = entry.source[1:]
            behind.append(entry._replace(offset=-1, append_ns=0))
    assert behind == expected
    return log.crashes


@pytest.mark.parametrize("tight", [False, True])
def test_array_code_equals_the_plain_reference(*, tight: bool) -> None:
    """Every alert, its ordinal, time, interval and suppressed count are what one record at a time gives."""
    assert compare_with_plain(1, 700, tight=tight) > 100
    assert compare_with_plain(2, 700, tight=tight, falls=True) > 100


@given(seed=st.integers(0, 1 << 32), cuts=st.lists(st.integers(1, 30), max_size=20), tight=st.booleans(), falls=st.booleans())
def test_any_log_and_any_cuts_give_what_the_plain_reference_gives(
    *, seed: int, cuts: list[int], tight: bool, falls: bool
) -> None:
    """Out of order, counts, duplicates, mad clocks, ticks, crowds, reloads: cut anywhere, the alerts are the same."""
    compare_with_plain(seed, 120, cuts, tight=tight, falls=falls)


@pytest.mark.parametrize("seed", [11, 12])
def test_the_state_at_a_position_is_a_function_of_the_look_back(seed: int) -> None:
    """Wherever a takeover happens, what follows has the same bytes as without it."""
    assert rebuild_everywhere(seed, 500, 5, tight=seed == 12) == 100


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
@pytest.mark.parametrize("seed", range(100, 160))
def test_sixty_logs_come_through(seed: int) -> None:
    """The same promises over sixty logs, every position of each."""
    tight, falls = seed % 2 == 0, seed % 3 == 0
    assert compare_with_plain(seed, 700, tight=tight, falls=falls) > 20
    assert rebuild_everywhere(seed, 500, 4, tight=tight) == 125
    assert crash_everywhere(seed, 700) > 10
