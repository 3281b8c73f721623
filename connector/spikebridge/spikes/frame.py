"""
The binary frame: spikes of one device over one stretch of time, as they travel and lie in the log.

connector/README.md gives the layout to the byte. All numbers are little-endian, every block is a multiple of 8 bytes, and the
CRC-32C stands last, so that the CRC of a whole good frame is one constant. Nothing is allocated before its size was checked.
An outer envelope (key id and tag) wraps a frame from outside and begins with other bytes than `MAGIC`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from crc32c import crc32c

from spikebridge.errors import FrameError
from spikebridge.spikes.batch import ROLE_OUTPUT, ROLE_TICK
from spikebridge.spikes.layout import (
    DATAGRAM_BYTES,
    FLAG_EVIDENCE,
    FLAG_PEERS,
    HEADER,
    HEADER_BYTES,
    KIND_COUNT,
    KIND_EVENTS,
    KIND_WINDOW,
    KINDS,
    MAGIC,
    MARKER_BYTES,
    MAX_EVIDENCE_BYTES,
    MAX_FRAME_BYTES,
    MAX_PEERS,
    MAX_STEP_NS,
    MAX_TIME_NS,
    MAX_WINDOW_STEPS,
    RESIDUE,
    ROLES,
    ROW_BYTES,
    SHORTEST,
    U16,
    U32,
    U64,
    VERSION,
    WORD_STEPS,
    Header,
    padded,
)
from spikebridge.spikes.names import device_id_fault
from spikebridge.spikes.peers import Peers, encoded, peer_names, peers_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import ArrayLike, NDArray


__all__ = [
    "Frame",
    "Head",
    "encode_counts",
    "encode_events",
    "encode_tick",
    "encode_window",
    "is_frame",
    "is_tick",
    "marker_of",
    "read_rows",
    "span_fault",
    "split_events",
    "unpack",
]

_TICK = bytes([ROLE_TICK])


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """
    What the frames of a sender have in common.

    `start_ns` counts from 1970; a row lies `dt` steps after it. `boot` is drawn at random when the sender starts (0: frames are
    not checked for duplicates), `seq` rises with each frame. `digest` is the first 8 bytes of the model's SHA-256, read as a
    big-endian number.
    """

    device: str
    start_ns: int
    step_ns: int = 1_000
    layer: int = 0
    role: int = ROLE_OUTPUT
    boot: int = 0
    seq: int = 0
    digest: int = 0


class Frame(NamedTuple):
    """
    One frame, read. `peers` is empty when no row names one; `revision` is set for a tick that is a marker.

    `evidence` is what a detector saw when it raised the spikes, as it stands in a file `.spkev`: bytes that only replay and explain open.
    """

    head: Head
    kind: int
    end_ns: int
    neurons: NDArray[np.uint32]
    times: NDArray[np.int64]
    weights: NDArray[np.int64]
    peers: list[str | None]
    revision: int | None
    crc: int
    evidence: bytes = b""


def encode_events(
    head: Head, neurons: ArrayLike, dt: ArrayLike, peers: Sequence[str | None] | None = None, evidence: bytes = b""
) -> bytes:
    """
    Write spikes: `dt` in steps, ascending; no rows at all prove that the device lives.

    A step larger than the last one counts as the last one, so that a frame's end is known from its last row.
    """
    columns = [_words("neurons", neurons), _words("dt", dt)]
    return _frame(head, KIND_EVENTS, columns, peers, evidence)


def encode_counts(
    head: Head,
    neurons: ArrayLike,
    dt: ArrayLike,
    counts: ArrayLike,
    peers: Sequence[str | None] | None = None,
    evidence: bytes = b"",
) -> bytes:
    """Write counted spikes, as `encode_events`; the neuron `SUMMARY` stands for the whole layer."""
    columns = [_words("neurons", neurons), _words("dt", dt), _words("counts", counts)]
    return _frame(head, KIND_COUNT, columns, peers, evidence)


def encode_window(head: Head, neurons: ArrayLike, words: ArrayLike) -> bytes:
    """Write bit-packed channels: bit t of `words[channel][w]` is step 32 * w + t."""
    table = np.asarray(words)
    channels = _words("neurons", neurons)
    if table.ndim != 2 or len(table) != len(channels) or not table.size:  # noqa: PLR2004 -- channels and words
        raise FrameError(f"words: expected {len(channels)} channels of at least one word, found the shape {table.shape}")
    if table.size * WORD_STEPS > MAX_WINDOW_STEPS or len(channels) >= U16:
        raise FrameError(f"window: expected at most {MAX_WINDOW_STEPS} steps in all, found {table.size * WORD_STEPS}")
    payload = channels.tobytes() + _words("words", table.ravel()).tobytes()
    return _seal(head, (KIND_WINDOW, table.shape[1], len(channels)), payload, Peers())


def encode_tick(at_ns: int, revision: int | None = None) -> bytes:
    """Write that time passes; with a revision's number it is a marker: that revision is in force from there on."""
    payload = b"" if revision is None else _number("revision", revision, U64).to_bytes(8, "little")
    head = Head(device="", start_ns=at_ns, step_ns=1, role=ROLE_TICK)
    return _seal(head, (KIND_EVENTS, len(payload) // 8, 0), payload, Peers())


def split_events(
    head: Head, neurons: ArrayLike, dt: ArrayLike, peers: Sequence[str | None] | None = None, *, max_bytes: int = DATAGRAM_BYTES
) -> Iterator[bytes]:
    """Write spikes as frames of at most `max_bytes` with rising sequence numbers, each beginning at its first spike."""
    neuron, step = _words("neurons", neurons), _words("dt", dt)
    at = 0
    while at < len(neuron) or not at:
        first = int(step[at]) if len(step) else 0
        begin = replace(head, start_ns=head.start_ns + first * head.step_ns)
        fits = max(1, (max_bytes - HEADER_BYTES - padded(len(encoded(head.device))) - 8) // ROW_BYTES[KIND_EVENTS])
        while True:
            piece = slice(at, at + fits)
            named = None if peers is None else peers[piece]
            value = encode_events(begin, neuron[piece], np.maximum(step[piece], first) - first, named)
            if len(value) <= max_bytes:
                break
            if fits == 1:
                raise FrameError(f"frame: expected at most {max_bytes} bytes, found {len(value)} for a single spike")
            fits = fits * 3 // 4
        yield value
        head = replace(head, seq=(head.seq + 1) % U64)
        at += fits


def is_frame(value: bytes) -> bool:
    """Say whether a record claims to be a frame; whether it is a good one, only `unpack` tells."""
    return value[:4] == MAGIC


def is_tick(value: bytes) -> bool:
    """Say whether a record means to be a tick or a marker, and is as short as one."""
    return value[:4] == MAGIC and len(value) <= SHORTEST + 8 and value[6:7] == _TICK


def marker_of(value: bytes) -> int | None:
    """Return the number of the revision that a record brings into force, None if it is no marker."""
    if len(value) != MARKER_BYTES or value[:4] != MAGIC or value[6] != ROLE_TICK:
        return None
    try:
        return unpack(value, MAX_TIME_NS).revision
    except FrameError:
        return None


def unpack(value: bytes, frame_ns: int) -> Frame:
    """Read one frame, row by row; raise `FrameError` with the first thing that is wrong with it."""
    found = _header(value)
    tick, n, at = found.role == ROLE_TICK, found.n, found.payload_at
    raw = value[HEADER_BYTES : HEADER_BYTES + found.id_len]
    fault = None if tick else device_id_fault(raw)
    if fault:
        raise FrameError(fault)
    names = peer_names(value, HEADER_BYTES + padded(found.id_len), at, found.peers)
    head = Head(
        device=raw.decode(),
        start_ns=found.start_ns,
        step_ns=found.step_ns,
        layer=found.layer,
        role=found.role,
        boot=found.boot,
        seq=found.seq,
        digest=int.from_bytes(found.digest, "big"),
    )
    crc = int.from_bytes(value[-4:], "little")
    if tick:
        nothing = np.zeros(0, np.int64)
        revision = int.from_bytes(value[at : at + 8], "little") if n else None
        return Frame(head, found.kind, head.start_ns, nothing.astype(np.uint32), nothing, nothing, [], revision, crc)
    span = span_steps(value, found.kind, n, at) * head.step_ns
    if span > frame_ns:
        raise FrameError(span_fault(frame_ns, span))
    neurons, steps, weights = read_rows(value, found.kind, (n, found.channels), at)
    texts: list[str | None] = []
    if found.flags & FLAG_PEERS:
        column = np.frombuffer(value, "<u2", n, at + ROW_BYTES[found.kind] * n)
        texts = [names[place] if place < len(names) else None for place in column.tolist()]
    times, evidence = head.start_ns + steps * head.step_ns, _evidence(value, found.flags)
    return Frame(head, found.kind, head.start_ns + span, neurons, times, weights, texts, None, crc, evidence)


def span_fault(frame_ns: int, found_ns: int) -> str:
    """Say that the rows of a device in a record lie too far apart."""
    return f"time span: expected at most {frame_ns} ns, found {found_ns}"


def span_steps(value: bytes, kind: int, n: int, at: int) -> int:
    """Return how many steps after its start a frame ends: at its last row."""
    if kind == KIND_WINDOW:
        return WORD_STEPS * n - 1
    return int.from_bytes(value[at + 8 * n - 4 : at + 8 * n], "little") if n else 0


def read_rows(
    value: bytes, kind: int, shape: tuple[int, int], at: int
) -> tuple[NDArray[np.uint32], NDArray[np.int64], NDArray[np.int64]]:
    """Return neurons, steps and weights of a frame whose header is good; `shape` is (n, channels)."""
    n, channels = shape
    if kind == KIND_WINDOW:
        names = np.frombuffer(value, "<u4", channels, at)
        words = np.frombuffer(value, np.uint8, 4 * n * channels, at + 4 * channels).reshape(channels, 4 * n)
        step, channel = np.nonzero(np.unpackbits(words, axis=1, bitorder="little").T)
        return names[channel], step.astype(np.int64), np.ones(len(step), np.int64)
    neurons = np.frombuffer(value, "<u4", n, at)
    steps = np.frombuffer(value, "<u4", n, at + 4 * n).astype(np.int64)
    steps = np.minimum(steps, steps[-1:]) if n else steps
    counted = kind == KIND_COUNT
    weights = np.frombuffer(value, "<u4", n, at + 8 * n).astype(np.int64) if counted else np.ones(n, np.int64)
    return neurons, steps, weights


def _header(value: bytes) -> Header:
    """Check everything about a frame that doesn't depend on its rows."""
    if not SHORTEST <= len(value) <= MAX_FRAME_BYTES:
        raise FrameError(f"frame: expected {SHORTEST} to {MAX_FRAME_BYTES} bytes, found {len(value)}")
    found = Header(*HEADER.unpack_from(value))
    if found.magic != MAGIC:
        raise FrameError(f"magic: expected {MAGIC!r}, found {found.magic!r}")
    _expect("version", found.version, found.version == VERSION, str(VERSION))
    _expect("length", found.length, found.length == len(value), str(len(value)))
    if crc32c(value) != RESIDUE:
        raise FrameError("checksum: the CRC-32C does not fit the bytes")
    window, tick = found.kind == KIND_WINDOW, found.role == ROLE_TICK
    rows = not window and not tick
    named, carries = bool(found.flags & FLAG_PEERS), bool(found.flags & FLAG_EVIDENCE)
    allowed = rows * FLAG_PEERS | (rows and found.role == ROLE_OUTPUT and found.n > 0) * FLAG_EVIDENCE
    _expect("kind", found.kind, found.kind < len(KINDS), "0, 1 or 2")
    _expect("role", found.role, found.role < len(ROLES), "0, 1 or 2")
    good = not found.flags & ~allowed
    _expect("flags", found.flags, good, "0, plus 1 where rows may name peers, plus 2 where output spikes may carry evidence")
    _expect("reserved byte", found.reserved, not found.reserved, "0")
    _expect("step", found.step_ns, 1 <= found.step_ns <= MAX_STEP_NS, f"1 to {MAX_STEP_NS} ns")
    _expect("start", found.start_ns, 0 <= found.start_ns <= MAX_TIME_NS, f"0 to {MAX_TIME_NS} ns")
    _expect("channels", found.channels, (found.channels > 0) == window, "at least 1 in a window, 0 in others")
    _expect("peers", found.peers, found.peers <= named * MAX_PEERS, f"at most {MAX_PEERS}, none without their column")
    _expect("n", found.n, found.n > 0 or not window, "at least one word")
    good = not tick or (found.kind == KIND_EVENTS and found.n <= 1 and not found.id_len)
    _expect("tick", found.n, good, "kind events, no device, at most one number")
    plain = HEADER_BYTES + padded(found.id_len)
    good = plain <= found.payload_at <= found.length and (found.peers > 0 or found.payload_at == plain)
    _expect("payload", found.payload_at, good, f"at byte {plain}, or later where peers are listed")
    steps = WORD_STEPS * found.n * found.channels
    _expect("window", steps, steps <= MAX_WINDOW_STEPS, f"at most {MAX_WINDOW_STEPS} steps in all")
    payload = 4 * found.channels + ROW_BYTES[found.kind] * found.n * max(1, found.channels) + 2 * found.n * named
    size = _evidence_bytes(value) if carries else 0
    _expect("evidence", size, (size > 0) == carries and size <= MAX_EVIDENCE_BYTES, f"1 to {MAX_EVIDENCE_BYTES} bytes")
    length = found.payload_at + (padded(payload) + padded(size) + 8 if carries else padded(payload + 4))
    _expect("n", found.n, length == found.length, f"rows that fill {found.length} bytes, not {length}")
    return found


def _expect(what: str, found: int, good: bool, expected: str) -> None:  # noqa: FBT001 -- the verdict is the point
    if not good:
        raise FrameError(f"{what}: expected {expected}, found {found}")


def _evidence_bytes(value: bytes) -> int:
    """Return how long a frame says that its evidence is: the number before the checksum."""
    return int.from_bytes(value[-8:-4], "little")


def _evidence(value: bytes, flags: int) -> bytes:
    """Return the evidence of a frame whose header is good."""
    if not flags & FLAG_EVIDENCE:
        return b""
    size = _evidence_bytes(value)
    begin = len(value) - 8 - padded(size)
    return value[begin : begin + size]


def _frame(
    head: Head, kind: int, columns: list[NDArray[np.uint32]], peers: Sequence[str | None] | None, evidence: bytes
) -> bytes:
    rows = len(columns[0])
    if any(len(column) != rows for column in columns) or (peers is not None and len(peers) != rows):
        raise FrameError("rows: expected columns of one length")
    if evidence and (head.role != ROLE_OUTPUT or not rows):
        raise FrameError("evidence: expected only where a detector's output has spikes")
    if len(evidence) > MAX_EVIDENCE_BYTES:
        raise FrameError(f"evidence: expected at most {MAX_EVIDENCE_BYTES} bytes, found {len(evidence)}")
    return _seal(head, (kind, rows, 0), b"".join(column.tobytes() for column in columns), peers_of(peers or ()), evidence)


def _seal(head: Head, shape: tuple[int, int, int], payload: bytes, peers: Peers, evidence: bytes = b"") -> bytes:
    """Put the blocks together; `shape` is (kind, n, channels)."""
    raw = encoded(head.device)
    fault = device_id_fault(raw) if head.role != ROLE_TICK or raw else None
    if fault:
        raise FrameError(fault)
    at = HEADER_BYTES + padded(len(raw)) + len(peers.block)
    payload += peers.column
    if evidence:
        block = payload.ljust(padded(len(payload)), b"\0") + evidence.ljust(padded(len(evidence)), b"\0")
        payload = block + len(evidence).to_bytes(4, "little")
    length = at + padded(len(payload) + 4)
    if length > MAX_FRAME_BYTES:
        raise FrameError(f"frame: expected at most {MAX_FRAME_BYTES} bytes, found {length}")
    if not 1 <= head.step_ns <= MAX_STEP_NS:
        raise FrameError(f"step: expected 1 to {MAX_STEP_NS} ns, found {head.step_ns}")
    header = HEADER.pack(
        MAGIC,
        VERSION,
        shape[0],
        _number("role", head.role, len(ROLES)),
        (FLAG_PEERS if peers.column else 0) | (FLAG_EVIDENCE if evidence else 0),
        length,
        shape[1],
        _number("seq", head.seq, U64),
        _number("start", head.start_ns, MAX_TIME_NS + 1),
        head.step_ns,
        _number("layer", head.layer, U16),
        shape[2],
        len(raw),
        0,
        peers.names,
        at,
        _number("boot", head.boot, U64),
        _number("digest", head.digest, U64).to_bytes(8, "big"),
    )
    body = (header + raw.ljust(padded(len(raw)), b"\0") + peers.block + payload).ljust(length - 4, b"\0")
    return body + crc32c(body).to_bytes(4, "little")


def _words(what: str, numbers: ArrayLike) -> NDArray[np.uint32]:
    given = np.asarray(numbers)
    if given.ndim != 1 or (given.size and (given.dtype.kind not in "iu" or given.min() < 0 or given.max() >= U32)):
        raise FrameError(f"{what}: expected a list of whole numbers from 0 to {U32 - 1}")
    return given.astype("<u4")


def _number(what: str, number: int, end: int) -> int:
    if not 0 <= number < end:
        raise FrameError(f"{what}: expected 0 to {end - 1}, found {number}")
    return number
