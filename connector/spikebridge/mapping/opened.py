"""Records read once for all alerts that rest on them: an array of JSON events may raise thousands."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from spikebridge.canonical import sha256
from spikebridge.spikes.lean import lean
from spikebridge.spikes.parts import unpack_record

if TYPE_CHECKING:
    from spikebridge.spikes.parts import Part
    from spikebridge.spikes.record import Record

OPEN_BYTES = 4 << 20
"""Records of so many bytes together are kept open; opened they take up to 30 times as much."""


class Opened:
    """A record, its digest, and its parts by device, each with its place in the record; read when asked for."""

    def __init__(self, record: Record, frame_ns: int) -> None:
        """Nothing is read yet."""
        self.record = record
        self._frame_ns = frame_ns

    @cached_property
    def digest(self) -> str:
        """The SHA-256 of its bytes."""
        return sha256(self.record.value)

    @cached_property
    def lean(self) -> bytes:
        """Its bytes, of a frame without the evidence of a network."""
        return lean(self.record.value)

    @cached_property
    def parts(self) -> dict[str, list[tuple[int, Part]]]:
        """Its parts, by device."""
        found: dict[str, list[tuple[int, Part]]] = {}
        for at, part in enumerate(unpack_record(self.record, self._frame_ns)):
            found.setdefault(part.device_id, []).append((at, part))
        return found


class OpenRecords:
    """The records of one log that were opened last."""

    def __init__(self, frame_ns: int) -> None:
        """Begin with none."""
        self._frame_ns = frame_ns
        self._held: dict[tuple[int, int], Opened] = {}
        self._bytes = 0

    def held(self, offset: int, append_ns: int) -> Opened | None:
        """Return a record that is still open."""
        found = self._held.pop((offset, append_ns), None)
        if found is not None:
            self._held[offset, append_ns] = found
        return found

    def open(self, record: Record) -> Opened:
        """Return the record, opened at most once while it is among the last."""
        found = self.held(record.offset, record.append_ns)
        if found is None:
            found = self._held[record.offset, record.append_ns] = Opened(record, self._frame_ns)
            self._bytes += len(record.value)
            while self._bytes > OPEN_BYTES and len(self._held) > 1:
                self._bytes -= len(self._held.pop(next(iter(self._held))).record.value)
        return found
