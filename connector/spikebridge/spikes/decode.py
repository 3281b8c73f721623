"""
Records to a batch.

Events frames stay packed and JSON events go straight to columns; all else, and whatever is wrong, is read plainly. Plain reading of
any record gives the same frames, rows and reasons: only slower.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from spikebridge.spikes.batch import Batch, Refused
from spikebridge.spikes.columns import Columns, FlatRows, PackedRows
from spikebridge.spikes.layout import MAGIC
from spikebridge.spikes.packed import read_packed
from spikebridge.spikes.parts import Part, Reading, read_record, unpack_record
from spikebridge.spikes.told import read_told

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from spikebridge.spikes.names import Devices, Layers
    from spikebridge.spikes.record import Record

__all__ = ["Decoder", "Part", "Reading", "read_record", "unpack_record"]


_BEYOND = MAGIC[:-1] + bytes([MAGIC[-1] + 1])
"""Bytes that begin with the magic lie between it and this: told in half the time that cutting them takes."""


class Decoder:
    """Decodes for one owner of devices and layers."""

    def __init__(self, devices: Devices, layers: Layers, frame_ns: int) -> None:
        """Refuse what spans more than `frame_ns` for a device in a record."""
        self._devices = devices
        self._layers = layers
        self._frame_ns = frame_ns

    def decode(self, records: Sequence[Record]) -> Batch:
        """Read records, whatever their bytes; what is refused is in the batch, and its neighbours count."""
        offset = np.array([record.offset for record in records], np.int64)
        append = np.array([record.append_ns for record in records], np.int64)
        values = [record.value for record in records]
        keys = [record.key for record in records] if any(record.key is not None for record in records) else None
        packed = np.array([MAGIC <= value < _BEYOND for value in values], np.bool_)
        pieces: list[Columns] = []
        left: list[int] = []
        if packed.any():
            some, where = _chosen(values, packed)
            piece, rest = read_packed(some, where, self._devices, self._frame_ns, _at(keys, where))
            pieces.append(piece)
            left += rest
        if not packed.all():
            some, where = _chosen(values, ~packed)
            piece, rest = read_told(some, where, append[where], (self._devices, self._layers), self._frame_ns, _at(keys, where))
            pieces.append(piece)
            left += rest
        readings = [(place, read_record(records[place], self._frame_ns)) for place in sorted(left)]
        refused = [bad._replace(record=place) for place, reading in readings for bad in reading.refused]
        parts = [(place, part) for place, reading in readings for part in reading.parts]
        if parts:
            pieces.append(self._plain(parts))
        batch = _batch((offset, append), _joined([piece for piece in pieces if len(piece.n)] or pieces[:1]), refused)
        batch.values = values
        return batch

    def _plain(self, parts: list[tuple[int, Part]]) -> Columns:
        """Put plainly read parts, each with its record, into columns."""
        some = [part for _, part in parts]
        n = np.array([len(part.neurons) for part in some], np.int64)
        rows = FlatRows(
            np.cumsum(n) - n,
            n,
            np.concatenate([part.neurons for part in some]),
            np.concatenate([part.times for part in some]),
            np.concatenate([part.weights for part in some]),
        )
        codes = [part.layer if isinstance(part.layer, int) else self._layers.code(part.layer) for part in some]
        return Columns(
            record=np.array([place for place, _ in parts], np.intp),
            device=self._devices.intern([part.device_id.encode() for part in some]),
            layer=np.array(codes, np.int32),
            role=np.array([part.role for part in some], np.uint8),
            n=n,
            start_ns=np.array([part.start_ns for part in some], np.int64),
            end_ns=np.array([part.end_ns for part in some], np.int64),
            boot=np.array([part.boot for part in some], np.uint64),
            seq=np.array([part.seq for part in some], np.uint64),
            crc=np.array([part.crc for part in some], np.uint32),
            rows=rows,
        )


def _chosen(values: Sequence[bytes], chosen: NDArray[np.bool_]) -> tuple[Sequence[bytes], NDArray[np.intp]]:
    where = np.flatnonzero(chosen)
    return (values if len(where) == len(values) else [values[place] for place in where.tolist()]), where


def _at(keys: list[bytes | None] | None, where: NDArray[np.intp]) -> list[bytes | None] | None:
    return None if keys is None else [keys[place] for place in where.tolist()]


def _joined(pieces: list[Columns]) -> Columns | None:
    """Join pieces to one in log order; rows stay packed only where all are."""
    if len(pieces) < 2:  # noqa: PLR2004 -- one needs no joining
        return pieces[0] if pieces else None
    order = np.argsort(np.concatenate([piece.record for piece in pieces]), kind="stable")
    return Columns(
        record=np.concatenate([piece.record for piece in pieces])[order],
        device=np.concatenate([piece.device for piece in pieces])[order],
        layer=np.concatenate([piece.layer for piece in pieces])[order],
        role=np.concatenate([piece.role for piece in pieces])[order],
        n=np.concatenate([piece.n for piece in pieces])[order],
        start_ns=np.concatenate([piece.start_ns for piece in pieces])[order],
        end_ns=np.concatenate([piece.end_ns for piece in pieces])[order],
        boot=np.concatenate([piece.boot for piece in pieces])[order],
        seq=np.concatenate([piece.seq for piece in pieces])[order],
        crc=np.concatenate([piece.crc for piece in pieces])[order],
        rows=_joined_rows([piece.rows for piece in pieces]).take(order),
    )


def _joined_rows(pieces: list[PackedRows | FlatRows]) -> FlatRows:
    flat = [piece.flat() if isinstance(piece, PackedRows) else piece for piece in pieces]
    sizes = np.array([len(piece.neuron) for piece in flat], np.int64)
    weighted = any(piece.weight is not None for piece in flat)
    weights = [np.ones(len(piece.neuron), np.int64) if piece.weight is None else piece.weight for piece in flat]
    return FlatRows(
        np.concatenate([piece.first + shift for piece, shift in zip(flat, np.cumsum(sizes) - sizes, strict=True)]),
        np.concatenate([piece.n for piece in flat]),
        np.concatenate([piece.neuron for piece in flat]),
        np.concatenate([piece.time for piece in flat]),
        np.concatenate(weights) if weighted else None,
    )


def _batch(records: tuple[NDArray[np.int64], NDArray[np.int64]], columns: Columns | None, refused: list[Refused]) -> Batch:
    if columns is None:
        nothing = np.zeros(0, np.int64)
        columns = Columns(
            record=nothing.astype(np.intp),
            device=nothing.astype(np.int32),
            layer=nothing.astype(np.int32),
            role=nothing.astype(np.uint8),
            n=nothing,
            start_ns=nothing,
            end_ns=nothing,
            boot=nothing.astype(np.uint64),
            seq=nothing.astype(np.uint64),
            crc=nothing.astype(np.uint32),
            rows=FlatRows(nothing, nothing, nothing.astype(np.uint32), nothing, None),
        )
    return Batch(
        offset=records[0],
        append_ns=records[1],
        record=columns.record,
        device=columns.device,
        layer=columns.layer,
        role=columns.role,
        n=columns.n,
        start_ns=columns.start_ns,
        end_ns=columns.end_ns,
        boot=columns.boot,
        seq=columns.seq,
        crc=columns.crc,
        rows=columns.rows,
        refused=refused,
        spikes=columns.spikes,
    )
