"""The revisions topic: contents in pieces by digest, then a record that names them; its offset is the revision's number."""

from __future__ import annotations

import logging
import time
import uuid
from collections import OrderedDict
from typing import TYPE_CHECKING

import msgspec

from spikebridge.canonical import sha256
from spikebridge.errors import LogRefused, LogUnavailable, RevisionError
from spikebridge.kafka.client import Outgoing, Partition
from spikebridge.mapping.rules import read_revision

if TYPE_CHECKING:
    from collections.abc import Callable

    from spikebridge.kafka.client import Fetched, Producer, Reader
    from spikebridge.mapping.rules import Revision
    from spikebridge.spikes.record import Record

PIECE_BYTES = 512 << 10
MAX_PIECES = 128
FETCH_S = 10.0
SLICE_S = 0.1
LOOK_EVERY_S = 0.1
HELD = 4
"""So many contents are kept at hand; others are read from the topic when asked for."""

_REVISION = b"revision:"
_PIECE = b"piece:"
_PLACES = {str(at): at for at in range(MAX_PIECES)}


class _Revision(msgspec.Struct):
    digest: str
    pieces: int


_log = logging.getLogger(__name__)

_read = msgspec.json.Decoder(_Revision).decode


class RevisionsTopic:
    """
    Follows the topic for one thread.

    Every key is used once, so compaction takes nothing away: a number stays what it was.
    """

    def __init__(
        self, topic: str, reader: Reader, producer: Producer | None, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        """Read nothing before the first question; without a producer nothing can be published."""
        self._monotonic = monotonic
        self._partition = Partition(topic, 0)
        self._reader = reader
        self._producer = producer
        self._position = -1
        self._looked_at = float("-inf")
        self._numbers: dict[int, _Revision] = {}
        self._pieces: dict[tuple[str, int], int] = {}
        self._held: OrderedDict[int, bytes] = OrderedDict()

    def publish(self, content: bytes) -> int:
        """Append a content, unless it is the newest, and return its number."""
        self._catch_up()
        digest = sha256(content)
        newest = max(self._numbers, default=None)
        if newest is not None and self._numbers[newest].digest == digest:
            return newest
        pieces = [content[start : start + PIECE_BYTES] for start in range(0, max(1, len(content)), PIECE_BYTES)]
        if len(pieces) > MAX_PIECES:
            raise LogRefused(
                f"{self._partition.topic}: a revision of {len(content):,} bytes is more than {MAX_PIECES * PIECE_BYTES:,}"
            )
        missing = [at for at in range(len(pieces)) if (digest, at) not in self._pieces]
        found = self._append([(b"%s%s:%d" % (_PIECE, digest.encode(), at), pieces[at]) for at in missing])
        said = _Revision(digest, len(pieces))
        number = self._append([(_REVISION + uuid.uuid4().bytes.hex().encode(), msgspec.json.encode(said))])[0]
        self._pieces |= {(digest, at): offset for at, offset in zip(missing, found, strict=True)}
        self._numbers[number] = said
        return number

    def revision(self, number: int) -> bytes | None:
        """Return a content, None for a number that was never published; `RevisionError` if it is not whole."""
        if number not in self._numbers:
            self._catch_up()
        if number not in self._numbers:
            return None
        if number not in self._held:
            self._held[number] = self._content(number)
            if len(self._held) > HELD:
                self._held.popitem(last=False)
        return self._held[number]

    def newest(self) -> int | None:
        """Return the highest number that has come, None before the first."""
        if self._position < 0:
            self._catch_up()
        elif self._monotonic() - self._looked_at >= LOOK_EVERY_S:
            self._looked_at = self._monotonic()
            self._take_in(self._reader.poll(0.0))
        return max(self._numbers, default=None)

    def before(self, number: int) -> int | None:
        """Return the highest number below this one that has come."""
        return max((known for known in self._numbers if known < number), default=None)

    def _catch_up(self) -> None:
        """Read to the end of now."""
        first, end = self._reader.bounds(self._partition)
        if end < self._position:
            self._begin_anew()
        until = self._monotonic() + FETCH_S
        while self._position < end:
            before = self._position
            if before < 0:
                self._reader.follow(self._partition, first)
                self._position = first
                continue
            self._take_in(self._reader.poll(SLICE_S))
            if self._position > before:
                until = self._monotonic() + FETCH_S
            elif self._monotonic() > until and not self._reader.read(self._partition, range(before, end)):
                self._position = end  # as a transaction ends: offsets that hold no record
            elif self._monotonic() > until:
                raise LogUnavailable(f"{self._partition.topic}: nothing came from record {before} on within {FETCH_S:.0f} s")

    def _begin_anew(self) -> None:
        """Forget what was read: it was of another topic."""
        _log.error(
            "%s: what was read of it is gone: the topic was deleted and made again, or cut, and numbers of revisions mean others now; "
            "what is in force stays, until a restart: publish again",
            self._partition.topic,
        )
        self._position = -1
        for known in (self._numbers, self._pieces, self._held):
            known.clear()

    def _take_in(self, fetched: Fetched) -> None:
        if self._partition in fetched.missing:
            self._begin_anew()
            return
        for record in fetched.records.get(self._partition, []):
            key = record.key or b""
            if key.startswith(_REVISION):
                self._note(record)
            elif key.startswith(_PIECE):
                digest, _, at = key.removeprefix(_PIECE).decode("ascii", "replace").partition(":")
                if at in _PLACES and len(record.value) <= PIECE_BYTES:
                    self._pieces[digest, _PLACES[at]] = record.offset
            self._position = record.offset + 1

    def _note(self, record: Record) -> None:
        """Note a revision; what can't be read is none, and a marker that names it is ignored."""
        try:
            said = _read(record.value)
        except (msgspec.MsgspecError, RecursionError):
            return
        if 0 < said.pieces <= MAX_PIECES:
            self._numbers[record.offset] = said

    def _content(self, number: int) -> bytes:
        said = self._numbers[number]
        offsets = [self._pieces.get((said.digest, at), -1) for at in range(said.pieces)]
        records = {record.offset: record for record in self._reader.read(self._partition, sorted(set(offsets) - {-1}))}
        if any(offset not in records for offset in offsets):
            raise RevisionError(f"{self._partition.topic}: pieces of revision {number} are missing")
        content = b"".join(records[offset].value for offset in offsets)
        if sha256(content) != said.digest:
            raise RevisionError(f"{self._partition.topic}: revision {number} is damaged: its digest differs")
        return content

    def _append(self, pieces: list[tuple[bytes, bytes]]) -> list[int]:
        if self._producer is None:
            raise LogRefused(f"{self._partition.topic}: opened to be read only")
        return self._producer.append([Outgoing(self._partition.topic, key, value, 0) for key, value in pieces]) if pieces else []


def newest_revision(topic: str, reader: Reader) -> Revision | None:
    """Read the newest revision whole, None while none was published."""
    revisions = RevisionsTopic(topic, reader, None)
    number = revisions.newest()
    content = None if number is None else revisions.revision(number)
    if number is None or content is None:
        return None
    return read_revision(number, content)
