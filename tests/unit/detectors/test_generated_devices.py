"""Generated devices as they are measured: what is told, what strains them, and that a clock's step is one."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import numpy as np
import pytest
from tests.unit.detectors.traffic import poller

from spikebridge_detectors.capture.columns import Packets
from spikebridge_detectors.elapsed import DAY_NS, SECOND_NS
from spikebridge_detectors.evaluate import devices, measure
from spikebridge_detectors.evaluate.data import Capture
from spikebridge_detectors.evaluate.measure import LEARNED_NS, Row
from spikebridge_detectors.rules import Rules
from spikebridge_detectors.traffic.attacks import LASTS_S
from spikebridge_detectors.traffic.days import generated


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    """Return what is measured on one device."""
    said: list[str] = []
    measured = devices.measured(said.append, ("thermostat",), (1,))
    assert said == ["1 devices of the kind thermostat: timing and rules", "1 devices of the kind thermostat: rules"]
    return measured


def test_a_kind_is_measured_from_its_days_to_tables(found: dict[str, Any]) -> None:
    """Rules beside all that ships, each attack, each strain, and every number that is in the figures."""
    both, rules = found["generated"]
    assert both["attacks"]["found"] > rules["attacks"]["found"] > 0
    assert both["attacks"]["kinds"].keys() == LASTS_S.keys()
    assert both["clean"]["device_days"] == 3.0
    assert "strain" not in rules
    text = devices.text(found)
    assert f"| thermostat | timing and rules | {both['attacks']['found']}/{both['attacks']['of']} |" in text
    for kind in LASTS_S:
        assert f"| {kind} | {both['attacks']['kinds'][kind]['found']}/2 " in text
    lost, moved, clock = both["strain"]
    assert f"| {lost['what']} | {lost['attacks']['found']}/{lost['attacks']['of']}, {lost['clean']['per_day']:.2f} |" in text
    assert moved["what"] == "1 ms jitter"
    assert f"| {clock['what']} | {clock['clean']['per_day']:.2f} |" in text


@pytest.mark.parametrize("lost", [True, False])
def test_loss_and_jitter_that_are_learned_are_no_alarms(found: dict[str, Any], lost: bool) -> None:
    """Only those that begin after the days of learning are: a network that got worse is told."""
    capture = Capture({"thermostat-1": generated("thermostat", devices.DAYS, 1, 0)}, [], devices.DAYS * DAY_NS)
    always = measure.strained(capture, lost=lost, since_ns=0)
    row = devices.rows()[0]
    row.learn(always.devices)
    later = found["generated"][0]["strain"][0 if lost else 1]["clean"]["alarms"]
    assert measure.clean(row, always).all.alarms < later / 3


def test_more_than_two_false_alarms_a_day_of_one_device_are_said(found: dict[str, Any]) -> None:
    """However few all devices have together."""
    found = deepcopy(found)
    found["generated"][0]["clean"]["devices"]["thermostat-1"]["per_day"] = 2.33
    assert "| 2.33, **above 2** |" in devices.text(found)


def test_a_clock_steps_an_hour_forwards_and_back() -> None:
    """Nothing else moves, and the days of learning stay."""
    packets = poller(hours=8 * 24, every=600)
    moved_s = (devices.stepped(packets).time_ns - packets.time_ns) // SECOND_NS
    day = packets.time_ns / DAY_NS
    assert set(moved_s[day < 5.49]) == set(moved_s[day > 7.51]) == {0}
    assert set(moved_s[(day > 5.51) & (day < 7.49)]) == {3600}


@pytest.mark.parametrize("places", [1, 3])
def test_each_attack_is_tried_at_each_place_that_has_packets_for_it(places: int) -> None:
    """A device that is silent from day five on has none to be silenced, reordered or put at even distances."""
    packets = poller(hours=6 * 24, every=600)
    quiet = Packets._make(column[packets.time_ns < LEARNED_NS - 7200 * SECOND_NS] for column in packets)
    row = Row("rules", (Rules(("rate",)),))
    row.learn({"talks": packets, "stops": quiet})
    found = devices.tried(row, Capture({"talks": packets, "stops": quiet}, [], 6 * DAY_NS), places)
    kinds = {name: {trial.kind for trial in found.trials if trial.device == name} for name in ("talks", "stops")}
    assert kinds["talks"] == LASTS_S.keys()
    assert not kinds["stops"] & {"burst", "silence", "regular", "shuffle"}
    assert sum(trial.device == "talks" for trial in found.trials) == places * len(LASTS_S)
    assert all(np.isfinite(trial.seconds) for trial in found.trials if trial.seconds is not None)
