"""Many JSON events at once: msgspec objects to columns, without a step per event that a comprehension can take."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np
from crc32c import crc32c

from spikebridge.spikes.batch import ROLE_OUTPUT, SUMMARY
from spikebridge.spikes.columns import Columns, FlatRows
from spikebridge.spikes.events import (
    MICROSECONDS_END,
    MILLISECONDS_END,
    SECONDS_END,
    UNREADABLE,
    Event,
    decode_array,
    decode_event,
    decode_lines,
    read_layer,
    read_time,
)
from spikebridge.spikes.layout import MAX_FRAME_BYTES, MAX_TIME_NS
from spikebridge.spikes.names import INVALID, device_id_fault, text_fault

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from spikebridge.spikes.names import Devices, Layers

    Bools = NDArray[np.bool_]
    Ints = NDArray[np.int64]
    Places = NDArray[np.intp]

FIRST_YEAR, LAST_YEAR = int.from_bytes(b"1970"), int.from_bytes(b"2115")
"""Four letters as a number, which rises with the year."""

SHORTEST_TEXT, LONGEST_TEXT = 20, 30
"""The letters of a UTC time with no fraction, and with nine digits of one."""


def read_told(
    values: Sequence[bytes],
    record: Places,
    append_ns: Ints,
    names: tuple[Devices, Layers],
    frame_ns: int,
    keys: Sequence[bytes | None] | None = None,
) -> tuple[Columns, list[int]]:
    """
    Read records that are one event or a clean array of them; `record[i]` is where `values[i]` lies in the batch, `keys[i]` its record's key.

    Return also the records left to the plain reader: lines, columns, and those with something wrong.
    """
    events, counts = _decoded(values)
    of = np.repeat(np.arange(len(values)), counts)
    bad = np.array(counts, np.int64) == 0
    ids = [event.device_id for event in events]
    layer, faults, layers = _layers([event.neuron_layer for event in events])
    time, time_faults = read_times([event.time for event in events], append_ns[of])
    faults = faults | time_faults | _peer_faults(events)
    device, index = np.arange(len(events)), np.zeros(0, np.int32)
    single = max(counts, default=0) <= 1
    if single:
        raws = list(map(str.encode, ids))
        if raws != keys:
            faults |= _foreign(raws, of, keys)
        index = _interned(raws, ~faults, names[0])
        faults |= index == INVALID
    else:
        codes = {one: code for code, one in enumerate(dict.fromkeys(ids))}
        device = np.fromiter(map(codes.__getitem__, ids), np.int64, len(ids))
        raws = list(map(str.encode, codes))
        wrong = np.array([device_id_fault(raw) is not None for raw in raws], np.bool_)
        faults |= wrong[device] | _too_long(of, device, time, frame_ns)
        faults |= _foreign([raws[code] for code in device.tolist()] if keys else [], of, keys)
    bad[of[faults]] = True
    left = record[bad].tolist()
    if left:
        kept = np.flatnonzero(~bad[of])
        events = [events[place] for place in kept.tolist()]
        of, device, layer, time = of[kept], device[kept], layer[kept], time[kept]
    if not single:
        index = _interned(raws, _marked(device, len(raws)), names[0])
    wire = np.array([one if isinstance(one, int) else names[1].code(one) for one in layers], np.int32)
    return _columns(events, (of, device, layer, time), (record, index, wire), values), left


def read_times(given: Sequence[int | float | str | None], default: Ints) -> tuple[Ints, Bools]:
    """Return nanoseconds since 1970 and where a time is none; what is not given takes its default."""
    kinds = set(map(type, given))
    if kinds == {type(None)} or not given:
        return default, np.zeros(len(given), np.bool_)
    if kinds == {int}:
        return _of_numbers(np.array(given, np.int64))
    if kinds == {str}:
        found = _of_texts([text for text in given if isinstance(text, str)])
        if found is not None:
            return found, np.zeros(len(given), np.bool_)
    times, faults = default.copy(), np.zeros(len(given), np.bool_)
    for place, one in enumerate(given):
        if one is not None:
            try:
                times[place] = read_time(one)
            except ValueError:
                faults[place] = True
    return times, faults


def _of_numbers(given: Ints) -> tuple[Ints, Bools]:
    unit = np.full(len(given), 1, np.int64)
    unit[given < MICROSECONDS_END] = 10**3
    unit[given < MILLISECONDS_END] = 10**6
    unit[given < SECONDS_END] = 10**9
    faults = (given < 0) | (given > MAX_TIME_NS // unit)
    return np.where(faults, 0, given * unit), faults


def _of_texts(texts: list[str]) -> Ints | None:
    """Read UTC times of the plain form `2026-11-20T10:11:12.123Z`; None when one has another form."""
    sizes = list(map(len, texts))
    distinct = set(sizes)
    if len(distinct) == 1:
        return _of_size(texts, sizes[0])
    found, size_of = np.zeros(len(texts), np.int64), np.array(sizes, np.int64)
    for size in distinct:
        same = np.flatnonzero(size_of == size)
        times = _of_size([texts[place] for place in same.tolist()], size)
        if times is None:
            return None
        found[same] = times
    return found


def _of_size(texts: list[str], size: int) -> Ints | None:
    """Read those of one length."""
    joined = "".join(texts)
    if not SHORTEST_TEXT <= size <= LONGEST_TEXT or size == SHORTEST_TEXT + 1 or not joined.isascii():
        return None
    letters = np.frombuffer(joined.encode(), np.uint8).reshape(len(texts), size)
    form = np.frombuffer(b"0000-00-00T00:00:00.000000000"[: size - 1] + b"Z", np.uint8)
    beyond = np.where(form == ord("0"), np.uint8(9), np.uint8(0))
    year = np.ascontiguousarray(letters[:, :4]).view(">u4")
    if (letters - form > beyond).any() or year.min() < FIRST_YEAR or year.max() > LAST_YEAR:
        return None
    try:
        times = np.ascontiguousarray(letters[:, :-1]).view(f"S{size - 1}").ravel().astype("M8[ns]")
    except ValueError:
        return None
    return times.view(np.int64)


def _decoded(values: Sequence[bytes]) -> tuple[list[Event], list[int]]:
    """Decode records, all or none of each; a count of 0 leaves a record to the plain reader."""
    if max(map(len, values), default=0) <= MAX_FRAME_BYTES:
        with suppress(*UNREADABLE):
            return list(map(decode_event, values)), [1] * len(values)
    events: list[Event] = []
    counts = []
    for value in values:
        try:
            if len(value) <= MAX_FRAME_BYTES and value[:1] == b"{":
                events.append(decode_event(value))
                counts.append(1)
                continue
        except UNREADABLE:
            pass
        found = _several(value)
        events += found
        counts.append(len(found))
    return events, counts


def _several(value: bytes) -> list[Event]:
    if len(value) > MAX_FRAME_BYTES:
        return []
    try:
        return decode_array(value) if value[:1] == b"[" else decode_lines(value)
    except UNREADABLE:
        return []


def _layers(given: list[int | str | None]) -> tuple[Ints, Bools, list[int | str]]:
    """Return each event's place in the list of distinct layers, where a name is faulty, and the list."""
    distinct: dict[int | str | None, None] = dict.fromkeys(given)
    if distinct.keys() <= {None}:
        return np.zeros(len(given), np.int64), np.zeros(len(given), np.bool_), [0]
    layers: dict[int | str, int] = {}
    place: dict[int | str | None, int] = {}
    faulty = []
    for one in distinct:
        place[one] = layers.setdefault(read_layer(one), len(layers))
        if isinstance(one, str) and text_fault(one.encode()):
            faulty.append(place[one])
    if len(distinct) == 1:
        return np.zeros(len(given), np.int64), np.full(len(given), bool(faulty)), list(layers)
    found = np.fromiter(map(place.__getitem__, given), np.int64, len(given))
    return found, np.isin(found, faulty), list(layers)


