"""
What lies in the alert topic and in the metadata of commits, as values: nothing here knows a broker.

The metadata of a commit is text: a digit for its version, then base64 of MessagePack. Version 1 was JSON, and is still read.
A broker refuses more than 4,096 bytes of it.
"""

from __future__ import annotations

import base64
import hashlib
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, NamedTuple

import msgspec

from spikebridge.alerts import Alert, AlertEntry, known_kind, read_finding
from spikebridge.errors import LogError, LogRefused, SchemaError
from spikebridge.logs import Commit, Cursor

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from spikebridge.kafka.client import Place
    from spikebridge.spikes.record import Record

MAX_METADATA = 3_500
"""Longer metadata we don't write: brokers are configured to refuse some length above it."""

_PAIR_CHARACTERS = 24
"""What one more pair adds at most: two integers of 9 bytes, as base64."""

_VERSION = "2"
_NEWER = frozenset("3456789")
_ENTRY_VERSION = 1
_PARTITION_BITS = 15
_INTEGER_BITS = 63

_UNREADABLE = (msgspec.MsgspecError, ValueError, RecursionError)
"""What decoders raise over bytes that somebody else wrote: lists in lists without end are a RecursionError."""

_Number = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]
_Offset = Annotated[int, msgspec.Meta(ge=-1, le=(1 << 63) - 1)]
_Kind = Annotated[str, msgspec.Meta(pattern=r"\A[a-z_]{1,32}\Z")]
"""What a kind looks like, in newer versions too: anything else is no entry."""

_pack = msgspec.msgpack.Encoder().encode


class Home(NamedTuple):
    """Which topic of which cluster, by ids: a topic made anew under the same name is another one."""

    cluster: str
    topic: str

    @property
    def log(self) -> str:
        """Return the id of the log, as it enters the ids of alerts."""
        return f"{self.cluster}/{self.topic}"

    def input(self, partition: int, life: int = 0) -> int:
        """Return the number of a partition, in one of its lives, among all inputs of an alert log: 48 bits of a hash, then the partition."""
        if partition >> _PARTITION_BITS:
            raise LogRefused(
                f"log {self.log}: expected at most {1 << _PARTITION_BITS:,} partitions, found partition {partition:,}"
            )
        name = f"{self.log}/{life}" if life else self.log
        digest = hashlib.blake2b(name.encode(), digest_size=6).digest()
        return int.from_bytes(digest) << _PARTITION_BITS | partition


class _Entry(msgspec.Struct, array_like=True):
    format: int
    id: str
    kind: _Kind
    version: _Number
    source: tuple[_Offset, _Number, _Number]
    body: bytes
    evidence: tuple[bytes, ...]


class _Head(msgspec.Struct, array_like=True):
    format: int


class _Committed(msgspec.Struct, array_like=True):
    cluster: str
    topic: str
    append_ns: _Number
    pairs: list[int]
    life: _Number = 0


class _Read(msgspec.Struct, array_like=True):
    cluster: str
    topic: str
    seen: list[int]


class _CommittedJson(msgspec.Struct):
    cluster: str
    topic: str
    append_ns: _Number
    pairs: list[tuple[_Number, _Number]]


_read_head = msgspec.msgpack.Decoder(_Head).decode
_read_entry = msgspec.msgpack.Decoder(_Entry).decode
_read_committed = msgspec.msgpack.Decoder(_Committed).decode
_read_seen = msgspec.msgpack.Decoder(_Read).decode
_read_json = msgspec.json.Decoder(_CommittedJson).decode


def seal(entry: AlertEntry) -> bytes:
    """Return the value of an entry's record."""
    return _pack(_Entry(_ENTRY_VERSION, entry.id, entry.kind, entry.version, entry.source, entry.body, entry.evidence))


def unseal(record: Record) -> AlertEntry:
    """Open a record of the alert topic; `LogError` for what is none, `SchemaError` for one of a newer version."""
    try:
        entry = _read_entry(record.value)
    except _UNREADABLE as error:
        _refuse_newer(record)
        raise LogError(f"record {record.offset} is no entry of an alert log: {error}") from None
    if entry.format != _ENTRY_VERSION:
        _refuse_newer(record)
        raise LogError(f"record {record.offset} is no entry of an alert log: its format is {entry.format}")
    kind = known_kind(entry.kind, record.offset)
    return AlertEntry(entry.id, kind, entry.version, entry.source, entry.body, entry.evidence, record.offset, record.append_ns)


def _refuse_newer(record: Record) -> None:
    try:
        newer = _read_head(record.value).format > _ENTRY_VERSION
    except _UNREADABLE:
        return
    if newer:
        raise SchemaError(
            f"record {record.offset} of the alert log was written by a newer version of Spikebridge: upgrade this one"
        )


def site_key(entry: AlertEntry, tenant: str) -> bytes:
    """Return the key under which an entry is appended: alerts of a site stay together, so that incidents find them in one partition."""
    finding = read_finding(entry.body)
    site = finding.device.site if isinstance(finding, Alert) else finding.site
    return (site or tenant).encode()


def pack_commit(commit: Commit, home: Home) -> str:
    """Return the metadata of a commit of the spikes stage."""
    return _text(_Committed(home.cluster, home.topic, commit.append_ns, _deltas(commit.pairs), commit.life))


