"""
Plots as SVG, of text alone: rasters, lines, bars and heat maps.

Each picture paints its own light background, has a title and a description for screen readers, and holds a bounded number of marks:
what is left out is said under it. Labels are cut and escaped, since attackers name devices. No scripts, styles or links, so a page may
forbid all of them.
"""

from __future__ import annotations

import hashlib
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from spikebridge_detectors.axes import Axis, Frame, number, text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import ArrayLike, NDArray

MOST_ROWS = 128
"""So many rows of a raster or a heat map, bars or lines are drawn, the first ones."""

MOST_COLUMNS = 256
MOST_MARKS = 20_000
"""So many spikes of a raster are drawn; of more, evenly chosen ones are left out."""

MOST_VALUE = 1e18
"""Numbers beyond this, infinity and NaN aren't drawn."""

_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#8a6d00", "#56b4e9", "#000000")
_ROW = 16
_PLOT = 240
_BESIDE, _MOST_BESIDE = 190, 420
_DARK = (8, 48, 107)


class Line(NamedTuple):
    """A line of a plot; `x` rises."""

    label: str
    x: ArrayLike
    y: ArrayLike


class Span(NamedTuple):
    """A stretch of the x axis that is shaded, such as an attack."""

    label: str
    start: float
    end: float


def raster(rows: Sequence[tuple[str, ArrayLike]], *, title: str, x: str = "time (s)", spans: Sequence[Span] = ()) -> str:
    """Return a picture of spikes: a row for each unit, its label and the times at which it fired."""
    shown = [(label, _finite(times)) for label, times in rows[:MOST_ROWS]]
    notes = _left_out(len(rows), "row")
    frame = Frame(
        Axis.over(x, [times for _, times in shown]),
        Axis("", 0, max(1, len(shown))),
        _ROW * max(1, len(shown)),
        _beside(label for label, _ in shown),
    )
    marks = [(at, frame.across(np.unique(times))) for at, (_, times) in enumerate(shown)]
    marks = [(at, np.unique(np.round(places, 1))) for at, places in marks]
    count = sum(len(places) for _, places in marks)
    if count > MOST_MARKS:
        notes.append(f"{count - MOST_MARKS:,} of {count:,} marks are left out")
    every = _Evenly(count, MOST_MARKS)
    drawn = [*_shaded(frame, spans), *frame.grid(rows=False)]
    for at, (label, _) in enumerate(shown):
        top = frame.top + at * _ROW
        drawn.append(_label(frame, top + _ROW / 2, label))
        path = "".join(f"M{place:.1f} {top + 2}v{_ROW - 4}" for place in every.taken(marks[at][1]))
        drawn.append(f'<path d="{path}" stroke="{_COLOURS[0]}" stroke-width="1" fill="none"/>')
    spikes = sum(len(times) for _, times in shown)
    return _picture(frame, drawn, title, f"Raster of {len(shown)} rows with {spikes:,} spikes over {frame.x.told()}.", notes)


def lines(
    series: Sequence[Line],
    *,
    title: str,
    x: str = "time (s)",
    y: str,
    levels: Sequence[tuple[str, float]] = (),
    spans: Sequence[Span] = (),
) -> str:
    """Return a picture of lines over one axis; `levels` are dashed, of many points the lowest and highest of each place are drawn."""
    shown = [(line.label, *_points(line)) for line in series[:MOST_ROWS]]
    notes = _left_out(len(series), "line")
    heights = [values for _, _, values in shown] + [_finite([height for _, height in levels]), np.zeros(1)]
    frame = Frame(Axis.over(x, [places for _, places, _ in shown]), Axis.over(y, heights), _PLOT, 80, len(shown))
    drawn = [*_shaded(frame, spans), *frame.grid()]
    for label, height in levels:
        if _finite([height]).size:
            at = float(frame.up(np.array([height]))[0])
            drawn.append(f'<path d="M{frame.left} {at:.1f}h{frame.width}" stroke="#b00020" stroke-dasharray="6 4" fill="none"/>')
            drawn.append(
                f'<text x="{frame.left + frame.width - 4}" y="{at - 4:.1f}" text-anchor="end" fill="#b00020">{text(label)}</text>'
            )
    for at, (label, places, values) in enumerate(shown):
        colour = _COLOURS[at % len(_COLOURS)]
        across, up = _envelope(frame.across(places), frame.up(values))
        points = " ".join(f"{one:.1f},{other:.1f}" for one, other in zip(across, up, strict=True))
        drawn.append(f'<polyline points="{points}" stroke="{colour}" stroke-width="1.5" fill="none"/>')
        drawn += frame.key(at, text(label), colour)
    described = f"{len(shown)} lines over {frame.x.told()}, {frame.y.told()}."
    return _picture(frame, drawn, title, described, notes)


