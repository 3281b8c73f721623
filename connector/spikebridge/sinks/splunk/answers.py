"""What an answer of an HTTP Event Collector means for what was sent: a table, no sockets, no clocks."""

from __future__ import annotations

import email.utils
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import msgspec

from spikebridge.located import quoted

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

Action = Literal["taken", "again", "split", "refuse", "hold", "denied", "without_ack"]
"""
What to do: nothing more; send it again; send it in two parts; put one event aside; wait for somebody to mend the configuration, or
the credentials; go on without acknowledgements.
"""

HOLD_S = 60.0
"""So long a wrong configuration is left alone: somebody must act, and what is tried meanwhile is noise in Splunk's log."""

DENIED_S = 300.0
"""Credentials likewise."""

LONGEST_AFTER_S = 3_600.0


class Answer(NamedTuple):
    """
    What came back; names of headers in lower case.

    The status 0 says that nothing did: `trouble` is why, `arrived` whether the server may have read the request all the same, `lasting`
    that trying again won't help.
    """

    status: int
    headers: Mapping[str, str] = {}
    body: bytes = b""
    trouble: str = ""
    arrived: bool = False
    lasting: bool = False


class Outcome(NamedTuple):
    """
    What an answer means.

    `reason` is for the operator; `slow` asks for fewer requests at once; `ack` is the id under which the acknowledgement is to be asked for;
    `invalid` the number of the one event that was refused, those before it are indexed; `doubtful` that what was sent may be there;
    `too_large` that it is the size of the request that was refused.
    """

    action: Action
    reason: str = ""
    after_s: float = 0.0
    slow: bool = False
    ack: int | None = None
    invalid: int | None = None
    doubtful: bool = False
    too_large: bool = False


class _Rule(NamedTuple):
    action: Action
    advice: str = ""
    slow: bool = False


_ENABLE = "enable the token in Splunk, or configure another one"
_KNOWN = "expected the value of a token that Splunk knows, for example ${env:SPLUNK_TOKEN}"
_CHANNEL = "the token asks for acknowledgements: set acknowledge to auto or on"

CODES: dict[int, _Rule] = {
    0: _Rule("taken"),
    1: _Rule("denied", _ENABLE),
    2: _Rule("denied", "the token did not arrive: look for a proxy that takes the Authorization header away"),
    3: _Rule("denied", "the token did not arrive whole: look for a proxy that changes the Authorization header"),
    4: _Rule("denied", _KNOWN),
    5: _Rule("hold", "the request arrived empty: look for a proxy that takes its body away"),
    6: _Rule("refuse"),
    7: _Rule("hold", "allow the index for this token in Splunk, or set `index` to one that is allowed"),
    8: _Rule("again"),
    9: _Rule("again", slow=True),
    10: _Rule("hold", _CHANNEL),
    11: _Rule("hold", _CHANNEL),
    12: _Rule("refuse"),
    13: _Rule("refuse"),
    14: _Rule("without_ack"),
    15: _Rule("refuse"),
    16: _Rule("denied", "look for a proxy that moves the token into the address"),
    17: _Rule("taken"),
    18: _Rule("again", slow=True),
    19: _Rule("again", slow=True),
    20: _Rule("again", slow=True),
    21: _Rule("denied", _KNOWN),
    22: _Rule("denied", _ENABLE),
    23: _Rule("again"),
    24: _Rule("taken", slow=True),
    25: _Rule("taken", slow=True),
    26: _Rule("again", slow=True),
    27: _Rule("again", slow=True),
    28: _Rule("hold", _CHANNEL),
}
"""Every documented code; 24 and 25 say that queue or acknowledgements are nearly full, and come with a success."""

