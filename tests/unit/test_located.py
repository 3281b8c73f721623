"""YAML with positions: what is refused, where, and at what cost."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spikebridge.errors import ContentError, Problem
from spikebridge.located import Bounds, Place, plain_scalar, quoted, read_yaml, where
from spikebridge.units import format_duration, format_size, parse_duration, parse_size


def refused(content: bytes | str, bounds: Bounds | None = None) -> list[str]:
    """Return what is said about a file that must be refused."""
    with pytest.raises(ContentError) as caught:
        read_yaml(content, "f.yaml", bounds or Bounds())
    return [str(problem) for problem in caught.value.problems]


def test_a_document_is_plain_data_with_the_place_of_every_key_and_value() -> None:
    """Lines and columns count from 1, as editors do; what is missing is told at what encloses it."""
    document = read_yaml("a:\n  - b: 1\n    c: [x, 2.5]\n", "f.yaml")

    assert document.root.plain() == {"a": [{"b": 1, "c": ["x", 2.5]}]}
    assert document.place(("a", 0, "c", 1)) == Place("f.yaml", 3, 12)
    assert document.place(("a", 0, "c"), key=True) == Place("f.yaml", 3, 5)
    assert document.place(("a", 0, "missing", "deeper")) == Place("f.yaml", 2, 5)


def test_scalars_read_as_in_yaml_1_2() -> None:
    """`no` is Norway, a date is a text, a leading zero makes an id and not a number."""
    text = "[no, on, yes, 2026-11-21, 007, 1:30, 0x1F, 1_000, true, false, null, ~, 42, -1, 1.5, 1e3, '42', .5, nan]"

    expected: list[object] = ["no", "on", "yes", "2026-11-21", "007", "1:30", "0x1F", "1_000"]
    expected += [True, False, None, None, 42, -1, 1.5, 1000.0, "42", 0.5, "nan"]
    assert read_yaml(text, "f").root.plain() == expected


def test_an_empty_file_is_an_empty_document() -> None:
    """Nothing, a comment and a byte order mark are no problem."""
    assert [read_yaml(content, "f").root.plain() for content in (b"", b"# nothing\n", b"\xef\xbb\xbf")] == [None] * 3


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("a: 1\nb: 2\na: 3\n", 'f.yaml:3:1: the key "a" is already given in line 1'),
        ("a: .nan\n", "f.yaml:1:4: expected a finite number, found .nan"),
        ("a: -.inf\n", "f.yaml:1:4: expected a finite number, found -.inf"),
        ("a: 1e999\n", "f.yaml:1:4: expected a finite number, found 1e999"),
        ("a: 1234567890123456789\n", "f.yaml:1:4: expected a number of at most 18 digits, found 19; put a text in quotes"),
        (
            "a: !!python/object:os.system x\n",
            'f.yaml:1:4: expected plain YAML, found the tag "tag:yaml.org,2002:python/object:os.system"',
        ),
        ("a: !x [1]\n", 'f.yaml:1:4: expected plain YAML, found the tag "!x"'),
        ("a: *b\n", "f.yaml:1:4: found the alias *b, but no finished anchor of that name before it"),
        ("a: &a [*a]\n", "f.yaml:1:8: found the alias *a, but no finished anchor of that name before it"),
        ("a: 1\n---\nb: 2\n", "f.yaml:2:1: expected one document, found a second one (`---`)"),
        ("? [a]\n: 1\n", "f.yaml:1:3: expected a text as key, found a list"),
        ("a:\n\tb: 1\n", "f.yaml:2:1: not YAML: found a tab; indent with spaces"),
        ("a: [1\n", "f.yaml:2:1: not YAML: while parsing a flow sequence, did not find expected ',' or ']'"),
        (b"a: 1\nb: \xff\n", "f.yaml:2:4: expected UTF-8, found the byte 0xff"),
        (b"a: 1\nb: \x1b[31m\n", "f.yaml:2:4: expected no control characters, found U+001B"),
        ("a: 1\x00", "f.yaml:1:5: expected no control characters, found U+0000"),
    ],
)
def test_what_is_no_plain_yaml_is_refused_at_its_place(content: bytes | str, expected: str) -> None:
    """Each finding names line and column and what was found there."""
    assert refused(content) == [expected]


def test_every_problem_is_told_at_once() -> None:
    """A first finding doesn't hide the others."""
    assert refused("a: .nan\nb: !x 1\na: 1\n") == [
        "f.yaml:1:4: expected a finite number, found .nan",
        'f.yaml:2:4: expected plain YAML, found the tag "!x"',
        'f.yaml:3:1: the key "a" is already given in line 1',
    ]


