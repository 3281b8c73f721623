"""The detector of timing: packets of one device in, alarms out, in pieces of any size."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from spikebridge_detectors.alarm import Alarm
from spikebridge_detectors.capture.columns import Packets
from spikebridge_detectors.elapsed import MOST_TIME_NS, PIECE, SECOND_NS, elapsed
from spikebridge_detectors.timing import learning
from spikebridge_detectors.timing.calibrate import Budget
from spikebridge_detectors.timing.learning import ticks, weighed
from spikebridge_detectors.timing.marks import BINS, OTHER_PAIR, PAIRS, Seen, encode
from spikebridge_detectors.timing.surprise import cells, surprises
from spikebridge_detectors.timing.ticks import HELD_DOWN, MOST_SILENCE, Held, Spike, Tick, scan

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from spikebridge_detectors.timing.learning import Learned

TOLD_FOR = 3 * 3600
"""So many seconds what an alarm told is no surprise again: two streams that slide past each other would be told all day."""

TOLD_BEFORE = 1800
GOES_ON = 600
"""A neuron that fires again within so many seconds is set off by the same occasion, however long that lasts; it is told again once after as many."""

TOLD_EACH = 3600
"""Later an occasion that goes on is told each so many seconds."""

CELLS = 2 * PAIRS * BINS

_TELLS = np.arange(CELLS) // BINS % PAIRS != OTHER_PAIR
_LATEST = MOST_TIME_NS - SECOND_NS


class Occasion(NamedTuple):
    """What set off a neuron: the step in which it fired last, that in which it was told last, and whether that was again."""

    last: int
    told: int
    again: bool = False


@dataclass(slots=True)
class Running:
    """
    What is carried from piece to piece: last times, the neurons, the second that isn't over yet, and what alarms told.

    `day_s` is shorter where parts of a recording stand for days, and so is all the time for which an occasion goes on.
    """

    seen: Seen = field(default_factory=Seen)
    held: Held = field(default_factory=Held)
    last_ns: int | None = None
    elapsed_ns: int = 0
    tick: Tick | None = None
    device: int = 0
    ended_ns: dict[int, int] = field(default_factory=dict)
    surprised: NDArray[np.int64] = field(default_factory=lambda: np.full(CELLS, -TOLD_BEFORE))
    told: NDArray[np.int64] = field(default_factory=lambda: np.zeros(CELLS, np.int64))
    occasions: dict[str, Occasion] = field(default_factory=dict)
    day_s: int = learning.DAY_S

    def note(self, second: NDArray[np.int64], cells: NDArray[np.int64], surprised: NDArray[np.bool_]) -> None:
        """Note when each synapse surprised last."""
        np.maximum.at(self.surprised, cells[surprised], np.broadcast_to(second[:, None], cells.shape)[surprised])


@dataclass(frozen=True, slots=True)
class Timing:
    """Finds what comes, or stays away, at times that a device's habits don't explain."""

    budget: Budget = field(default_factory=Budget)
    day_s: int = learning.DAY_S

    def learn(self, packets: Packets) -> Learned:
        """Return what was learned of one device, from three days of its packets at least."""
        return learning.learn(packets, self.budget, self.day_s)

    def scan(self, packets: Packets, state: Learned, until_ns: int | None = None) -> list[Alarm]:
        """Return the alarms in packets of one device, up to its last, or up to a time until which no more came."""
        running = Running(day_s=self.day_s)
        found = advance(state, running, packets, until_ns)
        return found + end(state, running)


def advance(learned: Learned, running: Running, packets: Packets, now_ns: int | None = None) -> list[Alarm]:
    """
    Return the alarms in a piece of one device's packets, but for the second that isn't over.

    `now_ns` says that no packet came up to then, so that a silence is heard while it lasts.
    """
    found: list[Alarm] = []
    for first in range(0, len(packets.time_ns), PIECE):
        piece = Packets._make(column[first : first + PIECE] for column in packets)
        running.device = int(piece.device[0])
        second, end_ns = _clocked(running, piece.time_ns)
        running.ended_ns |= dict(zip(second.tolist(), end_ns.tolist(), strict=True))
        lines = encode(learned.alphabet, piece, running.seen)
        found += _ran(learned, running, _Met(second, cells(lines), np.stack(surprises(learned.habits, lines), axis=1), lines.new))
        kept = (running.held.heard, second[-1])
        running.ended_ns = {at: running.ended_ns[at] for at in kept if at in running.ended_ns}
    if now_ns is not None:
        second, _ = _clocked(running, np.array([now_ns]))
        if running.tick is not None and int(second[0]) > running.tick.second:
            found += end(learned, running)
        found += _alarms(learned, running, scan(learned.thresholds, running.held, (), until=int(second[0]) - 1))
    return found


def end(learned: Learned, running: Running) -> list[Alarm]:
    """Return the alarms of the last second: no packet of it comes any more."""
    over = [running.tick] if running.tick else []
    running.tick = None
    spikes = scan(learned.thresholds, running.held, over)
    _told(running, spikes)
    return _alarms(learned, running, spikes)


class _Met(NamedTuple):
    """Of each packet of a piece: its second, its two synapses, whether each surprised, and whether its mark is new."""

    second: NDArray[np.int64]
    cells: NDArray[np.int64]
    surprised: NDArray[np.bool_]
    new: NDArray[np.bool_]

    def between(self, first: int, last: int | None) -> _Met:
        """Return some of the packets."""
        return _Met._make(column[first:last] for column in self)

    def past(self, second: int) -> int:
        """Return the place of the first packet after a second."""
        return int(np.searchsorted(self.second, second, side="right"))


def _ran(learned: Learned, running: Running, met: _Met) -> list[Alarm]:
    """Run the seconds that are over, the last isn't; what an alarm tells is no surprise from the next second on."""
    spikes: list[Spike] = []
    while len(met.second):
        met = met._replace(surprised=met.surprised & (running.told[met.cells] <= met.second[:, None]))
        seconds = _joined(running.tick, ticks(met.second, weighed(met.surprised[:, 0], met.surprised[:, 1], met.new)))
        noted = 0
        for tick in seconds[:-1]:
            fired = scan(learned.thresholds, running.held, [tick])
            if not fired:
                continue
            spikes += fired
            until = met.past(tick.second)
            running.note(*met.between(noted, until)[:3])
            noted = until
            if _told(running, fired):
                running.tick = None
                break
        else:
            running.note(*met.between(noted, None)[:3])
            running.tick = seconds[-1]
            break
        met = met.between(noted, None)
    return _alarms(learned, running, spikes)


