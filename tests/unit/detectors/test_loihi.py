"""The Lava backend where no Lava is: how one is looked for, what is refused beforehand, and what becomes of a run that goes wrong."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from tests.reference.layers import made

from spikebridge_detectors.backends import python310
from spikebridge_detectors.backends.loihi import Lava
from spikebridge_detectors.errors import BackendError, ModelError
from spikebridge_detectors.network import Network

if TYPE_CHECKING:
    from spikebridge_detectors.lif import Layer

LAYER, _ = made({"seed": 5, "units": 4, "inputs": 9, "exponent": 0, "du": 0, "dv": 0, "vth": 1, "bias": 0, "reset": None})
WORDS = np.zeros((1, 9, 1), np.uint32)


def script(path: Path, text: str) -> Path:
    """Write a program that stands in for an interpreter."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    path.chmod(0o755)
    return path


def test_each_place_is_tried_and_names_alone_prove_nothing(tmp_path: Path) -> None:
    """A shim that exists and fails is passed over, and so is a Python 3.10 without Lava where Lava is wanted."""
    script(tmp_path / "bin/python3.10", "exit 127")
    bare = script(tmp_path / ".pyenv/versions/3.10.9/bin/python", "echo nothing")
    other = script(tmp_path / "other", "echo lava-nc 0.10.0")
    environ = {"HOME": str(tmp_path), "PATH": f"{tmp_path / 'bin'}:/bin:/usr/bin"}

    assert python310.plain(environ) == bare
    with pytest.raises(
        BackendError, match=r"expected a Python 3.10 with lava-nc 0.10.0, found none .*; make an environment with"
    ):
        python310.with_lava(environ)
    script(tmp_path / "bin/uv", f"echo {other}")
    assert python310.with_lava(environ) == other
    kept = script(tmp_path / python310.ENVIRONMENT / "bin/python", "echo lava-nc 0.10.0")
    assert python310.with_lava(environ) == kept


def test_what_the_operator_names_is_the_only_one(tmp_path: Path) -> None:
    """A wrong name is told, in place of something else being taken."""
    script(tmp_path / "bin/python3.10", "echo nothing")
    environ = {"HOME": str(tmp_path), "PATH": str(tmp_path / "bin"), "SPIKEBRIDGE_PYTHON310": str(tmp_path / "missing")}
    with pytest.raises(BackendError, match=r"expected a Python 3.10, found none \(SPIKEBRIDGE_PYTHON310=.*missing\)"):
        python310.plain(environ)


def test_a_run_that_takes_too_long_ends_with_all_that_it_started(tmp_path: Path) -> None:
    """Lava works in many processes; none is left behind."""
    program, begun = script(tmp_path / "python", f"sleep 600 & echo $! > {tmp_path}/child; sleep 600"), tmp_path / "child"
    network = Network((LAYER,))
    limit_s = 0.5
    while not begun.exists() or not (child := begun.read_text(encoding="utf-8").strip()):  # where a shell takes longer to begin
        limit_s *= 2
        with pytest.raises(BackendError, match=f"expected an answer within {limit_s:g} s, found none"):
            Lava(program, limit_s).run(network, network.zero(1), WORDS)

    until = time.monotonic() + 60
    while Path("/proc", child).exists() and "Z" not in Path("/proc", child, "stat").read_text(encoding="utf-8").split()[2]:
        assert time.monotonic() < until
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("program", "told"),
    [
        ("cat >/dev/null; echo no such module >&2; exit 3", "the process ended with 3: no such module"),
        ("cat >/dev/null; printf abc", "expected an answer of 64 bytes, found 0"),
        ("cat >/dev/null; printf '\\377\\377\\377\\377abc'", "expected an answer of 64 bytes, found 0"),
    ],
)
def test_an_answer_that_is_none_is_told(tmp_path: Path, program: str, told: str) -> None:
    """With what the process said last; the states stay as they were."""
    network = Network((LAYER,))
    states = network.zero(1)
    with pytest.raises(BackendError, match=told):
        Lava(script(tmp_path / "python", program)).run(network, states, WORDS)
    assert states[0].step == 0


def test_an_interpreter_that_is_gone_is_told(tmp_path: Path) -> None:
    """With its path."""
    network = Network((LAYER,))
    with pytest.raises(BackendError, match="missing: No such file or directory"):
        Lava(tmp_path / "missing").run(network, network.zero(1), WORDS)


@pytest.mark.parametrize(
    ("layer", "told"),
    [
        (
            replace(LAYER, weights=np.array([[1, -1]], np.int16), bias=np.zeros(1, np.int32)),
            "layer 1: expected weights that 8 bits hold",
        ),
        (replace(LAYER, du=4096), "layer 1: du: expected 0 to 4095, found 4096"),
        (replace(LAYER, vth=1 << 17), "layer 1: vth: expected 0 to 131071, found 131072"),
        (replace(LAYER, exponent=16), "layer 1: expected currents and states of 24 bits, found more"),
        (replace(LAYER, bias=np.array([1, 0, 0, 1 << 13], np.int32)), "layer 1: expected biases of 13 bits"),
    ],
)
def test_what_lava_would_change_is_refused(layer: Layer, told: str) -> None:
    """Before anything is started: it clips and truncates without a word."""
    network = Network((layer,))
    with pytest.raises(ModelError, match=told):
        Lava(Path(os.devnull)).run(network, network.zero(1), np.zeros((1, layer.inputs, 1), np.uint32))


def test_more_than_fits_is_refused() -> None:
    """By its size alone."""
    network = Network((LAYER,))
    with pytest.raises(ModelError, match="expected 1 to 16,777,216 steps of all inputs together, found 18,874,368"):
        Lava(Path(os.devnull)).run(network, network.zero(1), np.zeros((1, 9, 1 << 16), np.uint32))
