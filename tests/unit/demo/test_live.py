"""What the demonstration shows: every finding once, in letters that can't steer a terminal."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from spikebridge.alerts import Alert, DeviceInfo, Incident, RuleInfo
from spikebridge.cli.live import Lines, Picture, view
from spikebridge.demo.play import Moment

EVIL = "lock-1\x1b[2J\x9b31m\u202e"
RULE = RuleInfo(id="net-ddos-burst", kind="event_count", threat="DDoS\x07_Burst", severity="Critical", digest="")
ALERT = Alert(
    id="0c0a8f1e-0000",
    tenant="demo",
    log="log",
    partition=0,
    offset=1,
    ordinal=0,
    revision=1,
    revision_digest="",
    rule=RULE,
    device=DeviceInfo(id=EVIL),
    group=[EVIL],
    time_ns=1_790_000_000_000_000_000,
    time_source="device",
    append_ns=1_790_000_000_000_000_000,
    interval_start_ns=0,
    interval_ns=60_000_000_000,
    first_ns=1_790_000_000_000_000_000,
    last_ns=1_790_000_000_000_000_000,
    count=20,
    explanation="20 spikes\x1b]0;owned\x07",
)
INCIDENT = Incident(
    id="\x1b[2J1d",
    version=2,
    tenant="demo",
    revision=1,
    revision_digest="",
    rule=RULE,
    site="s",
    group=[],
    time_ns=1_790_000_001_000_000_000,
    append_ns=0,
    first_ns=0,
    last_ns=0,
    interval_start_ns=0,
    interval_ns=1,
    devices=["lock-1", EVIL],
    explanation="together",
)
MOMENT = Moment("an episode\x1b[1m", [ALERT, INCIDENT], records=12, waiting=3, worker=4711)


def test_lines_write_each_finding_once() -> None:
    """The plain picture, to the letter."""
    stream = io.StringIO()

    with Lines(stream) as lines:
        lines.show(MOMENT)
        lines.show(MOMENT._replace(note="", findings=[]))

    assert stream.getvalue() == (
        "-- an episode\\x1b[1m\n"
        "2026-09-21 14:13:20  0c0a8f1e  Critical  DDoS\\x07_Burst                     lock-1\\x1b[2J\\x9b31m\\u202e\n"
        "2026-09-21 14:13:21  \\x1b[2J1d  Critical  DDoS\\x07_Burst (incident)          lock-1, lock-1\\x1b[2J\\x9b31m\\u202e\n"
    )


def test_what_is_no_terminal_gets_lines() -> None:
    """A pipe is never drawn on."""
    assert isinstance(view(io.StringIO(), "title"), Lines)


@pytest.mark.parametrize("height", [10, 40])
def test_a_picture_holds_no_control_characters_but_its_own(height: int) -> None:
    """Names of devices and threats reach the terminal as visible letters, whatever they hold."""
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=200, height=height)

    with Picture("title", console) as picture:
        picture.show(MOMENT)
    drawn = stream.getvalue()

    assert "12 records sent, 3 not committed yet, worker 4711" in drawn
    assert "lock-1\\x1b[2J" in drawn
    assert not {"\x07", "\x9b", "\u202e"} & set(drawn)
    assert "\x1b[2J" not in drawn
    assert "\x1b]0;" not in drawn


def test_a_terminal_of_80_columns_shows_ids_times_and_severities_whole() -> None:
    """An id that is cut off is none that `explain` takes; there the reason gives way."""
    stream = io.StringIO()
    with Picture("title", Console(file=stream, force_terminal=True, width=80, height=24)) as picture:
        picture.show(MOMENT)
    drawn = stream.getvalue()

    assert [text for text in ("0c0a8f1e", "14:13:20", "Critical", "DDoS\\x07_Burst (incident)") if text not in drawn] == []
    assert "20 spikes" not in drawn
