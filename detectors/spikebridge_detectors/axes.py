"""The frame of a plot: axes with units, places in pixels, and round numbers beside them."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

MOST_LABEL = 60

_ALL_WIDTH, _TOP, _RIGHT = 960, 30, 24
_TICKS = 8
_ROUND = (1, 2, 5, 10)
_LARGE, _SMALL = 1e7, 1e-3
_UNFIT = re.compile(
    "[^\t\n\r\x20-\x7e\xa0-\u061b\u061d-\u200a\u2010-\u2027\u202f-\u205f\u2070-\ud7ff\ue000-\ufefe\uff00-\ufff8\U00010000-\U000dffff]"
)


def text(value: str, most: int = MOST_LABEL) -> str:
    """Return a label escaped and cut; letters that can't be in a page, can't be seen or turn the direction of writing are replaced."""
    shown = _UNFIT.sub("\ufffd", value)
    return escape(shown if len(shown) <= most else f"{shown[: most - 1]}\u2026")


def number(value: float) -> str:
    """Return a number as people write it, four digits at most after the point."""
    if value and (abs(value) >= _LARGE or abs(value) < _SMALL):
        return f"{value:.3g}"
    return f"{value:,.4f}".rstrip("0").rstrip(".")


class Axis(NamedTuple):
    """What an axis shows, its unit in the label, and where it begins and ends."""

    label: str
    low: float
    high: float

    @classmethod
    def over(cls, label: str, parts: Iterable[NDArray[np.float64]]) -> Axis:
        """Return the axis that holds all values."""
        ends = [(float(part.min()), float(part.max())) for part in parts if part.size]
        low, high = (min(one for one, _ in ends), max(other for _, other in ends)) if ends else (0.0, 1.0)
        least = max(abs(low), abs(high)) * 1e-9 or 1.0
        return cls(label, low, high if high - low > least else low + least)

    def ticks(self) -> list[float]:
        """Return round numbers on it, about eight."""
        rough = (self.high - self.low) / _TICKS
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(one * power for one in _ROUND if one * power >= rough * (1 - 1e-9))
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [at * step for at in range(first, last + 1)]

    def told(self) -> str:
        """Return it in words."""
        return f"{self.label} from {number(self.low)} to {number(self.high)}"


@dataclass(frozen=True, slots=True)
class Frame:
    """Where a plot of a height lies in its picture, `left` pixels for labels beside it, `keys` lines for what the colours mean."""

    x: Axis
    y: Axis
    height: int
    left: int
    keys: int = 0

    @property
    def all_width(self) -> int:
        """Return the width of the picture."""
        return _ALL_WIDTH

    @property
    def top(self) -> int:
        """Return where the plot begins."""
        return _TOP

    @property
    def width(self) -> int:
        """Return the width of the plot."""
        return _ALL_WIDTH - self.left - _RIGHT

    @property
    def bottom(self) -> int:
        """Return what is free below the plot, its axis and its keys."""
        return self._under + 16 * self.keys

    @property
    def _under(self) -> int:
        return _TOP + self.height + (40 if self.x.label else 22)

    def across(self, values: NDArray[np.floating] | NDArray[np.integer]) -> NDArray[np.float64]:
        """Return the places of values on the x axis, in pixels."""
        return self.left + (np.asarray(values, np.float64) - self.x.low) / (self.x.high - self.x.low) * self.width

    def up(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the places of values on the y axis, in pixels."""
        return _TOP + self.height - (values - self.y.low) / (self.y.high - self.y.low) * self.height

    def grid(self, *, rows: bool = True) -> list[str]:
        """Return the axes with their numbers and labels; without `rows` only the lower one."""
        low = _TOP + self.height
        drawn = [f'<path d="M{self.left} {_TOP}V{low}H{self.left + self.width}" stroke="#444444" fill="none"/>']
        for value in self.x.ticks():
            at = float(self.across(np.array([value]))[0])
            drawn.append(f'<path d="M{at:.1f} {_TOP}V{low + 4}" stroke="#dddddd" fill="none"/>')
            drawn.append(f'<text x="{at:.1f}" y="{low + 16}" text-anchor="middle">{number(value)}</text>')
        drawn.append(
            f'<text x="{self.left + self.width / 2:.1f}" y="{low + 32}" text-anchor="middle">{text(self.x.label)}</text>'
        )
        for value in self.y.ticks() if rows else ():
            at = float(self.up(np.array([value]))[0])
            drawn.append(f'<path d="M{self.left - 4} {at:.1f}H{self.left + self.width}" stroke="#dddddd" fill="none"/>')
            drawn.append(f'<text x="{self.left - 8}" y="{at + 4:.1f}" text-anchor="end">{number(value)}</text>')
        if rows:
            middle = _TOP + self.height / 2
            turned = f'transform="rotate(-90 14 {middle:.1f})"'
            drawn.append(f'<text x="14" y="{middle:.1f}" text-anchor="middle" {turned}>{text(self.y.label)}</text>')
        return drawn

    def key(self, at: int, label: str, colour: str) -> list[str]:
        """Return what a colour means, under the plot; the label is escaped already."""
        middle = self._under + 16 * at + 4
        return [
            f'<path d="M{self.left} {middle}h18" stroke="{colour}" stroke-width="3" fill="none"/>',
            f'<text x="{self.left + 24}" y="{middle + 4}">{label}</text>',
        ]
