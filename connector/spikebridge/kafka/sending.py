"""What both clients' producers do with records that are too large: found before anything is sent, or by sending each alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spikebridge.errors import LogTooLarge
from spikebridge.kafka.client import MAX_RECORD_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from spikebridge.kafka.client import Outgoing


def check_sizes(where: str, messages: Sequence[Outgoing]) -> None:
    """Refuse a message that is too large for every topic."""
    for at, message in enumerate(messages):
        if message.size > MAX_RECORD_BYTES:
            text = f"topic {message.topic}: a record of {len(message.value):,} bytes, at most about 1 MiB is sent"
            raise LogTooLarge(f"{where}: {text}", at=at)


def one_by_one(
    messages: Sequence[Outgoing],
    appended: Mapping[int, int],
    send: Callable[[Sequence[Outgoing]], list[int]],
    close: Callable[[], None],
) -> list[int]:
    """
    Append each that isn't in the log yet in a batch of its own, so that only what is too large itself is refused; return all offsets.

    Fault: brokers refuse a batch that is larger than the topic's limit, however small its records, and all of them with it.
    """
    found = dict(appended)
    for number, message in enumerate(messages):
        if number in found:
            continue
        try:
            (found[number],) = send([message])
        except LogTooLarge as error:
            close()
            raise LogTooLarge(str(error), at=number, appended=found) from error
        except BaseException:
            close()
            raise
    return [found[number] for number in range(len(messages))]
