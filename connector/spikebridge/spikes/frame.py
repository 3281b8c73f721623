"""
The binary frame: spikes of one device over one stretch of time, as they travel and lie in the log.

connector/README.md gives the layout to the byte. All numbers are little-endian, every block is a multiple of 8 bytes, and the
CRC-32C stands last, so that the CRC of a whole good frame is one constant. Nothing is allocated before its size was checked.
An outer envelope (key id and tag) wraps a frame from outside and begins with other bytes than `MAGIC`.
"""

from __future__ import annotations

import struct
import unicodedata
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from crc32c import crc32c

from spikebridge.errors import FrameError
from spikebridge.spikes.batch import ROLE_OUTPUT, ROLE_TICK
from spikebridge.spikes.names import device_id_fault

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import ArrayLike, NDArray

MAGIC = b"SPKB"
VERSION = 1
KIND_EVENTS, KIND_WINDOW, KIND_COUNT = 0, 1, 2
KINDS = ("events", "window", "count")
ROLES = ("input", "output", "tick")
ROW_BYTES = (8, 4, 12)
"""Bytes of one row by kind, a word of one channel for windows; peers come on top."""

FLAG_PEERS = 1
HEADER_BYTES = 64
SHORTEST = HEADER_BYTES + 8
"""The bytes of a tick: a header, no payload, padding and CRC."""

MAX_FRAME_BYTES = 1 << 20
DATAGRAM_BYTES = 1_180
"""What fits an IPv6 datagram of 1,280 bytes beside an outer envelope."""

MAX_STEP_NS = 1 << 30
MAX_TIME_NS = 1 << 62
MAX_PEERS = 4_096
MAX_PEER_BYTES = 255
MAX_WINDOW_STEPS = 1 << 20
"""Steps times channels of a window frame, which is what unpacking it may allocate."""

WORD_STEPS = 32
NO_PEER = 0xFFFF
RESIDUE = 0x48674BC7
"""The CRC-32C of any bytes followed by their own CRC-32C."""

HEADER = struct.Struct("<4sBBBBIIQqIHHBxHIQ8s")
COLUMNS = np.dtype(
    [
        ("magic", "<u4"),
        ("version", "u1"),
        ("kind", "u1"),
        ("role", "u1"),
        ("flags", "u1"),
        ("length", "<u4"),
        ("n", "<u4"),
        ("seq", "<u8"),
        ("start_ns", "<i8"),
        ("step_ns", "<u4"),
        ("layer", "<u2"),
        ("channels", "<u2"),
        ("id_len", "u1"),
        ("reserved", "u1"),
        ("peers", "<u2"),
        ("payload_at", "<u4"),
        ("boot", "<u8"),
        ("digest", ">u8"),
    ]
)
"""The header again, so that many headers are read as columns."""

U16, U32, U64 = 1 << 16, 1 << 32, 1 << 64


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
    """One frame, read. `peers` is empty when no row names one; `revision` is set for a tick that is a marker."""

    head: Head
    kind: int
    end_ns: int
    neurons: NDArray[np.uint32]
    times: NDArray[np.int64]
    weights: NDArray[np.int64]
    peers: list[str | None]
    revision: int | None
    crc: int


class Peers(NamedTuple):
    """The dictionary block of a frame and each row's place in it."""

    block: bytes
    column: bytes
    count: int


def encode_events(head: Head, neurons: ArrayLike, dt: ArrayLike, peers: Sequence[str | None] | None = None) -> bytes:
    """
    Write spikes: `dt` in steps, ascending; no rows at all prove that the device lives.

    A step larger than the last one counts as the last one, so that a frame's end is known from its last row.
    """
    columns = [_words("neurons", neurons), _words("dt", dt)]
    return _frame(head, KIND_EVENTS, columns, peers)


