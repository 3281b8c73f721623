"""An alarm in words: baselines from learned weights, kinds of packets, durations, and what filled the counter."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.detectors.traffic import packets, poller

from spikebridge_detectors.capture.columns import Packets
from spikebridge_detectors.capture.kinds import codes
from spikebridge_detectors.elapsed import SECOND_NS
from spikebridge_detectors.evaluate.inject import inject
from spikebridge_detectors.timing.detector import Running, Timing
from spikebridge_detectors.timing.marks import BINS, GAP_EDGES, OWN_EDGES
from spikebridge_detectors.timing.picture import picture
from spikebridge_detectors.timing.told import baseline, described, duration, kind_of, mark_of, sentence, told
from spikebridge_detectors.timing.trace import traced

if TYPE_CHECKING:
    from numpy.typing import NDArray

HOUR_NS = 3600 * SECOND_NS


@given(number=st.integers(2, BINS - 3), off=st.floats(0, 1))
def test_a_gap_inside_the_one_usual_bin_is_less_than_two_sigma_off(number: int, off: float) -> None:
    """The deviation of one bin is its width over the root of twelve: its edges are 1.73 of those away."""
    weights = np.zeros(BINS, np.int64)
    weights[number - 1 : number + 2] = 254
    low, high = float(GAP_EDGES[number - 1]), float(GAP_EDGES[number])
    found = baseline(weights, GAP_EDGES, round(low * (high / low) ** off))
    assert found is not None
    assert found.sigma <= 1.74
    assert low <= found.low_ns <= found.usual_ns <= found.high_ns <= high
    assert found.usual_ns == pytest.approx((low * high) ** 0.5, rel=0.02)


def test_what_is_usual_may_lie_beyond_the_last_bin() -> None:
    """A gap longer than all bins strengthens the one before the last too, which doesn't make that the usual one."""
    weights = np.zeros(BINS, np.int64)
    weights[-2:] = 254
    found = baseline(weights, GAP_EDGES, 10**7)
    assert found is not None
    assert found.usual == "over 2 s"
    assert found.sigma > 10


def test_the_further_off_the_more_sigma() -> None:
    """10 ms where a minute is usual is many deviations off, and so is nothing at all."""
    weights = np.zeros(BINS, np.int64)
    weights[6:10] = 100, 200, 200, 90
    sigmas = [baseline(weights, OWN_EDGES, gap).sigma for gap in (150 * SECOND_NS, 10 * SECOND_NS, SECOND_NS, 10**7, 0)]  # type: ignore[union-attr]
    assert sigmas == sorted(sigmas)
    assert sigmas[3] > 10
    assert baseline(np.zeros(BINS, np.int64), OWN_EDGES, 5) is None


@pytest.mark.parametrize(
    ("columns", "text"),
    [
        ({}, "outgoing TCP 1883, 64-95 bytes"),
        ({"outgoing": False, "length": 1500, "flags": 2}, "incoming TCP 1883, 1280 bytes or more, opening"),
        ({"transport": 2, "target_port": 40_000, "length": 10}, "outgoing UDP, 0-63 bytes"),
        ({"flags": 1}, "outgoing TCP 1883, 64-95 bytes, closing"),
    ],
)
def test_a_kind_of_packet_in_words(columns: dict[str, int], text: str) -> None:
    """Direction, protocol, service, length and what it does to a connection."""
    assert kind_of(int(codes(packets([0], **columns))[0])) == text


def test_other_marks_in_words() -> None:
    """Those that are the same for every device, and none."""
    common = np.zeros(0, np.int64)
    assert mark_of(common, -1) == ""
    assert mark_of(common, 6) == "other incoming TCP that opens a connection"
    assert mark_of(common, 15) == "other outgoing of another protocol"


def test_durations_are_short() -> None:
    """Two digits that count, in the unit that suits them."""
    found = [duration(value) for value in (1500, 2e6, 96e6, 1e9, 6e10, 1.8e11, 7.2e12, 2e14)]
    assert found == ["1.5 us", "2 ms", "96 ms", "1 s", "60 s", "3 min", "2 h", "2.3 days"]


def test_an_alarm_names_what_filled_its_counter_since_it_fired_last() -> None:
    """The oddest first; a beacon of the device's own kind of packet is off by its gap."""
    learned = Timing().learn(poller(hours=72))
    calm, quick = poller(hours=2, seed=2), poller(hours=1, every=1, seed=4)
    quick = quick._replace(time_ns=quick.time_ns + 2 * HOUR_NS)
    columns: list[tuple[NDArray[Any], NDArray[Any]]] = list(zip(calm, quick, strict=True))
    found = Packets._make(np.concatenate(pair) for pair in columns)
    trace = traced(learned, Running(), found)
    said = told(trace, trace.alarms[0])
    assert said.alarm.time_ns > 2 * HOUR_NS
    assert said.held > said.threshold
    assert [one.time_ns for one in said.surprises] == sorted((one.time_ns for one in said.surprises), reverse=True)
    assert 2 * said.threshold > sum(one.counted for one in said.surprises) >= said.threshold
    assert "against a learned" in sentence(said, "lamp")
    assert max(one.sigma for one in said.surprises) > 3


def test_a_silence_tells_seconds() -> None:
    """How long it was, and how long it may be."""
    learned, found = Timing().learn(poller(hours=72)), poller(hours=1, seed=2)
    trace = traced(learned, Running(), found, int(found.time_ns[-1]) + 3000 * SECOND_NS)
    said = told(trace, trace.alarms[-1])
    assert said.alarm.kind == "silence"
    most = learned.thresholds.silence
    assert sentence(said, "lamp") == f"lamp was silent for {most + 2} s, where {most} s are the most that was learned"
    assert "2: silence" in picture(trace, said, "lamp")


def test_each_surprise_and_the_picture_name_the_device_safely() -> None:
    """Names come from attackers; the picture shows lines, both layers and no more rows than there are."""
    learned = Timing().learn(poller(hours=72))
    found = inject(poller(hours=3, seed=2), "scan", HOUR_NS, np.random.default_rng(3))
    assert found is not None
    trace = traced(learned, Running(), found)
    said, later = [told(trace, one) for one in trace.alarms if one.kind == "spread"][:2]
    assert len(said.surprises) < 10
    assert later.surprises[-1].time_ns > said.surprises[0].time_ns
    assert said.surprises[0].packet == "other outgoing TCP that opens a connection"
    assert "a pair that wasn't learned" in described(said.surprises[0])
    svg = picture(trace, said, "<script>")
    assert "<script>" not in svg
    for row in ("1: odd gap", "2: relay", "2: spread", "own gap 14 s to 44 s", "outgoing TCP 1883, 64-95 bytes after"):
        assert row in svg
