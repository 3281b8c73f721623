"""The service's own log: text or ECS JSON, nothing that steers a terminal."""

from __future__ import annotations

import io
import json
import logging
from typing import Literal

import pytest

from spikebridge.journal import start_journal


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """Say so."""
        return True


def _fail() -> None:
    raise ValueError("bad\x07")


def test_a_person_reads_one_line_of_text() -> None:
    """Time of day, level, message; a name can't begin a new line or a colour."""
    out = Terminal()
    start_journal(stream=out)
    logging.getLogger("spikebridge.delivery").warning("sink %s: away", "a\x1b[31m\nb\u202e")
    [line] = out.getvalue().splitlines()
    assert line[8:] == " warning sink a\\u001b[31m\\u000ab\\u202e: away"


def test_a_machine_reads_one_document_a_line() -> None:
    """The names are those of ECS; the traceback is in the document."""
    out = io.StringIO()
    start_journal(stream=out)
    logger = logging.getLogger("spikebridge.app")
    logger.info("started")
    try:
        _fail()
    except ValueError:
        logger.exception("failed")
    first, second = map(json.loads, out.getvalue().splitlines())
    assert (first["message"], first["log.level"], first["log.logger"]) == ("started", "info", "spikebridge.app")
    assert first["@timestamp"].endswith("Z")
    assert (second["error.type"], second["error.message"]) == ("ValueError", "bad\\u0007")
    assert "ValueError: bad\\u0007" in second["error.stack_trace"]


def test_a_traceback_on_a_terminal_can_not_steer_it() -> None:
    """Exceptions carry what senders wrote, too."""
    out = Terminal()
    start_journal(stream=out)
    try:
        _fail()
    except ValueError:
        logging.getLogger("spikebridge").exception("failed")
    assert out.getvalue().splitlines()[-1] == "ValueError: bad\\u0007"
    assert "\x07" not in out.getvalue()


@pytest.mark.parametrize(("shape", "terminal", "is_json"), [("text", False, False), ("json", True, True), ("auto", False, True)])
def test_the_shape_can_be_chosen(shape: Literal["auto", "text", "json"], terminal: bool, is_json: bool) -> None:
    """`auto` asks the stream."""
    out = Terminal() if terminal else io.StringIO()
    start_journal(shape, stream=out)
    logging.getLogger("spikebridge").warning("x")
    assert out.getvalue().startswith("{") == is_json


def test_the_level_holds_and_a_second_start_replaces_the_first() -> None:
    """Nothing is said twice."""
    first, second = io.StringIO(), io.StringIO()
    start_journal(stream=first)
    start_journal(level="error", stream=second)
    logger = logging.getLogger("spikebridge.x")
    logger.warning("quiet")
    logger.error("loud")
    assert (first.getvalue(), second.getvalue().count("\n")) == ("", 1)
