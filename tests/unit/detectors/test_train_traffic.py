"""Learning from captures: files in, the same as learning at once, and attacks of our own found on days held back."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import numpy as np
import pytest
from tests import captures
from tests.unit.detectors.traffic import poller

from spikebridge_detectors.capture.columns import Packets, Transport
from spikebridge_detectors.elapsed import DAY_NS, SECOND_NS
from spikebridge_detectors.errors import CaptureError
from spikebridge_detectors.timing import learning
from spikebridge_detectors.timing.calibrate import Budget
from spikebridge_detectors.train import gather, learned, traffic
from spikebridge_detectors.train.steps import straight
from spikebridge_detectors.train.traffic import Settings

if TYPE_CHECKING:
    from pathlib import Path

    from spikebridge_detectors.timing.learning import Learned

HEADER = "t,device,dir,peer,proto,sport,dport,len,flags\n"


def silent(_what: str, _done: int, _of: int) -> None:
    """Hear nothing."""


def table(path: Path, **devices: Packets) -> Path:
    """Write packets of devices as a table."""
    rows = [
        f"{time // SECOND_NS}.{time % SECOND_NS:09d},{name},{'o' if out else 'i'},{peer},{Transport(kind).name.lower()},{source},{target},{length},{flags:x}\n"
        for name, packets in devices.items()
        for time, _, out, peer, kind, source, target, length, flags in zip(*packets, strict=True)
    ]
    path.write_bytes(gzip.compress((HEADER + "".join(rows)).encode()))
    return path


def same(one: Learned, other: Learned) -> bool:
    """Say whether two have learned the same."""
    first, second = learned.arrays(one), learned.arrays(other)
    return all(np.array_equal(first[name], second[name]) for name in first)


def test_learning_step_by_step_is_learning_at_once(tmp_path: Path) -> None:
    """From a file, through arrays and back, for one device."""
    packets = poller(every=300, hours=80)
    read = gather.traffic([], [table(tmp_path / "week.csv.gz", meter=packets)], ["meter"], silent)
    assert [len(found.time_ns) for found in read.devices.values()] == [len(packets.time_ns)]
    found = traffic.learn(read.devices, Settings(), straight, silent)
    assert same(found, learning.learn(packets, Budget()))


def test_what_was_learned_comes_back_from_arrays() -> None:
    """All of it: alphabet, habits and thresholds."""
    what = learning.learn(poller(every=300), Budget())
    assert same(learned.learned(learned.arrays(what)), what)


def test_attacks_of_our_own_are_found_on_days_held_back() -> None:
    """By what the other days taught; each day once, with what is found of each device alone beside it."""
    devices = {"one": poller(every=300, hours=76, seed=1), "other": poller(every=300, hours=76, seed=2)}
    found = traffic.held_back(devices, Settings(seed=5), straight, silent)
    assert sorted(found.taught) == [0, 1, 2]
    assert {(one.device, one.day) for one in found.quiet} == {(name, day) for name in devices for day in range(3)}
    scans = [trial for trial in found.trials if trial.kind == "scan"]
    assert len(scans) == 2 * 3 * traffic.PLACES
    assert sum(trial.by_class is not None for trial in scans) >= 0.9 * len(scans)
    assert sum(one.by_class for one in found.quiet) <= 2 * len(found.quiet)


def test_the_seed_alone_says_where_attacks_are_put() -> None:
    """The same one gives the same figures."""
    devices = {"meter": poller(every=600, hours=76)}
    found = [traffic.held_back(devices, Settings(seed=seed), straight, silent).trials for seed in (5, 5, 6)]
    assert found[0] == found[1] != found[2]


def test_too_few_days_are_learned_and_not_measured() -> None:
    """Of three days none can be held back."""
    devices = {"meter": poller(every=300, hours=72)}
    assert traffic.learn(devices, Settings(), straight, silent).thresholds.silence >= 60
    assert traffic.held_back(devices, Settings(), straight, silent) == traffic.HeldBack([], [], {})


@pytest.mark.parametrize("day", [0, 1, 4])
def test_without_a_day_the_later_ones_follow_at_once(day: int) -> None:
    """No hole is left that would be a silence to learn, and nothing of the day."""
    packets = poller(every=300, hours=120)
    rest = traffic.without(packets, day)
    assert len(rest.time_ns) == len(packets.time_ns) - traffic.day_of(packets, day).sum()
    assert rest.time_ns.max() - rest.time_ns.min() < 4 * DAY_NS
    assert np.diff(rest.time_ns).min() >= 0


def test_files_of_one_device_follow_one_another_by_their_times(tmp_path: Path) -> None:
    """In whatever order they are named."""
    packets = poller(every=300, hours=96)
    half = len(packets.time_ns) // 2
    first = table(tmp_path / "a.csv.gz", meter=Packets._make(column[:half] for column in packets))
    second = table(tmp_path / "b.csv.gz", meter=Packets._make(column[half:] for column in packets))
    read = gather.traffic([], [second, first], [], silent)
    assert np.array_equal(read.devices["meter"].time_ns, packets.time_ns)
    assert [file.name for file in read.files] == ["b.csv.gz", "a.csv.gz"]


def test_a_capture_gives_its_devices_by_what_they_are_called(tmp_path: Path) -> None:
    """A MAC with a name is that device, one without is called after itself, and who isn't listed is left out."""
    packets = poller(every=300, hours=80)
    macs = ("02:00:00:00:00:02", "02:00:00:00:00:01")
    frames = [
        captures.Frame(time, captures.ethernet(bytes(80), 0x88B5, source=macs[out], target=macs[not out]))
        for time, out in zip(packets.time_ns.tolist(), packets.outgoing.tolist(), strict=True)
    ]
    (tmp_path / "week.pcap").write_bytes(captures.pcap(frames, nano=True))
    read = gather.traffic([tmp_path / "week.pcap"], [], [f"meter={macs[1]}"], silent)
    assert list(read.devices) == ["meter"]
    assert np.array_equal(read.devices["meter"].time_ns, packets.time_ns)
    assert np.array_equal(read.devices["meter"].outgoing, packets.outgoing)
    assert list(gather.traffic([tmp_path / "week.pcap"], [], [macs[0].upper()], silent).devices) == [macs[0]]
    found = traffic.learn(read.devices, Settings(), straight, silent)
    assert found.habits.gap.max() > 0


def test_a_device_that_is_not_there_is_told_with_those_that_are(tmp_path: Path) -> None:
    """All that are missing at once."""
    path = table(tmp_path / "week.csv.gz", meter=poller(every=300), lamp=poller(every=300))
    with pytest.raises(CaptureError) as told:
        gather.traffic([], [path], ["meter", "lock", "bell"], silent)
    assert str(told.value).splitlines() == [
        "device lock: expected packets in week.csv.gz, found none; of others: lamp, meter",
        "device bell: expected packets in week.csv.gz, found none; of others: lamp, meter",
    ]


def test_more_packets_than_may_be_held_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While they are read, not after it."""
    path = table(tmp_path / "week.csv.gz", meter=poller(every=300))
    monkeypatch.setattr(gather, "MOST_PACKETS", 100)
    with pytest.raises(CaptureError, match=r"week\.csv\.gz: more than 100 packets"):
        gather.traffic([], [path], [], silent)
