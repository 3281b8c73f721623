"""Flow logs are read as packets of who opened each flow, and rows that make no sense are counted."""

from __future__ import annotations

import gzip
import io
import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spikebridge_detectors.capture.columns import Packets, Transport
from spikebridge_detectors.capture.devices import Devices
from spikebridge_detectors.capture.flows import FlowSource
from spikebridge_detectors.capture.frames import Passed
from spikebridge_detectors.errors import CaptureError

DATA = Path(os.environ.get("SPIKEBRIDGE_DATA", "data"))
FIELDS = (
    "ts",
    "uid",
    "id.orig_h",
    "id.orig_p",
    "id.resp_h",
    "id.resp_p",
    "proto",
    "orig_bytes",
    "resp_bytes",
    "history",
    "orig_ip_bytes",
    "resp_ip_bytes",
)
TCP = ("1700000000.123456", "C1", "10.0.0.1", "50000", "8.8.8.8", "443", "tcp", "7", "9", "ShADadFf", "500", "900")
UDP = ("1700000000.1", "C2", "fd00::1", "5353", "2001:db8::1", "53", "udp", "7", "9", "Dd", "-", "-")
PING = ("1699999999", "C3", "9.9.9.9", "8", "10.0.0.1", "0", "icmp", "-", "-", "-", "84", "0")
ZEEK = (
    "#separator \\x09\n#fields\t"
    + "\t".join(FIELDS)
    + "\n"
    + "\n".join("\t".join(row) for row in (TCP, UDP, PING))
    + "\n#close\n"
)
JSON = "\n".join(json.dumps(dict(zip(FIELDS, row, strict=True))) for row in (TCP, UDP, PING))
ARGUS = (
    "StartTime,Dur,Proto,SrcAddr,Sport,Dir,DstAddr,Dport,State,sTos,dTos,TotPkts,TotBytes,SrcBytes,Label\n"
    "2011/08/10 09:46:53.047277,0.18,udp,10.0.0.1,1577,  <->,8.8.8.8,6881,CON,0,0,4,413,213,flow=Background\n"
    "2011/08/10 09:46:53,0.0,tcp,10.0.0.1,4000,   ->,8.8.8.8,80,SR_A,0,0,4,276,156,flow=Background\n"
    "2011/08/10 09:46:54,0.0,tcp,10.0.0.1,4000,   <-,8.8.8.8,80,RA_S,0,0,4,276,156,flow=Background\n"
    "2011/08/10 09:46:55,0.0,icmp,10.0.0.1,0x0303,   ->,8.8.8.8,0x4f2c,URP,0,,1,84,84,flow=Background\n"
    "2011/08/10 09:46:55,0.0,arp,00:01:02:03:04:05,,who,10.0.0.1,,INT,0,,1,60,60,flow=Background\n"
)


def read(text: str, *inside: str) -> tuple[list[tuple[Any, ...]], Counter[Passed]]:
    """Return the rows of a log without their devices, and what was passed over."""
    source = FlowSource(io.BytesIO(text.encode(errors="surrogateescape")), "conn.log", Devices(inside))
    pieces = list(source)
    together = Packets._make(np.concatenate(columns).tolist() for columns in zip(*pieces, strict=True)) if pieces else []
    return [row[:1] + row[2:] for row in zip(*together, strict=True)], +source.passed


@pytest.mark.parametrize("text", [ZEEK, JSON, ZEEK.replace("\n", "\r\n")])
def test_a_conn_log_is_read_in_both_of_its_forms(text: str) -> None:
    """Bytes of both ends with their headers where they are known, the opener's flags, and no ports where they are types of ICMP."""
    assert read(text) == (
        [
            (1_700_000_000_123_456_000, True, 0, Transport.TCP, 50000, 443, 1400, 0x13),
            (1_700_000_000_100_000_000, True, 0, Transport.UDP, 5353, 53, 16, 0),
            (1_700_000_000_123_456_000, False, 1, Transport.ICMP, 0, 0, 84, 0),
        ],
        Counter(),
    )


def test_times_may_be_written_as_dates() -> None:
    """As Zeek does in JSON on request."""
    assert read(JSON.replace(TCP[0], "2023-11-14T22:13:20.123456Z"))[0][0][0] == 1_700_000_000_123_456_000


def log(*flows: tuple[float, str, str]) -> str:
    """Return a conn.log of flows that began at 1000 s, each with its start behind that, how long it lasted, and who opened it."""
    lines = [f"{1000 + start}\t{lasted}\t{source}\t9.9.9.9\tother" for start, lasted, source in flows]
    return "\n".join(["#fields\tts\tduration\tid.orig_h\tid.resp_h\tproto", *lines, ""])


