"""The binary frame: what is written is read, and nothing else is."""

from __future__ import annotations

import contextlib
import struct
from typing import TYPE_CHECKING

import numpy as np
import pytest
from crc32c import crc32c
from hypothesis import given
from hypothesis import strategies as st

from spikebridge.errors import FrameError
from spikebridge.spikes.batch import ROLE_INPUT, SUMMARY
from spikebridge.spikes.frame import (
    Head,
    encode_counts,
    encode_events,
    encode_tick,
    encode_window,
    is_frame,
    is_tick,
    marker_of,
    split_events,
    unpack,
)
from spikebridge.spikes.layout import DATAGRAM_BYTES, HEADER_BYTES, MAX_EVIDENCE_BYTES, MAX_FRAME_BYTES, MAX_TIME_NS, RESIDUE

if TYPE_CHECKING:
    from collections.abc import Callable

START = 1_790_000_000_000_000_000
FRAME_NS = 300_000_000_000
HEAD = Head(device="cam-1", start_ns=START, step_ns=1_000, layer=3, boot=7, seq=9, digest=0x0123456789ABCDEF)


def resealed(value: bytes, at: int, patch: bytes) -> bytes:
    """Change bytes of a frame and give it the checksum that fits."""
    body = (value[:at] + patch + value[at + len(patch) :])[:-4]
    return body + crc32c(body).to_bytes(4, "little")


@given(
    st.lists(st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 10_000), st.sampled_from([None, "10.0.0.9", "ü"])), max_size=40)
)
def test_events_come_back_as_they_were_written(rows: list[tuple[int, int, str | None]]) -> None:
    """Neurons, times and peers in order, and the head whole."""
    neurons, steps, peers = [row[0] for row in rows], sorted(row[1] for row in rows), [row[2] for row in rows]

    frame = unpack(encode_events(HEAD, neurons, steps, peers), FRAME_NS)

    assert frame.head == HEAD
    assert frame.neurons.tolist() == neurons
    assert frame.times.tolist() == [START + 1_000 * step for step in steps]
    assert frame.weights.tolist() == [1] * len(rows)
    assert frame.peers == (peers if any(peers) else [])
    assert frame.end_ns == START + 1_000 * (steps[-1] if steps else 0)


def test_counts_come_back_with_their_weights() -> None:
    """A summary is a neuron of its own; a count of nothing is a row too."""
    frame = unpack(encode_counts(HEAD, [SUMMARY, 4], [5, 5], [45, 0]), FRAME_NS)

    assert frame.neurons.tolist() == [SUMMARY, 4]
    assert frame.weights.tolist() == [45, 0]


