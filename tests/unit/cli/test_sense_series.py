"""`spikebridge sense --series`: power, vibration and rf through a model, and nothing told twice after a restart."""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING

import numpy as np
import pytest

from spikebridge import cli
from spikebridge.spikes.files import read_values
from spikebridge.spikes.frame import unpack
from spikebridge_detectors import evidence
from spikebridge_detectors.capture.series import Samples
from spikebridge_detectors.model import container, keys
from spikebridge_detectors.model.file import opened
from spikebridge_detectors.model.header import Training
from spikebridge_detectors.power.detector import Power
from spikebridge_detectors.rf.detector import Rf
from spikebridge_detectors.vibration.detector import Vibration
from spikebridge_detectors.windows.model import About, modelled

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from spikebridge.spikes.frame import Frame

ODD = slice(6000, 6400)
COLUMNS = ["--column", "a", "b", "--time", "t"]


def values(seed: int, count: int = 8000) -> NDArray[np.float64]:
    """Return two channels that hum."""
    luck = np.random.default_rng(seed)
    waves = np.sin(np.arange(count)[:, None] / np.array([7.0, 5.0]))
    noise: NDArray[np.float64] = waves + luck.normal(0, 0.2, (count, 2))
    return noise


def table(odd: bool = True) -> list[str]:
    """Return a series of 10 samples a second, of which 40 seconds are odd."""
    found = values(9)
    if odd:
        found[ODD] = 8.0 + np.random.default_rng(3).normal(0, 3.0, found[ODD].shape)
    return ["t,a,b\n", *(f"{number / 10:.1f},{a:.6f},{b:.6f}\n" for number, (a, b) in enumerate(found.tolist()))]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a signed model of each kind, and the public key beside them."""
    folder = tmp_path_factory.mktemp("models")
    private, _ = keys.generate(folder / "release")
    normal, key = values(1), keys.private_key(private)
    learned = Power().learn(Samples(np.arange(len(normal)), normal, [""] * len(normal)))
    made = {"power": modelled(learned, [0] * 6, About("power", "power-x", 1, "Generated.", ("x",), Training(data="generated")))}
    for kind, how in (("vibration", Vibration()), ("rf", Rf(64, 16))):
        well = how.learn([normal])
        scale = {"scale_mean": tuple(well.scale.mean.tolist()), "scale_deviation": tuple(well.scale.deviation.tolist())}
        about = About(kind, f"{kind}-x", 1, "Generated.", ("x",), Training(data="generated"))
        made[kind] = modelled(well.windows, how.groups(2), about, length=well.length, every=well.every, **scale)
    well = Vibration(length=1500, every=50).learn([normal])
    about = About("vibration", "vibration-y", 1, "Generated.", ("x",), Training(data="generated"))
    made["long"] = modelled(well.windows, Vibration().groups(2), about, length=well.length, every=well.every, **scale)
    for kind, data in made.items():
        (folder / f"{kind}.spike").write_bytes(keys.signed(container.split(data), key))
    return folder


def sense(models: Path, kind: str, series: Path, folder: Path, *more: object) -> int:
    """Run the command."""
    given = ["--model", models / f"{kind}.spike", "--keys", models, "--device", "pump-1", "--state", folder / "state"]
    return cli.main(
        ["sense", "--series", str(series), *map(str, given), "--to", str(folder / "found.spk"), *COLUMNS, *map(str, more)]
    )


def frames(path: Path) -> list[Frame]:
    """Return the frames of a file."""
    with path.open("rb") as file:
        return [unpack(value, 10**9) for _, value in read_values(file)]


@pytest.mark.parametrize(
    ("kind", "layer", "numbers"), [("power", 63, {63, 64}), ("vibration", 92, {92, 93}), ("rf", 83, {83, 84})]
)
def test_odd_windows_become_spikes_of_the_neurons_that_mappings_know(
    kind: str, layer: int, numbers: set[int], models: Path, tmp_path: Path
) -> None:
    """At the times of the samples, by the second, with the model's digest; and once in five minutes that the device lives."""
    series = tmp_path / "pump.csv"
    series.write_text("".join(table()))
    assert sense(models, kind, series, tmp_path) == 0
    read = frames(tmp_path / "found.spk")
    assert {frame.head.device for frame in read} == {"pump-1"}
    assert {frame.head.layer for frame in read} == {layer}
    assert [frame.head.seq for frame in read] == list(range(len(read)))
    assert sum(not len(frame.neurons) for frame in read) == 3
    fired = [frame for frame in read if len(frame.neurons)]
    times = np.concatenate([frame.times for frame in fired])
    assert {number for frame in fired for number in frame.neurons.tolist()} <= numbers
    assert ((times >= 600 * 10**9) & (times <= 647 * 10**9)).mean() > 0.5
    assert f"{fired[0].head.digest:016x}" == opened((models / f"{kind}.spike").read_bytes()).digest[:16]
    assert all(np.ptp(frame.times) < 10**9 for frame in fired)


