"""The rules of the log as the state, over topics: owners that die, that were put out and don't know it, and commits set back."""

from __future__ import annotations

import random
from bisect import bisect_left
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.fuzzing import fuzz
from tests.reference.plant import HERE, SPIKES, Plant
from tests.reference.simulation import LIMITS, START_NS, Simulation
from tests.reference.trials import FOLLOWED_NS, IDENTITY, REVISIONS, Quiet, engine, matched, sealed

from spikebridge.delivery import without_repeats
from spikebridge.errors import LogError
from spikebridge.logs.kafka.spikes import SpikeCommits, SpikePartition
from spikebridge.mapping.rules import rule_set_content
from spikebridge.pipeline import SpikesStage
from spikebridge.testing import FakeClock

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spikebridge.alerts import AlertEntry
    from spikebridge.kafka.client import Place
    from spikebridge.logs import Record

MS = 1_000_000
FAULTS = {"before", "half", "after", "commit refused", "commit set back", "put out", "dead", "dead in a replay"}


class Given:
    """The revisions of the simulation, under the numbers that its markers name."""

    def publish(self, content: bytes) -> int:
        """Publish nothing."""
        raise AssertionError(content)

    def revision(self, number: int) -> bytes | None:
        """Return a content."""
        return rule_set_content(REVISIONS[number].rule_set) if number in REVISIONS else None

    def newest(self) -> int:
        """Begin with the first: later ones come by the log's own markers."""
        return 1


class Written(SpikePartition):
    """A log to which owners add nothing: its ticks and markers are part of it."""

    def append(self, _values: Sequence[bytes]) -> int:
        """Append nothing."""
        return self.bounds()[1]


class Owner:
    """A life of the stage over the simulated log."""

    def __init__(self, plant: Plant) -> None:
        """Join; the rewind is the first step."""
        self.intake, self.member = plant.intake(), plant.member("stage")
        home, producer = plant.home(SPIKES), plant.kafka.client().producer()
        log = Written(home, HERE, self.intake, producer, clock=plant.clock, switches="marker", keys=False)
        commits = SpikeCommits(home, HERE, self.member, plant.topic())
        self.stage = SpikesStage(IDENTITY, log, commits, Given(), Quiet(), plant.clock)
        self.opened = False

    def step(self) -> int:
        """Do what a crew does in a round."""
        self.member.hear()
        self.member.changes()
        self.intake.fill(0.0)
        if not self.opened:
            self.stage.rewind()
            self.opened = True
            return 1
        if self.stage.replaying:
            return self.stage.replay() or 1
        return self.stage.step() or int(self.stage.lag > 0)


