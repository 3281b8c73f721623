"""
The records of an unpacked batch (Kafka's format 2), read without an object in between: few by a plain loop, many in columns.

A record is: its length, attributes, the time since the batch's, the offset since the batch's, key, value, headers. Numbers are signed, seven bits a
byte, the lowest first, their sign in the lowest bit. What isn't as it should be, or larger than it is here, is `Odd`: nothing is said of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from spikebridge.spikes.record import record

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from spikebridge.spikes.record import Record

    _Ints = NDArray[np.int64]

NS_PER_MS = 1_000_000
_MANY = 128
"""From so many records on columns are quicker than the loop."""

_MOST_OFFSETS = 1 << 62
_MOST_MS = 1 << 42
_MORE = 0x80
"""This bit of a byte of a number says that another one follows."""

_LAST_SHIFT = 49
_NULL = 1
"""A length of -1 as it is written: there is none."""


class Odd(Exception):  # noqa: N818 -- no error: another reader looks
    """Something in a batch isn't as it should be, or larger than it is here."""


class Batch(NamedTuple):
    """An unpacked batch; its records have the broker's time `append_ms`, or, where that is None, their own, counted from `first_ms`."""

    body: bytes
    begin: int
    records: int
    offset: int
    first_ms: int
    append_ms: int | None


def read_batch(batch: Batch) -> list[Record]:
    """Read all records; `Odd` where a single one is odd."""
    if not 0 <= batch.offset < _MOST_OFFSETS or (batch.append_ms is None and abs(batch.first_ms) >= _MOST_MS):
        raise Odd
    try:
        return read_many(batch) if batch.records >= _MANY else read_few(batch)
    except (IndexError, UnicodeDecodeError):
        raise Odd from None


def read_few(batch: Batch) -> list[Record]:  # noqa: PLR0912 -- short numbers are read where they stand: a call takes longer than that
    """Read one record after the other."""
    body, at, more, new = batch.body, batch.begin, _MORE, record
    append_ns = None if batch.append_ms is None else batch.append_ms * NS_PER_MS
    found: list[Record] = []
    for _ in range(batch.records):
        if (size := body[at]) < more:
            at += 1
        elif (second := body[at + 1]) < more:
            at, size = at + 2, size & 0x7F | second << 7
        else:
            size, at = _number(body, at)
        end = at + (size >> 1)
        if size & 1 or body[at] >= more:
            raise Odd
        delta_ms, at = _number(body, at + 1)
        if (offset := body[at]) < more:
            at += 1
        else:
            offset, at = _number(body, at)
        if (key_size := body[at]) < more:
            at += 1
        else:
            key_size, at = _number(body, at)
        key = body[at : (at := at + (key_size >> 1))] if key_size != _NULL else None
        if (size := body[at]) < more:
            at += 1
        elif (second := body[at + 1]) < more:
            at, size = at + 2, size & 0x7F | second << 7
        else:
            size, at = _number(body, at)
        value = body[at : (at := at + (size >> 1))] if size != _NULL else b""
        if (size & 1 and size != _NULL) or (key_size & 1 and key_size != _NULL):
            raise Odd
        if at + 1 != end or body[at]:
            _check_headers(body[at:end])
        time_ns = (batch.first_ms + _signed(delta_ms)) * NS_PER_MS if append_ns is None else append_ns
        found.append(new((batch.offset + _signed(offset), time_ns, value, key)))
        at = end
    if at != len(body):
        raise Odd
    return found


def read_many(batch: Batch) -> list[Record]:
    """Read each part of all records at once."""
    body, octets = batch.body, np.frombuffer(batch.body, np.uint8)
    begins, last = _begins(batch)
    if last != len(body):
        raise Odd
    ends = np.array([*begins[1:], last], np.int64)
    lengths, at = _numbers(octets, np.array(begins, np.int64))
    _check((at + lengths == ends) & (octets[at] < _MORE))
    deltas_ms, at = _numbers(octets, at + 1)
    offsets, at = _numbers(octets, at)
    key_sizes, keys = _numbers(octets, at)
    _check((key_sizes >= -1) & (key_sizes < ends - keys))
    keys_end = keys + np.maximum(key_sizes, 0)
    sizes, values = _numbers(octets, keys_end)
    _check((sizes >= -1) & (sizes < ends - values))
    values_end = values + np.maximum(sizes, 0)
    if (octets[values_end] != 0).any() or (values_end + 1 != ends).any():
        for headers in set(_cut(body, values_end, ends)):
            _check_headers(headers)
    key_list: list[bytes | None] = list(_cut(body, keys, keys_end))
    if key_sizes.min() < 0:
        key_list = [None if size < 0 else key for size, key in zip(key_sizes.tolist(), key_list, strict=True)]
    if batch.append_ms is None:
        _check(np.abs(deltas_ms) < _MOST_MS)
        times = ((batch.first_ms + deltas_ms) * NS_PER_MS).tolist()
    else:
        times = [batch.append_ms * NS_PER_MS] * len(begins)
    return list(map(record, zip((batch.offset + offsets).tolist(), times, _cut(body, values, values_end), key_list, strict=True)))


def _number(body: bytes, at: int) -> tuple[int, int]:
    """Read a number as it is written, its sign in the lowest bit, and return where it ends."""
    value = shift = 0
    while (octet := body[at]) >= _MORE:
        value |= (octet & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if shift > _LAST_SHIFT:
            raise Odd
    return value | octet << shift, at + 1


def _signed(written: int) -> int:
    return (written >> 1) ^ -(written & 1)


def _begins(batch: Batch) -> tuple[list[int], int]:
    """Return where each record begins and the last one ends, if all lengths are right."""
    body, at, more = batch.body, batch.begin, _MORE
    found: list[int] = []
    for _ in range(batch.records):
        found.append(at)
        if (size := body[at]) < more:
            at += (size >> 1) + 1
        elif (second := body[at + 1]) < more:
            at += (size & 0x7F | second << 7) // 2 + 2
        else:
            size, at = _number(body, at)
            at += size >> 1
    return found, at


def _numbers(octets: NDArray[np.uint8], at: _Ints) -> tuple[_Ints, _Ints]:
    """Read a number at each place, and return where each ends."""
    octet = octets[at]
    written = (octet & 0x7F).astype(np.int64)
    at = at + 1
    some: Any = slice(None)
    shift = 0
    while (more := octet >= _MORE).any():
        shift += 7
        if shift > _LAST_SHIFT:
            raise Odd
        if not more.all():
            some = np.flatnonzero(more) if isinstance(some, slice) else some[more]
        octet = octets[at[some]]
        written[some] |= (octet & 0x7F).astype(np.int64) << shift
        at[some] += 1
    return (written >> 1) ^ -(written & 1), at


def _cut(body: bytes, begins: _Ints, ends: _Ints) -> list[bytes]:
    return [body[begin:end] for begin, end in zip(begins.tolist(), ends.tolist(), strict=True)]


def _check(well: NDArray[np.bool_]) -> None:
    if not well.all():
        raise Odd


def _check_headers(headers: bytes) -> None:
    """Find the end of headers, which are not read, where it should be."""
    count, at = _number(headers, 0)
    if count & 1:
        raise Odd
    for _ in range(count >> 1):
        size, at = _number(headers, at)
        if size & 1:
            raise Odd
        headers[at : (at := at + (size >> 1))].decode()
        size, at = _number(headers, at)
        if size & 1 and size != _NULL:
            raise Odd
        at += _signed(size) if size != _NULL else 0
    if at != len(headers):
        raise Odd