def bars(values: Sequence[tuple[str, float]], *, title: str, x: str, most: float | None = None) -> str:
    """Return a picture of labelled bars that begin at 0, their values written beside them; `most` is where the axis ends at least."""
    shown = [(label, float(value)) for label, value in values[:MOST_ROWS]]
    notes = _left_out(len(values), "bar")
    drawable = _finite([0.0, *(value for _, value in shown), *([] if most is None else [most])])
    frame = Frame(
        Axis.over(x, [drawable]),
        Axis("", 0, max(1, len(shown))),
        (_ROW + 6) * max(1, len(shown)),
        _beside(label for label, _ in shown),
    )
    drawn, zero = frame.grid(rows=False), float(frame.across(np.zeros(1))[0])
    for at, (label, value) in enumerate(shown):
        top = frame.top + at * (_ROW + 6)
        drawn.append(_label(frame, top + _ROW / 2 + 3, label))
        if not _finite([value]).size:
            notes.append(f"a value of {label} isn't drawn")
            continue
        end = float(frame.across(np.array([value]))[0])
        drawn.append(
            f'<rect x="{min(zero, end):.1f}" y="{top + 3}" width="{abs(end - zero):.1f}" height="{_ROW}" fill="{_COLOURS[0]}"/>'
        )
        inside = end > frame.left + frame.width - 60
        place = f'x="{end - 4:.1f}" text-anchor="end" fill="#ffffff"' if inside else f'x="{end + 4:.1f}"'
        drawn.append(f'<text {place} y="{top + _ROW - 1}">{number(value)}</text>')
    described = "; ".join(f"{label} {number(value)}" for label, value in shown[:8])
    return _picture(frame, drawn, title, f"{len(shown)} bars, {x}: {described}.", notes)