def test_a_series_that_grew_goes_on_and_one_that_was_read_tells_nothing(
    models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was told is that of a single run, and where it goes on is said."""
    whole, grows, lines = tmp_path / "whole", tmp_path / "grows", table()
    for folder in (whole, grows):
        folder.mkdir()
    (whole / "pump.csv").write_text("".join(lines))
    assert sense(models, "power", whole / "pump.csv", whole) == 0
    for count in (1500, 6103, len(lines), len(lines)):
        (grows / "pump.csv").write_text("".join(lines[:count]))
        assert sense(models, "power", grows / "pump.csv", grows) == 0
    told = [
        [
            (at, neuron)
            for frame in frames(folder / "found.spk")
            for at, neuron in zip(frame.times.tolist(), frame.neurons, strict=True)
        ]
        for folder in (whole, grows)
    ]
    assert told[0] == told[1]
    assert len(told[0]) > 100
    behind = [line for line in capsys.readouterr().err.splitlines() if "read on behind" in line]
    assert behind[-1] == f"{grows / 'pump.csv'}: read on behind {len(lines) - 1:,} samples; another --state begins anew"
    assert len(behind) == 3


def test_half_a_sample_at_the_end_of_a_series_that_grows_is_left(
    models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Judged with the half of its number it might be odd, and whole it would be passed over as read; that it is left is said."""
    series, text = tmp_path / "pump.csv", "".join(table()[:100])
    for cut, count in ((7, 98), (1, 0), (0, 1), (0, 0)):
        series.write_text(text[: len(text) - cut])
        assert sense(models, "power", series, tmp_path) == 0
        said = capsys.readouterr().err
        assert f"{count} sample{'s' * (count != 1)} of pump-1: " in said
        assert ("1 x last line without its newline, left until it has one" in said) == (cut > 0)


@pytest.mark.parametrize("kind", ["power", "vibration", "rf"])
def test_each_frame_carries_its_oddest_window_which_is_found_again(
    kind: str, models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The model that it names lies where sensing keeps it."""
    series, folder = tmp_path / "pump.csv", tmp_path / "state" / "evidence"
    series.write_text("".join(table()))
    assert sense(models, kind, series, tmp_path) == 0
    told = [frame for frame in frames(tmp_path / "found.spk") if len(frame.neurons)]
    assert len(told) > 20
    for frame in told:
        said = evidence.read(frame.evidence).said
        assert (said.device, said.detector) == ("pump-1", kind)
        assert (said.time_ns, said.neuron) in zip(frame.times.tolist(), frame.neurons.tolist(), strict=True)
    assert not list(folder.glob("*.spkev"))
    last = folder / "last.spkev"
    last.write_bytes(told[-1].evidence)
    assert cli.main(["replay", str(last), "--without-lava"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"same: (alone|together) of pump-1 from (20|64) samples", out[0])
    assert out[1].startswith("  NumPy: same: ")
    assert cli.main(["replay", str(last), "--without-lava", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["verdict"], found["samples"]) == ("same", {"power": 20, "vibration": 64, "rf": 64}[kind])
    assert cli.main(["explain", str(last), "--plot", str(tmp_path / "a.svg")]) == 0
    words = capsys.readouterr().out
    assert re.match(r"(alone|together) \(neuron \d\d\) of pump-1: [\d,]+ spikes in a window, where [\d,]+ are the most", words)
    assert {"power": "a mean ", "vibration": "a coarse moves ", "rf": "a level "}[kind] in words
    assert (tmp_path / "a.svg").read_text(encoding="utf-8").startswith("<svg")
    assert cli.main(["explain", str(last), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert sum(one["counted"] for one in found["surprises"]) == found["held"] > found["threshold"]
    next(folder.glob("*.spike")).unlink()
    assert cli.main(["explain", str(last)]) == 2
    assert cli.main(["replay", str(last)]) == 2
    assert "beside the evidence as" in capsys.readouterr().err


def test_a_window_that_is_too_large_to_travel_is_kept(models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Named after its frame; restarts change nothing of it."""
    series, lines, folder = tmp_path / "pump.csv", table(), tmp_path / "state" / "evidence"
    for count in (6603, len(lines)):
        series.write_text("".join(lines[:count]))
        assert sense(models, "long", series, tmp_path) == 0
    with (tmp_path / "found.spk").open("rb") as file:
        told = [value for _, value in read_values(file) if len(unpack(value, 10**9).neurons)]
    assert told
    assert not any(unpack(value, 10**9).evidence for value in told)
    named = {folder / f"{hashlib.sha256(value).hexdigest()[:16]}.spkev" for value in told}
    assert set(folder.glob("*.spkev")) == named
    assert cli.main(["replay", str(named.pop()), "--without-lava"]) == 0
    assert capsys.readouterr().out.startswith("same: ")


def test_a_dry_run_keeps_no_evidence(models: Path, tmp_path: Path) -> None:
    """Neither files nor the model."""
    (tmp_path / "pump.csv").write_text("".join(table()))
    assert sense(models, "power", tmp_path / "pump.csv", tmp_path, "--dry-run") == 0
    assert not (tmp_path / "state").exists()


def test_what_no_model_can_judge_is_refused(models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With what is expected."""
    series = tmp_path / "pump.csv"
    series.write_text("".join(table(odd=False)))
    assert sense(models, "power", series, tmp_path, "--column", "c") == 2
    assert "expected 2 channels, found 3" in capsys.readouterr().err
    assert cli.main(["sense", "--series", str(series), "--to", str(tmp_path / "x.spk"), *COLUMNS]) == 2
    assert "expected a --model" in capsys.readouterr().err
    given = ["--model", str(models / "power.spike"), "--keys", str(models), "--column", "a", "b", "--to", str(tmp_path / "x.spk")]
    place = ["--state", str(tmp_path / "state")]
    assert cli.main(["sense", "--series", str(series), *given, "--rate", "1e-300", "--device", "pump-1", *place]) == 2
    assert "--rate above 1e-05 and up to 1e+09" in capsys.readouterr().err
    assert cli.main(["sense", "--series", str(series), *given, "--rate", "10", *place]) == 2
    assert "expected one --device NAME, whose samples these are; found 0" in capsys.readouterr().err
    assert sense(models, "power", series, tmp_path, "--device", "another") == 2
    assert "expected one --device NAME, whose samples these are; found 2" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["pump.csv"]
