"""Attacks that are changed to escape: how they change, that the rest doesn't, and recall against amplitude."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from tests.unit.detectors.traffic import poller

from spikebridge_detectors.elapsed import SECOND_NS
from spikebridge_detectors.evaluate import adversarial, report
from spikebridge_detectors.evaluate.data import Capture, between
from spikebridge_detectors.evaluate.evasion import EVASIONS, WAVE, Evasion, jitter, sine, slower
from spikebridge_detectors.evaluate.inject import KINDS, inject
from spikebridge_detectors.evaluate.measure import Row
from spikebridge_detectors.timing.detector import Timing

if TYPE_CHECKING:
    from spikebridge_detectors.capture.columns import Packets

STEPS = np.arange(0.0, 3600.0, 30.0)
START_NS = 3600 * SECOND_NS
CASES = [(evasion, kind) for evasion in EVASIONS for kind in evasion.kinds]


def luck() -> np.random.Generator:
    """Return the same luck each time."""
    return np.random.default_rng(7)


def same(these: Packets, those: Packets) -> bool:
    """Say whether packets are the same, column by column."""
    return all(np.array_equal(these[column], those[column]) for column in range(len(these)))


def test_nothing_changed_is_the_attack_as_it_is() -> None:
    """At the first amplitude of each sweep."""
    for rhythm, none in ((sine, 0.0), (jitter, 0.0), (slower, 1.0)):
        assert rhythm(STEPS, none, luck()) == pytest.approx(STEPS)


def test_a_sine_lengthens_and_shortens_gaps_by_turns() -> None:
    """By the share of a gap that was said, again after so many steps; the attack ends when it did."""
    changed = sine(STEPS, 0.5, luck())
    gaps = np.diff(changed)
    assert (gaps.min(), gaps.max()) == pytest.approx((15, 45), rel=0.05)
    assert gaps[:-WAVE] == pytest.approx(gaps[WAVE:])
    assert (changed[0], changed[-1]) == pytest.approx((STEPS[0], STEPS[-1]))


def test_jitter_changes_each_gap_for_itself() -> None:
    """By that share at most; the attack ends when it did."""
    changed = jitter(STEPS, 1.0, luck())
    gaps = np.diff(changed)
    assert gaps.min() >= 0
    assert 10 < gaps.std() < 25
    assert (changed[0], changed[-1]) == pytest.approx((STEPS[0], STEPS[-1]))


def test_slower_does_less_in_the_same_time() -> None:
    """A step each eighth of what was; one is left at least."""
    assert slower(STEPS, 8.0, luck()).tolist() == np.arange(0.0, 3600.0, 240.0).tolist()
    assert slower(STEPS, 1e6, luck()).tolist() == [0.0]


def test_padding_is_of_the_devices_own_packets() -> None:
    """As many as a share of those that the attack sends, each as one that came before."""
    packets, padding = poller(hours=4), next(one for one in EVASIONS if one.name == "padding")
    plain, padded = (padding.made(packets, "scan", START_NS, share, [1]) for share in (0.0, 2.0))
    assert plain is not None
    assert padded is not None
    assert len(plain.time_ns) - len(packets.time_ns) == 120
    assert len(padded.time_ns) - len(plain.time_ns) == 240
    assert set(padded.length.tolist()) == set(plain.length.tolist())


@pytest.mark.parametrize(("evasion", "kind"), CASES, ids=lambda value: value if isinstance(value, str) else value.name)
def test_a_changed_attack_stays_in_its_time_and_is_the_same_each_time(evasion: Evasion, kind: str) -> None:
    """Packets before and after stay as they are, at every amplitude."""
    packets = poller(hours=4)
    end_ns = START_NS + (KINDS[kind] + 13) * SECOND_NS
    for amplitude in evasion.amplitudes:
        made, again = (evasion.made(packets, kind, START_NS, amplitude, [1]) for _ in range(2))
        assert made is not None
        assert again is not None
        assert same(made, again)
        assert (np.diff(made.time_ns) >= 0).all()
        for span in ((0, START_NS), (end_ns, 5 * START_NS)):
            assert same(between(made, *span), between(packets, *span))


def test_the_first_amplitude_is_the_attack_of_the_replicate() -> None:
    """Whatever is changed, the same attack is where it begins."""
    packets = poller(hours=4)
    for evasion, kind in CASES:
        made = evasion.made(packets, kind, START_NS, evasion.amplitudes[0], [3])
        plain = inject(packets, kind, START_NS, np.random.default_rng([3]))
        assert made is not None
        assert plain is not None
        assert np.abs(made.time_ns - plain.time_ns).max() <= 2


def test_recall_is_told_against_amplitude() -> None:
    """As JSON holds it and as a table, one for each change."""
    capture = Capture({"meter": poller(hours=130)}, [], 130 * 3600 * SECOND_NS)
    row = Row("timing", (Timing(),))
    row.learn(capture.devices)
    slow = Evasion("slow-down", "times as slow", ("scan",), (1.0, 64.0), slower)
    waved = Evasion("sine", "share of each gap", ("regular",), (0.5,), sine)
    found = [report.swept(swept) for swept in adversarial.swept(row, capture, (slow, waved), places=3)]
    assert [(at["amplitude"], at["found"], at["of"]) for at in found[0]["recall"]] == [(1.0, 3, 3), (64.0, 0, 3)]
    text = report.adversarial_text({"adversarial": found})
    assert text.startswith("| slow-down: times as slow | 1 | 64 | by chance |\n|---|---|---|---|\n| scan | 3/3 ")
    assert "\n| sine: share of each gap | 0.5 | by chance |\n" in text
