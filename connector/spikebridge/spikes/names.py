"""Names to small integers, so that columns can hold them: devices and layers."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

MAX_ID_BYTES = 128
WIRE_LAYERS = 65_536
INVALID = -1
NO_LAYER = -1
"""The layer of a row whose text no mapping has ever named."""


CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")


def device_id_fault(raw: bytes) -> str | None:
    """Say what is wrong with a device id; None for a good one."""
    if not 1 <= len(raw) <= MAX_ID_BYTES:
        return f"device id: expected 1 to {MAX_ID_BYTES} bytes, found {len(raw)}"
    fault = text_fault(raw)
    return f"device id: {fault}" if fault else None


def text_fault(raw: bytes) -> str | None:
    """Say what is wrong with a name that others chose; None for a good one."""
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        return "expected UTF-8"
    return "expected no control characters" if CONTROL.search(text) else None


class Devices:
    """
    Device ids (UTF-8 bytes) to dense indices, and back.

    An index is stable until `release`; then another device may get it. Invalid ids get `INVALID` and no index.
    """

    def __init__(self) -> None:
        """Begin empty."""
        self._index: dict[bytes, int] = {}
        self._ids: list[bytes] = []
        self._free: list[int] = []
        self._fresh: list[int] = []

    def __len__(self) -> int:
        """Tell how long columns by device must be (indices are below it)."""
        return len(self._ids)

    @property
    def alive(self) -> int:
        """Tell how many devices have an index now."""
        return len(self._index)

    def intern(self, ids: Sequence[bytes]) -> NDArray[np.int32]:
        """Give each id its index, a new one on first sight."""
        found = list(map(self._index.get, ids))
        if None in found:
            for at, index in enumerate(found):
                if index is None:
                    found[at] = self._add(ids[at])
        return np.array(found, np.int32)

    def index(self, device_id: str) -> int:
        """Give one id its index."""
        raw = device_id.encode()
        index = self._index.get(raw)
        return self._add(raw) if index is None else index

    def id(self, index: int) -> str:
        """Tell whose index this is."""
        return self._ids[index].decode()

    def items(self) -> Iterable[tuple[str, int]]:
        """Walk over the devices that have an index."""
        return ((raw.decode(), index) for raw, index in self._index.items())

    def has(self, index: int) -> bool:
        """Say whether an index stands for a device now."""
        return bool(self._ids[index])

    def take_fresh(self) -> list[int]:
        """Return the indices given out since the last call."""
        fresh, self._fresh = self._fresh, []
        return fresh

    def release(self, indices: Iterable[int]) -> None:
        """Forget devices; the caller has cleared what it keeps under their indices."""
        for index in indices:
            del self._index[self._ids[index]]
            self._ids[index] = b""
            self._free.append(index)

    def _add(self, raw: bytes) -> int:
        known = self._index.get(raw)
        if known is not None:
            return known
        if device_id_fault(raw):
            return INVALID
        if self._free:
            index = self._free.pop()
            self._ids[index] = raw
        else:
            index = len(self._ids)
            self._ids.append(raw)
        self._index[raw] = index
        self._fresh.append(index)
        return index


class Layers:
    """
    Layer texts to codes. A canonical decimal below 65,536 is the wire number itself.

    Only texts that a mapping names get a code (`add`); all others read `NO_LAYER`, so senders can't fill the table.
    """

    def __init__(self) -> None:
        """Begin with the wire numbers alone."""
        self._codes: dict[str, int] = {}
        self._texts: list[str] = []

    @property
    def named(self) -> int:
        """Tell how many texts have a code of their own."""
        return len(self._texts)

    def text(self, code: int) -> str:
        """Return the text of a code; "" for `NO_LAYER`."""
        if code < 0:
            return ""
        return str(code) if code < WIRE_LAYERS else self._texts[code - WIRE_LAYERS]

    def add(self, text: str) -> int:
        """Give a text that a mapping or a device class names its code."""
        code = self.code(text)
        if code < 0:
            code = self._codes[text] = WIRE_LAYERS + len(self._texts)
            self._texts.append(text)
        return code

    def code(self, text: str) -> int:
        """Return the code of a text, `NO_LAYER` when no mapping ever named it."""
        if text.isascii() and text.isdigit() and (text == "0" or text[0] != "0") and len(text) <= 5:  # noqa: PLR2004 -- 65535
            number = int(text)
            if number < WIRE_LAYERS:
                return number
        return self._codes.get(text, NO_LAYER)
