"""Decoding to columns is decoding plainly, only faster: same frames, same rows, same refusals."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from crc32c import crc32c
from hypothesis import given
from hypothesis import strategies as st

from spikebridge.spikes.batch import ROLE_OUTPUT, SUMMARY
from spikebridge.spikes.columns import FlatRows, PackedRows
from spikebridge.spikes.decode import Decoder, read_record, unpack_record
from spikebridge.spikes.frame import Head, encode_counts, encode_events, encode_tick, encode_window
from spikebridge.spikes.names import NO_LAYER, Devices, Layers
from spikebridge.spikes.record import Record

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spikebridge.spikes.batch import Batch
    from spikebridge.spikes.parts import Part

SECOND = 1_000_000_000
FRAME_NS = 300 * SECOND
NOW = 1_790_000_000 * SECOND


def plain_frames(records: Sequence[Record], devices: Devices, layers: Layers) -> tuple[list[tuple[Any, ...]], list[Any]]:
    """Read records one by one."""
    frames, refused = [], []
    for place, record in enumerate(records):
        reading = read_record(record, FRAME_NS)
        refused += [bad._replace(record=place) for bad in reading.refused]
        frames += [as_tuple(place, part, devices, layers) for part in reading.parts]
    return frames, refused


def as_tuple(place: int, part: Part, devices: Devices, layers: Layers) -> tuple[Any, ...]:
    """Return what a batch says of a part."""
    layer = part.layer if isinstance(part.layer, int) else layers.code(part.layer)
    keys = (place, devices.index(part.device_id), layer, part.role, len(part.neurons), part.start_ns, part.end_ns)
    rows = (part.neurons.tolist(), part.times.tolist(), part.weights.tolist())
    return (*keys, part.boot, part.seq, part.crc if part.boot else 0, *rows)


def batch_frames(batch: Batch, order: np.ndarray[Any, np.dtype[np.intp]]) -> list[tuple[Any, ...]]:
    """Ask a batch for frames in an order, and for all of their rows."""
    n = batch.n[order]
    frame_of = np.repeat(np.arange(len(order)), n)
    row = np.arange(n.sum()) - np.repeat(np.cumsum(n) - n, n)
    neurons, times = batch.rows.neurons(order), batch.rows.times(order, frame_of, row)
    weights = batch.rows.weights(order, frame_of, row)
    weights = np.ones(len(row), np.int64) if weights is None else weights
    columns = (
        batch.record,
        batch.device,
        batch.layer,
        batch.role,
        batch.n,
        batch.start_ns,
        batch.end_ns,
        batch.boot,
        batch.seq,
        np.where(batch.boot == 0, np.uint32(0), batch.crc),
    )
    found = []
    for place, frame in enumerate(order.tolist()):
        rows = frame_of == place
        keys = [int(column[frame]) for column in columns]
        found.append((*keys, neurons[rows].tolist(), times[rows].tolist(), weights[rows].tolist()))
    return found


def resealed(value: bytes) -> bytes:
    """Give bytes the checksum that fits."""
    return value[:-4] + crc32c(value[:-4]).to_bytes(4, "little")


NAMES = st.sampled_from(["a", "b", "ü-3", "x" * 128])
FAULTY = st.sampled_from(["", "x" * 129, "ü" * 100, "a\x00", "\x1b[2J"])
PEERS = st.sampled_from([None, "10.0.0.1", "p"])


@st.composite
def frames(draw: st.DrawFn) -> bytes:
    """Draw a frame, good or hurt, of any kind."""
    kind = draw(st.sampled_from(["events", "events", "events", "count", "window", "tick"]))
    head = Head(
        device=draw(NAMES),
        start_ns=NOW + draw(st.integers(-(10**12), 10**12)),
        step_ns=draw(st.sampled_from([1, 1_000, 1 << 30])),
        layer=draw(st.sampled_from([0, 3, 65_535])),
        role=draw(st.integers(0, 1)),
        boot=draw(st.sampled_from([0, 7, 2**64 - 1])),
        seq=draw(st.integers(0, 3)),
    )
    rows = draw(st.lists(st.tuples(st.sampled_from([1, 42, SUMMARY]), st.integers(0, 400), PEERS), max_size=5))
    neurons, steps = [row[0] for row in rows], [row[1] for row in rows]
    peers = [row[2] for row in rows] if draw(st.booleans()) else None
    evidence = draw(st.sampled_from([b"", b"", b"seen it"])) if rows and head.role == ROLE_OUTPUT else b""
    if kind == "events":
        value = encode_events(head, neurons, steps, peers, evidence)
    elif kind == "count":
        value = encode_counts(head, neurons, steps, [step % 3 for step in steps], peers, evidence)
    elif kind == "window":
        value = encode_window(head, [1, 2], [[draw(st.integers(0, 2**32 - 1))], [5]])
    else:
        value = encode_tick(NOW, draw(st.sampled_from([None, 1])))
    hurt = draw(st.sampled_from(["", "", "", "byte", "sealed", "cut"]))
    if hurt == "cut":
        return value[: draw(st.integers(4, len(value)))]
    if hurt:
        at = draw(st.integers(4, len(value) - 5))
        value = value[:at] + bytes([draw(st.integers(0, 255))]) + value[at + 1 :]
    return resealed(value) if hurt == "sealed" else value


TIMES = st.one_of(
    st.none(),
    st.sampled_from(
        [NOW, NOW // 1_000, NOW // 10**6, NOW // SECOND, NOW / SECOND + 0.25, 0, 10**11, -1, 2**62 + 1, True, "now", [1]]
    ),
    st.sampled_from(
        ["2026-09-21T14:13:20Z", "2026-09-21T14:13:20.123456789Z", "2026-09-21T16:13:20.5+02:00", "2026-02-30T00:00:00Z"]
    ),
    st.sampled_from(
        ["2026-09-21t14:13:20z", "1969-12-31T23:59:59Z", "2026-09-21T24:00:00Z", "NaT", "", "\uff12026-09-21T14:13:20Z"]
    ),
)


@st.composite
def events(draw: st.DrawFn, *, clean: bool = False) -> dict[str, Any]:
    """Draw one event, mostly good."""
    wild = 0 if clean else 1
    found: dict[str, Any] = {"device_id": draw(NAMES) if draw(st.integers(0, 9)) >= wild else draw(FAULTY)}
    choices = {
        "neuron_id": st.sampled_from([0, 42, 42, 2**32 - 2, *([-1, 2**32 - 1, 1.5, "1"] * wild)]),
        "neuron_layer": st.sampled_from(["out", "3", 3, "named", *(["", 65_536, "a\x07"] * wild)]),
        "time": st.sampled_from([NOW, NOW + 7, NOW // SECOND]) if clean else TIMES,
        "spike_count": st.sampled_from([0, 1, 45, *([-1, 2**32] * wild)]),
        "peer": st.sampled_from(["10.0.0.1", *(["\x7f"] * wild)]),
        "boot": st.sampled_from([0, 7]),
        "seq": st.sampled_from([1, 2]),
        "unknown": st.just({"a": [1]}),
    }
    for key, values in choices.items():
        if draw(st.booleans()):
            found[key] = draw(values)
    return found


@st.composite
def texts(draw: st.DrawFn) -> bytes:
    """Draw JSON as senders write it: one event, an array, lines, columns, and what goes wrong with them."""
    some = draw(st.lists(events(clean=draw(st.booleans())), min_size=1, max_size=5))
    shape = draw(st.sampled_from(["one", "one", "array", "lines", "columns", "pretty", "cut"]))
    if shape == "array":
        return json.dumps(some, ensure_ascii=draw(st.booleans())).encode()
    if shape == "lines":
        return draw(st.sampled_from([b"\n", b"\r\n", b"\n\n", b" \n "])).join(json.dumps(one).encode() for one in some)
    if shape == "columns":
        keys = draw(st.sets(st.sampled_from(["neuron_id", "time", "spike_count", "neuron_layer"])))
        lists = {key: [one.get(key) for one in some] for key in keys}
        return json.dumps({"device_id": draw(st.sampled_from(["a", [one["device_id"] for one in some]])), **lists}).encode()
    text = json.dumps(some[0], indent=1 if shape == "pretty" else None).encode()
    return text[: draw(st.integers(0, len(text)))] if shape == "cut" else text


NOISE = st.sampled_from(
    [b"", b"\x00garbage", b"[]", b" [] ", b"{}", b"3", b"null", b"[" * 5_000, b'{"device_id":"\\ud800"}', b'{"device_id":"\xff"}']
)
VALUES = st.one_of(frames(), frames(), texts(), texts(), texts(), NOISE, st.binary(max_size=90))


def held(values: list[bytes], shuffle: int, keys: Sequence[bytes | None] = ()) -> None:
    """Hold the batch of these records to their plain reading."""
    given = [*keys, *[None] * len(values)]
    records = [Record(10 + 3 * place, NOW + place, value, given[place]) for place, value in enumerate(values)]
    devices, layers = Devices(), Layers()
    layers.add("named")

    batch = Decoder(devices, layers, FRAME_NS).decode(records)

    expected, refused = plain_frames(records, devices, layers)
    order = np.random.default_rng(shuffle).permutation(len(batch.n))
    assert batch_frames(batch, np.arange(len(batch.n))) == expected
    assert batch_frames(batch, order) == [expected[place] for place in order.tolist()]
    assert batch.refused == refused
    assert batch.offset.tolist() == [record.offset for record in records]
    assert batch.append_ns.tolist() == [record.append_ns for record in records]
    assert batch.spikes == sum(sum(frame[-1]) for frame in expected)
    assert all(bad.reason for bad in refused)


@given(st.lists(VALUES, max_size=8), st.integers(0, 9))
def test_a_batch_is_what_its_records_read_one_by_one(values: list[bytes], shuffle: int) -> None:
    """Any mix of frames, JSON and noise: same frames, same rows in any order asked, same refusals."""
    held(values, shuffle)


@given(st.lists(frames(), max_size=8), st.integers(0, 9))
def test_frames_alone_are_read_alike(values: list[bytes], shuffle: int) -> None:
    """Rows stay packed where only events frames are good."""
    held(values, shuffle)


@given(st.lists(texts(), max_size=8), st.integers(0, 9))
def test_json_alone_is_read_alike(values: list[bytes], shuffle: int) -> None:
    """Events, arrays, lines, columns, and all that can be wrong with them."""
    held(values, shuffle)


@given(st.lists(VALUES, max_size=8), st.integers(0, 9), st.lists(st.one_of(st.none(), NAMES.map(str.encode)), max_size=8))
def test_keys_are_looked_at_alike(values: list[bytes], shuffle: int, keys: list[bytes | None]) -> None:
    """A record of another device than its key's is refused on every way of reading."""
    held(values, shuffle, keys)


