"""
JSON events: one, an array, lines, columns, or the summary of a layer; see connector/README.md.

msgspec checks the bounds that stand in the types. Nothing is raised past `read_events`: what is wrong is returned as a fault with
its place, and the neighbours within an array or among lines still count.
"""

from __future__ import annotations

import json
import re
from datetime import date
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import msgspec
from msgspec import Meta

from spikebridge.spikes.layout import MAX_FRAME_BYTES, MAX_PEER_BYTES, MAX_TIME_NS
from spikebridge.spikes.names import MAX_ID_BYTES, Layers, device_id_fault, text_fault

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MAX_ROWS = 100_000
"""Events of one record, good and bad."""

MAX_LAYER_BYTES = 128

Neuron = Annotated[int, Meta(ge=0, le=2**32 - 2)]
LayerNumber = Annotated[int, Meta(ge=0, le=2**16 - 1)]
LayerName = Annotated[str, Meta(min_length=1, max_length=MAX_LAYER_BYTES)]
TimeNumber = Annotated[int, Meta(ge=0, le=MAX_TIME_NS)]
TimeFloat = Annotated[float, Meta(ge=0, le=float(MAX_TIME_NS))]
TimeText = Annotated[str, Meta(max_length=35)]
Time = TimeNumber | TimeFloat | TimeText
Count = Annotated[int, Meta(ge=0, le=2**32 - 1)]
Peer = Annotated[str, Meta(min_length=1, max_length=MAX_PEER_BYTES)]
Serial = Annotated[int, Meta(ge=0, le=2**63 - 1)]


class Event(msgspec.Struct, gc=False, frozen=True, omit_defaults=True):
    """One spike of a device, a counted number of them, or a proof of life."""

    device_id: Annotated[str, Meta(min_length=1, max_length=MAX_ID_BYTES, description="Who fired: 1 to 128 bytes of UTF-8.")]
    neuron_id: Annotated[
        Neuron | None,
        Meta(description="Which neuron fired. Without it, `spike_count` sums up the layer; with neither, the device lives."),
    ] = None
    neuron_layer: Annotated[LayerNumber | LayerName | None, Meta(description="Its layer: a number or a name; 0 if left out.")] = (
        None
    )
    time: Annotated[
        Time | None,
        Meta(
            description="RFC 3339, or Unix time: below 1e11 seconds, below 1e14 milliseconds, below 1e17 microseconds, else "
            "nanoseconds. Without it, the time at which the record is appended."
        ),
    ] = None
    spike_count: Annotated[
        Count | None, Meta(description="How many spikes this stands for, all at that time; 1 if left out.")
    ] = None
    peer: Annotated[Peer | None, Meta(description="With whom the device spoke, such as an address.")] = None
    boot: Annotated[Serial, Meta(description="Drawn at random when the sender starts; 0: repeats are not looked for.")] = 0
    seq: Annotated[Serial, Meta(description="Rises with each record that the sender sends.")] = 0


ROWS = Meta(max_length=MAX_ROWS)


class EventColumns(msgspec.Struct, frozen=True):
    """Many events, each key one value for all of them or a list with one value for each."""

    device_id: Annotated[str, Meta(min_length=1, max_length=MAX_ID_BYTES)] | Annotated[list[str], ROWS]
    neuron_id: Neuron | Annotated[list[Neuron | None], ROWS] | None = None
    neuron_layer: LayerNumber | LayerName | Annotated[list[LayerNumber | LayerName | None], ROWS] | None = None
    time: TimeNumber | TimeFloat | TimeText | Annotated[list[Time | None], ROWS] | None = None
    spike_count: Count | Annotated[list[Count | None], ROWS] | None = None
    peer: Peer | Annotated[list[Peer | None], ROWS] | None = None
    boot: Serial = 0
    seq: Serial = 0


class Fault(NamedTuple):
    """What is wrong with the part (element of an array, line; 0 for the whole) of a record, and its bytes."""

    part: int
    reason: str
    raw: bytes


class Told(NamedTuple):
    """An event of a record, checked: its place there, its layer (a wire number or a name), its time in ns."""

    part: int
    event: Event
    layer: int | str
    time_ns: int


