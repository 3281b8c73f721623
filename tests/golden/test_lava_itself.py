"""
Lava itself, in an environment of its own: new vectors from its models, and networks that our backend runs through it.

Not run where no Python 3.10 is found. The environment is made once, in `~/.cache/spikebridge/lava`, from pinned wheels.
"""

from __future__ import annotations

import fcntl
import random
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from tests.live.servers.missing import Missing, needed
from tests.reference.detection import small
from tests.reference.lava import Vectors
from tests.reference.layers import made
from tests.unit.cli.test_replay_file import scanned
from tests.unit.test_detect_again import raised

from spikebridge.cli import main
from spikebridge.cli.replay_alert import replayed as replayed_alert
from spikebridge_detectors import shipped
from spikebridge_detectors.backends import python310
from spikebridge_detectors.backends.loihi import Lava, conformance
from spikebridge_detectors.engine import engine
from spikebridge_detectors.errors import BackendError
from spikebridge_detectors.lif import Layer, Reset
from spikebridge_detectors.network import Network
from spikebridge_detectors.replay import replayed

pytestmark = [pytest.mark.long, pytest.mark.timeout(3_600)]

HERE = Path(__file__).parent / "lava"
PIP = ["-I", "-m", "pip", "--disable-pip-version-check", "-q", "--retries", "10", "install", "--require-hashes"]


@pytest.fixture(scope="module")
def lava() -> Lava:
    """Return Lava on this machine, installed first if need be."""
    try:
        plain = python310.plain()
    except BackendError as error:
        pytest.skip(f"not run: {error}")
    home = Path.home() / python310.ENVIRONMENT
    home.parent.mkdir(parents=True, exist_ok=True)
    with (home.parent / "lava.lock").open("w", encoding="utf-8") as lock:  # tests run in several processes
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            return Lava.found()
        except BackendError:
            with needed():
                _install(plain, home)
        return Lava.found()


def _install(python: Path, home: Path) -> None:
    """Make the environment where there is none; a half-made one never stands in its place."""
    if home.exists():
        return
    made = home.with_name("lava.new")
    shutil.rmtree(made, ignore_errors=True)
    try:
        subprocess.run([python, "-I", "-m", "venv", made], check=True, capture_output=True, timeout=120)
        subprocess.run([made / "bin/python", *PIP, "-r", HERE / "requirements.txt"], check=True, capture_output=True, timeout=600)
    except (OSError, subprocess.SubprocessError) as error:
        told = getattr(error, "stderr", None) or b""
        raise Missing(f"Lava can't be installed with {python}: {error} {told.decode(errors='replace')[-500:]}") from error
    made.rename(home)


def test_new_vectors_are_met_as_the_recorded_ones_are(lava: Lava, tmp_path: Path) -> None:
    """What the committed generator makes today from seeds that nobody has seen."""
    first = random.getrandbits(20)  # by the seed that pytest tells at its start
    command = [
        str(lava.python),
        str(HERE / "make.py"),
        str(tmp_path),
        "--first",
        str(first),
        "--networks",
        "6",
        "--learning",
        "3",
    ]
    subprocess.run(command, check=True, capture_output=True, timeout=600)
    vectors = Vectors(tmp_path)

    assert sum(said["layers"][1]["spikes"] for said in vectors.networks), f"seeds from {first}"
    for number in range(len(vectors.networks)):
        vectors.check_network(number, engine("numpy"))
        vectors.check_network(number, engine("compiled"))
    for number in range(len(vectors.learnt)):
        vectors.check_learning(number)


@pytest.mark.parametrize("seed", range(4))
def test_a_network_on_lava_gives_our_spikes(lava: Lava, seed: int) -> None:
    """Two layers, one that resets: no spike differs, and every neuron ends where ours does."""
    luck = np.random.default_rng(seed)
    said = {"seed": seed, "units": 9, "inputs": 20, "exponent": -seed, "du": 400, "dv": 200, "vth": 100, "bias": 500}
    first, _ = made({**said, "reset": Reset(40, 3) if seed % 2 else None})
    second = Layer(weights=first.weights[:4, :9], exponent=1, du=4095, dv=7, vth=900, bias=np.arange(4, dtype=np.int32) * 128)
    words = luck.integers(0, 1 << 32, (2, 20, 6), dtype=np.uint32)
    found = conformance(Network((first, second)), words, lava)

    assert found.spikes > 0
    assert (found.differing, found.states) == (0, 0)


@pytest.mark.parametrize("model", sorted(Path(shipped.__file__).parent.glob("*.spike")), ids=lambda path: path.stem)
def test_a_model_that_ships_gives_the_same_spikes_on_lava(lava: Lava, capsys: pytest.CaptureFixture[str], model: Path) -> None:
    """By the command that operators have; of those whose layers have clocks of their own each layer alone."""
    assert main(["model", "compare", str(model), "--lava"]) == 0
    assert re.search(r"Lava: of \d+[\d,]+ spikes 0 differ, and the states of 0 neurons\n$", capsys.readouterr().out)


def test_a_run_goes_on_from_any_state(lava: Lava) -> None:
    """From where NumPy stopped, with currents on their way and in the midst of a reset's interval: so evidence is replayed there."""
    layer, luck = made(
        {"seed": 8, "units": 7, "inputs": 9, "exponent": 2, "du": 90, "dv": 7, "vth": 300, "bias": 500, "reset": Reset(23, 5)}
    )
    network, words = Network((layer,)), luck.integers(0, 1 << 32, (1, 9, 5), dtype=np.uint32)
    ours, theirs = network.zero(1), network.zero(1)
    network.run(ours, words[:, :, :2])
    network.run(theirs, words[:, :, :2])

    assert (network.run(ours, words[:, :, 2:]) == lava.run(network, theirs, words[:, :, 2:])).all()
    for name in ("current", "u", "v", "step"):
        assert np.array_equal(getattr(ours[0], name), getattr(theirs[0], name))


def test_the_evidence_of_an_alarm_gives_the_same_spikes_on_lava(lava: Lava) -> None:
    """Each neuron of both layers of timing, from the state that was kept."""
    assert lava.python.exists()
    found = replayed(scanned(), Path())
    assert found.verdict == "same"
    assert [(one.engine, one.verdict) for one in found.engines] == [("NumPy", "same"), ("compiled", "same"), ("Lava", "same")]
    assert found.engines[2].spikes == found.engines[0].spikes > 100


def test_an_alert_of_a_model_in_the_service_is_the_same_on_lava(lava: Lava) -> None:
    """Frames that end within words, silence between them, and a reset: from zero to the alert."""
    assert lava.python.exists()
    found, made = raised(small("cam", ("cam",), version=2, memory_s=60, reset=5), count=40, every=1.3)
    told = replayed_alert(*found, made, lava=True)

    assert [(one.engine, one.verdict, one.why) for one in told.engines] == [
        ("NumPy", "same", ""),
        ("compiled", "same", ""),
        ("Lava", "same", ""),
    ]
    assert told.engines[2].spikes == told.engines[0].spikes > 30
