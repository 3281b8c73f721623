"""What a collector reads out of a request: JSON objects in a row, each an event or a reason to refuse it."""

from __future__ import annotations

import gzip
import json
import zlib
from dataclasses import dataclass
from typing import Any

LARGEST_PLAIN_BYTES = 100_000_000
_WRONG_INDEX = 7
_JSON_SPACE = " \t\r\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """What a token may do: write to these indexes (all, if none is named), the first of which is its own."""

    indexes: tuple[str, ...] = ()
    acknowledges: bool = False
    enabled: bool = True


@dataclass(frozen=True, slots=True)
class HecEvent:
    """One event as it was indexed; the id is the indexed field `spikebridge_id`, "" where there is none; `indexed_s` is of the clock."""

    id: str
    time: float | str | None
    host: str | None
    source: str | None
    sourcetype: str | None
    index: str
    event: Any
    fields: dict[str, Any]
    token: str
    indexed_s: float


Parsed = tuple[list[HecEvent], int | None, int | None]


def inflated(body: bytes) -> bytes:
    """Unpack, but never more than Splunk would take."""
    plain = zlib.decompressobj(zlib.MAX_WBITS | 16)
    made = plain.decompress(body, LARGEST_PLAIN_BYTES)
    if not plain.eof:
        raise gzip.BadGzipFile("not whole, or too large")
    return made


def parse(body: bytes, name: str, token: Token, stop: int | None, now_s: float) -> Parsed:
    """Return the events before the first that is refused (or before number `stop`), the code, and the number in the answer."""
    events: list[HecEvent] = []
    objects, broken = _objects(body)
    for number, one in enumerate(objects):
        if number == stop:
            return events, None, None
        event = _event(one, name, token, now_s)
        if isinstance(event, int):
            # as measured: a wrong index is told with the number of the object after it
            return events, event, number + (event == _WRONG_INDEX)
        events.append(event)
    if broken:
        return events, 6, len(objects)
    return events, None if objects else 5, None


def _objects(body: bytes) -> tuple[list[Any], bool]:
    """Read concatenated JSON objects, or one array of them; say whether something else follows."""
    text = body.decode(errors="replace").strip(_JSON_SPACE)
    found: list[Any] = []
    at = 0
    while at < len(text):
        try:
            one, at = json.JSONDecoder().raw_decode(text, at)
        except (ValueError, RecursionError):
            return found, True
        found += one if isinstance(one, list) else [one]
        at += len(text[at:]) - len(text[at:].lstrip(_JSON_SPACE))
    return found, False


def _event(one: Any, name: str, token: Token, now_s: float) -> HecEvent | int:
    """Return the event, or the code with which it is refused."""
    if not isinstance(one, dict) or not isinstance(one.get("fields", {}), dict):
        return 6
    if one.get("event") is None:
        return 12
    if one["event"] == "":
        return 13
    fields = one.get("fields", {})
    if not all(map(_flat, fields.values())):
        return 15
    index = one.get("index") or next(iter(token.indexes), "main")
    if token.indexes and index not in token.indexes:
        return _WRONG_INDEX
    label = {key: one.get(key) for key in ("time", "host", "source", "sourcetype")}
    identity = str(fields.get("spikebridge_id", ""))
    return HecEvent(identity, **label, index=index, event=one["event"], fields=fields, token=name, indexed_s=now_s)


def _flat(value: Any) -> bool:
    return not isinstance(value, dict) and not any(
        isinstance(one, list | dict) for one in (value if isinstance(value, list) else ())
    )