@pytest.mark.parametrize(
    ("flows", "ends"),
    [
        ([(0, "2.5", "10.0.0.1"), (1, "-", "10.0.0.1"), (2, "1e-3", "10.0.0.1"), (3, "-7", "10.0.0.1")], [2.5, 2.5, 2.5, 3]),
        ([(60, "0", "10.0.0.1"), (5, "0", "10.0.0.2"), (1, "0", "10.0.0.1"), (6, "0", "10.0.0.2")], [60, 5, 60, 6]),
        (
            [(0, "90000", "10.0.0.1"), (86399, "0", "10.0.0.1"), (86398, "0", "10.0.0.1"), (90001, "0", "10.0.0.1")],
            [90000, 86399, 86399, 90001],
        ),
    ],
    ids=["when it ended", "each device by itself", "an hour at most"],
)
def test_a_flow_counts_when_it_ended_or_as_late_as_one_that_was_logged_before(
    flows: list[tuple[float, str, str]], ends: list[float]
) -> None:
    """So the time of a device doesn't fall where short flows are logged before long ones; a clock that was set back is believed."""
    found, passed = read(log(*flows))
    assert ([row[0] for row in found], passed) == ([round((1000 + end) * 10**9) for end in ends], Counter())


@pytest.mark.parametrize("lasted", ["long", "nan", "inf", "1e12", "1e400"])
def test_a_flow_that_lasted_no_time_that_can_be_is_a_bad_row(lasted: str) -> None:
    """The others are read."""
    found, passed = read(log((0, "1", "10.0.0.1"), (1, lasted, "10.0.0.1")))
    assert (len(found), passed) == (1, {Passed.BAD_ROW: 1})


def test_a_log_of_which_no_row_can_be_read_is_refused() -> None:
    """One without rows isn't, nor one whose flows are of no device."""
    other = "#separator \\x09\n#path\thttp\n#fields\tts\tmethod\n1.5\tGET\n2.5\tGET\n"
    with pytest.raises(CaptureError) as error:
        read(other)
    assert str(error.value) == "conn.log: no row of 2 can be read; expected the fields of a conn.log or a binetflow"
    assert read(log()) == ([], Counter())
    assert read(log((0, "1", "8.8.8.8"))) == ([], {Passed.NO_DEVICE: 1})


def test_a_binetflow_is_read_and_a_flow_from_the_right_turned_round() -> None:
    """States are the flags of both ends, the opener's count; what has a MAC for an address has no peer but that."""
    moment = 1_312_969_613_000_000_000
    second = 1_000_000_000
    assert read(ARGUS, "10.0.0.1", "8.8.8.8") == (
        [
            (moment + 227_277_000, True, 0, Transport.UDP, 1577, 6881, 413, 0),
            (moment + 227_277_000, False, 0, Transport.UDP, 1577, 6881, 413, 0),
            (moment + 227_277_000, True, 0, Transport.TCP, 4000, 80, 276, 6),
            (moment + 227_277_000, False, 0, Transport.TCP, 4000, 80, 276, 6),
            (moment + second, True, 0, Transport.TCP, 80, 4000, 276, 2),
            (moment + second, False, 0, Transport.TCP, 80, 4000, 276, 2),
            (moment + 2 * second, True, 0, Transport.ICMP, 0, 0, 84, 0),
            (moment + 2 * second, False, 0, Transport.ICMP, 0, 0, 84, 0),
            (moment + 2 * second, False, 1, Transport.ARP, 0, 0, 60, 0),
        ],
        Counter(),
    )


@pytest.mark.parametrize(
    "changed",
    [
        {"ts": "soon"},
        {"ts": "1e40"},
        {"ts": "NaN"},
        {"id.orig_p": "70000"},
        {"id.orig_p": "-5"},
        {"orig_ip_bytes": "many"},
        {"orig_ip_bytes": "9" * 5000},
    ],
)
def test_a_row_that_makes_no_sense_is_counted_and_the_others_are_read(changed: dict[str, str]) -> None:
    """In either form; so is a row that ends too early."""
    row = [changed.get(name, value) for name, value in zip(FIELDS, TCP, strict=True)]
    found, passed = read(ZEEK.replace("\t".join(TCP), "\t".join(row)) + "1.0\tC9\n", "all=0.0.0.0/0", "all=::/0")
    assert (len(found), passed) == (4, {Passed.BAD_ROW: 2})
    bad = json.dumps(dict(zip(FIELDS, row, strict=True)))
    found, passed = read(f"{JSON}\n{bad}\n[1]\n{{\n{'[' * 50_000}\n{{}}\n", "all=0.0.0.0/0", "all=::/0")
    assert (len(found), passed) == (6, {Passed.BAD_ROW: 5})