decode_event = msgspec.json.Decoder(Event).decode
decode_lines = msgspec.json.Decoder(Event).decode_lines
decode_array = msgspec.json.Decoder(Annotated[list[Event], Meta(max_length=MAX_ROWS)]).decode
_decode_columns = msgspec.json.Decoder(EventColumns).decode
decode_keys = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_elements = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_any = msgspec.json.Decoder(msgspec.Raw).decode
_scan = json.JSONDecoder().raw_decode

UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What msgspec raises, and what it lets through."""

_WIRE = Layers()
_RFC3339 = re.compile(r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(?:[Zz]|([+-])(\d\d):(\d\d))", re.ASCII)
_SPACE = re.compile(r"[ \t\r\n]*")
_EPOCH = date(1970, 1, 1).toordinal()
SECONDS_END, MILLISECONDS_END, MICROSECONDS_END = 10**11, 10**14, 10**17
"""A Unix time below the first is in seconds, below the second in milliseconds, below the third in microseconds."""


def encode_event(event: Event) -> bytes:
    """Write an event as a sender would."""
    return msgspec.json.encode(event)


def event_schema() -> dict[str, Any]:
    """Return the JSON Schema of one event."""
    (schema,), definitions = msgspec.json.schema_components([Event], ref_template="#/$defs/{name}")
    return {**schema, "$defs": definitions}


def read_events(value: bytes, append_ns: int) -> tuple[list[Told], list[Fault]]:
    """Read all events of a record, one by one, and say what is wrong with the others."""
    if len(value) > MAX_FRAME_BYTES:
        return [], [Fault(0, f"record: expected at most {MAX_FRAME_BYTES} bytes, found {len(value)}", value)]
    faults: list[Fault] = []
    events: list[tuple[int, str, bytes, Event]] = []
    try:
        found = list(pieces(value))
        if len(found) > MAX_ROWS:
            return [], [Fault(0, f"record: expected at most {MAX_ROWS} events, found {len(found)}", value)]
        for part, where, raw in found:
            try:
                events += _piece(raw, part, where)
            except UNREADABLE as error:
                faults.append(Fault(part, _reason(error, where), raw))
    except UNREADABLE as error:
        return [], [Fault(0, _reason(error, ""), value)]
    told = []
    for part, where, raw, event in events:
        try:
            told.append(check_event(part, event, append_ns))
        except ValueError as error:
            faults.append(Fault(part, f"{where}.{error}".removeprefix("."), raw or encode_event(event)))
    return told, sorted(faults)


def check_event(part: int, event: Event, append_ns: int) -> Told:
    """Check what the types can't hold; raise `ValueError` with the key and what is wrong."""
    fault = device_id_fault(event.device_id.encode())
    if fault:
        raise ValueError(f"device_id: {fault.removeprefix('device id: ')}")
    for key, text in (("neuron_layer", event.neuron_layer), ("peer", event.peer)):
        fault = text_fault(text.encode()) if isinstance(text, str) else None
        if fault:
            raise ValueError(f"{key}: {fault}")
    return Told(part, event, read_layer(event.neuron_layer), append_ns if event.time is None else read_time(event.time))


def read_layer(given: int | str | None) -> int | str:
    """Return the wire number where one is given, as a number or as text, else the name."""
    if isinstance(given, str):
        number = _WIRE.code(given)
        return given if number < 0 else number
    return given or 0


def read_time(given: int | float | str) -> int:  # noqa: PYI041 -- the three kinds of a time
    """Return nanoseconds since 1970; raise `ValueError` for what is no such time."""
    if isinstance(given, str):
        found = _read_text(given)
    elif given < SECONDS_END:
        found = _scaled(given, 10**9)
    elif given < MILLISECONDS_END:
        found = _scaled(given, 10**6)
    elif given < MICROSECONDS_END:
        found = _scaled(given, 10**3)
    else:
        found = int(given)
    if not 0 <= found <= MAX_TIME_NS:
        raise ValueError(f"time: expected a time from 1970 to 2116, found {given!r}")
    return found


def _scaled(given: float, unit: int) -> int:
    whole = int(given)
    return whole * unit + round((given - whole) * unit)