def _foreign(raws: list[bytes], of: Ints, keys: Sequence[bytes | None] | None) -> Bools:
    """Say of which events the device is another one than that of their record's key."""
    if keys is None:
        return np.zeros(len(of), np.bool_)
    return np.array([keys[at] not in (None, raw) for at, raw in zip(of.tolist(), raws, strict=True)], np.bool_)


def _interned(raws: list[bytes], chosen: Bools, devices: Devices) -> NDArray[np.int32]:
    """Give the chosen devices their indices; the others stay unknown."""
    if chosen.all():
        return devices.intern(raws)
    index = np.zeros(len(raws), np.int32)
    places = np.flatnonzero(chosen)
    index[places] = devices.intern([raws[place] for place in places.tolist()])
    return index


def _peer_faults(events: list[Event]) -> Bools:
    peers = [event.peer for event in events]
    faulty = {peer for peer in set(peers) if peer is not None and text_fault(peer.encode())}
    if not faulty:
        return np.zeros(len(events), np.bool_)
    return np.array([peer in faulty for peer in peers], np.bool_)


def _too_long(of: Places, device: Ints, time: Ints, frame_ns: int) -> Bools:
    """Say which events lie in a record that holds rows of their device too far apart."""
    start, end = _spans(of, device, (time, time))
    return end - start > frame_ns