def room(pairs: Sequence[tuple[int, int]], home: Home) -> bool:
    """Say whether the metadata can take one pair more than these."""
    largest = Commit(0, 1 << 62, tuple(pairs), 1 << 62)
    return len(pack_commit(largest, home)) + _PAIR_CHARACTERS <= MAX_METADATA


def read_commit(place: Place, home: Home) -> Commit:
    """
    Return what a place says; without pairs where it says nothing of this log.

    Another tool has written it then, or, if the position is 0, it is of another topic.

    `SchemaError` for metadata of a newer version.
    """
    said = _read_version(place.metadata)
    if said is None:
        return Commit(place.offset, 0, ())
    of, commit = said
    return commit._replace(position=place.offset) if of == home else Commit(0, 0, ())


def pack_cursor(cursor: Cursor, home: Home) -> tuple[str, int]:
    """Return the metadata of a reader's commit, and how many inputs it had no room for."""
    known = sorted(cursor.seen.items())
    kept = known
    while True:
        text = _text(_Read(home.cluster, home.topic, _seen(kept)))
        if len(text) <= MAX_METADATA or not kept:
            return text, len(known) - len(kept)
        fewer = len(kept) * MAX_METADATA // len(text)
        kept = sorted(sorted(kept, key=lambda item: -item[1][0])[: min(fewer, len(kept) - 1)])


def read_cursor(place: Place, home: Home) -> Cursor | None:
    """
    Return the cursor that a place holds; None when it belongs to another topic. Metadata of another tool mean a bare position.

    `SchemaError` for metadata of a newer version.
    """
    said = _read_inputs(place.metadata)
    if said is None:
        return Cursor(place.offset)
    of, seen = said
    return Cursor(place.offset, seen) if of == home else None


def is_cursor(place: Place) -> bool:
    """Say whether a reader of ours wrote the metadata of a place."""
    return _read_inputs(place.metadata) is not None


def _read_inputs(metadata: str) -> tuple[Home, Mapping[int, tuple[int, int]]] | None:
    """Return what a reader's metadata say, of which topic."""
    _check_version(metadata)
    if metadata[:1] != _VERSION:
        return None
    try:
        said = _read_seen(_bytes(metadata[1:]))
        return Home(said.cluster, said.topic), _unseen(said.seen)
    except _UNREADABLE:
        return None


def _read_version(metadata: str) -> tuple[Home, Commit] | None:
    """Return what our metadata say, of which log; they don't hold the position."""
    _check_version(metadata)
    try:
        if metadata[:1] == "{":
            old = _read_json(metadata)
            return Home(old.cluster, old.topic), Commit(0, old.append_ns, _checked(tuple(old.pairs)))
        if metadata[:1] == _VERSION:
            said = _read_committed(_bytes(metadata[1:]))
            return Home(said.cluster, said.topic), Commit(0, said.append_ns, _pairs(said.pairs), said.life)
    except _UNREADABLE:
        return None
    return None


def _check_version(metadata: str) -> None:
    if metadata[:1] in _NEWER:
        raise SchemaError(
            f"the position was committed by a newer version of Spikebridge (metadata version {metadata[0]}): upgrade this one"
        )


def _text(said: _Committed | _Read) -> str:
    return _VERSION + base64.b64encode(_pack(said)).decode()


def _bytes(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


def _deltas(pairs: Sequence[tuple[int, int]]) -> list[int]:
    """Write each pair as the difference to the one before: small numbers are short."""
    steps = [(0, 0), *pairs]
    return [number for before, after in pairwise(steps) for number in (after[0] - before[0], after[1] - before[1])]


def _pairs(deltas: Sequence[int]) -> tuple[tuple[int, int], ...]:
    pairs: list[tuple[int, int]] = []
    offset = number = 0
    for step, more in zip(deltas[::2], deltas[1::2], strict=True):
        offset, number = offset + step, number + more
        pairs.append((offset, number))
    return _checked(tuple(pairs))


def _checked(pairs: tuple[tuple[int, int], ...]) -> tuple[tuple[int, int], ...]:
    """Refuse what no stage has written."""
    numbers = [number for pair in pairs for number in pair]
    if not pairs or min(numbers) < 0 or max(numbers) >> _INTEGER_BITS or list(pairs) != sorted(pairs):
        message = "expected positions and revisions that never fall"
        raise ValueError(message)
    return pairs


def _seen(known: Sequence[tuple[int, tuple[int, int]]]) -> list[int]:
    """Write inputs in rising order, each as the difference to the one before, with its offset and ordinal."""
    numbers: list[int] = []
    before = 0
    for source, (offset, ordinal) in known:
        numbers += (source - before, offset, ordinal)
        before = source
    return numbers


def _unseen(numbers: Sequence[int]) -> Mapping[int, tuple[int, int]]:
    seen: dict[int, tuple[int, int]] = {}
    source = 0
    for step, offset, ordinal in zip(numbers[::3], numbers[1::3], numbers[2::3], strict=True):
        source += step
        seen[source] = (offset, ordinal)
    if any(number < 0 or number >> _INTEGER_BITS for source, place in seen.items() for number in (source, *place)):
        message = "expected inputs with their places"
        raise ValueError(message)
    return seen
