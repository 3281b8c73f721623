"""Tables of packets and series of samples: columns by name, labels beside them, bad rows counted."""

from __future__ import annotations

import gzip
import io
import os
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spikebridge_detectors.capture.columns import Packets, Transport
from spikebridge_detectors.capture.frames import Passed
from spikebridge_detectors.capture.series import Columns, SeriesSource
from spikebridge_detectors.capture.tables import TableSource
from spikebridge_detectors.errors import CaptureError

DATA = Path(os.environ.get("SPIKEBRIDGE_DATA", "data"))
OWN = """t,device,dir,peer,proto,sport,dport,len,flags,label
0.000001,cam,o,0,tcp,50000,443,60,2,-
0.5,lock,i,,other,,,135,-,scan
-1,cam,i,1000,udp,53,5353,80,,-
"""
BETWEEN = """t,src,dst,proto,sport,dport,len,flags,label
0.1,101,104,tcp,1631,502,62,12,1
0.2, ,,arp,,,42,-,0
0.3,104,101,tcp,502,1631,60,12,0
0.4,104,105,tcp,1,2,60,12,0
"""


def read(text: str, **given: Any) -> tuple[list[tuple[Any, ...]], list[str], Counter[Passed]]:
    """Return rows with the names of their devices, their labels, and what was passed over."""
    source = TableSource(io.BytesIO(text.encode(errors="surrogateescape")), "t.csv", **given)
    pieces = list(source.labelled())
    rows = [row for piece in pieces for row in zip(*(column.tolist() for column in piece.packets), strict=True)]
    named = [(row[0], source.devices[row[1]], *row[2:]) for row in rows]
    return named, [label for piece in pieces for label in piece.labels], +source.passed


def test_a_table_of_devices_is_read_by_the_names_of_its_columns() -> None:
    """Peers are the table's own numbers, and what it leaves out is 0, -1 or nothing."""
    assert read(OWN) == (
        [
            (1000, "cam", True, 0, Transport.TCP, 50000, 443, 60, 2),
            (500_000_000, "lock", False, -1, Transport.OTHER, 0, 0, 135, 0),
            (-1_000_000_000, "cam", False, 1000, Transport.UDP, 53, 5353, 80, 0),
        ],
        ["-", "scan", "-"],
        Counter(),
    )
    assert read("t,dir,len\n1,o,9\n", device="plc")[0] == [(1_000_000_000, "plc", True, -1, 0, 0, 0, 9, 0)]


def test_a_table_of_two_ends_gives_rows_to_those_that_send() -> None:
    """Or to those that are listed; a packet between two devices has its label twice."""
    found, labels, passed = read(BETWEEN)
    assert [row[1:4] for row in found] == [("101", True, 0), ("104", True, 0), ("101", False, 0), ("104", True, 1)]
    assert (labels, passed) == (["1", "0", "0", "0"], {Passed.NO_DEVICE: 1})
    found, labels, passed = read(BETWEEN, inside=["104", "105"])
    assert [row[1:4] for row in found] == [("104", False, 0), ("104", True, 0), ("104", True, 1), ("105", False, 0)]
    assert (labels, passed) == (["1", "0", "0", "0"], {Passed.NO_DEVICE: 1})


def test_of_a_table_of_devices_those_alone_that_are_listed_are_read_where_that_is_asked_for() -> None:
    """The rows of others are counted; a table without names has one device, whatever it is called."""
    found, labels, passed = read(OWN, inside=["lock", "bell"], others=False)
    assert ([row[1] for row in found], labels, passed) == (["lock"], ["scan"], {Passed.NO_DEVICE: 2})
    assert [row[1] for row in read(OWN, inside=["lock"])[0]] == ["cam", "lock", "cam"]
    assert [row[1] for row in read(OWN, others=False)[0]] == ["cam", "lock", "cam"]
    assert [row[1] for row in read("t,dir,len\n1,o,9\n", device="plc", inside=["plc"], others=False)[0]] == ["plc"]


@pytest.mark.parametrize(
    "row",
    [
        "soon,cam,o,0,tcp,1,2,60,2,-",
        "0.1,cam,x,0,tcp,1,2,60,2,-",
        "0.1,cam,o,0,tcp,65536,2,60,2,-",
        "0.1,cam,o,0,tcp,-1,2,60,2,-",
        "0.1,cam,o,4294967296,tcp,1,2,60,2,-",
        "0.1,cam,o,0,tcp,1,2,60,zz,-",
        "0.1,cam,o,0",
        "99999999999,cam,o,0,tcp,1,2,60,2,-",
    ],
)
def test_a_bad_row_is_counted_and_the_others_are_read(row: str) -> None:
    """Times, directions and numbers out of their ranges, and rows that are too short."""
    found, _, passed = read(OWN + row + "\n")
    assert (len(found), passed) == (3, {Passed.BAD_ROW: 1})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("time,bytes\n1,2\n", "t.csv: line 1: expected the columns t, and dir or src and dst; found time, bytes"),
        ('t,dir\n1,"' + "x\n" * 200_000, "t.csv: line "),
        (",".join("x" * 1100) + "\n", "t.csv: line 1: 1100 columns, expected at most 1024"),
    ],
)
def test_what_is_no_table_is_refused_with_its_line(text: str, said: str) -> None:
    """Whatever was there."""
    with pytest.raises(CaptureError) as error:
        read(text)
    assert str(error.value).startswith(said)
    assert read("") == ([], [], Counter())