class Trial:
    """Owners over one simulated log, with whatever happens to them."""

    def __init__(self, seed: int, count: int) -> None:
        """Write the log; brokers stamp whole milliseconds."""
        written = Simulation(seed, falls=seed % 3 == 0).records(count)
        self.records = [record._replace(append_ns=record.append_ns // MS * MS) for record in written]
        _, self.expected = matched(self.records, seed)
        self.luck = random.Random(seed)
        self.happened: Counter[str] = Counter()
        self.plant = Plant(clock=FakeClock(START_NS))
        for record in self.records:
            self.plant.kafka.partition(SPIKES).append(record.value, record.key, record.append_ns)
        self._places: list[Place] = []
        self._planned: dict[str, str] = {}

    def run(self) -> None:
        """Go on until an owner that nothing happened to is at the end."""
        owners: list[Owner] = []
        while True:
            if not owners or self.luck.random() < 0.03:
                owners = [Owner(self.plant), *owners[:1]]
            owner = self.luck.choice(owners)
            self.plant.clock.advance(self.luck.randint(0, 2_000_000_000))
            self._disturb()
            try:
                if not owner.step() and owner is owners[0]:
                    owner.stage.close()
                    return
            except LogError:
                if not owner.stage.pending or self.luck.random() < 0.5:
                    owners.remove(owner)
            if self.luck.random() < 0.03 and owner in owners:
                self.happened["dead in a replay" if owner.opened and owner.stage.replaying else "dead"] += 1
                owners.remove(owner)

    def _disturb(self) -> None:
        kafka, state = self.plant.kafka, self.plant.kafka.groups.get("stage")
        for name, waiting in (("append", kafka.appends), ("commit", kafka.commits)):
            planned = self._planned.pop(name, "")
            self.happened[planned] += bool(planned and not waiting)
            waiting.clear()
        kafka.fetch = self.luck.choice([1, 3, 20])
        chance = self.luck.random()
        if chance < 0.3:
            fault = self.luck.choice(["before", "half", "after"])
            kafka.appends.append(fault)  # type: ignore[arg-type]
            self._planned["append"] = fault
        elif chance < 0.4:
            kafka.commits.append("no coordinator")
            self._planned["commit"] = "commit refused"
        if state and HERE in state.positions:
            self._places.append(state.positions[HERE])
            if chance > 0.97:
                state.positions[HERE] = self.luck.choice(self._places[-20:])
                self.happened["commit set back"] += 1
            elif chance > 0.94 and state.seats:
                kafka.evict("stage", self.luck.randrange(len(state.seats)))
                self.happened["put out"] += 1


def placeless(entries: Sequence[AlertEntry]) -> list[AlertEntry]:
    """Leave out what the log gave: offset, append time, and the number of the input."""
    return [entry._replace(offset=-1, append_ns=0, source=(0, *entry.source[1:])) for entry in entries]


@pytest.mark.parametrize("seed", [41, 42])
def test_crashes_lose_nothing_and_repeat_only_the_same_bytes(seed: int) -> None:
    """In the alert topic 0 lost, 0 foreign, no two copies that differ; behind a reader 0 twice."""
    trial = Trial(seed, 400)
    trial.run()

    found = trial.plant.entries()
    by_id: dict[str, set[AlertEntry]] = {}
    for entry in placeless(found):
        by_id.setdefault(entry.id, set()).add(entry)
    assert {name: len(copies) for name, copies in by_id.items() if len(copies) > 1} == {}
    assert by_id.keys() == {entry.id for entry in trial.expected}
    assert placeless(without_repeats(found, {})[0]) == trial.expected
    assert len(found) > len(trial.expected) > 50
    assert {name for name, times in trial.happened.items() if times} == FAULTS


@fuzz(few=12, many=300)
@given(seed=st.integers(0, 1 << 32), cuts=st.lists(st.integers(1, 30), min_size=1, max_size=12), tight=st.booleans())
def test_a_replay_in_steps_is_a_replay_at_once(seed: int, cuts: list[int], *, tight: bool) -> None:
    """Wherever it is cut, over reloads too: what follows has the bytes of a run without a takeover."""
    records = Simulation(seed, tight=tight).records(60)
    whole, found = matched(records, seed)
    position = 20 + seed % 40
    largest = [max(record.append_ns for record in records[: at + 1]) for at in range(len(records))]
    begin = bisect_left(largest, largest[position - 1] - LIMITS.look_back_ns)
    end = bisect_left(largest, largest[position - 1] + FOLLOWED_NS)
    known = [pair for pair in whole.pairs if pair[0] <= position]
    again = engine(records, [number for offset, number in known if offset <= begin][-1])
    for part in _cut(records[begin:position], cuts):
        again.replay(part, known)

    assert sealed(again.take(records[position:end])) == [entry for entry in found if position <= entry.source[1] < end]


def _cut(records: Sequence[Record], cuts: list[int]) -> list[Sequence[Record]]:
    """Cut into parts of these lengths, again and again."""
    parts: list[Sequence[Record]] = []
    low = 0
    while low < len(records):
        parts.append(records[low : low + cuts[len(parts) % len(cuts)]])
        low += len(parts[-1])
    return parts
