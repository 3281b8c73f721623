"""A device that its class watches: the class's habits, thresholds by the device's own days, until its own habits are learned."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

import numpy as np
import pytest
from tests.unit.detectors.sensing import HOUR_NS, Kept, loop, pieces
from tests.unit.detectors.traffic import packets, poller

from spikebridge_detectors.capture.columns import Transport
from spikebridge_detectors.elapsed import DAY_NS, SECOND_NS
from spikebridge_detectors.errors import ModelError
from spikebridge_detectors.evaluate.data import between, joined
from spikebridge_detectors.evaluate.inject import inject
from spikebridge_detectors.evidence import read
from spikebridge_detectors.replay import replayed
from spikebridge_detectors.sense import device as device_module
from spikebridge_detectors.sense import lesson
from spikebridge_detectors.sense.device import DAY_S, Settings
from spikebridge_detectors.sense.sensor import Taught
from spikebridge_detectors.sense.state import State
from spikebridge_detectors.sense.watch import Watch, witness
from spikebridge_detectors.timing import detector as timing
from spikebridge_detectors.timing.calibrate import Budget
from spikebridge_detectors.timing.detector import Timing
from spikebridge_detectors.timing.evidence import unpack
from spikebridge_detectors.timing.learning import MOST_DAYS, adapted
from spikebridge_detectors.timing.ticks import Thresholds

if TYPE_CHECKING:
    from spikebridge_detectors.capture.columns import Packets
    from spikebridge_detectors.timing.learning import Learned

NAMES = ["meter"]
SETTINGS = Settings(learn_s=5 * DAY_S)
TOUCHY = Thresholds(spread=900, lasting=900, burst=60, spell=60, silence=400)


@pytest.fixture(scope="module")
def touchy() -> Learned:
    """Return what another device taught, with thresholds at which nearly each oddity of this one is an alarm."""
    return replace(Timing().learn(poller(hours=80, every=300, seed=2)), thresholds=TOUCHY)


def scanned(hours: int = 80, at: int = 60) -> Packets:
    """Return days of a device that each other hour does what none of its class does, with a slow scan on the third."""
    odd = packets(np.arange(1, hours, 2) * HOUR_NS + 1800 * SECOND_NS, transport=Transport.UDP, target_port=9999, length=700)
    own = joined([poller(hours=hours, every=300), odd])
    return inject(own, "scan", at * HOUR_NS, np.random.default_rng(1)) or pytest.fail("too few")


def sensed(folder: Path, own: Packets, size: int, touchy: Learned, *, beside: bool = False) -> tuple[Kept, State, list[str]]:
    """Sense a device of a class in pieces of a size."""
    target, said = Kept(), list[str]()
    with State(folder) as state:
        one = loop(state, target, said, SETTINGS._replace(beside=beside), {"meter": Taught(touchy, b"classes!")})
        for piece in pieces(own, size):
            one.advance(piece, NAMES)
            watching = one.sensor.devices["meter"]
            if beside and watching.lesson is not None:
                while not watching.lesson:
                    pass
        one.save()
    return target, state, said


def hours(target: Kept) -> list[int]:
    """Return the hours of alarms."""
    words = [frame.decode().split() for frame in target.frames]
    return [int(word[3]) // HOUR_NS for word in words if word[5] != "lives"]


def test_after_a_day_thresholds_are_the_devices_own(tmp_path: Path, touchy: Learned) -> None:
    """Alarms for nothing end with its first day, an attack on the third is found, and the digest stays the model's."""
    target, _, said = sensed(tmp_path, scanned(), 100, touchy)
    found = hours(target)
    first, later = ([hour for hour in found if hour in day] for day in (range(24), range(24, 80)))
    assert len(first) >= 11
    assert len([hour for hour in later if hour not in (60, 61)]) < len(first) / 4
    assert set(later) & {60, 61}
    assert {frame.split(b" ")[6] for frame in target.frames if b"lives" not in frame} == {b"classes!".hex().encode()}
    assert said == []


def test_they_are_those_of_its_whole_days_however_the_capture_is_cut(tmp_path: Path, touchy: Learned) -> None:
    """A restart goes on from them too: they are in what is saved."""
    own = scanned()
    wanted = adapted(touchy, between(own, 0, int(own.time_ns[0]) + 3 * DAY_NS), Budget())
    assert wanted.thresholds.spread > TOUCHY.spread
    frames = []
    for size in (97, 100_000):
        target, state, _ = sensed(tmp_path / str(size), own, size, touchy)
        watch = state.saved.devices[0].watch or pytest.fail("not watched")
        assert unpack(watch.timing)[0].thresholds == wanted.thresholds
        frames.append(sorted(hours(target)))
    assert frames[0] == frames[1]
    with State(tmp_path / "97") as state:
        again = loop(state, Kept(), [], SETTINGS, {"meter": Taught(touchy, b"classes!")})
        held = again.sensor.devices["meter"].watch or pytest.fail("not watched")
    assert held.learned.thresholds == wanted.thresholds


def test_evidence_of_an_adapted_device_is_the_same_after_a_restart(touchy: Learned) -> None:
    """Also of one that ended just after thresholds were set: what is sent twice is sent as the same bytes."""
    first, second, third = (packets(np.array([after]) * SECOND_NS) for after in (0, 500, 700))
    watch = Watch.of_class(touchy, b"classes!")
    watch.advance(first)
    watch.adapt(touchy)
    again = Watch.restored(watch.saved())
    for piece in (second, third):
        watch.advance(piece)
        again.advance(piece)
        assert again.saved() == watch.saved()
        again = Watch.restored(again.saved())


