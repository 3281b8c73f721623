"""Evidence that an attacker wrote: cut, altered and sealed anew, or of more time than is run; it costs bounded memory and bounded work."""

from __future__ import annotations

import hashlib
import struct
import tracemalloc
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.detectors.traffic import attacked, packets, poller, some

from spikebridge_detectors.capture.kinds import from_rows, to_rows
from spikebridge_detectors.elapsed import SECOND_NS
from spikebridge_detectors.errors import ModelError
from spikebridge_detectors.evidence import Evidence, Said, read, written
from spikebridge_detectors.lif import Layer, State
from spikebridge_detectors.repeat import MOST_STEPS, Part, in_lava
from spikebridge_detectors.replay import replayed
from spikebridge_detectors.timing.detector import Running, Timing, advance
from spikebridge_detectors.timing.evidence import pack, unpack

if TYPE_CHECKING:
    from pathlib import Path

    from spikebridge_detectors.timing.learning import Learned

_LENGTHS = struct.Struct("<HII")
_AT_LENGTHS, _DIGEST = 10, 32
_MOST_MEMORY = 32 << 20
"""What reading may take: the file itself, and what its state unfolds to."""


@cache
def learned() -> Learned:
    """Return what three clean days of a poller taught."""
    return Timing().learn(poller(hours=72))


@cache
def genuine() -> bytes:
    """Return the evidence of a scan, in the middle of it."""
    found = attacked(3, scan=1)
    running = Running()
    advance(learned(), running, some(found, 0, 300))
    said = Said(device="cam", detector="timing", neuron=48, kind="burst", time_ns=5, score=1.5, model="0123456789abcdef")
    return written(Evidence(said, pack(learned(), running), to_rows(some(found, 300, 400))))


def sealed(body: bytes) -> bytes:
    """Return a body with the right digest behind it."""
    return body + hashlib.sha256(body).digest()


def opened(data: bytes) -> None:
    """Read a file to its last number, or refuse it."""
    try:
        evidence = read(data)
        _, start = unpack(evidence.state)
        from_rows(evidence.input, start.device)
    except ModelError:
        return


def test_what_is_cut_anywhere_is_refused() -> None:
    """Sealed anew or not, at each byte."""
    whole = genuine()
    for end in range(len(whole)):
        with pytest.raises(ModelError):
            read(whole[:end])
        if end != len(whole) - _DIGEST:
            with pytest.raises(ModelError):
                read(sealed(whole[:end]))


@pytest.mark.parametrize("first", [pytest.param(first, marks=pytest.mark.long if first else ()) for first in range(7)])
def test_each_byte_altered_and_sealed_anew_is_read_or_refused_in_bounded_memory(first: int) -> None:
    """Nothing but the one error, whichever byte it is; each seventh of them is tried at once."""
    body = bytearray(genuine()[:-_DIGEST])
    tracemalloc.start()
    try:
        for at in range(first, len(body), 7):
            body[at] ^= 0xFF
            opened(sealed(bytes(body)))
            body[at] ^= 0xFF
        assert tracemalloc.get_traced_memory()[1] < _MOST_MEMORY
    finally:
        tracemalloc.stop()


@settings(deadline=None, max_examples=100)
@given(lengths=st.tuples(st.integers(0, (1 << 16) - 1), st.integers(0, (1 << 32) - 1), st.integers(0, (1 << 32) - 1)))
def test_lengths_that_lie_are_refused(lengths: tuple[int, int, int]) -> None:
    """Before anything is cut by them."""
    body = bytearray(genuine()[:-_DIGEST])
    if lengths == _LENGTHS.unpack_from(body, _AT_LENGTHS):
        return
    _LENGTHS.pack_into(body, _AT_LENGTHS, *lengths)
    with pytest.raises(ModelError):
        read(sealed(bytes(body)))


@settings(deadline=None, max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.integers(0, 4200), value=st.integers(0, 255))
def test_what_was_altered_and_is_read_runs_to_a_verdict(tmp_path: Path, at: int, value: int) -> None:
    """Whatever it says now."""
    body = bytearray(genuine()[:-_DIGEST])
    body[at % len(body)] = value
    try:
        found = replayed(read(sealed(bytes(body))), tmp_path, lava=False)
    except ModelError:
        return
    assert found.verdict in ("same", "differs")


def test_more_than_a_day_and_a_half_is_not_run_and_that_is_said(tmp_path: Path) -> None:
    """However few packets it takes to ask for it."""
    said = Said(device="cam", detector="timing", neuron=48, kind="burst", time_ns=5, score=1.5)
    rows = to_rows(packets(np.array([0, 70_000, 140_000]) * SECOND_NS))
    found = replayed(Evidence(said, pack(learned(), Running()), rows), tmp_path, lava=False)
    assert {one.verdict for one in found.engines} == {"not run"}
    assert "more seconds than a day and a half" in found.engines[0].missing


def test_lava_is_not_given_more_than_minutes_of_work() -> None:
    """Where layers together have more steps than it does in two minutes."""
    layer = Layer(weights=np.zeros((1, 1), np.int16), du=0, dv=0, vth=1, bias=np.zeros(1, np.int32))
    spikes = np.zeros((MOST_STEPS, 1), np.bool_)
    parts = [Part(name, layer, State.zero(layer, 1), spikes, spikes) for name in ("one", "another", "third")]
    assert "more than 262,144 steps" in in_lava(parts).missing
