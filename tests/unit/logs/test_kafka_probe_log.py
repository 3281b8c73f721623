"""What `doctor` makes of what it found in a Kafka log, as values."""

from __future__ import annotations

from collections import Counter

import pytest
from tests.reference.plant import REVISIONS, Plant
from tests.reference.simulation import rule

from spikebridge.kafka.client import Partition
from spikebridge.limits import SECOND
from spikebridge.logs.kafka.probe_log import revision, scattered, skew
from spikebridge.mapping.rules import RuleSet

NOW = 1_795_262_400 * SECOND


def test_a_device_in_one_partition_is_no_finding() -> None:
    """However often it was seen there."""
    keys = {Partition("spikes", 0): Counter({b"cam": 1_000}), Partition("spikes", 1): Counter({b"lamp": 1})}
    assert scattered(keys) == {}


def test_a_device_in_two_partitions_is_found_the_busiest_first() -> None:
    """Over topics too: windows and alert ids belong to the partition."""
    keys = {
        Partition("spikes", 0): Counter({b"cam": 3, b"lamp": 9, b"door": 1}),
        Partition("spikes", 1): Counter({b"cam": 4}),
        Partition("more", 0): Counter({b"lamp": 1}),
    }
    assert list(scattered(keys).items()) == [
        (b"lamp", {Partition("spikes", 0): 9, Partition("more", 0): 1}),
        (b"cam", {Partition("spikes", 0): 3, Partition("spikes", 1): 4}),
    ]


@pytest.mark.parametrize(
    ("append_s", "level", "told"),
    [
        (0.0, "ok", "agrees with ours"),
        (1.0, "ok", "agrees with ours"),
        (59.0, "ok", "57s 500ms ahead of ours"),
        (-59.0, "ok", "behind ours"),
        (62.0, "warn", "1m ahead of ours"),
        (-86_400.0, "warn", "23h 59m 59s behind ours"),
    ],
)
def test_a_brokers_clock_is_compared_with_ours(append_s: float, level: str, told: str) -> None:
    """It stamped the record between our two looks at the clock, in milliseconds; more than a minute off is a warning."""
    check = skew(NOW + int(append_s * SECOND), NOW, NOW + int(1.5 * SECOND))
    assert (check.level, told in check.detail) == (level, True), check


def test_a_revision_that_was_never_published_is_a_finding_with_its_mend() -> None:
    """And so is one that can't be read: `run` would wait for ever."""
    plant = Plant()
    (check,) = revision(plant.kafka.client(), REVISIONS)
    assert (check.level, check.advice) == ("FAIL", "spikebridge publish")
    assert "topic revisions: none was published: `run` waits for one" in check.detail

    (number,) = plant.publish(RuleSet(rules=[rule("one", (5, 5))]))
    (check,) = revision(plant.kafka.client(), REVISIONS)
    assert (check.level, check.detail) == ("ok", f"{number} is the newest in revisions: 1 rule, 0 incident rules, 0 devices")

    number = plant.revisions().publish(b"{}")
    (check,) = revision(plant.kafka.client(), REVISIONS)
    assert (check.level, f"revision {number}: expected a revision's content, found 2 bytes that are none: " in check.detail) == (
        "FAIL",
        True,
    ), check

    plant.kafka.partition(REVISIONS).remove(number - 1)
    (check,) = revision(plant.kafka.client(), REVISIONS)
    assert (check.level, f"pieces of revision {number} are missing" in check.detail) == ("FAIL", True), check
