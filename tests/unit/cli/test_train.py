"""`spikebridge train`: from captures to a signed model and a page, also when it was killed on the way."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest
from tests.unit.detectors.test_train_traffic import table
from tests.unit.detectors.traffic import poller

from spikebridge import cli

if TYPE_CHECKING:
    from pathlib import Path

ENDING = """
import os
import sys

from spikebridge import cli
from spikebridge_detectors.train import steps

count, number = int(sys.argv[1]), int(sys.argv[2])


class Ending(steps.Steps):
    def __call__(self, name, make):
        made = super().__call__(name, make)
        if len([*self.directory.glob("*.step")]) == count:
            os.kill(os.getpid(), number)
        return made


steps.Steps = Ending
sys.exit(cli.main(sys.argv[3:]))
"""
"""The command in a process that sends itself a signal when so many steps are kept."""

TRAIN = ["train", "timing", "--table", "week.csv.gz", "--class", "meter", "--out", "meter.spike"]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a directory with four days of two devices, to work in."""
    monkeypatch.chdir(tmp_path)
    table(tmp_path / "week.csv.gz", one=poller(every=600, hours=76, seed=1), other=poller(every=600, hours=76, seed=2))
    return tmp_path


def test_a_model_is_learned_signed_and_shown(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is one that the key's owner trusts, nothing is left beside it, and the page says how it was made."""
    (place / "trusted").mkdir()
    assert cli.main(["model", "keygen", "trusted/release"]) == 0
    capsys.readouterr()
    assert cli.main([*TRAIN, "--key", "trusted/release.key", "--report", "meter.html", "--seed", "3"]) == 0
    said = capsys.readouterr()
    assert said.out.splitlines()[0].startswith("meter.spike: timing of meter learned from 2 devices, ")
    assert said.err.splitlines() == ["train: reading week.csv.gz", "train: learning", "train: attacking days held back"]
    assert cli.main(["model", "verify", "meter.spike", "--keys", "trusted"]) == 0
    assert sorted(path.name for path in place.iterdir()) == ["meter.html", "meter.spike", "trusted", "week.csv.gz"]
    page = (place / "meter.html").read_text()
    command = "spikebridge train timing --table week.csv.gz --class meter --out meter.spike --key trusted/release.key"
    assert f"{command} --version 1 --report meter.html --seed 3 --budget 1.0" in page
    assert "Each device learned alone" in page
    assert "Layer 1: learned inhibition" in page


def test_what_is_killed_goes_on_to_the_same_bytes(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Killed twice and interrupted once, after other steps each time; model and page are those of a run that nobody disturbed."""
    start = [*TRAIN, "--report", "meter.html"]
    assert cli.main(start) == 0
    whole = [(place / name).read_bytes() for name in ("meter.spike", "meter.html")]
    for name in ("meter.spike", "meter.html"):
        (place / name).unlink()
    for steps, ends, again in ((1, signal.SIGKILL, []), (4, signal.SIGINT, ["--resume"]), (6, signal.SIGKILL, ["--resume"])):
        command = [sys.executable, "-c", ENDING, f"{steps}", f"{ends:d}", *start, *again]
        ended = subprocess.run(command, check=False, timeout=120, capture_output=True, text=True)
        assert ended.returncode == (130 if ends == signal.SIGINT else -ends), ended.stderr
        assert ("go on with --resume" in ended.stderr) == (ends == signal.SIGINT)
        assert len([*place.glob("meter.spike.steps/*.step")]) == steps
        assert not (place / "meter.spike").exists()
    capsys.readouterr()
    assert cli.main([*start, "--resume"]) == 0
    assert capsys.readouterr().out.startswith("went on after 6 steps ")
    assert [(place / name).read_bytes() for name in ("meter.spike", "meter.html")] == whole
    assert not (place / "meter.spike.steps").exists()


def test_a_training_of_other_files_is_not_gone_on_with(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What was kept of it stays, and the place is told."""
    assert cli.main([*TRAIN, "--device", "one", "--dry-run"]) == 0
    (place / "meter.spike.steps").mkdir()
    (place / "meter.spike.steps" / "00000.step").write_bytes(b"SPKSTEP\x01 of something else")
    capsys.readouterr()
    assert cli.main([*TRAIN, "--resume"]) == 2
    assert "meter.spike.steps/00000.step: " in capsys.readouterr().err
    assert (place / "meter.spike.steps" / "00000.step").exists()
    assert not (place / "meter.spike").exists()


def test_a_dry_run_says_what_it_would_learn_and_writes_nothing(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Files by digest, devices with their packets."""
    assert cli.main([*TRAIN, "--dry-run"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("week.csv.gz: ")
    assert said[1:] == [
        "would learn one from 988 packets",
        "would learn other from 988 packets",
        "would write meter.spike",
    ]
    assert [path.name for path in place.iterdir()] == ["week.csv.gz"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--class", "me ter"], 'class: expected up to 56 letters, digits, ".", "_" and "-", found "me ter"'),
        (["--version", "0"], "version: expected 1 to 2147483647, found 0"),
        (["--out", "no/meter.spike"], "no/meter.spike: expected a directory no to write into, found none"),
        (["--out", "."], ".: expected a file to write, found a directory"),
        (["--report", "."], ".: expected a file to write, found a directory"),
        (["--report", "meter.spike"], "meter.spike: expected another file than the model's"),
        (["--device", "lock"], "device lock: expected packets in week.csv.gz, found none; of others: one, other"),
        (["--table", "none.csv"], "none.csv: No such file or directory"),
        (["--budget", "0"], 'expected alarms a day above 0 and up to 100, found "0"'),
        (["--key", "none.key"], "none.key: No such file or directory"),
    ],
)
def test_what_is_wrong_is_told_in_a_line(
    arguments: list[str], said: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before anything is learned, without a traceback."""
    assert cli.main([*TRAIN, *arguments]) == 2
    assert said in capsys.readouterr().err
    assert [path.name for path in place.iterdir()] == ["week.csv.gz"]


def test_what_was_passed_over_is_told_before_what_is_missing_for_it(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file without its end, and rows that can't be read."""
    data = (place / "week.csv.gz").read_bytes()
    (place / "cut.csv.gz").write_bytes(data[: len(data) // 6])
    assert cli.main(["train", "timing", "--table", "cut.csv.gz", "--class", "m", "--out", "m.spike"]) == 2
    said = capsys.readouterr().err
    assert "train: passed over 1: the end of the file is missing" in said
    assert said.index("passed over") < said.index("device one: expected packets of more than 2")


def test_a_training_without_files_is_told(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What there would have to be."""
    assert cli.main(["train", "timing", "--class", "m", "--out", "m.spike"]) == 2
    assert "expected 1 to 64 captures, tables or series to learn from, found 0" in capsys.readouterr().err


def test_devices_with_too_few_days_are_told_at_once(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each with the days that it has."""
    table(place / "short.csv.gz", a=poller(every=300, hours=30), b=poller(every=300, hours=20))
    assert cli.main(["train", "timing", "--table", "short.csv.gz", "--class", "m", "--out", "m.spike"]) == 2
    assert capsys.readouterr().err.splitlines()[-2:] == [
        "device a: expected packets of more than 2 and less than 31 days, found 1.2",
        "device b: expected packets of more than 2 and less than 31 days, found 0.8",
    ]


@pytest.fixture
def series(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a directory with a recording of two channels that swing together, to work in."""
    monkeypatch.chdir(tmp_path)
    swing, luck = np.sin(np.arange(3000) / 30), np.random.default_rng(4).normal(0, 0.2, (3000, 2))
    rows = [
        f"{at * 0.05:.2f},{10 + one + a:.4f},{5 - one + b:.4f}\n"
        for at, (one, (a, b)) in enumerate(zip(swing, luck, strict=True))
    ]
    (tmp_path / "run.csv").write_text("t,volts,amperes\n" + "".join(rows))
    return tmp_path


SERIES = ["--series", "run.csv", "--column", "volts", "amperes", "--class", "pump", "--out", "pump.spike"]


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        ("power", ["--time", "t"]),
        ("vibration", ["--rate", "20", "--length", "32"]),
        ("rf", ["--rate", "20", "--length", "200", "--every", "8"]),
    ],
)
def test_a_model_of_a_series_is_learned_signed_and_shown(
    kind: str, more: list[str], series: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same bytes each time, and a page that says what was told of quarters held back."""
    (series / "trusted").mkdir()
    assert cli.main(["model", "keygen", "trusted/release"]) == 0
    start = ["train", kind, *SERIES, *more, "--key", "trusted/release.key"]
    assert cli.main([*start, "--report", "pump.html"]) == 0
    first = (series / "pump.spike").read_bytes()
    assert cli.main(start) == 0
    assert (series / "pump.spike").read_bytes() == first
    told = capsys.readouterr()
    assert f"pump.spike: {kind} of pump learned from 1 recording, " in told.out
    assert told.err.splitlines()[:3] == ["train: reading run.csv", "train: learning", "train: judging quarters held back"]
    assert cli.main(["model", "verify", "pump.spike", "--keys", "trusted"]) == 0
    page = (series / "pump.html").read_text()
    assert "Windows that were told, by change" in page
    assert "layer 2: together" in page


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--time", "when"], "run.csv: line 1: no column when; found t, volts, amperes"),
        (["--rate", "0"], 'expected samples a second above 1e-05 and up to 1e+09, found "0"'),
        (["--rate", "1e-300"], 'expected samples a second above 1e-05 and up to 1e+09, found "1e-300"'),
        (["--rate", "9", "--share", "1"], 'expected a share of windows above 0 and up to 0.5, found "1"'),
        (["--rate", "9", "--length", "4", "--every", "5"], "expected 1 <= every <= length <= 16384, found every 5, length 4"),
        (["--rate", "9", "--length", "2000"], "training: expected 100 to 131072 windows, found 63"),
        ([], "one of the arguments --time --rate is required"),
    ],
)
def test_what_is_wrong_with_a_series_is_told_in_a_line(
    arguments: list[str], said: str, series: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a traceback, and nothing is written."""
    assert cli.main(["train", "vibration", *SERIES, *arguments]) == 2
    assert said in capsys.readouterr().err
    assert [path.name for path in series.iterdir()] == ["run.csv"]
