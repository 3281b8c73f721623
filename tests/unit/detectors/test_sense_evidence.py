"""Evidence of alarms that sensing finds: the alarm follows from it alone, and a frame can carry it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pytest
from tests.unit.detectors.sensing import HOUR_NS, Kept, attacked, loop, pieces

from spikebridge_detectors import evidence
from spikebridge_detectors.capture.columns import Packets
from spikebridge_detectors.capture.kinds import ROW, from_rows
from spikebridge_detectors.elapsed import SECOND_NS
from spikebridge_detectors.errors import ModelError
from spikebridge_detectors.evidence import MOST_SENT
from spikebridge_detectors.rules.clock import Clock
from spikebridge_detectors.sense import saved as files
from spikebridge_detectors.sense.saved import MOST_SINCE, Saved, SavedDevice
from spikebridge_detectors.sense.state import State
from spikebridge_detectors.sense.watch import Watch, witness
from spikebridge_detectors.timing.detector import advance, end
from spikebridge_detectors.timing.evidence import unpack

if TYPE_CHECKING:
    from pathlib import Path

NAME = '"' * 128
"""As long as a device's name may be, and twice that in JSON."""


def flood(first: Packets, begin_ns: int, count: int) -> Packets:
    """Return the packet again and again, some 100,000 times a second with a pause now and then."""
    every_ns = np.where(np.arange(count) % 5000, 10_000, 3 * SECOND_NS)
    same = Packets._make(np.resize(column[:1], count) for column in first)
    return same._replace(time_ns=begin_ns + np.cumsum(every_ns), flags=np.full(count, 2, np.uint8))


@pytest.fixture(scope="module")
def flooded() -> tuple[Watch, Packets]:
    """Return what watches a device that was learned, and the fourth day of its packets with a flood behind."""
    packets = attacked()
    learned = packets.time_ns < 72 * HOUR_NS
    watch = Watch.learn(Packets._make(column[learned] for column in packets), with_rules=True)
    fourth = Packets._make(column[~learned] for column in packets)
    more = flood(fourth, int(fourth.time_ns[-1]), 30_000)
    return watch, Packets._make(np.concatenate([column, flooding]) for column, flooding in zip(fourth, more, strict=True))


def test_each_alarm_of_the_network_is_found_again_in_its_evidence(tmp_path: Path) -> None:
    """Time, neuron and score, bit for bit, from the evidence alone."""
    target, said = Kept(), list[str]()
    with State(tmp_path) as state:
        one = loop(state, target, said)
        for piece in pieces(attacked(), 500):
            one.advance(piece, ["meter"])
        one.finish()
    told = [frame.decode().split(" ") for frame in target.frames]
    timing = [words for words in told if words[4] == "timing" and words[5] != "lives"]
    assert len(timing) > 3
    for words in timing:
        said_of, before, rows = evidence.read(bytes.fromhex(words[7]))
        learned, running = unpack(before)
        found = advance(learned, running, from_rows(rows), said_of.until_ns) + end(learned, running)
        assert (said_of.time_ns, said_of.neuron) == (int(words[3]), int(words[5]))
        assert (said_of.time_ns, said_of.kind, said_of.score) in [(one.time_ns, one.kind, one.score) for one in found]


@pytest.mark.parametrize("size", [MOST_SINCE, 700])
def test_a_frame_can_carry_the_evidence_of_any_alarm(size: int, flooded: tuple[Watch, Packets]) -> None:
    """In a flood too, whatever the device is called, and however its packets come."""
    watch = Watch.restored(flooded[0].saved())
    found = [one for piece in pieces(flooded[1], size) for one in watch.advance(piece)]
    assert {one.layer for one in found} == {"timing", "rules"}
    assert all(len(witness(NAME, one)) <= MOST_SENT for one in found)
    longest = found[0]._replace(since=bytes(MOST_SINCE * ROW.itemsize), until_ns=-(1 << 63))
    assert MOST_SENT - 1024 < len(witness(NAME, longest)) <= MOST_SENT


def test_a_state_with_more_rows_than_a_frame_carries_is_refused(flooded: tuple[Watch, Packets], tmp_path: Path) -> None:
    """However it came to be."""
    watch = Watch.restored(flooded[0].saved())
    watch.advance(Packets._make(column[:MOST_SINCE] for column in flooded[1]))
    device = SavedDevice("meter", Clock(), 0, 0, 0, None, True, watch.saved())
    files.write(tmp_path / "state", Saved(boot=1, devices=[device]))
    assert files.read(tmp_path / "state") is not None
    longer = msgspec.structs.replace(watch.saved(), since=watch.saved().since + bytes(12))
    files.write(tmp_path / "state", Saved(boot=1, devices=[msgspec.structs.replace(device, watch=longer)]))
    with pytest.raises(ModelError, match="since"):
        files.read(tmp_path / "state")
