"""What networks were given once more on another engine: call by call what it says, and the alert that follows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pytest
from tests.reference.detection import LINES, small
from tests.unit.mapping.test_detecting import appended, engine, raw, revision

from spikebridge.cli.replay_alert import Replayed, replayed
from spikebridge.detect.again import MOST_CELLS, Heard
from spikebridge.detect.served import lines_of
from spikebridge.mapping.replay import replay
from spikebridge_detectors.errors import ModelError
from spikebridge_detectors.network import Network

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from spikebridge.detect.file import ModelFile
    from spikebridge.mapping.evidence import Raised
    from spikebridge.mapping.rules import Revision
    from spikebridge_detectors.lif import State

    Words = NDArray[np.uint32]


def raised(model: ModelFile, *, count: int, frames: int = 12, every: float = 4.0) -> tuple[Raised, Revision]:
    """Raise the last of the alerts that frames of raw spikes give."""
    made = revision(model, count=count)
    records = appended(*(raw(every * at, words=[[0x0001_0101]] * LINES) for at in range(frames)), every=every)
    return [one for one in engine(records, made).take(records).alerts if one.alert.rule.id == "five"][-1], made


def heard_of(found: Raised, made: Revision) -> Heard:
    """Replay with NumPy, and keep what the networks were given."""
    heard = Heard()
    assert replay(*found, made, heard.begin).verdict == "same"
    return heard


def late(network: Network, states: Sequence[State], words: Words) -> Words:
    """Answer as an engine would whose spikes are all a step late."""
    return network.run(states, words) << np.uint32(1)


def test_an_engine_that_answers_otherwise_is_found_out_with_the_alert_that_follows() -> None:
    """Its spikes are counted, and the alert is computed from them."""
    found, made = raised(small("cam", ("cam",), memory_s=20), count=9)
    heard = heard_of(found, made)
    same, other = heard.on(Network.run), heard.on(late)

    assert (same.differing, replay(*found, made, same.begin).verdict) == (0, "same")
    assert 0 < other.differing <= 2 * heard.spikes
    verdict = replay(*found, made, other.begin)
    assert verdict.verdict == "differs"
    assert "first_ns" in {text.partition(":")[0] for text in verdict.differences}


def test_networks_go_on_over_frames_that_end_within_words() -> None:
    """One that is given the frames of an interval each from zero fires otherwise, so the frames of each are put together."""
    found, made = raised(small("cam", ("cam",), version=2, memory_s=60), count=40, every=1.3)
    heard, networks = heard_of(found, made), []

    def counting(network: Network, states: Sequence[State], words: Words) -> Words:
        networks.append(len(words))
        return network.run(states, words)

    assert heard.on(counting).differing == 0
    assert networks == [1]
    assert len(found.alert.evidence.records) > 1


def test_a_run_that_is_run_twice_is_kept_once() -> None:
    """A replay that walks over more runs than it holds asks for them again."""
    [line] = lines_of(small("cam", ("cam",)))
    heard, words, steps = Heard(), np.full((1, LINES, 2), 0x0F0F_FFFF, np.uint32), np.array([40])
    first, second = (heard.begin("run")(line, line.network.zero(1), words, steps) for _ in range(2))
    spikes = int(np.bitwise_count(first).sum())

    assert (first == second).all()
    assert heard.spikes == spikes > 0
    assert (heard.on(Network.run).begin("run")(line, [], words, steps) == first).all()


def test_more_than_is_kept_is_not_run_elsewhere() -> None:
    """A bound before anything is put together: evidence comes from devices."""
    [line] = lines_of(small("cam", ("cam",)))
    networks = MOST_CELLS // (64 * 32 * 4) + 1
    words = np.zeros((networks, LINES, 64), np.uint32)
    heard = Heard()
    heard.begin("run")(line, line.network.zero(networks), words, np.full(networks, 64 * 32))

    with pytest.raises(ModelError, match="expected at most 33,554,432 steps of neurons, found more"):
        heard.on(Network.run)


def test_an_alert_has_a_verdict_of_each_engine() -> None:
    """NumPy's and the compiled one's, over the same spikes; one whose evidence differs has it from both."""
    found, made = raised(small("cam", ("cam",), memory_s=20), count=9)
    whole = replayed(*found, made, lava=False)

    assert whole.verdict == "same"
    assert [(one.engine, one.verdict, one.differing) for one in whole.engines] == [("NumPy", "same", 0), ("compiled", "same", 0)]
    assert whole.engines[0].spikes == whole.engines[1].spikes > 9

    other = replayed(*found, revision(small("cam", ("cam",), version=3), count=9), lava=False)
    assert other.verdict == "differs"
    assert {one.verdict for one in other.engines} == {"differs"}
    assert len(other.differences) == len(set(other.differences))


def test_an_alert_without_a_network_has_no_engines() -> None:
    """A sensor's own neurons under the same revision: the verdict is all there is."""
    made = revision(small("cam", ("cam",)))
    records = appended(msgspec.json.encode({"device_id": "cam-1", "neuron_id": 5, "neuron_layer": "out"}))
    [found] = engine(records, made).take(records).alerts

    assert replayed(*found, made, lava=True) == Replayed("same", [], [], ())
