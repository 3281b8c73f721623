"""Plots: well-formed SVG whatever the names and numbers are, bounded, and with marks where the numbers are."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spikebridge_detectors import plot
from spikebridge_detectors.axes import Axis, number, text

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = "</text><script>alert(1)</script>&<>\"'\x00\x1b[31m\u202e\ud800"


def parsed(svg: str) -> ET.Element:
    """Read a picture as a browser that is strict about XML does."""
    svg.encode()  # no half letters
    return ET.fromstring(svg)  # noqa: S314 -- our own


def marks(svg: str) -> int:
    """Count the spikes that a raster draws."""
    paths = (path for path in parsed(svg).iter(f"{SVG}path") if path.get("stroke") == "#0072b2")
    return sum((path.get("d") or "").count("M") for path in paths)


PICTURES = {
    "raster": lambda name: plot.raster([(name, [1.0, 2.0])], title=name, x=name, spans=[plot.Span(name, 0.0, 1.0)]),
    "lines": lambda name: plot.lines([plot.Line(name, [0, 1], [3, 4])], title=name, x=name, y=name, levels=[(name, 2.0)]),
    "bars": lambda name: plot.bars([(name, 1.0), (name, np.nan)], title=name, x=name),
    "heat": lambda name: plot.heat(np.eye(1, 1), title=name, rows=[name], columns=[name], unit=name),
}


@pytest.mark.parametrize("kind", PICTURES)
def test_names_are_text_whatever_is_in_them(kind: str) -> None:
    """A device's name can neither break the picture nor become a part of it."""
    picture = parsed(PICTURES[kind](HOSTILE))
    assert {one.tag.removeprefix(SVG) for one in picture.iter()} <= {"svg", "title", "desc", "text", "rect", "path", "polyline"}
    shown = "".join(picture.itertext())
    assert "alert(1)" in shown
    assert not re.search("[\x00-\x08\x1b\u202e]", shown)


@given(st.text(), st.integers(1, 20))
def test_a_label_is_never_longer_than_asked_for(name: str, most: int) -> None:
    """What a name unfolds to in a page is one element's text, cut."""
    (shown,) = parsed(f"<a>{text(name, most)}</a>").itertext() if name else [""]
    assert len(shown.replace("\r\n", "\n")) <= most


@pytest.mark.parametrize("kind", PICTURES)
def test_pictures_say_what_they_show(kind: str) -> None:
    """A title and a description, which the picture refers to, for those who don't see it."""
    picture = parsed(PICTURES[kind]("pump"))
    named = {one.get("id") for one in picture if one.tag in (f"{SVG}title", f"{SVG}desc")}
    assert picture.get("role") == "img"
    assert set((picture.get("aria-labelledby") or "").split()) == named
    assert len(named) == 2


def test_a_raster_has_a_mark_for_each_spike_at_its_place() -> None:
    """Two rows, three spikes: the later ones further right, the second row lower."""
    svg = plot.raster([("a", [0.0, 10.0]), ("b", [5.0])], title="t")
    first, second = [path.get("d") for path in parsed(svg).iter(f"{SVG}path") if path.get("stroke") == "#0072b2"]
    assert first == "M190.0 32v12M936.0 32v12"
    assert second == "M563.0 48v12"


def test_a_raster_of_too_many_spikes_is_thinned_and_says_so() -> None:
    """The page stays small, and who reads it knows that marks are missing."""
    rows = [(f"unit {at}", np.linspace(0.0, 1e6, 9000) + at) for at in range(plot.MOST_ROWS + 2)]
    svg = plot.raster(rows, title="t")
    assert 0.9 * plot.MOST_MARKS <= marks(svg) <= plot.MOST_MARKS
    assert "2 of 130 rows are left out" in svg
    assert re.search(r"[\d,]+ of [\d,]+ marks are left out", svg)
    assert len(svg) < 1_000_000


def test_spikes_at_one_place_are_one_mark() -> None:
    """A flood of a row is a bar, not a million marks."""
    assert marks(plot.raster([("a", np.concatenate((np.linspace(0, 1e-3, 100_000), [100.0])))], title="t")) == 2


def test_a_line_of_many_points_keeps_its_peaks() -> None:
    """Thinning never hides the one value that raised the alarm."""
    values = np.zeros(1_000_000)
    values[123_456] = 7.0
    svg = plot.lines([plot.Line("score", np.arange(len(values)), values)], title="t", y="score")
    points = next(parsed(svg).iter(f"{SVG}polyline")).get("points") or ""
    assert len(points.split()) < 4_000
    assert min(float(point.split(",")[1]) for point in points.split()) == 30.0


def test_levels_and_spans_stand_where_they_are() -> None:
    """A threshold of 2 on an axis up to 4 is half way up; a shaded quarter is a quarter wide."""
    svg = plot.lines(
        [plot.Line("v", [0, 4], [0, 4])], title="t", y="v", levels=[("told", 2.0)], spans=[plot.Span("attack", 1.0, 2.0)]
    )
    assert "M80 150.0h856" in svg
    assert 'x="294.0" y="30" width="214.0"' in svg


def test_a_heat_map_is_white_where_lowest_and_dark_where_highest() -> None:
    """And its key says which numbers those are."""
    svg = plot.heat(np.array([[0, 254]]), title="t", rows=["pair"], columns=["1 ms", "2 ms"], unit="weight")
    fills = [one.get("fill") for one in parsed(svg).iter(f"{SVG}rect")]
    assert fills[1:] == ["#ffffff", "#08306b"]
    assert "weight: white 0, dark 254" in svg


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=20))
def test_any_numbers_give_a_picture(values: list[float]) -> None:
    """NaN, infinities and the largest floats are left out, never an error or a place outside the picture."""
    pictures = [
        plot.raster([("a", values)], title="t"),
        plot.lines(
            [plot.Line("a", np.arange(len(values)), values)], title="t", y="v", levels=[("l", values[0] if values else 0)]
        ),
        plot.bars([(f"b{at}", value) for at, value in enumerate(values)], title="t", x="v"),
        plot.heat(np.array([values, values], np.float64), title="t", rows=["a", "b"], columns=["c"] * len(values), unit="v"),
    ]
    for svg in pictures:
        picture = parsed(svg)
        for one in picture.iter(f"{SVG}rect"):
            assert 0 <= float(one.get("x") or 0) <= 960
            assert 0 <= float(one.get("width") or 0) <= 960
        assert "nan" not in svg


@given(st.floats(-1e18, 1e18), st.floats(-1e18, 1e18))
def test_axes_have_a_few_round_numbers(one: float, other: float) -> None:
    """Neither none nor hundreds, all of them on the axis."""
    axis = Axis.over("s", [np.array([one, other])])
    ticks = axis.ticks()
    slack = (axis.high - axis.low) * 1e-6
    assert len(ticks) <= 10
    assert all(axis.low - slack <= tick <= axis.high + slack for tick in ticks)


def test_numbers_are_written_as_people_write_them() -> None:
    """With commas, without empty decimals, and short where they are large or small."""
    assert [number(value) for value in (0, 1, 1.5, 86_400, 1e9, 0.00001)] == ["0", "1", "1.5", "86,400", "1e+09", "1e-05"]
