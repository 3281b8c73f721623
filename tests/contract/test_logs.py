"""What every log promises, over all that the registry names and the log in memory: a new one can't be left out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.reference.plant import AlertReading, Plant
from tests.reference.simulation import rule

from spikebridge import registry
from spikebridge.alerts import Alert, AlertEntry, DeviceInfo, alert_entry
from spikebridge.errors import LogError, LogMissing, SchemaError
from spikebridge.logs import Commit, Cursor
from spikebridge.logs.spool import Spool
from spikebridge.testing import FakeClock, MemoryLog

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from spikebridge.alerts import AlertReaders
    from spikebridge.logs import Revisions, SpikeLog

    Opener = Callable[[Path, FakeClock, Sequence[bytes]], SpikeLog]

SECOND = 1_000_000_000
VALUES = [b'{"device_id": "cam", "neuron_id": 4, "time": %d}' % (1_700_000_000 + second) for second in range(6)]


def memory(_: Path, clock: FakeClock, values: Sequence[bytes]) -> SpikeLog:
    """Append the values, a second apart."""
    return _filled(MemoryLog(clock), clock, values)


def spool(directory: Path, clock: FakeClock, values: Sequence[bytes]) -> SpikeLog:
    """Append the values, a second apart."""
    return _filled(registry.load("logs", "spool")(directory, clock=clock, monotonic=clock.monotonic), clock, values)


def recording(directory: Path, clock: FakeClock, values: Sequence[bytes]) -> SpikeLog:
    """Write the values to a file."""
    path = directory / "recording.jsonl"
    path.write_bytes(b"".join(value + b"\n" for value in values))
    log: SpikeLog = registry.load("logs", "recording")(path, clock())
    return log


def kafka(_: Path, clock: FakeClock, values: Sequence[bytes]) -> SpikeLog:
    """Append the values to a topic, a second apart."""
    return _filled(Plant(clock=clock).arriving(), clock, values)


def _filled(log: Any, clock: FakeClock, values: Sequence[bytes]) -> SpikeLog:
    for value in values:
        log.append([value])
        clock.advance(SECOND)
    filled: SpikeLog = log
    return filled


def _close(log: SpikeLog) -> None:
    if isinstance(log, Spool):
        log.close()


OPENERS: dict[str, Opener] = {"kafka": kafka, "memory": memory, "recording": recording, "spool": spool}


@pytest.fixture(params=sorted(OPENERS))
def opener(request: pytest.FixtureRequest) -> Opener:
    """Take each log in turn."""
    return OPENERS[request.param]


@pytest.fixture
def log(opener: Opener, tmp_path: Path) -> Iterator[SpikeLog]:
    """Open a log with six records, a second apart."""
    opened = opener(tmp_path, FakeClock(1_700_000_000 * SECOND), VALUES)
    yield opened
    _close(opened)


def test_no_log_is_left_out() -> None:
    """Whatever the registry names is opened here."""
    assert sorted([*registry.names("logs"), "memory"]) == sorted(OPENERS)


def test_records_come_in_order_with_offset_and_append_time(log: SpikeLog) -> None:
    """Polled at once, all that was appended, as it was appended."""
    records = log.poll(0, 1 << 20)

    assert [record.value for record in records] == VALUES
    assert [record.offset for record in records] == list(range(6))
    assert [record.append_ns for record in records] == [(1_700_000_000 + second) * SECOND for second in range(6)]
    assert log.bounds() == (0, 6)
    assert log.last_append_ns() == records[-1].append_ns


def test_a_poll_keeps_to_its_size_but_never_starves(log: SpikeLog) -> None:
    """As many as fit, one if none fits, none at the end."""
    assert [record.offset for record in log.poll(1, 2 * len(VALUES[0]))] == [1, 2]
    assert [record.offset for record in log.poll(1, 2 * len(VALUES[0]) - 1)] == [1]
    assert [record.offset for record in log.poll(5, 1)] == [5]
    assert log.poll(6, 1) == []


def test_a_position_outside_the_log_is_missing(log: SpikeLog) -> None:
    """Never an empty answer for records that are not there."""
    for position in (-1, 7):
        with pytest.raises(LogMissing, match=f"record {position} is not in the"):
            log.poll(position, 1 << 20)


def test_single_records_are_read_by_offset(log: SpikeLog) -> None:
    """In the order asked for; what is not there is left out."""
    assert [record.value for record in log.read([4, 99, 1])] == [VALUES[4], VALUES[1]]
    assert log.read([]) == []


def test_offsets_are_found_by_append_time(log: SpikeLog) -> None:
    """The first record of that time or later, the end when there is none."""
    times = [record.append_ns for record in log.poll(0, 1 << 20)]

    assert [log.offset_at(times[0]), log.offset_at(times[3]), log.offset_at(times[3] + 1)] == [0, 3, 4]
    assert log.offset_at(0) == 0
    assert log.offset_at(times[-1] + 1) == 6


def test_an_empty_log_has_an_end_and_a_name(opener: Opener, tmp_path: Path) -> None:
    """Nothing in it, nothing wrong with it."""
    log = opener(tmp_path, FakeClock(), [])

    assert log.id
    assert log.partition == 0
    assert log.poll(0, 1) == []
    assert log.bounds() == (0, 0)
    assert log.offset_at(0) == 0
    assert log.last_append_ns() == 0
    _close(log)


def test_an_append_counts_whole_or_is_refused(log: SpikeLog) -> None:
    """A log that takes appends gives them a run of offsets; one that doesn't says so."""
    try:
        first = log.append([b"a", b"b"])
    except LogError:
        assert log.bounds() == (0, 6)
    else:
        assert first == 6
        assert [record.value for record in log.poll(6, 100)] == [b"a", b"b"]
        assert log.append([]) == 8


