"""
What people write against its model: every error of pydantic becomes a located finding with what was found and what was expected.

A model's own validators raise `ValueError`; a message that begins with "expected" gets what was found added unless it says so itself.
"""

from __future__ import annotations

import difflib
import re
import types
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    SecretStr,
    ValidationError,
    ValidationInfo,
    WithJsonSchema,
)

from spikebridge.located import Node
from spikebridge.units import DURATION_PATTERN, SIZE_PATTERN, format_duration, parse_duration, parse_size

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path as FilePath

    from pydantic import GetJsonSchemaHandler
    from pydantic_core import CoreSchema

    from spikebridge.errors import Problem
    from spikebridge.located import Document, Path

_MAX_PROBLEMS = 100

Model = TypeVar("Model", bound=BaseModel)
Item = TypeVar("Item")

Duration = Annotated[
    int,
    BeforeValidator(parse_duration),
    WithJsonSchema({"type": "string", "pattern": DURATION_PATTERN, "examples": ["50ms", "1s", "5m", "24h", "7d"]}),
]
"""Nanoseconds, written with a unit."""

Size = Annotated[
    int,
    BeforeValidator(parse_size),
    WithJsonSchema({"type": "string", "pattern": SIZE_PATTERN, "examples": ["500MB", "10GB", "4GiB"]}),
]
"""Bytes, written with a unit."""


def from_directory(path: str, info: ValidationInfo) -> str:
    """Let a relative path begin at the directory of the file that it stands in."""
    directory = (info.context or {}).get("directory")
    return path if directory is None else str(directory / path)


LocalPath = Annotated[str, AfterValidator(from_directory)]
"""A file or directory, relative to the configuration."""


def _as_list(value: object) -> object:
    return [value] if isinstance(value, str) else value


class _OneOrList:
    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        several = handler(schema)
        return {"anyOf": [several["items"], {"type": "array", "items": several["items"]}]}


OneOrMore = Annotated[list[Item], BeforeValidator(_as_list), _OneOrList()]
"""A list of texts, or one that may stand without brackets."""


class Content(BaseModel):
    """The base of everything that people write: no unknown keys, no guessing of types."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, hide_input_in_errors=True)


def validate(
    model: type[Model], document: Document, path: Path = (), *, directory: FilePath | None = None
) -> tuple[Model | None, list[Problem]]:
    """
    Validate what the document holds at a path; the value is None exactly when there are problems.

    `directory` is where relative paths begin: a model's validators find it in their context.
    """
    node = document.find(path)
    data = node.plain() if node else None
    try:
        return model.model_validate({} if data is None and not path else data, context={"directory": directory}), []
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
        problems = [_problem(model, document, path, one) for one in found[:_MAX_PROBLEMS]]
        if len(found) > _MAX_PROBLEMS:
            problems.append(document.problem(path, f"and {len(found) - _MAX_PROBLEMS} more problems"))
        return None, problems


def closest(word: str, options: Iterable[str]) -> str:
    """Return `; did you mean "..."?` for the option that looks most like a word, or nothing."""
    by_lower = {option.lower(): option for option in options}
    match = difflib.get_close_matches(word.lower(), by_lower, n=1)
    return f'; did you mean "{by_lower[match[0]]}"?' if match else ""


def _problem(model: type[BaseModel], document: Document, base: Path, error: Any) -> Problem:
    parts = tuple(part for part in error["loc"] if part != "[key]")
    path = base + _in_document(document.find(base), parts)
    kind = error["type"]
    if kind == "extra_forbidden":
        return document.problem(path, f"unknown key{_known_keys(model, parts)}", key=True)
    if kind == "missing":
        return document.problem(path, "required, but missing")
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        tag = error["ctx"]["discriminator"].strip("'")
        options = [get_args(owner.model_fields[tag].annotation)[0] for owner in _models_at(model, parts)]
        return document.problem((*path, tag), _choice(options, document.find((*path, tag))))
    node = document.find(path)
    if node and SecretStr in _places(model, parts):
        node.secret = True
    if "[key]" in error["loc"]:
        return document.problem(path, _message(error, _key_node(document, path)), key=True)
    return document.problem(path, _message(error, node))


def _key_node(document: Document, path: Path) -> Node:
    key = path[-1]
    return Node(document.place(path, key=True), key, raw="" if isinstance(key, str) else str(key))


def _in_document(node: Node | None, parts: tuple[str | int, ...]) -> Path:
    """Leave out of pydantic's location what names no value: the tags of unions."""
    path: list[str | int] = []
    for at, part in enumerate(parts):
        child = node.child(part) if node else None
        if child is not None or at == len(parts) - 1:
            path.append(part)
            node = child
    return tuple(path)


