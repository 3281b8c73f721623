"""
What a search server's answer means for the alerts that were sent: tables from (status, error) to an outcome. Pure.

The same status means different things: 429 is a full queue or a full disk, 403 an index block or a missing right, 400 a document that is
wrong or a cluster that has no room for one more index. The error's type tells, in a few cases only how its reason begins.
What isn't in a table is held: an alert is never given up because a server said something new.
"""

from __future__ import annotations

import re
from enum import Enum
from http import HTTPStatus
from typing import Any, NamedTuple

import msgspec

LONGEST_REASON = 300
"""Servers quote whole values in their reasons."""


class Outcome(Enum):
    """What becomes of an alert, or of a whole request; the gravest comes last."""

    DELIVERED = 0
    KNOWN = 1
    """It was there: just as good."""
    REFUSED = 2
    """Never, whatever is tried: a dead letter."""
    SPLIT = 3
    """Not so much at once."""
    RETRY = 4
    """Soon."""
    SMALLER = 5
    """Soon, and less at once."""
    SLOW = 6
    """The server has no room; it looks every half minute."""
    HOLD = 7
    """Somebody must mend the server or the configuration; nothing is wrong with the alerts."""
    DENIED = 8
    """Our credentials or rights."""


class Verdict(NamedTuple):
    """An outcome and, unless all is well, the sentence for the operator."""

    outcome: Outcome
    text: str = ""


class _Rule(NamedTuple):
    """The first rule that fits decides: `status` and, unless "", `kind` are equal, `reason` begins like this."""

    status: int
    kind: str
    outcome: Outcome
    advice: str = ""
    reason: str = ""


_BLOCK = "cluster_block_exception"
_FULL = "the disk is nearly full: the server takes documents again when there is room"
_BLOCKED = "remove the block, or name another cluster"
_RIGHTS = "grant the rights that `spikebridge setup NAME --dry-run` prints"
_CREDENTIALS = "check the API key, or user and password; changed ones are read at a restart"
_TEMPLATES = "install the templates with `spikebridge setup NAME`, or allow the index to be created"

ITEMS = (
    _Rule(200, "", Outcome.DELIVERED),
    _Rule(201, "", Outcome.DELIVERED),
    _Rule(409, "", Outcome.KNOWN),
    _Rule(400, "index_closed_exception", Outcome.HOLD, "open the index"),
    _Rule(400, "invalid_index_name_exception", Outcome.HOLD, "the server does not take this name"),
    _Rule(
        400, "validation_exception", Outcome.HOLD, "the cluster has no room for this index: delete old ones or raise its limit"
    ),
    _Rule(400, "illegal_argument_exception", Outcome.HOLD, _TEMPLATES, "no write index is defined"),
    _Rule(400, "illegal_argument_exception", Outcome.HOLD, "name the other `mode`", "only write ops with an op_type of create"),
    _Rule(
        400, "illegal_argument_exception", Outcome.HOLD, "create the pipeline, or take it out of the template", "pipeline with id"
    ),
    _Rule(400, "", Outcome.REFUSED),
    _Rule(401, "", Outcome.DENIED, _CREDENTIALS),
    _Rule(403, _BLOCK, Outcome.HOLD, _BLOCKED),
    _Rule(403, "", Outcome.DENIED, _RIGHTS),
    _Rule(404, "", Outcome.HOLD, _TEMPLATES),
    _Rule(413, "", Outcome.REFUSED),
    _Rule(429, _BLOCK, Outcome.SLOW, _FULL),
    _Rule(429, "", Outcome.RETRY, "the server is busy"),
    _Rule(500, "", Outcome.RETRY),
    _Rule(502, "", Outcome.RETRY),
    _Rule(503, "", Outcome.RETRY, "the index is not available now"),
    _Rule(504, "", Outcome.RETRY),
)
"""What becomes of one document, by its line of the answer."""

