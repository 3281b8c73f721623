"""A frame without its evidence is what its sender would have written without it; any other record stays as it is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spikebridge.spikes.frame import Head, encode_counts, encode_events, encode_tick, encode_window
from spikebridge.spikes.lean import lean

HEAD = Head(device="cam-1", start_ns=1_790_000_000_000_000_000, boot=7, seq=9)


@given(
    st.lists(st.sampled_from([None, "10.0.0.9", "gateway-ü"]), min_size=1, max_size=9),
    st.binary(min_size=1, max_size=40),
    st.booleans(),
)
def test_a_frame_is_as_it_would_be_without(peers: list[str | None], evidence: bytes, counted: bool) -> None:
    """To the byte, whatever its rows leave to pad."""
    rows = range(len(peers))
    if counted:
        assert lean(encode_counts(HEAD, rows, rows, rows, peers, evidence)) == encode_counts(HEAD, rows, rows, rows, peers)
    else:
        assert lean(encode_events(HEAD, rows, rows, peers, evidence)) == encode_events(HEAD, rows, rows, peers)


GOOD = encode_events(HEAD, [1], [0], evidence=b"seen it")


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"SPKB",
        b"SPKB\1\0\1\2",
        b'{"device_id":"a"}',
        GOOD[:-1],
        GOOD[:-1] + b"x",
        encode_tick(5, 8),
        encode_window(HEAD, [1], [[1]]),
        encode_events(HEAD, [], []),
        encode_events(HEAD, [1], [0], ["a"]),
    ],
)
def test_what_carries_no_evidence_stays_as_it_is(value: bytes) -> None:
    """Also what is broken: evidence of an alert may be any record."""
    assert lean(value) is value