def encode_counts(
    head: Head, neurons: ArrayLike, dt: ArrayLike, counts: ArrayLike, peers: Sequence[str | None] | None = None
) -> bytes:
    """Write counted spikes, as `encode_events`; the neuron `SUMMARY` stands for the whole layer."""
    columns = [_words("neurons", neurons), _words("dt", dt), _words("counts", counts)]
    return _frame(head, KIND_COUNT, columns, peers)


def encode_window(head: Head, neurons: ArrayLike, words: ArrayLike) -> bytes:
    """Write bit-packed channels: bit t of `words[channel][w]` is step 32 * w + t."""
    table = np.asarray(words)
    channels = _words("neurons", neurons)
    if table.ndim != 2 or len(table) != len(channels) or not table.size:  # noqa: PLR2004 -- channels and words
        raise FrameError(f"words: expected {len(channels)} channels of at least one word, found the shape {table.shape}")
    if table.size * WORD_STEPS > MAX_WINDOW_STEPS or len(channels) >= U16:
        raise FrameError(f"window: expected at most {MAX_WINDOW_STEPS} steps in all, found {table.size * WORD_STEPS}")
    payload = channels.tobytes() + _words("words", table.ravel()).tobytes()
    return _seal(head, (KIND_WINDOW, table.shape[1], len(channels)), payload, Peers(b"", b"", 0))


