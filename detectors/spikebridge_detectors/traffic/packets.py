"""Packets of one device as generated: built from plain columns, put together, and put in the order of time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from spikebridge_detectors.capture.columns import Packets

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

_KINDS = {
    "device": np.int32,
    "outgoing": np.bool_,
    "peer": np.int32,
    "transport": np.uint8,
    "source_port": np.uint16,
    "target_port": np.uint16,
    "length": np.uint32,
    "flags": np.uint8,
}


def made(time_ns: NDArray[np.int64], **columns: ArrayLike) -> Packets:
    """Return packets; a column that is one value holds for all, and one that isn't given is 0."""
    rest: dict[str, NDArray[Any]] = {
        name: np.broadcast_to(np.asarray(columns.get(name, 0)), time_ns.shape).astype(kind) for name, kind in _KINDS.items()
    }
    return Packets(time_ns=time_ns, **rest)


def put_together(pieces: Sequence[Packets]) -> Packets:
    """Return all packets in the order of time."""
    columns = [np.concatenate(column) for column in zip(*pieces, strict=True)]
    order = np.argsort(columns[0], kind="stable")
    return Packets._make(column[order] for column in columns)


def kept(packets: Packets, which: NDArray[np.bool_]) -> Packets:
    """Return some of the packets."""
    return Packets._make(column[which] for column in packets)
