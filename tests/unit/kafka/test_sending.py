"""What is too large is found, named over the whole call, and its neighbours are sent once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from spikebridge.errors import LogTooLarge, LogUnavailable
from spikebridge.kafka.client import MAX_RECORD_BYTES, Outgoing
from spikebridge.kafka.sending import check_sizes, one_by_one

if TYPE_CHECKING:
    from collections.abc import Sequence

MESSAGES = [Outgoing("topic", None, b"%d" % number) for number in range(6)]


class _Topic:
    """Takes messages one at a time; `large` is refused by size, `away` by an error of another kind."""

    def __init__(self, large: bytes = b"", away: bytes = b"") -> None:
        self.sent: list[bytes] = []
        self.closed = 0
        self._large, self._away = large, away

    def send(self, messages: Sequence[Outgoing]) -> list[int]:
        (message,) = messages
        if message.value == self._large:
            raise LogTooLarge("topic: too large")
        if message.value == self._away:
            raise LogUnavailable("topic: no answer")
        self.sent.append(message.value)
        return [100 + len(self.sent)]

    def close(self) -> None:
        self.closed += 1


def test_a_message_too_large_for_every_topic_is_named_before_anything_is_sent() -> None:
    """Its place in the call, and nothing of it is said to be in the log."""
    check_sizes("kafka here", MESSAGES)
    with pytest.raises(LogTooLarge, match="kafka here: topic topic: a record of ") as told:
        check_sizes("kafka here", [*MESSAGES, Outgoing("topic", None, b"x" * MAX_RECORD_BYTES)])
    assert (told.value.at, told.value.appended) == (6, {})


def test_what_is_in_the_log_already_is_not_sent_again() -> None:
    """All offsets come back in the order of the call."""
    topic = _Topic()
    assert one_by_one(MESSAGES, {0: 7, 1: 8, 4: 9}, topic.send, topic.close) == [7, 8, 101, 102, 9, 103]
    assert topic.sent == [b"2", b"3", b"5"]
    assert topic.closed == 0


def test_the_one_that_is_too_large_is_named_with_all_that_is_in_the_log() -> None:
    """What was there before counts, also behind it; the producer is let go."""
    topic = _Topic(large=b"3")
    with pytest.raises(LogTooLarge) as told:
        one_by_one(MESSAGES, {0: 7, 4: 9}, topic.send, topic.close)
    assert (told.value.at, told.value.appended) == (3, {0: 7, 1: 101, 2: 102, 4: 9})
    assert topic.closed == 1


def test_any_other_error_lets_the_producer_go_and_is_raised_as_it_is() -> None:
    """Nothing is known of any of them then."""
    topic = _Topic(away=b"2")
    with pytest.raises(LogUnavailable):
        one_by_one(MESSAGES, {}, topic.send, topic.close)
    assert topic.closed == 1
