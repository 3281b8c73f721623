"""The dictionary of peers of a frame: each name once, and a column that says which row has which."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from spikebridge.errors import FrameError
from spikebridge.spikes.layout import MAX_PEER_BYTES, MAX_PEERS, NO_PEER, padded
from spikebridge.spikes.names import text_fault

if TYPE_CHECKING:
    from collections.abc import Sequence


class Peers(NamedTuple):
    """The dictionary block of a frame, how many names it holds, and each row's place in it."""

    block: bytes = b""
    names: int = 0
    column: bytes = b""


def peers_of(peers: Sequence[str | None]) -> Peers:
    """Write the names of the peers of rows, each once, and the column of their places."""
    names = list(dict.fromkeys(peer for peer in peers if peer is not None))
    if not names:
        return Peers()
    if len(names) > MAX_PEERS:
        raise FrameError(f"peers: expected at most {MAX_PEERS}, found {len(names)}")
    raws = [encoded(name) for name in names]
    for raw in raws:
        fault = text_fault(raw) if 1 <= len(raw) <= MAX_PEER_BYTES else f"expected 1 to {MAX_PEER_BYTES} bytes"
        if fault:
            raise FrameError(f"peer: {fault}")
    block = b"".join(bytes([len(raw)]) + raw for raw in raws)
    places = {name: place for place, name in enumerate(names)}
    column = np.array([NO_PEER if peer is None else places[peer] for peer in peers], "<u2")
    return Peers(block.ljust(padded(len(block)), b"\0"), len(names), column.tobytes())


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
    if end - begin != padded(at - begin):
        raise FrameError(f"payload: expected at byte {begin + padded(at - begin)}, found {end}")
    return names


def encoded(name: str) -> bytes:
    """Return a name as bytes; one that is no text, as a command line may hold it, becomes none of UTF-8, which is refused as such."""
    return name.encode(errors="surrogatepass")
