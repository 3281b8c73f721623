"""The kinds of values in mapping files: what they accept, how they are written in only one way, what they say when they refuse."""

from __future__ import annotations

import datetime as dt
import re
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from spikebridge.located import quoted
from spikebridge.validation import Duration

if TYPE_CHECKING:
    from pydantic import GetJsonSchemaHandler
    from pydantic_core import CoreSchema

MAX_COUNT = 1_000
MAX_NEURON = 0xFFFF_FFFE
SECOND_NS = 1_000_000_000

Span = tuple[int, int]
"""The first and the last neuron of a range."""

_RANGE = re.compile(r"([0-9]{1,10})(?:-([0-9]{1,10}))?")
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")
_TECHNIQUE = re.compile(r"T[0-9]{4}(\.[0-9]{3})?")


def _one_range(value: object) -> Span:
    if isinstance(value, int) and not isinstance(value, bool):
        first = last = value
    elif isinstance(value, str) and (match := _RANGE.fullmatch(value)):
        first, last = int(match[1]), int(match[2] or match[1])
    else:
        found = (
            quoted(value) if isinstance(value, str) else f"a {type(value).__name__}" if isinstance(value, (dict, list)) else value
        )
        message = f"expected a neuron number, a range such as 40-47, or a list of them, found {found}"
        raise ValueError(message)
    if not 0 <= first <= last <= MAX_NEURON:
        message = f"expected neurons from 0 to {MAX_NEURON}, the lower number first, found {value}"
        raise ValueError(message)
    return first, last


def _ranges(value: object) -> list[Span]:
    """Sort ranges and join those that touch: equal sets of neurons are written in one way."""
    if isinstance(value, list) and not value:
        message = "expected at least one neuron"
        raise ValueError(message)
    spans: list[Span] = []
    for first, last in sorted(map(_one_range, value if isinstance(value, list) else [value])):
        if spans and first <= spans[-1][1] + 1:
            spans[-1] = (spans[-1][0], max(last, spans[-1][1]))
        else:
            spans.append((first, last))
    return spans


def _layer(value: object) -> object:
    if isinstance(value, int) and not isinstance(value, bool):
        if not 0 <= value <= 0xFFFF:  # noqa: PLR2004 -- the wire has 16 bits
            message = "expected a layer number from 0 to 65535, or a name"
            raise ValueError(message)
        return str(value)
    return value


def _clean(value: str) -> str:
    if not value.strip() or not value.replace("\n", " ").replace("\t", " ").isprintable():
        message = "expected text without control characters"
        raise ValueError(message)
    return value.strip()


def _identifier(value: str) -> str:
    if not _ID.fullmatch(value):
        message = "expected an id of letters, digits, `_`, `.` and `-`, at most 128"
        raise ValueError(message)
    return value


def _technique(value: str) -> str:
    if not _TECHNIQUE.fullmatch(value):
        message = "expected an ATT&CK technique such as T1498 or T1498.001"
        raise ValueError(message)
    return value


def _date(value: object) -> dt.date:
    try:
        return dt.date.fromisoformat(value) if isinstance(value, str) else dt.date.fromisoformat("")
    except ValueError:
        message = "expected a date such as 2026-12-31"
        raise ValueError(message) from None


def _suppress(value: int) -> int:
    if value < SECOND_NS:
        message = "expected 1s or more"
        raise ValueError(message)
    return value


def _positive(value: int) -> int:
    if value <= 0:
        message = "expected more than 0s"
        raise ValueError(message)
    return value


def _layer_name(value: str) -> str:
    if value.isdigit():
        message = "expected a name, not a number: numbers are wire layers themselves"
        raise ValueError(message)
    return value


def _device_only(value: str) -> str:
    if value != "device":
        message = "expected device: a wider group is an incident, a `value_count` or `temporal` over the alerts of this rule"
        raise ValueError(message)
    return value


def _generates(value: object) -> object:
    if value is False:
        message = "expected true: a correlation of alerts needs the alerts of its rules"
        raise ValueError(message)
    return value


class OrText:
    """Says in the JSON Schema that a text may stand for the mapping."""

    def __get_pydantic_json_schema__(self, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Return the schema of either."""
        return {"anyOf": [{"type": "string"}, handler(core_schema)]}


Text = Annotated[str, Field(max_length=256), AfterValidator(_clean)]
Prose = Annotated[str, Field(max_length=8_192), AfterValidator(_clean)]
RuleId = Annotated[str, AfterValidator(_identifier)]
Technique = Annotated[str, AfterValidator(_technique)]
Date = Annotated[dt.date, BeforeValidator(_date), WithJsonSchema({"type": "string", "format": "date"})]
Layer = Annotated[Text, BeforeValidator(_layer), WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "integer"}]})]
Timespan = Annotated[Duration, AfterValidator(_positive)]
Suppress = Annotated[Duration, AfterValidator(_suppress)]
_NEURON_SCHEMA = {"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": "^[0-9]+(-[0-9]+)?$"}]}
Neurons = Annotated[
    list[tuple[int, int]],
    BeforeValidator(_ranges),
    WithJsonSchema({"anyOf": [*_NEURON_SCHEMA["anyOf"], {"type": "array", "items": _NEURON_SCHEMA, "minItems": 1}]}),
]
DeviceOnly = Annotated[str, AfterValidator(_device_only), WithJsonSchema({"const": "device"})]
AlwaysTrue = Annotated[bool, BeforeValidator(_generates), WithJsonSchema({"const": True})]
WireLayer = Annotated[int, Field(ge=0, le=0xFFFF)]
LayerName = Annotated[Text, AfterValidator(_layer_name)]
