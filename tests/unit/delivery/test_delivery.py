"""Delivery: the alert log to one sink, nothing lost, repeats dropped, refusals put aside."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from spikebridge import metrics as numbers
from spikebridge.alerts import Alert, AlertEntry, Cursor, DeviceInfo, RuleInfo, alert_entry
from spikebridge.delivery import POLL_ENTRIES, Batch, Delivery, Surroundings, without_repeats
from spikebridge.errors import LogError, SinkDenied, SinkTooLarge, SinkUnavailable
from spikebridge.filter import Filter
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
    assert delivery.health().trouble(here.clock()) == ""
    minutes = delivery.health().trouble(here.clock() + 120 * SECOND)
    assert minutes == "1 entries wait, the oldest for 130 s: away for a while"
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

        def write(self, findings: Sequence[AlertEntry]) -> int:
            self.attempts += 1
            if self.attempts == 1:
                raise KeyError("oops")
            return super().write(findings)

    here, sink = Fixture(), Mistaken()
    here.append(an_entry(1))
    assert here.delivery(sink).drain()
    assert (ids(sink.findings), len(here.waits)) == (["0-1-0"], 1)


class Partial(MemorySink):
    """A sink that answers each write with the next of `answers`; what an answer doesn't hold back is kept."""

    def __init__(self, *answers: Exception | None) -> None:
        """Take the answers in this order, then take everything."""
        super().__init__()
        self.answers = list(answers)
        self.sizes: list[int] = []

    def write(self, findings: Sequence[AlertEntry]) -> int:
        """Answer."""
        self.sizes.append(len(findings))
        answer = self.answers.pop(0) if self.answers else None
        if isinstance(answer, SinkUnavailable) and answer.undelivered is not None:
            held = {*answer.undelivered, *answer.refused}
            super().write([entry for entry in findings if entry.id not in held])
        if answer:
            raise answer
        return super().write(findings)


def test_only_what_was_not_taken_is_written_again() -> None:
    """One answer may take, refuse and put off entries of one batch."""
    answer = SinkUnavailable("queue full", undelivered={"0-2-0", "0-4-0"}, refused={"0-3-0": "no field"})
    here, sink = Fixture(), Partial(answer)
    here.append(*(an_entry(offset) for offset in range(1, 6)))
    assert here.delivery(sink).drain()
    assert ids(sink.findings) == ["0-1-0", "0-5-0", "0-2-0", "0-4-0"]
    assert [reason for _, reason in here.letters.kept.values()] == ["no field"]
    assert sink.sizes == [5, 2]


def test_a_batch_that_is_too_large_goes_in_parts_and_one_entry_alone_is_put_aside() -> None:
    """Nothing is lost and nothing waits for what will never fit."""

    class Small(MemorySink):
        def write(self, findings: Sequence[AlertEntry]) -> int:
            if len(findings) > 2 or any(entry.id == "0-3-0" for entry in findings):
                raise SinkTooLarge("413")
            return super().write(findings)

    here, sink = Fixture(), Small()
    here.append(*(an_entry(offset) for offset in range(1, 8)))
    assert here.delivery(sink).drain()
    assert ids(sink.findings) == [f"0-{offset}-0" for offset in (1, 2, 4, 5, 6, 7)]
    assert [(entry.id, reason) for entry, reason in here.letters.kept.values()] == [("0-3-0", "413")]


def test_a_sink_says_how_long_it_is_to_be_left_alone() -> None:
    """`Retry-After` and refused credentials outweigh the host's own shorter wait."""
    here, sink = Fixture(), Partial(SinkUnavailable("busy", after_s=17), SinkDenied("wrong key"))
    here.append(an_entry(1))
    assert here.delivery(sink).drain()
    assert here.waits == [17, 300]


def test_what_a_sink_had_already_is_counted() -> None:
    """A repeat that the server recognised is delivered, and says so."""

    class Knowing(MemorySink):
        def write(self, findings: Sequence[AlertEntry]) -> int:
            super().write(findings)
            return 2

    here = Fixture()
    here.append(*(an_entry(offset) for offset in range(1, 6)))
    assert here.delivery(Knowing()).drain()
    assert here.metrics.value(numbers.KNOWN, sink="a") == 2
    assert here.metrics.value(numbers.DELIVERED, sink="a") == 5


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


def test_what_no_version_of_ours_wrote_is_the_sinks_to_refuse() -> None:
    """A filter looks into entries: one that can't be read must not stand in the way of all that come after it."""
    here, sink = Fixture(), MemorySink()
    bodies = (b"rubbish", b'{"x":' + b"[" * 5_000, an_entry(1).body.replace(b"cam", b"\xff"))
    strangers = [an_entry(number)._replace(id=f"strange-{number}", body=body) for number, body in enumerate(bodies, 1)]
    here.append(*strangers, an_entry(9))
    assert here.delivery(sink, where=Filter(severity="High")).drain()
    assert ids(sink.findings) == ["strange-1", "strange-2", "strange-3", "0-9-0"]


