"""Recordings of plants: what is judged is never learned, and figures are made of them from reading to text."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from tests.unit.detectors.traffic import packets, poller

from spikebridge_detectors.elapsed import SECOND_NS
from spikebridge_detectors.errors import CaptureError, ModelError
from spikebridge_detectors.evaluate import plants
from spikebridge_detectors.evaluate.data import some
from spikebridge_detectors.evaluate.recordings import read
from spikebridge_detectors.timing.calibrate import Budget
from spikebridge_detectors.timing.detector import Timing

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

MASTER, STATION = "192.168.11.111", "192.168.11.248"
CLIENT, SERVER = "10.10.3.19", "10.10.20.10"


def _write(folder: Path, name: str, rows: Iterable[str], columns: str = "t,src,dst,len,label") -> None:
    (folder / "ics").mkdir(exist_ok=True)
    text = "\n".join([columns, *rows]) + "\n"
    (folder / "ics" / f"{name}.csv.gz").write_bytes(gzip.compress(text.encode()))


def _polls(ends: tuple[str, str], seconds: Iterable[float], label: str = "") -> list[str]:
    """Return rows of a question and its answer 70 ms later."""
    one, other = ends
    return [row for t in seconds for row in (f"{t:.3f},{one},{other},60,{label}", f"{t + 0.07:.3f},{other},{one},90,{label}")]


def _ordered(rows: list[str]) -> list[str]:
    return sorted(rows, key=lambda row: float(row.split(",")[0]))


@pytest.fixture
def iec104(tmp_path: Path) -> Path:
    """Give ten hours of a station that is polled every half a minute."""
    _write(tmp_path, "iec104_benign_15h", _polls((MASTER, STATION), np.arange(0, 36_000, 30.0)))
    return tmp_path


@pytest.fixture
def mms(tmp_path: Path) -> Path:
    """Give 100 minutes of a server that is polled every ten seconds, once scanned, once with packets lost."""
    ends, usual = (CLIENT, SERVER), np.arange(0, 6000, 10.0)
    scan = [f"{t:.3f},{CLIENT},{SERVER},700,1" for t in np.arange(1500, 1620, 1.3)]
    lost = [t for t in usual if not (700 < t < 810 or 1150 < t < 1290)]
    _write(tmp_path, "mms_normal", _polls(ends, usual, "0"))
    _write(tmp_path, "mms_scanning", _ordered([*_polls(ends, usual, "0"), *scan]))
    _write(tmp_path, "mms_lost-connection", _polls(ends, lost, "0"))
    return tmp_path


def _modbus(folder: Path) -> None:
    usual = [
        row.replace(",60,", ",62,") for host in range(101, 107) for row in _polls(("100", str(host)), np.arange(1, 100, 2.0), "0")
    ]
    attack = _polls(("101", "104"), np.arange(40, 42, 0.05), "1")
    for name in ("characterization", "moving_two_files", "exploit_ms08_netapi"):
        odd = attack if name == "characterization" else []
        _write(folder, f"modbus_{name}", ["0.000, ,,42,0", *_ordered([*usual, *odd])])


def test_a_station_that_goes_on_as_it_was_raises_less_than_the_budget(iec104: Path) -> None:
    """Each half is judged by the other, so all hours count; nothing is attacked, so there is nothing to be found."""
    heard: list[str] = []
    found = plants.measured(iec104, heard.append)
    rows = {row["detectors"]: row for row in found["plants"]}
    assert rows["timing"]["false"]["device_hours"] == pytest.approx(10.0, abs=0.1)
    assert rows["timing"]["false"]["per_hour"] <= 1.0
    assert rows["timing"]["attacks"]["of"] == 0
    assert rows["timing"]["auc"] is None
    assert "IEC 104: timing" in heard
    assert "| IEC 104 | timing | - | - | - | 0.00 (0.00-0.37) in 10.0 h |" in plants.text(found)


def test_a_scan_and_silences_are_found_by_what_the_other_half_taught(mms: Path) -> None:
    """Two silences of two minutes, a scan, and no false alarm in an hour and a half."""
    rows = {row["detectors"]: row for row in plants.measured(mms, print)["plants"]}
    assert (rows["timing"]["attacks"]["found"], rows["timing"]["attacks"]["of"]) == (3, 3)
    assert set(rows["timing"]["auc"]) == {"scanning", "lost-connection"}
    assert rows["timing"]["auc"]["scanning"] > 0.95
    assert rows["timing"]["auc"]["lost-connection"] > 0.8  # a window counts from the first second of a silence on
    assert rows["timing"]["false"]["device_hours"] == pytest.approx(1.67, abs=0.02)


def test_nothing_that_is_judged_is_learned(mms: Path, tmp_path: Path) -> None:
    """Recordings of a plant with an attack are those without it elsewhere: their halves are kept apart, and labelled packets left out."""
    _modbus(tmp_path)
    found = {plant.name: {one.name: one for one in plant.recordings} for plant in read(mms, print)}
    for name in ("scanning", "lost-connection", "normal, first half"):
        one = found["MMS"][name]
        assert one.judged[SERVER].time_ns[-1] < one.span_ns[1] - one.span_ns[0]
        assert one.learned[SERVER].time_ns[0] == 0
        assert one.span_ns[1] - one.span_ns[0] + one.learned[SERVER].time_ns[-1] < 6001 * SECOND_NS
    modbus = found["Modbus"]
    assert {attack.device for attack in modbus["characterization"].attacks} == {"101", "104"}
    assert all(40 <= attack.start <= attack.end <= 42.1 for attack in modbus["characterization"].attacks)
    usual = len(modbus["moving_two_files"].judged["104"].time_ns)
    assert len(modbus["characterization"].judged["104"].time_ns) == usual + 80
    assert len(modbus["moving_two_files"].learned["104"].time_ns) == 2 * usual
    seconds = modbus["moving_two_files"].learned["104"].time_ns / SECOND_NS
    assert 1.9 < np.diff(seconds).max() < 2.1


def test_the_same_figures_come_out_of_modbus(tmp_path: Path) -> None:
    """Hosts that are attacked have odd windows, the others the time in which alarms are false."""
    _modbus(tmp_path)
    row = next(row for row in plants.measured(tmp_path, print)["plants"] if row["detectors"] == "timing")
    assert (row["attacks"]["found"], row["attacks"]["of"]) == (2, 2)
    assert row["auc"]["characterization"] > 0.95
    assert row["false"]["device_hours"] == pytest.approx((5 + 7 + 7) * 99 / 3600, abs=0.02)


def test_a_window_is_the_nearer_to_an_alarm_the_more_surprises_and_the_longer_it_is_silent() -> None:
    """The usual is near nothing, twenty strange packets and five silent minutes are nearer, and a silence ends with the packet after it."""
    timing = Timing(Budget(per_day=24.0), 3600)
    learned = timing.learn(poller(hours=4, every=10))
    usual = poller(hours=1, every=10, seed=2)
    rest = usual.time_ns // (600 * SECOND_NS) != 4
    silent = some(usual, rest)
    scores = plants.surprises(learned, usual, 60)
    quiet = plants.surprises(learned, silent, 60)
    assert len(quiet) == len(scores)
    assert np.median(scores) < 0.5
    assert quiet[45] > 2 * scores[45]
    assert quiet[49] > quiet[45]
    assert quiet[52] == pytest.approx(scores[52], abs=0.2)
    odd = packets(30 * SECOND_NS + np.arange(20) * SECOND_NS, length=1000)
    assert plants.surprises(learned, odd, 60)[0] > 2 * scores.max()


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        (["1,a,b,60,"], "expected packets of a in both halves that are no attacks, found none"),
        ([*(f"{at},a,b,60,1" for at in range(9)), "9,a,b,60,"], "expected packets of a in both halves that are no attacks"),
        (["1,192.168.11.248,a,many,"], ':2: len: found "many", expected a whole number from 0 to 4294967295'),
    ],
)
def test_a_table_that_holds_no_whole_recording_is_refused(tmp_path: Path, rows: list[str], told: str) -> None:
    """With its file and what it has."""
    _write(tmp_path, "iec104_benign_15h", rows)
    with pytest.raises(CaptureError, match=told):
        read(tmp_path, print)


def test_what_is_missing_is_told(mms: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Of a plant without a file of its own which, and of a folder with nothing all that could be there."""
    heard: list[Any] = []
    (mms / "ics" / "mms_normal.csv.gz").rename(mms / "ics" / "iec104_benign_15h.csv.gz")
    assert [plant.name for plant in read(mms, heard.append)] == ["IEC 104"]
    assert heard == [
        f"not measured: {mms}: expected ics/modbus_*.csv.gz too, found none",
        f"not measured: {mms}: expected ics/mms_normal.csv.gz too, found none",
    ]
    with pytest.raises(CaptureError, match=r"expected all of a plant's files among ics/modbus_\*"):
        read(tmp_path_factory.mktemp("empty"), heard.append)


