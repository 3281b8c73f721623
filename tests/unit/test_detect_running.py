"""What running networks costs: memory that what devices send can't raise, and time for those alone whose interval is over."""

from __future__ import annotations

import tracemalloc
from typing import TYPE_CHECKING

import numpy as np
import pytest
from tests.reference.detection import small

from spikebridge.detect.frames import Inputs
from spikebridge.detect.running import answer
from spikebridge.detect.served import MOST_STEPS, lines_of
from spikebridge.detect.states import States
from spikebridge.limits import SECOND
from spikebridge_detectors.model.header import Window

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from spikebridge.detect.served import Line
    from spikebridge_detectors.lif import State


def empty_frames(line: Line, frames: int) -> Inputs:
    """Return the longest frames that windows of a step and two of flush let in, without a spike, each of a device of its own."""
    zero = np.zeros(frames, np.int64)
    return Inputs(
        line=np.zeros(frames, np.int32),
        device=np.arange(frames, dtype=np.int32),
        append_ns=zero,
        start_ns=zero,
        end_ns=zero + (MOST_STEPS // 3 - 1) * line.step_ns,
        n=zero,
        neuron=np.zeros(0, np.uint32),
        time=np.zeros(0, np.int64),
    )


def test_many_frames_of_many_windows_take_no_more_memory_than_some() -> None:
    """Sixty bytes of a frame are thousands of windows: they are laid out piece by piece."""
    [line] = lines_of(small("cam", ("cam",), window=Window(steps=1, flush=2)))
    ran = []

    def silent(_line: Line, _states: list[State], words: NDArray[np.uint32], _steps: NDArray[np.int64]) -> NDArray[np.uint32]:
        ran.append(len(words))
        return np.zeros((len(words), 2, words.shape[2]), np.uint32)

    peaks = []
    for frames in (80, 320):
        tracemalloc.start()
        assert not len(answer(States(line), empty_frames(line, frames), SECOND, silent).frame)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()

    assert sum(ran) == 400 * (MOST_STEPS // 3)
    assert peaks[1] < 1.2 * peaks[0]


def test_a_device_is_forgotten_when_its_interval_is_over_and_not_before() -> None:
    """Whoever goes on in the next interval stays."""
    [line] = lines_of(small("cam", ("cam",), memory_s=20))
    states = States(line)
    first, second = np.arange(5, dtype=np.int32), np.array([3, 1], np.int32)
    states.begin(first, np.zeros(5, np.int64), np.zeros(5, np.int64))
    states.begin(second, np.ones(2, np.int64), np.zeros(2, np.int64))

    states.close(19 * SECOND)
    assert states.devices == 5
    states.close(20 * SECOND)
    assert states.devices == 2
    states.close(40 * SECOND)
    assert states.devices == 0


class Seen(int):
    """A device whose look-ups are counted."""

    __slots__ = ()
    looks = 0

    def __hash__(self) -> int:
        """Be looked up once more."""
        Seen.looks += 1
        return super().__hash__()


@pytest.mark.parametrize("over", [0, 1, 70])
def test_those_whose_interval_goes_on_are_not_looked_at(over: int) -> None:
    """Of ten thousand devices only those that are dropped are, and the first that isn't."""
    [line] = lines_of(small("cam", ("cam",), memory_s=20))
    states, devices = States(line), np.array([Seen(number) for number in range(10_000)], object)
    states.begin(devices, np.zeros(len(devices), np.int64), np.zeros(len(devices), np.int64))
    stay = devices[over:]
    states.begin(stay, np.ones(len(stay), np.int64), np.zeros(len(stay), np.int64))

    Seen.looks = 0
    states.close(20 * SECOND)
    assert states.devices == len(stay)
    assert 0 < Seen.looks <= 10 * (over + 1)
