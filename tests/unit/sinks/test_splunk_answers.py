"""What an answer of Splunk means: every documented code, and what other receivers say instead."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spikebridge.sinks.splunk.answers import CODES, DENIED_S, HOLD_S, LONGEST_AFTER_S, Answer, Outcome, acknowledged, judge
from spikebridge.testing.hec.answers import CODES as SAID

ACTIONS = {
    "taken": {0, 17, 24, 25},
    "again": {8, 9, 18, 19, 20, 23, 26, 27},
    "split": {6, 12, 13, 15},
    "hold": {5, 7, 10, 11, 28},
    "denied": {1, 2, 3, 4, 16, 21, 22},
    "without_ack": {14},
}
"""Without a number of the event; with one the four of `split` are `refuse`."""


def said(code: int, **more: Any) -> Answer:
    """Return Splunk's answer with a code."""
    status, text = SAID[code]
    return Answer(status, {}, json.dumps({"text": text, "code": code, **more}).encode())


@pytest.mark.parametrize("code", SAID)
def test_every_documented_code_has_its_outcome(code: int) -> None:
    """The reason names status, code and text."""
    outcome = judge(said(code))

    assert code in ACTIONS[outcome.action]
    assert outcome.reason.startswith(f'HTTP {SAID[code][0]}, code {code} "{SAID[code][1]}"')
    assert outcome.after_s == {"hold": HOLD_S, "denied": DENIED_S}.get(outcome.action, 0)


def test_a_refused_token_is_told_how_it_is_written() -> None:
    """As a reference: nobody should paste it into a file."""
    assert judge(said(4)).reason.endswith("for example ${env:SPLUNK_TOKEN}")


def test_the_table_is_whole() -> None:
    """No code is left to its status."""
    assert sorted(CODES) == sorted(SAID) == sorted(set().union(*ACTIONS.values()))


@pytest.mark.parametrize("code", [6, 12, 13, 15])
def test_an_event_that_is_named_is_refused_alone(code: int) -> None:
    """The number counts from 0, in the request."""
    outcome = judge(said(code, **{"invalid-event-number": 3}))

    assert (outcome.action, outcome.invalid) == ("refuse", 3)


@pytest.mark.parametrize("code", [9, 18, 19, 20, 24, 25, 26, 27])
def test_what_is_nearly_full_is_given_less_at_once(code: int) -> None:
    """Whether it took the events or not."""
    assert judge(said(code)).slow


@pytest.mark.parametrize("key", ["ackId", "ackID"])
def test_the_acknowledgement_id_is_read_in_both_spellings(key: str) -> None:
    """0 is an id."""
    assert judge(said(0, **{key: 0})).ack == 0
    assert judge(said(0)).ack is None


@pytest.mark.parametrize(
    ("status", "body", "action"),
    [
        (200, b"OK", "taken"),
        (200, b"", "taken"),
        (201, b'"Created"', "taken"),
        (500, b'"Internal Server Error"', "again"),
        (500, b"", "again"),
        (502, b"<html>Bad Gateway</html>", "again"),
        (503, b"", "again"),
        (504, b"upstream", "again"),
        (429, b"", "again"),
        (408, b"", "again"),
        (500, b'{"text":"Success","code":0}', "again"),
        (503, b'{"text":"HEC queue is approaching capacity","code":24}', "again"),
        (500, b'{"text":"new in a later version","code":99}', "again"),
        (401, b"missing or empty authorization header: Authorization", "denied"),
        (403, b"", "denied"),
        (407, b"", "denied"),
        (413, b"<html>too large</html>", "split"),
        (415, b"", "hold"),
        (404, b"", "hold"),
        (405, b"", "hold"),
        (302, b"", "hold"),
        (400, b'"Unsupported metric event"', "hold"),
        (400, b'{"text":[],"code":"6"}', "hold"),
    ],
)
def test_an_answer_without_a_known_code_is_judged_by_its_status(status: int, body: bytes, action: str) -> None:
    """Nothing that isn't understood loses an event: it is tried again, or held until somebody looks."""
    assert judge(Answer(status, {}, body)).action == action


