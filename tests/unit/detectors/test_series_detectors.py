"""The detectors of power, vibration and rf: what they find, pieces of any size, and their figures."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import numpy as np
import pytest

from spikebridge import cli
from spikebridge_detectors.capture.series import Samples
from spikebridge_detectors.errors import CaptureError, ModelError
from spikebridge_detectors.evaluate import series
from spikebridge_detectors.power import detector as power
from spikebridge_detectors.power.detector import Power
from spikebridge_detectors.traffic.series import RF_WRONG
from spikebridge_detectors.vibration import detector as vibration
from spikebridge_detectors.vibration.detector import Vibration
from spikebridge_detectors.vibration.encode import Moved, events
from spikebridge_detectors.windows.pieces import Carried
from spikebridge_detectors.windows.well import Scale

if TYPE_CHECKING:
    from pathlib import Path

HEADER = (
    ",".join(f"{name}_{what}" for name in ("shunt_v", "bus_v", "current_ma", "power_mw") for what in ("mean", "var", "range"))
    + ",label"
)


def samples(values: np.ndarray) -> Samples:
    """Return samples a millisecond apart."""
    return Samples(np.arange(len(values)) * 1_000_000, values, [""] * len(values))


def draws(count: int, load: float = 0.0, seed: int = 1) -> np.ndarray:
    """Return a current that idles with bursts, and a voltage that falls as it rises; `load` is how much more it draws throughout."""
    luck = np.random.default_rng(seed)
    current = 0.5 + 0.02 * luck.normal(size=count) + 0.3 * (np.arange(count) // 7 % 5 == 0) + load
    return np.stack([current, 5.2 - 0.05 * current + 0.001 * luck.normal(size=count)], axis=1)


def shakes(count: int, seed: int = 1) -> np.ndarray:
    """Return a machine that turns, with noise on it."""
    return (np.sin(np.arange(count) / 5) + 0.5 * np.random.default_rng(seed).normal(size=count))[:, np.newaxis]


def smooth(values: np.ndarray, count: int) -> np.ndarray:
    """Return a moving average."""
    return np.convolve(values[:, 0], np.ones(count) / count, "valid")[:, np.newaxis]


def test_a_load_that_the_device_never_has_is_told() -> None:
    """Idle isn't."""
    learned = Power().learn(samples(draws(3000)))
    assert len(Power().scan(samples(draws(1000, seed=2)), learned)) < 50
    assert len(Power().scan(samples(draws(100, load=0.2, seed=3)), learned)) == 81


def test_power_alarms_are_the_same_whatever_the_pieces() -> None:
    """Each at the time of its window's last sample."""
    learned = Power().learn(samples(draws(2000)))
    whole = samples(np.concatenate((draws(100, seed=2), draws(60, load=0.2), draws(50, seed=4))))
    running, found = Carried(), []
    for first in range(0, len(whole.time_ns), 7):
        found += power.advance(learned, running, Samples._make(column[first : first + 7] for column in whole))
    assert found == Power().scan(whole, learned) != []
    assert Power().scan(samples(draws(19)), learned) == []


def test_what_is_too_smooth_is_told() -> None:
    """And so is what shakes twice as much; the machine as it was isn't."""
    one = Vibration(length=256, every=64)
    well = one.learn([shakes(20_000)])
    assert len(one.scan(samples(shakes(8000, seed=2)), well)) < 10
    assert len(one.scan(samples(smooth(shakes(8000, seed=2), 5)), well)) > 100
    assert len(one.scan(samples(2 * shakes(8000, seed=2)), well)) > 100


def test_vibration_alarms_are_the_same_whatever_the_pieces() -> None:
    """References, the last move and the open windows are carried."""
    one = Vibration()
    well = one.learn([shakes(4000)])
    whole = samples(np.concatenate((shakes(300, seed=2), 3 * shakes(301, seed=3))))
    running, found = vibration.Running(), []
    for first in range(0, len(whole.time_ns), 23):
        found += vibration.advance(well, running, Samples._make(column[first : first + 23] for column in whole))
    assert found == one.scan(whole, well) != []


def test_moves_crossings_and_turns_are_counted_where_they_happen() -> None:
    """A sample that isn't a number moves nothing."""
    scale = Scale(np.zeros(1), np.ones(1))
    found = events(scale, np.array([[0.0], [2.5], [-0.5], [np.nan], [-0.5]]), Moved())
    assert found[1:3].tolist() == [[2, 10, 1, 0], [2, 12, 1, 1]]
    assert not found[3, [0, 1]].any()


def test_windows_that_leave_samples_out_are_refused() -> None:
    """Each sample is in a window."""
    with pytest.raises(ModelError, match="every 65, length 64"):
        Vibration(every=65)