def heat(
    values: NDArray[np.integer] | NDArray[np.floating], *, title: str, rows: Sequence[str], columns: Sequence[str], unit: str
) -> str:
    """Return a heat map of values [row, column], white for the lowest and dark for the highest; `unit` says what they are."""
    shown = np.asarray(values, np.float64)[:MOST_ROWS, :MOST_COLUMNS]
    notes = _left_out(values.shape[0], "row") + _left_out(values.shape[1], "column", MOST_COLUMNS)
    drawable = _finite(shown)
    low, high = (float(drawable.min()), float(drawable.max())) if drawable.size else (0.0, 0.0)
    frame = Frame(
        Axis("", 0, max(1, shown.shape[1])), Axis("", 0, max(1, shown.shape[0])), _ROW * max(1, shown.shape[0]), _beside(rows)
    )
    across, drawn = frame.across(np.arange(shown.shape[1] + 1)), []
    for at in range(shown.shape[0]):
        top = frame.top + at * _ROW
        drawn.append(_label(frame, top + _ROW / 2, rows[at]))
        for column, value in enumerate(shown[at].tolist()):
            width = across[column + 1] - across[column]
            drawn.append(
                f'<rect x="{across[column]:.1f}" y="{top}" width="{width:.2f}" height="{_ROW}" fill="{_shade(value, low, high)}"/>'
            )
    under = frame.top + frame.height + 14
    each = max(1, -(-len(columns) * 60 // frame.width))
    for column in range(0, shown.shape[1], each):
        middle = (across[column] + across[column + 1]) / 2
        drawn.append(f'<text x="{middle:.1f}" y="{under}" text-anchor="middle">{text(columns[column], 12)}</text>')
    notes.append(f"{unit}: white {number(low)}, dark {number(high)}")
    return _picture(frame, drawn, title, f"Heat map of {shown.shape[0]} rows and {shown.shape[1]} columns.", notes)


def _picture(frame: Frame, drawn: Iterable[str], title: str, described: str, notes: Iterable[str]) -> str:
    body = "".join(drawn)
    mark = hashlib.sha256(f"{title}{described}{body}".encode(errors="replace")).hexdigest()[:12]
    below = frame.bottom
    said = []
    for note in notes:
        said.append(f'<text x="{frame.left}" y="{below + 12}" fill="#555555">{text(note, 140)}</text>')
        below += 16
    height = below + 8
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {frame.all_width} {height}" width="{frame.all_width}" height="{height}" '
        f'role="img" aria-labelledby="t{mark} d{mark}" font-family="sans-serif" font-size="11" fill="#1a1a1a">'
        f'<title id="t{mark}">{text(title, 140)}</title><desc id="d{mark}">{text(described, 600)}</desc>'
        f'<rect width="{frame.all_width}" height="{height}" fill="#ffffff"/>'
        f'<text x="{frame.left}" y="18" font-size="14" font-weight="bold">{text(title, 110)}</text>{body}{"".join(said)}</svg>'
    )


def _beside(labels: Iterable[str]) -> int:
    """Return the pixels that labels need beside a plot."""
    return min(_MOST_BESIDE, max([_BESIDE, *(7 * len(label) for label in labels)]))


def _label(frame: Frame, middle: float, label: str) -> str:
    return f'<text x="{frame.left - 6}" y="{middle + 4:.1f}" text-anchor="end">{text(label, frame.left // 6)}</text>'


def _shaded(frame: Frame, spans: Sequence[Span]) -> list[str]:
    drawn = []
    for span in spans[:MOST_ROWS]:
        ends = _finite([span.start, span.end])
        if len(ends) < 2:  # noqa: PLR2004  a start and an end
            continue
        start, end = np.clip(frame.across(ends), frame.left, frame.left + frame.width).tolist()
        drawn.append(
            f'<rect x="{start:.1f}" y="{frame.top}" width="{max(1.0, end - start):.1f}" height="{frame.height}" fill="#f5d9c0">'
            f"<title>{text(span.label)}</title></rect>"
            f'<text x="{start + 2:.1f}" y="{frame.top - 2}" font-size="9" fill="#8a4b00">{text(span.label, 24)}</text>'
        )
    return drawn


def _shade(value: float, low: float, high: float) -> str:
    if not abs(value) <= MOST_VALUE:
        return "#ffd0d0"
    part = (value - low) / (high - low) if high > low else 0.0
    red, green, blue = (round(255 + (dark - 255) * part) for dark in _DARK)
    return f"#{red:02x}{green:02x}{blue:02x}"


def _finite(values: ArrayLike) -> NDArray[np.float64]:
    flat = np.asarray(values, np.float64).ravel()
    return flat[np.abs(flat) <= MOST_VALUE]


def _points(line: Line) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    places, values = np.asarray(line.x, np.float64), np.asarray(line.y, np.float64)
    drawable = (np.abs(places) <= MOST_VALUE) & (np.abs(values) <= MOST_VALUE)
    return places[drawable], values[drawable]


def _envelope(across: NDArray[np.float64], up: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the points to draw: of those in one pixel's column the first, the lowest, the highest and the last."""
    column = np.floor(across).astype(np.int64)
    starts = np.flatnonzero(np.diff(column, prepend=-1))
    chosen: list[int] = []
    for start, stop in pairwise([*starts.tolist(), len(across)]):
        part = up[start:stop]
        chosen += sorted({start, start + int(part.argmin()), start + int(part.argmax()), stop - 1})
    return across[np.array(chosen, np.int64)], up[np.array(chosen, np.int64)]


def _left_out(count: int, noun: str, most: int = MOST_ROWS) -> list[str]:
    return [f"{count - most:,} of {count:,} {noun}s are left out"] if count > most else []


class _Evenly:
    """Lets at most so many of a number of marks through, evenly."""

    def __init__(self, count: int, most: int) -> None:
        self._count, self._most, self._met = max(count, 1), most, 0

    def taken(self, places: NDArray[np.float64]) -> list[float]:
        every = self._met + np.arange(len(places))
        self._met += len(places)
        if self._count <= self._most:
            return [float(place) for place in places]
        kept = every * self._most // self._count != (every - 1) * self._most // self._count
        return [float(place) for place in places[kept]]
