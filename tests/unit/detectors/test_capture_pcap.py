"""Capture files: what is whole is read, what is damaged is told with its place, and nothing else comes out."""

from __future__ import annotations

import gzip
import io
import struct
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests import captures
from tests.captures import Frame

from spikebridge_detectors.capture import pcap
from spikebridge_detectors.capture.frames import MOST_BYTES, MOST_FRAMES, Frames, Passed
from spikebridge_detectors.errors import CaptureError

if TYPE_CHECKING:
    from collections.abc import Iterator

START = 1_700_000_000 * 10**9
FRAMES = [Frame(START + at * 1_000_001_000, bytes([at]) * (20 + at), 1000 + at) for at in range(5)]


class Pipe(io.BytesIO):
    """Hands over a few bytes at a time, as a pipe may."""

    at_once = 1

    def read1(self, size: int | None = -1) -> bytes:
        """Return the next few."""
        return super().read1(min(size or 1, self.at_once))


def read(data: bytes) -> tuple[list[Frame], Counter[Passed], str]:
    """Return the frames of a file, what was passed over, and the error that ended it."""
    passed: Counter[Passed] = Counter()
    found: list[Frame] = []
    try:
        for piece in pcap.read(io.BytesIO(data), "a.pcap", passed):
            found += frames(piece)
    except CaptureError as error:
        return found, +passed, str(error)
    return found, +passed, ""


def frames(piece: Frames) -> Iterator[Frame]:
    """Yield the frames of a piece."""
    assert len(piece.start) <= MOST_FRAMES
    for start, captured, length, time_ns in zip(piece.start, piece.captured, piece.length, piece.time_ns, strict=True):
        assert 0 <= start <= start + captured <= len(piece.data)
        yield Frame(int(time_ns), piece.data[start : start + captured].tobytes(), int(length))


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("nano", [False, True])
@pytest.mark.parametrize("packed", [False, True])
def test_a_pcap_is_read_in_either_order_and_resolution_packed_or_not(order: str, nano: bool, packed: bool) -> None:
    """What was written comes back, to the nanosecond where the file has them."""
    wanted = [frame._replace(time_ns=frame.time_ns + 7) for frame in FRAMES] if nano else FRAMES
    data = captures.pcap(wanted, order=order, nano=nano)
    assert read(gzip.compress(data) if packed else data) == (wanted, Counter(), "")


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    ("options", "ticks", "time_ns"),
    [
        ({}, 1_700_000_000_000_001, START + 1000),
        ({9: b"\x09"}, START + 1, START + 1),
        ({9: b"\x00"}, 1_700_000_000, START),
        ({9: b"\x0c"}, 1_700_000_000_999, 1_700_000_000),
        ({9: b"\x94"}, 3 << 19, 1_500_000_000),
        ({9: b"\xff"}, 1 << 63, 0),
        ({2: b"eth0", 9: b"\x03"}, 5, 5_000_000),
    ],
)
def test_a_pcapng_counts_time_as_its_interface_says(order: str, options: dict[int, bytes], ticks: int, time_ns: int) -> None:
    """Microseconds when it says nothing, else a power of ten or of two."""
    data = captures.section(order) + captures.interface(order, options=options) + captures.packet(ticks, b"frame", order)
    assert read(data) == ([Frame(time_ns, b"frame", 5)], Counter(), "")


@pytest.mark.parametrize(("order", "offset"), [("<", 100), (">", -100)])
def test_an_interface_may_move_its_clock(order: str, offset: int) -> None:
    """By whole seconds."""
    data = captures.section(order) + captures.interface(order, options={14: struct.pack(f"{order}q", offset)})
    assert read(data + captures.packet(200 * 10**6, b"frame", order))[0][0].time_ns == (200 + offset) * 10**9


def test_sections_begin_anew_in_an_order_of_their_own() -> None:
    """Interfaces of the section before are forgotten, and files put behind one another are one file."""
    one = captures.section("<") + captures.interface("<") + captures.packet(1, b"one", "<")
    two = captures.section(">") + captures.interface(">", options={9: b"\x09"}) + captures.packet(2, b"two", ">")
    assert [frame[:2] for frame in read(one + two)[0]] == [(1000, b"one"), (2, b"two")]
    found, _, error = read(one + captures.section(">") + captures.packet(2, b"two", ">"))
    assert [frame.data for frame in found] == [b"one"]
    assert (
        error == f"a.pcap: byte {len(one) + 28}: a packet of interface 0, of which the section says nothing; the rest isn't read"
    )


def test_blocks_that_say_nothing_of_packets_are_skipped_unread_however_long() -> None:
    """Keys, names and comments of a hundred megabytes take no memory."""
    long = struct.pack("<II", 10, 100_000_000)
    data = captures.section() + captures.interface() + captures.block(5, bytes(12)) + long + bytes(10_000)
    assert read(data) == ([], {Passed.CUT_SHORT: 1}, "")
    data = captures.section() + captures.interface() + captures.block(0x0BAD, bytes(3_000_000)) + captures.packet(1, b"frame")
    assert read(data)[0] == [Frame(1000, b"frame", 5)]


