"""Learning by gradients with snnTorch itself: held-out examples, the chip's grid, kills, and the model that comes of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from tests.train import rhythms

from spikebridge_detectors.errors import BackendError
from spikebridge_detectors.model.file import opened, self_test, written
from spikebridge_detectors.model.header import Encoder, Header, Layer, Output, Training, Window
from spikebridge_detectors.train.gradients.learn import Learned, learn, told
from spikebridge_detectors.train.gradients.plan import HELD_BACK, Examples, Plan
from spikebridge_detectors.train.gradients.process import Progress, Torch

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.train, pytest.mark.timeout(3_600)]

TAUGHT, HELD = 400, 300
PLAN = Plan(hidden=(24,), outputs=2, keep=0.5, passes=30, batch=40, rate=0.02, seed=3)
SHORT = Plan(hidden=(9, 5), outputs=2, bits=4, keep=0.7, passes=40, batch=40, rate=0.02, seed=8)


@pytest.fixture(scope="module")
def given() -> Examples:
    """Return examples to learn from, and others of another seed that are held back."""
    taught, held = rhythms.examples(TAUGHT, 1), rhythms.examples(HELD, 2)
    return Examples(
        words=np.concatenate([taught.words, held.words]),
        labels=np.concatenate([taught.labels, np.full(HELD, HELD_BACK, np.int16)]),
    )


@pytest.fixture(scope="module")
def learned(python: Path, given: Examples) -> Learned:
    """Learn once."""
    return learn(PLAN, given, Torch(python=python, limit_s=600), progress=lambda _: None)


def test_rhythms_of_another_seed_are_told_apart_by_the_integer_network(learned: Learned) -> None:
    """At least 19 of 20, by our engine's spikes and not the child's; by chance it would be one of three."""
    right = told(learned.outputs[TAUGHT:], PLAN.wanted) == rhythms.examples(HELD, 2).labels
    assert right.mean() >= 0.95
    assert learned.versions["snntorch"] == "1.0.0"


def test_no_spike_of_snntorch_differs_from_ours(learned: Learned) -> None:
    """Of all examples, also those that it never learned from; half of the weights are gone."""
    assert int(np.bitwise_count(learned.outputs).sum()) > 1000
    assert learned.differing == 0
    for layer in learned.layers:
        assert 0 < (layer.weights != 0).mean() <= PLAN.keep


def test_what_was_learned_is_a_model(learned: Learned, given: Examples) -> None:
    """It fits the file, passes its self-test, and answers the recorded spikes as the child did."""
    said = (
        Layer.of(learned.layers[0], "hidden", bits=PLAN.bits, sign="mixed"),
        Layer.of(learned.layers[1], "told", sources=("hidden",), bits=PLAN.bits, sign="mixed"),
    )
    header = Header(
        name="rhythms",
        version=1,
        inputs=tuple(f"gap-{number}" for number in range(rhythms.ENCODER.lines)),
        encoder=Encoder(name="bins", settings={"low": 0.25, "high": 4, "count": 6}),
        layers=said,
        outputs=tuple(
            Output(name=name, neuron=at, layer="told", unit=at) for at, name in enumerate(("by-turns", "four-of-each"))
        ),
        classes={"any": {}},
        window=Window(steps=rhythms.ARRIVALS, flush=rhythms.FLUSH),
        memory_s=60,
        training=Training(data="generated rhythms", generator="rhythms", seed=PLAN.seed),
    )
    shown = int(np.flatnonzero(given.labels == rhythms.BY_TURNS)[0])
    model = opened(written(header, learned.layers, given.words[shown]))
    self_test(model)
    assert np.array_equal(model.expected, learned.outputs[shown])
    assert sum(model.sizes.values()) < 4096


def test_a_kill_changes_nothing(python: Path, given: Examples, tmp_path: Path) -> None:
    """Killed twice in the midst of it, a learning that goes on ends with the weights of one that nobody disturbed."""
    few = Examples(words=given.words[::4], labels=given.labels[::4])
    torch = Torch(python=python, limit_s=300)
    whole = learn(SHORT, few, torch, progress=lambda _: None)
    checkpoint = tmp_path / "checkpoint.npz"

    class Killed(Exception):  # noqa: N818  nothing went wrong
        pass

    def killed(done: Progress) -> None:
        raise Killed

    for _ in range(2):
        with pytest.raises(Killed):
            learn(SHORT, few, torch, checkpoint=checkpoint, progress=killed)
    resumed: list[int] = []
    again = learn(SHORT, few, torch, checkpoint=checkpoint, progress=lambda done: resumed.append(done.number))

    assert resumed[0] > 2
    assert resumed[-1] == SHORT.passes
    assert again.differing == whole.differing == 0
    for one, other in zip(whole.layers, again.layers, strict=True):
        assert np.array_equal(one.weights, other.weights)
        assert np.array_equal(one.bias, other.bias)
        assert (one.du, one.dv, one.vth) == (other.du, other.dv, other.vth)


def test_a_checkpoint_of_something_else_is_refused(python: Path, given: Examples, tmp_path: Path) -> None:
    """Other settings, and a file that is none: both are told, and neither is gone on from."""
    few = Examples(words=given.words[:40], labels=given.labels[:40])
    torch, checkpoint = Torch(python=python, limit_s=300), tmp_path / "checkpoint.npz"
    plan = Plan(hidden=(4,), outputs=2, passes=1)
    learn(plan, few, torch, checkpoint=checkpoint, progress=lambda _: None)
    other = Plan(hidden=(4,), outputs=2, passes=2)
    with pytest.raises(BackendError, match="expected a checkpoint of the same examples and settings, found another's"):
        learn(other, few, torch, checkpoint=checkpoint, progress=lambda _: None)
    checkpoint.write_bytes(b"\x80\x04K\x01.")
    with pytest.raises(BackendError, match="ended with"):
        learn(plan, few, torch, checkpoint=checkpoint, progress=lambda _: None)


def test_more_memory_than_is_allowed_ends_it(python: Path, given: Examples) -> None:
    """The child has a limit of its own: it fails, and this machine goes on."""
    with pytest.raises(BackendError, match=r"failed to map segment|memory"):
        learn(PLAN, given, Torch(python=python, limit_s=300, memory=64 << 20), progress=lambda _: None)
