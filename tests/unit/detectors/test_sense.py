"""Sensing: a device is learned, then watched; what is told doesn't depend on restarts, and each alarm can be found again."""

from __future__ import annotations

import hashlib
import itertools
import struct
import time
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pytest
from tests.unit.detectors.sensing import HOUR_NS, SETTINGS, Kept, attacked, loop, pieces
from tests.unit.detectors.traffic import packets, poller

from spikebridge_detectors.capture.columns import Packets
from spikebridge_detectors.elapsed import SECOND_NS
from spikebridge_detectors.errors import ModelError
from spikebridge_detectors.evaluate.inject import inject
from spikebridge_detectors.sense import saved as files
from spikebridge_detectors.sense.device import DAY_S
from spikebridge_detectors.sense.rows import SEGMENT, Rows
from spikebridge_detectors.sense.sensor import MOST_DEVICES, Sensor, Taught
from spikebridge_detectors.sense.state import MOST_EVIDENCE, State
from spikebridge_detectors.sense.watch import witness
from spikebridge_detectors.timing.detector import Timing

if TYPE_CHECKING:
    from pathlib import Path

NAMES = ["meter"]


def sensed(folder: Path, size: int = 500, stops: tuple[int, ...] = ()) -> tuple[Kept, list[str]]:
    """Sense the attacked device in pieces; after some of them end, and begin again from the capture's beginning."""
    target, said = Kept(), list[str]()
    cut = list(pieces(attacked(), size))
    for stop in (*stops, len(cut)):
        with State(folder) as state:
            one = loop(state, target, said)
            for piece in cut[:stop]:
                one.advance(piece, NAMES)
            if stop == len(cut):
                one.finish()
            else:
                one.save()
    return target, said


