"""
The spikes of a test: from its notation to the records that a log would hold. Pure; time is made up.

::

    42 x25 every 2ms; wait 10s; output_3:7 -> 10.0.0.5; output_3:* x45

Segments follow each other. `[LAYER:]NEURON [xN] [every DURATION] [-> PEER]` is N spikes (one, and 1 ms apart, unless said otherwise);
`LAYER:* xN` is one summary of N spikes; `wait DURATION` lets time pass, in which the owner of the log appends its ticks.
"""

from __future__ import annotations

import datetime as dt
import re
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from spikebridge.limits import SECOND
from spikebridge.located import quoted
from spikebridge.spikes.frame import encode_tick
from spikebridge.spikes.record import Record
from spikebridge.units import parse_duration

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from spikebridge.mapping.model import TestModel

START = dt.date(2026, 1, 5)
TICK_NS = 10 * SECOND
MAX_SPIKES = 100_000
MAX_TIME_NS = 7 * 86_400 * SECOND

_MILLISECOND = 1_000_000
_FRAME_NS = SECOND
_DELAY_NS = _MILLISECOND
_SEGMENT = re.compile(
    r"(?:(?P<layer>[^:;>]+):)?(?P<neuron>[0-9]{1,10}|\*)(?:\s+x(?P<count>[0-9]{1,9}))?(?:\s+every\s+(?P<every>\S+))?(?:\s+->\s+(?P<peer>\S+))?"
)
_SHAPE = "`[LAYER:]NEURON [xN] [every DURATION] [-> PEER]`, `LAYER:* [xN]` or `wait DURATION`"


class Burst(NamedTuple):
    """Spikes of one neuron at even distances; `neuron` None is one summary of `times` spikes."""

    layer: str
    neuron: int | None
    times: int
    every_ns: int
    peer: str


class Pause(NamedTuple):
    """Time that passes."""

    span_ns: int


Segment = Burst | Pause


class Stretch(NamedTuple):
    """Segments of one device."""

    device: str
    segments: list[Segment]


def parse_spikes(text: str) -> list[Segment]:
    """Read the notation; a `ValueError` says which segment is wrong, and how they look."""
    return [_segment(part.strip(), at) for at, part in enumerate(text.split(";"), 1)]


def stretches(test: TestModel, devices: Sequence[str]) -> list[Stretch]:
    """Return the segments of each stretch of a test; one that names no device belongs to the first."""
    parts = [Stretch(one.device or devices[0], parse_spikes(one.spikes)) for one in test.spikes]
    segments = [segment for part in parts for segment in part.segments]
    spikes = sum(segment.times for segment in segments if isinstance(segment, Burst) and segment.neuron is not None)
    if spikes > MAX_SPIKES:
        raise ValueError(f"expected at most {MAX_SPIKES:,} spikes, found {spikes:,}")
    if sum(_length_ns(segment) for segment in segments) > MAX_TIME_NS:
        raise ValueError("expected at most 7d of time in one test, found more")
    return parts


def _segment(text: str, at: int) -> Segment:
    if re.match(r"wait\s", text):
        return Pause(_duration(text[4:].strip(), at))
    match = _SEGMENT.fullmatch(text)
    if match is None:
        raise ValueError(f"segment {at}: expected {_SHAPE}, found {quoted(text)}")
    count = int(match["count"] or 1)
    layer = (match["layer"] or "").strip()
    peer = match["peer"] or ""
    if match["neuron"] == "*":
        if not layer or match["every"] or peer:
            raise ValueError(f"segment {at}: expected a summary as `LAYER:* xN`, found {quoted(text)}")
        return Burst(layer, None, count, 0, "")
    every_ns = _duration(match["every"], at) if match["every"] else _MILLISECOND
    return Burst(layer, int(match["neuron"]), count, every_ns, peer)


def _duration(text: str, at: int) -> int:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise ValueError(f"segment {at}: {error}, found {quoted(text)}") from None


def _length_ns(segment: Segment) -> int:
    return segment.span_ns if isinstance(segment, Pause) else segment.times * segment.every_ns


def records_of(parts: Sequence[Stretch], day: dt.date | None = None) -> list[Record]:
    """
    Return what a log would hold: spikes in frames of at most a second, and a tick whenever the log stands still for 10 s.

    The log begins with a tick, at the start of a day (UTC).
    """
    start = dt.datetime.combine(day or START, dt.time(), dt.UTC)
    begin_ns = round(start.timestamp()) * SECOND
    records = [Record(0, begin_ns, encode_tick(begin_ns))]
    end_ns = begin_ns + _MILLISECOND
    for stretch in parts:
        for segment in stretch.segments:
            if isinstance(segment, Pause):
                end_ns += segment.span_ns
                continue
            for last_ns, value in _frames(stretch.device, segment, end_ns):
                _tick_until(records, last_ns + _DELAY_NS)
                records.append(Record(len(records), max(last_ns + _DELAY_NS, records[-1].append_ns), value))
                end_ns = last_ns + _MILLISECOND
    _tick_until(records, end_ns + 1)
    return records


def _tick_until(records: list[Record], append_ns: int) -> None:
    """Append the ticks of the time before `append_ns`."""
    while (tick_ns := records[-1].append_ns + TICK_NS) < append_ns:
        records.append(Record(len(records), tick_ns, encode_tick(tick_ns)))


def _frames(device: str, burst: Burst, begin_ns: int) -> Iterator[tuple[int, bytes]]:
    """Yield records of a burst, each with the time of its last spike."""
    if burst.neuron is None:
        value = {"device_id": device, "spike_count": burst.times, "neuron_layer": burst.layer, "time": begin_ns}
        yield begin_ns, msgspec.json.encode(value)
        return
    whole = {"device_id": device, "neuron_id": burst.neuron}
    whole |= {"neuron_layer": burst.layer} if burst.layer else {}
    whole |= {"peer": burst.peer} if burst.peer else {}
    per_frame = max(1, _FRAME_NS // burst.every_ns) if burst.every_ns else burst.times
    for first in range(0, burst.times, per_frame):
        times = [begin_ns + at * burst.every_ns for at in range(first, min(first + per_frame, burst.times))]
        yield times[-1], msgspec.json.encode([{**whole, "time": time} for time in times])
