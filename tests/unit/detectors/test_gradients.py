"""Learning by gradients where no torch is: what is refused beforehand, what becomes of a child that goes wrong, and what of a wrong answer."""

from __future__ import annotations

import json
import shlex
import struct
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from spikebridge_detectors.errors import BackendError, ModelError
from spikebridge_detectors.train.gradients.environment import VARIABLE, with_snntorch
from spikebridge_detectors.train.gradients.learn import learn, told
from spikebridge_detectors.train.gradients.plan import HELD_BACK, QUIET, Examples, Plan, question
from spikebridge_detectors.train.gradients.process import Progress, Torch

if TYPE_CHECKING:
    from numpy.typing import NDArray

PLAN = Plan(hidden=(), outputs=2, bits=8, keep=0.5)
EXAMPLES = Examples(
    words=np.tile(np.array([[0x5555], [0], [1], [0]], np.uint32), (3, 1, 1)), labels=np.array([0, QUIET, HELD_BACK], np.int16)
)
WEIGHTS = np.array([[254, 0, -256, 0], [2, 0, 0, -4]])


def answer(weights: NDArray[np.int64] = WEIGHTS, *, neurons: tuple[int, int, int] = (400, 300, 9), bias: int = 8) -> bytes:
    """Return what a child would write that had learned these numbers, and whose outputs stay silent."""
    head = json.dumps({"torch": "2"}).encode()
    numbers = struct.pack("<3i", *neurons) + np.full(2, bias, "<i4").tobytes() + weights.astype("<i2").tobytes()
    return struct.pack("<I", len(head)) + head + numbers + bytes(4 * 3 * 2)


def stand_in(path: Path, text: str, said: bytes = b"") -> Torch:
    """Write a program that stands in for an interpreter."""
    (path / "said").write_bytes(said)
    program = path / "python"
    program.write_text(f"#!/bin/sh\n{text}\ncat {shlex.quote(str(path / 'said'))}\n", encoding="utf-8")
    program.chmod(0o755)
    return Torch(python=program, limit_s=20)


def test_an_answer_is_run_by_our_engine_and_its_spikes_are_held_against_it(tmp_path: Path) -> None:
    """A child that is silent where ours fires has computed another neuron, and each spike of that is counted."""
    learned = learn(PLAN, EXAMPLES, stand_in(tmp_path, "cat > /dev/null", answer()), progress=lambda _: None)

    assert (learned.layers[0].weights == WEIGHTS).all()
    assert (learned.layers[0].du, learned.layers[0].dv, learned.layers[0].vth) == (400, 300, 9)
    assert learned.differing == int(np.bitwise_count(learned.outputs).sum()) > 0
    assert learned.versions == {"torch": "2"}


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (b"", "expected an answer of 60 bytes behind its header, found -4"),
        (b"\xff\xff\xff\xff", "expected an answer of 60 bytes"),
        (answer()[:-1], "expected an answer of 60 bytes behind its header, found 59"),
        (answer() + bytes(1 << 20), "expected an answer of 60 bytes"),
        (struct.pack("<I", 4) + b"nope" + bytes(60), "expected versions in front of the answer"),
        (answer(neurons=(4096, -1, 0)), "layer 1: expected what hardware holds, found du 4096, dv -1, vth 0"),
        (answer(bias=7), "biases that hardware can't hold"),
        (answer(bias=-(1 << 31)), "biases that hardware can't hold"),
        (answer(WEIGHTS + 1), "weights that 8 bits can't hold, more weights than may stay"),
        (answer(np.full((2, 4), 2)), "more weights than may stay"),
    ],
)
def test_an_answer_that_hardware_could_not_hold_is_refused(tmp_path: Path, said: bytes, expected: str) -> None:
    """It came from another process, and is believed in nothing."""
    with pytest.raises(BackendError, match=expected):
        learn(PLAN, EXAMPLES, stand_in(tmp_path, "cat > /dev/null", said), progress=lambda _: None)


def test_sums_that_sixteen_bits_cannot_carry_are_refused(tmp_path: Path) -> None:
    """A chip would drop the rest of them without a word."""
    wide = Examples(words=np.zeros((1, 200, 1), np.uint32), labels=np.zeros(1, np.int16))
    head = struct.pack("<I", 2) + b"{}"
    numbers = struct.pack("<3i", 0, 0, 1) + bytes(4) + np.full(200, -256, "<i2").tobytes() + bytes(4)
    torch = stand_in(tmp_path, "cat > /dev/null", head + numbers)
    with pytest.raises(BackendError, match="weights whose sums 16 bits can't carry"):
        learn(Plan(hidden=(), outputs=1), wide, torch, progress=lambda _: None)


