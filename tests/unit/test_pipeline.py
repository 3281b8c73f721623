"""The spikes stage when its log refuses, or has lost what a rewind needs."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import msgspec
import pytest
from tests.reference.simulation import absence, rule

from spikebridge.alerts import DeviceInfo, read_finding
from spikebridge.errors import LogFull, LogUnavailable
from spikebridge.limits import MINUTE, SECOND
from spikebridge.logs.spool import Spool
from spikebridge.mapping.evidence import Identity
from spikebridge.mapping.rules import Device, RuleSet, rule_set_content
from spikebridge.pipeline import SpikesStage
from spikebridge.testing import FakeClock, MemoryLog

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from spikebridge.alerts import AlertEntry
    from spikebridge.logs import Commit
    from spikebridge.mapping.engine import DeadRecord, Taken
    from spikebridge.spikes.record import Record

SPIKE = msgspec.json.encode({"device_id": "cam", "neuron_id": 5})


class FullLog(MemoryLog):
    """A log that takes nothing while it is `full`."""

    full = False

    def append(self, values: Sequence[bytes]) -> int:
        """Append if there is room."""
        if self.full:
            raise LogFull("the spike log is at its limit")
        return super().append(values)


class Quiet:
    """An observer that hears nothing."""

    def batch(self, stage: SpikesStage, records: int, taken: Taken) -> None:
        """Ignore a batch."""

    def dead(self, log: str, partition: int, records: Sequence[DeadRecord]) -> None:
        """Ignore dead records."""


def publish(log: MemoryLog, neuron: int) -> None:
    """Publish a rule of one neuron."""
    log.publish(rule_set_content(RuleSet(rules=[rule("single", (neuron, neuron))])))


def opened(log: MemoryLog, clock: FakeClock) -> SpikesStage:
    """Open a stage over a log."""
    stage = SpikesStage(Identity("default", log.id, 0), log, log, log, Quiet(), clock)
    stage.open()
    return stage


def test_a_full_log_is_read_on_and_its_marker_comes_when_there_is_room() -> None:
    """What can't be appended, a marker or a tick, never stops what makes room: reading and committing."""
    clock = FakeClock()
    log = FullLog(clock)
    publish(log, 5)
    stage = opened(log, clock)
    log.append([SPIKE])
    publish(log, 6)
    log.full = True
    clock.advance(20 * SECOND)

    assert stage.step() == 1
    clock.advance(20 * SECOND)
    assert stage.step() == 0
    assert log.commits[-1].position == 1
    assert [alert.source[1] for alert in log.alerts] == [0]

    log.full = False
    clock.advance(SECOND)
    stage.step()
    assert stage.revision.number == 2


@pytest.mark.parametrize("kept_from", [48, 50])
@pytest.mark.parametrize("deaths", [0, 1, 3])
def test_a_cut_rewind_raises_its_gap_however_often_the_owner_dies_before(kept_from: int, deaths: int) -> None:
    """The gap stands in the commit until it was raised, beyond what readers have seen; markers on the way don't hide it."""
    clock = FakeClock()
    log = MemoryLog(clock)
    publish(log, 5)
    stage = opened(log, clock)
    for _ in range(50):
        log.append([SPIKE])
        clock.advance(MINUTE)
        stage.step()
    before = len(log.alerts)
    log.drop_before(kept_from)
    stage = opened(log, clock)
    for number in range(deaths):
        publish(log, 5 + number % 2)
        clock.advance(SECOND)
        stage.step()
        stage = opened(log, clock)
    log.append([SPIKE])
    while stage.step():
        clock.advance(SECOND)

    found = [(entry.source[1], read_finding(entry.body).rule.id) for entry in log.alerts[before:]]
    assert [(offset, name) for offset, name in found if name == "log_gap"] == [(50, "log_gap")]
    assert stage.revision.number == log.newest()

    stage = opened(log, clock)
    log.append([SPIKE])
    clock.advance(SECOND)
    stage.step()
    assert [read_finding(entry.body).rule.id for entry in log.alerts[before + len(found) :]] in (["single"], [])