def _read_text(text: str) -> int:
    found = _RFC3339.fullmatch(text)
    if not found:
        raise ValueError(f"time: expected RFC 3339 with at most 9 digits of a second, found {text!r}")
    year, month, day, hour, minute, second = map(int, found.group(1, 2, 3, 4, 5, 6))
    away = (int(found[9]) * 60 + int(found[10])) * (-1 if found[8] == "-" else 1) if found[8] else 0
    try:
        days = date(year, month, day).toordinal() - _EPOCH
    except ValueError as error:
        raise ValueError(f"time: {error}, found {text!r}") from None
    if hour > 23 or minute > 59 or second > 59 or (found[8] and (int(found[9]) > 23 or int(found[10]) > 59)):  # noqa: PLR2004 -- a clock
        raise ValueError(f"time: expected a clock time below 24:00:00, found {text!r}")
    seconds = days * 86_400 + (hour * 60 + minute - away) * 60 + second
    return seconds * 10**9 + int((found[7] or "").ljust(9, "0"))


def pieces(value: bytes) -> Iterator[tuple[int, str, bytes]]:
    """Cut a record into (part, where, JSON of one event or of columns)."""
    text = value.strip(b" \t\r\n")
    if text[:1] == b"[":
        for part, raw in enumerate(_elements(text)):
            yield part, f"[{part}]", raw
        return
    try:
        _decode_any(text)
    except UNREADABLE:
        lines = [(at, line) for at, line in enumerate(part.strip(b" \t\r") for part in value.split(b"\n")) if line]
        if len(lines) < 2 or not any(map(_is_object, lines)):  # noqa: PLR2004 -- lines are several
            raise
        for at, line in lines:
            yield at, f"[{at}]", line
        return
    yield 0, "", text


def _elements(text: bytes) -> Sequence[bytes]:
    """Cut an array; one that only Python's parser reads holds a NaN, which its own element answers for."""
    try:
        return [bytes(raw) for raw in _decode_elements(text)]
    except UNREADABLE:
        found = _scanned(text.decode())
        if not found:
            raise
        return found


def _scanned(text: str) -> list[bytes]:
    """Cut an array as Python's parser reads it; [] for what is none."""
    found: list[bytes] = []
    at = 1
    try:
        while True:
            begin = _skip(text, at)
            _, end = _scan(text, begin)
            found.append(text[begin:end].encode())
            at = _skip(text, end) + 1
            if text[at - 1] != ",":
                return found if text[at - 1 :] == "]" else []
    except (ValueError, IndexError, RecursionError):
        return []


def _skip(text: str, at: int) -> int:
    space = _SPACE.match(text, at)
    return space.end() if space else at


def _is_object(line: tuple[int, bytes]) -> bool:
    try:
        _decode_any(line[1])
    except UNREADABLE:
        return False
    return line[1][:1] == b"{"


def _piece(raw: bytes, part: int, where: str) -> list[tuple[int, str, bytes, Event]]:
    """Read one event, or columns where the record itself is an object with a list under a known key."""
    try:
        return [(part, where, raw, decode_event(raw))]
    except msgspec.ValidationError:
        if where or raw[:1] != b"{":
            raise
        keys = decode_keys(raw)
        if not any(bytes(keys.get(key, b"")).lstrip()[:1] == b"[" for key in Event.__struct_fields__):
            raise
    return [(at, f"[{at}]", b"", event) for at, event in enumerate(_expanded(_decode_columns(raw)))]


def _expanded(columns: EventColumns) -> list[Event]:
    given = {key: getattr(columns, key) for key in EventColumns.__struct_fields__}
    lengths = {key: len(value) for key, value in given.items() if isinstance(value, list)}
    if len(set(lengths.values())) != 1:
        raise msgspec.ValidationError(f"Expected lists of one length, found {lengths}")
    rows = next(iter(lengths.values()))
    lists = [value if isinstance(value, list) else [value] * rows for value in given.values()]
    return [Event(*row) for row in zip(*lists, strict=True)]


def _reason(error: Exception, where: str) -> str:
    """Name the place first, as a reader looks for it."""
    if isinstance(error, RecursionError):
        return f"{where or 'record'}: nested too deeply"
    if isinstance(error, UnicodeDecodeError):
        return f"{where or 'record'}: expected UTF-8, found {error.object[error.start : error.start + 1]!r}"
    text, _, path = str(error).replace("`", "").partition(" - at ")
    place = where + path.removeprefix("$")
    text = text if text.startswith("JSON") else text[:1].lower() + text[1:]
    return f"{place.removeprefix('.') or 'record'}: {text}"
