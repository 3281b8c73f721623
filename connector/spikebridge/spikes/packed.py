"""Many events frames at once: headers as columns, one checksum pass, rows left in their bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from crc32c import crc32c

from spikebridge.errors import FrameError
from spikebridge.spikes import layout as wire
from spikebridge.spikes.batch import ROLE_OUTPUT, ROLE_TICK
from spikebridge.spikes.columns import Columns, PackedRows
from spikebridge.spikes.names import INVALID
from spikebridge.spikes.peers import peer_names

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from spikebridge.spikes.names import Devices

    Bools = NDArray[np.bool_]
    Ints = NDArray[np.int64]
    Places = NDArray[np.intp]


def read_packed(
    values: Sequence[bytes], record: Places, devices: Devices, frame_ns: int, keys: Sequence[bytes | None] | None = None
) -> tuple[Columns, list[int]]:
    """
    Read good events frames; `record[i]` is where `values[i]` lies in the batch, `keys[i]` what device its record says it is of.

    Return also the records left to the plain reader: frames of other kinds, and those with something wrong. Ticks are in neither.
    """
    size = np.fromiter(map(len, values), np.int64, len(values))
    fits = (size >= wire.SHORTEST) & (size <= wire.MAX_FRAME_BYTES)
    left = record[~fits].tolist()
    if left:
        some = np.flatnonzero(fits).tolist()
        values, record, size = [values[place] for place in some], record[fits], size[fits]
        keys = [keys[place] for place in some] if keys else None
    head = np.frombuffer(b"".join([value[: wire.HEADER_BYTES] for value in values]), wire.COLUMNS)
    at, n = head["payload_at"].astype(np.int64), head["n"].astype(np.int64)
    good = _good_heads(head, size, at, n, _evidence_bytes(values, size, head["flags"]))
    good &= np.fromiter(map(crc32c, values), np.uint32, len(values)) == wire.RESIDUE
    tick = good & (head["role"] == ROLE_TICK)
    last = np.where(n > 0, _words(values, np.where(good & (n > 0), at + 8 * n - 4, wire.HEADER_BYTES - 4)), 0)
    good &= (last * head["step_ns"] <= frame_ns) | tick
    for place in np.flatnonzero(good & (head["peers"] > 0)).tolist():
        good[place] = _has_peers(values[place], head[place])
    left += record[~good].tolist()
    kept = np.flatnonzero(good & ~tick)
    own = _own(kept, ids := _ids(values, kept, head["id_len"]), keys)
    left += record[kept[~own]].tolist()
    kept, device = kept[own], devices.intern([one for one, its in zip(ids, own.tolist(), strict=True) if its])
    known = device != INVALID
    left += record[kept[~known]].tolist()
    kept, device = kept[known], device[known]
    if len(kept) < len(values):
        values = [values[place] for place in kept.tolist()]
        record, head, at, n, last, size = record[kept], head[kept], at[kept], n[kept], last[kept], size[kept]
    start, step = head["start_ns"], head["step_ns"].astype(np.int64)
    columns = Columns(
        record=record,
        device=device,
        layer=head["layer"].astype(np.int32),
        role=head["role"],
        n=n,
        start_ns=start.astype(np.int64),
        end_ns=start + last * step,
        boot=head["boot"].astype(np.uint64),
        seq=head["seq"].astype(np.uint64),
        crc=_words(values, size - 4).astype(np.uint32),
        rows=PackedRows(values, at, n, start.astype(np.int64), step, last),
    )
    return columns, left


def _own(kept: Places, ids: list[bytes], keys: Sequence[bytes | None] | None) -> Bools:
    """Say of which frames the device is that of the record's key."""
    if keys is None:
        return np.ones(len(ids), np.bool_)
    return np.array([keys[place] in (None, one) for place, one in zip(kept.tolist(), ids, strict=True)], np.bool_)


def _evidence_bytes(values: Sequence[bytes], size: Ints, flags: NDArray[np.uint8]) -> Ints:
    """Return how long each frame says that its evidence is, 0 without any."""
    found = np.zeros(len(values), np.int64)
    carries = np.flatnonzero(flags & wire.FLAG_EVIDENCE)
    if len(carries):
        found[carries] = _words([values[place] for place in carries.tolist()], size[carries] - 8)
    return found


def _padded(size: Ints) -> Ints:
    return (size + 7) // 8 * 8


def _good_heads(head: NDArray[np.void], size: Ints, at: Ints, n: Ints, evidence: Ints) -> Bools:
    """Check, for events frames and ticks, what `frame.unpack` checks one by one; `evidence` is how long each says that its own is."""
    flags, peers, tick = head["flags"], head["peers"], head["role"] == ROLE_TICK
    named, carries = flags & wire.FLAG_PEERS, flags & wire.FLAG_EVIDENCE > 0
    plain = wire.HEADER_BYTES + (head["id_len"].astype(np.int64) + 7) // 8 * 8
    payload = (8 + 2 * named.astype(np.int64)) * n
    rest = np.where(carries, _padded(payload) + _padded(evidence) + 8, _padded(payload + 4))
    good: Bools = (
        (head["magic"] == int.from_bytes(wire.MAGIC, "little"))
        & (head["version"] == wire.VERSION)
        & (head["length"] == size)
        & (head["kind"] == wire.KIND_EVENTS)
        & (head["role"] < len(wire.ROLES))
        & (flags <= wire.FLAG_PEERS | wire.FLAG_EVIDENCE)
        & (head["reserved"] == 0)
        & (head["step_ns"] - np.uint32(1) < wire.MAX_STEP_NS)
        & (head["start_ns"] >= 0)
        & (head["start_ns"] <= wire.MAX_TIME_NS)
        & (head["channels"] == 0)
        & (peers <= np.where(named > 0, wire.MAX_PEERS, 0))
        & (at >= plain)
        & ((peers > 0) | (at == plain))
        & (at + rest == size)
    )
    if carries.any():
        good &= ~carries | ((head["role"] == ROLE_OUTPUT) & (n > 0) & (evidence > 0) & (evidence <= wire.MAX_EVIDENCE_BYTES))
    if tick.any():
        good &= ~tick | ((n <= 1) & (head["id_len"] == 0) & (flags == 0))
    return good


def _has_peers(value: bytes, head: np.void) -> bool:
    begin = wire.HEADER_BYTES + (int(head["id_len"]) + 7) // 8 * 8
    try:
        peer_names(value, begin, int(head["payload_at"]), int(head["peers"]))
    except FrameError:
        return False
    return True


def _ids(values: Sequence[bytes], kept: Places, id_len: NDArray[np.uint8]) -> list[bytes]:
    begin = wire.HEADER_BYTES
    ends = (begin + id_len[kept].astype(np.int64)).tolist()
    return [values[place][begin:end] for place, end in zip(kept.tolist(), ends, strict=True)]


def _words(values: Sequence[bytes], at: Ints) -> Ints:
    """Return the one word that stands at a place of each value."""
    words = b"".join([value[one:other] for value, one, other in zip(values, at.tolist(), (at + 4).tolist(), strict=True)])
    return np.frombuffer(words, "<u4").astype(np.int64)