def test_nothing_is_told_of_the_last_second_that_was_learned_from(touchy: Learned) -> None:
    """A capture may end before a packet comes to be watched: what the network holds then has no evidence."""
    odd = packets(np.arange(20) * SECOND_NS, transport=Transport.UDP, target_port=9999, length=700)
    for watched in (False, True):
        watch = Watch.of_class(touchy, b"classes!")
        take = watch.advance if watched else watch.warm
        for piece in pieces(odd, 1):
            take(piece)
            if timing.end(touchy, deepcopy(watch.running)):
                break
        assert bool(watch.finish()) == watched


def test_alarms_at_the_end_of_all_time_have_evidence(touchy: Learned) -> None:
    """A clock may say anything: a second that ends later than can be said ends at the last that can."""
    times = (1 << 63) - 1 - SECOND_NS + np.arange(64) * SECOND_NS // 64
    watch = Watch.of_class(touchy, b"classes!")
    watch.advance(packets(times, transport=Transport.UDP, target_port=9999, length=700))
    found = watch.finish()
    assert {one.alarm.time_ns for one in found} == {(1 << 63) - 1}
    for one in found:
        said = read(witness("meter", one))
        assert one.alarm in replayed(said, Path(), lava=False).alarms


def test_beside_a_capture_that_does_not_wait_they_come_a_moment_later(tmp_path: Path, touchy: Learned) -> None:
    """Nothing is lost meanwhile, and the days are the same."""
    target, _, _ = sensed(tmp_path, scanned(), 50, touchy, beside=True)
    found = hours(target)
    assert sum(hour < 24 for hour in found) >= 11
    assert sum(24 < hour < 60 for hour in found) < 3
    assert set(found) & {60, 61}


def test_a_day_that_was_being_looked_at_when_the_process_ended_is_looked_at_by_the_next(
    tmp_path: Path, touchy: Learned, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not a day later. The first look lasts until the process has ended."""
    ended = Event()
    monkeypatch.setattr(device_module, "adapted", lambda kept, known: ended.wait(60) and lesson.adapted(kept, known))
    own, settings, classes = scanned(), SETTINGS._replace(beside=True), {"meter": Taught(touchy, b"classes!")}
    day = int(np.searchsorted(own.time_ns, own.time_ns[0] + DAY_NS))
    with State(tmp_path) as state:
        one = loop(state, Kept(), [], settings, classes)
        one.advance(next(pieces(own, day + 1)), NAMES)
        assert one.sensor.devices["meter"].lesson is not None
        one.save()
    ended.set()
    with State(tmp_path) as state:
        one = loop(state, Kept(), [], settings, classes)
        device = one.sensor.devices["meter"]
        one.advance(next(pieces(own, day + 2)), NAMES)
        while not device.lesson:
            assert device.lesson is not None
        one.sensor.wait(one.saved.now_ns or 0)
    assert device.watch
    assert device.watch.learned.thresholds.spread > TOUCHY.spread


def test_a_class_is_adapted_upwards_only(touchy: Learned) -> None:
    """A day without anything odd says little of what a device does in a month."""
    high = replace(touchy, thresholds=Thresholds(9000, 9000, 9000, 9000, 4000))
    assert adapted(high, poller(hours=24, every=300), Budget()).thresholds == high.thresholds
    low = adapted(touchy, poller(hours=24, every=300), Budget())
    assert low.habits is touchy.habits
    assert all(own >= known for own, known in zip(low.thresholds, TOUCHY, strict=True))


def test_an_attack_on_one_of_two_days_does_not_deafen(touchy: Learned) -> None:
    """The worst day is spared as soon as there are two."""
    day = poller(hours=48, every=300)
    attacked = inject(day, "scan", 30 * HOUR_NS, np.random.default_rng(1)) or pytest.fail("too few")
    clean, both = (adapted(touchy, found, Budget()).thresholds for found in (day, attacked))
    assert both.spread <= 1.5 * clean.spread


def test_days_to_adapt_to_are_bounded(touchy: Learned) -> None:
    """As those to learn from are."""
    with pytest.raises(ModelError, match=f"adapting: expected packets of 1 to {MOST_DAYS} days, found {MOST_DAYS + 1}"):
        adapted(touchy, packets(np.arange(MOST_DAYS + 1) * DAY_NS + SECOND_NS), Budget())
    with pytest.raises(ModelError, match="expected 1 to 16777216 packets of a device, found 0"):
        adapted(touchy, packets(np.zeros(0, np.int64)), Budget())


def test_packets_that_cannot_be_read_are_told_and_the_class_watches_on(tmp_path: Path, touchy: Learned) -> None:
    """With the thresholds of before; what can't be read is no device's day."""
    said = list[str]()
    with State(tmp_path) as state:
        one = loop(state, Kept(), said, SETTINGS, {"meter": Taught(touchy, b"classes!")})
        one.advance(between(scanned(), 0, 20 * HOUR_NS), NAMES)
        one.save()
        (kept,) = tmp_path.glob("learning/*/*.rows")
        kept.write_bytes(b"\xff" * kept.stat().st_size)
        one.advance(between(scanned(), 20 * HOUR_NS, 30 * HOUR_NS), NAMES)
        watch = one.sensor.devices["meter"].watch or pytest.fail("not watched")
    assert watch.learned.thresholds == TOUCHY
    assert [line.partition(": input")[0] for line in said] == ["meter: what its class knows isn't adapted to it"]