def test_recordings_of_any_name_are_measured_and_hosts_that_only_one_has_are_named(tmp_path: Path) -> None:
    """Where each host is attacked, none can raise a false alarm."""
    heard: list[str] = []
    usual, attack = _polls(("100", "101"), np.arange(1, 200, 2.0), "0"), _polls(("100", "101"), np.arange(90, 92, 0.05), "1")
    for name, more in (("run1", []), ("run8", _polls(("105", "106"), np.arange(5, 100, 1.0), "0"))):
        _write(tmp_path, f"modbus_{name}", _ordered([*usual, *attack, *more]))
    found = plants.measured(tmp_path, heard.append)
    row = next(row for row in found["plants"] if row["detectors"] == "timing")
    assert set(row["auc"]) == {"run1", "run8"}
    assert (row["attacks"]["found"], row["attacks"]["of"]) == (4, 4)
    assert row["false"]["per_hour"] is None
    assert plants.text(found).splitlines()[5].endswith(" | - |")
    path = tmp_path / "ics" / "modbus_run8.csv.gz"
    assert f"not measured: {path}: 106: expected packets of it in other recordings too, found none" in heard


def test_the_hosts_of_a_plant_are_those_of_its_recordings(tmp_path: Path) -> None:
    """Whatever they are called: who is asked sends most, and what nobody labelled is a silence where the normal recording has packets."""
    ends, usual = ("here", "there"), np.arange(0, 6000, 10.0)
    more = [f"{t + 0.2:.3f},there,here,70,0" for t in usual]
    _write(tmp_path, "mms_normal", _ordered([*_polls(ends, usual, "0"), *more]))
    lost = [t for t in usual if not (700 < t < 810 or 4500 < t < 4700)]
    _write(
        tmp_path,
        "mms_cut",
        _ordered([*_polls(ends, lost, "0"), *(row for row in more if float(row.split(",")[0]) - 0.2 in lost)]),
    )
    _write(tmp_path, "mms_same", _ordered([*_polls(ends, usual, "0"), *more]))
    heard: list[str] = []
    (plant,) = read(tmp_path, heard.append)
    found = {one.name: [(attack.device, attack.start, attack.end) for attack in one.attacks] for one in plant.recordings}
    assert found == {
        "normal, first half": [],
        "normal, second half": [],
        "cut": [("there", 710.0, 810.0)],
        "cut, second half": [("there", 4510.0, 4700.0)],
    }
    where = f"{tmp_path / 'ics' / 'mms_same.csv.gz'}: expected labelled packets, or some of mms_normal missing, found none"
    assert f"not measured: {where}" in heard
    first, second = plant.recordings[2:]
    assert first.learned["there"].time_ns[0] == 0
    assert second.learned["there"].time_ns[-1] < second.judged["there"].time_ns[0]


