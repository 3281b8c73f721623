"""Appending, in order and with nothing unknown in between."""

# ruff: noqa: SLF001  the library's own error codes begin with an underscore

from __future__ import annotations

import time
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka import Producer as LibraryProducer

from spikebridge.errors import LogTooLarge
from spikebridge.kafka.client import CALL_S, MAX_RECORD_BYTES
from spikebridge.kafka.confluent.reach import REQUEST_S, Heard, milliseconds
from spikebridge.kafka.sending import check_sizes, one_by_one

if TYPE_CHECKING:
    from collections.abc import Sequence

    from confluent_kafka import Message

    from spikebridge.kafka.client import Outgoing
    from spikebridge.kafka.confluent.reach import Reach

_BATCH_BYTES = 512 << 10
_BATCH_RECORDS = 10_000
_SLICE_S = 0.5
_SETTLE_S = 3.0
_NEVER = 0
_GIVEN_UP = frozenset((KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT, KafkaError._FATAL))
_SETTINGS = {
    "acks": "all",
    "enable.idempotence": True,
    "max.in.flight.requests.per.connection": 1,
    # Fault: when the first of two batches is refused, the library numbers the second anew and sends it on, unless it is told not to;
    # and when the first expires, it does so in any case. A later alert would be in the log and an earlier one not. So nothing
    # expires by itself: what isn't done in time is given up as a whole.
    "enable.gapless.guarantee": True,
    "message.timeout.ms": _NEVER,
    "request.timeout.ms": milliseconds(REQUEST_S / 2),
    "linger.ms": 0,
    "partitioner": "murmur2_random",
    "compression.type": "none",
    "message.max.bytes": 2 * MAX_RECORD_BYTES,
    "batch.size": _BATCH_BYTES,
    "batch.num.messages": _BATCH_RECORDS,
    "allow.auto.create.topics": False,
}


class _Answers:
    """Which offsets came back for one append, and the first thing that went wrong; `fatal` is what ended the producer."""

    def __init__(self, count: int) -> None:
        self.offsets = [-1] * count
        self.left = count
        self.failed: tuple[int, KafkaError] | None = None
        self.fatal: KafkaError | None = None

    def take(self, number: int, error: KafkaError | None, message: Message) -> None:
        self.left -= 1
        if error is None:
            self.offsets[number] = message.offset()  # type: ignore[assignment]
        elif self.failed is None:
            self.failed = number, error


class ConfluentProducer:
    """An idempotent producer, acks=all, that never sends a batch while one before it is in doubt."""

    def __init__(self, reach: Reach) -> None:
        """Connect with the first append."""
        self._reach, self._heard = reach, Heard()
        self._producer: LibraryProducer | None = None

    def append(self, messages: Sequence[Outgoing]) -> list[int]:
        """Append all, those of one partition in this order, and return their offsets."""
        check_sizes(self._reach.where, messages)
        if not messages:
            return []
        try:
            return self._appended(messages)
        except LogTooLarge as error:
            self.close()
            if len(messages) == 1:
                raise
            appended = error.appended
        except BaseException:
            self.close()  # what it still holds must not be sent after what is appended anew
            raise
        return one_by_one(messages, appended, self._appended, self.close)

    def _appended(self, messages: Sequence[Outgoing]) -> list[int]:
        what = f"appending to {', '.join(sorted({message.topic for message in messages}))}"
        answers = _Answers(len(messages))
        with self._reach.told(what, self._heard):
            producer = self._producer = self._producer or self._connected(what)
            end = time.monotonic() + CALL_S
            for number, message in enumerate(messages):
                _send(producer, message, number, answers, end)
            while answers.left and not answers.failed and time.monotonic() < end:
                _serve(producer, answers)
        if answers.failed:
            number, error = answers.failed
            if error.code() in _GIVEN_UP and answers.fatal is not None:
                raise self._reach.log_error(what, answers.fatal, self._heard)
            refusal = self._reach.log_error(f"{what}: record {number + 1} of {len(messages)}", error, self._heard)
            if isinstance(refusal, LogTooLarge):
                _settle(producer, answers)
                refusal.appended = {number: offset for number, offset in enumerate(answers.offsets) if offset >= 0}
            raise refusal
        if answers.left:
            raise self._reach.log_error(what, KafkaError(KafkaError._TIMED_OUT), self._heard)
        return answers.offsets

    def _connected(self, what: str) -> LibraryProducer:
        self._reach.check(what)
        self._heard = Heard()
        return LibraryProducer(self._reach.settings(self._heard, _SETTINGS))

    def close(self) -> None:
        """Let go; twice does nothing, and nothing is raised."""
        producer, self._producer = self._producer, None
        if producer is not None:
            with suppress(KafkaException):
                # Not flushed: what is left was given up.
                producer.purge(in_queue=True, in_flight=True, blocking=False)
                producer.poll(0)


def _send(producer: LibraryProducer, message: Outgoing, number: int, answers: _Answers, end: float) -> None:
    while True:
        try:
            producer.produce(
                message.topic,
                message.value,
                message.key,
                -1 if message.partition is None else message.partition,
                on_delivery=partial(answers.take, number),
                headers=list(message.headers),
            )
        except BufferError:
            if time.monotonic() > end:
                raise KafkaException(KafkaError(KafkaError._TIMED_OUT)) from None
            _serve(producer, answers)
        else:
            return


def _settle(producer: LibraryProducer, answers: _Answers) -> None:
    """Hear what became of the batches that were on their way, to other partitions."""
    end = time.monotonic() + _SETTLE_S
    with suppress(KafkaException):
        while answers.left and time.monotonic() < end:
            _serve(producer, answers)


def _serve(producer: LibraryProducer, answers: _Answers) -> None:
    """
    Let answers come in for a moment.

    Fault: what ends a producer for good is raised here, before the answer that names the record and the reason.
    """
    try:
        producer.poll(_SLICE_S)
    except KafkaException as error:
        if not error.args[0].fatal():
            raise
        answers.fatal = error.args[0]