def test_a_device_speaks_only_under_its_own_key() -> None:
    """A frame whose device differs from the key of its record is refused; in an array its neighbours count; none gets an index."""
    frame = encode_events(Head(device="a", start_ns=NOW), [1], [0])
    array = b'[{"device_id":"a","neuron_id":1},{"device_id":"b","neuron_id":1},{"device_id":"a","neuron_id":2}]'
    devices = Devices()
    records = [Record(0, NOW, frame, b"a"), Record(1, NOW, frame, b"b"), Record(2, NOW, array, b"a"), Record(3, NOW, frame, b"")]

    batch = Decoder(devices, Layers(), FRAME_NS).decode([*records, Record(4, NOW, encode_tick(NOW), b"")])

    assert batch.record.tolist() == [0, 2, 2]
    assert [(bad.record, bad.part, bad.reason) for bad in batch.refused] == [
        (1, 0, 'key: expected the id of the record\'s device "a", found "b"'),
        (2, 1, 'key: expected the id of the record\'s device "b", found "a"'),
        (3, 0, 'key: expected the id of the record\'s device "a", found none'),
    ]
    assert [device for device, _ in devices.items()] == ["a"]


@pytest.mark.long
@given(st.lists(VALUES, max_size=12), st.integers(0, 9))
def test_a_batch_is_what_its_records_read_one_by_one_at_length(values: list[bytes], shuffle: int) -> None:
    """The same, for longer."""
    held(values, shuffle)


