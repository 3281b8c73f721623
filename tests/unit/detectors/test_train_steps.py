"""Steps of learning on disk: what was made before isn't made again, and nothing else is taken for it."""

from __future__ import annotations

import hashlib
import json
import struct
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from spikebridge_detectors.errors import ModelError
from spikebridge_detectors.train.steps import Steps, packed, unpacked

if TYPE_CHECKING:
    from pathlib import Path

    from spikebridge_detectors.train.steps import Arrays

SHAPES = arrays_of.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=4)
WHOLE = arrays_of.arrays(np.int64, SHAPES)
BROKEN = arrays_of.arrays(np.float64, SHAPES)


@given(st.dictionaries(st.text(max_size=20), WHOLE | BROKEN, max_size=4))
def test_arrays_come_back_as_they_were(arrays: Arrays) -> None:
    """Bit for bit, NaN too, with their shapes."""
    found = unpacked(packed("k", "step", arrays), "k", "step")
    assert list(found) == list(arrays)
    for name, array in arrays.items():
        assert found[name].shape == array.shape
        assert found[name].tobytes() == array.tobytes()


def test_what_was_made_before_is_not_made_again(tmp_path: Path) -> None:
    """Whoever goes on gets the same arrays; whoever begins anew makes all of them."""
    made: list[str] = []

    def step(steps: Steps, name: str) -> list[int]:
        def make() -> Arrays:
            made.append(name)
            return {"a": np.array([len(name)])}

        found: list[int] = steps(name, make)["a"].tolist()
        return found

    first = Steps(tmp_path / "steps", "key", resume=False)
    assert step(first, "one") == [3]
    second = Steps(tmp_path / "steps", "key", resume=True)
    assert (step(second, "one"), step(second, "three")) == ([3], [5])
    assert (made, second.resumed) == (["one", "three"], 1)
    assert step(Steps(tmp_path / "steps", "key", resume=False), "one") == [3]
    assert made == ["one", "three", "one"]
    second.forget()
    assert not (tmp_path / "steps").exists()


def test_steps_of_other_files_or_settings_are_refused_with_their_place(tmp_path: Path) -> None:
    """And what to do about it."""
    Steps(tmp_path / "steps", "key", resume=False)("one", dict)
    with pytest.raises(ModelError, match=r"00000\.step: learned from other files .*; begin anew without --resume"):
        Steps(tmp_path / "steps", "other", resume=True)("one", dict)
    with pytest.raises(ModelError, match='expected the step "two", found "one"'):
        Steps(tmp_path / "steps", "key", resume=True)("two", dict)


@pytest.mark.parametrize("at", [0, 8, 12, 40, -40, -1])
def test_a_step_with_a_changed_byte_is_refused(at: int) -> None:
    """Wherever it is."""
    data = bytearray(packed("k", "step", {"a": np.arange(5)}))
    data[at] ^= 1
    with pytest.raises(ModelError):
        unpacked(bytes(data), "k", "step")


def test_a_step_that_ends_early_is_refused() -> None:
    """At each length."""
    data = packed("k", "step", {"a": np.arange(5)})
    for length in range(len(data)):
        with pytest.raises(ModelError):
            unpacked(data[:length], "k", "step")


def sealed(header: object, data: bytes = b"") -> bytes:
    """Return a step with any header and the right digest, as somebody could forge it."""
    text = json.dumps(header).encode()
    content = struct.pack("<8sI", b"SPKSTEP\x01", len(text)) + text + data
    return content + hashlib.sha256(content).digest()


@pytest.mark.parametrize(
    ("kind", "shape", "said"),
    [
        ("i8", [1 << 28, 1 << 28, 1 << 28], "a: expected"),
        ("i8", [1 << 60], "header: "),
        ("i8", [-1], "header: "),
        ("O", [1], "header: "),
        ("i8", [1, 1, 1, 1, 1], "header: "),
        ("i8", [0], "expected .* bytes, found"),
    ],
)
def test_a_forged_step_takes_no_more_memory_than_it_has_bytes(kind: str, shape: list[int], said: str) -> None:
    """Sizes are compared with what is there before anything is made of them."""
    with pytest.raises(ModelError, match=said):
        unpacked(sealed({"key": "k", "step": "s", "arrays": [{"name": "a", "type": kind, "shape": shape}]}, bytes(8)), "k", "s")
