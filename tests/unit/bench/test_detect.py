"""The detector's case: its plain loop computes what the engines do, and what isn't installed is said."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from spikebridge.bench.detect import RATE, detect, network, plain, spikes
from spikebridge_detectors.engine import engine


def test_the_plain_loop_does_the_same_work() -> None:
    """Else its ratio would say nothing."""
    net, words = network(), spikes(20, 1)
    fired = plain(net.layers[0], words)

    assert fired.any()
    for name in ("numpy", "compiled"):
        assert (engine(name).run(net, net.zero(20), words) == fired).all()
    assert np.bitwise_count(words).mean() / 32 == pytest.approx(RATE, abs=0.02)


def test_a_peer_that_is_not_here_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """In place of a figure, and the other figures are there."""
    monkeypatch.setenv("SPIKEBRIDGE_PYTHON310", "/nowhere")
    monkeypatch.setenv("SPIKEBRIDGE_TORCH_PYTHON", "/nowhere")
    lines = {line.name: line for line in detect(devices=20, repeats=1)}

    assert list(lines) == ["detect_numpy", "detect_compiled", "detect_memory"]
    assert lines["detect_numpy"].conditions["lava_one_by_one_s"] == "not installed"
    assert lines["detect_numpy"].conditions["snntorch_s"] == "not installed"
    assert not {"times_lava_one_by_one", "times_snntorch"} & lines["detect_numpy"].conditions.keys()
    assert lines["detect_compiled"].ratio
    assert lines["detect_memory"].value >= lines["detect_memory"].conditions["state_bytes"]


@pytest.mark.parametrize(("given", "kept"), [({}, "1"), ({"OPENBLAS_NUM_THREADS": "2"}, "2")])
def test_numpy_multiplies_on_one_core_unless_told_otherwise(given: dict[str, str], kept: str) -> None:
    """A second thread would wait for the first at each step, and take a core that others need."""
    program = "import os; from spikebridge.cli import main; main(['--version']); print(os.environ['OPENBLAS_NUM_THREADS'])"
    done = subprocess.run([sys.executable, "-c", program], env=given, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split()[-1] == kept