def test_the_share_of_odd_above_normal_counts_equal_ones_half() -> None:
    """As the area under the curve does."""
    assert series.auc(np.array([1.0, 2.0]), np.array([3.0, 2.0, 0.0])) == pytest.approx((1 + 0.75 + 0) / 3)


def test_losses_to_the_forest_are_marked() -> None:
    """With the lowest of the splits where there are several."""
    row = {"data": "rotor", "kind": "damping", "splits": 2, "auc": 0.9, "forest": 0.95, "found": 0.5, "false": 0.01}
    line = series.text({"series": [row | {"lowest": 0.8, "forest_lowest": 0.9}]}).splitlines()[-1]
    assert line == "| rotor | damping | 0.900 (0.800) **lost** | 0.950 (0.900) | 50.0% | 1.0% |"


def test_files_that_are_there_are_measured_and_others_are_named(tmp_path: Path) -> None:
    """A table of power gives a row for each label that isn't benign, whatever the file is called and whatever the labels are."""
    told: list[str] = []
    with pytest.raises(CaptureError, match=r"expected power/\*\.csv\.gz, "):
        series.measured(tmp_path, told.append)
    rows = [
        [*window, label] for label in (0, 1, 7) for window in power.measured(np.tile(draws(400, load=label / 5, seed=label), 2))
    ]
    _write(tmp_path / "power" / "charger.csv.gz", "\n".join([HEADER, *(",".join(map(str, row)) for row in rows)]))
    found = series.measured(tmp_path, told.append)["series"]
    assert told == [
        f"not measured: {tmp_path}: expected vibration/rosa_h_*.csv.gz too, found none",
        f"not measured: {tmp_path}: expected vibration/cwru_*.npz too, found none",
        "windows of power",
        "windows of generated radios, of which no capture is known",
    ]
    assert [row["kind"] for row in found[:2]] == ["DoS", "label 7"]
    assert {row["data"] for row in found[2:]} == {"rf.spike on **generated** radios, 1,024 samples"}
    assert len(found[2:]) == len(RF_WRONG)
    assert all(row["auc"] > 0.95 for row in found[:-1])
    assert found[-1]["kind"] == "its own recording"
    assert found[-1]["found"] < 0.3


