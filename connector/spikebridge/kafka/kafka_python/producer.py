"""Appending, in order and with nothing unknown in between."""

# ruff: noqa: SLF001  what the library does wrong inside can be answered only there

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from kafka import KafkaProducer, errors

from spikebridge.errors import LogTooLarge, LogUnavailable
from spikebridge.kafka.client import CALL_S, MAX_RECORD_BYTES
from spikebridge.kafka.kafka_python.reach import REQUEST_S, milliseconds
from spikebridge.kafka.sending import check_sizes, one_by_one

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from spikebridge.kafka.client import Outgoing
    from spikebridge.kafka.kafka_python.reach import Reach

_SLICE_BYTES = 512 << 10
_NEVER_S = 3_600.0
_CLOSE_S = 2.0


class KafkaPythonProducer:
    """
    An idempotent producer, acks=all, that never has two batches of one partition on their way.

    Fault: when the first of two batches expires or is refused, the library numbers the second anew and sends it on: a later alert would
    be in the log and an earlier one not. So batches wait for `flush` (no time is long enough to linger), and hold one slice each.
    """

    def __init__(self, reach: Reach) -> None:
        """Connect with the first append."""
        self._reach = reach
        self._producer: Any = None

    def append(self, messages: Sequence[Outgoing]) -> list[int]:
        """Append all, those of one partition in this order, and return their offsets."""
        check_sizes(self._reach.where, messages)
        offsets: list[int] = []
        for some in _slices(messages):
            try:
                offsets += self._sent(some)
            except LogTooLarge as error:
                self.close()
                before = len(offsets)
                appended = dict(enumerate(offsets)) | {before + number: offset for number, offset in error.appended.items()}
                offsets = one_by_one(messages[: before + len(some)], appended, self._sent, self.close)
            except BaseException:
                self.close()  # what it still holds must not be sent after what is appended anew
                raise
        return offsets

    def _sent(self, messages: Sequence[Outgoing]) -> list[int]:
        what = f"appending to {', '.join(sorted({message.topic for message in messages}))}"
        futures: list[Any] = []
        try:
            with self._reach.told(what):
                if self._producer is None:
                    self._producer = self._connected(what)
                futures += map(self._send, messages)
                with suppress(errors.KafkaTimeoutError):  # the futures tell more
                    self._producer.flush(timeout=CALL_S)
                offsets = [future.get(timeout=0).offset for future in futures]
        except LogTooLarge as error:
            # Each partition has a batch of its own.
            taken = {number: future.value.offset for number, future in enumerate(futures) if future.succeeded()}
            error.appended = {number: offset for number, offset in taken.items() if offset >= 0}
            raise
        if min(offsets) < 0:
            raise LogUnavailable(f"{self._reach.where}: {what}: appended twice, and the offset isn't known any more")
        return offsets

    def _send(self, message: Outgoing) -> Any:
        headers = list(message.headers)
        began_ms = time.monotonic() * 1000
        try:
            return self._producer.send(message.topic, message.value, message.key, headers, message.partition)
        except errors.KafkaTimeoutError:
            # Fault: for a topic that isn't there it waits, and then says only that it waited.
            if self._producer._metadata._last_successful_refresh_ms < began_ms:
                raise
            raise errors.UnknownTopicOrPartitionError from None
        except ValueError as error:
            raise errors.UnknownTopicOrPartitionError(str(error)) from None

    def _connected(self, what: str) -> Any:
        self._reach.check(what)
        producer = KafkaProducer(
            **self._reach.settings,
            acks="all",
            enable_idempotence=True,
            max_in_flight_requests_per_connection=1,
            max_request_size=2 * MAX_RECORD_BYTES,
            batch_size=_SLICE_BYTES + MAX_RECORD_BYTES,
            linger_ms=milliseconds(_NEVER_S),
            delivery_timeout_ms=2
            * milliseconds(_NEVER_S),  # a batch must not expire by itself: what isn't done in time is given up as a whole
            max_block_ms=milliseconds(REQUEST_S),
            allow_auto_create_topics=False,
            metrics_enabled=False,
        )
        # Fault: a batch that is too large for its topic is sent again in two halves, of which the second may be taken and the first not;
        # and `flush` returns before.
        producer._sender._can_split = lambda _batch, _error: False
        return producer

    def close(self) -> None:
        """Let go; twice does nothing, and nothing is raised."""
        producer, self._producer = self._producer, None
        if producer is None:
            return
        # Fault: `close` raises while batches are pending, and then its thread goes on sending them.
        producer._sender.force_close()
        producer._sender.join(_CLOSE_S)
        with suppress(errors.KafkaError):
            producer.close(timeout=_CLOSE_S)


def _slices(messages: Sequence[Outgoing]) -> Iterator[list[Outgoing]]:
    """Cut where a slice would become too large for one batch; one message alone always fits."""
    some: list[Outgoing] = []
    size = 0
    for message in messages:
        if some and size + message.size > _SLICE_BYTES:
            yield some
            some, size = [], 0
        some.append(message)
        size += message.size
    if some:
        yield some
