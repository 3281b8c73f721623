"""`spikebridge sense --flows`: a log of flows is learned from and watched, and read on where it stopped."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
from tests.unit.detectors.sensing import attacked

from spikebridge import cli
from spikebridge.spikes.files import read_values
from spikebridge.spikes.frame import unpack
from spikebridge_detectors.elapsed import SECOND_NS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

FIELDS = "ts", "duration", "id.orig_h", "id.orig_p", "id.resp_h", "id.resp_p", "proto", "orig_bytes", "resp_bytes", "history"
DEVICE = ["--device", "meter=10.0.0.5", "--learn", "3d"]


@pytest.fixture(scope="module")
def flows() -> list[dict[str, str]]:
    """Return a flow for each packet that an attacked device sends, in the order in which they are logged."""
    packets, luck = attacked(), np.random.default_rng(5)
    sent = [row for row in zip(*(column.tolist() for column in packets), strict=True) if row[2]]
    ends = luck.uniform(0.001, 0.2, len(sent))
    logged = np.argsort([row[0] / SECOND_NS for row in sent] + ends + luck.uniform(0, 30, len(sent)))
    made = []
    for at in logged.tolist():
        time_ns, _, _, _, _, source, target, length, _ = sent[at]
        said = (
            f"{time_ns / SECOND_NS:.6f}",
            f"{ends[at]:.6f}",
            "10.0.0.5",
            f"{source}",
            "9.9.9.9",
            f"{target}",
            "tcp",
            f"{length}",
            "-",
            "S",
        )
        made.append(dict(zip(FIELDS, said, strict=True)))
    return made


def as_tsv(flows: Sequence[dict[str, str]]) -> bytes:
    """Return a conn.log as Zeek writes it."""
    rows = ["\t".join(flow.values()) for flow in flows]
    return "\n".join(["#separator \\x09", "#path\tconn", "\t".join(("#fields", *FIELDS)), *rows, ""]).encode()


def as_json(flows: Sequence[dict[str, str]]) -> bytes:
    """Return a conn.log in JSON."""
    return "".join(f"{json.dumps(flow)}\n" for flow in flows).encode()


def sense(log: Path, folder: Path, *more: object) -> int:
    """Run the command."""
    given = ["--to", folder / "found.spk", "--state", folder / "state", *DEVICE, *more]
    return cli.main(["sense", "--flows", str(log), *map(str, given)])


def told(folder: Path) -> list[tuple[int, int]]:
    """Return times and neurons of what was sent."""
    with (folder / "found.spk").open("rb") as file:
        frames = [unpack(value, 1) for _, value in read_values(file)]
    assert {frame.head.device for frame in frames} == {"meter"}
    return [(frame.head.start_ns, neuron) for frame in frames for neuron in frame.neurons.tolist()]


def test_a_log_of_flows_is_learned_from_and_watched(
    flows: list[dict[str, str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In each of its forms, packed or not, the same is found: a scan, a silence and a flood, and nothing in the days before."""
    found = []
    for name, data in (("tsv", as_tsv(flows)), ("json", gzip.compress(as_json(flows)))):
        (tmp_path / name).mkdir()
        (tmp_path / "conn.log").write_bytes(data)
        assert sense(tmp_path / "conn.log", tmp_path / name) == 0
        found.append(told(tmp_path / name))
        said = capsys.readouterr().err
        assert f"{len(flows):,} flows of 1 device: 1 watched, 0 being learned\n" in said
        assert "can't be read" not in said
    assert found[0] == found[1]
    hours = {neuron: {at // (3600 * SECOND_NS) for at, one in found[0] if one == neuron} for _, neuron in found[0]}
    assert {76, 84} <= set.union(*hours.values())
    assert {80, 81} & hours[52]
    assert min(at for at, _ in found[0]) >= 76 * 3600 * SECOND_NS


def test_a_log_that_grew_is_read_on_where_it_stopped(
    flows: list[dict[str, str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """However it was cut, what is told is that of a single run."""
    whole, grows = tmp_path / "whole", tmp_path / "grows"
    for folder in (whole, grows):
        folder.mkdir()
    (whole / "conn.log").write_bytes(as_tsv(flows))
    assert sense(whole / "conn.log", whole) == 0
    for count in (700, 1009, len(flows), len(flows)):
        (grows / "conn.log").write_bytes(as_tsv(flows[:count]))
        assert sense(grows / "conn.log", grows) == 0
    assert sorted(told(grows)) == sorted(told(whole))
    behind = [line for line in capsys.readouterr().err.splitlines() if "read on behind" in line]
    assert behind == [
        f"{grows / 'conn.log'}: read on behind {count:,} flows; another --state begins anew" for count in (700, 1009, len(flows))
    ]


@pytest.mark.parametrize("cut", [0, 1, 6, 12])
def test_a_log_whose_last_line_is_still_being_written_is_read_on_once_it_is_whole(
    cut: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Half a line isn't dealt with, which is said; nor is half of one of a table whose last column is the time."""
    rows = [f"{1000 + at}.5\t10.0.0.5\t4000\t9.9.9.9\t443\ttcp\tssl\t12.345678\n" for at in range(3)]
    log = "#separator \\x09\n#fields\tts\tid.orig_h\tid.orig_p\tid.resp_h\tid.resp_p\tproto\tservice\tduration\n" + "".join(rows)
    table = "device,dir,t\nmeter,o,1.123456\nmeter,o,12.1234567891011\n"
    for option, text, count in (("--flows", log, 3), ("--table", table, 2)):
        path, state = tmp_path / f"grows{option}", tmp_path / f"state{option}"
        given = [option, str(path), "--to", str(tmp_path / f"found{option}.spk"), "--state", str(state), "--device", "meter"]
        given[-1] += "=10.0.0.5" * (option == "--flows")
        what = "flow" if option == "--flows" else "packet"
        path.write_text(text[: len(text) - 1 - cut])
        assert cli.main(["sense", *given]) == 0
        said = capsys.readouterr().err
        assert f"{count - 1} {what}{'s' * (count > 2)} of 1 device" in said
        assert "1 x last line without its newline, left until it has one" in said
        path.write_text(text)
        assert cli.main(["sense", *given]) == 0
        said = capsys.readouterr().err
        assert f"\n1 {what} of 1 device" in said
        assert "last line" not in said


@pytest.mark.parametrize("quiet_s", [0, 7200])
def test_a_device_whose_flows_are_logged_late_is_not_silent(quiet_s: int, tmp_path: Path) -> None:
    """However a log grows that has other devices' flows at once; one of which none came for two hours is, once."""
    end_s, luck = 76 * 3600, np.random.default_rng(1)
    late = np.arange(30, end_s - quiet_s, 90) + luck.uniform(-1, 1, (end_s - quiet_s) // 90)
    once = np.arange(0, end_s, 60) + luck.uniform(0, 0.1, end_s // 60)
    logged = sorted([(at + 60, at, "10.0.0.5\t123", "udp") for at in late] + [(at, at, "10.0.0.6\t443", "tcp") for at in once])
    rows = [f"{at:.6f}\t{opener}\t9.9.9.9\t443\t{proto}\n" for _, at, opener, proto in logged]
    head = "#separator \\x09\n#fields\tts\tid.orig_h\tid.orig_p\tid.resp_h\tid.resp_p\tproto\n"
    before = [number for number, row in enumerate(rows) if "10.0.0.5" in row][-5:]
    for count in (*before, len(rows)):
        (tmp_path / "conn.log").write_text(head + "".join(rows[:count]))
        assert sense(tmp_path / "conn.log", tmp_path, "--device", "other=10.0.0.6") == 0
    with (tmp_path / "found.spk").open("rb") as file:
        frames = [unpack(value, 1) for _, value in read_values(file)]
    silences = [(frame.head.device, frame.head.start_ns) for frame in frames if 52 in frame.neurons.tolist()]
    assert [device for device, _ in silences] == ["meter"] * (quiet_s > 0)
    assert all(0 < at_ns / SECOND_NS - (end_s - quiet_s) < 600 for _, at_ns in silences)


def test_what_is_no_log_of_flows_is_refused_and_leaves_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And a log of flows that is given as a table of packets is called what it is."""
    log = tmp_path / "other.log"
    for text, said in (
        ("t,device,dir\n1,meter,o\n", "line 1: expected a Zeek conn.log"),
        ("#separator \\x09\n#fields\tts\tmethod\n1.5\tGET\n", "no row of 1 can be read"),
    ):
        log.write_text(text)
        assert sense(log, tmp_path) == 2
        assert said in capsys.readouterr().err
    given = ["--to", str(tmp_path / "found.spk"), "--state", str(tmp_path / "state")]
    assert cli.main(["sense", "--table", str(log), *given]) == 2
    assert "not a log of flows, which `sense --flows` reads" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["other.log"]
