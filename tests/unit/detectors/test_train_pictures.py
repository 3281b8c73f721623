"""What the report draws: a day with attacks in it as the neurons saw it, and what was learned."""

from __future__ import annotations

from tests.unit.detectors.traffic import poller

from spikebridge_detectors.capture.columns import Packets
from spikebridge_detectors.elapsed import DAY_NS, SECOND_NS
from spikebridge_detectors.timing import learning
from spikebridge_detectors.timing.calibrate import Budget
from spikebridge_detectors.train import pictures, traffic


def test_a_day_is_drawn_with_its_attacks_and_the_paths_above_their_thresholds() -> None:
    """The scan that is drawn is one that the neurons told."""
    packets = poller(every=60, hours=100)
    what, clean = learning.learn(packets, Budget()), Packets._make(column[traffic.day_of(packets, 3)] for column in packets)
    day = pictures.attacked(clean, int(packets.time_ns[0]) + 3 * DAY_NS, 1)
    assert [span.label for span in day.spans] == [kind for kind, _ in pictures.SHOWN]
    scores, alarms = pictures.scores(what, day)
    scan = day.spans[0]
    since = [(alarm.time_ns - day.begins) / SECOND_NS for alarm in alarms]
    assert any(scan.start <= time <= scan.end + 10 for time in since)
    assert scores.count("<polyline") == 5
    assert "layer 2: spread" in pictures.raster(what, day, alarms)
    assert all("TCP 1883" in picture for picture in pictures.weights(what))
