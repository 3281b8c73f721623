"""A revision with models before it is in force: verified by whom reads it too, its networks compiled."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from cryptography.hazmat.primitives import serialization
from tests.reference.detection import small, with_models
from tests.reference.models import KEY, STRANGER
from tests.reference.plant import Owner, Plant
from tests.reference.simulation import LIMITS, rule

from spikebridge.app.networks import AGAIN_S, SAID_S, Networks, ReadyRevisions, VerifiedRevisions
from spikebridge.detect.frames import Inputs
from spikebridge.detect.running import answer, warm
from spikebridge.detect.served import lines_of
from spikebridge.detect.states import States
from spikebridge.limits import SECOND
from spikebridge.mapping.rules import RuleSet, read_revision, rule_set_content
from spikebridge.metrics import RELOADS_REFUSED, Metrics
from spikebridge.testing import FakeClock, MemoryLog
from spikebridge_detectors import compiled
from spikebridge_detectors.model.container import split
from spikebridge_detectors.model.keys import signed

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    import pytest
    from cryptography.hazmat.primitives.asymmetric import ec

    from spikebridge.detect.file import ModelFile
    from spikebridge.detect.served import Line

SPIKE = msgspec.json.encode({"device_id": "cam", "neuron_id": 5})
UNSIGNED = small("cam", ("cam",))


def by(key: ec.EllipticCurvePrivateKey, version: int = 1) -> ModelFile:
    """Return the model as somebody signed it."""
    file = small("cam", ("cam",), version=version)
    return msgspec.structs.replace(file, file=signed(split(file.file), key))


def rules(neuron: int, *models: ModelFile) -> RuleSet:
    """Make a rule set of one rule, with models."""
    return with_models(RuleSet(rules=[rule("one", (neuron, neuron), suppress=1)], limits=LIMITS), *models)


def trust(directory: Path, *keys: ec.EllipticCurvePrivateKey) -> Path:
    """Write the public halves of keys where an operator would."""
    directory.mkdir(exist_ok=True)
    for number, key in enumerate(keys):
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        (directory / f"{number}.pub").write_bytes(key.public_key().public_bytes(serialization.Encoding.PEM, form))
    return directory


def test_a_revision_whose_model_nobody_trusted_has_signed_does_not_come_into_force(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever may write the topic can publish it: it is passed over whole, said once, and the last good one counts on; a key mends it."""
    keys, plant, metrics = trust(tmp_path, KEY), Plant(), Metrics()
    revisions = VerifiedRevisions(plant.revisions(), keys, metrics, plant.monotonic)
    good, _, _ = plant.publish(rules(5, by(KEY)), rules(6, UNSIGNED), rules(7, by(STRANGER)))
    owner = Owner(plant, revisions=revisions).open()
    for _ in range(3):
        plant.append(SPIKE)
        owner.drain()

    assert owner.stage.revision.number == good
    assert len(plant.entries()) == 3
    trusted, other = (split(by(key).file).key_id.hex()[:16] for key in (KEY, STRANGER))
    stays = "does not come into force here, the last good one stays: model cam:"
    assert [line for line in caplog.messages if stays in line] == [
        f"revision 5 {stays} signed by a key that is not trusted: expected one of {trusted}, found {other}",
        f"revision 3 {stays} unsigned: expected a signature by a trusted key; sign it with `spikebridge model sign`",
    ]
    assert metrics.value(RELOADS_REFUSED) == 2

    trust(tmp_path, KEY, STRANGER)
    plant.sleep(AGAIN_S)
    owner.drain()
    assert owner.stage.revision.number == 5


def test_models_are_verified_however_their_revision_is_written(tmp_path: Path) -> None:
    """Whoever may write the topic may write JSON as they like: an escape or a blank hides no model."""
    content, plant = rule_set_content(rules(6, UNSIGNED)), Plant()
    revisions = VerifiedRevisions(plant.revisions(), trust(tmp_path, KEY), Metrics(), plant.monotonic)
    good = revisions.publish(rule_set_content(rules(5)))
    for written in (b'"model\\u0073":', b'"models" :'):
        hidden = content.replace(b'"models":', written)
        assert read_revision(1, hidden).rule_set.model_files == [UNSIGNED]
        assert revisions.publish(hidden) > good
        assert revisions.newest() == good


def test_what_is_in_force_is_read_whoever_signed_it(tmp_path: Path) -> None:
    """A partition's alerts are a function of its log: a key that is taken away stops the next revision, not a takeover."""
    plant = Plant()
    (number,) = plant.publish(rules(5, by(STRANGER)))
    Owner(plant).open().drain().leave()
    plant.append(SPIKE)

    revisions = VerifiedRevisions(plant.revisions(), trust(tmp_path, KEY), Metrics(), plant.monotonic)
    owner = Owner(plant, revisions=revisions).open().drain()

    assert owner.stage.revision.number == number
    assert len(plant.entries()) == 1


