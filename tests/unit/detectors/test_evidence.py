"""Evidence in a file: it comes back as it was, and what is damaged, altered, too large or of another form is refused."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.detectors.traffic import packets

from spikebridge_detectors import evidence
from spikebridge_detectors.capture.columns import Transport
from spikebridge_detectors.capture.kinds import MOST_ROWS, ROW, codes, from_rows, to_rows
from spikebridge_detectors.errors import ModelError
from spikebridge_detectors.evidence import MOST_BYTES, MOST_STATE, Evidence, Said, read, written
from spikebridge_detectors.timing.marks import marks

if TYPE_CHECKING:
    from pathlib import Path

SAID = Said(device="cam", detector="timing", neuron=48, kind="burst", time_ns=5, score=1.5, model="0123456789abcdef")


@given(
    state=st.binary(max_size=MOST_STATE),
    rest=st.binary(max_size=3000),
    until_ns=st.none() | st.integers(-(1 << 63), (1 << 63) - 1),
    score=st.floats(allow_nan=False, allow_infinity=False),
    device=st.text(min_size=1, max_size=512).filter(lambda text: text.isprintable()),
)
def test_it_comes_back_as_it_was(state: bytes, rest: bytes, until_ns: int | None, score: float, device: str) -> None:
    """Every part of it, whatever it holds."""
    said = Said(device=device, detector="timing", neuron=0, kind="burst", time_ns=-1, score=score, until_ns=until_ns)
    assert read(written(Evidence(said, state, rest))) == Evidence(said, state, rest)


@settings(max_examples=200)
@given(at=st.integers(0, 1000), value=st.integers(0, 255))
def test_a_changed_byte_is_refused(at: int, value: int) -> None:
    """Wherever it is."""
    data = bytearray(written(Evidence(SAID, bytes(300), b"input" * 20)))
    at %= len(data)
    if data[at] == value:
        return
    data[at] = value
    with pytest.raises(ModelError, match="expected"):
        read(bytes(data))


def sealed(body: bytes) -> bytes:
    """Return a body with the right digest behind it."""
    return body + hashlib.sha256(body).digest()


WHOLE = written(Evidence(SAID, b"state", b"input"))


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "at least 52 bytes, found 0: truncated"),
        (bytes(60), "which begins with 89 53 50 45"),
        (WHOLE[:-1], "truncated, or something was added"),
        (WHOLE + b"x", "truncated, or something was added"),
        (bytes(MOST_BYTES + 1), "at most 262,144 bytes, found more"),
        (WHOLE[:8] + b"\2" + WHOLE[9:], "version 1 of the format, found 2: written by a newer Spikebridge"),
        (WHOLE[:-1] + bytes([WHOLE[-1] ^ 1]), "damaged or altered"),
        (sealed(WHOLE[:-32].replace(b'"burst"', b'"BURST"')), "header: Expected `str` matching"),
        (sealed(WHOLE[:-32].replace(b'"burst"', b'"burs\xff"')), "header: "),
        (sealed(WHOLE[:-32].replace(b'"score":1.5', b'"score":1e1')), "header: expected JSON as it is written here"),
    ],
)
def test_what_is_none_is_refused(data: bytes, told: str) -> None:
    """With what was expected."""
    with pytest.raises(ModelError, match=told):
        read(data)


def test_what_does_not_fit_is_not_written() -> None:
    """Neither a larger state nor a longer input, nor a score that is no number."""
    with pytest.raises(ModelError, match="a state of at most 4,096 bytes"):
        written(Evidence(SAID, bytes(MOST_STATE + 1), b""))
    with pytest.raises(ModelError, match="begin it later"):
        written(Evidence(SAID, b"", bytes(MOST_BYTES)))
    with pytest.raises(ModelError, match="header"):
        written(Evidence(Said(device="a", detector="timing", neuron=1, kind="burst", time_ns=0, score=float("inf")), b"", b""))


def test_no_more_of_a_file_is_read_than_shows_that_it_is_too_large(tmp_path: Path) -> None:
    """However large it is."""
    path = tmp_path / "large.spkev"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(ModelError, match="found more"):
        evidence.opened(path)
    path.write_bytes(WHOLE)
    assert evidence.opened(path).said == SAID


@given(seed=st.integers(0, 1 << 30))
def test_rows_give_the_marks_that_the_packets_give(seed: int) -> None:
    """For any port, length, flags and protocol; who the peer is isn't in them."""
    luck = np.random.default_rng(seed)
    found = packets(
        luck.integers(-(1 << 63), (1 << 63) - 1, 60),
        outgoing=luck.random(60) < 0.5,
        peer=luck.integers(0, 99, 60),
        transport=luck.integers(0, 256 if seed % 2 else len(Transport), 60),
        source_port=luck.integers(0, 1 << 16, 60),
        target_port=luck.integers(0, 12_000, 60),
        length=luck.choice([0, 63, 64, 95, 96, 159, 160, 1279, 1280, 1 << 31], 60),
        flags=luck.integers(0, 256, 60),
    )
    again = from_rows(to_rows(found), 7)
    common = codes(found)[:6]
    assert np.array_equal(codes(again), codes(found))
    assert np.array_equal(marks(common, again), marks(common, found))
    assert np.array_equal(again.time_ns, found.time_ns)
    assert np.array_equal(again.transport, found.transport)
    assert set(again.device) == {7}
    assert set(again.peer) == {-1}


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (bytes(ROW.itemsize - 1), "rows of 12 bytes, found 11 bytes"),
        (bytes(ROW.itemsize * (MOST_ROWS + 1)), "at most 20,000 rows"),
        (bytes(8) + (1 << 4 | 2 << 1 | 2 << 24).to_bytes(4, "little"), "numbers that are none"),
        (bytes(8) + (7 << 6).to_bytes(4, "little"), "numbers that are none"),
        (bytes(8) + (10_000 << 9).to_bytes(4, "little"), "numbers that are none"),
        (bytes(8) + (1 << 1).to_bytes(4, "little"), "numbers that are none"),
    ],
)
def test_rows_that_no_packet_gives_are_refused(data: bytes, told: str) -> None:
    """Flags without TCP, a length beyond the classes, a port that is none of a service, a protocol in one place alone."""
    with pytest.raises(ModelError, match=told):
        from_rows(data)


def test_more_packets_than_evidence_holds_are_refused() -> None:
    """Before anything is made of them."""
    with pytest.raises(ModelError, match="at most 20,000 packets, found 20,001"):
        to_rows(packets(np.arange(MOST_ROWS + 1)))
