"""Frames as bytes beside what they say: `make golden` writes the readable half and the bytes anew."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from spikebridge.spikes.batch import ROLE_INPUT, SUMMARY
from spikebridge.spikes.frame import Head, encode_counts, encode_events, encode_tick, encode_window, unpack
from spikebridge.spikes.layout import KINDS, ROLES

if TYPE_CHECKING:
    from spikebridge.spikes.frame import Frame

FOLDER = Path(__file__).parent / "frames"
WRITE = os.environ.get("GOLDEN") == "write"
HEAD = Head(
    device="thermostat-7",
    start_ns=1_790_000_000_123_456_789,
    step_ns=1_000,
    layer=3,
    boot=0x0102030405060708,
    seq=41,
    digest=0xFEDCBA9876543210,
)
FRAMES = {
    "events": encode_events(HEAD, [42, 42, 7], [0, 2_000, 4_000]),
    "events_peers": encode_events(HEAD, [42, 42, 7], [0, 2_000, 4_000], ["10.0.0.9", None, "gateway-ü"]),
    "events_evidence": encode_events(HEAD, [42, 42, 7], [0, 2_000, 4_000], evidence=b"what was seen"),
    "alive": encode_events(Head(device="x", start_ns=0), [], []),
    "count": encode_counts(HEAD, [SUMMARY, 42], [0, 0], [45, 3]),
    "count_evidence": encode_counts(HEAD, [42], [0], [45], ["10.0.0.9"], b"what was seen"),
    "window": encode_window(Head(device="chip", start_ns=2**62, role=ROLE_INPUT), [5, 7], [[0x8000_0009, 0], [0, 2]]),
    "tick": encode_tick(1_790_000_000_000_000_000),
    "marker": encode_tick(1_790_000_000_000_000_000, 8),
}


def readable(frame: Frame) -> dict[str, Any]:
    """Return what a frame says."""
    head = frame.head
    evidence = {"evidence": frame.evidence.decode()} if frame.evidence else {}
    return {
        "kind": KINDS[frame.kind],
        "role": ROLES[head.role],
        "device": head.device,
        "layer": head.layer,
        "start_ns": head.start_ns,
        "end_ns": frame.end_ns,
        "step_ns": head.step_ns,
        "boot": f"{head.boot:016x}",
        "seq": head.seq,
        "digest": f"{head.digest:016x}",
        "crc": f"{frame.crc:08x}",
        "revision": frame.revision,
        "neurons": frame.neurons.tolist(),
        "times_ns": frame.times.tolist(),
        "weights": frame.weights.tolist(),
        "peers": frame.peers,
        **evidence,
    }


@pytest.mark.parametrize("name", FRAMES)
def test_a_frame_is_as_the_file_shows_it(name: str) -> None:
    """What lies in logs today can be read tomorrow, and other people's senders have bytes to compare with."""
    value = FRAMES[name]
    lines = "".join(f"{value[at : at + 16].hex(' ', 4)}\n" for at in range(0, len(value), 16))
    said = json.dumps(readable(unpack(value, 2**62)), indent=2, ensure_ascii=False) + "\n"
    if WRITE:
        (FOLDER / f"{name}.hex").write_text(lines, encoding="utf-8")
        (FOLDER / f"{name}.json").write_text(said, encoding="utf-8")

    stored = bytes.fromhex((FOLDER / f"{name}.hex").read_text(encoding="utf-8"))
    assert stored == value
    assert (FOLDER / f"{name}.json").read_text(encoding="utf-8") == said


def test_no_frame_file_is_left_over() -> None:
    """Each golden file belongs to a frame."""
    assert {path.name for path in FOLDER.iterdir()} == {f"{name}.{kind}" for name in FRAMES for kind in ("hex", "json")}