@given(st.integers(1, 3), st.integers(1, 3), st.data())
def test_bit_t_of_a_word_is_step_t(channels: int, words: int, data: st.DataObject) -> None:
    """A window's rows are its set bits, in the order of steps, then of channels."""
    table = [[data.draw(st.integers(0, 2**32 - 1)) for _ in range(words)] for _ in range(channels)]
    expected = [
        (100 + channel, START + 1_000 * step)
        for step in range(32 * words)
        for channel in range(channels)
        if table[channel][step // 32] >> step % 32 & 1
    ]

    frame = unpack(encode_window(HEAD, range(100, 100 + channels), table), FRAME_NS)

    assert list(zip(frame.neurons.tolist(), frame.times.tolist(), strict=True)) == expected
    assert frame.end_ns == START + 1_000 * (32 * words - 1)


def test_a_step_beyond_the_last_counts_as_the_last() -> None:
    """The end of a frame is known from its last row alone."""
    frame = unpack(encode_events(HEAD, [1, 2, 3], [9, 0, 5]), FRAME_NS)

    assert frame.times.tolist() == [START + 5_000, START, START + 5_000]


@given(st.integers(0, 600), st.integers(0, 40), st.integers(0, 5))
def test_a_split_fits_datagrams_and_loses_nothing(rows: int, names: int, step: int) -> None:
    """Pieces of at most 1,180 bytes with rising numbers hold the same spikes at the same times."""
    neurons, steps = np.arange(rows), np.arange(rows) * step
    peers = [f"10.0.0.{row % names}" for row in range(rows)] if names else None
    whole = unpack(encode_events(HEAD, neurons, steps, peers), FRAME_NS)

    values = list(split_events(HEAD, neurons, steps, peers))

    frames = [unpack(value, FRAME_NS) for value in values]
    assert max(map(len, values)) <= DATAGRAM_BYTES
    assert [frame.head.seq for frame in frames] == list(range(9, 9 + len(frames)))
    assert np.concatenate([frame.neurons for frame in frames]).tolist() == whole.neurons.tolist()
    assert np.concatenate([frame.times for frame in frames]).tolist() == whole.times.tolist()
    assert [peer for frame in frames for peer in frame.peers] == whole.peers


@pytest.mark.parametrize("tick", [encode_tick(START), encode_tick(START, 9)])
def test_the_beginning_of_a_tick_is_asked_without_an_error(tick: bytes) -> None:
    """However short a record is: anybody may append one."""
    role_at = 6
    assert [is_tick(tick[:size]) for size in range(len(tick) + 1)] == [size > role_at for size in range(len(tick) + 1)]


def test_a_tick_says_the_time_and_a_marker_the_revision() -> None:
    """Only a good tick with a number is a marker."""
    tick, marker = encode_tick(START), encode_tick(START, 2**64 - 1)

    assert (len(tick), len(marker)) == (72, 80)
    assert unpack(tick, FRAME_NS).head.start_ns == START
    assert marker_of(marker) == 2**64 - 1
    assert [marker_of(value) for value in (tick, b"", marker[:-1], marker[:-1] + b"x", b"{}" * 40)] == [None] * 5
    assert is_frame(marker)
    assert not is_frame(b"{}")


def test_the_checksum_of_a_whole_frame_is_one_constant() -> None:
    """So many frames are checked with no slice of any."""
    assert {crc32c(encode_events(HEAD, range(n), range(n))) for n in range(20)} == {RESIDUE}
    assert all(len(encode_counts(HEAD, range(n), range(n), range(n))) % 8 == 0 for n in range(20))


BROKEN: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "truncated": (lambda value: value[:60], "frame: expected 72 to 1048576 bytes, found 60"),
    "one byte short": (lambda value: value[:-1], "length: expected 95, found 96"),
    "huge": (lambda value: value + bytes(MAX_FRAME_BYTES), "frame: expected 72 to 1048576 bytes, found 1048672"),
    "absurd length": (lambda value: resealed(value, 8, b"\xff" * 4), "length: expected 96, found 4294967295"),
    "other magic": (lambda value: b"SPKX" + value[4:], "magic: expected b'SPKB', found b'SPKX'"),
    "version": (lambda value: resealed(value, 4, b"\x02"), "version: expected 1, found 2"),
    "checksum": (lambda value: value[:72] + b"\xff" + value[73:], "checksum: the CRC-32C does not fit the bytes"),
    "kind": (lambda value: resealed(value, 5, b"\x03"), "kind: expected 0, 1 or 2, found 3"),
    "role": (lambda value: resealed(value, 6, b"\x03"), "role: expected 0, 1 or 2, found 3"),
    "flags": (
        lambda value: resealed(value, 7, b"\x04"),
        "flags: expected 0, plus 1 where rows may name peers, plus 2 where output spikes may carry evidence, found 4",
    ),
    "evidence that isn't there": (lambda value: resealed(value, 7, b"\x02"), "evidence: expected 1 to 32768 bytes, found 0"),
    "absurd n": (
        lambda value: resealed(value, 12, b"\xff" * 4),
        "n: expected rows that fill 96 bytes, not 34359738440, found 4294967295",
    ),
    "negative start": (
        lambda value: resealed(value, 24, struct.pack("<q", -1)),
        "start: expected 0 to 4611686018427387904 ns, found -1",
    ),
    "no step": (lambda value: resealed(value, 32, bytes(4)), "step: expected 1 to 1073741824 ns, found 0"),
    "channels": (lambda value: resealed(value, 38, b"\x01"), "channels: expected at least 1 in a window, 0 in others, found 1"),
    "no device": (
        lambda value: resealed(value, 40, b"\0"),
        "payload: expected at byte 64, or later where peers are listed, found 72",
    ),
    "id": (lambda value: resealed(value, 64, b"\xff"), "device id: expected UTF-8"),
    "control": (lambda value: resealed(value, 64, b"\x1b"), "device id: expected no control characters"),
    "peers": (lambda value: resealed(value, 42, b"\x01"), "peers: expected at most 4096, none without their column, found 1"),
    "span": (lambda value: resealed(value, 84, b"\xff" * 4), "time span: expected at most 300000000000 ns, found 4294967295000"),
    "tick with a device": (
        lambda value: resealed(value, 6, b"\x02"),
        "tick: expected kind events, no device, at most one number, found 2",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_frame_says_what_is_wrong(name: str) -> None:
    """The first thing that is wrong, what was found and what was expected."""
    breaks, reason = BROKEN[name]

    with pytest.raises(FrameError) as refused:
        unpack(breaks(encode_events(HEAD, [1, 2], [0, 5])), FRAME_NS)

    assert str(refused.value) == reason


def test_a_window_can_ask_for_no_more_memory_than_the_limit() -> None:
    """Steps times channels are bound before anything is unpacked."""
    with pytest.raises(FrameError, match="window: expected at most 1048576 steps"):
        encode_window(HEAD, range(33), np.zeros((33, 1_000), np.uint32))

    value = encode_window(HEAD, [1], [[1]])
    with pytest.raises(FrameError, match="window: expected at most 1048576 steps in all, found 2097152"):
        unpack(resealed(value, 12, struct.pack("<I", 1 << 16)), FRAME_NS)


def with_evidence(plain: bytes, payload: int, evidence: bytes) -> bytes:
    """Put evidence into a frame as connector/README.md has it: `payload` is what its rows and peers take."""
    head, rows = bytearray(plain[:-4]), int.from_bytes(plain[44:48], "little") + payload
    body = bytes(head[:rows]) + bytes(-rows % 8) + evidence + bytes(-len(evidence) % 8) + struct.pack("<I", len(evidence))
    body = body[:7] + bytes([body[7] | 2]) + struct.pack("<I", len(body) + 4) + body[12:]
    return body + struct.pack("<I", crc32c(body))


@given(
    st.lists(st.tuples(st.integers(0, 9), st.sampled_from([None, "10.0.0.9"])), min_size=1, max_size=9),
    st.binary(min_size=1, max_size=50),
    st.booleans(),
)
def test_evidence_comes_back_to_the_byte_and_changes_nothing_else(
    rows: list[tuple[int, str | None]], evidence: bytes, counted: bool
) -> None:
    """Another writer of the layout writes the same bytes; rows, peers and head are those of the frame without."""
    neurons, peers, steps = [row[0] for row in rows], [row[1] for row in rows], range(len(rows))
    payload = len(rows) * (8 + 4 * counted + 2 * any(peers))

    def encoded(evidence: bytes) -> bytes:
        if counted:
            return encode_counts(HEAD, neurons, steps, neurons, peers, evidence)
        return encode_events(HEAD, neurons, steps, peers, evidence)

    plain, value = encoded(b""), encoded(evidence)

    assert value == with_evidence(plain, payload, evidence)
    assert len(value) % 8 == 0
    frame, without = unpack(value, FRAME_NS), unpack(plain, FRAME_NS)
    assert (frame.evidence, without.evidence) == (evidence, b"")
    assert (frame.head, frame.kind, frame.end_ns, frame.peers) == (without.head, without.kind, without.end_ns, without.peers)
    assert [column.tolist() for column in frame[3:6]] == [column.tolist() for column in without[3:6]]


EVIDENCE = encode_events(HEAD, [1, 2], [0, 5], evidence=b"seen it")
MISLAID: dict[str, tuple[bytes, str]] = {
    "none": (resealed(EVIDENCE, len(EVIDENCE) - 8, bytes(4)), "evidence: expected 1 to 32768 bytes, found 0"),
    "too much": (
        resealed(EVIDENCE, len(EVIDENCE) - 8, struct.pack("<I", 32_769)),
        "evidence: expected 1 to 32768 bytes, found 32769",
    ),
    "absurd": (resealed(EVIDENCE, len(EVIDENCE) - 8, b"\xff" * 4), "evidence: expected 1 to 32768 bytes, found 4294967295"),
    "beyond the frame": (
        resealed(EVIDENCE, len(EVIDENCE) - 8, struct.pack("<I", 9)),
        "n: expected rows that fill 104 bytes, not 112, found 2",
    ),
    "of raw spikes": (
        resealed(EVIDENCE, 6, b"\0"),
        "flags: expected 0, plus 1 where rows may name peers, plus 2 where output spikes may carry evidence, found 2",
    ),
    "of no spikes": (
        resealed(EVIDENCE, 12, bytes(4)),
        "flags: expected 0, plus 1 where rows may name peers, plus 2 where output spikes may carry evidence, found 2",
    ),
    "of a window": (
        resealed(encode_window(HEAD, [1], [[1]]), 7, b"\x02"),
        "flags: expected 0, plus 1 where rows may name peers, plus 2 where output spikes may carry evidence, found 2",
    ),
    "of a tick": (
        resealed(encode_tick(START, 9), 7, b"\x02"),
        "flags: expected 0, plus 1 where rows may name peers, plus 2 where output spikes may carry evidence, found 2",
    ),
}


@pytest.mark.parametrize("name", MISLAID)
def test_evidence_that_no_frame_can_carry_is_refused_with_the_reason(name: str) -> None:
    """Its length is bound and must fill the frame; only spikes of a detector have some."""
    value, reason = MISLAID[name]

    with pytest.raises(FrameError) as refused:
        unpack(value, FRAME_NS)

    assert str(refused.value) == reason


def test_an_unknown_place_in_the_dictionary_is_no_peer() -> None:
    """One row without a peer is worth more than a frame refused."""
    value = encode_events(HEAD, [1, 2], [0, 0], ["a", None])
    at = value.index(b"\x01a") + 8 + 16

    assert unpack(resealed(value, at, b"\x05\x00"), FRAME_NS).peers == [None, None]


UNWRITABLE: dict[str, Callable[[], object]] = {
    "no device": lambda: encode_events(Head(device="", start_ns=0), [], []),
    "control": lambda: encode_events(Head(device="a\nb", start_ns=0), [], []),
    "late": lambda: encode_events(Head(device="a", start_ns=MAX_TIME_NS + 1), [], []),
    "no step": lambda: encode_events(Head(device="a", start_ns=0, step_ns=0), [], []),
    "layer": lambda: encode_events(Head(device="a", start_ns=0, layer=1 << 16), [], []),
    "lengths": lambda: encode_events(HEAD, [1], []),
    "negative": lambda: encode_events(HEAD, [-1], [0]),
    "fraction": lambda: encode_events(HEAD, [1.5], [0]),
    "peer": lambda: encode_events(HEAD, [1], [0], ["\x07"]),
    "long peer": lambda: encode_events(HEAD, [1], [0], ["x" * 256]),
    "too long": lambda: encode_events(HEAD, range(200_000), range(200_000)),
    "too many peers": lambda: encode_events(HEAD, range(5_000), range(5_000), [str(at) for at in range(5_000)]),
    "no table": lambda: encode_window(HEAD, [1], [1]),
    "negative time": lambda: encode_tick(-1),
    "revision": lambda: encode_tick(0, 1 << 64),
    "id of no text": lambda: encode_events(Head(device="cam\udcff", start_ns=0), [], []),
    "peer of no text": lambda: encode_events(HEAD, [1], [0], ["\udcff"]),
    "id of no text, split": lambda: list(split_events(Head(device="\udcff", start_ns=0), [1], [1], max_bytes=1000)),
    "evidence of raw spikes": lambda: encode_events(Head(device="a", start_ns=0, role=ROLE_INPUT), [1], [0], evidence=b"x"),
    "evidence of no spikes": lambda: encode_events(HEAD, [], [], evidence=b"x"),
    "much evidence": lambda: encode_counts(HEAD, [1], [0], [1], evidence=bytes(MAX_EVIDENCE_BYTES + 1)),
    "too small": lambda: list(split_events(HEAD, [1], [1], max_bytes=HEADER_BYTES)),
}


@pytest.mark.parametrize("name", UNWRITABLE)
def test_what_no_frame_can_hold_is_not_written(name: str) -> None:
    """A sender's mistake is told to the sender."""
    with pytest.raises(FrameError):
        UNWRITABLE[name]()


@pytest.mark.fuzz
@given(st.binary(max_size=200), st.integers(0, 119), st.booleans(), st.booleans())
def test_no_bytes_raise_anything_else(noise: bytes, at: int, seal: bool, carries: bool) -> None:
    """Whatever the bytes, a frame or a reason."""
    good = encode_events(HEAD, [1, 2], [0, 5], ["a", "b"], bytes(16) if carries else b"")
    mutated = good[:at] + noise + good[at + len(noise) :]
    for value in (noise, b"SPKB" + noise, resealed(mutated, 0, b"") if seal else mutated):
        with contextlib.suppress(FrameError):
            unpack(value, FRAME_NS)
