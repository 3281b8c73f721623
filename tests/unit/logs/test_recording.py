"""The past out of a file."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spikebridge.errors import LogError, LogMissing
from spikebridge.logs.recording import Recording
from spikebridge.spikes.frame import Head, encode_events, encode_tick

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from spikebridge.spikes.record import Record

    Write = Callable[[bytes], Path]

NOW = 1_763_640_000_000_000_000
SECOND = 1_000_000_000


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a file."""

    def written(content: bytes) -> Path:
        path = tmp_path / "recording"
        path.write_bytes(content)
        return path

    return written


def line(seconds: int | None, device: str = "cam") -> bytes:
    """Return one event at so many seconds after 2001."""
    time = {} if seconds is None else {"time": 1_000_000_000 + seconds}
    return json.dumps({"device_id": device, "neuron_id": 4, **time}).encode()


def frame(seconds: int, steps: list[int]) -> bytes:
    """Return a frame that ends some seconds after its start."""
    head = Head(device="cam", start_ns=(1_000_000_000 + seconds) * SECOND, step_ns=SECOND)
    return encode_events(head, [1] * len(steps), steps)


def seconds(recording: Recording) -> list[int]:
    """Return append times in seconds after 2001."""
    return [record.append_ns // SECOND - 1_000_000_000 for record in recording.poll(0, 1 << 30)]


def test_append_times_are_the_largest_end_time_so_far(write: Write) -> None:
    """Lines that come late, or have no time, or can't be read, take the time that the recording has reached."""
    lines = [line(10), line(None), line(30), b"\xffrubbish", line(20), line(None), b"", line(31)]
    recording = Recording(write(b"\r\n".join(lines)), NOW)

    assert seconds(recording) == [10, 10, 30, 30, 30, 30, 31]
    assert [record.value for record in recording.poll(0, 1 << 30)] == [text for text in lines if text]
    assert recording.last_append_ns() == 1_000_000_031 * SECOND


def test_before_the_first_time_it_is_now(write: Write) -> None:
    """A file without any times happens when it is read."""
    recording = Recording(write(line(None) + b"\n" + line(None) + b"\n"), NOW)
    assert [record.append_ns for record in recording.poll(0, 1 << 30)] == [NOW, NOW]

    recording = Recording(write(line(None) + b"\n" + line(5)), NOW)
    assert [record.append_ns for record in recording.poll(0, 1 << 30)] == [NOW, 1_000_000_005 * SECOND]


def test_frames_count_from_their_last_spike_and_ticks_are_left_out(write: Write) -> None:
    """A recording has no ticks: silence in it is told by its records alone."""
    frames = [frame(0, [0, 4]), frame(2, []), frame(7, [0])]
    ticks = [encode_tick(5 * SECOND), encode_tick(NOW, 3)]
    recording = Recording(write(frames[0] + ticks[0] + frames[1] + ticks[1] + b"garbage" + frames[2]), NOW)

    assert [record.value for record in recording.poll(0, 1 << 30)] == [frames[0], frames[1], b"garbage", frames[2]]
    assert seconds(recording) == [4, 4, 4, 7]
    assert recording.ticks == 2
    assert recording.bounds() == (0, 4)


def test_the_id_is_that_of_the_bytes(write: Write) -> None:
    """The same file is the same log, wherever and whenever it is read."""
    assert Recording(write(line(1)), NOW).id == Recording(write(line(1)), 1).id == hashlib.sha256(line(1)).hexdigest()


def test_an_empty_file_is_an_empty_log(write: Write) -> None:
    """Nothing to read, nothing wrong."""
    recording = Recording(write(b""), NOW)

    assert recording.bounds() == (0, 0)
    assert recording.poll(0, 100) == []
    assert recording.last_append_ns() == 0
    assert recording.offset_at(0) == 0


def test_what_is_not_there_is_told(write: Write, tmp_path: Path) -> None:
    """A missing file, a directory, a file that was cut meanwhile, an append."""
    with pytest.raises(LogMissing, match="there is no recording at"):
        Recording(tmp_path / "nothing", NOW)
    with pytest.raises(LogError, match="Is a directory"):
        Recording(tmp_path, NOW)
    recording = Recording(write(line(1)), NOW)
    with pytest.raises(LogError, match="a recording takes no more records, found 1"):
        recording.append([b"x"])
    write(b"")
    with pytest.raises(LogMissing, match="record 0 is gone: the file was cut since it was read first"):
        recording.poll(0, 100)


PIECES = st.one_of(
    st.integers(0, 100).map(line),
    st.just(line(None)),
    st.binary(max_size=20).map(lambda raw: raw.replace(b"\n", b"").replace(b"\r", b"")),
)


@given(st.lists(PIECES, max_size=60), st.integers(1, 400))
def test_every_line_is_found_where_it_stands(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes], max_bytes: int
) -> None:
    """Whatever the lines hold: polled in pieces, read one by one or all at once, they are the same, and append times as computed plainly."""
    path = tmp_path_factory.mktemp("recording") / "lines"
    path.write_bytes(b"x\n" + b"\n".join(lines))  # a file that begins as frames do is one of frames
    recording = Recording(path, NOW)
    end = recording.bounds()[1]
    polled: list[Record] = []
    while len(polled) < end:
        some = recording.poll(len(polled), max_bytes)
        assert len(some) == 1 or sum(len(record.value) for record in some) <= max_bytes
        polled += some
    assert [record.value for record in polled] == [b"x", *(text for text in lines if text.strip())]
    assert polled == recording.read(range(-1, end + 1)) == recording.poll(0, 1 << 30)
    for asked in {record.append_ns for record in polled}:
        assert recording.offset_at(asked) == next(at for at in range(end) if max(r.append_ns for r in polled[: at + 1]) >= asked)