def test_the_bounds_are_refused_one_beyond_and_not_at_them() -> None:
    """Bytes, depth, values and aliases."""
    bounds = Bounds(size=100, depth=3, nodes=8, aliases=2)

    assert read_yaml("[[[1]]]", "f", bounds).root.plain() == [[[1]]]
    assert refused("[[[[1]]]]", bounds) == ["f.yaml:1:4: expected at most 3 levels of nesting"]
    assert read_yaml("[1, 2, 3, 4, 5, 6, 7]", "f", bounds).root.size == 8
    assert refused("[1, 2, 3, 4, 5, 6, 7, 8]", bounds) == ["f.yaml:1:23: expected at most 8 values"]
    assert read_yaml("[&a 1, *a, *a]", "f", bounds).root.plain() == [1, 1, 1]
    assert refused("[&a 1, *a, *a, *a]", bounds) == ["f.yaml:1:16: expected at most 2 aliases"]
    assert refused("#" * 101, bounds) == ["f.yaml:1:1: expected at most 100 bytes, found 101"]


def bomb(levels: int, width: int) -> str:
    """Return a document that grows by `width` with every level of aliases."""
    lines = (f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * width)}]" for level in range(1, levels + 1))
    return "\n".join(["a0: &a0 [x]", *lines])


def test_a_yaml_bomb_costs_no_more_than_the_nodes_it_is_allowed() -> None:
    """An alias counts for all that it repeats: nine levels of nine stop before they are built."""
    generous = Bounds(aliases=1_000)
    [problem] = refused(bomb(9, 9), generous)
    line, column = map(int, problem.split(":")[1:3])
    read = "\n".join([*bomb(9, 9).splitlines()[: line - 1], ""]) + " " * column

    assert problem.endswith("expected at most 50,000 values")
    assert len(read) < 400
    assert refused(bomb(9, 9))[0].endswith("expected at most 20 aliases")


@pytest.mark.parametrize(
    "content", ["[" * 1_000_000, "{a: " * 250_000, "- " * 500_000, "? " * 500_000, "[[],[" * 100_000], ids=lambda text: text[:4]
)
def test_deep_nesting_is_refused_before_it_is_read(content: str) -> None:
    """The finding lies at the 33rd level, so nothing behind it was looked at."""
    [problem] = refused(content)
    column = int(problem.split(":")[2])

    assert problem.endswith("expected at most 32 levels of nesting")
    assert column < 200


def test_a_wide_file_is_refused_at_the_first_value_too_many() -> None:
    """The place of the finding shows that reading stopped there."""
    [problem] = refused("- 1\n" * 200_000)

    assert problem == "f.yaml:50000:3: expected at most 50,000 values"


@pytest.mark.fuzz
@given(st.one_of(st.binary(max_size=300), st.text(max_size=300)))
def test_no_bytes_and_no_text_raise_anything_but_a_content_error(content: bytes | str) -> None:
    """Whatever is in a file, the answer is a document or located findings."""
    problems: list[Problem] = []
    try:
        read_yaml(content, "f.yaml").root.plain()
    except ContentError as error:
        problems = error.problems

    assert all(problem.line >= 1 and problem.column >= 1 for problem in problems)