def test_progress_is_passed_on_and_what_went_wrong_is_told(tmp_path: Path) -> None:
    """Lines that aren't progress are kept for the error, the last of them."""
    program = """echo '{"pass": 1, "loss": 0.5, "right": 0.25}' >&2; echo 'warning' >&2; echo 'no such module' >&2; exit 3"""
    seen: list[Progress] = []
    with pytest.raises(BackendError, match="the process ended with 3: warning\nno such module"):
        learn(PLAN, EXAMPLES, stand_in(tmp_path, program), progress=seen.append)
    assert seen == [Progress(number=1, loss=0.5, right=0.25)]


def test_a_child_that_takes_too_long_ends_with_all_that_it_started(tmp_path: Path) -> None:
    """And so does one whose parent is stopped in the midst of it."""
    torch, begun = stand_in(tmp_path, f"sleep 600 & echo $! > {tmp_path}/child; wait"), tmp_path / "child"
    limit_s = 0.5
    while not begun.exists() or not (child := begun.read_text(encoding="utf-8").strip()):  # where a shell takes longer to begin
        limit_s *= 2
        with pytest.raises(BackendError, match=f"expected an end within {limit_s:g} s, found none"):
            learn(PLAN, EXAMPLES, replace(torch, limit_s=limit_s), progress=lambda _: None)

    until = time.monotonic() + 60
    while Path("/proc", child).exists() and "Z" not in Path("/proc", child, "stat").read_text(encoding="utf-8").split()[2]:
        assert time.monotonic() < until
        time.sleep(0.05)


def test_what_cannot_be_learned_is_refused_at_once() -> None:
    """All problems of a plan together, and before anything is started."""
    with pytest.raises(ModelError, match=r"bits: expected 2 to 8, found 9\nhidden layer 1: .*\nkeep: expected above 0"):
        Plan(hidden=(0,), outputs=1, bits=9, keep=0)
    with pytest.raises(ModelError, match="rate: expected above 0 and at most 1, found nan"):
        Plan(hidden=(), outputs=1, rate=float("nan"))


@pytest.mark.parametrize(
    ("examples", "plan", "expected"),
    [
        (replace(EXAMPLES, labels=np.zeros(2, np.int16)), PLAN, "a label for each example"),
        (replace(EXAMPLES, labels=np.array([0, 1, 2], np.int16)), PLAN, "labels: expected -2 to 1, found 2"),
        (replace(EXAMPLES, labels=np.full(3, HELD_BACK, np.int16)), PLAN, "found none that isn't held back"),
        (replace(EXAMPLES, words=np.zeros((3, 1025, 1), np.uint32)), PLAN, "of 1 to 1,024 lines"),
        (replace(EXAMPLES, words=np.zeros((3, 300, 1), np.uint32)), replace(PLAN, bits=2), "bits: expected more for 300 inputs"),
    ],
)
def test_examples_that_do_not_fit_are_refused(examples: Examples, plan: Plan, expected: str) -> None:
    """Nothing is started for them."""
    with pytest.raises(ModelError, match=expected):
        learn(plan, examples, Torch(python=Path("/dev/null")), progress=lambda _: None)


def test_a_question_has_one_digest_wherever_its_checkpoint_lies(tmp_path: Path) -> None:
    """So that a learning may move, and another one's checkpoint is known."""

    def digest(plan: Plan, examples: Examples, checkpoint: Path | None) -> str:
        asked = question(plan, examples, checkpoint)
        return str(json.loads(asked[4 : 4 + struct.unpack_from("<I", asked)[0]])["digest"])

    first = digest(PLAN, EXAMPLES, None)
    assert digest(PLAN, EXAMPLES, tmp_path / "here") == first
    assert digest(replace(PLAN, seed=1), EXAMPLES, None) != first
    assert digest(PLAN, replace(EXAMPLES, labels=np.array([1, QUIET, HELD_BACK], np.int16)), None) != first


def test_the_most_spikes_tell_and_too_few_tell_nothing() -> None:
    """Half of the wanted ones are needed: of 32 steps at a fifth that is four."""
    outputs = np.array([[[0b1], [0b1111]], [[0b11111], [0b1111]], [[0b111], [0]]], np.uint32)
    assert told(outputs, 0.2).tolist() == [1, 0, QUIET]


def test_a_python_without_torch_is_passed_over_and_told(tmp_path: Path) -> None:
    """With what makes one; what the operator names is the only one that is tried."""
    with pytest.raises(BackendError, match=r"expected a Python with torch and snntorch, found none .*; make an environment with"):
        with_snntorch({"HOME": str(tmp_path)})
    (tmp_path / "python").write_text("#!/bin/sh\nexit 0\n", encoding="utf-8")
    (tmp_path / "python").chmod(0o755)
    assert with_snntorch({VARIABLE: str(tmp_path / "python"), "HOME": str(tmp_path)}) == tmp_path / "python"
    with pytest.raises(BackendError, match=rf"{VARIABLE}=/nowhere"):
        with_snntorch({VARIABLE: "/nowhere"})