def encode_tick(at_ns: int, revision: int | None = None) -> bytes:
    """Write that time passes; with a revision's number it is a marker: that revision is in force from there on."""
    payload = b"" if revision is None else _number("revision", revision, U64).to_bytes(8, "little")
    head = Head(device="", start_ns=at_ns, step_ns=1, role=ROLE_TICK)
    return _seal(head, (KIND_EVENTS, len(payload) // 8, 0), payload, Peers(b"", b"", 0))


def split_events(
    head: Head, neurons: ArrayLike, dt: ArrayLike, peers: Sequence[str | None] | None = None, *, max_bytes: int = DATAGRAM_BYTES
) -> Iterator[bytes]:
    """Write spikes as frames of at most `max_bytes` with rising sequence numbers, each beginning at its first spike."""
    neuron, step = _words("neurons", neurons), _words("dt", dt)
    at = 0
    while at < len(neuron) or not at:
        first = int(step[at]) if len(step) else 0
        begin = replace(head, start_ns=head.start_ns + first * head.step_ns)
        fits = max(1, (max_bytes - HEADER_BYTES - _padded(len(head.device.encode())) - 8) // ROW_BYTES[KIND_EVENTS])
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


def marker_of(value: bytes) -> int | None:
    """Return the number of the revision that a record brings into force, None if it is no marker."""
    if len(value) != SHORTEST + 8 or value[:4] != MAGIC or value[6] != ROLE_TICK:
        return None
    try:
        return unpack(value, MAX_TIME_NS).revision
    except FrameError:
        return None


def unpack(value: bytes, frame_ns: int) -> Frame:
    """Read one frame, row by row; raise `FrameError` with the first thing that is wrong with it."""
    (_, _, kind, role, flags, _, n, seq, start, step, layer, channels, id_len, peers, at, boot, digest) = _header(value)
    texts: list[str | None] = []
    if role == ROLE_TICK:
        device = ""
    else:
        raw = value[HEADER_BYTES : HEADER_BYTES + id_len]
        fault = device_id_fault(raw)
        if fault:
            raise FrameError(fault)
        device = raw.decode()
    names = peer_names(value, HEADER_BYTES + _padded(id_len), at, peers)
    if flags & FLAG_PEERS:
        column = np.frombuffer(value, "<u2", n, at + ROW_BYTES[kind] * n)
        texts = [names[place] if place < len(names) else None for place in column.tolist()]
    head = Head(
        device=device,
        start_ns=start,
        step_ns=step,
        layer=layer,
        role=role,
        boot=boot,
        seq=seq,
        digest=int.from_bytes(digest, "big"),
    )
    crc = int.from_bytes(value[-4:], "little")
    if role == ROLE_TICK:
        nothing = np.zeros(0, np.int64)
        revision = int.from_bytes(value[at : at + 8], "little") if n else None
        return Frame(head, kind, start, nothing.astype(np.uint32), nothing, nothing, texts, revision, crc)
    end = start + span_steps(value, kind, n, at) * step
    if end - start > frame_ns:
        raise FrameError(f"time span: expected at most {frame_ns} ns, found {end - start}")
    neurons, steps, weights = read_rows(value, kind, (n, channels), at)
    return Frame(head, kind, end, neurons, start + steps * step, weights, texts, None, crc)


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


def peer_names(value: bytes, begin: int, end: int, count: int) -> list[str]:
    """Read the dictionary of peers, which must fill its block."""
    names: list[str] = []
    at = begin
    for _ in range(count):
        size = value[at] if at < end else 0
        raw = value[at + 1 : at + 1 + size]
        at += 1 + size
        fault = "expected 1 to 255 bytes inside its block" if not size or at > end else text_fault(raw)
        if fault:
            raise FrameError(f"peer {len(names)}: {fault}")
        names.append(raw.decode())
    if end - begin != _padded(at - begin):
        raise FrameError(f"payload: expected at byte {begin + _padded(at - begin)}, found {end}")
    return names


def text_fault(raw: bytes) -> str | None:
    """Say what is wrong with a name that others chose; None for a good one."""
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        return "expected UTF-8"
    return "expected no control characters" if any(unicodedata.category(letter) == "Cc" for letter in text) else None


def _header(value: bytes) -> tuple[int, ...]:
    """Check everything about a frame that doesn't depend on its rows."""
    if len(value) < SHORTEST:
        raise FrameError(f"frame: expected at least {SHORTEST} bytes, found {len(value)}")
    if len(value) > MAX_FRAME_BYTES:
        raise FrameError(f"frame: expected at most {MAX_FRAME_BYTES} bytes, found {len(value)}")
    found = HEADER.unpack_from(value)
    magic, version, kind, role, flags, length, n, _, start, step, _, channels, id_len, peers, at, _, _ = found
    for what, number, good, expected in (
        ("magic", magic, magic == MAGIC, MAGIC),
        ("version", version, version == VERSION, VERSION),
        ("length", length, length == len(value), len(value)),
    ):
        if not good:
            raise FrameError(f"{what}: expected {expected!r}, found {number!r}")
    if crc32c(value) != RESIDUE:
        raise FrameError("checksum: the CRC-32C does not fit the bytes")
    window, tick = kind == KIND_WINDOW, role == ROLE_TICK
    plain = HEADER_BYTES + _padded(id_len)
    for what, number, good, expected in (
        ("kind", kind, kind < len(KINDS), "0, 1 or 2"),
        ("role", role, role < len(ROLES), "0, 1 or 2"),
        ("flags", flags, flags <= (FLAG_PEERS if not window and not tick else 0), "no unknown flag"),
        ("reserved byte", value[41], value[41] == 0, "0"),
        ("step", step, 1 <= step <= MAX_STEP_NS, f"1 to {MAX_STEP_NS} ns"),
        ("start", start, 0 <= start <= MAX_TIME_NS, f"0 to {MAX_TIME_NS} ns"),
        ("channels", channels, (channels > 0) == window, "at least 1 in a window frame, 0 in others"),
        ("n", n, n > 0 or not window, "at least one word"),
        ("peers", peers, peers <= (MAX_PEERS if flags else 0), f"at most {MAX_PEERS}, none without their column"),
        ("payload", at, plain <= at <= length and (peers > 0 or at == plain), f"at byte {plain} behind id and peers"),
        ("tick", n, not tick or (kind == KIND_EVENTS and n <= 1 and not id_len), "no device and at most a revision"),
    ):
        if not good:
            raise FrameError(f"{what}: expected {expected}, found {number}")
    payload = ROW_BYTES[kind] * n * (channels if window else 1) + 4 * channels + (2 * n if flags else 0)
    if at + _padded(payload + 4) != length:
        raise FrameError(f"n: expected rows that fill {length} bytes, found {at + _padded(payload + 4)}")
    if WORD_STEPS * n * channels > MAX_WINDOW_STEPS:
        raise FrameError(f"window: expected at most {MAX_WINDOW_STEPS} steps in all, found {WORD_STEPS * n * channels}")
    return found


def _frame(head: Head, kind: int, columns: list[NDArray[np.uint32]], peers: Sequence[str | None] | None) -> bytes:
    rows = len(columns[0])
    if any(len(column) != rows for column in columns) or (peers is not None and len(peers) != rows):
        raise FrameError("rows: expected columns of one length")
    return _seal(head, (kind, rows, 0), b"".join(column.tobytes() for column in columns), _peers(peers or ()))


def _seal(head: Head, shape: tuple[int, int, int], payload: bytes, peers: Peers) -> bytes:
    """Put the blocks together; `shape` is (kind, n, channels)."""
    raw = head.device.encode()
    fault = device_id_fault(raw) if head.role != ROLE_TICK or raw else None
    if fault:
        raise FrameError(fault)
    at = HEADER_BYTES + _padded(len(raw)) + len(peers.block)
    length = at + _padded(len(payload) + len(peers.column) + 4)
    if length > MAX_FRAME_BYTES:
        raise FrameError(f"frame: expected at most {MAX_FRAME_BYTES} bytes, found {length}")
    if not 1 <= head.step_ns <= MAX_STEP_NS:
        raise FrameError(f"step: expected 1 to {MAX_STEP_NS} ns, found {head.step_ns}")
    header = HEADER.pack(
        MAGIC,
        VERSION,
        shape[0],
        _number("role", head.role, len(ROLES)),
        FLAG_PEERS if peers.column else 0,
        length,
        shape[1],
        _number("seq", head.seq, U64),
        _number("start", head.start_ns, MAX_TIME_NS + 1),
        head.step_ns,
        _number("layer", head.layer, U16),
        shape[2],
        len(raw),
        peers.count,
        at,
        _number("boot", head.boot, U64),
        _number("digest", head.digest, U64).to_bytes(8, "big"),
    )
    body = (header + raw.ljust(_padded(len(raw)), b"\0") + peers.block + payload + peers.column).ljust(length - 4, b"\0")
    return body + crc32c(body).to_bytes(4, "little")


def _peers(peers: Sequence[str | None]) -> Peers:
    names = list(dict.fromkeys(peer for peer in peers if peer is not None))
    if not names:
        return Peers(b"", b"", 0)
    if len(names) > MAX_PEERS:
        raise FrameError(f"peers: expected at most {MAX_PEERS}, found {len(names)}")
    raws = [name.encode() for name in names]
    for raw in raws:
        fault = text_fault(raw) if 1 <= len(raw) <= MAX_PEER_BYTES else f"expected 1 to {MAX_PEER_BYTES} bytes"
        if fault:
            raise FrameError(f"peer: {fault}")
    block = b"".join(bytes([len(raw)]) + raw for raw in raws)
    places = {name: place for place, name in enumerate(names)}
    column = np.array([NO_PEER if peer is None else places[peer] for peer in peers], "<u2")
    return Peers(block.ljust(_padded(len(block)), b"\0"), column.tobytes(), len(names))


def _words(what: str, numbers: ArrayLike) -> NDArray[np.uint32]:
    given = np.asarray(numbers)
    if given.ndim != 1 or (given.size and (given.dtype.kind not in "iu" or given.min() < 0 or given.max() >= U32)):
        raise FrameError(f"{what}: expected a list of whole numbers from 0 to {U32 - 1}")
    return given.astype("<u4")


def _number(what: str, number: int, end: int) -> int:
    if not 0 <= number < end:
        raise FrameError(f"{what}: expected 0 to {end - 1}, found {number}")
    return number


def _padded(size: int) -> int:
    return -(-size // 8) * 8
