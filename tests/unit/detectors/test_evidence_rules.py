"""Evidence of the simple rules: each alarm follows from it alone, and says what was measured against what is normal."""

from __future__ import annotations

import random
import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from tests.unit.detectors.sensing import HOUR_NS, attacked, pieces, watched

from spikebridge_detectors.capture.columns import Packets
from spikebridge_detectors.capture.kinds import ROW
from spikebridge_detectors.elapsed import DAY_NS, MOST_TIME_NS, SECOND_NS
from spikebridge_detectors.errors import ModelError
from spikebridge_detectors.evidence import Evidence, read
from spikebridge_detectors.replay import replayed
from spikebridge_detectors.rules import Rules, Running
from spikebridge_detectors.rules.again import found
from spikebridge_detectors.rules.evidence import SIZE, pack, unpack
from spikebridge_detectors.rules.told import sentence, told
from spikebridge_detectors.sense.watch import Watch, witness

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def days() -> tuple[Watch, Packets]:
    """Return what watches a device that was learned, and the fourth day of its packets: a scan, a silence and a flood."""
    return watched()


def ruled(watch: Watch, cut: Iterator[Packets], *, waits: bool = False) -> list[Evidence]:
    """Return the evidence of the rules' alarms in pieces, with a look at the clock behind each if it waits."""
    alarms = []
    for piece in cut:
        alarms += watch.advance(piece)
        for seconds in (30, 90, 1000, 5000) if waits else ():
            alarms += watch.wait(min(int(piece.time_ns[-1]) + seconds * SECOND_NS, MOST_TIME_NS))
    return [read(witness("meter", one)) for one in alarms if one.layer == "rules"]


@pytest.mark.parametrize(("size", "waits"), [(3, False), (7, True), (100, False), (100, True), (2000, False)])
def test_each_alarm_of_the_rules_is_found_again(size: int, waits: bool, days: tuple[Watch, Packets]) -> None:
    """Time, rule and score, bit for bit, however its packets come and whoever looks at the clock."""
    watch = Watch.restored(days[0].saved())
    evidence = ruled(watch, pieces(days[1], size), waits=waits)
    assert {one.said.kind for one in evidence} == {"rate", "silence", "ewma"}
    for one in evidence:
        assert len(one.state) == SIZE
        assert len(one.input) <= 2 * ROW.itemsize
        again = replayed(one, Path())
        assert (again.verdict, again.differences, list(again.engines)) == ("same", [], [])


@pytest.mark.parametrize("seed", range(8))
def test_times_of_any_kind_are_found_again(seed: int, days: tuple[Watch, Packets]) -> None:
    """Those that fall, stand still, or leap by days, and the last that there is."""
    luck = random.Random(seed)
    watch = Watch.restored(days[0].saved())
    first, at_ns, times = days[1], 90 * HOUR_NS, list[int]()
    for _ in range(200):
        at_ns += luck.choice([0, 10**6, 10**8, SECOND_NS, 60 * SECOND_NS, 60 * SECOND_NS, 2 * DAY_NS, -HOUR_NS])
        times += [at_ns] * luck.choice([1, 1, 30])
    times += [MOST_TIME_NS - luck.randrange(70 * SECOND_NS) for _ in range(20)]
    packets = Packets._make(np.resize(column[:1], len(times)) for column in first)._replace(time_ns=np.array(times))
    evidence = ruled(watch, pieces(packets, luck.choice([5, 13, 500])), waits=luck.random() < 0.5)
    assert evidence
    for one in evidence:
        assert replayed(one, Path()).differences == []
        assert sentence(told(one, found(one)[0]._replace(kind=one.said.kind, score=one.said.score)), "meter")


def test_what_was_measured_stands_beside_what_is_normal(days: tuple[Watch, Packets]) -> None:
    """Packets, seconds of silence, and a minute's packets with those that are usual."""
    watch = Watch.restored(days[0].saved())
    said = {}
    for one in ruled(watch, pieces(days[1], 100)):
        alarm = next(alarm for alarm in found(one) if alarm.kind == one.said.kind and alarm.score == one.said.score)
        said[one.said.kind] = sentence(told(one, alarm), "meter")
    assert said["rate"] == "meter: 21 packets within 10 s, where 20 are the most"
    assert said["silence"].startswith("meter: no packet for 7,")
    assert said["silence"].endswith(" s are the longest")
    assert re.fullmatch(
        r"meter: (\d+) packets in a minute, where about 0\.\d \(0\.0 to \d+\) are normal: \d\.\d deviations off, where \d\.\d are the most",
        said["ewma"],
    )


def test_a_state_goes_on_as_what_it_is_of(days: tuple[Watch, Packets]) -> None:
    """Of a device of which nothing came too."""
    fresh = Running.of(Rules(("rate", "silence", "ewma")).learn(attacked(80)))
    for running in (fresh, days[0].rules or pytest.fail("none")):
        assert unpack(pack(running)).watches == running.watches
        assert unpack(pack(running)).clock == running.clock
    with pytest.raises(ModelError, match="in this order"):
        pack(Running.of(Rules(("silence", "rate", "ewma")).learn(attacked(80))))


def test_a_state_that_no_device_comes_to_is_refused_or_runs(days: tuple[Watch, Packets]) -> None:
    """Whatever bytes stand in it."""
    watch = Watch.restored(days[0].saved())
    one = ruled(watch, pieces(days[1], 100))[0]
    luck, refused = random.Random(1), 0
    for _ in range(2000):
        changed = bytearray(one.state)
        for _ in range(luck.choice([1, 2, 8])):
            changed[luck.randrange(SIZE)] = luck.choice([0, 1, 0x7F, 0xFF, luck.randrange(256)])
        try:
            replayed(one._replace(state=bytes(changed)), Path())
        except ModelError:
            refused += 1
    assert 500 < refused < 2000
    for state in (b"", one.state[:-1], one.state + b"\0", b"\2" + one.state[1:]):
        with pytest.raises(ModelError, match="expected"):
            replayed(one._replace(state=state), Path())
