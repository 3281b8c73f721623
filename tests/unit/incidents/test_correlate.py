"""The incident stage: silent rewind, one transaction, revisions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spikebridge import metrics as numbers
from spikebridge.alerts import Alert, AlertEntry, Cursor, DeviceInfo, RuleInfo, alert_entry
from spikebridge.app.incidents import Correlating
from spikebridge.app.readable import ReadableRevisions, Refusals
from spikebridge.correlate import READER, IncidentStage
from spikebridge.errors import LogFull
from spikebridge.incidents import DAY_NS
from spikebridge.logs import Commit
from spikebridge.mapping.rules import Condition, IncidentRule, RuleSet, rule_set_content
from spikebridge.metrics import Metrics
from spikebridge.testing import FakeClock, MemoryLog

if TYPE_CHECKING:
    from collections.abc import Sequence

MINUTE = 60_000_000_000


def an_alert(number: int, time_ns: int, device: str = "cam") -> AlertEntry:
    """Make the entry of an alert of the one rule that alerts here."""
    alert = Alert(
        id=f"alert-{number:03}",
        tenant="acme",
        log="spool",
        partition=0,
        offset=number,
        ordinal=0,
        revision=1,
        revision_digest="d",
        rule=RuleInfo(id="silence", kind="absence", threat="Silence", severity="High", digest="r"),
        device=DeviceInfo(id=device, site="east"),
        group=[device],
        time_ns=time_ns,
        time_source="device",
        append_ns=time_ns,
        interval_start_ns=0,
        interval_ns=60,
        first_ns=time_ns,
        last_ns=time_ns,
        count=1,
    )
    return alert_entry(alert, ())


def content(gte: int = 2) -> bytes:
    """Make a revision with one incident rule: devices of a site silent within a minute."""
    info = RuleInfo(id="site-down", kind="value_count", threat="Site down", severity="Critical", digest="i", within_ns=MINUTE)
    rule = IncidentRule(info=info, rules=["silence"], group_by=["site"], condition=Condition(gte=gte, field="device"))
    return rule_set_content(RuleSet(incidents=[rule]))


def a_log(clock: FakeClock) -> MemoryLog:
    """Make a log with a first revision."""
    log = MemoryLog(clock)
    log.publish(content())
    return log


def append(log: MemoryLog, *entries: AlertEntry) -> None:
    """Append alerts as the spikes stage does."""
    log.commit(entries, Commit(0, 0, ((0, 1),)))


def a_stage(log: MemoryLog, clock: FakeClock, metrics: Metrics | None = None) -> IncidentStage:
    """Start a stage as a process does."""
    stage = IncidentStage("acme", log, log, metrics or Metrics(), clock)
    stage.open()
    return stage


def incidents(log: MemoryLog) -> list[tuple[int, bytes]]:
    """Return version and bytes of what was appended."""
    return [(entry.version, entry.body) for entry in log.alerts if entry.kind == "incident"]


def test_incidents_are_appended_with_the_cursor_behind_the_alerts() -> None:
    """The incident lies in the alert log, where every sink reads it; the stage passes over it."""
    clock, metrics = FakeClock(), Metrics()
    log = a_log(clock)
    append(log, an_alert(1, 1), an_alert(2, 2, "lock"))
    stage = a_stage(log, clock, metrics)
    stage.drain()
    assert [version for version, _ in incidents(log)] == [2]
    assert log.cursor(READER) == Cursor(2)
    stage.close()
    assert (log.cursor(READER), stage.lag) == (Cursor(3), 0)
    assert metrics.value(numbers.INCIDENTS) == 1
    assert metrics.value(numbers.INCIDENT_ALERTS) == 2


def test_an_alert_that_no_version_of_ours_wrote_stops_no_other() -> None:
    """Whoever may write to the alert log may write rubbish: the sinks put it aside, and say so."""
    clock = FakeClock()
    log = a_log(clock)
    append(log, an_alert(1, 1), an_alert(5, 1)._replace(body=b'{"x":' + b"[" * 5_000), an_alert(2, 2, "lock"))
    a_stage(log, clock).drain()
    assert [version for version, _ in incidents(log)] == [2]


def test_a_restart_correlates_in_silence_up_to_its_cursor() -> None:
    """What was appended is not appended again; what comes joins what was there."""
    clock = FakeClock()
    log = a_log(clock)
    append(log, an_alert(1, 1), an_alert(2, 2, "lock"))
    a_stage(log, clock).drain()
    stage = a_stage(log, clock)
    stage.drain()
    append(log, an_alert(3, 3, "hub"))
    stage.drain()
    assert [version for version, _ in incidents(log)] == [2, 3]


@given(st.lists(st.tuples(st.integers(0, 5 * MINUTE), st.sampled_from("abcd"), st.booleans()), max_size=20))
def test_restarts_change_nothing(alerts: list[tuple[int, str, bool]]) -> None:
    """A stage killed after any batch appends the same bytes as one that lives on."""
    logs = [a_log(clock := FakeClock()), a_log(FakeClock())]
    living = a_stage(logs[0], clock)
    restarted = a_stage(logs[1], clock)
    for number, (time_ns, device, restart) in enumerate(alerts):
        for log in logs:
            append(log, an_alert(number, time_ns, device))
        living.drain()
        restarted.drain()
        if restart:
            restarted = a_stage(logs[1], clock)
    assert incidents(logs[0]) == incidents(logs[1])


def test_a_restart_reads_no_more_than_a_day() -> None:
    """An alert appended over a day before the cursor is forgotten, alive or restarted."""
    clock = FakeClock()
    log = a_log(clock)
    append(log, an_alert(1, 1))
    clock.advance(DAY_NS + MINUTE)
    append(log, an_alert(2, 10 * MINUTE, "hub"))
    stage = a_stage(log, clock)
    stage.drain()
    stage.close()
    stage = a_stage(log, clock)
    append(log, an_alert(3, 2, "lock"))
    stage.drain()
    assert incidents(log) == []


def test_a_new_revision_holds_from_now_on_and_raises_nothing_of_the_past() -> None:
    """The day is correlated anew in silence; the next alert is joined with it under the new rules."""
    clock = FakeClock()
    log = a_log(clock)
    append(log, an_alert(1, 1), an_alert(2, 2, "lock"), an_alert(3, 3, "hub"))
    stage = a_stage(log, clock)
    stage.drain()
    log.publish(content(gte=3))
    clock.advance(MINUTE)
    stage.drain()
    assert [version for version, _ in incidents(log)] == [3]
    append(log, an_alert(4, 4, "cam"))
    stage.drain()
    assert [version for version, _ in incidents(log)] == [3, 4]
    assert b'"revision":2' in incidents(log)[-1][1]


@pytest.mark.parametrize("passed_over", [True, False])
def test_a_revision_that_is_no_rule_set_changes_nothing(*, passed_over: bool) -> None:
    """The last good one counts on, with what it holds; the next good one comes into force."""
    clock, metrics = FakeClock(), Metrics()
    log = a_log(clock)
    stage = IncidentStage("acme", log, ReadableRevisions(log, Refusals(metrics)) if passed_over else log, metrics, clock)
    stage.open()
    append(log, an_alert(1, 1))
    stage.drain()
    log.publish(b"{}")
    clock.advance(MINUTE)
    append(log, an_alert(2, 2, "lock"))
    stage.drain()
    assert [b'"revision":1' in body for _, body in incidents(log)] == [True]
    assert metrics.value(numbers.RELOADS_REFUSED) == passed_over

    log.publish(content(gte=3))
    clock.advance(MINUTE)
    append(log, an_alert(3, 3, "hub"))
    stage.drain()
    assert b'"revision":3' in incidents(log)[-1][1]


def test_without_a_revision_nothing_is_read() -> None:
    """The stage waits for the first one."""
    clock = FakeClock()
    log = MemoryLog(clock)
    stage = a_stage(log, clock)
    append(log, an_alert(1, 1), an_alert(2, 2, "lock"))
    assert stage.step() == 0
    log.publish(content())
    stage.drain()
    assert len(incidents(log)) == 1


def test_what_a_full_log_refuses_is_appended_when_there_is_room() -> None:
    """No incident is lost."""

    class Full(MemoryLog):
        full = False

        def advance(self, reader: str, cursor: Cursor, entries: Sequence[AlertEntry] = ()) -> None:
            if self.full:
                raise LogFull("no room")
            super().advance(reader, cursor, entries)

    clock = FakeClock()
    log = Full(clock)
    log.publish(content())
    stage = Correlating(lambda: IncidentStage("acme", log, log, Metrics(), clock))
    append(log, an_alert(1, 1), an_alert(2, 2, "lock"))
    log.full = True
    for _ in range(3):
        stage.step()
        with pytest.raises(LogFull):
            stage.step()
    log.full = False
    while stage.step():
        pass
    assert [version for version, _ in incidents(log)] == [2]
    stage.close()
    assert log.cursor(READER) == Cursor(3)


def test_the_position_alone_is_committed_at_most_once_a_second() -> None:
    """A batch without incidents is no transaction of its own."""
    clock = FakeClock()
    log = a_log(clock)
    stage = a_stage(log, clock)
    append(log, an_alert(1, 1))
    stage.step()
    assert log.cursor(READER) == Cursor(1)
    append(log, an_alert(2, 2))
    stage.step()
    assert log.cursor(READER) == Cursor(1)
    clock.advance(MINUTE)
    stage.step()
    assert log.cursor(READER) == Cursor(2)


def test_a_clock_that_is_set_back_holds_up_neither_position_nor_revision() -> None:
    """Both are looked after again at once, not when the clock has caught up."""
    clock = FakeClock()
    log = a_log(clock)
    stage = a_stage(log, clock)
    append(log, an_alert(1, 1))
    stage.step()
    clock.step(-60 * MINUTE)
    log.publish(content(gte=3))
    append(log, an_alert(2, 2, "lock"))
    stage.step()
    assert (log.cursor(READER), incidents(log)) == (Cursor(2), [])
    append(log, an_alert(3, 3, "hub"))
    stage.step()
    assert b'"revision":2' in incidents(log)[-1][1]


def test_a_backlog_is_evaluated_rarely_and_loses_nothing() -> None:
    """Thousands of alerts of one site end as one incident that counts them all, appended a few times only; a kill in between repeats none."""
    clock = FakeClock()
    log = a_log(clock)
    append(log, *(an_alert(number, number % 7, f"device-{number}") for number in range(9_000)))
    stage = a_stage(log, clock)
    stage.step()
    stage.step()
    stage = a_stage(log, clock)
    stage.drain()
    stage.close()
    versions = [version for version, _ in incidents(log)]
    assert versions == sorted(set(versions))
    assert versions[-1] == 9_000
    assert len(versions) <= 6
