"""Dead letters of sinks, in the embedded store."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from spikebridge.alerts import AlertEntry
from spikebridge.canonical import content_id
from spikebridge.store import DeadLetter

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from spikebridge.store import Store

_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(AlertEntry).decode


class StoredLetters:
    """What `delivery.DeadLetters` asks, answered by a store. A letter's `raw` is the packed entry, evidence included."""

    def __init__(self, store: Store, clock: Callable[[], int]) -> None:
        """Use an open store; `clock` is the wall clock in ns."""
        self._store = store
        self._clock = clock

    def keep(self, sink: str, refused: Sequence[tuple[AlertEntry, str]]) -> None:
        """Bury them."""
        now_ns = self._clock()
        self._store.bury(
            [DeadLetter(letter_id(sink, entry), "sink", sink, reason, _pack(entry), now_ns) for entry, reason in refused]
        )

    def wanted(self, sink: str) -> list[AlertEntry]:
        """Return those that `spikebridge deadletters retry` has marked, oldest first."""
        return [_unpack(letter.raw) for letter in self._store.wanted(sink)]

    def delivered(self, sink: str, entry: AlertEntry) -> None:
        """Drop the letter."""
        self._store.drop([letter_id(sink, entry)])


def letter_id(sink: str, entry: AlertEntry) -> str:
    """Name the letter after what it holds, so that keeping it twice changes nothing."""
    return content_id("dead letter", sink, entry.id, entry.version)
