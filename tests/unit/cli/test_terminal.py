"""What reaches a terminal."""

from __future__ import annotations

import contextlib
import io
import json
import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spikebridge.cli.terminal import print_json, print_table, printable

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=3),
    max_leaves=10,
)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("thermostat-7", "thermostat-7"),
        ("Küche 1 \U0001f321", "Küche 1 \U0001f321"),
        ("\x1b[31mred\x07", "\\x1b[31mred\\x07"),
        ("\x9b2J", "\\x9b2J"),
        ("two\r\nlines\u2028", "two\\r\\nlines\\u2028"),
        ("abc\u202etxt.exe", "abc\\u202etxt.exe"),
        ("file\udcff", "file\\udcff"),
    ],
)
def test_steering_letters_are_written_out(name: str, shown: str) -> None:
    """Escapes, bells, line ends, directions and broken bytes become text; all else stays."""
    assert printable(name) == shown


@given(st.text(st.characters()))
def test_no_control_character_is_left(text: str) -> None:
    """Whatever the text, what is printed holds no control character and no half of a letter."""
    assert not {unicodedata.category(letter) for letter in printable(text)} & {"Cc", "Cs", "Zl", "Zp"}


@given(JSON)
def test_json_is_one_safe_line_that_reads_back(value: Any) -> None:
    """A document is printable ASCII on one line and means what it meant."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        print_json(value)
    line = out.getvalue().removesuffix("\n")

    assert json.loads(line) == value
    assert printable(line) == line
    assert line.isascii()


def test_a_table_is_as_wide_as_it_needs_to_be(capsys: pytest.CaptureFixture[str]) -> None:
    """Columns line up, the last one has no trailing blanks, and cells can't steer."""
    print_table(("name", "lag"), [("store", 0), ("a\x1bb", 12)])

    assert capsys.readouterr().out == "NAME    LAG\nstore   0\na\\x1bb  12\n"


class Terminal(io.StringIO):
    """Takes what is printed, as a terminal."""

    def isatty(self) -> bool:
        """Say that it is one."""
        return True


def test_on_a_terminal_the_last_column_goes_on_below_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between words, and only where there is room for some; elsewhere a row is a line, for programs."""
    monkeypatch.setenv("COLUMNS", "40")
    rows = [("store", "what alerts and explain read, and replay"), ("file", "")]
    terminal, pipe = Terminal(), io.StringIO()
    for stream in (terminal, pipe):
        with contextlib.redirect_stdout(stream):
            print_table(("name", "summary"), rows)
    assert terminal.getvalue() == ("NAME   SUMMARY\nstore  what alerts and explain read, and\n       replay\nfile\n")
    assert pipe.getvalue() == "NAME   SUMMARY\nstore  what alerts and explain read, and replay\nfile\n"

    monkeypatch.setenv("COLUMNS", "20")
    narrow = Terminal()
    with contextlib.redirect_stdout(narrow):
        print_table(("name", "summary"), rows)
    assert narrow.getvalue() == pipe.getvalue()
