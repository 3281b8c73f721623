"""Delivery: the alert log to one sink, nothing lost, repeats dropped, refusals put aside."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from spikebridge import metrics as numbers
from spikebridge.alerts import Alert, AlertEntry, Cursor, DeviceInfo, RuleInfo, alert_entry
from spikebridge.delivery import BATCH_ENTRIES, Delivery, Filter, Surroundings, without_repeats
from spikebridge.errors import LogError
from spikebridge.logs import Commit
from spikebridge.metrics import Metrics
from spikebridge.testing import FakeClock, FlakySink, MemoryLetters, MemoryLog, MemorySink

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spikebridge.alerts import Severity
    from spikebridge.delivery import Sink

SECOND = 1_000_000_000


def an_entry(offset: int, ordinal: int = 0, partition: int = 0, severity: Severity = "High", site: str = "east") -> AlertEntry:
    """Make the entry of an alert whose id says where it came from."""
    alert = Alert(
        id=f"{partition}-{offset}-{ordinal}",
        tenant="acme",
        log="spool",
        partition=partition,
        offset=offset,
        ordinal=ordinal,
        revision=1,
        revision_digest="d",
        rule=RuleInfo(id="burst", kind="event_count", threat="Burst", severity=severity, digest="r"),
        device=DeviceInfo(id="cam", site=site),
        group=["cam"],
        time_ns=1,
        time_source="device",
        append_ns=1,
        interval_start_ns=0,
        interval_ns=60,
        first_ns=1,
        last_ns=1,
        count=1,
    )
    return alert_entry(alert, ())


def an_incident(version: int) -> AlertEntry:
    """Make the entry of an incident, as far as delivery looks."""
    return AlertEntry("incident", "incident", version, (-1, 0, 0), b"{}")


class Fixture:
    """A log, a clock, dead letters; `waits` are the seconds that deliveries waited for, `stop_after` of them."""

    def __init__(self, stop_after: int = 1_000) -> None:
        """Begin with an empty log."""
        self.clock = FakeClock()
        self.log = MemoryLog(self.clock)
        self.letters = MemoryLetters()
        self.metrics = Metrics()
        self.waits: list[float] = []
        self.stop_after = stop_after

    def wait(self, seconds: float) -> bool:
        """Let the fake clock go on."""
        if seconds:
            self.waits.append(seconds)
            self.clock.advance(int(seconds * SECOND))
        return len(self.waits) >= self.stop_after

    def append(self, *entries: AlertEntry) -> None:
        """Append to the alert log."""
        self.log.commit(entries, Commit(0, 0, ((0, 1),)))

    def delivery(self, sink: Sink, name: str = "a", where: Filter | None = None) -> Delivery:
        """Start a delivery as a process does."""
        around = Surroundings(
            dead_letters=self.letters, metrics=self.metrics, clock=self.clock, wait=self.wait, random=lambda: 0.5
        )
        delivery = Delivery(name, sink, self.log, around, where or Filter())
        delivery.open()
        return delivery


def ids(entries: Sequence[AlertEntry]) -> list[str]:
    """Name entries by their ids."""
    return [entry.id for entry in entries]


def test_everything_is_delivered_in_order_and_the_cursor_says_so() -> None:
    """The cursor stands after the last entry and knows the highest place of each input partition."""
    here, sink = Fixture(), MemorySink()
    here.append(an_entry(5), an_entry(5, 1), an_incident(2), an_entry(3, 0, 1))
    assert here.delivery(sink).drain()
    assert ids(sink.findings) == ["0-5-0", "0-5-1", "incident", "1-3-0"]
    assert here.log.cursor("deliver:a") == Cursor(4, {0: (5, 1), 1: (3, 0)})
    assert here.metrics.value(numbers.DELIVERED, sink="a") == 4


def test_a_restart_goes_on_where_the_cursor_stands() -> None:
    """Nothing is written twice by a delivery that was closed in peace."""
    here, sink = Fixture(), MemorySink()
    here.append(an_entry(1))
    here.delivery(sink).drain()
    here.append(an_entry(2))
    here.delivery(sink).drain()
    assert ids(sink.findings) == ["0-1-0", "0-2-0"]


def test_repeats_are_dropped_however_late_they_come() -> None:
    """After a takeover the owner appends again what the log has: a sink that knows no ids gets it once."""
    here, sink = Fixture(), MemorySink()
    here.append(an_entry(1), an_entry(2))
    here.delivery(sink).drain()
    here.append(an_entry(1), an_entry(2), an_entry(2, 1), an_entry(2), an_entry(1, 0, 1))
    here.delivery(sink).drain()
    assert ids(sink.findings) == ["0-1-0", "0-2-0", "0-2-1", "1-1-0"]
    assert here.metrics.value(numbers.REPEATS, sink="a") == 3


def test_a_sink_that_is_away_is_tried_again_with_growing_waits() -> None:
    """Nothing is lost, nothing is written twice, and the health says what is wrong meanwhile."""
    here, sink = Fixture(stop_after=7), FlakySink()
    here.append(an_entry(1))
    delivery = here.delivery(sink)
    sink.away = 100
    here.clock.advance(SECOND)
    assert not delivery.drain()
    assert [round(wait, 3) for wait in here.waits] == [0.075, 0.15, 0.3, 0.6, 1.2, 2.4, 4.8]
    assert delivery.health()[1:] == (False, 0, 1, here.log.alerts[0].append_ns, "away for a while")
    assert here.metrics.value(numbers.SINK_UP, sink="a") == 0
    delivery.measure()
    assert here.metrics.value(numbers.SINK_LAG, sink="a") == 1
    assert here.metrics.value(numbers.SINK_OLDEST, sink="a") > 10
    assert delivery.health().trouble(here.clock()) == ""
    minutes = delivery.health().trouble(here.clock() + 120 * SECOND)
    assert minutes == "sink a: 1 entries wait, the oldest for 130 s: away for a while"
    here.stop_after, sink.away = 1_000, 0
    assert delivery.drain()
    assert ids(sink.findings) == ["0-1-0"]
    assert delivery.health()[1:] == (True, 1, 0, None, "")
    assert here.metrics.value(numbers.RETRIES, sink="a") == 7


def test_the_longest_wait_is_half_a_minute() -> None:
    """A sink that comes back after hours is noticed soon."""
    here, sink = Fixture(stop_after=20), FlakySink()
    here.append(an_entry(1))
    delivery = here.delivery(sink)
    sink.away = 100
    delivery.drain()
    assert max(here.waits) == 22.5


def test_one_sink_that_is_away_delays_no_other() -> None:
    """Each has its own cursor."""
    here = Fixture(stop_after=3)
    here.append(an_entry(1))
    away, well = FlakySink(), MemorySink()
    first, second = here.delivery(away, "away"), here.delivery(well, "well")
    away.away = 100
    first.drain()
    assert second.step() == 1
    assert (ids(away.findings), ids(well.findings)) == ([], ["0-1-0"])
    assert here.log.cursor("deliver:away") == Cursor(0)


def test_what_a_sink_refuses_for_good_is_put_aside_and_the_rest_delivered() -> None:
    """The dead letter has the reason; the cursor moves on."""
    here = Fixture()
    sink = FlakySink(refuses=lambda entry: "too large" if entry.id == "0-2-0" else "")
    here.append(an_entry(1), an_entry(2), an_entry(3))
    assert here.delivery(sink).drain()
    assert ids(sink.findings) == ["0-1-0", "0-3-0"]
    assert [(key, reason) for key, (_, reason) in here.letters.kept.items()] == [(("a", "0-2-0"), "too large")]
    assert here.metrics.value(numbers.DEAD_LETTERS, sink="a") == 1
    assert here.metrics.value(numbers.DELIVERED, sink="a") == 2


def test_dead_letters_that_somebody_asks_for_are_delivered_again() -> None:
    """One that is taken now is let go, one that is refused again stays."""
    here = Fixture()
    bad = {"0-1-0", "0-2-0"}
    sink = FlakySink(refuses=lambda entry: "bad" if entry.id in bad else "")
    here.append(an_entry(1), an_entry(2))
    delivery = here.delivery(sink)
    delivery.drain()
    bad.remove("0-2-0")
    here.letters.asked |= {("a", "0-1-0"), ("a", "0-2-0")}
    here.clock.advance(10 * SECOND)
    delivery.drain()
    assert ids(sink.findings) == ["0-2-0"]
    assert list(here.letters.kept) == [("a", "0-1-0")]
    assert here.letters.asked == set()


def test_a_mistake_in_a_sink_is_tried_again_and_said() -> None:
    """A foreign exception neither ends the thread nor loses the batch."""

    class Mistaken(MemorySink):
        attempts = 0

        def write(self, findings: Sequence[AlertEntry]) -> None:
            self.attempts += 1
            if self.attempts == 1:
                raise KeyError("oops")
            super().write(findings)

    here, sink = Fixture(), Mistaken()
    here.append(an_entry(1))
    assert here.delivery(sink).drain()
    assert (ids(sink.findings), len(here.waits)) == (["0-1-0"], 1)


def test_a_log_that_fails_for_a_while_repeats_no_write() -> None:
    """When the cursor can't be committed only the commit is tried again."""

    class Failing(MemoryLog):
        failures = 2

        def advance(self, reader: str, cursor: Cursor, entries: Sequence[AlertEntry] = ()) -> None:
            if self.failures:
                self.failures -= 1
                raise LogError("the disk is full")
            super().advance(reader, cursor, entries)

    here, sink = Fixture(), MemorySink()
    here.log = Failing(here.clock)
    here.append(an_entry(1))
    assert here.delivery(sink).drain()
    assert (ids(sink.findings), len(here.waits)) == (["0-1-0"], 2)