def test_a_table_without_a_name_for_its_device_is_refused() -> None:
    """One of two ends names them."""
    with pytest.raises(CaptureError) as error:
        read("t,dir\n1,o\n", device="")
    assert str(error.value) == (
        "t.csv: line 1: expected the column device, or a name for the one device whose packets these are; found t, dir"
    )
    assert len(read("t,src,dst\n1,a,b\n", device="")[0]) == len(read(OWN, device="")[0]) - 2


INVENTORY = "devices:\n- id: lock-1\n  addresses: [10.0.0.5, fd00::5]\n- id: lamp\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (INVENTORY, "line 1: expected the columns t, and dir or src and dst; found devices:"),
        ("x" * 300 + ",y\n", f"line 1: expected the columns t, and dir or src and dst; found {'x' * 200}..."),
        ("t,dir\n", ""),
        ("t,dir\n1\n2,o,3\n", "no row of 2 can be read; expected as many fields as line 1 has"),
        ("t,dir\n1,o,3\nsoon,o\n", 'no row of 2 can be read; line 3: t: found "soon", expected seconds'),
        ("t,dir\nsoon,o\n1,o\n", ""),
    ],
)
def test_a_file_of_which_no_row_can_be_read_is_refused(text: str, said: str) -> None:
    """By its first line, whatever follows; nothing behind a first line that fits is no fault."""
    if not said:
        assert len(read(text)[0]) == text.count("1,o")
        return
    with pytest.raises(CaptureError) as error:
        read(text)
    assert str(error.value) == f"t.csv: {said}"


@given(st.sampled_from([OWN, BETWEEN]), st.data())
def test_damage_anywhere_is_a_row_less_or_a_refusal(text: str, choice: st.DataObject) -> None:
    """And nothing else."""
    changed = bytearray(text.encode())
    for _ in range(choice.draw(st.integers(1, 5))):
        changed[choice.draw(st.integers(0, len(changed) - 1))] = choice.draw(st.integers(0, 255))
    try:
        found, labels, _ = read(changed.decode(errors="surrogateescape"))
    except CaptureError as error:
        assert str(error).startswith("t.csv: ")  # noqa: PT017 - either is right
    else:
        assert len(found) == len(labels) <= 12


SAMPLES = "ms,x,y,state\n1,0.5,-3,H\n17,,1e3,A\n9,inf,nan,A\n"


def samples(text: str, columns: Columns) -> tuple[list[int], list[list[float]], list[str], Counter[Passed]]:
    """Return times, values and labels of all pieces."""
    source = SeriesSource(io.BytesIO(text.encode()), "s.csv", columns)
    pieces = list(source)
    return (
        [int(at) for piece in pieces for at in piece.time_ns],
        [row for piece in pieces for row in piece.values.tolist()],
        [label for piece in pieces for label in piece.labels],
        +source.passed,
    )