def test_networks_are_compiled_before_their_revision_is_in_force() -> None:
    """At a start and at each new revision; once for each."""
    asked: list[list[int]] = []

    def ready(files: Sequence[ModelFile]) -> None:
        asked.append([file.version for file in files])

    log = MemoryLog(FakeClock(), "log")
    log.publish(rule_set_content(rules(5, by(KEY))))
    revisions = ReadyRevisions(log, ready)

    assert revisions.newest() == revisions.newest() == 1
    assert asked == [[1]]
    log.publish(rule_set_content(rules(5, by(KEY, 2))))
    assert revisions.newest() == 2
    assert asked == [[1], [2]]


def test_a_stage_waits_for_the_compiler_for_so_long_and_no_longer(caplog: pytest.LogCaptureFixture) -> None:
    """It says so and goes on; what was quick isn't worth a line."""
    release = threading.Event()

    def slow(_lines: Iterable[Line]) -> str:
        release.wait()
        return "networks run compiled"

    caplog.set_level(logging.INFO)
    Networks(0.15, slow)([UNSIGNED])
    release.set()
    assert caplog.messages == ["networks are not compiled after 0 s: going on, and the first raw spikes wait for the rest"]

    caplog.clear()
    ready = Networks(compiling=slow, monotonic=lambda: 0.0)
    ready([UNSIGNED])
    ready([])
    assert caplog.messages == []


def test_many_partitions_wait_for_the_compiler_as_long_as_one(caplog: pytest.LogCaptureFixture) -> None:
    """Their broker would give them to others: each set of models is waited for once, and another set anew."""
    release = threading.Event()
    asked: list[int] = []
    looks = deque([0.0, 0.0, 999.7, 1_000.0])  # of a thousand seconds all but a moment are gone when the first begins to wait

    def monotonic() -> float:
        return looks.popleft() if len(looks) > 1 else looks[0]

    def slow(lines: Iterable[Line]) -> str:
        asked.append(len([*lines]))
        release.wait()
        return "networks run compiled"

    networks = Networks(1_000.0, slow, monotonic)
    log = MemoryLog(FakeClock(), "log")
    log.publish(rule_set_content(rules(5, UNSIGNED)))
    began = time.monotonic()
    assert [ReadyRevisions(log, networks).newest() for _ in range(20)] == [1] * 20
    assert time.monotonic() - began >= 0.3
    while not asked:
        time.sleep(0.01)
    assert asked == [1]
    assert len(caplog.messages) == 1

    looks.extend([1_000.0, 1_999.7, 2_000.0])
    networks([by(KEY, 2)])
    while len(asked) < 2:
        time.sleep(0.01)
    release.set()
    assert asked == [1, 1]
    assert time.monotonic() - began >= 0.6
    assert len(caplog.messages) == 2


def test_what_is_being_compiled_is_waited_for_by_all(caplog: pytest.LogCaptureFixture) -> None:
    """Stages run in threads: who comes while the compiler is at work goes on when it is done, and one of them says so."""
    begun, release = threading.Event(), threading.Event()
    done: list[bool] = []

    def slow(_lines: Iterable[Line]) -> str:
        begun.set()
        release.wait()
        return "networks run compiled"

    def stage() -> None:
        networks([UNSIGNED])
        done.append(release.is_set())

    caplog.set_level(logging.INFO)
    networks = Networks(300.0, slow)
    stages = [threading.Thread(target=stage) for _ in range(4)]
    for one in stages:
        one.start()
    begun.wait()
    time.sleep(2 * SAID_S)
    assert done == []
    release.set()
    for one in stages:
        one.join()
    assert done == [True] * 4
    assert len(caplog.messages) == 1


def test_what_was_compiled_is_what_frames_run_on() -> None:
    """Arrays of another layout would be compiled for again, in front of the first devices that come together."""
    [line] = lines_of(UNSIGNED)
    zero, steps = np.zeros(3, np.int64), np.arange(64)
    frames = Inputs(
        np.zeros(3, np.int32),
        np.arange(3, dtype=np.int32),
        zero,
        zero,
        zero + 63 * line.step_ns,
        np.full(3, 64),
        np.zeros(3 * 64, np.uint32),
        np.tile(steps * line.step_ns, 3),
    )

    assert warm([line]) == "networks run compiled"
    known = [*compiled._devices.signatures]  # noqa: SLF001 -- the compiler's own list
    answer(States(line), frames, SECOND)

    assert known
    assert compiled._devices.signatures == known  # noqa: SLF001 -- as above
