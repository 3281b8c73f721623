"""`spikebridge sense`: from a capture to frames in a log, and nothing lost or told twice when its process is killed."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from contextlib import suppress
from threading import Event
from typing import TYPE_CHECKING

import numpy as np
import pytest
from tests import captures
from tests.sense_worker import POINTS
from tests.unit.detectors.sensing import as_table, attacked
from tests.unit.detectors.traffic import poller

from spikebridge import cli
from spikebridge.cli.targets import Patient
from spikebridge.errors import LogUnavailable
from spikebridge.limits import Limits
from spikebridge.logs.spool import Spool
from spikebridge.mapping.admission import Duplicates
from spikebridge.spikes.decode import Decoder
from spikebridge.spikes.files import read_values
from spikebridge.spikes.frame import unpack
from spikebridge.spikes.layout import MAX_EVIDENCE_BYTES
from spikebridge.spikes.names import Devices, Layers
from spikebridge_detectors import evidence
from spikebridge_detectors.elapsed import SECOND_NS
from spikebridge_detectors.model import container, keys
from spikebridge_detectors.model.file import opened
from spikebridge_detectors.model.header import Training
from spikebridge_detectors.timing.detector import Timing
from spikebridge_detectors.timing.model import About, modelled

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

LEARN = ["--learn", "3d"]
OTHER_SERIES = ["--series", "other.csv", "--model", "power.spike"]


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the days of a device that is attacked on the fourth."""
    path = tmp_path_factory.mktemp("captures") / "week.csv"
    path.write_text(as_table(attacked()))
    return path


def sense(*arguments: object) -> int:
    """Run the command here."""
    return cli.main(["sense", *map(str, arguments)])


def alarms(values: Sequence[bytes]) -> list[int]:
    """Return the neurons of frames."""
    return [neuron for value in values for neuron in unpack(value, 1).neurons.tolist()]


def carried(values: Sequence[bytes]) -> list[bytes]:
    """Return the evidence that frames carry."""
    return [found for value in values if (found := unpack(value, 1).evidence)]


def frames(path: Path) -> list[bytes]:
    """Return the frames of a file."""
    with path.open("rb") as file:
        return [value for _, value in read_values(file)]


def spooled(folder: Path) -> list[bytes]:
    """Return the records of a spool that no duplicate check drops, in their order."""
    with Spool(folder) as spool:
        records = spool.poll(0, 1 << 30)
    batch = Decoder(Devices(), Layers(), Limits().frame_ns).decode(records)
    assert not batch.refused
    twice = Duplicates(Limits()).find(batch, np.arange(len(records)), batch.append_ns[batch.record])
    return [record.value for record, again in zip(records, twice.tolist(), strict=True) if not again]


