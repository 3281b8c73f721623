"""The spikes stage when its log refuses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from tests.reference.simulation import rule

from spikebridge.errors import LogFull
from spikebridge.limits import SECOND
from spikebridge.mapping.evidence import Identity
from spikebridge.mapping.rules import RuleSet, rule_set_content
from spikebridge.pipeline import SpikesStage
from spikebridge.testing import FakeClock, MemoryLog

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spikebridge.mapping.engine import DeadRecord, Taken

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