def test_a_filter_passes_what_is_severe_enough_of_its_sites_and_kinds() -> None:
    """What a filter leaves out is counted, and the cursor passes it."""
    here, sink = Fixture(), MemorySink()
    here.append(an_entry(1, severity="Medium"), an_entry(2), an_entry(3, severity="Critical", site="west"), an_incident(1))
    where = Filter(severity="High", sites=("ea*", "north"), kinds=("alert",))
    assert here.delivery(sink, where=where).drain()
    assert ids(sink.findings) == ["0-2-0"]
    assert here.metrics.value(numbers.FILTERED, sink="a") == 3
    assert here.log.cursor("deliver:a") == Cursor(4, {0: (3, 0)})


def test_what_retention_took_is_counted() -> None:
    """A sink that was away for longer than the log keeps does not go on in silence."""

    class Trimmed(MemoryLog):
        def poll_alerts(self, position: int, limit: int) -> list[AlertEntry]:
            return super().poll_alerts(max(position, 2), limit)

    here, sink = Fixture(), MemorySink()
    here.log = Trimmed(here.clock)
    here.append(*(an_entry(offset) for offset in range(4)))
    assert here.delivery(sink).drain()
    assert ids(sink.findings) == ["0-2-0", "0-3-0"]
    assert here.metrics.value(numbers.MISSED, sink="a") == 2