class Kept(NamedTuple):
    """What a log keeps beside spikes: `reader` opens the alert log under a name, again and again, `settle` has cursors committed."""

    clock: FakeClock
    append: Callable[[Sequence[AlertEntry]], None]
    reader: Callable[[str], AlertReaders]
    settle: Callable[[], None]
    revisions: Revisions


@pytest.fixture(params=["kafka", "memory", "spool"])
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Kept]:
    """Open an empty one of each; a recording keeps nothing."""
    clock = FakeClock(1_700_000_000 * SECOND)
    if request.param == "kafka":
        yield _kept_in_topics(Plant(clock=clock))
        return
    log = MemoryLog(clock) if request.param == "memory" else Spool(tmp_path, clock=clock, monotonic=clock.monotonic)
    yield Kept(clock, lambda entries: log.commit(entries, Commit(0, 0, ())), lambda _: log, lambda: None, log)
    if isinstance(log, Spool):
        log.close()


def _kept_in_topics(plant: Plant) -> Kept:
    opened: list[AlertReading] = []

    def reader(name: str) -> AlertReaders:
        opened.append(plant.reader(name, appends=True))
        return opened[-1].log

    def settle() -> None:
        for one in opened:
            one.member.hear()
            one.member.hear()

    return Kept(plant.clock, lambda entries: plant.topic().append(entries), reader, settle, plant.revisions())


def test_what_keeps_alerts_and_revisions_is_not_left_out() -> None:
    """All but a recording do."""
    assert set(OPENERS) - {"recording"} == {"kafka", "memory", "spool"}


def alert(number: int) -> AlertEntry:
    """Return an alert of a device without a site."""
    info = rule("single", (5, 5)).info
    found = Alert(
        id=f"id-{number}", tenant="default", log="log", partition=0, offset=number, ordinal=0, revision=1, revision_digest="", rule=info,
        device=DeviceInfo(id="cam"), group=["cam"], time_ns=0, time_source="log", append_ns=0, interval_start_ns=0, interval_ns=1,
        first_ns=0, last_ns=0, count=1,
    )  # fmt: skip
    return alert_entry(found, (b"frame", b""))


def test_alerts_come_in_order_with_offset_and_append_time(kept: Kept) -> None:
    """As many as asked for, none at the end, as they were appended."""
    for number in range(5):
        kept.append([alert(number)])
        kept.clock.advance(SECOND)
    reader = kept.reader("store")
    found = reader.poll_alerts(0, 99)
    first = found[0].offset

    assert [one._replace(offset=-1, append_ns=0) for one in found] == [alert(number) for number in range(5)]
    assert [one.offset for one in found] == [*range(first, first + 5)]
    assert [one.append_ns for one in found] == [(1_700_000_000 + second) * SECOND for second in range(5)]
    assert [one.id for one in reader.poll_alerts(first + 1, 2)] == ["id-1", "id-2"]
    assert reader.poll_alerts(first + 2, 1) == [found[2]]
    assert reader.poll_alerts(first + 5, 9) == []
    assert reader.alert_bounds() == (first, first + 5)
    assert [reader.alert_offset_at(found[at].append_ns) for at in (0, 3)] == [first, first + 3]
    assert reader.alert_offset_at(found[4].append_ns + 1) == first + 5


def test_each_reader_has_a_cursor_of_its_own(kept: Kept) -> None:
    """None before the first, and kept for the next life of the reader."""
    store, splunk = kept.reader("store"), kept.reader("splunk")
    assert store.cursor("store") is None
    kept.append([alert(number) for number in range(4)])
    kept.clock.advance(2 * SECOND)
    moved = Cursor(store.poll_alerts(0, 9)[2].offset, {(1 << 60) + 5: (7, 0), 3: (1 << 50, 2)})
    store.advance("store", moved)
    assert store.cursor("store") == moved
    assert splunk.cursor("splunk") is None

    splunk.advance("splunk", Cursor(1))
    kept.settle()
    assert kept.reader("store").cursor("store") == moved
    assert kept.reader("splunk").cursor("splunk") == Cursor(1)


