"""Columns that grow: NumPy arrays by device index or slot."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

T = TypeVar("T", bound=np.generic)

NEVER = 1 - (1 << 62)
"""A time before all others; its distance to the latest that a frame or event may have, 1 << 62, just fits in 64 bits."""


def grown(column: NDArray[T], size: int, fill: int) -> NDArray[T]:
    """Return the column with at least `size` rows, the new ones filled; doubles up to a quarter million rows at a time."""
    old = len(column)
    if size <= old:
        return column
    larger = np.full((old + max(size - old, min(old, 1 << 18)), *column.shape[1:]), fill, column.dtype)
    larger[:old] = column
    return larger


def borders(*columns: NDArray[np.int32] | NDArray[np.int64] | NDArray[np.intp]) -> NDArray[np.intp]:
    """Return where a run of equal rows begins."""
    rows = len(columns[0])
    if rows <= 1:
        return np.arange(rows)
    first = np.ones(rows, np.bool_)
    first[1:] = columns[0][1:] != columns[0][:-1]
    for column in columns[1:]:
        first[1:] |= column[1:] != column[:-1]
    return np.flatnonzero(first)
