"""The measurement itself: what is found, what is a false alarm, what is injected, and the captures where they are present."""

from __future__ import annotations

import gzip
import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from tests.unit.detectors.traffic import poller

from spikebridge_detectors.alarm import Alarm
from spikebridge_detectors.capture.columns import Transport
from spikebridge_detectors.elapsed import DAY_NS, SECOND_NS
from spikebridge_detectors.errors import CaptureError, ModelError
from spikebridge_detectors.evaluate import data, held_back, measure, report
from spikebridge_detectors.evaluate.data import Capture, Truth, between, some
from spikebridge_detectors.evaluate.inject import KINDS, inject
from spikebridge_detectors.evaluate.measure import Row
from spikebridge_detectors.evaluate.protocol import Trial, incidents, judged, poisson, rate
from spikebridge_detectors.timing.detector import Timing

if TYPE_CHECKING:
    from spikebridge_detectors.capture.columns import Packets

DATA = Path(os.environ.get("SPIKEBRIDGE_DATA", "/nowhere"))
ATTACK = Truth("lamp", "scan", 100.0, 200.0, scored=True)


def at(*seconds: float) -> list[Alarm]:
    """Return alarms at these times."""
    return [Alarm(round(second * SECOND_NS), 0, "burst", 1.5) for second in seconds]


def test_an_alarm_counts_from_the_start_of_an_attack_to_ten_seconds_after_its_end() -> None:
    """The first such alarm is when it was found."""
    assert judged(at(99.9, 210.1), ATTACK).seconds is None
    assert judged(at(210.0, 150.0, 99.0), ATTACK) == Trial("lamp", "scan", 50.0, "burst")