def neurons(target: Kept) -> list[tuple[int, str]]:
    """Return hour and neuron of each alarm."""
    split = [frame.decode().split() for frame in target.frames]
    return [(int(words[3]) // HOUR_NS, words[5]) for words in split if words[5] != "lives"]


def test_a_device_is_learned_for_days_and_then_watched_by_network_and_rules(tmp_path: Path) -> None:
    """Nothing is told before; then the scan, the silence and the flood, by the numbers that mappings know."""
    target, said = sensed(tmp_path)
    found = neurons(target)
    assert min(hour for hour, _ in found) >= 72
    assert {neuron for hour, neuron in found if hour in (76, 77)} >= {"50"}
    assert {neuron for hour, neuron in found if 80 <= hour < 82} >= {"52", "54"}
    assert {neuron for hour, neuron in found if hour == 84} >= {"48", "53"}
    assert ["learned from" in line for line in said] == [True]
    assert not list((tmp_path / "learning").rglob("*.rows"))


def test_restarts_change_nothing_of_what_is_told(tmp_path: Path) -> None:
    """In the days of learning, at their end, and in the midst of an attack."""
    whole, _ = sensed(tmp_path / "whole")
    again, _ = sensed(tmp_path / "again", stops=(1, 3, 4, 5, 5))
    without_boot = [[frame.split(b" ", 1)[1] for frame in kept.frames] for kept in (whole, again)]
    assert without_boot[0] == without_boot[1]


def test_the_same_is_found_however_the_capture_is_cut(tmp_path: Path) -> None:
    """Alarms are those of the packets."""
    coarse, fine = (neurons(sensed(tmp_path / str(size), size)[0]) for size in (100_000, 97))
    assert sorted(coarse) == sorted(fine)


def test_alarms_in_every_piece_are_saved_once_a_second_at_most(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever sets them off all the time may not have the state of all devices written all the time."""
    now_s, saves = [100.0], list[float]()
    monkeypatch.setattr("spikebridge_detectors.sense.loop.time.monotonic", lambda: now_s[0])
    target, said = Kept(), list[str]()
    with State(tmp_path) as state:
        one = loop(state, target, said)
        save = state.save

        def counted(_: State, saved: files.Saved) -> None:
            saves.append(now_s[0])
            save(saved)

        monkeypatch.setattr(State, "save", counted)
        for piece in pieces(attacked(), 50):
            before = len(neurons(target))
            one.advance(piece, NAMES)
            if len(neurons(target)) > before:
                now_s[0] += 0.6
    assert len(neurons(target)) > 8
    assert len(saves) > 1
    assert min(later - sooner for sooner, later in itertools.pairwise([100.0, *saves])) >= 1


def test_an_interface_is_read_on_while_a_device_is_learned(tmp_path: Path) -> None:
    """One device after the other; what is attacked after that is found, and a process that ends meanwhile begins the lesson again."""
    target, said = Kept(), list[str]()
    settings = SETTINGS._replace(beside=True)
    days, rest = (Packets._make(column[part] for column in attacked()) for part in (slice(1850), slice(1850, None)))
    both = Packets._make(np.repeat(column, 2) for column in days)
    both = both._replace(device=np.tile(np.array([0, 1], np.int32), len(days.time_ns)))
    with State(tmp_path) as state:
        one = loop(state, target, said, settings)
        one.advance(both, ["meter", "other"])
        assert not any(device.learned for device in one.sensor.devices.values())
        one.save()
    with State(tmp_path) as state:
        one = loop(state, target, said, settings)
        nothing, last_ns = Packets._make(column[:0] for column in days), int(days.time_ns[-1])
        one.advance(both, ["meter", "other"])
        for step in range(4000):
            one.advance(packets([last_ns + step], device=step % 2), ["meter", "other"])
            one.advance(nothing, ["meter", "other"], last_ns + 4000)
            if all(device.learned for device in one.sensor.devices.values()):
                break
            time.sleep(0.01)
        one.advance(rest, NAMES)
    assert {line.partition(":")[0] for line in said} == {"meter", "other"}
    assert {"48", "50", "52", "53"} <= {neuron for _, neuron in neurons(target)}


def test_a_device_says_that_it_lives_once_in_five_minutes_of_its_packets(tmp_path: Path) -> None:
    """While it is learned too."""
    target, said = Kept(), list[str]()
    with State(tmp_path) as state:
        one = loop(state, target, said)
        one.advance(packets(np.arange(1200) * SECOND_NS), NAMES)
        one.advance(packets(np.arange(1200, 1300) * SECOND_NS), NAMES)
        one.advance(packets(np.zeros(0, np.int64)), NAMES)
    assert [int(frame.split()[3]) // SECOND_NS for frame in target.frames] == [0, 300, 600, 900, 1200]


def test_a_device_that_is_too_busy_to_be_learned_is_told_once(tmp_path: Path) -> None:
    """So many packets come that less than three days of them are kept; it goes on, and is tried again each day."""
    said = list[str]()
    with State(tmp_path) as state:
        one = loop(state, Kept(), said, SETTINGS._replace(rows=2 * SEGMENT))
        for piece in pieces(poller(hours=124, every=10), 10_000):
            one.advance(piece, NAMES)
        device = one.sensor.devices["meter"]
    assert device.watch is None
    assert device.until_s > SETTINGS.learn_s + 2 * DAY_S
    kept, busy = said
    assert kept == "meter: the oldest packets to learn from are dropped from here on: 32,768 are kept at most"
    assert busy == "meter: too busy to be learned: more than 0.11 packets a second came; it is tried again each day"


def test_a_device_of_a_known_class_is_watched_while_it_is_learned(tmp_path: Path) -> None:
    """By what the class taught, with the model's digest; by what it taught itself once that is known, and so after a restart."""
    taught = Taught(Timing().learn(poller(hours=80, every=300, seed=2)), b"classes!")
    early = inject(poller(hours=90, every=300), "scan", 20 * HOUR_NS, np.random.default_rng(1))
    late = inject(early or pytest.fail("too few"), "scan", 80 * HOUR_NS, np.random.default_rng(1))
    target, said = Kept(), list[str]()
    cut = list(pieces(late or pytest.fail("too few"), 100))
    for stop in (3, len(cut)):
        with State(tmp_path) as state:
            one = loop(state, target, said, classes={"meter": taught})
            for piece in cut[:stop]:
                one.advance(piece, NAMES)
            one.save()
    digests = {hour < 72: {frame.split(b" ")[6] for frame in target.frames if alarm(frame, hour)} for hour in (20, 80)}
    assert digests[True] == {b"classes!".hex().encode()}
    assert len(digests[False]) == 1
    assert digests[False] != digests[True]


def test_a_class_that_is_named_later_and_a_new_model_watch_from_the_next_start_on(tmp_path: Path) -> None:
    """A restart with the same model goes on, also if none is named any more; what a device taught itself stays."""
    learned = Timing().learn(poller(hours=80, every=300, seed=2))
    saved: list[files.SavedDevice] = []
    found = []
    for piece, digest in zip(
        pieces(poller(hours=72, every=300), 100), (b"", b"model-v1", b"model-v1", b"", b"model-v2"), strict=False
    ):
        classes = {"meter": Taught(learned, digest)} if digest else None
        sensor = Sensor(tmp_path, SETTINGS, list[str]().append, witness, classes)
        sensor.restore(saved)
        watch = sensor.devices["meter"].watch if saved else None
        found.append((watch.digest, watch.running.last_ns is not None) if watch else None)
        sensor.advance(piece, NAMES)
        saved = sensor.saved()
    assert found == [None, (b"model-v1", False), (b"model-v1", True), (b"model-v1", True), (b"model-v2", False)]
    own = Sensor(tmp_path, SETTINGS, list[str]().append, witness, {"meter": Taught(learned, b"model-v3")})
    own.restore([msgspec.structs.replace(saved[0], learned=True)])
    assert (own.devices["meter"].watch or pytest.fail("not watched")).digest == b"model-v2"


def alarm(frame: bytes, hour: int) -> bool:
    """Say whether a frame is an alarm of an hour or the next one."""
    words = frame.decode().split()
    return words[5] != "lives" and int(words[3]) // HOUR_NS in (hour, hour + 1)


def test_rows_to_learn_from_are_bounded_for_a_device_and_for_all(tmp_path: Path) -> None:
    """The oldest are dropped, with a message, of the device that has most."""
    said = list[str]()
    sensor = Sensor(tmp_path, SETTINGS._replace(rows=2 * SEGMENT, all_rows=3 * SEGMENT), said.append, witness)
    for name in ("busy", "calm"):
        sensor.advance(packets(np.arange(3 * SEGMENT)), [name])
    kept = {name: len(device.rows) for name, device in sensor.devices.items()}
    assert kept == {"busy": SEGMENT, "calm": 2 * SEGMENT}
    assert [line.partition(":")[0] for line in said] == ["busy", "calm"]


def test_devices_are_bounded_and_names_that_logs_refuse_are_told(tmp_path: Path) -> None:
    """Once each; who makes up addresses can't fill the memory."""
    said = list[str]()
    sensor = Sensor(tmp_path, SETTINGS, said.append, witness)
    names = [f"device-{number}" for number in range(MOST_DEVICES + 5)]
    sensor.advance(packets(np.zeros(len(names), np.int64), device=np.arange(len(names), dtype=np.int32)), names)
    sensor.advance(packets([1], device=0), ["a\x1bb"])
    sensor.advance(packets([1], device=0), ["a\udcffb"])
    assert len(sensor.devices) == MOST_DEVICES
    assert [line.partition(":")[0] for line in said] == ["device device-1000", r"device 'a\x1bb'", r"device 'a\udcffb'"]


def test_rows_behind_the_last_save_are_cut_off_and_missing_ones_are_counted(tmp_path: Path) -> None:
    """What is saved says how many there are; a file that is shorter lost some."""
    rows = Rows(tmp_path)
    rows.add(poller(hours=72, every=20))
    rows.flush()
    total, some = len(rows), SEGMENT + 100
    assert total > some
    again = Rows(tmp_path, 0, some)
    assert (len(again), again.lost, len(again.read().time_ns)) == (some, 0, some)
    path = tmp_path / "0000000001.rows"
    path.write_bytes(path.read_bytes()[:-12])
    short = Rows(tmp_path, 0, some)
    assert (len(short), short.lost) == (SEGMENT, 100)


@pytest.mark.parametrize("place", [0, 8, 12, 30, 60, -1])
def test_a_damaged_state_is_refused(place: int, tmp_path: Path) -> None:
    """Wherever a byte was changed; and one that was cut."""
    path = tmp_path / "sense.state"
    files.write(path, files.Saved(boot=5))
    assert files.read(path) == files.Saved(boot=5)
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)
    with pytest.raises(ModelError, match=r"expected|damaged"):
        files.read(path)
    path.write_bytes(data[:-3])
    with pytest.raises(ModelError, match=r"expected|damaged"):
        files.read(path)


def test_a_state_that_somebody_changed_is_refused_or_runs(tmp_path: Path) -> None:
    """Its digest fits, its numbers don't: nothing else is raised, whatever comes next."""
    cut, luck = list(pieces(attacked(), 500)), np.random.default_rng(1)
    with State(tmp_path) as state:
        one = loop(state, Kept(), [])
        for piece in cut[:4]:
            one.advance(piece, NAMES)
        one.save()
    body, said = (tmp_path / "sense.state").read_bytes()[52:], list[str]()
    path, refused = tmp_path / "changed", 0
    changes = [(at, 0x80) for at in (body.index(b"meter"), *range(len(body) - 60, len(body)))]
    changes += [(int(at), int(luck.integers(256))) for at in luck.integers(0, len(body), 300)]
    for at, value in changes:
        changed = body[:at] + bytes([value]) + body[at + 1 :]
        path.write_bytes(struct.pack("<8sIQ32s", b"SPKSENSE", 1, len(changed), hashlib.sha256(changed).digest()) + changed)
        try:
            found = files.read(path)
            sensor = Sensor(tmp_path / "none", SETTINGS, said.append, witness)
            sensor.restore(found.devices if found else [])
            sensor.advance(cut[4], NAMES)
            sensor.wait(1 << 60)
        except ModelError:
            refused += 1
    assert 0 < refused < len(changes)


def test_a_state_that_was_begun_and_not_finished_changes_nothing(tmp_path: Path) -> None:
    """It lies beside the old one until it takes its place."""
    path = tmp_path / "sense.state"
    files.write(path, files.Saved(boot=5))
    path.with_suffix(".new").write_bytes(b"SPKSENSE half")
    assert files.read(path) == files.Saved(boot=5)
    files.write(path, files.Saved(boot=6))
    assert files.read(path) == files.Saved(boot=6)


def test_rows_that_nobody_wrote_begin_the_learning_anew(tmp_path: Path) -> None:
    """A disk that returns others than were written doesn't end the watch over all devices."""
    cut, said = list(pieces(attacked(), 500)), list[str]()
    with State(tmp_path) as state:
        one = loop(state, Kept(), said)
        one.advance(cut[0], NAMES)
        one.save()
        (path,) = (tmp_path / "learning").rglob("*.rows")
        path.write_bytes(b"\xff" * path.stat().st_size)
        for piece in cut[1:]:
            one.advance(piece, NAMES)
        assert one.sensor.devices["meter"].watch is None
    assert [line for line in said if "begins anew" in line]


def test_two_processes_never_share_a_state(tmp_path: Path) -> None:
    """The second is told."""
    with State(tmp_path), pytest.raises(ModelError, match="another process"):
        State(tmp_path)
    with State(tmp_path):
        pass


def dealt(state: State, path: Path, rows: int) -> int | None:
    """Deal with rows of a capture; return how many of it were dealt with before, nothing where it isn't read again."""
    with path.open("rb") as file:
        source = state.begin(file)
        if source is None:
            return None
        assert file.read() == path.read_bytes()
        state.save(msgspec.structs.replace(state.saved, sources=[*state.saved.sources[:-1], with_rows(source, rows)]))
        return source.rows


def with_rows(source: files.Source, rows: int) -> files.Source:
    """Return a source of which so many rows were dealt with."""
    return msgspec.structs.replace(source, rows=rows)


def test_a_capture_is_known_by_its_beginning(tmp_path: Path) -> None:
    """One that grew goes on, another begins, and one before the last isn't read again."""
    first, second = tmp_path / "a", tmp_path / "b"
    first.write_bytes(b"first")
    second.write_bytes(b"second")
    with State(tmp_path / "state") as state:
        assert dealt(state, first, 3) == 0
        first.write_bytes(b"first and more")
        assert dealt(state, first, 4) == 3
        assert dealt(state, second, 2) == 0
        assert dealt(state, first, 5) is None
        assert [(source.length, source.rows) for source in state.saved.sources] == [(14, 4), (6, 2)]


def test_a_capture_of_which_nothing_was_dealt_with_is_not_known(tmp_path: Path) -> None:
    """What begins with it, a header alone, is a capture of its own."""
    empty, hours = tmp_path / "0", [tmp_path / str(hour) for hour in range(1, 4)]
    empty.write_bytes(b"header")
    for number, path in enumerate(hours):
        path.write_bytes(b"header, hour %d" % number)
    with State(tmp_path / "state") as state:
        assert dealt(state, empty, 0) == 0
        assert [dealt(state, path, 120) for path in hours] == [0, 0, 0]
        assert dealt(state, hours[2], 120) == 120
        assert [dealt(state, path, 120) for path in hours[:2]] == [None, None]


def test_a_capture_that_begins_while_it_is_read_is_known_by_what_came_since(tmp_path: Path) -> None:
    """It was a header when it was opened."""
    path, other = tmp_path / "now", tmp_path / "other"
    path.write_bytes(b"header")
    other.write_bytes(b"header, and others")
    with State(tmp_path / "state") as state:
        with path.open("rb") as file:
            source = state.begin(file) or pytest.fail("unknown")
            path.write_bytes(b"header, " + b"x" * 5000)
            state.save(msgspec.structs.replace(state.saved, sources=[with_rows(source, 120)]))
        assert dealt(state, other, 7) == 0
        assert [source.length for source in state.saved.sources] == [4096, 18]
        assert dealt(state, path, 200) is None


def test_evidence_is_bounded(tmp_path: Path) -> None:
    """The oldest goes."""
    with State(tmp_path) as state:
        for number in range(MOST_EVIDENCE + 3):
            state.keep(f"{number:05}", b"x")
    names = sorted(path.stem for path in (tmp_path / "evidence").iterdir())
    assert (len(names), names[0]) == (MOST_EVIDENCE, "00003")


def test_a_silence_is_heard_while_it_lasts(tmp_path: Path) -> None:
    """On an interface the time goes on without packets."""
    clean = poller(hours=76, every=300)
    target, said = Kept(), list[str]()
    with State(tmp_path) as state:
        one = loop(state, target, said)
        one.advance(clean, NAMES)
        before = len(neurons(target))
        last_ns, nothing = int(clean.time_ns[-1]), Packets._make(column[:0] for column in clean)
        for minute in range(1, 120):
            one.advance(nothing, NAMES, last_ns + minute * 60 * SECOND_NS)
    assert {neuron for _, neuron in neurons(target)[before:]} >= {"52", "54"}