class TrimmedLog(MemoryLog):
    """A log whose entries before `first` are gone."""

    first = 0

    def alert_bounds(self) -> tuple[int, int]:
        """Begin at what is left."""
        return self.first, super().alert_bounds()[1]

    def poll_alerts(self, position: int, limit: int) -> list[AlertEntry]:
        """Leave out what is gone."""
        return super().poll_alerts(max(position, self.first), limit)


def test_what_retention_took_is_counted() -> None:
    """A sink that was away for longer than the log keeps does not go on in silence."""
    here, sink = Fixture(), MemorySink()
    here.log = log = TrimmedLog(here.clock)
    here.append(*(an_entry(offset) for offset in range(4)))
    delivery = here.delivery(sink)
    log.first = 2
    assert delivery.drain()
    assert ids(sink.findings) == ["0-2-0", "0-3-0"]
    assert here.metrics.value(numbers.MISSED, sink="a") == 2


def test_offsets_that_hold_no_entry_are_not_missed() -> None:
    """In a topic lie records of others, and the ends of their transactions: only what retention took is a loss."""

    class Gap(MemoryLog):
        def poll_alerts(self, position: int, limit: int) -> list[AlertEntry]:
            return [entry for entry in super().poll_alerts(position, limit) if entry.offset not in (0, 1)]

    here, sink = Fixture(), MemorySink()
    here.log = Gap(here.clock)
    here.append(*(an_entry(offset) for offset in range(4)))
    assert here.delivery(sink).drain()
    assert ids(sink.findings) == ["0-2-0", "0-3-0"]
    assert here.metrics.value(numbers.MISSED, sink="a") == 0


class GreedySink(MemorySink):
    """A memory sink that asks for another batch; `sizes` are those that it was given."""

    def __init__(self, batch: Batch) -> None:
        """Begin closed and empty."""
        super().__init__()
        self.batch = batch
        self.sizes: list[int] = []

    def write(self, findings: Sequence[AlertEntry]) -> int:
        """Keep them."""
        self.sizes.append(len(findings))
        return super().write(findings)


def test_a_sink_gets_batches_of_its_own_size() -> None:
    """However the log hands out its portions; the cursor moves once for each batch."""
    here, sink = Fixture(), GreedySink(Batch(1_200))
    here.append(*(an_entry(offset) for offset in range(2_500)))
    assert here.delivery(sink).drain()
    assert sink.sizes == [1_200, 1_200, 100]

    small = GreedySink(Batch(2))
    assert here.delivery(small, "b").step() == 2


def test_a_batch_ends_with_the_portion_that_makes_it_heavy() -> None:
    """Evidence counts: it is held in memory whether the sink wants it or not."""
    here, sink = Fixture(), GreedySink(Batch(10_000, bytes=2_500_000))
    here.append(*(an_entry(offset)._replace(evidence=(b"x" * 2_000,)) for offset in range(2_500)))
    assert here.delivery(sink).drain()
    assert sink.sizes == [1_000, 1_000, 500]


def test_a_batch_ends_where_the_log_can_be_read_no_further() -> None:
    """What was read goes out; the trouble is met when the next batch begins with it."""

    class Broken(MemoryLog):
        def poll_alerts(self, position: int, limit: int) -> list[AlertEntry]:
            if position >= POLL_ENTRIES:
                raise LogError("a record of a newer version")
            return super().poll_alerts(position, limit)

    here, sink = Fixture(stop_after=1), GreedySink(Batch(2_000))
    here.log = Broken(here.clock)
    here.append(*(an_entry(offset) for offset in range(2_500)))
    delivery = here.delivery(sink)
    assert delivery.step() == POLL_ENTRIES
    assert delivery.health().up
    assert delivery.step() == 0
    assert delivery.health().error == "a record of a newer version"


def test_what_retention_takes_between_two_portions_is_counted() -> None:
    """A gap begins a batch, so that it is seen."""

    class Trimmed(TrimmedLog):
        def poll_alerts(self, position: int, limit: int) -> list[AlertEntry]:
            self.first = 510 if position else 0
            return super().poll_alerts(position, limit)

    here, sink = Fixture(), GreedySink(Batch(2_000))
    here.log = Trimmed(here.clock)
    here.append(*(an_entry(offset) for offset in range(1_200)))
    assert here.delivery(sink).drain()
    assert sink.sizes == [500, 690]
    assert here.metrics.value(numbers.MISSED, sink="a") == 10


def test_run_opens_delivers_and_closes() -> None:
    """A stop between two batches ends it with the sink closed."""
    here, sink = Fixture(stop_after=1), MemorySink()
    here.append(*(an_entry(offset) for offset in range(POLL_ENTRIES + 1)))
    delivery = here.delivery(sink)
    delivery.run()
    assert len(sink.findings) == POLL_ENTRIES + 1
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