@pytest.mark.parametrize("text", [ZEEK.removesuffix("#close\n"), JSON + "\n", ARGUS.rpartition("2011")[0]])
def test_of_a_log_that_grows_a_last_line_without_its_end_is_left(text: str) -> None:
    """Wherever it is cut: half a line may look like a whole one with other numbers."""

    def grown(log: bytes) -> tuple[int, Counter[Passed]]:
        source = FlowSource(io.BytesIO(log), "conn.log", Devices(["all=0.0.0.0/0", "all=::/0"]), grows=True)
        return sum(int(piece.outgoing.sum()) for piece in source), +source.passed

    flows, last = grown(text.encode())[0], text.splitlines()[-1]
    for length in range(1, len(last) + 1):
        assert grown(text.removesuffix(f"{last[length:]}\n").encode()) == (flows - 1, {Passed.UNENDED: 1})
    assert grown(gzip.compress(text.encode()[:-1])) == (flows - 1, {Passed.UNENDED: 1})
    assert (grown(text.encode()), len(read(text[:-1])[0])) == ((flows, Counter()), len(read(text)[0]))


@pytest.mark.parametrize(("text", "row"), [(ZEEK, "\t".join(TCP)), (ARGUS, ARGUS.splitlines()[1])], ids=["conn.log", "binetflow"])
def test_a_row_that_is_longer_or_shorter_than_its_fields_is_a_bad_row(text: str, row: str) -> None:
    """One that a full disk cut off, or two in one line."""
    separator = "\t" if "\t" in row else ","
    for other in (row.rpartition(separator)[0], f"{row}{separator}{row}"):
        assert read(text.replace(row, other), "10.0.0.1")[1][Passed.BAD_ROW] == 1


def test_more_bytes_than_fit_are_the_most_that_fit() -> None:
    """A flow of a terabyte is long, not short."""
    assert read(ZEEK.replace("\t500\t", f"\t{10**12}\t"))[0][0][6] == (1 << 32) - 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("time,from,to\n", "conn.log: line 1: expected a Zeek conn.log"),
        ("#fields\tts\n" + "x" * 70_000, "conn.log: line 2: longer than 65536 bytes"),
        ("{" + "x" * 3_000_000, "conn.log: line 1: longer than 65536 bytes"),
    ],
)
def test_what_is_no_flow_log_is_refused_with_its_line(text: str, said: str) -> None:
    """Lines are bounded."""
    with pytest.raises(CaptureError) as error:
        read(text)
    assert str(error.value).startswith(said)
    assert read("") == ([], Counter())


@given(st.sampled_from([ZEEK, JSON, ARGUS]), st.data())
def test_damage_anywhere_is_a_row_less_or_a_refusal(text: str, choice: st.DataObject) -> None:
    """Whatever bytes come."""
    changed = bytearray(text.encode())
    for _ in range(choice.draw(st.integers(1, 5))):
        changed[choice.draw(st.integers(20, len(changed) - 1))] = choice.draw(st.integers(0, 255))
    try:
        found, _ = read(changed.decode(errors="surrogateescape"), "0.0.0.0/0")
    except CaptureError as error:
        assert "no row of" in str(error)  # noqa: PT017 - either is right
    else:
        assert len(found) <= 12


@pytest.mark.parametrize(
    "name", ["slips_test18_conn.log.labeled", "slips_portscan_horizontal_conn.log", "slips_portscan_vertical_conn.log"]
)
def test_recorded_logs_are_read_whole(name: str) -> None:
    """Each row of them, packed too."""
    path = DATA / "flows" / name
    if not path.exists():
        pytest.skip(f"{path} is not here: SPIKEBRIDGE_DATA names the folder with recorded flows")
    data = path.read_bytes()
    rows = sum(1 for line in data.splitlines() if line and not line.startswith(b"#"))
    for file in (data, gzip.compress(data)):
        source = FlowSource(io.BytesIO(file), name, Devices(["all=0.0.0.0/0", "all=::/0"]))
        opened = sum(int(piece.outgoing.sum()) for piece in source)
        assert (opened, +source.passed) == (rows, Counter())
