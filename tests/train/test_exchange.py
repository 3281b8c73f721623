"""NIR files in the frameworks themselves: what we export is the same network there, and what snnTorch exports is the same here."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from tests.reference.models import header, layers, recorded

from spikebridge.cli import main
from spikebridge_detectors.model import nir_file
from spikebridge_detectors.model.file import opened, written
from spikebridge_detectors.model.floating import floating, run
from spikebridge_detectors.network import Network
from spikebridge_detectors.raster import pack, unpack

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from spikebridge_detectors.lif import Layer

pytestmark = [pytest.mark.train, pytest.mark.timeout(3_600)]

FRAMEWORKS = Path(__file__).with_name("frameworks.py")
STEPS, LINES = 1024, 5
LATE = 2
"""Each of our layers is a step late, and theirs are not."""


def plain() -> list[Layer]:
    """Return layers without biases, of which the frameworks have no notion."""
    return [replace(layer, bias=np.zeros_like(layer.bias)) for layer in layers()]


def shown() -> NDArray[np.bool_]:
    """Return spikes of [step, line]."""
    return np.random.default_rng(8).random((STEPS, LINES)) < 0.25


def theirs(python: Path, how: str, file: Path, spikes: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return what a framework makes of a file and of spikes."""
    given, out = file.with_name("given.npy"), file.with_name("out.npy")
    np.save(given, spikes)
    command = [str(python), "-I", str(FRAMEWORKS), how, str(file), str(given), str(out)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=600)
    if done.returncode:
        raise RuntimeError(done.stderr)
    answer: NDArray[np.bool_] = np.load(out, allow_pickle=False)
    return answer


def ours(network: list[Layer], spikes: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return what the integer network makes of spikes."""
    held = Network(tuple(network))
    return unpack(held.run(held.zero(1), pack(spikes[:, None])))[:, 0]


def differing(late: NDArray[np.bool_], other: NDArray[np.bool_]) -> int:
    """Count the spikes that differ between ours and theirs."""
    return int((late[LATE:] != other[:-LATE]).sum())


@pytest.mark.parametrize("framework", ["snntorch", "norse"])
def test_an_exported_model_is_the_same_network_there(python: Path, tmp_path: Path, framework: str) -> None:
    """Spike for spike that of our reader in floating point; of the whole numbers' spikes less than one in a hundred differs."""
    spikes = shown()
    (tmp_path / "pump.spike").write_bytes(written(header(), plain(), recorded()))
    assert main(["model", "export", str(tmp_path / "pump.spike"), "--out", str(tmp_path / "pump.nir")]) == 0
    found = theirs(python, framework, tmp_path / "pump.nir", spikes)
    in_floats = unpack(run([floating(layer) for layer in plain()], pack(spikes[:, None])[0])[None])[:, 0]

    assert found.sum() > 400
    assert differing(in_floats, found) == 0
    assert differing(ours(plain(), spikes), found) < found.sum() / 100


def test_biases_are_what_frameworks_cannot_express(python: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """They are refused by snnTorch, and Norse lets them leak into the current as well: the export says so."""
    (tmp_path / "pump.spike").write_bytes(written(header(), layers(), recorded()))
    assert main(["model", "export", str(tmp_path / "pump.spike"), "--out", str(tmp_path / "pump.nir")]) == 0
    assert "has biases: snnTorch refuses the file, and Norse has other spikes" in capsys.readouterr().out
    with pytest.raises(RuntimeError, match="v_leak not supported"):
        theirs(python, "snntorch", tmp_path / "pump.nir", shown())
    found = theirs(python, "norse", tmp_path / "pump.nir", shown())
    assert differing(ours([*layers()], shown()), found) > found.sum() / 2


def test_what_snntorch_exports_is_the_same_network_here(python: Path, tmp_path: Path) -> None:
    """Spike for spike before it lands on the grid; then of its spikes less than one in ten differs, and it is a model."""
    spikes = shown()
    answered = theirs(python, "write", tmp_path / "other.nir", spikes)
    in_floats = unpack(run(nir_file.read(tmp_path / "other.nir"), pack(spikes[:, None])[0])[None])[:, 0]
    assert answered.sum() > 400
    assert differing(in_floats, answered) == 0

    like, out = tmp_path / "pump.spike", tmp_path / "new.spike"
    like.write_bytes(written(header(), layers(), recorded()))
    command = ["model", "import", str(tmp_path / "other.nir"), "--like", str(like), "--out", str(out)]
    assert main([*command, "--version", "4", "--data", "weights by luck"]) == 0
    assert differing(ours([*opened(out.read_bytes()).layers], spikes), answered) < answered.sum() / 10