def test_a_series_is_read_with_its_times_or_at_a_step() -> None:
    """An empty field is NaN, and values that are no numbers are left to the encoder; a row that can't be read leaves its time out."""
    times, values, labels, passed = samples(SAMPLES, Columns(("y", "x"), time="ms", unit="ms", label="state"))
    assert (times, labels, passed) == ([1_000_000, 17_000_000, 9_000_000], ["H", "A", "A"], Counter())
    assert np.array_equal(values, [[-3, 0.5], [1000, np.nan], [np.nan, np.inf]], equal_nan=True)
    times, values, labels, passed = samples(f"{SAMPLES}18,x,1,H\n19,1\n20,2,2,H\n", Columns(("x",), step_ns=50_000_000))
    assert (times, values[-1], labels[-1]) == ([0, 50_000_000, 100_000_000, 250_000_000], [2], "")
    assert passed == {Passed.BAD_ROW: 2}


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        (Columns(("z",), time="ms"), "s.csv: line 1: no column z; found ms, x, y, state"),
        (Columns(("x",), time="s", label="kind"), "s.csv: line 1: no column s, kind"),
        (Columns((), time="ms"), "s.csv: expected channels"),
        (Columns(("x",)), "s.csv: expected channels"),
        (Columns(("x",), time="ms", unit="h"), "s.csv: expected channels"),
    ],
)
def test_columns_that_are_not_there_are_named(columns: Columns, said: str) -> None:
    """Beside those that are."""
    with pytest.raises(CaptureError) as error:
        samples(SAMPLES, columns)
    assert str(error.value).startswith(said)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (INVENTORY, "s.csv: line 1: no column x; found devices:"),
        ("x,y\n1\n2\n", "s.csv: no row of 2 can be read; expected as many fields as line 1 has"),
        ("x,y\none,1\n2\n", "s.csv: no row of 2 can be read; line 2: "),
    ],
)
def test_a_series_of_which_no_row_can_be_read_is_refused(text: str, said: str) -> None:
    """By its first line, whatever follows; one without rows holds no samples."""
    with pytest.raises(CaptureError) as error:
        samples(text, Columns(("x",), step_ns=1))
    assert str(error.value).startswith(said)
    assert samples("x,y\n", Columns(("x",), step_ns=1)) == ([], [], [], Counter())


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("18,,1,H", 's.csv:4: x: expected a number, found ""'),
        ("18,nan,1,H", 's.csv:4: x: expected a number, found "nan"'),
        ("now,1,1,H", 's.csv:4: ms: expected a time, found "now"'),
        ("18,1", "s.csv:4: expected 4 fields, found 2"),
    ],
)
def test_a_strict_series_is_whole_or_refused(row: str, said: str) -> None:
    """With the line of the first row that doesn't hold finite numbers; otherwise such a row is left out, or holds NaN."""
    text = f"ms,x,y,state\n1,0.5,-3,H\n17,2,1e3,A\n{row}\n"
    columns = Columns(("x", "y"), time="ms", unit="ms", label="state")
    assert len(samples(text, columns)[0]) in (2, 3)
    with pytest.raises(CaptureError) as error:
        list(SeriesSource(io.BytesIO(text.encode()), "s.csv", columns, strict=True))
    assert str(error.value) == said


def recorded(name: str) -> bytes:
    """Return a recorded file, or skip."""
    path = DATA / name
    if not path.exists():
        pytest.skip(f"{path} is not here: SPIKEBRIDGE_DATA names the folder with recorded tables")
    return path.read_bytes()


@pytest.mark.parametrize(
    ("name", "devices"),
    [
        ("composite/iot_week_hard.csv.gz", 4),
        ("net/attack_synscan.csv.gz", 1),
        ("net/kitsune_mirai_benign_prefix.csv.gz", None),
        ("ics/modbus_characterization.csv.gz", None),
        ("ics/mms_scanning.csv.gz", None),
        ("ics/iec104_benign_15h.csv.gz", None),
    ],
)
def test_recorded_tables_are_read_whole(name: str, devices: int | None) -> None:
    """Each row that has a device gives one packet, or two."""
    data = recorded(name)
    source = TableSource(io.BytesIO(data), name)
    packets = Packets._make(np.concatenate(columns) for columns in zip(*source, strict=True))
    rows = gzip.decompress(data).count(b"\n") - 1
    assert set(source.passed) <= {Passed.NO_DEVICE}
    assert int(packets.outgoing.sum()) + int((~packets.outgoing).sum()) >= rows - source.passed[Passed.NO_DEVICE]
    assert len(source.devices) == (devices or len(source.devices))
    assert (packets.device < len(source.devices)).all()


@pytest.mark.parametrize(
    ("name", "columns"),
    [
        ("vibration/rosa_h_98.csv.gz", Columns(("LinAcc. x", "Audio"), "Rel Time", "ms", label="Binary Macro Health Mode")),
        ("power/evse_b_windows20.csv.gz", Columns(("power_mw_mean",), step_ns=20_000_000_000, label="label")),
    ],
)
def test_recorded_series_are_read_whole(name: str, columns: Columns) -> None:
    """Each row is a sample."""
    data = recorded(name)
    source = SeriesSource(io.BytesIO(data), name, columns)
    count = sum(len(piece.time_ns) for piece in source)
    assert (count, +source.passed) == (gzip.decompress(data).count(b"\n") - 1, Counter())


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ("1,lamp,o,6x", 't.csv:3: len: found "6x", expected a whole number from 0 to 4294967295'),
        ("1,lamp,o", "t.csv:3: expected 4 fields, found 3"),
        ("now,lamp,o,60", 't.csv:3: t: found "now", expected seconds'),
    ],
)
def test_a_strict_reader_refuses_the_first_row_that_is_none(row: str, told: str) -> None:
    """With its line; one that isn't strict counts it and goes on."""
    text = f"t,device,dir,len\n0,lamp,o,60\n{row}\n2,lamp,o,60\n".encode()
    with pytest.raises(CaptureError) as caught:
        list(TableSource(io.BytesIO(text), "t.csv", strict=True))
    assert str(caught.value) == told
    source = TableSource(io.BytesIO(text), "t.csv")
    assert sum(len(packets.time_ns) for packets in source) == 2
    assert source.passed[Passed.BAD_ROW] == 1
