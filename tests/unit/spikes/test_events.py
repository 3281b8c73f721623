"""JSON events: what is exact, what is refused, and where."""

from __future__ import annotations

import json
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spikebridge.spikes.batch import SUMMARY
from spikebridge.spikes.events import Event, encode_event, event_schema, read_events, read_time
from spikebridge.spikes.layout import MAX_FRAME_BYTES, MAX_TIME_NS
from spikebridge.spikes.parts import read_record
from spikebridge.spikes.record import Record
from spikebridge.spikes.told import read_times
from spikebridge.timestamps import rfc3339

NOW = 1_790_000_000_123_456_789


def reasons(value: bytes) -> list[tuple[int, str]]:
    """Return what is refused of a record: the part and why."""
    return [(bad.part, bad.reason) for bad in read_record(Record(0, NOW, value), 300 * 10**9).refused]


def test_the_summary_reads_exactly_as_it_is_promised() -> None:
    """No neuron: the whole layer; no time: that of the record."""
    (part,) = read_record(Record(0, NOW, b'{"device_id": "sensor_01", "spike_count": 45, "neuron_layer": "output_3"}'), 0).parts

    assert (part.device_id, part.layer, part.start_ns, part.end_ns) == ("sensor_01", "output_3", NOW, NOW)
    assert (part.neurons.tolist(), part.times.tolist(), part.weights.tolist()) == ([SUMMARY], [NOW], [45])


def test_a_bare_device_proves_that_it_lives() -> None:
    """A frame without rows, of its own time where it names one."""
    parts = read_record(Record(0, NOW, b'{"device_id": "x"}'), 0).parts
    parts += read_record(Record(0, NOW, b'{"device_id": "x", "time": 1790000000}'), 0).parts

    assert [(len(part.neurons), part.start_ns) for part in parts] == [(0, NOW), (0, 1_790_000_000 * 10**9)]


@given(st.integers(0, MAX_TIME_NS), st.sampled_from([0, 3, 6, 9]), st.sampled_from([0, 120, -570]))
def test_a_text_is_exact_to_the_nanosecond(time_ns: int, digits: int, zone: int) -> None:
    """Alone and in bulk, in any zone."""
    unit = 10 ** (9 - digits)
    time_ns = time_ns // unit * unit
    if zone and not time_ns + zone * 60 * 10**9 >= 0:
        zone = 0
    text = rfc3339(time_ns + zone * 60 * 10**9)[: 19 + bool(digits) + digits]
    text += f"{'-' if zone < 0 else '+'}{abs(zone) // 60:02d}:{abs(zone) % 60:02d}" if zone else "Z"

    times, faults = read_times([text, text], np.zeros(2, np.int64))

    assert read_time(text) == time_ns
    assert times.tolist() == [time_ns] * 2
    assert not faults.any()


@given(st.integers(0, MAX_TIME_NS))
def test_a_whole_number_is_exact_in_its_unit(number: int) -> None:
    """Below 1e11 seconds, below 1e14 ms, below 1e17 us, otherwise ns: alone and in bulk."""
    unit = next((unit for end, unit in ((10**11, 10**9), (10**14, 10**6), (10**17, 10**3)) if number < end), 1)
    expected = number * unit

    times, faults = read_times([number], np.zeros(1, np.int64))

    assert faults.tolist() == [expected > MAX_TIME_NS]
    if expected <= MAX_TIME_NS:
        assert [read_time(number), *times.tolist()] == [expected] * 2


@given(st.floats(0, 4.6e9))
def test_a_fraction_is_the_double_to_the_nanosecond(number: float) -> None:
    """No more is lost than the double has lost already."""
    assert abs(read_time(number) - Fraction(number) * 10**9) <= 1


EVERY_KEY = Event(device_id="ü", neuron_id=0, neuron_layer="a", time=NOW, spike_count=0, peer="p", boot=1, seq=2)


def test_an_event_is_written_as_it_is_read() -> None:
    """All keys come back; what was left out stays out."""
    (told,), faults = read_events(encode_event(EVERY_KEY), 0)

    assert told.event == EVERY_KEY
    assert not faults
    assert encode_event(Event(device_id="x")) == b'{"device_id":"x"}'


def test_the_schema_describes_every_key() -> None:
    """An editor shows the same words as the manual."""
    schema = event_schema()

    assert schema["$ref"] == "#/$defs/Event"
    assert all(key.get("description") for key in schema["$defs"]["Event"]["properties"].values())
    assert set(schema["$defs"]["Event"]["properties"]) == set(Event.__struct_fields__)