def _spans(of: Places, device: Ints, times: tuple[Ints, Ints]) -> tuple[Ints, Ints]:
    """Widen each start and end to all that the same record holds for the same device."""
    if len(of) < 2 or (of[1:] != of[:-1]).all():  # noqa: PLR2004 -- a pair
        return times
    order = np.lexsort((device, of))
    first = np.ones(len(of), np.bool_)
    first[1:] = (of[order][1:] != of[order][:-1]) | (device[order][1:] != device[order][:-1])
    group = np.empty(len(of), np.int64)
    group[order] = np.cumsum(first) - 1
    begins = np.flatnonzero(first)
    return np.minimum.reduceat(times[0][order], begins)[group], np.maximum.reduceat(times[1][order], begins)[group]


def _columns(
    events: list[Event],
    keys: tuple[Places, Ints, Ints, Ints],
    names: tuple[Places, NDArray[np.int32], NDArray[np.int32]],
    values: Sequence[bytes],
) -> Columns:
    """Cut frames where record, device or layer changes; `keys` are these and the time, by event."""
    of, device, layer, time = keys
    record, index, wire = names
    begins = np.ones(len(events), np.bool_)
    begins[1:] = (of[1:] != of[:-1]) | (device[1:] != device[:-1]) | (layer[1:] != layer[:-1])
    cut = np.flatnonzero(begins)
    neurons = [event.neuron_id for event in events]
    counts = [event.spike_count for event in events]
    n = np.diff(np.append(cut, len(events)))
    if None in neurons:
        rows = np.array([one is not None or count is not None for one, count in zip(neurons, counts, strict=True)], np.bool_)
        n = np.add.reduceat(rows, cut, dtype=np.int64) if len(cut) else n
        neurons = [SUMMARY if one is None else one for one, row in zip(neurons, rows.tolist(), strict=True) if row]
        counts = [count for count, row in zip(counts, rows.tolist(), strict=True) if row]
    else:
        rows = np.ones(len(events), np.bool_)
    missing = counts.count(None)
    weight = (
        None
        if missing == len(counts)
        else np.array([1 if one is None else one for one in counts] if missing else counts, np.int64)
    )
    start, end = _spans(of, device, (time, time))
    first = _firsts(of, device)[cut]
    some = events if len(cut) == len(events) and (first == cut).all() else [events[place] for place in first.tolist()]
    frame_of = of[cut]
    boot = _serials([event.boot for event in some])
    return Columns(
        record=record[frame_of],
        device=index[device[cut]],
        layer=wire[layer[cut]],
        role=np.full(len(cut), ROLE_OUTPUT, np.uint8),
        n=n.astype(np.int64),
        start_ns=start[cut],
        end_ns=end[cut],
        boot=boot,
        seq=_serials([event.seq for event in some]),
        crc=_checksums(values, frame_of[boot != 0])[frame_of],
        rows=FlatRows(np.cumsum(n) - n, n.astype(np.int64), np.array(neurons, np.uint32), time[rows], weight),
    )


def _checksums(values: Sequence[bytes], used: Places) -> NDArray[np.uint32]:
    """Return the CRC-32C of these values, 0 of the others: a frame without a boot is never a repeat."""
    found = np.zeros(len(values), np.uint32)
    held = np.flatnonzero(_marked(used, len(values)))
    found[held] = [crc32c(values[place]) for place in held.tolist()]
    return found


def _serials(numbers: list[int]) -> NDArray[np.uint64]:
    return np.array(numbers, np.uint64) if any(numbers) else np.zeros(len(numbers), np.uint64)


def _marked(places: Ints, size: int) -> Bools:
    """Say which of so many places occur."""
    found = np.zeros(size, np.bool_)
    found[places] = True
    return found


def _firsts(of: Places, device: Ints) -> Places:
    """Return for each event the place of the first one of its device in its record."""
    if len(of) < 2 or (of[1:] != of[:-1]).all():  # noqa: PLR2004 -- a pair
        return np.arange(len(of))
    first: Places
    _, first, group = np.unique(of * (int(device.max()) + 1) + device, return_index=True, return_inverse=True)
    return first[group]
