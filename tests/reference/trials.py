"""What is tried on simulated logs: the plain reference, a take-over at every position, crashes of every owner at every step."""

from __future__ import annotations

import random
from bisect import bisect_left
from collections import Counter
from typing import TYPE_CHECKING

from tests.reference.plain import PlainAlert, PlainEngine
from tests.reference.simulation import LIMITS, START_NS, Simulation, revisions

from spikebridge.alerts import alert_entry
from spikebridge.delivery import without_repeats
from spikebridge.errors import LogError
from spikebridge.limits import SECOND
from spikebridge.mapping.engine import Engine
from spikebridge.mapping.evidence import Identity
from spikebridge.mapping.rules import rule_set_content
from spikebridge.pipeline import SpikesStage
from spikebridge.testing import FakeClock, MemoryLog

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spikebridge.alerts import AlertEntry
    from spikebridge.logs import Commit, Record
    from spikebridge.mapping.engine import Taken
    from spikebridge.mapping.evidence import Raised

FOLLOWED_NS = 200 * SECOND
"""Longer than a late frame, the longest window and two suppressions after it could tell."""

IDENTITY = Identity("default", "simulated", 0)
REVISIONS = revisions()


def engine(records: Sequence[Record], number: int = 1, *, live: bool = True) -> Engine:
    """Make a new engine over these records."""
    held = {record.offset: record for record in records}
    return Engine(
        IDENTITY._replace(live=live), REVISIONS[number], REVISIONS.get, lambda offsets: [held[at] for at in offsets if at in held]
    )


def sealed(taken: Taken) -> list[AlertEntry]:
    """Return the alerts as the bytes that reach the alert log."""
    return [alert_entry(raised.alert, raised.evidence) for raised in taken.alerts]


def matched(records: Sequence[Record], seed: int, *, live: bool = True) -> tuple[Engine, list[AlertEntry]]:
    """Match a whole log in batches of random size; return the engine and its entries."""
    cuts, found, low = random.Random(seed), [], 0
    whole = engine(records, live=live)
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


def compare_with_plain(seed: int, count: int, cuts: Sequence[int] = (), *, live: bool = True, **kind: bool) -> int:
    """Hold the array code equal to the plain reference; return how many alerts there were."""
    records = Simulation(seed, **kind).records(count)
    plain = PlainEngine(REVISIONS[1], REVISIONS, live=live)
    expected = [alert for record in records for alert in plain.take(record)]
    whole = engine(records, live=live)
    found, low = [], 0
    for cut in cuts or [random.Random(seed).choice([1, 3, 20, 200]) for _ in records]:
        found += [plain_of(raised) for raised in whole.take(records[low : low + cut]).alerts]
        low += cut
    found += [plain_of(raised) for raised in whole.take(records[low:]).alerts]

    assert found == expected
    return len(expected)


def rebuild_everywhere(seed: int, count: int, *, live: bool = True, **kind: bool) -> int:
    """Rebuild the state at every position and compare what follows with the crash-free run; return the positions tried."""
    records = Simulation(seed, **kind).records(count)
    whole, found = matched(records, seed, live=live)
    pairs = whole.pairs
    largest = [max(record.append_ns for record in records[: at + 1]) for at in range(len(records))]
    tried = 0
    for position in range(1, count):
        begin = bisect_left(largest, largest[position - 1] - LIMITS.look_back_ns)
        end = bisect_left(largest, largest[position - 1] + FOLLOWED_NS)
        known = [pair for pair in pairs if pair[0] <= position]
        in_force = [number for offset, number in known if offset <= begin][-1]
        again = engine(records, in_force, live=live)
        again.replay(records[begin:position], known)
        after = sealed(again.take(records[position:end]))
        assert after == [entry for entry in found if position <= entry.source[1] < end], f"position {position} of log {seed}"
        tried += 1
    return tried


CRASH_PLACES = {"before the batch", "before the alerts", "between alerts and position", "after the commit"}


class Crash(LogError):  # noqa: N818 -- what happens to a process, not a fault of ours
    """The process dies here."""


class Fragile(MemoryLog):
    """A log whose user dies at random before or after an append or a commit."""

    def __init__(self, clock: FakeClock, seed: int) -> None:
        """Begin empty; the seed decides when its user dies."""
        super().__init__(clock, "simulated", falls=True)
        self.luck = random.Random(seed)
        self.crashes: Counter[str] = Counter()

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

    def die(self, chance: float, place: str) -> None:
        """Crash with a chance."""
        if self.luck.random() < chance:
            self.crashes[place] += 1
            raise Crash(place)

    def commit(self, entries: Sequence[AlertEntry], commit: Commit, *, certain: bool = False) -> None:  # noqa: ARG002 -- it always is
        """Append the entries first, some of them, and the position only if all of them were."""
        self.die(0.05, "before the alerts")
        for entry in entries:
            self._append_alerts([entry])
            self.die(0.03, "between alerts and position")
        self.commits.append(commit)
        self.die(0.05, "after the commit")

    def poll(self, position: int, _max_bytes: int) -> list[Record]:
        """Small batches: more places to die at."""
        self.die(0.03, "before the batch")
        return super().poll(position, self.luck.choice([1, 200, 3_000]))


class Quiet:
    """An observer that hears nothing."""

    def batch(self, *_: object) -> None:
        """Ignore a batch."""

    def dead(self, *_: object) -> None:
        """Ignore dead records."""


def crash_everywhere(seed: int, count: int) -> Counter[str]:
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
    behind, _ = without_repeats(log.alerts, {})
    assert [entry._replace(offset=-1, append_ns=0) for entry in behind] == expected
    return log.crashes


def try_whole(seed: int) -> tuple[int, int, Counter[str]]:
    """Try everything on the logs of a seed: return alerts compared, positions rebuilt, crashes survived."""
    tight, falls = seed % 2 == 0, seed % 3 == 0
    alerts = compare_with_plain(seed, 400, tight=tight, falls=falls)
    positions = rebuild_everywhere(seed, 60, tight=tight)
    crashes: Counter[str] = Counter()
    for count in (200, 400, 700):  # as long as it must be to meet every place
        if set(crashes) != CRASH_PLACES:
            crashes = crash_everywhere(seed, count)
    return alerts, positions, crashes
