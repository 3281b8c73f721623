"""`spikebridge evaluate`: figures as tables and as JSON, what is done meanwhile, and captures that aren't as they must be."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING

import pytest
from tests.unit.detectors.captures import HEADER, write_captures

from spikebridge import cli
from spikebridge_detectors.elapsed import SECOND_NS
from spikebridge_detectors.evaluate.data import composite

if TYPE_CHECKING:
    from pathlib import Path

ROW = "1,x,o,1,tcp,1,2,3,2,\n"


@pytest.fixture(scope="module")
def captures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with captures."""
    return write_captures(tmp_path_factory.mktemp("captures"))


@pytest.mark.long
@pytest.mark.timeout(900)
def test_everything_is_measured_side_by_side(captures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One JSON document on stdout, what is done on stderr, and the tables in a page."""
    page = tmp_path / "page.md"
    page.write_text("before <!-- measured --> old <!-- end --> after")
    assert cli.main(["evaluate", "--data", str(captures), "--json", "--write", str(page)]) == 0
    said = capsys.readouterr()
    found = json.loads(said.out)
    assert [row["name"] for row in found["rows"]][:3] == ["timing and rules", "timing", "rules"]
    assert found["rows"][1]["quiet"]["found"] == 1
    assert "evaluate: row 2 of 11: timing\n" in said.err
    assert "| timing | 1/1 | - | 1/1 |" in page.read_text()


@pytest.mark.long
def test_days_held_back_are_a_table(captures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One row for what was learned from."""
    assert cli.main(["evaluate", "--data", str(captures), "--held-back"]) == 0
    assert capsys.readouterr().out.splitlines()[2].startswith("| clean days | ")


@pytest.mark.long
def test_recall_is_told_where_an_attacker_changes_attacks(captures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """For each change and kind, at each amplitude."""
    assert cli.main(["evaluate", "--data", str(captures), "--adversarial", "--json"]) == 0
    said = capsys.readouterr()
    found = {(row["change"], row["kind"]): row["recall"] for row in json.loads(said.out)["adversarial"]}
    assert {change for change, _ in found} == {"sine", "jitter", "padding", "slow-down"}
    assert [at["amplitude"] for at in found["slow-down", "scan"]] == [1.0, 2.0, 4.0, 8.0, 16.0]
    assert "evaluate: slow-down: scan\n" in said.err


def test_only_one_part_is_measured_at_a_time(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Days held back have no attacker who knows."""
    assert cli.main(["evaluate", "--data", str(tmp_path), "--held-back", "--adversarial"]) == 2
    assert "not allowed with argument" in capsys.readouterr().err


def test_generated_devices_are_no_captures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One of both, or nothing would say which was measured."""
    for given in ([], ["--generated", "--data", str(tmp_path)]):
        assert cli.main(["evaluate", *given]) == 2
        assert capsys.readouterr().err == "spikebridge: evaluate: expected either --data DIR or --generated\n"


def test_all_that_is_missing_is_told_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By its place in the folder."""
    assert cli.main(["evaluate", "--data", str(tmp_path)]) == 2
    assert [line for line in capsys.readouterr().err.splitlines() if "expected" in line] == [
        f"evaluate: not measured: {tmp_path}: expected composite/iot_week_hard.csv.gz, found none",
        f"evaluate: not measured: {tmp_path}: expected composite/iot_week_hard_truth.csv, found none",
        f"evaluate: not measured: {tmp_path}: expected composite/iot_week.csv.gz, found none",
        f"evaluate: not measured: {tmp_path}: expected composite/iot_week_truth.csv, found none",
        f"spikebridge: {tmp_path}: expected net/benign_week_DEVICE.csv.gz, found none",
    ]


@pytest.mark.long
@pytest.mark.timeout(900)
def test_what_cannot_be_measured_is_named_and_the_rest_is_measured(
    captures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A composite that isn't there, and a device that came too late to be learned, which is in a composite too."""
    for path in captures.glob("*/*"):
        (tmp_path / path.parent.name).mkdir(exist_ok=True)
        (tmp_path / path.parent.name / path.name).write_bytes(path.read_bytes())
    (tmp_path / "composite" / "iot_week.csv.gz").unlink()
    late = "".join(f"{400_000 + 60 * minute},lamp,o,1,tcp,1,2,3,2,\n" for minute in range(500))
    (tmp_path / "net" / "benign_week_lamp.csv.gz").write_bytes(gzip.compress((HEADER + late).encode()))
    quiet = tmp_path / "composite" / "iot_week_hard.csv.gz"
    quiet.write_bytes(quiet.read_bytes() + gzip.compress(late.encode()))
    with (tmp_path / "composite" / "iot_week_hard_truth.csv").open("a") as truth:
        truth.write("lamp,scan,430000,430100,1,True\n")
    assert cli.main(["evaluate", "--data", str(tmp_path)]) == 0
    said = capsys.readouterr()
    absent = f"{tmp_path}: expected composite/iot_week.csv.gz, found none"
    unfit = f"{tmp_path}: net/: lamp: training: expected packets of 3 to 31 days, found 1"
    assert said.out.splitlines()[-2:] == [f"Not measured: {absent}.", f"Not measured: {unfit}."]
    assert f"evaluate: not measured: {absent}\n" in said.err
    assert f"evaluate: not measured: {unfit}\n" in said.err
    assert "| timing | 1/1 | - | - |" in said.out


def test_recordings_of_plants_that_are_missing_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What was scanned is no plant without what is normal."""
    (tmp_path / "ics").mkdir()
    (tmp_path / "ics" / "mms_scanning.csv.gz").write_bytes(b"")
    assert cli.main(["evaluate", "--data", str(tmp_path), "--plants"]) == 2
    kinds = "ics/modbus_*.csv.gz, ics/mms_*.csv.gz, ics/iec104_*.csv.gz"
    assert capsys.readouterr().err.splitlines() == [
        "evaluate: reading the recordings of plants",
        f"evaluate: not measured: {tmp_path}: expected ics/modbus_*.csv.gz too, found none",
        f"evaluate: not measured: {tmp_path}: expected ics/mms_normal.csv.gz too, found none",
        f"evaluate: not measured: {tmp_path}: expected ics/iec104_*.csv.gz too, found none",
        f"spikebridge: {tmp_path}: expected all of a plant's files among {kinds}, found none",
    ]


@pytest.mark.parametrize(
    ("table", "told"),
    [
        (b"nothing", ": line 1: expected the columns t, and dir or src and dst; found nothing"),
        (b"\x1f\x8b nothing packed", ": damaged gzip data before byte "),
        (gzip.compress(f"{HEADER}{ROW}".encode())[:-4], ": expected a whole file: the end of the file is missing"),
        (gzip.compress(HEADER.encode()), ": expected packets, found none"),
        (gzip.compress(b"dir,peer,proto\no,1,tcp\n"), ": line 1: expected the columns t, and dir or src and dst"),
        (gzip.compress(f"{HEADER}0,x\n".encode()), ":2: expected 10 fields, found 2"),
        (gzip.compress(f"{HEADER}soon,x,o,1,tcp,1,2,3,2,\n".encode()), ':2: t: found "soon", expected seconds'),
        (gzip.compress(f"{HEADER}1,x,up,1,tcp,1,2,3,2,\n".encode()), ':2: dir: found "up", expected o or i'),
        (
            gzip.compress(f"{HEADER}1,x,o,1,tcp,70000,2,3,2,\n".encode()),
            ':2: sport: found "70000", expected a whole number from 0 to 65535',
        ),
        (gzip.compress(f"{HEADER}{ROW}2,x,o,1,tcp,1,2,3,no,\n".encode()), ':3: flags: found "no", expected a whole number'),
        (gzip.compress(f"{HEADER}{ROW}".encode()), "net/: expected 5 days to learn from and two hours"),
    ],
    ids=["nothing", "damaged", "truncated", "empty", "columns", "fields", "time", "direction", "port", "flags", "short"],
)
def test_what_is_wrong_with_a_table_is_told_with_its_place(
    captures: Path, tmp_path: Path, table: bytes, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """File, line and column, what was found, what was expected; never a traceback."""
    (tmp_path / "net").mkdir()
    (tmp_path / "composite").symlink_to(captures / "composite")
    (tmp_path / "net" / "benign_week_meter.csv.gz").write_bytes(table)
    assert cli.main(["evaluate", "--data", str(tmp_path)]) == 2
    assert told in capsys.readouterr().err.splitlines()[-1]


def test_a_page_without_marks_is_told_before_anything_is_measured(
    captures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With what it must have."""
    page = tmp_path / "page.md"
    page.write_text("nothing")
    assert cli.main(["evaluate", "--data", str(captures), "--write", str(page)]) == 2
    assert capsys.readouterr().err == f"spikebridge: {page}: expected a page with <!-- measured --> and <!-- end --> in it\n"


def test_a_truth_that_cannot_be_read_is_told_with_its_place(
    captures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By its line and column."""
    (tmp_path / "net").symlink_to(captures / "net")
    (tmp_path / "composite").mkdir()
    for path in (captures / "composite").iterdir():
        (tmp_path / "composite" / path.name).write_bytes(path.read_bytes())
    truth = tmp_path / "composite" / "iot_week_hard_truth.csv"
    for text, told in (
        (
            "device,attack,start\nmeter,scan,1\n",
            ":1: expected the columns device, attack, start, end, scored, found none called end, scored",
        ),
        (
            "device,attack,start,end,scored\nmeter,scan,1,later,True\n",
            ':2: end: found "later", expected seconds from the start of the capture',
        ),
        ("device,attack,start,end,scored\nmeter,scan,9,8,True\n", ":2: end: found 8, expected 9 or later"),
        ("device,attack,start,end,scored\nmeter,scan,8,9,yes\n", ':2: scored: found "yes", expected True or False'),
        ("device,attack,start,end,scored\n", ": expected attacks, found none"),
        ("", ": expected attacks, found none"),
        (
            "device,attack,start,end,scored\nmeter,scan,1700000000,1700000009,True\n",
            ": start: found 1700000000, expected at most 539700 s, a day behind the last packet",
        ),
    ):
        truth.write_text(text)
        assert cli.main(["evaluate", "--data", str(tmp_path)]) == 2
        assert capsys.readouterr().err.splitlines()[-1] == f"spikebridge: {truth}{told}"


def test_a_silence_with_nothing_behind_it_is_an_attack_to_its_end(captures: Path, tmp_path: Path) -> None:
    """The capture lasts until then, also where it begins behind the last packet of all; a day of silence is the most."""
    (tmp_path / "composite").mkdir()
    table = (captures / "composite" / "iot_week_hard.csv.gz").read_bytes()
    (tmp_path / "composite" / "iot_week_hard.csv.gz").write_bytes(table)
    for end, expected in ((455_000, 455_000), (900_000, 453_300 + 86_400)):
        truth = f"device,attack,start,end,scored\nmeter,silence,453400,{end},True\n"
        (tmp_path / "composite" / "iot_week_hard_truth.csv").write_text(truth)
        assert composite(tmp_path, "iot_week_hard").end_ns // SECOND_NS == expected


def test_a_device_in_two_files_is_refused(captures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One would else stand for both."""
    (tmp_path / "net").mkdir()
    (own,) = (captures / "net").iterdir()
    for name in ("a", "b"):
        (tmp_path / "net" / f"benign_week_{name}.csv.gz").write_bytes(own.read_bytes())
    assert cli.main(["evaluate", "--data", str(tmp_path), "--held-back"]) == 2
    path = tmp_path / "net" / "benign_week_b.csv.gz"
    told = f"{path}: found device meter, which another file of {tmp_path / 'net'} has too"
    assert capsys.readouterr().err.splitlines()[-1] == f"spikebridge: {told}"
