"""The models that ship: made of seeds alone, pinned, small, and as good as their cards say."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from tests.unit.detectors.traffic import packets

from spikebridge_detectors.capture.columns import Transport
from spikebridge_detectors.capture.series import Samples
from spikebridge_detectors.elapsed import SECOND_NS
from spikebridge_detectors.encode import encoder
from spikebridge_detectors.encode.gaps import Gaps
from spikebridge_detectors.errors import ModelError
from spikebridge_detectors.model.container import joined, split
from spikebridge_detectors.model.file import load
from spikebridge_detectors.model.keys import PINNED, Trust
from spikebridge_detectors.shipped import make, measure, rhythm, timing
from spikebridge_detectors.shipped.pins import PINS, shipped
from spikebridge_detectors.timing.detector import Timing
from spikebridge_detectors.timing.model import learned_from
from spikebridge_detectors.traffic import series
from spikebridge_detectors.traffic.days import generated
from spikebridge_detectors.windows.encoder import encoder_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

MODEL = load(shipped("rhythm.spike"), Trust())


@pytest.mark.parametrize(
    "name", ["rhythm.spike", "power.spike", "vibration.spike", "rf.spike", pytest.param("timing.spike", marks=pytest.mark.long)]
)
def test_a_model_is_made_anew_to_the_byte(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """From seeds alone; what was changed without a new pin is said."""
    assert make.main([str(tmp_path), "--only", name]) == 0
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_bytes() == shipped(name)
    assert f'"{name}": "{PINS[name]}"' in capsys.readouterr().out


def test_timing_ships_for_the_edge() -> None:
    """It says what it is, and what was learned comes out of it whole: the service can't run it, `sense` can."""
    model = load(shipped("timing.spike"), Trust())

    assert (model.header.name, model.signer, model.header.runs_in_service) == ("timing", PINNED, False)
    assert set(model.header.classes) == {timing.KIND}
    assert learned_from(model).thresholds.silence == model.layers[3].vth
    packets_of = generated("lock", 1, 500)
    attack = rhythm.attack_at(packets_of, "burst", 500)
    told = [
        alarm for alarm in Timing().scan(attack, learned_from(model)) if rhythm.inside("burst", np.array([alarm.time_ns]), 10)[0]
    ]
    assert "burst" in {alarm.kind for alarm in told}


def test_what_ships_needs_no_key_and_nothing_else_goes_without() -> None:
    """One byte more in a header is another model."""
    assert MODEL.signer == PINNED
    assert len(shipped("rhythm.spike")) < 1 << 16
    envelope = split(shipped("rhythm.spike"))
    other = joined(envelope.header.replace(b'"version":1', b'"version":2'), envelope.arrays)
    with pytest.raises(ModelError, match="unsigned: expected a signature"):
        load(other, Trust())
    with pytest.raises(ModelError, match="unsigned: expected a signature"):
        load(shipped("rhythm.spike"), Trust(pins=frozenset()))


def test_every_file_that_ships_is_pinned_and_has_a_card() -> None:
    """And nothing is pinned that isn't there."""
    assert {path.name for path in make.HERE.glob("*.spike")} == PINS.keys() == make.FILES.keys()
    for name in PINS:
        assert (make.HERE / name).with_suffix(".md").is_file()


def test_the_service_can_run_rhythm() -> None:
    """It remembers five minutes at most, its encoder is what its header says, and its outputs are those of the shipped mappings."""
    assert MODEL.header.runs_in_service
    code = encoder(MODEL.header.encoder.name, MODEL.header.encoder.settings)
    assert code == rhythm.ENCODER
    assert MODEL.header.inputs == rhythm.ENCODER.names
    assert {output.name: output.neuron for output in MODEL.header.outputs} == {"burst": 42, "port_scan": 40, "beacon": 44}
    assert np.bitwise_count(MODEL.expected).sum(axis=1).min() >= 2


@pytest.mark.parametrize(
    ("kind", "attack", "told"), [("lock", "burst", "burst"), ("camera", "scan", "port_scan"), ("hub", "beacon", "beacon")]
)
def test_rhythm_finds_what_it_learned_on_devices_that_it_has_not_seen(kind: str, attack: str, told: str) -> None:
    """And raises nothing on the same day without the attack."""
    made = MODEL.layers[0]
    hit = measure.found(made, kind, attack, 400)

    assert hit is not None
    assert hit[0] == told
    assert hit[1] < (600 if attack == "beacon" else 5)
    assert set(measure.clean(made, kind, 400).false.values()) == {0}


def test_rhythm_misses_what_its_card_says() -> None:
    """A burst on a camera looks like its picture to it, and a silence has no packet to judge."""
    assert measure.found(MODEL.layers[0], "camera", "burst", 400) is None
    assert measure.found(MODEL.layers[0], "lock", "silence", 400) is None


@pytest.mark.long
@pytest.mark.parametrize("name", ["rhythm", "timing", "power", "vibration", "rf"])
def test_a_card_says_what_is_measured(name: str) -> None:
    """To the digit."""
    assert make.CARDS[name]() in (make.HERE / f"{name}.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "made", "wrong"),
    [
        ("power", partial(series.power, 3000), "mining"),
        ("vibration", partial(series.vibration, 6000), "smooth"),
        *(("rf", partial(series.rf, 30_000), wrong) for wrong in series.RF_WRONG[:-1]),
    ],
)
def test_windows_ship_for_the_edge(name: str, made: Callable[[int, str], NDArray[np.float64]], wrong: str) -> None:
    """What was learned comes out of the file whole, and tells what its card says that it tells."""
    model = load(shipped(f"{name}.spike"), Trust())
    assert (model.header.name, model.signer, model.header.runs_in_service) == (name, PINNED, False)
    told = []
    for values in (made(500, ""), made(500, wrong)):
        encoder = encoder_of(model)
        windows = (len(values) - encoder.length) // encoder.every + 1
        told.append(len(encoder.judge()(Samples(np.arange(len(values)), values, []))) / windows)
    assert told[0] < 0.15
    assert told[1] > 0.85


def test_a_gap_is_a_line_of_its_stream() -> None:
    """Sent and received apart; the first packet of a stream has the longest gap, and a clock that falls the shortest."""
    code = Gaps(low=0.1, high=10, count=4)
    some = packets(
        np.array([0, 1, 1.05, 0.5, 31]) * SECOND_NS,
        outgoing=[True, True, False, True, True],
        transport=[Transport.TCP, Transport.TCP, Transport.TCP, Transport.TCP, Transport.UDP],
        flags=[2, 2, 0x12, 2, 0],
    )

    assert [code.names[line] for line in code.line(some)] == ["out-open-3", "out-open-2", "in-open-3", "out-open-0", "out-udp-3"]
    assert (code.spikes(some).argmax(axis=1) == code.line(some)).all()
    assert (code.spikes(some).sum(axis=1) == 1).all()
    assert len(code.names) == code.lines == 40


@pytest.mark.parametrize("kind", ["hub", "lock"])
def test_gaps_are_the_same_in_pieces(kind: str) -> None:
    """However the packets are cut."""
    code = Gaps(low=0.002, high=200, count=12)
    whole = generated(kind, 1, 9)
    last_ns = np.full(10, -1)
    pieces: list[Any] = []
    for first in range(0, len(whole.time_ns), 777):
        piece = type(whole)._make(column[first : first + 777] for column in whole)
        pieces.append(code.line(piece, last_ns))

    assert np.array_equal(np.concatenate(pieces), code.line(whole))
