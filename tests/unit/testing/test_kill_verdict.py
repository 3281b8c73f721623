"""What the kill trial says of alerts that came to the HEC receiver more than once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from tests.live.kills import takeovers
from tests.live.kills.oracle import Reference
from tests.live.kills.takeovers import Takeover
from tests.live.kills.verdict import ALERT_TYPE, LATE_S, Committed, Copy, Received, Topic, Verdict, judge_hec

from spikebridge.testing.hec import HecEvent

if TYPE_CHECKING:
    from pathlib import Path

PARTITION = 2
OFFSET = 7
TOPIC = Topic({"alert": [Copy(PARTITION, OFFSET, ())]}, {})
ALERTS: Any = {"alert": None}
EXPECTED = Reference({}, ALERTS, {}, set())


def taken(at_s: float, position: int = OFFSET) -> Takeover:
    """Have somebody go on from a position."""
    return Takeover(at_s, "splunk", PARTITION, position)


def came(token: str, at_s: float, name: str = "alert") -> HecEvent:
    """Index the alert, sent by the instance with this token."""
    label = dict.fromkeys(["time", "host", "source"])
    return HecEvent(name, **label, sourcetype=ALERT_TYPE, index="main", event={}, fields={}, token=token, indexed_s=at_s)


def problems(events: list[HecEvent], owners: dict[str, list[Takeover]], committed: list[Committed] | None = None) -> list[str]:
    """Return what the verdict says of one alert's arrivals."""
    verdict = Verdict()
    takeovers_of = {name: {PARTITION: some} for name, some in owners.items()}
    judge_hec(verdict, EXPECTED, TOPIC, Received(events, takeovers_of, committed or []))
    return verdict.problems


def test_once_for_each_takeover_is_what_is_promised() -> None:
    """By the first owner, by the one after it, by the first again, and late by one who was thought dead."""
    owners = {"a": [taken(1), taken(5)], "b": [taken(3)]}
    assert problems([came("a", 2), came("b", 4), came("a", 6)], owners) == []
    assert problems([came("b", 4), came("a", 4.5)], owners) == []


@pytest.mark.parametrize(
    ("events", "owners"),
    [
        pytest.param([came("a", 2), came("a", 3)], {"a": [taken(1)]}, id="twice by one owner"),
        pytest.param([came("a", 2), came("b", 4)], {"a": [taken(1)], "b": [taken(3, OFFSET + 1)]}, id="taken over behind it"),
        pytest.param([came("a", 2), came("b", 4)], {"a": [taken(1)], "b": []}, id="never taken over"),
        pytest.param([came("a", 2), came("b", 4)], {"a": [taken(1)], "b": [taken(5)]}, id="before it was taken over"),
    ],
)
def test_everything_else_is_found(events: list[HecEvent], owners: dict[str, list[Takeover]]) -> None:
    """One problem, which names the alert."""
    [problem] = problems(events, owners)
    assert problem.startswith("HEC: twice by one, or by one who took over behind it: 1: alert")


def test_who_takes_over_goes_on_from_what_was_committed() -> None:
    """A position that was set back is found, though each alert came once; one from before that is none."""
    known: list[Committed] = [(2, {PARTITION: OFFSET + 1})]
    assert problems([came("a", 2)], {"a": [taken(1)], "b": [taken(3, OFFSET + 1)]}, known) == []
    [problem] = problems([came("a", 2)], {"a": [taken(1)], "b": [taken(3)]}, known)
    assert problem.startswith("HEC: taken over from further back than was committed: 1: Takeover(at_s=3")


def test_who_lost_a_partition_ends_with_it() -> None:
    """What was begun may still come; two who deliver everything for good are found."""
    owners = {"a": [taken(1)], "b": [taken(3)]}
    assert problems([came("b", 9 + LATE_S), came("a", 3 + LATE_S)], owners) == []
    [problem] = problems([came("b", 9 + LATE_S), came("a", 4 + LATE_S)], owners)
    assert problem.startswith("HEC: two owners at once: 1: Takeover(at_s=1")


def test_what_is_missing_or_foreign_is_found() -> None:
    """What the topic doesn't have either is told, and nothing else of it is asked."""
    found = problems([came("a", 2), came("a", 2, "foreign")], {"a": [taken(1)]})
    assert found == ["HEC: extra: 1: foreign"]


def test_takeovers_come_back_as_they_were_noted(tmp_path: Path) -> None:
    """Those of the sink that is asked for, by partition."""
    for one in (taken(1), Takeover(2, "elastic", PARTITION, 3), taken(4), Takeover(5, "splunk", 0, 0)):
        takeovers.note(tmp_path, one)
    assert takeovers.read(tmp_path, "splunk") == {PARTITION: [taken(1), taken(4)], 0: [Takeover(5, "splunk", 0, 0)]}
    assert takeovers.read(tmp_path / "never", "splunk") == {}