REFUSED = {
    "empty": (b"", [(0, "record: input data was truncated")]),
    "truncated": (b'{"device_id":"x"', [(0, "record: input data was truncated")]),
    "no container": (b"42", [(0, "record: expected object, got int")]),
    "no device": (b"{}", [(0, "record: object missing required field device_id")]),
    "neuron -1": (b'{"device_id":"x","neuron_id":-1}', [(0, "neuron_id: expected int >= 0")]),
    "NaN": (b'{"device_id":"x","time":NaN}', [(0, "record: JSON is malformed: invalid character (byte 24)")]),
    "infinite": (b'{"device_id":"x","time":1e999}', [(0, "time: number out of range")]),
    "too late": (b'{"device_id":"x","time":4700000000}', [(0, "time: expected a time from 1970 to 2116, found 4700000000")]),
    "no UTF-8": (b'{"device_id":"\xff"}', [(0, "record: expected UTF-8, found b'\\xff'")]),
    "half a letter": (b'{"device_id":"\\ud800x\\ud800y"}', [(0, "record: JSON is malformed: unexpected end of hex escape (byte 20)")]),
    "NUL": (b'{"device_id":"a\\u0000"}', [(0, "device_id: expected no control characters")]),
    "control": (b'{"device_id":"x","neuron_id":1,"peer":"\\u001b"}', [(0, "peer: expected no control characters")]),
    "nesting": (b'{"device_id":"x","more":' + b"[" * 900_000, [(0, "record: nested too deeply")]),
    "ten megabytes": (b"[" * 10_000_000, [(0, "record: expected at most 1048576 bytes, found 10000000")]),
    "half a day": (b'{"device_id":"x","time":"2026-02-30T00:00:00Z"}', [(0, "time: day is out of range for month, found '2026-02-30T00:00:00Z'")]),
    "second 60": (b'{"device_id":"x","time":"2026-06-30T23:59:60Z"}', [(0, "time: expected a clock time below 24:00:00, found '2026-06-30T23:59:60Z'")]),
    "words": (b'{"device_id":"x","time":"now"}', [(0, "time: expected RFC 3339 with at most 9 digits of a second, found 'now'")]),
    "columns": (b'{"device_id":"x","neuron_id":[1,-2]}', [(0, "neuron_id[1]: expected int >= 0")]),
    "uneven columns": (
        b'{"device_id":"x","neuron_id":[1,2],"time":[1]}',
        [(0, "record: expected lists of one length, found {'neuron_id': 2, 'time': 1}")],
    ),
    "too many rows": (b'{"device_id":"x","neuron_id":[' + b"1," * 100_000 + b"1]}", [(0, "neuron_id: expected array of length <= 100000")]),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_a_bad_record_is_refused_with_its_place(name: str) -> None:
    """Nothing is raised, nothing is guessed."""
    value, expected = REFUSED[name]

    assert reasons(value) == expected
    assert [bad.raw for bad in read_record(Record(0, NOW, value), 0).refused] == [value]


BAD = [b'{"device_id":"x","neuron_id":-1}', b'{"device_id":"x","time":NaN}', b'{"device_id":"\xff"}', b'{"device_id":""}', b"[1]"]


@pytest.mark.parametrize("bad", range(len(BAD)))
@pytest.mark.parametrize("shape", ["array", "lines"])
def test_the_neighbours_of_a_bad_event_count(bad: int, shape: str) -> None:
    """One wrong element or line is refused alone, with its own bytes."""
    good = [b'{"device_id":"a","neuron_id":1}', b'{"device_id":"b","neuron_id":2}']
    pieces = [good[0], BAD[bad], good[1]]
    value = b"[" + b" ,\n".join(pieces) + b"]" if shape == "array" else b"\n".join(pieces)

    reading = read_record(Record(0, NOW, value), 0)

    assert [part.device_id for part in reading.parts] == ["a", "b"]
    assert [(one.part, one.raw) for one in reading.refused] == [(1, BAD[bad])]
    assert reading.refused[0].reason.startswith("[1]")


def test_an_array_that_is_cut_off_is_refused_whole() -> None:
    """Half a record is no record."""
    assert [part for part, _ in reasons(b'[{"device_id":"a"},{"device_id":"b"')] == [0]


def test_reading_stays_linear() -> None:
    """A record of the largest size with a NaN at its end is cut once, not once an element."""
    many = [{"device_id": "x"}] * 45_000
    value = json.dumps([*many, {"device_id": "x", "time": float("nan")}], separators=(",", ":")).encode()
    assert len(value) <= MAX_FRAME_BYTES

    reading = read_record(Record(0, NOW, value), 0)

    assert [bad.part for bad in reading.refused] == [45_000]


MANY_BAD = {
    "array": b'[{"device_id":"a"},' + b",\n".join([b'{"neuron_id":\n1}'] * 50_000) + b"]",
    "lines": b'{"device_id":"a"}\n' + b"\n".join([b'{"neuron_id": 1}'] * 50_000),
    "columns": json.dumps({"device_id": ["a"] + ["\0"] * 50_000, "neuron_layer": "n" * 128, "peer": "p" * 64}).encode(),
}


@pytest.mark.parametrize("shape", MANY_BAD)
def test_a_record_of_bad_events_is_a_hundred_letters_and_one(shape: str) -> None:
    """The last stands for all others, holds what fits in a record, and is read again as lines."""
    reading = read_record(Record(0, NOW, MANY_BAD[shape]), 0)

    assert [part.device_id for part in reading.parts] == ["a"]
    assert [bad.part for bad in reading.refused] == list(range(1, 102))
    last = reading.refused[-1]
    assert last.reason.startswith("record: and 49900 more; [101]")
    assert len(last.raw) <= MAX_FRAME_BYTES
    lines = last.raw.splitlines()
    assert len(lines) == (49_900 if shape != "columns" else len(lines))
    assert set(lines) == {reading.refused[0].raw.replace(b"\n", b" ")}
    assert [bad.part for bad in read_record(Record(0, NOW, last.raw), 0).refused] == list(range(101))


def test_a_record_of_too_many_parts_is_refused_whole() -> None:
    """Also where none of them is an event."""
    value = b"[" + b"1," * 400_000 + b"1]"

    assert reasons(value) == [(0, "record: expected at most 100000 events, found 400001")]


def test_columns_of_another_device_than_the_key_fill_no_more_than_a_record() -> None:
    """As events they are ten times as long as what was sent."""
    value = json.dumps({"device_id": "b" * 128, "neuron_id": [1] * 50_000, "peer": "p" * 64}).encode()

    (bad,) = read_record(Record(0, NOW, value, b"a"), 0).refused

    assert bad.reason.startswith("key: ")
    assert MAX_FRAME_BYTES // 2 < len(bad.raw) <= MAX_FRAME_BYTES
    assert len(json.loads(bad.raw)) < 50_000