YAML_PIECES = [
    "a",
    ": ",
    "- ",
    "\n",
    "  ",
    "[",
    "]",
    "{",
    "}",
    ", ",
    "&a ",
    "*a",
    "!x ",
    "|",
    ">",
    "'",
    '"',
    "#",
    "? ",
    "<<: ",
    "%",
    "---",
    "\t",
]


@pytest.mark.fuzz
@given(
    st.lists(st.sampled_from([*YAML_PIECES, "1", ".nan", "\\ud800", "é", "\u2028", "...", "@", "`"]), max_size=40).map("".join)
)
def test_no_mixture_of_yaml_marks_raises_anything_but_a_content_error(content: str) -> None:
    """As above, nearer to YAML."""
    try:
        document = read_yaml(content, "f.yaml")
    except ContentError:
        return
    assert document.root.size >= 1


def test_a_path_is_named_without_the_row_that_the_line_already_tells() -> None:
    """`mappings[0].when.count` is `when.count` in line so and so."""
    assert where(("mappings", 0, "when", "count")) == "when.count"
    assert where(("sinks", "splunk", "urls", 1)) == "sinks.splunk.urls[1]"
    assert where(("mappings", 3)) == ""


def test_what_others_wrote_is_shown_on_one_line_and_not_too_long() -> None:
    """Control characters never reach a terminal."""
    assert quoted("a\x1b[31m\nb") == '"a\\u001b[31m\\u000ab"'
    assert len(quoted("x" * 1000)) < 80


@given(st.text(max_size=30))
def test_a_plain_scalar_is_a_value_or_a_finding(text: str) -> None:
    """No text makes the reader of scalars fail."""
    value, fault = plain_scalar(text)

    assert fault or value is None or isinstance(value, (str, int, float, bool))


def test_durations_are_read_and_written_exactly() -> None:
    """One number and one unit in, as few units as it takes out."""
    assert [parse_duration(text) for text in ("50ms", "1s", "5m", "24h", "7d")] == [
        50_000_000,
        1_000_000_000,
        300_000_000_000,
        86_400_000_000_000,
        604_800_000_000_000,
    ]
    assert [format_duration(ns) for ns in (0, 90_000_000_000, 1_500_000, 86_400_000_000_000)] == [
        "0s",
        "1m 30s",
        "1ms 500us",
        "1d",
    ]


@pytest.mark.parametrize(
    "wrong", ["5", 5, "5 m", "1.5s", "-1s", "", "m", "5M", "9999999999s", None, "36501d", "\u0663s"], ids=repr
)
def test_what_is_no_duration_is_refused(wrong: object) -> None:
    """A number without a unit is not guessed at."""
    with pytest.raises(ValueError, match=r"^expected (a duration such as|at most 36500d)"):
        parse_duration(wrong)


@given(st.integers(0, 999_999_999), st.sampled_from(["ns", "us", "ms", "s"]))
def test_a_written_duration_reads_as_the_sum_of_its_parts(number: int, unit: str) -> None:
    """`format_duration` loses nothing."""
    nanoseconds = parse_duration(f"{number}{unit}")

    assert sum(map(parse_duration, format_duration(nanoseconds).split())) == nanoseconds


def test_sizes_are_read_exactly_and_shown_roughly() -> None:
    """Decimal and binary units."""
    assert [parse_size(text) for text in ("500MB", "10GB", "4GiB", "1 KB", "7B")] == [500_000_000, 10**10, 4 << 30, 1000, 7]
    assert [format_size(size) for size in (5, 184_000_000, 1_624_000_000)] == ["5 B", "184 MB", "1.62 GB"]
    for wrong in ("10", 10, "1.5GB", "GB", ""):
        with pytest.raises(ValueError, match=r"^expected a size such as"):
            parse_size(wrong)