def _joined(tick: Tick | None, seconds: list[Tick]) -> list[Tick]:
    """Put the second that wasn't over before the others, or into the first of them."""
    if tick is None:
        return seconds
    if tick.second == seconds[0].second:
        return [Tick(tick.second, tick.surprises + seconds[0].surprises), *seconds[1:]]
    return [tick, *seconds]


def _told(running: Running, spikes: list[Spike]) -> bool:
    """Note what an alarm told, all that surprised in the half hour before it; say whether any of it is news."""
    steps = [spike.second for spike in spikes if spike.neuron != "silence"]
    if not steps:
        return False
    fresh = (running.surprised > steps[0] - TOLD_BEFORE) & (running.told <= steps[0]) & _TELLS
    running.told[fresh] = steps[0] + TOLD_FOR
    return bool(fresh.any())


def _clocked(running: Running, time_ns: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the second of each time since the device's first, and what its clock says at that second's end."""
    whole, part = divmod(running.elapsed_ns, SECOND_NS)
    since = elapsed(time_ns, running.last_ns) + part
    running.last_ns, running.elapsed_ns = int(time_ns[-1]), whole * SECOND_NS + int(since[-1])
    left = SECOND_NS - since % SECOND_NS
    return since // SECOND_NS + whole, np.minimum(time_ns, _LATEST) + left


def _alarms(learned: Learned, running: Running, spikes: list[Spike]) -> list[Alarm]:
    """Return spikes that tell of something new as alarms, at the time at which their step ends."""
    return [
        Alarm(
            min(running.ended_ns.get(spike.second, 0) + (spike.step - spike.second) * SECOND_NS, MOST_TIME_NS),
            running.device,
            spike.neuron,
            spike.held,
        )
        for spike in sorted(spikes)
        if _new(learned.thresholds.silence, running, spike)
    ]


def _new(silence: int, running: Running, spike: Spike) -> bool:
    """Note that a neuron fired, and say whether that is another occasion than the last time, or is to be told again: a silence that lasts is not, nor one of a device that is silent for longer than the timer tells."""
    if spike.neuron == "silence":
        return silence < MOST_SILENCE and spike.step - spike.second - silence < HELD_DOWN // 2
    goes_on, told_each = (seconds * running.day_s // learning.DAY_S for seconds in (GOES_ON, TOLD_EACH))
    before = running.occasions.get(spike.neuron)
    if before is None or spike.step - before.last > goes_on:
        running.occasions[spike.neuron] = Occasion(spike.step, spike.step)
        return True
    due = spike.step - before.told >= (told_each if before.again else goes_on)
    running.occasions[spike.neuron] = Occasion(spike.step, spike.step, again=True) if due else before._replace(last=spike.step)
    return due
