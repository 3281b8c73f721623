"""`spikebridge model learn` where no torch is: what is refused before anything is started, and what a child's answer becomes."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest
from tests.reference.models import layers, unsigned

from spikebridge import cli
from spikebridge_detectors import shipped
from spikebridge_detectors.model.file import opened
from spikebridge_detectors.network import Network
from spikebridge_detectors.raster import pack

LEARN = ["model", "learn", "examples.npz", "--like", "pump.spike", "--version", "4", "--data", "our pumps", "--out", "new.spike"]
SPIKES = np.random.default_rng(8).random((10, 5, 64)) < 0.3
LABELS = np.array([0, 1, -1, 0, 1, -2, 0, 1, 0, 1])


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a directory with a model and examples for its five lines and two outputs, and no torch."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SPIKEBRIDGE_TORCH_PYTHON", "/nowhere")
    (tmp_path / "pump.spike").write_bytes(unsigned())
    np.savez(tmp_path / "examples.npz", spikes=SPIKES, labels=LABELS)
    return tmp_path


def test_without_torch_it_says_how_to_get_it(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And writes nothing."""
    assert cli.main(LEARN) == 2
    said = capsys.readouterr().err
    assert (
        "expected a Python with torch and snntorch, found none (SPIKEBRIDGE_TORCH_PYTHON=/nowhere); make an environment" in said
    )
    assert sorted(path.name for path in place.iterdir()) == ["examples.npz", "pump.spike"]


def test_what_would_be_refused_afterwards_is_refused_before(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """All problems at once; those of examples and of the plan with their file."""
    wrong = [*LEARN[:6], "0", *LEARN[7:-1], "absent/new.spike", "--held-back", "1", "--limit", "nan"]
    assert cli.main(wrong) == 2
    assert [line.partition(":")[0] for line in capsys.readouterr().err.removeprefix("spikebridge: ").splitlines()] == [
        "--held-back", "--limit", "--version", "--out",
    ]  # fmt: skip
    assert cli.main([*LEARN, "--keep", "0", "--bits", "1"]) == 2
    told = capsys.readouterr().err
    assert "pump.spike: bits: expected 2 to 8, found 1" in told
    assert "pump.spike: keep: expected above 0" in told
    np.savez(place / "examples.npz", spikes=SPIKES[:, :4], labels=LABELS)
    assert cli.main(LEARN) == 2
    assert "examples.npz: spikes: expected 5 lines, found 4" in capsys.readouterr().err
    np.savez(place / "examples.npz", spikes=SPIKES, labels=LABELS + 1)
    assert cli.main(LEARN) == 2
    assert "examples.npz: labels: expected at most 1, as there are 2 outputs, found 2" in capsys.readouterr().err


def test_what_the_child_learned_is_written(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model of the same shape with its weights, unsigned, tried with an example of each output; how many were right is told."""
    learned = [(layer.weights // 2 * 2, layer) for layer in layers()]
    network = Network(tuple(
        type(layer)(weights=weights, du=layer.du, dv=layer.dv, vth=300, bias=np.zeros_like(layer.bias)) for weights, layer in learned
    ))  # fmt: skip
    words = pack(SPIKES.transpose(2, 0, 1))
    fired = network.run(network.zero(10), words)
    head = json.dumps({"snntorch": "1.0.0"}).encode()
    numbers = b"".join(
        struct.pack("<3i", one.du, one.dv, one.vth) + one.bias.astype("<i4").tobytes() + one.weights.astype("<i2").tobytes()
        for one in network.layers
    )
    (place / "answer").write_bytes(struct.pack("<I", len(head)) + head + numbers + fired.astype("<u4").tobytes())
    program = place / "python"
    program.write_text(f'#!/bin/sh\n[ "$2" = -c ] && exit 0\ncat >/dev/null\ncat {place}/answer\n', encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("SPIKEBRIDGE_TORCH_PYTHON", str(program))

    assert cli.main(LEARN) == 0
    said = capsys.readouterr().out
    spikes = int(np.bitwise_count(fired).sum())
    assert spikes > 20
    assert f"new.spike: 0 spikes of {spikes:,} differ between snnTorch 1.0.0 and our engine; unsigned" in said
    assert "8 examples learned from: " in said
    assert "1 example held back: " in said
    model = opened((place / "new.spike").read_bytes())
    assert (model.header.version, model.header.training.data, model.header.classes) == (
        4,
        "our pumps",
        {"pump": {}, "old-pump": {}},
    )
    assert [output.name for output in model.header.outputs] == ["smooth", "loose"]
    assert model.recorded.shape[1] == 4
    for one, other in zip(model.layers, network.layers, strict=True):
        assert np.array_equal(one.weights, other.weights)

    (place / "answer").write_bytes((place / "answer").read_bytes()[:-4] + b"\xff\xff\xff\xff")
    assert cli.main([*LEARN[:-1], "other.spike"]) == 2
    assert "expected snnTorch to have the spikes of our neurons, found" in capsys.readouterr().err
    assert not (place / "other.spike").exists()


def test_a_network_that_needs_its_detector_is_not_learned_so(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its layers don't stand behind one another."""
    assert cli.main([*LEARN[:4], str(Path(shipped.__file__).with_name("timing.spike")), *LEARN[5:]]) == 2
    assert "this network needs its detector" in capsys.readouterr().err
