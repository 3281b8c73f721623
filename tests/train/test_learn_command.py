"""`spikebridge model learn` with snnTorch itself: from a file of examples to a model that may be signed."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from tests.train import rhythms

from spikebridge.cli import main
from spikebridge_detectors import lif
from spikebridge_detectors.model.file import opened, written
from spikebridge_detectors.model.header import Encoder, Header, Layer, Output, Training, Window
from spikebridge_detectors.raster import unpack
from spikebridge_detectors.train.gradients.environment import VARIABLE

pytestmark = [pytest.mark.train, pytest.mark.timeout(3_600)]


KILLED = """
import os
import signal
import sys
from pathlib import Path

from spikebridge import cli


class Told:
    def isatty(self):
        return False

    def write(self, text):
        if "pass 10 of" in text:
            Path("child").write_text(Path(f"/proc/self/task/{os.getpid()}/children").read_text())
            os.kill(os.getpid(), signal.SIGKILL)

    def flush(self):
        pass


sys.stderr = Told()
sys.exit(cli.main(sys.argv[1:]))
"""
"""The command in a process that notes its child and kills itself when it tells of the tenth pass."""


def untaught() -> bytes:
    """Return a model for the rhythms whose weights know nothing."""
    luck = np.random.default_rng(1)
    shapes = ((16, rhythms.ENCODER.lines), (2, 16))
    layers = [
        lif.Layer(
            weights=lif.truncated(luck.integers(1, 200, shape)), du=2000, dv=2000, vth=200, bias=np.zeros(shape[0], np.int32)
        )
        for shape in shapes
    ]
    header = Header(
        name="rhythms",
        version=1,
        inputs=tuple(f"gap-{number}" for number in range(rhythms.ENCODER.lines)),
        encoder=Encoder(name="bins", settings={"low": 0.25, "high": 4, "count": 6}),
        layers=(Layer.of(layers[0], "hidden"), Layer.of(layers[1], "told", sources=("hidden",))),
        outputs=(
            Output(name="by-turns", neuron=300, layer="told", unit=1),
            Output(name="four-of-each", neuron=301, layer="told", unit=0),
        ),
        classes={"any": {}},
        window=Window(steps=rhythms.ARRIVALS, flush=rhythms.FLUSH),
        memory_s=60,
        training=Training(data="nothing yet"),
    )
    return written(header, layers, rhythms.examples(1, 5).words[0])


def test_a_model_is_learned_compared_and_signed(
    python: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No spike differs, at least nine of ten examples that were held back are told rightly, and each output has its own unit."""
    monkeypatch.setenv(VARIABLE, str(python))
    monkeypatch.chdir(tmp_path)
    given = rhythms.examples(500, 1)
    np.savez(tmp_path / "examples.npz", spikes=unpack(given.words).transpose(1, 2, 0), labels=given.labels)
    (tmp_path / "old.spike").write_bytes(untaught())
    learn = ["model", "learn", "examples.npz", "--like", "old.spike", "--version", "2", "--data", "generated rhythms"]
    assert main([*learn, "--out", "new.spike", "--keep", "0.6", "--passes", "30", "--batch", "40", "--rate", "0.02"]) == 0
    said = capsys.readouterr()

    assert re.search(r"new\.spike: 0 spikes of [\d,]{4,} differ between snnTorch 1\.0\.0 and our engine; unsigned", said.out)
    right = re.search(r"100 examples held back: (\d+) told rightly", said.out)
    assert right
    assert int(right[1]) >= 90
    assert "learn: pass 30 of 30, loss" in said.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["examples.npz", "new.spike", "old.spike"]
    model = opened((tmp_path / "new.spike").read_bytes())
    first, second = np.split(np.bitwise_count(model.expected), 2, axis=1)
    assert first[1].sum() > first[0].sum()
    assert second[0].sum() > second[1].sum()
    assert main(["model", "compare", "new.spike"]) == 0
    assert main(["model", "keygen", "release"]) == 0
    assert main(["model", "sign", "new.spike", "--key", "release.key"]) == 0


def test_a_command_that_was_killed_goes_on_to_the_same_bytes(
    python: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed in the midst of it, the command takes its child with it; gone on with, it writes the model of one that nobody disturbed."""
    monkeypatch.setenv(VARIABLE, str(python))
    monkeypatch.chdir(tmp_path)
    given = rhythms.examples(120, 1)
    np.savez(tmp_path / "examples.npz", spikes=unpack(given.words).transpose(1, 2, 0), labels=given.labels)
    (tmp_path / "old.spike").write_bytes(untaught())
    learn = ["model", "learn", "examples.npz", "--like", "old.spike", "--version", "2", "--data", "generated", "--passes", "25"]
    assert main([*learn, "--out", "whole.spike"]) == 0

    command = [sys.executable, "-c", KILLED, *learn, "--out", "new.spike"]
    killed = subprocess.run(command, check=False, timeout=300)
    assert killed.returncode == -signal.SIGKILL
    assert Path("new.spike.checkpoint").exists()
    until = time.monotonic() + 120
    while Path(f"/proc/{int(Path('child').read_text(encoding='utf-8'))}").exists():
        assert time.monotonic() < until
        time.sleep(0.05)
    assert not Path("new.spike").exists()

    assert main([*learn, "--out", "new.spike", "--resume"]) == 0
    assert Path("new.spike").read_bytes() == Path("whole.spike").read_bytes()
    assert not Path("new.spike.checkpoint").exists()