def test_labelled_packets_of_a_station_are_attacks_that_are_not_learned(tmp_path: Path) -> None:
    """Nor do they count as false alarms; and a plant that isn't fit doesn't end the measuring of another."""
    attack = [f"{t:.3f},{STATION},{MASTER},200,1" for t in np.arange(9000, 9060, 0.5)]
    _write(tmp_path, "iec104_flooded", _ordered([*_polls((MASTER, STATION), np.arange(0, 36_000, 30.0)), *attack]))
    _write(tmp_path, "mms_normal", ["1,a,b,60,"])
    heard: list[str] = []
    found = plants.measured(tmp_path, heard.append)
    row = next(row for row in found["plants"] if row["detectors"] == "timing")
    assert (row["plant"], row["attacks"]["found"], row["attacks"]["of"]) == ("IEC 104", 1, 1)
    assert row["false"]["device_hours"] == pytest.approx(5.0, abs=0.1)
    assert any("mms_normal.csv.gz: expected packets of a in both halves" in line for line in heard)
    first, second = read(tmp_path, print)[0].recordings
    assert len(second.learned[STATION].time_ns) == len(first.judged[STATION].time_ns) - len(attack)


def test_a_host_of_which_too_little_is_there_is_named_and_the_others_are_measured(tmp_path: Path) -> None:
    """A scanner that two recordings have for a moment doesn't end the measuring of the plant."""
    usual, scan = _polls(("100", "101"), np.arange(1, 200, 2.0), "0"), _polls(("109", "101"), np.arange(90, 92, 0.05), "1")
    for name in ("a", "b"):
        _write(tmp_path, f"modbus_{name}", _ordered([*usual, "5.0,109,101,60,0", *scan]))
    heard: list[str] = []
    found = plants.measured(tmp_path, heard.append)
    assert {row["attacks"]["of"] for row in found["plants"]} == {2}
    assert sum(line.startswith("not measured: Modbus, a: 109: training: expected packets of 3 to 31 days") for line in heard) == 1
    for name in ("a", "b"):
        _write(tmp_path, f"modbus_{name}", ["1.0,109,101,60,0", "1.0,101,109,60,0", "9.0,109,101,60,1"])
    with pytest.raises(ModelError, match="expected a host that can be learned"):
        plants.measured(tmp_path, heard.append)


