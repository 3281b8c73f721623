"""Keys of JSON events that nobody reads, such as `timestamp`: what a sender wrote and didn't say."""

from __future__ import annotations

import difflib
from collections import Counter
from typing import NamedTuple

import msgspec

from spikebridge.spikes.events import UNREADABLE, Event, decode_keys, pieces
from spikebridge.spikes.layout import MAX_FRAME_BYTES

KEPT = 10
"""So many keys are kept by name."""

LONGEST = 64
"""Letters that are kept of a key."""

SHORTEST = 3
"""A word of fewer letters stands in too many others."""

KNOWN = frozenset(Event.__struct_fields__)


class StrictEvent(Event, frozen=True, forbid_unknown_fields=True):
    """An event all of whose keys are read."""


_decode_event = msgspec.json.Decoder(StrictEvent).decode
_decode_array = msgspec.json.Decoder(list[StrictEvent]).decode


class UnreadKey(NamedTuple):
    """A key, in how many JSON objects it stands, and the one that may be meant, "" where none is near."""

    key: str
    objects: int
    meant: str


class Unread:
    """
    Counts objects with keys that are not read, over any number of records.

    `spikeless` of them hold no spike, having neither neuron nor count. `beyond` counts keys after the first ten.
    """

    def __init__(self) -> None:
        """Begin with none."""
        self.spikeless = self.beyond = 0
        self._objects: Counter[str] = Counter()
        self._absent: dict[str, frozenset[str]] = {}

    def look(self, value: bytes) -> None:
        """Take a record; frames, and what is no JSON, have no keys."""
        text = value.lstrip()
        if len(value) > MAX_FRAME_BYTES or text[:1] not in (b"{", b"["):
            return
        try:
            (_decode_event if text[:1] == b"{" else _decode_array)(text)
        except UNREADABLE:
            self._look_closely(value)

    def found(self) -> list[UnreadKey]:
        """Return the keys, the most frequent first."""
        return [UnreadKey(key, objects, _meant(key, self._absent[key])) for key, objects in self._objects.most_common()]

    def _look_closely(self, value: bytes) -> None:
        try:
            raws = [raw for _, _, raw in pieces(value)]
        except UNREADABLE:
            return
        for raw in raws:
            try:
                given = {key for key, text in decode_keys(raw).items() if bytes(text) != b"null"}
            except UNREADABLE:
                continue
            unread = sorted({key[:LONGEST] for key in given - KNOWN})
            self.spikeless += bool(unread) and not given & {"neuron_id", "spike_count"}
            for key in unread:
                self._count(key, KNOWN - given)

    def _count(self, key: str, absent: frozenset[str]) -> None:
        if key not in self._objects and len(self._objects) >= KEPT:
            self.beyond += 1
            return
        self._objects[key] += 1
        self._absent[key] = self._absent.get(key, KNOWN) & absent


def _meant(key: str, absent: frozenset[str]) -> str:
    """Return the one of the keys that no such object has which is part of this one, or has it as a part, or looks most like it."""
    word = _bare(key)
    options = {_bare(one): one for one in sorted(absent)}
    near = [bare for bare in options if len(word) >= SHORTEST and (word in bare or bare in word)]
    near = near or difflib.get_close_matches(word, options, n=1)
    return options[near[0]] if near else ""


def _bare(key: str) -> str:
    return key.lower().replace("_", "").replace("-", "")