WHOLE = (
    _Rule(400, "action_request_validation_exception", Outcome.SPLIT),
    _Rule(401, "", Outcome.DENIED, _CREDENTIALS),
    _Rule(403, _BLOCK, Outcome.HOLD, _BLOCKED),
    _Rule(403, "", Outcome.DENIED, _RIGHTS),
    _Rule(408, "", Outcome.RETRY),
    _Rule(413, "", Outcome.SPLIT),
    _Rule(429, _BLOCK, Outcome.SLOW, _FULL),
    _Rule(429, "", Outcome.SMALLER, "the server is short of memory"),
    _Rule(500, "", Outcome.RETRY),
    _Rule(502, "", Outcome.RETRY, "something in between can't reach the server"),
    _Rule(503, "", Outcome.RETRY, "the cluster is starting, or has no master"),
    _Rule(504, "", Outcome.RETRY, "something in between can't reach the server"),
)
"""What becomes of a request that was answered as a whole."""

_UNKNOWN = "expected a search server of a version that the manual names, or nothing in between that changes requests"


class _Item(msgspec.Struct):
    status: int
    error: Any = None


class _Bulk(msgspec.Struct):
    items: list[dict[str, _Item]]


_read_bulk = msgspec.json.Decoder(_Bulk).decode


def items(body: bytes, expected: int) -> list[Verdict] | None:
    """Read what a bulk request was answered item by item; None if these bytes are no such answer."""
    try:
        answered = _read_bulk(body).items
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    if len(answered) != expected or any(len(one) != 1 for one in answered):
        return None
    return [_verdict(ITEMS, item.status, *_cause(item.error)) for one in answered for item in one.values()]


def whole(status: int, body: bytes) -> Verdict:
    """Judge an answer that is about the request, not about its items."""
    kind, reason = error_of(body)
    if status == HTTPStatus.OK:
        return Verdict(
            Outcome.RETRY, "200, but not an answer to what was asked: something in between answers instead of the server"
        )
    return _verdict(WHOLE, status, kind, reason)


def error_of(body: bytes) -> tuple[str, str]:
    """Return type and reason of an error; what is no JSON (a proxy's page, a word) has its beginning as reason."""
    try:
        found = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return "", cut(body[: 4 * LONGEST_REASON].decode(errors="replace"))
    return _cause(found.get("error")) if isinstance(found, dict) else ("", "")


def cut(text: str) -> str:
    """Make a line of what a server said: printable, and not longer than a reader wants."""
    line = re.sub(r"<[^>]*>|[^ -~\u00a1-\uffff]+|\s+", " ", text)
    line = re.sub(r" +", " ", line).strip()
    return line if len(line) <= LONGEST_REASON else f"{line[: LONGEST_REASON - 3]}..."


def _cause(error: Any) -> tuple[str, str]:
    if isinstance(error, str):
        return "", cut(error[: 4 * LONGEST_REASON])
    if not isinstance(error, dict):
        return "", ""
    kind, reason = error.get("type"), error.get("reason")
    return (
        cut(kind[: 4 * LONGEST_REASON]) if isinstance(kind, str) else "",
        cut(reason[: 4 * LONGEST_REASON]) if isinstance(reason, str) else "",
    )


def _verdict(rules: tuple[_Rule, ...], status: int, kind: str, reason: str) -> Verdict:
    for rule in rules:
        if rule.status == status and rule.kind in ("", kind) and reason.startswith(rule.reason):
            outcome, advice = rule.outcome, rule.advice
            break
    else:
        outcome, advice = Outcome.HOLD, _UNKNOWN
    if outcome in (Outcome.DELIVERED, Outcome.KNOWN):
        return Verdict(outcome)
    # What a busy server says names its threads and differs each time: its type is enough, and is said once.
    said = "" if outcome in (Outcome.RETRY, Outcome.SMALLER) and kind else reason
    found = ": ".join(part for part in (f"{status} {kind}".strip(), said) if part)
    return Verdict(outcome, f"{found}; {advice}" if advice else found)
