"""
One record read plainly: what it holds, part by part, and what of it is refused.

This is the reference that `decode` must agree with, and what evidence, replay and `spikebridge frames` read.
"""

from __future__ import annotations

import json
from itertools import accumulate, groupby, islice, takewhile
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from crc32c import crc32c

from spikebridge.errors import FrameError
from spikebridge.spikes.batch import ROLE_OUTPUT, ROLE_TICK, SUMMARY, Refused
from spikebridge.spikes.events import Event, Told, encode_event, read_events
from spikebridge.spikes.frame import is_frame, span_fault, unpack
from spikebridge.spikes.layout import MAX_FRAME_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from spikebridge.spikes.record import Record


MAX_REFUSED = 100
"""So many parts of a record are refused each by itself, what is left of them as one: a record of bad events is a hundred letters, not its rows."""


class Part(NamedTuple):
    """
    What one record holds for one device and layer, in a row: one frame of a batch.

    `layer` is a wire number, or a name that only JSON can give. `times` are those before re-timing; `start_ns` and `end_ns` span
    all rows of the record for this device. `peers` is empty when no row names one; `untimed` are the rows that the record gives no time.
    """

    device_id: str
    role: int
    layer: int | str
    start_ns: int
    end_ns: int
    neurons: NDArray[np.uint32]
    times: NDArray[np.int64]
    weights: NDArray[np.int64]
    peers: list[str | None]
    boot: int
    seq: int
    crc: int
    digest: int
    untimed: frozenset[int] = frozenset()


class Reading(NamedTuple):
    """The parts of a record in log order, and what is refused, each with `record` 0."""

    parts: list[Part]
    refused: list[Refused]


def unpack_record(record: Record, frame_ns: int) -> list[Part]:
    """Return the parts of a record; what is wrong in it is left out, a tick has none."""
    return read_record(record, frame_ns).parts


def read_record(record: Record, frame_ns: int) -> Reading:
    """Read a record, whatever its bytes."""
    if is_frame(record.value):
        return _read_frame(record, frame_ns)
    return _read_json(record, frame_ns)


def _read_frame(record: Record, frame_ns: int) -> Reading:
    value = record.value
    try:
        frame = unpack(value, frame_ns)
    except FrameError as error:
        return Reading([], [Refused(0, 0, str(error), value)])
    head = frame.head
    if head.role == ROLE_TICK:
        return Reading([], [])
    if is_foreign(head.device, record):
        return Reading([], [Refused(0, 0, _foreign(head.device, record), value)])
    part = Part(
        device_id=head.device,
        role=head.role,
        layer=head.layer,
        start_ns=head.start_ns,
        end_ns=frame.end_ns,
        neurons=frame.neurons,
        times=frame.times,
        weights=frame.weights,
        peers=frame.peers,
        boot=head.boot,
        seq=head.seq,
        crc=frame.crc,
        digest=head.digest,
    )
    return Reading([part], [])


def _read_json(record: Record, frame_ns: int) -> Reading:
    told, faults = read_events(record.value, record.append_ns)
    refused = [Refused(0, *fault) for fault in faults]
    of_device: dict[str, list[Told]] = {}
    for one in told:
        of_device.setdefault(one.event.device_id, []).append(one)
    spans = {}
    for device, ones in of_device.items():
        start, end = min(one.time_ns for one in ones), max(one.time_ns for one in ones)
        fault = ""
        if is_foreign(device, record):
            fault = _foreign(device, record)
        elif end - start > frame_ns:
            fault = span_fault(frame_ns, end - start)
        if fault:
            raws = _fitting((encode_event(one.event) for one in ones), MAX_FRAME_BYTES - 2)
            refused.append(Refused(0, ones[0].part, fault, b"[" + b",".join(raws) + b"]"))
        else:
            spans[device] = (start, end)
    crc = crc32c(record.value)
    parts = []
    for (device, layer), run in groupby(told, lambda one: (one.event.device_id, one.layer)):
        if device in spans:
            parts.append(_part(list(run), layer, spans[device], of_device[device][0].event, crc))
    return Reading(parts, _few(sorted(refused)))


def _few(refused: list[Refused]) -> list[Refused]:
    """Make one of what is more than `MAX_REFUSED`: a line for each, whole ones and as many as a record may hold."""
    if len(refused) <= MAX_REFUSED:
        return refused
    rest = refused[MAX_REFUSED:]
    raws = _fitting((bad.raw.replace(b"\n", b" ") for bad in rest), MAX_FRAME_BYTES)
    return [*refused[:MAX_REFUSED], Refused(0, rest[0].part, f"record: and {len(rest)} more; {rest[0].reason}", b"\n".join(raws))]


def _fitting(raws: Iterable[bytes], most: int) -> list[bytes]:
    """Return the first of them, as many as fit with a byte between them."""
    sizes = accumulate(raws, lambda size, raw: (size[0] + len(raw) + 1, raw), initial=(-1, b""))
    return [raw for _, raw in takewhile(lambda size: size[0] <= most, islice(sizes, 1, None))]


def _part(run: list[Told], layer: int | str, span: tuple[int, int], first: Event, crc: int) -> Part:
    rows = [one for one in run if is_row(one.event)]
    peers = [one.event.peer for one in rows]
    neurons = [SUMMARY if one.event.neuron_id is None else one.event.neuron_id for one in rows]
    weights = [1 if one.event.spike_count is None else one.event.spike_count for one in rows]
    return Part(
        device_id=first.device_id,
        role=ROLE_OUTPUT,
        layer=layer,
        start_ns=span[0],
        end_ns=span[1],
        neurons=np.array(neurons, np.uint32),
        times=np.array([one.time_ns for one in rows], np.int64),
        weights=np.array(weights, np.int64),
        peers=peers if any(peers) else [],
        boot=first.boot,
        seq=first.seq,
        crc=crc,
        digest=0,
        untimed=frozenset(at for at, one in enumerate(rows) if one.event.time is None),
    )


def is_foreign(device: str, record: Record) -> bool:
    """Say whether a device is another one than that of the record's key."""
    return record.key is not None and device.encode() != record.key


def _foreign(device: str, record: Record) -> str:
    key = (record.key or b"")[:128].decode(errors="replace")
    return f"key: expected the id of the record's device {json.dumps(device)}, found {json.dumps(key) if key else 'none'}"


def is_row(event: Event) -> bool:
    """Say whether an event is a spike; otherwise it only proves that the device lives."""
    return event.neuron_id is not None or event.spike_count is not None