@pytest.mark.fuzz
@given(st.lists(st.binary(max_size=300), max_size=4))
def test_no_bytes_raise(values: list[bytes]) -> None:
    """Whatever lies in a log, decoding goes on."""
    held([*values, *(b"SPKB" + value for value in values), *(b'{"device_id":' + value for value in values)], 0)


def test_events_frames_stay_packed_beside_a_bad_one_and_a_tick() -> None:
    """One broken sender doesn't make decoding slow for all."""
    good = encode_events(Head(device="a", start_ns=NOW), [1], [0])

    batch = Decoder(Devices(), Layers(), FRAME_NS).decode(
        [Record(0, NOW, value) for value in (good, good[:-1], encode_tick(NOW))]
    )

    assert isinstance(batch.rows, PackedRows)
    assert batch.record.tolist() == [0]
    assert [bad.record for bad in batch.refused] == [1]


def test_a_frame_with_evidence_counts_as_one_without() -> None:
    """Its spikes stay packed too: one alarm doesn't make decoding slow for all."""
    head = Head(device="a", start_ns=NOW)
    values = [encode_events(head, [1], [0]), encode_events(head, [2, 3], [0, 4], evidence=b"seen it")]

    batch = Decoder(Devices(), Layers(), FRAME_NS).decode([Record(at, NOW, value) for at, value in enumerate(values)])

    assert isinstance(batch.rows, PackedRows)
    assert (batch.n.tolist(), batch.spikes, batch.refused) == ([1, 2], 3, [])
    assert batch.rows.neurons(np.array([1])).tolist() == [2, 3]