def test_packets_without_a_time_are_counted() -> None:
    """The simple kind has none, and the time of a packet may be past what 64 bits hold."""
    simple = captures.block(3, struct.pack("<I", 5) + b"frame")
    late = captures.interface(options={9: b"\x00"}) + captures.packet(1 << 62, b"frame", number=1)
    data = captures.section() + captures.interface() + simple + late
    assert read(data) == ([], {Passed.WITHOUT_TIME: 2}, "")


NG = captures.section() + captures.interface() + b"".join(captures.packet(at, b"x" * at) for at in range(4))


@pytest.mark.parametrize("data", [captures.pcap(FRAMES), NG])
def test_a_file_without_its_end_yields_what_is_whole_and_says_so_once(data: bytes) -> None:
    """Wherever it was cut."""
    whole = read(data)[0]
    for size in range(4, len(data)):
        found, passed, error = read(data[:size])
        assert found == whole[: len(found)]
        assert not error
        assert passed in ({}, {Passed.CUT_SHORT: 1})
    packed = gzip.compress(data)
    found, passed, error = read(packed[:-9])
    assert (found, passed, error) == (whole[: len(found)], {Passed.CUT_SHORT: 1}, "")


@pytest.mark.parametrize("size", [1, 7, 1000])
@pytest.mark.parametrize("data", [captures.pcap(FRAMES), NG, gzip.compress(NG) + gzip.compress(NG)])
def test_a_pipe_that_hands_over_little_at_a_time_gives_the_same(data: bytes, size: int) -> None:
    """And each piece as soon as it is whole; two gzip files in one are read through."""
    pipe = Pipe(data)
    pipe.at_once = size
    found = [frame for piece in pcap.read(pipe, "pipe", Counter()) for frame in frames(piece)]
    assert found == read(data)[0] != []


def test_a_piece_is_bounded_however_small_the_frames_are() -> None:
    """A megabyte of empty records is several pieces."""
    data = captures.pcap([Frame(at, b"") for at in range(0, (MOST_FRAMES + 3) * 1000, 1000)])
    assert len(read(data)[0]) == MOST_FRAMES + 3


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "expected a pcap or pcapng file, found nothing"),
        (b"GET / HTTP/1.1", "expected a pcap or pcapng file, or one in gzip; it begins with 47 45 54 20"),
        (captures.pcap([], link=105), "link type 105: expected one of 1, 113, 276, 101"),
        (captures.pcap(FRAMES[:1]) + struct.pack("<4I", 0, 0, MOST_BYTES + 1, 0), f"byte 60: a record of {MOST_BYTES + 1} bytes"),
        (captures.pcap(FRAMES[:1]) + b"\xff" * 16, "byte 60: a record of 4294967295 bytes"),
        (captures.section() + struct.pack("<III", 6, 0xFFFFFFF0, 0), "byte 28: a block of kind 6 and 4294967280 bytes"),
        (captures.section() + struct.pack("<III", 77, 4, 0), "byte 28: a block of kind 77 and 4 bytes"),
        (captures.section() + struct.pack("<III", 77, 13, 0), "byte 28: a block of kind 77 and 13 bytes"),
        (b"\x0a\x0d\x0d\x0a" + bytes(24), "byte 0: a section whose byte order can't be told"),
        (captures.section()[:-4] + bytes(4), "byte 0: a block that says 28 bytes in front and 0 behind"),
        (NG[:48] + captures.block(6, struct.pack("<5I", 0, 0, 0, 9, 9) + bytes(8)), "a packet of 9 bytes in a block of 40"),
        (
            captures.section() + captures.block(1, struct.pack("<HHI", 1, 0, 0) + struct.pack("<HH", 9, 200)),
            "an option of 200 bytes that reaches past its block",
        ),
        (captures.section() + captures.interface() * 1025, "interface 1025, expected at most 1024 in a section"),
        (b"\x1f\x8b" + b"nonsense", "damaged gzip data before byte 10"),
    ],
)
def test_what_cannot_be_is_told_with_its_place(data: bytes, said: str) -> None:
    """By the file's name, the byte and what was found."""
    assert f"a.pcap: {said}" in (error := read(data)[2]) or said in error
    assert error.startswith("a.pcap: ")


@given(st.sampled_from([captures.pcap(FRAMES), NG, gzip.compress(NG)]), st.data())
def test_damage_anywhere_never_raises_anything_else(data: bytes, choice: st.DataObject) -> None:
    """Nor yields a frame that reaches out of its block."""
    changed = bytearray(data)
    for _ in range(choice.draw(st.integers(1, 4))):
        changed[choice.draw(st.integers(0, len(data) - 1))] = choice.draw(st.integers(0, 255))
    read(bytes(changed))


@given(st.binary(max_size=200))
def test_bytes_behind_a_header_never_raise_anything_else(noise: bytes) -> None:
    """Whatever they are."""
    for start in (captures.pcap([]), captures.section(), captures.section(">") + captures.interface(">")):
        found = read(start + noise)[0]
        assert sum(len(frame.data) for frame in found) <= len(noise)


def test_times_that_fall_and_repeat_are_left_as_they_are() -> None:
    """The order is the file's."""
    times = [5_000, 5_000, 1_000, 9_000]
    piece = next(iter(pcap.read(io.BytesIO(captures.pcap([Frame(at, b"x") for at in times])), "a.pcap", Counter())))
    assert np.array_equal(piece.time_ns, times)
