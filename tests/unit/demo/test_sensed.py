"""The raw spikes of the demonstration: the same however they are cut, and told by the network alone."""

from __future__ import annotations

import numpy as np
import pytest

from spikebridge.demo.episodes import HOUR
from spikebridge.demo.sensed import KINDS, MODEL, Placed, heard
from spikebridge.limits import SECOND
from spikebridge_detectors.model.file import load
from spikebridge_detectors.model.keys import PINNED, Trust

SCAN = (Placed(3 * SECOND, "scan", 2 * SECOND),)


@pytest.mark.parametrize("device", KINDS)
def test_slots_join_to_what_is_heard_at_once(device: str) -> None:
    """Whatever their length, and again when the stretch comes again."""
    whole = heard(device, 0, 60 * SECOND, 60 * SECOND, SCAN)
    slots = [(slot * 7 * SECOND, heard(device, slot * 7 * SECOND, 7 * SECOND, 60 * SECOND, SCAN)) for slot in range(8)]

    assert np.array_equal(np.concatenate([slot.line for _, slot in slots]), whole.line[whole.after_ns < 56 * SECOND])
    joined = np.concatenate([slot.after_ns + begin for begin, slot in slots])
    assert np.array_equal(joined, whole.after_ns[whole.after_ns < 56 * SECOND])
    assert np.array_equal(heard(device, 120 * SECOND, 60 * SECOND, 60 * SECOND, SCAN).line, whole.line)


def test_an_attack_ends_where_it_is_said_to_end() -> None:
    """Before and behind it the device says what it always says."""
    quiet, attacked = (heard("hub-5", 0, 60 * SECOND, 0, attacks) for attacks in ((), SCAN))
    added = attacked.after_ns[~np.isin(attacked.after_ns, quiet.after_ns)]

    assert len(added) > 50
    assert added.min() >= 3 * SECOND
    assert added.max() < 5 * SECOND
    assert np.isin(quiet.after_ns, attacked.after_ns).all()


def test_a_device_speaks_for_hours() -> None:
    """None of those of the inventory falls silent in the recording of a night."""
    for device in KINDS:
        gaps = np.diff(heard(device, 0, 6 * HOUR, 0, ()).after_ns)
        assert gaps.max() < 600 * SECOND


def test_the_model_ships_and_serves_them() -> None:
    """By the classes that the inventory names."""
    model = load(MODEL.read_bytes(), Trust())

    assert model.signer == PINNED
    assert set(KINDS.values()) <= model.header.classes.keys()
