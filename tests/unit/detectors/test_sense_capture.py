"""Sensing captures whose clock jumps, and those of which other devices are listed than before."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from tests.unit.detectors.sensing import HOUR_NS, Kept, loop, pieces
from tests.unit.detectors.traffic import poller

from spikebridge_detectors.capture.columns import Packets
from spikebridge_detectors.errors import ModelError
from spikebridge_detectors.sense.state import State

if TYPE_CHECKING:
    from pathlib import Path

NAMES = ["one", "two", "three"]


def three(hours: int = 84) -> Packets:
    """Return days of three devices that poll each minute, in the order of time."""
    each = [poller(hours=hours, every=60, seed=seed) for seed in range(3)]
    each = [packets._replace(device=np.full_like(packets.device, number)) for number, packets in enumerate(each)]
    both = Packets._make(np.concatenate(column) for column in zip(*each, strict=True))
    order = np.argsort(both.time_ns, kind="stable")
    return Packets._make(column[order] for column in both)


def sensed(folder: Path, packets: Packets) -> list[tuple[str, int, str]]:
    """Return device, hour and neuron of what is told of packets in small pieces."""
    target = Kept()
    with State(folder) as state:
        one = loop(state, target, [])
        for piece in pieces(packets, 60):
            one.advance(piece, NAMES)
        one.finish()
    split = [frame.decode().split() for frame in target.frames]
    return [(words[2], int(words[3]) // HOUR_NS, words[5]) for words in split if words[5] != "lives"]


def test_a_clock_that_is_set_back_tells_each_silence_once(tmp_path: Path) -> None:
    """Set two hours ahead for half an hour, all devices seem silent once, and not again in each piece until the clock has caught up."""
    packets = three()
    ahead = (packets.time_ns >= 76 * HOUR_NS) & (packets.time_ns < 76.5 * HOUR_NS)
    found = sensed(tmp_path, packets._replace(time_ns=packets.time_ns + np.where(ahead, 2 * HOUR_NS, 0)))
    for neuron in ("52", "54"):
        assert sorted(name for name, _, other in found if other == neuron) == sorted(NAMES)


def test_a_table_that_is_sorted_by_device_tells_no_silence(tmp_path: Path) -> None:
    """The time of one that is over isn't that of the next."""
    packets = three()
    order = np.argsort(packets.device, kind="stable")
    found = sensed(tmp_path, Packets._make(column[order] for column in packets))
    assert not {neuron for _, _, neuron in found} & {"52", "54"}


@pytest.mark.parametrize("others", [[0], [0, 2], [0, 1, 2]])
def test_other_devices_of_a_capture_that_was_read_in_part_are_refused(others: list[int], tmp_path: Path) -> None:
    """How far it was read is counted in packets of devices: read on, some would be dealt with twice or never. Nothing is changed by it."""
    packets, target = three(2), Kept()
    listed = [Packets._make(column[np.isin(packets.device, some)] for column in packets) for some in ([0, 1], others)]
    begun = Packets._make(column[:400] for column in listed[0])

    def read(pieced: list[Packets], *, over: bool = True) -> int:
        with State(tmp_path) as state:
            one = loop(state, target, [])
            for piece in pieced:
                one.advance(piece, NAMES)
            (one.finish if over else one.save)()
            return one.sensor.packets

    assert read([begun], over=False) == 400
    before = (tmp_path / "sense.state").read_bytes()
    for other in (list(pieces(listed[1], 70)), []):
        with pytest.raises(
            ModelError, match="expected the 400 packets that were dealt with before, found others: leave what was read"
        ):
            read(other)
        assert (tmp_path / "sense.state").read_bytes() == before
    assert read(list(pieces(listed[0], 70))) == len(listed[0].time_ns) - 400