_STATUSES: dict[int, _Rule] = {
    HTTPStatus.UNAUTHORIZED: _Rule("denied", _KNOWN),
    HTTPStatus.FORBIDDEN: _Rule("denied", _KNOWN),
    HTTPStatus.PROXY_AUTHENTICATION_REQUIRED: _Rule("denied", "a proxy stands between us and Splunk and asks who we are"),
    HTTPStatus.REQUEST_TIMEOUT: _Rule("again"),
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: _Rule("split"),
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: _Rule("hold", "the receiver doesn't take gzip: expected one that does, as Splunk"),
    HTTPStatus.TOO_EARLY: _Rule("again"),
    HTTPStatus.TOO_MANY_REQUESTS: _Rule("again", slow=True),
    HTTPStatus.SERVICE_UNAVAILABLE: _Rule("again", slow=True),
}
_ELSEWHERE = _Rule("hold", "expected a HEC endpoint: check address and port, Splunk's default is https://HOST:8088")


class _Said(msgspec.Struct):
    """The body of an answer, as far as it matters."""

    text: str = ""
    code: int | None = None
    ack_id: int | None = msgspec.field(default=None, name="ackId")
    ack_old: int | None = msgspec.field(default=None, name="ackID")
    invalid: int | None = msgspec.field(default=None, name="invalid-event-number")
    acks: dict[str, bool] | None = None


_read = msgspec.json.Decoder(_Said).decode
_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


def judge(answer: Answer) -> Outcome:
    """Say what to do: by the code if there is a documented one that fits the status, else by the status."""
    if not answer.status:
        action: Action = "hold" if answer.lasting else "again"
        return Outcome(action, answer.trouble, HOLD_S if answer.lasting else 0.0, doubtful=answer.arrived)
    said = _said(answer.body)
    fine = HTTPStatus.OK <= answer.status < HTTPStatus.MULTIPLE_CHOICES
    rule = CODES.get(said.code) if said.code is not None else None
    if rule is None or (rule.action == "taken" and not fine):
        rule = _Rule("taken") if fine else _by_status(answer.status)
    after_s = {"again": _after_s(answer.headers), "hold": HOLD_S, "denied": DENIED_S}.get(rule.action, 0.0)
    ack = said.ack_id if said.ack_id is not None else said.ack_old
    return Outcome(
        "split" if rule.action == "refuse" and said.invalid is None else rule.action,
        _reason(answer, said, rule.advice),
        after_s,
        rule.slow,
        ack=ack if rule.action == "taken" else None,
        invalid=said.invalid if rule.action == "refuse" else None,
        too_large=answer.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    )


def acknowledged(answer: Answer, asked: Collection[int]) -> set[int] | Outcome:
    """Return which of the ids that were asked for are acknowledged, or what else the answer means."""
    said = _said(answer.body)
    if answer.status != HTTPStatus.OK or said.acks is None:
        outcome = judge(answer)
        return outcome if outcome.action != "taken" else outcome._replace(action="again", doubtful=True)
    return {ack for ack in asked if said.acks.get(str(ack))}


def _said(body: bytes) -> _Said:
    """Read leniently: some receivers answer with bare JSON strings, with plain text, or with a web page."""
    try:
        return _read(body)
    except _UNREADABLE:
        return _Said(text=_plain(body))


def _plain(body: bytes) -> str:
    try:
        value: Any = msgspec.json.decode(body)
    except _UNREADABLE:
        value = body.decode(errors="replace").strip()
    return value if isinstance(value, str) else ""


def _by_status(status: int) -> _Rule:
    known = _STATUSES.get(status)
    return known or (_Rule("again") if status >= HTTPStatus.INTERNAL_SERVER_ERROR else _ELSEWHERE)


def _reason(answer: Answer, said: _Said, advice: str) -> str:
    code = "" if said.code is None else f", code {said.code}"
    text = f" {quoted(said.text)}" if said.text else ""
    return f"HTTP {answer.status}{code}{text}{advice and '; '}{advice}"


def _after_s(headers: Mapping[str, str]) -> float:
    """Read `Retry-After`, seconds or a date; a date counts from the answer's own, so that no clock of ours matters."""
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:9]), LONGEST_AFTER_S)
    try:
        until, now = (email.utils.parsedate_to_datetime(date) for date in (text, headers.get("date", "")))
        return min(max(0.0, (until - now).total_seconds()), LONGEST_AFTER_S)
    except (ValueError, TypeError):
        return 0.0
