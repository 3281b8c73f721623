"""Measured values in CSV, such as power, vibration or the envelope of a radio: times, and a column for each channel."""

from __future__ import annotations

import math
from collections import Counter
from itertools import islice
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

import numpy as np

from spikebridge_detectors.capture.columns import MOST_PACKETS
from spikebridge_detectors.capture.frames import Passed
from spikebridge_detectors.capture.rows import fitting, nanoseconds, none_read
from spikebridge_detectors.capture.tables import OTHER_WIDTH, named_rows
from spikebridge_detectors.errors import CaptureError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

_UNITS = {"s": 9, "ms": 6, "us": 3, "ns": 0}


class Columns(NamedTuple):
    """
    Which columns of a file are read.

    `values` are the channels. `time` is in `unit` (s, ms, us, ns); without a time column the samples are `step_ns` apart, the first at 0.
    """

    values: tuple[str, ...]
    time: str = ""
    unit: str = "s"
    step_ns: int = 0
    label: str = ""


class Samples(NamedTuple):
    """Samples in the order of the file: `values` is [sample, channel], NaN where a field is empty. Times may fall and repeat."""

    time_ns: NDArray[np.int64]
    values: NDArray[np.float64]
    labels: list[str]


class SeriesSource:
    """
    Samples of a CSV file; `passed` counts rows that yielded none, `strict` refuses the first that doesn't hold finite numbers.

    Of a file that `grows` a last line without its end is left.
    """

    def __init__(self, file: BinaryIO, name: str, columns: Columns, *, strict: bool = False, grows: bool = False) -> None:
        """Read `file`, which errors call `name`."""
        if not columns.values or columns.unit not in _UNITS or bool(columns.time) == (columns.step_ns > 0):
            raise CaptureError(
                f"{name}: expected channels, a unit of {', '.join(_UNITS)}, and a time column or a step; found {columns}"
            )
        self.passed: Counter[Passed] = Counter()
        self._file = file
        self._name = name
        self._columns = columns
        self._strict = strict
        self._grows = grows

    def __iter__(self) -> Iterator[Samples]:
        """Yield pieces to the end of the file."""
        rows = self._rows()
        while piece := list(islice(rows, MOST_PACKETS)):
            time_ns, values, labels = zip(*piece, strict=True)
            yield Samples(np.array(time_ns, np.int64), np.array(values, np.float64), list(labels))

    def _rows(self) -> Iterator[tuple[int, list[float], str]]:
        good, why = 0, ""
        named = named_rows(self._file, self._name, self.passed, self._unfit, strict=self._strict, grows=self._grows)
        for line, row in named:
            try:
                time_ns = self._time(row, good + self.passed[Passed.BAD_ROW])
                values = [self._number(column, row[column]) for column in self._columns.values]
            except ValueError as error:
                if self._strict:
                    raise CaptureError(f"{self._name}:{line}: {error}") from error
                self.passed[Passed.BAD_ROW] += 1
                why = why or f"line {line}: {error}"
                continue
            good += 1
            yield time_ns, values, row[self._columns.label] if self._columns.label else ""
        if not good:
            none_read(self._name, self.passed, why or OTHER_WIDTH)

    def _unfit(self, columns: Sequence[str]) -> str:
        wanted = (*self._columns.values, self._columns.time, self._columns.label)
        missing = ", ".join(column for column in wanted if column and column not in columns)
        return f"no column {missing}" if missing else ""

    def _time(self, row: dict[str, str], number: int) -> int:
        if not self._columns.time:
            return fitting(number * self._columns.step_ns)
        text = row[self._columns.time]
        time_ns = nanoseconds(text, _UNITS[self._columns.unit])
        if time_ns is None:
            raise ValueError(f'{self._columns.time}: expected a time, found "{text}"')
        return time_ns

    def _number(self, column: str, text: str) -> float:
        if not self._strict:
            return float(text or math.nan)
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if not math.isfinite(number):
            raise ValueError(f'{column}: expected a number, found "{text}"')
        return number
