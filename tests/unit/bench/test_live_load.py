"""The load of the live rows is what their conditions say: as many alerts as events that hit, or as bursts."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from spikebridge.bench.live import load
from spikebridge.bench.live.process import Lines, Sample, Watched
from spikebridge.limits import SECOND
from spikebridge.mapping.engine import alerts_of
from spikebridge.mapping.load import load as load_mapping
from spikebridge.spikes.record import Record

if TYPE_CHECKING:
    from pathlib import Path

    from spikebridge.mapping.rules import RuleSet

START_NS = 1_700_000_000 * SECOND


def rule_set(tmp_path: Path, text: str) -> RuleSet:
    """Load a mapping file."""
    (tmp_path / "mappings.yaml").write_text(text)
    return load_mapping([tmp_path / "mappings.yaml"], None).rule_set


@pytest.mark.parametrize("every", [1, 10, 100])
def test_every_event_that_hits_is_an_alert_of_its_own(tmp_path: Path, every: int) -> None:
    """Also when all are appended at the same moment, so that they share an interval."""
    made = list(load.events(2_000, mapped_every=every, partitions=4, start_ns=START_NS))
    records = [Record(at, START_NS + SECOND, one.value, one.device.encode()) for at, one in enumerate(made)]
    taken = alerts_of(rule_set(tmp_path, load.mapping(load.rows())), records)
    assert len(taken.alerts) == 2_000 // every
    assert not taken.dead
    assert 180 <= sum(len(one.value) for one in made) / len(made) <= 215


def test_a_device_stays_in_its_partition() -> None:
    """In events and in frames."""
    made = [*load.events(5_000, mapped_every=10, partitions=4, start_ns=START_NS)]
    made += load.frames(2_000, partitions=4, start_ns=START_NS, per_frame=30)
    where: dict[str, int] = {}
    assert all(where.setdefault(one.device, one.partition) == one.partition for one in made)
    assert len(Counter(where.values())) == 4


def test_bursts_cross_and_nothing_else_does(tmp_path: Path) -> None:
    """Over several rounds through all devices."""
    count = 1_500
    made = list(load.frames(count, partitions=4, start_ns=START_NS))
    records = [Record(at, START_NS + SECOND, one.value, one.device.encode()) for at, one in enumerate(made)]
    taken = alerts_of(rule_set(tmp_path, load.burst_mapping()), records)
    assert [raised.alert.device.id for raised in taken.alerts] == [f"burst-{at:07d}" for at in range(load.bursts(count))]
    assert taken.spikes == count * 1_000


def test_a_rate_is_that_from_the_first_twentieth_to_the_end() -> None:
    """Neither what came before nor the time after the end counts."""
    samples = [Sample(0, 0, 0), Sample(10, 100, 1), Sample(11, 500, 2), Sample(12, 1_000, 3), Sample(20, 1_000, 9)]
    watched = Watched(samples, 1_000)
    assert (watched.rate, watched.per_cpu_s, watched.seconds) == (450, 450, 2)


def test_lines_of_a_growing_file_are_counted_once(tmp_path: Path) -> None:
    """A line that isn't whole yet isn't one."""
    path = tmp_path / "out"
    lines = Lines(path)
    assert lines() == 0
    path.write_text("a\nb")
    assert lines() == 1
    with path.open("a") as file:
        file.write("b\n")
    assert lines() == 2
