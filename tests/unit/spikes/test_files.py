"""Files cut into records: every good one is found, garbage is told apart."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spikebridge.spikes.files import read_values
from spikebridge.spikes.frame import Head, encode_events
from spikebridge.spikes.layout import MAX_FRAME_BYTES

FRAMES = [encode_events(Head(device="cam", start_ns=at), range(at), range(at)) for at in range(4)]


class Pipe(io.BytesIO):
    """Gives at most three bytes at a time, as a pipe may."""

    def read(self, size: int | None = -1) -> bytes:
        """Read a little."""
        return super().read(3 if size is None or size < 0 else min(size, 3))


@pytest.mark.parametrize("kind", [io.BytesIO, Pipe])
def test_frames_are_cut_by_their_length(kind: type[io.BytesIO]) -> None:
    """Each with the byte at which it begins."""
    found = list(read_values(kind(b"".join(FRAMES))))

    assert [value for _, value in found] == FRAMES
    assert [at for at, _ in found] == [sum(map(len, FRAMES[:place])) for place in range(4)]


@pytest.mark.fuzz
@given(st.lists(st.sampled_from(FRAMES), min_size=1), st.binary(max_size=200), st.integers(0, 300))
def test_garbage_costs_no_neighbour(before: list[bytes], garbage: bytes, hurt: int) -> None:
    """Every good frame behind garbage is found again, and no byte is lost."""
    broken = FRAMES[3][: hurt % 90] + garbage
    values = [*before, broken, *FRAMES]

    found = list(read_values(io.BytesIO(b"".join(values))))

    assert b"".join(value for _, value in found) == b"".join(values)
    good = [value for _, value in found if value in FRAMES]
    assert good[: len(before)] == before
    assert good[-4:] == FRAMES


def test_lines_have_numbers_and_empty_ones_are_passed_over() -> None:
    """As an editor counts them."""
    assert list(read_values(Pipe(b'{"a":1}\r\n\n \n[2]'))) == [(1, b'{"a":1}'), (4, b"[2]")]
    assert list(read_values(io.BytesIO(b"a\nb\n"))) == [(1, b"a"), (2, b"b")]
    assert list(read_values(io.BytesIO(b""))) == []


@pytest.mark.parametrize("more", [0, 1, 2, 600_000])
def test_a_line_beyond_the_limit_is_cut_and_the_next_one_stands(more: int) -> None:
    """Memory stays bounded; the piece is too long for a record and will be refused."""
    found = list(read_values(io.BytesIO(b"x" * (MAX_FRAME_BYTES + more) + b"\nnext")))

    assert [(number, len(value) - MAX_FRAME_BYTES) for number, value in found[:1]] == [(1, min(more, 2))]
    assert found[1:] == [(2, b"next")]


def test_garbage_beyond_the_limit_is_cut_into_records() -> None:
    """No piece is longer than a record may be."""
    found = list(read_values(io.BytesIO(FRAMES[0] + bytes(3 * MAX_FRAME_BYTES) + FRAMES[1])))

    assert max(len(value) for _, value in found) <= MAX_FRAME_BYTES
    assert [found[0][1], found[-1][1]] == FRAMES[:2]