def _write(path: Path, table: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(gzip.compress(table.encode()))


def _turned(path: Path, count: int, odd: int = 0, seed: int = 1) -> None:
    """Write samples of a rotor of which the last are of a fault."""
    axes = [f"{name} {axis}" for name in ("AngVel", "LinAcc.") for axis in "xyz"]
    columns = [*axes, "Audio", "Strain Gage", "Shaft Control Effort", "Binary Macro Health Mode"]
    luck = np.random.default_rng(seed)
    rows = [
        [*luck.normal(0, 3 if at >= count - odd else 1, len(columns) - 1), "A" if at >= count - odd else "H"]
        for at in range(count)
    ]
    _write(path, "\n".join(",".join(map(str, row)) for row in [columns, *rows]))


def test_faults_of_a_rotor_are_measured_whichever_are_there(tmp_path: Path) -> None:
    """A file without a fault in it, a fault without a file and one without a healthy sample aren't an end of it."""
    told: list[str] = []
    folder = tmp_path / "vibration"
    for number in range(2):
        _turned(folder / f"rosa_h_{number}.csv.gz", 2000, seed=number)
    with pytest.raises(CaptureError, match=r"rosa_\*\.csv\.gz: expected 3 healthy files .* found 2"):
        series.measured(tmp_path, told.append)
    _turned(folder / "rosa_h_2.csv.gz", 2000, seed=2)
    with pytest.raises(CaptureError, match=r"expected files with faults .* found none"):
        series.measured(tmp_path, told.append)
    _turned(folder / "rosa_v_1.csv.gz", 1000, odd=500)
    _turned(folder / "rosa_n_1.csv.gz", 1000, odd=1000)
    _turned(folder / "rosa_d_1.csv.gz", 1000)
    told.clear()
    rows = [(row["data"], row["kind"]) for row in series.measured(tmp_path, told.append)["series"]]
    apart, within = "rotor, 64 samples", "rotor, against the healthy part of the same files"
    assert rows[:3] == [(apart, "added vibration"), (apart, "lateral load"), (within, "added vibration")]
    where = f"{folder / 'rosa_d_1.csv.gz'}: expected a window of samples whose Binary Macro Health Mode is A, found 0 samples"
    assert f"not measured: {where}" in told


def test_a_file_that_is_not_fit_is_not_measured_and_the_rest_is(tmp_path: Path) -> None:
    """A field without a number, a table of power with other columns, an array that is none: each is told once, with its place."""
    told: list[str] = []
    folder = tmp_path / "vibration"
    for number in range(4):
        _turned(folder / f"rosa_h_{number}.csv.gz", 2000, seed=number)
    _turned(folder / "rosa_v_1.csv.gz", 1000, odd=500)
    _turned(folder / "rosa_v_2.csv.gz", 1000, odd=500)
    expected = [row for row in series.measured(tmp_path, told.append)["series"] if row["data"].startswith("rotor")]
    for name in ("rosa_h_9", "rosa_v_9"):
        lines = gzip.decompress((folder / "rosa_h_0.csv.gz").read_bytes()).decode().splitlines()
        lines[7] = f",{lines[7].partition(',')[2]}"
        _write(folder / f"{name}.csv.gz", "\n".join(lines))
    _write(tmp_path / "power" / "other.csv.gz", "watts,label\n1,0\n")
    np.savez(folder / "cwru_a.npz", fe=np.zeros(9))
    told.clear()
    assert [row for row in series.measured(tmp_path, told.append)["series"] if row["data"].startswith("rotor")] == expected
    refused = [line for line in told if line.startswith("not measured") and "too, found none" not in line]
    assert len(refused) == 4
    for path in (
        "rosa_h_9.csv.gz:8: AngVel x: expected a number",
        "rosa_v_9.csv.gz:8",
        "power/other.csv.gz: line 1",
        "cwru_a.npz",
    ):
        assert sum(path in line for line in refused) == 1


@pytest.mark.parametrize(
    ("signal", "told"),
    [
        (np.zeros((5000, 2)), r"a\.npz: de: expected finite numbers in one dimension, found float64 \(5000, 2\)"),
        (np.full(9000, np.nan), r"a\.npz: de: expected finite numbers"),
        (np.zeros(9000, complex), r"a\.npz: de: expected finite numbers in one dimension, found complex128"),
        (np.float32(3), r"a\.npz: de: expected finite numbers"),
        (np.zeros(1000), r"a\.npz: training: expected 100 to 131072 windows"),
    ],
    ids=["two", "not finite", "complex", "one number", "short"],
)
def test_what_is_wrong_with_an_array_is_told(tmp_path: Path, signal: np.ndarray, told: str) -> None:
    """With the file, never as a traceback."""
    (tmp_path / "vibration").mkdir()
    np.savez(tmp_path / "vibration" / "cwru_a.npz", de=signal)
    with pytest.raises(CaptureError, match=told):
        series.measured(tmp_path, lambda _: None)


@pytest.mark.parametrize(
    ("table", "told"),
    [
        (b"\x1f\x8bno gzip", "gz: damaged gzip data before byte 9"),
        (b"", "gz: expected rows, found none"),
        (gzip.compress(f"{HEADER}\n{'1,' * 12}0\n".encode())[:-9], "gz: expected a whole file: the end of the file is missing"),
        (gzip.compress(b"a,label\n1,0\n"), "gz: line 1: no column shunt_v_mean.*; found a, label"),
        (gzip.compress(f"{HEADER}\n".encode()), "gz: expected rows, found none"),
        (gzip.compress(f"{HEADER}\n{'x,' * 12}0\n".encode()), 'gz:2: shunt_v_mean: expected a number, found "x"'),
        (gzip.compress(f"{HEADER}\n{'1,' * 11}1e999,0\n".encode()), 'gz:2: power_mw_range: expected a number, found "1e999"'),
        (gzip.compress(f"{HEADER}\n{'1,' * 11},0\n".encode()), 'gz:2: power_mw_range: expected a number, found ""'),
        (gzip.compress(f"{HEADER}\n1,2\n".encode()), "gz:2: expected 13 fields, found 2"),
        (gzip.compress(f"{HEADER}\n{'1,' * 12}0\n".encode()), "label: expected 0 for what is benign, and others .* found 0"),
        (gzip.compress(f"{HEADER}\n{'1,' * 12}dos\n".encode()), "label: expected 0 for what is benign, and others .* found dos"),
        (
            gzip.compress(f"{HEADER}\n{'1,' * 12}0\n{'1,' * 12}1\n".encode()),
            "gz: training: expected 100 to 131072 windows, found 0",
        ),
    ],
    ids=[
        *("no gzip", "nothing", "cut short", "columns", "no rows", "text", "too large", "empty", "short row"),
        *("no attack", "all attack", "few"),
    ],
)
def test_what_is_wrong_with_a_table_is_told(tmp_path: Path, table: bytes, told: str) -> None:
    """With the file and the line, never as a traceback."""
    (tmp_path / "power").mkdir()
    (tmp_path / "power" / "evse_b_windows20.csv.gz").write_bytes(table)
    with pytest.raises(CaptureError, match=told):
        series.measured(tmp_path, lambda _: None)


def test_the_command_measures_series_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What isn't there is told with its place."""
    assert cli.main(["evaluate", "--data", str(tmp_path), "--series"]) == 2
    assert f"{tmp_path}: expected power/*.csv.gz" in capsys.readouterr().err