def test_bad_evidence_is_refused_where_it_lies_and_its_neighbours_count() -> None:
    """The reason names what is wrong with it."""
    good = encode_events(Head(device="a", start_ns=NOW), [1], [0], evidence=b"seen it")
    bad = resealed(good[:-8] + bytes(8))

    batch = Decoder(Devices(), Layers(), FRAME_NS).decode([Record(at, NOW, value) for at, value in enumerate([good, bad, good])])

    assert batch.record.tolist() == [0, 2]
    assert [(one.record, one.reason, one.raw) for one in batch.refused] == [
        (1, "evidence: expected 1 to 32768 bytes, found 0", bad)
    ]


@pytest.mark.parametrize("asked", [1, 2_000])
def test_few_rows_and_many_have_the_same_times(asked: int) -> None:
    """Single rows are cut out of the bytes; many are opened with their frames."""
    records = [
        Record(at, NOW, encode_events(Head(device="a", start_ns=NOW + at), range(1_000), range(0, 2_000, 2))) for at in range(3)
    ]
    batch = Decoder(Devices(), Layers(), FRAME_NS).decode(records)
    frame_of, row = np.arange(asked) % 3, np.arange(asked) % 1_000

    times = batch.rows.times(np.array([2, 0, 1]), frame_of, row)

    assert times.tolist() == [NOW + (2, 0, 1)[frame] + 2_000 * place for frame, place in zip(frame_of, row, strict=True)]


def test_a_layer_that_nobody_named_reads_as_none() -> None:
    """Senders can't fill the table of layers."""
    layers = Layers()
    named = layers.add("out")
    values = [b'{"device_id":"a","neuron_id":1,"neuron_layer":"%s"}' % name for name in (b"out", b"other", b"7")]

    batch = Decoder(Devices(), layers, FRAME_NS).decode([Record(0, NOW, value) for value in values])

    assert isinstance(batch.rows, FlatRows)
    assert batch.layer.tolist() == [named, NO_LAYER, 7]


def test_refused_devices_get_no_index() -> None:
    """What is refused leaves nothing behind."""
    devices = Devices()
    far = b'[{"device_id":"far","neuron_id":1,"time":1790000000},{"device_id":"far","neuron_id":1,"time":1790000999}]'
    wide = encode_events(Head(device="wide", start_ns=NOW, step_ns=SECOND), [1, 1], [0, 301])

    batch = Decoder(devices, Layers(), FRAME_NS).decode([Record(0, NOW, far), Record(1, NOW, wide)])

    assert devices.alive == 0
    assert [bad.reason for bad in batch.refused] == [
        "time span: expected at most 300000000000 ns, found 999000000000",
        "time span: expected at most 300000000000 ns, found 301000000000",
    ]
    assert batch.refused[0].raw == far


def test_one_record_is_one_span_for_each_device() -> None:
    """All rows that a record holds for a device are moved together, whatever lies between them."""
    value = b"\n".join(
        b'{"device_id":"%s","neuron_id":1,"time":%d,"boot":%d,"seq":%d}' % one
        for one in ((b"a", NOW + 5, 7, 1), (b"b", NOW, 8, 2), (b"a", NOW + 1, 9, 3))
    )

    parts = unpack_record(Record(0, NOW, value), FRAME_NS)

    assert [(part.device_id, part.start_ns - NOW, part.end_ns - NOW, part.boot, part.seq) for part in parts] == [
        ("a", 1, 5, 7, 1),
        ("b", 0, 0, 8, 2),
        ("a", 1, 5, 7, 1),
    ]
