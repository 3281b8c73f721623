"""Errors of a model as findings in the file: the parts that mappings and configuration don't show."""

from __future__ import annotations

from pydantic import Field, SecretStr

from spikebridge.located import read_yaml
from spikebridge.validation import Content, closest, validate


class Inner(Content):
    """A mapping inside."""

    size: float = Field(1.0, gt=0.5)
    token: SecretStr = SecretStr("")


class Outer(Content):
    """A document."""

    inner: dict[str, Inner] = Field({})
    names: list[str] = Field([], max_length=2)


def said(text: str) -> list[str]:
    """Return the findings about a document."""
    _, problems = validate(Outer, read_yaml(text, "f"))
    return [str(problem) for problem in problems]


def test_a_good_document_is_its_model() -> None:
    """No findings, a value; an empty document has all defaults."""
    value, problems = validate(Outer, read_yaml("inner: {a: {size: 2, token: x}}\nnames: [b]\n", "f"))

    assert problems == []
    assert value == Outer(inner={"a": Inner(size=2.0, token=SecretStr("x"))}, names=["b"])
    assert validate(Outer, read_yaml("# nothing\n", "f")) == (Outer(), [])


def test_a_part_of_a_document_can_be_validated_alone() -> None:
    """Its places are those in the whole."""
    value, problems = validate(Inner, read_yaml("inner:\n  a: {size: -1}\n", "f"), ("inner", "a"))

    assert value is None
    assert [str(problem) for problem in problems] == ["f:2:13: inner.a.size: expected more than 0.5, found -1"]


def test_a_secret_is_never_shown_even_where_it_is_written_wrongly() -> None:
    """A token without quotes reads as a number; the finding says so without it."""
    assert said("inner: {a: {token: 8713548}}") == ["f:1:20: inner.a.token: expected text, found a secret"]


def test_each_kind_of_mistake_says_what_was_expected() -> None:
    """Numbers, lists, mappings, lengths, keys."""
    assert said("inner: {a: {size: big}, b: [1], c: {sise: 1}}\nnames: [a, b, c]\n") == [
        'f:1:19: inner.a.size: expected a number, found "big"',
        "f:1:28: inner.b: expected a mapping (`key: value`), found a list",
        'f:1:37: inner.c.sise: unknown key; did you mean "size"?',
        "f:2:8: names: expected at most 2 entries, found a list",
    ]
    assert said("names: x\n") == ['f:1:8: names: expected a list, found "x"; write [...] around it']
    assert said("- 1\n") == ["f:1:1: expected a mapping (`key: value`), found a list"]
    assert said("zzz: 1\n") == ["f:1:1: zzz: unknown key; known here: inner, names"]


def test_what_was_meant_is_found_whatever_its_capitals() -> None:
    """And nothing is guessed when nothing is near."""
    assert closest("hihg", ["High", "Low"]) == '; did you mean "High"?'
    assert closest("zzz", ["High", "Low"]) == ""