def test_false_alarms_within_ten_minutes_of_the_first_are_one() -> None:
    """Those of an attack, or of ten minutes after it, aren't false."""
    assert [alarm.time_ns // SECOND_NS for alarm in incidents(at(0, 599, 600, 601, 1200, 1202), 0)] == [0, 601, 1202]
    assert incidents(at(50, 150, 799, 801), 60 * SECOND_NS, [ATTACK]) == at(801)


@pytest.mark.parametrize(
    ("count", "low", "high"), [(0, 0, 3.6889), (1, 0.0253, 5.5716), (9, 4.1154, 17.0848), (100, 81.3640, 121.6270)]
)
def test_the_interval_of_a_count_is_the_exact_one(count: int, low: float, high: float) -> None:
    """As printed in tables of Garwood's interval."""
    assert poisson(count) == pytest.approx((low, high), abs=1e-3)


def test_a_rate_is_told_in_device_days() -> None:
    """Alarms over days, its interval too."""
    assert rate(9, 9 * DAY_NS)[:3] == (9, 9.0, 1.0)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_injected_lies_within_its_time_and_changes_nothing_else(kind: str) -> None:
    """Packets before and after stay as they are, and time never falls."""
    packets, start = poller(hours=4), 3600 * SECOND_NS
    attacked = inject(packets, kind, start, np.random.default_rng(1))
    assert attacked is not None
    end = start + KINDS[kind] * SECOND_NS + SECOND_NS
    for span in ((0, start), (end, 4 * 3600 * SECOND_NS)):
        there, then = between(attacked, *span), between(packets, *span)
        assert all(np.array_equal(there[column], then[column]) for column in range(len(then)))
    assert (np.diff(attacked.time_ns) >= 0).all()
    changed = len(between(attacked, start, end).time_ns) - len(between(packets, start, end).time_ns)
    assert {"scan": changed == 120, "beacon": changed == 720, "exfiltration": changed == 600, "silence": changed < 0}.get(
        kind, changed == 0
    )


def test_what_has_too_few_packets_is_not_changed() -> None:
    """An hour of 40 packets at least, 20 minutes of four."""
    packets = between(poller(hours=1), 0, 19 * 60 * SECOND_NS)
    for kind in ("regular", "shuffle"):
        assert inject(packets, kind, 0, np.random.default_rng(1)) is None
    assert inject(packets, "silence", 3600 * SECOND_NS, np.random.default_rng(1)) is None


def test_only_direction_leaves_time_and_direction() -> None:
    """All other columns are one value."""
    packets = poller(hours=4)
    left = measure.only_direction(packets)
    assert np.array_equal(left.time_ns, packets.time_ns)
    assert np.array_equal(left.outgoing, packets.outgoing)
    assert all(len(np.unique(column)) == 1 for name, column in left._asdict().items() if name not in ("time_ns", "outgoing"))


@pytest.fixture(scope="module")
def capture() -> Capture:
    """Return a week of one device, with a scan on day 6."""
    packets = poller(hours=168)
    start = 6 * DAY_NS
    attacked = inject(packets, "scan", start, np.random.default_rng(1))
    assert attacked is not None
    truth = Truth("meter", "scan", start / SECOND_NS, start / SECOND_NS + 3600, scored=True)
    return Capture({"meter": attacked}, [truth, truth._replace(scored=False)], int(attacked.time_ns[-1]))


def test_a_row_is_measured_from_learning_to_text(capture: Capture) -> None:
    """Attacks, false alarms and the replicate, as JSON holds them and as a reader sees them."""
    clean = Capture({"meter": poller(hours=168)}, [], capture.end_ns)
    row = Row("timing", (Timing(),))
    row.learn(clean.devices)
    found = report.trials(measure.attacks(row, capture))
    assert (found["found"], found["of"], found["missed"]) == (1, 1, [])
    false = report.clean(measure.clean(row, clean))
    assert false["device_days"] == 2.0
    again = report.replicate(measure.replicate(row, clean, ["scan", "silence"], 2))
    assert (again["of"], again["found"]) == (4, 4)
    said = {"name": "timing", "brief": False, "quiet": found, "loud": found, "clean": false, "replicate": again}
    strain = {name: {"what": name, "quiet": found, "clean": false} for name in ("lost", "jitter")}
    other = said | {"name": "other", "brief": True}
    strained = {**strain, "contaminated": {"scan": [again, again]}}
    text = report.text({"rows": [said, other], "strain": strained, "not_measured": ["net/: lamp"]})
    assert f"| timing | 1/1 | - | 1/1 | 4/4 | {again['chance']} |" in text
    assert text.endswith("\n\nNot measured: net/: lamp.\n")
    assert text.count("other") == 1
    page = report.put(f"before {report.MEASURED} old {report.END} after", text)
    assert page == f"before {report.MEASURED}\n\n{text}\n{report.END} after"
    with pytest.raises(ModelError, match="expected a page with"):
        report.put("nothing", text)


def test_a_day_held_back_is_judged_by_the_others() -> None:
    """Attacks of our own are found there, also where an hour of one was learned from; its packets are in no training."""
    clean = Capture({"meter": poller(hours=120)}, [], 5 * DAY_NS)
    left = held_back.without(clean.devices["meter"], 2)
    assert len(left.time_ns) == len(clean.devices["meter"].time_ns) - len(
        between(clean.devices["meter"], 2 * DAY_NS, 3 * DAY_NS).time_ns
    )
    assert 3.9 * DAY_NS < left.time_ns[-1] < 4 * DAY_NS
    found = report.held_back(held_back.measured(Timing(), clean))
    assert (found["of"], found["device_days"]) == (60, 5.0)
    assert found["kinds"]["scan"]["found"] == found["kinds"]["silence"]["found"] == 10
    assert report.trials(held_back.measured(Timing(), clean, "scan").trials)["found"] == 10


def test_a_device_with_too_few_days_to_hold_one_back_is_named() -> None:
    """The others are measured, and a capture with no other is refused."""
    late = some(poller(hours=120), poller(hours=120).time_ns >= 2 * DAY_NS)
    found = held_back.measured(Timing(), Capture({"late": late, "meter": poller(hours=120)}, [], 5 * DAY_NS), "scan")
    why = "late, without day 3: training: expected packets of 3 to 31 days, found 2"
    assert (list(found.devices), found.unfit) == (["meter"], {"late": why})
    said = report.held_back(found)
    assert said["not_measured"] == [why]
    assert report.held_back_text({"clean": said, "scan": said}).endswith(f"\n\nNot measured: {why}.\n")
    with pytest.raises(ModelError, match="late, without day 2"):
        held_back.measured(Timing(), Capture({"late": late}, [], 5 * DAY_NS))


def test_strain_spares_the_days_of_learning(capture: Capture) -> None:
    """A twentieth of the packets is lost, or each moves by a millisecond at most."""
    packets = capture.devices["meter"]
    learned = between(packets, 0, measure.LEARNED_NS - SECOND_NS)
    lost = measure.strained(capture, lost=True).devices["meter"]
    moved = measure.strained(capture, lost=False).devices["meter"]

    def begins(found: Packets) -> bool:
        return np.array_equal(found.time_ns[: len(learned.time_ns)], learned.time_ns)

    assert begins(lost)
    assert begins(moved)
    after = len(packets.time_ns) - len(learned.time_ns)
    assert 0.92 * after < len(lost.time_ns) - len(learned.time_ns) < 0.98 * after
    assert 0 < np.abs(moved.time_ns - packets.time_ns).max() <= 1_000_000


def test_tables_are_read_as_columns(tmp_path: Path) -> None:
    """Each device by itself, empty fields as nothing, flags from their hexadecimal."""
    rows = (
        "t,device,dir,peer,proto,sport,dport,len,flags,label\n0.0,lamp,o,0,arp,,,60,-,\n1.5,lock,i,3,tcp,1883,40000,85,18,scan\n"
    )
    (tmp_path / "week.csv.gz").write_bytes(gzip.compress(rows.encode()))
    found = data.packets(tmp_path / "week.csv.gz")
    assert list(found) == ["lamp", "lock"]
    row = {name: column[0].item() for name, column in found["lock"]._asdict().items()}
    assert row == {
        "time_ns": 1_500_000_000,
        "device": 0,
        "outgoing": False,
        "peer": 3,
        "transport": Transport.TCP,
        "source_port": 1883,
        "target_port": 40000,
        "length": 85,
        "flags": 0x18,
    }


def test_a_folder_without_captures_says_what_is_missing(tmp_path: Path) -> None:
    """Not a traceback."""
    with pytest.raises(CaptureError, match=r"expected net/benign_week_DEVICE\.csv\.gz, found none"):
        data.clean(tmp_path)


@pytest.mark.skipif(
    not (DATA / "composite").is_dir(), reason="SPIKEBRIDGE_DATA names no folder with the captures, which may not be given away"
)
def test_the_captures_are_measured_as_the_readme_says() -> None:
    """Seventeen quiet attacks of twenty, four of six count-neutral ones, at one false alarm a device-day."""
    clean, quiet = data.clean(DATA), data.composite(DATA, "iot_week_hard")
    row = Row("timing", (Timing(),))
    row.learn(clean.devices)
    found = report.trials(measure.attacks(row, quiet))
    assert found["found"] >= 17
    assert sum(found["kinds"][kind]["found"] for kind in report.COUNT_NEUTRAL) >= 4
    false = measure.clean(row, clean)
    assert false.all.rate <= 1.0
    assert max(device.rate for device in false.devices.values()) <= 2.0