def _message(error: Any, node: Node | None) -> str:
    context = error.get("ctx", {})
    kind = error["type"]
    if node and node.secret and kind not in _EXPECTED:
        return "this secret is not accepted"
    if kind in ("value_error", "assertion_error"):
        expected = str(context["error"])
        told = ", found " in expected or not expected.startswith("expected")
        return expected if told or node is None else f"{expected}, found {node.shown()}"
    if kind in ("literal_error", "enum"):
        return _choice(re.findall(r"'([^']*)'", context["expected"]), node)
    template = _EXPECTED.get(kind)
    found = node.shown() if node else "nothing"
    if template is None:
        return f"{error['msg']}, found {found}"
    return f"expected {template.format_map(_as_written(context, node))}, found {found}{_hint(kind, node)}"


def _as_written(context: dict[str, Any], node: Node | None) -> dict[str, Any]:
    """Tell the bounds of a duration or a size with a unit: a text that has bounds at all is one of them."""
    text = node.value if node else None
    if not isinstance(text, str):
        return context
    written = format_duration if re.fullmatch(DURATION_PATTERN, text) else "{}B".format
    return {name: written(value) if name in _BOUNDS else value for name, value in context.items()}


def _choice(options: list[str], node: Node | None) -> str:
    expected = f"expected one of {', '.join(options)}"
    if node is None:
        return f"required, but missing: {expected}"
    mean = closest(node.value, options) if isinstance(node.value, str) else ""
    return f"{expected}, found {node.shown()}{mean}"


_BOUNDS = ("ge", "gt", "le", "lt")
_EXPECTED = {
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "string_type": "text",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "a mapping (`key: value`)",
    "model_type": "a mapping (`key: value`)",
    "model_attributes_type": "a mapping (`key: value`)",
    "greater_than_equal": "{ge} or more",
    "greater_than": "more than {gt}",
    "less_than_equal": "{le} or less",
    "less_than": "less than {lt}",
    "string_pattern_mismatch": "text of the form {pattern}",
    "string_too_short": "at least {min_length} letters",
    "string_too_long": "at most {max_length} letters",
    "too_short": "at least {min_length} entries",
    "too_long": "at most {max_length} entries",
}


def _hint(kind: str, node: Node | None) -> str:
    if kind == "string_type" and node and node.raw and node.value is not None and not node.secret:
        return f'; write "{node.raw}" in quotes if it is a text'
    if kind == "list_type" and node and node.value is not None:
        return "; write [...] around it"
    return ""


def _known_keys(model: type[BaseModel], parts: tuple[str | int, ...]) -> str:
    keys = sorted(set().union(*(_keys(owner) for owner in _models_at(model, parts[:-1]))))
    mean = closest(str(parts[-1]), keys)
    return mean or f"; known here: {', '.join(keys)}"


def _keys(model: type[BaseModel]) -> set[str]:
    return {field.alias or name for name, field in model.model_fields.items()}


def _models_at(model: type[BaseModel], parts: tuple[str | int, ...]) -> list[type[BaseModel]]:
    """Return the models that may stand at a location: all members of a union but those that its tag rules out."""
    return [place for place in _places(model, parts) if isinstance(place, type) and issubclass(place, BaseModel)]


def _places(model: type[BaseModel], parts: tuple[str | int, ...]) -> list[Any]:
    places: list[Any] = [model]
    for part in parts:
        places = [inner for place in places for inner in _step(place, part)]
    return places


def _step(place: Any, part: str | int) -> list[Any]:
    origin = get_origin(place)
    if origin is list or origin is tuple:
        return _members(get_args(place)[0])
    if origin is dict:
        return _members(get_args(place)[1])
    if not (isinstance(place, type) and issubclass(place, BaseModel)):
        return []
    for name, field in place.model_fields.items():
        if part == (field.alias or name):
            return _members(field.annotation)
        if get_origin(field.annotation) is Literal and part in get_args(field.annotation):
            return [place]
    return []


def _members(annotation: Any) -> list[Any]:
    origin = get_origin(annotation)
    if origin is Annotated:
        return _members(get_args(annotation)[0])
    if origin in (Union, types.UnionType):
        return [member for one in get_args(annotation) for member in _members(one)]
    return [annotation]