@pytest.mark.parametrize(
    ("headers", "after_s"),
    [
        ({}, 0.0),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "99999999999999999999"}, LONGEST_AFTER_S),
        ({"retry-after": "-7"}, 0.0),
        ({"retry-after": "soon"}, 0.0),
        ({"retry-after": "Fri, 20 Nov 2026 10:01:30 GMT", "date": "Fri, 20 Nov 2026 10:00:00 GMT"}, 90.0),
        ({"retry-after": "Fri, 20 Nov 2026 09:01:30 GMT", "date": "Fri, 20 Nov 2026 10:00:00 GMT"}, 0.0),
        ({"retry-after": "Fri, 20 Nov 2026 10:01:30 GMT", "date": "Fri, 20 Nov 2026 10:00:00"}, 0.0),
        ({"retry-after": "Fri, 20 Nov 2026 10:01:30 GMT"}, 0.0),
    ],
)
def test_it_is_left_alone_for_as_long_as_it_asks(headers: dict[str, str], after_s: float) -> None:
    """In seconds, or until a date by the server's own clock; never for more than an hour."""
    assert judge(said(9)._replace(headers=headers)).after_s == after_s


def test_no_answer_is_tried_again_unless_that_is_in_vain() -> None:
    """A certificate that isn't trusted won't be a second later; what may have arrived is doubtful."""
    assert judge(Answer(0, trouble="refused")) == Outcome("again", "refused")
    assert judge(Answer(0, trouble="reset", arrived=True)).doubtful
    assert judge(Answer(0, trouble="not trusted", lasting=True)) == Outcome("hold", "not trusted", HOLD_S)


def test_what_a_server_says_cannot_reach_a_terminal() -> None:
    """Its text is one line, escaped and cut."""
    reason = judge(Answer(503, {}, json.dumps({"text": "\x1b[2J\n" + "x" * 10_000, "code": 9}).encode())).reason

    assert reason.isprintable()
    assert len(reason) < 300


def test_acknowledgements_are_those_that_were_asked_for() -> None:
    """What isn't there is not acknowledged; what nobody asked for is ignored."""
    answer = Answer(200, {}, b'{"acks":{"0":true,"1":false,"7":true}}')

    assert acknowledged(answer, [0, 1, 2]) == {0}


@pytest.mark.parametrize(
    ("answer", "action"),
    [
        (said(14), "without_ack"),
        (said(4), "denied"),
        (said(9), "again"),
        (Answer(200, {}, b"OK"), "again"),
        (Answer(200, {}, b'{"acks":[true]}'), "again"),
        (Answer(0, trouble="reset"), "again"),
    ],
)
def test_an_answer_without_acknowledgements_says_why(answer: Answer, action: str) -> None:
    """None is ever assumed."""
    found = acknowledged(answer, [0])

    assert isinstance(found, Outcome)
    assert found.action == action


@given(st.integers(100, 599), st.binary(max_size=200), st.dictionaries(st.just("retry-after"), st.text(max_size=40)))
def test_any_answer_has_an_outcome(status: int, body: bytes, headers: dict[str, str]) -> None:
    """And none but a success, or a documented code, counts as delivered."""
    outcome = judge(Answer(status, headers, body))

    assert outcome.action != "taken" or 200 <= status < 300 or b"code" in body
    assert 0 <= outcome.after_s <= LONGEST_AFTER_S


@pytest.mark.parametrize("body", [b'{"text": "nicht verf\xfcgbar"}', b"[" * 100_000, b'{"text": ' + b"[" * 100_000, b"\xff\xfe"])
@pytest.mark.parametrize("status", [200, 503])
def test_an_answer_that_is_no_json_is_judged_by_its_status(body: bytes, status: int) -> None:
    """A proxy writes what it likes, in whatever encoding."""
    assert judge(Answer(status, {}, body)).action == ("taken" if status == 200 else "again")
    assert isinstance(acknowledged(Answer(status, {}, body), [0]), Outcome)