def test_run_opens_delivers_and_closes() -> None:
    """A stop between two batches ends it with the sink closed."""
    here, sink = Fixture(stop_after=1), MemorySink()
    here.append(*(an_entry(offset) for offset in range(BATCH_ENTRIES + 1)))
    delivery = here.delivery(sink)
    delivery.run()
    assert len(sink.findings) == BATCH_ENTRIES + 1
    assert not sink.opened


@given(
    st.lists(st.tuples(st.integers(-1, 2), st.integers(0, 6), st.integers(0, 2)), max_size=40),
    st.lists(st.integers(1, 7), max_size=10),
)
def test_cuts_do_not_change_what_a_reader_drops(places: list[tuple[int, int, int]], sizes: list[int]) -> None:
    """Each place of an input partition passes at most once, and only upwards, whatever the batches."""
    entries = [AlertEntry(str(at), "alert", 1, place, b"") for at, place in enumerate(places)]
    at_once, highest = without_repeats(entries, {})
    passed: list[AlertEntry] = []
    seen: dict[int, tuple[int, int]] = {}
    rest = entries
    for size in [*sizes, len(entries)]:
        fresh, seen = without_repeats(rest[:size], seen)
        passed += fresh
        rest = rest[size:]
    assert (passed, seen) == (at_once, highest)
    for partition in (0, 1, 2):
        mine = [entry.source for entry in passed if entry.source[0] == partition]
        assert mine == sorted(set(mine))
