"""What the alert topic never takes, too large for it: kept for every sink instead."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from spikebridge import metrics as numbers
from spikebridge.kafka.client import Outgoing
from spikebridge.logs.kafka import sealed

if TYPE_CHECKING:
    from spikebridge.alerts import AlertEntry
    from spikebridge.app.logs import Runtime
    from spikebridge.kafka.client import Producer

MAX_LETTER_BYTES = 1_000_000
"""More of what is refused isn't repeated, so that it fits where a record itself did; the header `size` tells."""
MAX_REASON = 1_000

_log = logging.getLogger(__name__)


class Unappended:
    """
    Keeps an alert or incident before the position moves past it.

    The dead-letter topic has it for every instance, the store once for each sink: after `deadletters retry` a sink's stage
    over this same store delivers it, past the alert topic.
    """

    def __init__(self, runtime: Runtime, topic: str, producer: Producer) -> None:
        """Append with the producer of the stage's own thread."""
        self._runtime = runtime
        self._topic = topic
        self._producer = producer

    def keep(self, entry: AlertEntry, reason: str) -> None:
        """Have the topic acknowledge it, then the store, and say so; what is more than a letter holds is cut in the topic."""
        raw = sealed.seal(entry)
        origin = {"kind": entry.kind, "id": entry.id, "reason": reason[:MAX_REASON], "size": str(len(raw))}
        headers = tuple((name, text.encode()) for name, text in origin.items())
        self._producer.append([Outgoing(self._topic, entry.id.encode(), raw[:MAX_LETTER_BYTES], headers=headers)])
        for sink in self._runtime.config.sinks:
            self._runtime.letters.keep(sink, [(entry, reason)])
        self._runtime.metrics.inc(numbers.UNAPPENDED)
        _log.error(
            "%s; %s %s is a dead letter of every sink now, in the store of %s: raise max.message.bytes for those to come; "
            "deliver this one with `spikebridge deadletters retry` and the stages deliver:NAME over that store",
            *(reason, entry.kind, entry.id, self._runtime.config.data),
        )