def test_modbus_without_labels_is_refused(tmp_path: Path) -> None:
    """Its attacks would count as false alarms."""
    for name in ("a", "b"):
        _write(tmp_path, f"modbus_{name}", _polls(("100", "101"), np.arange(1, 200, 2.0)))
    with pytest.raises(CaptureError, match=r"modbus_\*\.csv\.gz: label: expected packets of attacks, found none"):
        read(tmp_path, print)
    for name in ("a", "b"):
        _write(tmp_path, f"modbus_{name}", _polls(("100", "101"), np.arange(1, 200, 2.0), "1"))
    with pytest.raises(CaptureError, match="expected hosts that two recordings have, found none"):
        read(tmp_path, print)


def test_what_never_comes_again_is_found(tmp_path: Path) -> None:
    """A recording that ends before the normal one is silent until that one ends, for its attack and for what judges it."""
    ends, usual = (CLIENT, SERVER), np.arange(0, 6000, 10.0)
    _write(tmp_path, "mms_normal", _polls(ends, usual, "0"))
    _write(tmp_path, "mms_lost-connection", _polls(ends, usual[usual < 4000], "0"))
    found = {row["detectors"]: row["attacks"] for row in plants.measured(tmp_path, print)["plants"]}
    assert (found["timing"]["found"], found["timing"]["of"]) == (1, 1)


def test_another_server_is_judged_by_its_own_halves(mms: Path) -> None:
    """One of which nothing is left where nobody attacks it is told, and the rest is measured."""
    attack = [f"{t:.3f},here,there,700,1" for t in np.arange(1500, 1620, 1.3)]
    _write(mms, "mms_injection", _ordered([*_polls(("here", "there"), np.arange(0, 6000, 10.0), "0"), *attack]))
    _write(mms, "mms_odd", _ordered(["1500,here,there,60,0", *attack]))
    heard: list[str] = []
    (plant,) = read(mms, heard.append)
    names = {"normal, first half", "normal, second half", "scanning", "lost-connection", "injection"}
    assert {one.name for one in plant.recordings} == names
    assert any("mms_odd.csv.gz: expected packets of here in both halves" in line for line in heard)


def test_packets_that_a_station_lacks_are_attacks_and_one_without_any_is_told(iec104: Path) -> None:
    """Where nothing is labelled: beside a benign recording of the same packets; else nobody knows which alarms are false."""
    usual = np.arange(0, 36_000, 30.0)
    _write(iec104, "iec104_connection-loss", _polls((MASTER, STATION), usual[(usual < 20_000) | (usual > 26_000)]))
    _write(iec104, "iec104_unknown", _polls((MASTER, STATION), usual + 1))
    heard: list[str] = []
    (plant,) = read(iec104, heard.append)
    attacks = {one.name: [(attack.start, attack.end) for attack in one.attacks] for one in plant.recordings}
    assert attacks == {
        "benign_15h, first half": [],
        "benign_15h, second half": [],
        "connection-loss, first half": [],
        "connection-loss, second half": [(20_010.0, 26_010.0)],
    }
    path = iec104 / "ics" / "iec104_unknown.csv.gz"
    assert f"not measured: {path}: expected labelled packets, or some of iec104_benign_15h missing, found none" in heard


def test_one_recording_that_is_not_fit_does_not_end_the_measuring_of_others(iec104: Path) -> None:
    """One half of nothing but attacks, a table that is none, and a second half in which nothing comes: each is told."""
    usual = np.arange(0, 36_000, 30.0)
    attack = _polls((MASTER, STATION), usual[usual >= 17_000], "1")
    _write(iec104, "iec104_dos", [*_polls((MASTER, STATION), usual[usual < 17_000]), *attack])
    _modbus(iec104)
    _write(iec104, "modbus_broken", ["1,a"])
    _write(iec104, "mms_normal", _polls((CLIENT, SERVER), np.arange(0, 6000, 10.0), "0"))
    _write(iec104, "mms_dead", _polls((CLIENT, SERVER), np.arange(0, 3000, 10.0), "0"))
    heard: list[str] = []
    found = {plant.name: [one.name for one in plant.recordings] for plant in read(iec104, heard.append)}
    assert found == {
        "Modbus": ["characterization", "moving_two_files", "exploit_ms08_netapi"],
        "MMS": ["normal, first half", "normal, second half"],
        "IEC 104": ["benign_15h, first half", "benign_15h, second half"],
    }
    for told in (
        "iec104_dos.csv.gz: expected packets of",
        "modbus_broken.csv.gz",
        "mms_dead: expected packets in the half with 1",
    ):
        assert any(line.startswith("not measured: ") and told in line for line in heard), heard