def test_a_table_becomes_frames_of_what_was_found(table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By the neurons that mappings know, with the digest of what was learned; what lives says so before."""
    assert sense("--table", table, *LEARN, "--to", tmp_path / "found.spk", "--state", tmp_path / "state") == 0
    read = [unpack(value, 1) for value in frames(tmp_path / "found.spk")]
    assert {48, 50, 52, 53, 54} <= set(alarms(frames(tmp_path / "found.spk")))
    assert [frame.head.seq for frame in read] == list(range(len(read)))
    assert {frame.head.device for frame in read} == {"meter"}
    assert {(frame.head.layer, frame.head.digest != 0) for frame in read if len(frame.neurons)} == {(48, True), (53, True)}
    assert all(frame.head.start_ns >= 72 * 3600 * SECOND_NS for frame in read if len(frame.neurons))
    said = capsys.readouterr().err
    assert "meter: learned from" in said
    assert "1 watched, 0 being learned" in said
    assert f"sent {len(read):,} frames" in said


def test_of_a_table_those_alone_are_watched_that_are_named(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And a name with a slip in it is said, whether another one came or none."""
    two, found = tmp_path / "two.csv", tmp_path / "found.spk"
    header, *rows = table.read_text().splitlines(keepends=True)
    two.write_text(header + "".join(row + row.replace("meter", "lamp") for row in rows[:50]))
    given = ["--device", "lamp", "--device", "metre", "--to", found, "--state", tmp_path / "state"]
    assert sense("--table", two, *given) == 0
    said = capsys.readouterr().err
    assert "50 packets of 1 device: 0 watched, 1 being learned\n" in said
    assert "50 x " in said
    assert "metre: no packet of it came\n" in said
    assert "lamp: no packet" not in said
    assert {unpack(value, 1).head.device for value in frames(found)} == {"lamp"}


def test_until_when_a_device_is_learned_is_said_when_it_is_first_seen(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """At each start, of twenty devices; who waits for alarms knows that there can't be any."""
    rows = [f"{1_700_000_000 + 60 * number},lock-{number:02},o\n" for number in range(22)]
    days = tmp_path / "days.csv"
    days.write_text("".join(["t,device,dir\n", *rows[:1]]))
    given = ["--table", days, *LEARN, "--to", tmp_path / "found.spk", "--state", tmp_path / "state"]
    first = "lock-00: learned until about 2023-11-17 22:13 UTC, no alarm of it before"
    assert sense(*given) == 0
    assert capsys.readouterr().err.splitlines()[0] == first
    days.write_text("".join(["t,device,dir\n", *rows]))
    assert sense(*given, "--state", tmp_path / "another", "--to", tmp_path / "another.spk") == 0
    said = [line for line in capsys.readouterr().err.splitlines() if "learned" in line]
    assert (len(said), said[0], said[-1]) == (22, first, "22 packets of 22 devices: 0 watched, 22 being learned")
    assert said[19] == "lock-19: learned until about 2023-11-17 22:32 UTC, no alarm of it before"
    assert said[20] == "more devices are learned before they are watched; the end says how many"
    with days.open("a") as file:
        file.write(f"{1_700_000_000 + 86_400},lock-00,o\n")
    assert sense(*given, "--state", tmp_path / "another", "--to", tmp_path / "another.spk") == 0
    assert first in capsys.readouterr().err


def test_evidence_fits_a_frame() -> None:
    """What detectors take care to stay under is what a frame can carry."""
    assert evidence.MOST_SENT == MAX_EVIDENCE_BYTES


def test_a_second_run_sends_nothing_and_a_capture_that_grew_goes_on(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where it stopped, which is said; the file of frames then is the one of a single run, but for the boot id."""
    whole, grows = tmp_path / "whole.spk", tmp_path / "grows.csv"
    assert sense("--table", table, *LEARN, "--to", whole, "--state", tmp_path / "one") == 0
    lines = table.read_text().splitlines(keepends=True)
    for count in (1500, 2100, len(lines), len(lines)):
        grows.write_text("".join(lines[:count]))
        assert sense("--table", grows, *LEARN, "--to", tmp_path / "found.spk", "--state", tmp_path / "two") == 0
    assert sorted(alarms(frames(tmp_path / "found.spk"))) == sorted(alarms(frames(whole)))
    behind = [line for line in capsys.readouterr().err.splitlines() if "read on behind" in line]
    assert behind == [
        f"{grows}: read on behind {count:,} packets; another --state begins anew" for count in (1499, 2099, len(lines) - 1)
    ]


def test_a_dry_run_says_what_would_be_sent_and_leaves_nothing(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No state, no spool."""
    monkeypatch.chdir(tmp_path)
    assert sense("--table", table, *LEARN, "--to", "spool:data", "--dry-run") == 0
    assert "would have sent" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_somebody_else_wrote_is_not_overwritten(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is refused, whatever it holds."""
    (tmp_path / "found.spk").write_text("mine")
    assert sense("--table", table, "--to", tmp_path / "found.spk", "--state", tmp_path / "state") == 2
    assert "expected a new file, since --state knows nothing of this one; found 4 bytes" in capsys.readouterr().err
    assert (tmp_path / "found.spk").read_text() == "mine"


@pytest.mark.parametrize("name", ["found.spk", "found-\udcff.spk"], ids=["text", "no text"])
def test_what_was_written_behind_the_last_save_is_cut_off(name: str, table: Path, tmp_path: Path) -> None:
    """A process that died after it wrote frames writes them again; a file's name is bytes, which needn't be text."""
    found, state = tmp_path / name, tmp_path / "state"
    assert sense("--table", table, *LEARN, "--to", found, "--state", state) == 0
    whole = found.read_bytes()
    with found.open("ab") as file:
        file.write(frames(found)[-1])
    assert sense("--table", table, *LEARN, "--to", found, "--state", state) == 0
    assert found.read_bytes() == whole


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a signed model of a class of meters, its public key beside it."""
    folder = tmp_path_factory.mktemp("models")
    about = About("timing-meter", 1, "Generated.", ("meter",), Training(data="generated"))
    data = modelled(Timing().learn(poller(hours=80, every=300, seed=2)), about)
    private, _ = keys.generate(folder / "release")
    path = folder / "meter.spike"
    path.write_bytes(keys.signed(container.split(data), keys.private_key(private)))
    return path


def test_a_device_that_a_model_watches_is_said_and_one_that_never_came_too(
    table: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Else a name with a slip in it looks like a quiet device."""
    given = ["--model", model, "--keys", model.parent, "--class", "meter=meter", "--class", "metre=meter"]
    assert sense("--table", table, *given, "--to", tmp_path / "found.spk", "--state", tmp_path / "state", "--dry-run") == 0
    said = capsys.readouterr().err
    assert "0 watched, 1 being learned, 1 of them watched by the model\n" in said
    assert "UTC, the model of its class watches it before\n" in said
    assert "metre: no packet of it came\n" in said
    assert "meter: no packet" not in said


def test_a_model_watches_a_device_of_its_class_at_once(table: Path, model: Path, tmp_path: Path) -> None:
    """Its digest stands in the frames until the device is learned."""
    lines = table.read_text().splitlines(keepends=True)
    days = tmp_path / "days.csv"
    flood = [f"{36_000 + number / 100},meter,o,0,tcp,50000,22,60,2,\n" for number in range(300)]
    days.write_text("".join(sorted(lines[1:] + flood, key=lambda line: float(line.split(",")[0]))).join([lines[0], ""]))
    found = tmp_path / "found.spk"
    given = ["--model", model, "--keys", model.parent, "--class", "meter=meter"]
    assert sense("--table", days, *LEARN, *given, "--to", found, "--state", tmp_path / "state") == 0
    digests: dict[bool, set[str]] = {True: set(), False: set()}
    for frame in (unpack(value, 1) for value in frames(found)):
        if len(frame.neurons):
            digests[frame.head.start_ns < 72 * 3600 * SECOND_NS].add(f"{frame.head.digest:016x}")
    assert digests[True] == {opened(model.read_bytes()).digest[:16]}
    assert len(digests[False]) == 1
    assert digests[False].isdisjoint(digests[True])


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["--model", "MODEL"], "expected both or none"),
        (["--class", "meter=meter"], "expected both or none"),
        (["--model", "MODEL", "--class", "meter=meter"], "not trusted"),
        (
            ["--model", "MODEL", "--keys", "KEYS", "--class", "meter=toaster"],
            "expected DEVICE=CLASS with a class of the model (meter)",
        ),
        (["--model", "rhythm.spike", "--class", "meter=meter"], "expected the encoder timing"),
        (["--model", "there-is-none.spike", "--class", "meter=lock"], "there-is-none.spike"),
    ],
)
def test_a_model_of_no_use_is_refused(
    given: list[str], expected: str, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With what is expected."""
    named = {"MODEL": str(model), "KEYS": str(model.parent)}
    words = [named.get(word, word) for word in given]
    assert sense("--pcap", "-", *words, "--to", tmp_path / "found.spk", "--state", tmp_path / "state") == 2
    assert expected in capsys.readouterr().err


@pytest.mark.parametrize("learn", ["2d", "31d", "soon"])
def test_days_that_nothing_can_be_learned_from_are_refused(learn: str, capsys: pytest.CaptureFixture[str]) -> None:
    """With what is expected."""
    assert sense("--pcap", "-", "--to", "-", "--learn", learn) == 2
    assert "expected" in capsys.readouterr().err


def test_an_interface_without_the_right_to_it_says_what_to_give(tmp_path: Path) -> None:
    """Which capability, and where."""
    command = [sys.executable, "-m", "spikebridge", "sense", "--iface", "lo", "--to", "-", "--state", str(tmp_path / "state")]
    code = f"import ctypes, os; ctypes.CDLL(None).prctl(24, 13, 0, 0, 0); os.execv({sys.executable!r}, {command!r})"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert ran.returncode == 2, ran.stderr
    assert "CAP_NET_RAW" in ran.stderr


def test_a_person_sees_how_far_a_capture_is_read(table: Path, tmp_path: Path) -> None:
    """A bar on the terminal, and what is told above it."""
    command = [sys.executable, "-m", "spikebridge", "sense", "--table", str(table), *LEARN, "--to", "found.spk"]
    ours, theirs = pty.openpty()
    with subprocess.Popen(command, stderr=theirs, cwd=tmp_path) as process:
        os.close(theirs)
        seen = b""
        with suppress(OSError):  # how a terminal ends on Linux
            while more := os.read(ours, 1 << 16):
                seen += more
        assert process.wait(60) == 0
    os.close(ours)
    assert b"sensing" in seen
    assert b"100%" in seen
    assert b"meter: learned from" in seen


def test_a_damaged_capture_is_told_and_what_came_before_it_is_sent_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """However often it is tried."""
    packet = captures.ethernet(captures.ipv4(captures.udp(), 17, source="10.0.0.1"))
    path, found = tmp_path / "bad.pcap", tmp_path / "found.spk"
    path.write_bytes(captures.pcap([captures.Frame(SECOND_NS, packet)]) + b"\xff" * 32)
    for _ in range(2):
        assert sense("--pcap", path, "--to", found, "--state", tmp_path / "state") == 2
        assert "a record of" in capsys.readouterr().err
        assert len(frames(found)) == 1


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--pcap", "week.csv", "--to", "found.spk"], "week.csv: "),
        (["--pcap", "week.csv", "--to", "spool:data"], "week.csv: "),
        (["--pcap", "-", "--to", "found.spk"], "standard input: "),
        (["--table", "none.csv", "--to", "found.spk"], "none.csv: "),
        (["--table", "other.csv", "--to", "found.spk"], "other.csv: line 1: expected the columns"),
        (["--table", "inventory.yaml", "--to", "found.spk"], "inventory.yaml: line 1: expected the columns"),
        (["--table", "words.csv", "--to", "spool:data"], "words.csv: no row of 2 can be read; line 2: t: found"),
        (["--table", "nameless.csv", "--to", "found.spk"], "nameless.csv: line 1: expected the column device, or a name"),
        (["--table", "week.csv", "--to", "kafka:plant"], "expected the name of a Kafka log"),
        (["--table", "week.csv", "--to", "other.csv"], "expected a new file"),
        (["--iface", "nosuch0", "--to", "found.spk"], "nosuch0"),
        ([*OTHER_SERIES, "--device", "pump", "--column", "a", "b", "--time", "x", "--to", "spool:data"], "no column"),
        ([*OTHER_SERIES, "--device", "pump", "--column", "a", "--time", "time", "--to", "found.spk"], "2 channels"),
        ([*OTHER_SERIES, "--column", "a", "b", "--time", "time", "--to", "found.spk"], "expected one --device NAME"),
    ],
)
def test_what_is_refused_leaves_nothing(given: list[str], said: str, table: Path, tmp_path: Path) -> None:
    """Neither a state nor a file or spool of frames, however deep they were to lie."""
    (tmp_path / "week.csv").write_bytes(table.read_bytes())
    (tmp_path / "other.csv").write_text("time,a,b\n1,2,3\n")
    (tmp_path / "words.csv").write_text("t,device,dir\nnow,lamp,o\nthen,lamp,i\n")
    (tmp_path / "nameless.csv").write_text("t,dir\n1,o\n")
    (tmp_path / "inventory.yaml").write_text("devices:\n- id: lock-1\n  addresses: [10.0.0.5, fd00::5]\n")
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    command = [sys.executable, "-m", "spikebridge", "sense", *given, "--state", "deep/state"]
    done = subprocess.run(command, input=table.read_bytes(), cwd=tmp_path, capture_output=True, check=False, timeout=60)
    assert (done.returncode, said in done.stderr.decode()) == (2, True), done.stderr
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_what_is_refused_does_not_take_the_place_of_the_capture_before(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Which is read on where it stopped, as if nothing had been; a file that isn't ours stays in its directory."""
    grows, found, state = tmp_path / "grows.csv", tmp_path / "found.spk", tmp_path / "state"
    lines = table.read_text().splitlines(keepends=True)
    grows.write_text("".join(lines[:1500]))
    state.mkdir()
    (state / "mine").write_text("mine")
    assert sense("--pcap", grows, "--to", found, "--state", state) == 2
    assert [path.name for path in state.iterdir()] == ["mine"]
    assert sense("--table", grows, *LEARN, "--to", found, "--state", state) == 0
    kept = {path: path.read_bytes() for path in state.rglob("*") if path.is_file()}
    (tmp_path / "other.csv").write_text("time,a\n1,2\n")
    assert sense("--table", tmp_path / "other.csv", *LEARN, "--to", found, "--state", state) == 2
    assert {path: path.read_bytes() for path in state.rglob("*") if path.is_file()} == kept
    grows.write_text("".join(lines[:1600]))
    capsys.readouterr()
    assert sense("--table", grows, *LEARN, "--to", found, "--state", state) == 0
    assert "read on behind 1,499 packets" in capsys.readouterr().err


def test_a_log_that_is_away_is_waited_for() -> None:
    """Until it takes the frames, or somebody ends it; then the frames count as not sent."""
    stop, said, taken = Event(), list[str](), list[bytes]()

    def append(values: Sequence[bytes]) -> None:
        if len(said) < 2 or stop.is_set():
            raise LogUnavailable("the broker is away")
        taken.extend(values)

    target = Patient(append, stop, said.append)
    target.append([b"a", b"b"])
    assert taken == [b"a", b"b"]
    assert said == ["waits: the broker is away"] * 2
    stop.set()
    with pytest.raises(LogUnavailable):
        target.append([b"c"])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_pipe_that_says_nothing_ends_whole_when_it_is_told_to(number: signal.Signals, tmp_path: Path) -> None:
    """What came is dealt with, and the frames are out; exit code 0."""
    packet = captures.ethernet(captures.ipv4(captures.udp(), 17, source="10.0.0.1"))
    command = [sys.executable, "-m", "spikebridge", "sense", "--pcap", "-", "--to", "-", "--state", str(tmp_path / "state")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin
        assert process.stdout
        process.stdin.write(captures.pcap([captures.Frame(SECOND_NS, packet)]))
        process.stdin.flush()
        frame = process.stdout.read(80)
        time.sleep(0.1)
        process.send_signal(number)
        assert process.wait(60) == 0
        said = (process.stderr or sys.stderr).read()
    assert unpack(frame[: int.from_bytes(frame[8:12], "little")], 1).head.device == "10.0.0.1"
    assert b"1 packet of 1 device" in said


@pytest.mark.parametrize("times", [pytest.param(2, marks=pytest.mark.long), 7])
def test_a_process_that_is_killed_at_any_point_loses_nothing_and_tells_nothing_twice(
    times: int, table: Path, tmp_path: Path
) -> None:
    """Behind the log's own check for duplicates the frames are those of an undisturbed run, byte for byte."""
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    start = [sys.executable, "-m", "tests.sense_worker"]
    for folder in (whole, killed):
        folder.mkdir()
    first = subprocess.run([*start, str(killed), str(table), "after_save", "1"], capture_output=True, check=False, timeout=60)
    assert first.returncode == -signal.SIGKILL, first.stderr
    (whole / "state").mkdir()
    (whole / "state" / "sense.state").write_bytes((killed / "state" / "sense.state").read_bytes())
    subprocess.run([*start, str(whole), str(table), "never", "1"], check=True, timeout=60, capture_output=True)
    for point in POINTS:
        died = subprocess.run([*start, str(killed), str(table), point, str(times)], capture_output=True, check=False, timeout=60)
        assert died.returncode == -signal.SIGKILL, died.stderr
    subprocess.run([*start, str(killed), str(table), "never", "1"], check=True, timeout=60, capture_output=True)
    expected = spooled(whole)
    assert {48, 50, 52, 53, 54} <= set(alarms(expected))
    assert {evidence.read(value).said.detector for value in carried(expected)} == {"timing", "rules"}
    assert len(carried(expected)) == len(alarms(expected))
    assert spooled(killed) == expected
    with Spool(killed) as spool:
        assert spool.bounds()[1] > len(expected)


def test_frames_of_the_spool_become_alerts(table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With the mappings that ship, of what was found in a capture and sent as a recording."""
    found = tmp_path / "found.spk"
    assert sense("--table", table, *LEARN, "--to", found, "--state", tmp_path / "state") == 0
    assert cli.main(["send", str(found), "--data", str(tmp_path / "data")]) == 0
    (tmp_path / "spikebridge.yaml").write_text(json.dumps({"data": str(tmp_path / "data")}))
    assert cli.main(["run", "--once", "--config", str(tmp_path / "spikebridge.yaml")]) == 0
    capsys.readouterr()
    assert cli.main(["alerts", "--data", str(tmp_path / "data"), "--json"]) == 0
    assert {"timing-burst", "timing-spread", "timing-silence"} <= set(capsys.readouterr().out.replace('"', " ").split())
