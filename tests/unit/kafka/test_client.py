"""What both clients say in the same words."""

from __future__ import annotations

import pytest

from spikebridge.errors import LogDenied
from spikebridge.kafka.client import check_settings_readable


def test_every_topic_whose_settings_may_not_be_read_is_named_with_the_right_that_it_takes() -> None:
    """Sorted, and without those that may be read."""
    rights = {"b": frozenset({"Read"}), "c": frozenset({"Read", "DescribeConfigs"}), "a": frozenset({"Write", "Describe"})}
    with pytest.raises(
        LogDenied, match=r"^kafka here:9092: topic a, b: no right to read its settings: expected DescribeConfigs; "
    ):
        check_settings_readable("kafka here:9092", rights)


def test_a_broker_that_tells_no_rights_is_asked_for_the_settings() -> None:
    """Brokers before 2.3 don't; whoever sees a topic has at least one right."""
    check_settings_readable("kafka here:9092", {"a": frozenset(), "b": frozenset({"DescribeConfigs"})})