def test_a_clock_that_is_set_back_stops_neither_ticks_nor_commits_nor_revisions(tmp_path: Path) -> None:
    """Silence is found in time while the wall clock lies an hour behind the log; what is due goes by time that passes."""
    clock = FakeClock()
    log = Spool(tmp_path, clock=clock, monotonic=clock.monotonic)
    camera = Device(info=DeviceInfo(id="cam", known=True))
    log.publish(rule_set_content(RuleSet(rules=[absence("silent", 40)], devices=[camera])))
    stage = SpikesStage(Identity("default", log.id, 0), log, log, log, Quiet(), clock)
    stage.open()
    log.append([SPIKE])
    stage.step()
    clock.step(-3_600 * SECOND)
    log.publish(rule_set_content(RuleSet(rules=[absence("silent", 40), rule("new", (6, 6))], devices=[camera])))
    for _ in range(60):
        clock.advance(SECOND)
        stage.step()

    assert [read_finding(entry.body).rule.id for entry in log.poll_alerts(0, 9)] == ["silent"]
    assert stage.revision.number == log.newest()
    committed = log.committed()
    assert committed is not None
    assert committed.position == stage.position
    assert log.bounds()[1] < 10
    log.close()


class Refusing(MemoryLog):
    """A log that refuses every other commit; as its own observer it refuses every other dead letter."""

    def __init__(self, clock: FakeClock) -> None:
        """Begin with a refusal of each."""
        super().__init__(clock)
        self._asked: Counter[str] = Counter()

    def commit(self, entries: Sequence[AlertEntry], commit: Commit, *, certain: bool = False) -> None:
        """Refuse, then take."""
        self._refuse("commit")
        super().commit(entries, commit, certain=certain)

    def batch(self, *_: object) -> None:
        """Ignore a batch."""

    def dead(self, *_: object) -> None:
        """Refuse, then take."""
        self._refuse("dead")

    def _refuse(self, what: str) -> None:
        self._asked[what] += 1
        if self._asked[what] % 2:
            raise LogFull("not now")


def test_what_was_matched_stays_until_log_and_observer_have_taken_it() -> None:
    """A refused commit or dead letter loses no alert, and nothing is matched a second time."""
    clock = FakeClock()
    log = Refusing(clock)
    publish(log, 5)
    stage = SpikesStage(Identity("default", log.id, 0), log, log, log, log, clock)
    with pytest.raises(LogFull):
        stage.open()
    stage.open()
    refused = 0
    for _ in range(5):
        clock.advance(MINUTE)
        log.append([SPIKE, b"rubbish"])
        while stage.lag or stage.pending:
            try:
                stage.step()
            except LogFull:
                refused += 1
                assert stage.pending

    assert [entry.source[1] for entry in log.alerts] == [0, 2, 4, 6, 8]
    assert refused > 5
    assert stage.counters["frames"] == 5


def test_an_error_of_the_log_costs_no_replay_and_one_in_the_middle_of_a_batch_does() -> None:
    """What was only asked for leaves the stage as it was; what was half done spoils it until it is opened anew."""

    class Away(MemoryLog):
        """Fails when asked to."""

        fails = ""

        def poll(self, position: int, max_bytes: int) -> list[Record]:
            """Be away, or hand out what no engine can take."""
            if self.fails == "poll":
                raise LogUnavailable("away")
            found = super().poll(position, max_bytes)
            return [record._replace(append_ns="no time") for record in found] if self.fails == "take" else found  # type: ignore[arg-type]

        def batch(self, *_: object) -> None:
            """Ignore a batch."""

        def dead(self, *_: object) -> None:
            """Ignore a dead letter."""

    clock = FakeClock()
    log = Away(clock)
    publish(log, 5)
    stage = SpikesStage(Identity("default", log.id, 0), log, log, log, log, clock)
    stage.open()
    log.append([SPIKE])
    log.fails = "poll"
    with pytest.raises(LogUnavailable):
        stage.step()
    assert not stage.spoiled
    log.fails = "take"
    with pytest.raises((TypeError, ValueError)):
        stage.step()
    assert stage.spoiled
    log.fails = ""
    stage.open()
    assert stage.step() == 1
    assert not stage.spoiled
    assert len(log.alerts) == 1


@pytest.mark.parametrize("behind_s", [0, 5, 15, 3_600])
def test_a_log_whose_clock_lies_behind_ours_gets_no_more_ticks(behind_s: int) -> None:
    """One each time that it has stood still for 10 s, by our own clock: there a tick is old as soon as it is appended."""
    clock, brokers = FakeClock(), FakeClock()
    brokers.step(-behind_s * SECOND)
    log = MemoryLog(brokers)
    publish(log, 5)
    stage = opened(log, clock)
    log.append([SPIKE])
    for _ in range(5 * 60):
        clock.advance(SECOND // 5)
        brokers.advance(SECOND // 5)
        stage.step()

    ticks = [record.append_ns - brokers() for record in log.read(range(1, log.bounds()[1]))]
    assert 5 <= len(ticks) <= 6