def test_what_a_reader_makes_of_alerts_is_appended_with_its_cursor(kept: Kept) -> None:
    """Behind them, for every reader."""
    kept.append([alert(1)])
    reader = kept.reader("incidents")
    position = reader.poll_alerts(0, 9)[0].offset + 1
    reader.advance("incidents", Cursor(position), [alert(2), alert(3)])

    kept.clock.advance(2 * SECOND)
    assert [one.id for one in kept.reader("store").poll_alerts(0, 9)] == ["id-1", "id-2", "id-3"]
    assert [one.id for one in reader.poll_alerts(position, 9)] == ["id-2", "id-3"]
    assert reader.cursor("incidents") == Cursor(position)


def test_an_entry_of_a_kind_that_only_a_newer_version_knows_waits_for_the_upgrade(kept: Kept) -> None:
    """What lies before it is read, and it is never passed over: not by asking again, not for what lies behind it."""
    kind: Any = "decision"
    kept.append([alert(0), alert(1)._replace(kind=kind), alert(2)])
    kept.clock.advance(2 * SECOND)
    reader = kept.reader("store")
    assert [one.id for one in reader.poll_alerts(0, 9)] == ["id-0"]
    position = reader.poll_alerts(0, 1)[0].offset + 1
    for limit in (1, 9):
        with pytest.raises(
            SchemaError, match=f"record {position} of the alert log is of the kind 'decision', .*: upgrade this one"
        ):
            reader.poll_alerts(position, limit)
    assert [one.id for one in reader.poll_alerts(position + 1, 9)] == ["id-2"]


def test_a_revision_has_a_number_that_never_means_another(kept: Kept) -> None:
    """Higher with each content, the same for the newest one again; going back is a new one."""
    revisions = kept.revisions
    assert revisions.newest() is None
    assert revisions.revision(1) is None
    contents = [b"a", b"b" * 1_200_000, b"a", b""]
    numbers = []
    for content in contents:
        numbers.append(revisions.publish(content))
        assert revisions.publish(content) == numbers[-1] == revisions.newest()

    assert numbers == sorted(set(numbers))
    assert [revisions.revision(number) for number in numbers] == contents
    assert [revisions.revision(number) for number in (-1, numbers[-1] + 1)] == [None, None]


def entry(number: int, offset: int, ordinal: int) -> AlertEntry:
    """Return an alert of a place in the log."""
    return AlertEntry(f"id-{number}", "alert", 1, (0, offset, ordinal), b"body %d" % number, (b"frame", b""))


NUMBERS = st.integers(0, 12)
READERS = st.sampled_from(["store", "splunk", "incidents"])
ENTRIES = st.lists(st.builds(entry, NUMBERS, NUMBERS, NUMBERS), max_size=3)
CURSORS = st.builds(Cursor, NUMBERS, st.dictionaries(st.integers(0, 3), st.tuples(NUMBERS, NUMBERS), max_size=2))
COMMITS = st.builds(Commit, NUMBERS, NUMBERS, st.lists(st.tuples(NUMBERS, NUMBERS), max_size=3).map(tuple), st.just(0))
"""The spool never loses its end, so it keeps no life."""

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.lists(st.binary(max_size=8), max_size=4)),
        st.tuples(st.just("poll"), NUMBERS, st.integers(1, 20)),
        st.tuples(st.just("read"), st.lists(NUMBERS, unique=True)),
        st.tuples(st.just("offset_at"), st.integers(0, 40)),
        st.tuples(st.just("commit"), ENTRIES, COMMITS),
        st.tuples(st.just("advance"), READERS, CURSORS, ENTRIES),
        st.tuples(st.just("cursor"), READERS),
        st.tuples(st.just("poll_alerts"), NUMBERS, st.integers(1, 5)),
        st.tuples(st.just("alert_offset_at"), st.integers(0, 40)),
        st.tuples(st.just("publish"), st.sampled_from([b"a", b"b"])),
        st.tuples(st.just("revision"), st.integers(-1, 4)),
        *(st.tuples(st.just(name)) for name in ("bounds", "last_append_ns", "now_ns", "committed", "alert_bounds", "newest")),
        st.tuples(st.just("wait"), st.integers(0, 5)),
    ),
    max_size=25,
)


def answer(log: Spool | MemoryLog, name: str, arguments: Sequence[Any]) -> object:
    """Ask one thing; a position outside the log is an answer too."""
    try:
        return getattr(log, name)(*arguments)
    except LogMissing:
        return LogMissing


@given(STEPS)
def test_the_spool_and_the_log_in_memory_can_not_be_told_apart(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[Any, ...]]
) -> None:
    """Whatever is asked of both, in whatever order, they say the same; so what holds over the fake holds over the spool."""
    clock = FakeClock(0)
    model = MemoryLog(clock)
    with registry.load("logs", "spool")(tmp_path_factory.mktemp("spool"), clock=clock, monotonic=clock.monotonic) as log:
        for name, *arguments in steps:
            if name == "wait":
                clock.advance(*arguments)
            else:
                assert answer(log, name, arguments) == answer(model, name, arguments), (name, arguments)
