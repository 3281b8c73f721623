"""The alert topic under its readers: cursors, retention, what is no alert, topics made anew, and the incident stage on top."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest
from tests.reference.plant import ALERTS, AlertReading, Plant

from spikebridge.alerts import Alert, AlertEntry, DeviceInfo, RuleInfo, alert_entry
from spikebridge.correlate import READER, IncidentStage
from spikebridge.errors import LogError, LogReplaced, LogUnavailable, SchemaError
from spikebridge.kafka.client import Fetched, Partition, Place
from spikebridge.limits import MINUTE, SECOND
from spikebridge.logs import Cursor
from spikebridge.logs.kafka import sealed
from spikebridge.logs.kafka.alerts import AlertPartition
from spikebridge.logs.kafka.intake import Intake
from spikebridge.mapping.rules import Condition, IncidentRule, RuleSet
from spikebridge.metrics import Metrics

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spikebridge.kafka.client import Reader

HERE = Partition(ALERTS, 0)
SILENCE = RuleInfo(id="silence", kind="absence", threat="Silent", severity="High", digest="s")


def an_alert(number: int, device: str = "cam") -> AlertEntry:
    """Return an alert of a device; all at about the same time, on one site."""
    alert = Alert(
        id=f"id-{number}", tenant="default", log="log", partition=0, offset=number, ordinal=0, revision=1, revision_digest="",
        rule=SILENCE, device=DeviceInfo(id=device, site="east"), group=[device], time_ns=number, time_source="log", append_ns=number,
        interval_start_ns=0, interval_ns=60, first_ns=0, last_ns=0, count=1,
    )  # fmt: skip
    return alert_entry(alert, ())


@pytest.fixture
def plant() -> Plant:
    """Begin with an incident rule: two devices of a site silent within a minute."""
    plant = Plant()
    info = RuleInfo(id="site-down", kind="value_count", threat="Site down", severity="Critical", digest="i", within_ns=MINUTE)
    rule = IncidentRule(info=info, rules=["silence"], group_by=["site"], condition=Condition(gte=2, field="device"))
    plant.publish(RuleSet(incidents=[rule]))
    return plant


def append(plant: Plant, *entries: AlertEntry) -> None:
    """Append as the spikes stage does, each a second after the one before."""
    for entry in entries:
        plant.topic().append([entry])
        plant.sleep(1)


def ids(entries: Sequence[AlertEntry]) -> list[str]:
    """Return what they are called."""
    return [entry.id for entry in entries]


def test_a_poll_waits_for_what_is_there(plant: Plant) -> None:
    """Nothing is returned only at the end."""
    append(plant, *map(an_alert, range(5)))
    plant.kafka.fetch = 2
    reader = plant.reader("store")
    assert ids(reader.log.poll_alerts(0, 4)) == ["id-0", "id-1"]
    assert ids(reader.log.poll_alerts(2, 4)) == ["id-2", "id-3"]
    assert ids(reader.log.poll_alerts(4, 4)) == ["id-4"]
    assert reader.log.poll_alerts(5, 4) == []


class Counting:
    """A reader that counts how often it is sent to a position; one that is `deaf` brings nothing by itself."""

    def __init__(self, reader: Reader, *, deaf: bool = False) -> None:
        """Wrap it."""
        self._reader = reader
        self._deaf = deaf
        self.follows = 0

    def follow(self, partition: Partition, offset: int) -> None:
        """Count."""
        self.follows += 1
        self._reader.follow(partition, offset)

    def poll(self, wait_s: float) -> Fetched:
        """Bring nothing, or what there is."""
        fetched = self._reader.poll(wait_s)
        return Fetched() if self._deaf else fetched

    def __getattr__(self, name: str) -> Any:
        """Hand the rest through."""
        return getattr(self._reader, name)


def reading(plant: Plant, reader: Counting) -> AlertPartition:
    """Read the alert topic through a reader of a test."""
    intake = Intake(cast("Reader", reader), plant.monotonic)
    return AlertPartition(plant.home(ALERTS), HERE, plant.member("store", ALERTS), intake)


def test_records_that_do_not_come_are_said_so(plant: Plant) -> None:
    """After some time; the log goes on as soon as they do."""
    append(plant, *map(an_alert, range(3)))
    log = reading(plant, Counting(plant.kafka.client().reader(), deaf=True))
    began = plant.clock.monotonic()
    with pytest.raises(LogUnavailable, match="alerts-0: nothing came from record 1 on within 5 s"):
        log.poll_alerts(1, 4)
    assert 5 * SECOND <= plant.clock.monotonic() - began < 6 * SECOND
    assert log.left(1) == 2


@pytest.mark.parametrize("skipped", [1, 2_500])
def test_offsets_without_a_record_at_the_end_are_the_end(plant: Plant, skipped: int) -> None:
    """As a transaction leaves them: no reader fails for ever, waits for them again, or counts them as left to do."""
    append(plant, *map(an_alert, range(2)))
    plant.kafka.partition(ALERTS).skip(skipped)
    log = reading(plant, reader := Counting(plant.kafka.client().reader()))
    assert ids(log.poll_alerts(0, 4)) == ["id-0", "id-1"]
    assert log.poll_alerts(2, 4) == []
    assert log.left(2) == 0
    began, follows = plant.clock.monotonic(), reader.follows
    for _ in range(5):
        assert log.poll_alerts(2, 4) == []
    assert plant.clock.monotonic() - began < SECOND
    assert reader.follows == follows
    append(plant, an_alert(7))
    assert ids(log.poll_alerts(2, 4)) == ["id-7"]


def test_what_retention_has_dropped_is_left_out_and_told_once(plant: Plant, caplog: pytest.LogCaptureFixture) -> None:
    """Also when all of it is gone: a sink that is away for long asks again and again."""
    append(plant, *map(an_alert, range(9)))
    reader = plant.reader("store")
    assert len(reader.log.poll_alerts(0, 2)) == 2
    plant.kafka.partition(ALERTS).drop_before(5)
    for _ in range(20):
        plant.sleep(0.5)
        found = reader.log.poll_alerts(2, 2)
    assert [entry.offset for entry in found] == [5, 6]
    assert reader.log.alert_bounds() == (5, 9)
    assert caplog.text.count("alerts-0: 2 to 4 are gone, the topic holds 5 to 8") == 1

    plant.kafka.partition(ALERTS).drop_before(9)
    caplog.clear()
    reader = plant.reader("store")
    for _ in range(20):
        plant.sleep(0.5)
        assert reader.log.poll_alerts(7, 2) == []
    assert caplog.text.count("are gone") == 1
    append(plant, an_alert(9))
    assert ids(reader.log.poll_alerts(7, 2)) == ["id-9"]


def test_what_is_no_alert_is_passed_over_told_and_counted_once(plant: Plant, caplog: pytest.LogCaptureFixture) -> None:
    """One record that somebody else wrote must not stop every sink for ever; also where it is the first that retention has left."""
    append(plant, an_alert(0))
    plant.kafka.append(ALERTS, [b"rubbish", b"", b"more"])
    append(plant, an_alert(1))
    reader = plant.reader("store")
    plant.kafka.partition(ALERTS).drop_before(1)
    for limit in (9, 1, 2, 9):
        position, found = 0, list[str]()
        while entries := reader.log.poll_alerts(position, limit):
            found += ids(entries)
            position = entries[-1].offset + 1
        assert found == ["id-1"]
    for offset in (1, 2, 3):
        assert caplog.text.count(f"alerts-0: record {offset} is no entry of an alert log") == 1
    assert reader.foreign == 3


def test_what_was_passed_over_at_the_end_is_not_fetched_again(plant: Plant) -> None:
    """An idle reader looks many times a second, and its cursor stays where the last entry was."""
    append(plant, an_alert(0))
    plant.kafka.append(ALERTS, [b"rubbish" * 300] * 3_000)
    plant.sleep(2)
    log = reading(plant, reader := Counting(plant.kafka.client().reader()))
    assert log.poll_alerts(1, 500) == []
    assert log.left(1) == 0
    follows = reader.follows
    for _ in range(10):
        assert log.poll_alerts(1, 500) == []
        plant.sleep(1)
    assert reader.follows == follows
    append(plant, an_alert(1))
    for _ in range(2):
        assert ids(log.poll_alerts(1, 500)) == ["id-1"]
    assert ids(log.poll_alerts(0, 500)) == ["id-0"]


def test_an_alert_of_a_newer_version_waits_for_the_upgrade(plant: Plant) -> None:
    """What lies before it is delivered."""
    append(plant, an_alert(0))
    value = sealed.seal(an_alert(1))
    plant.kafka.append(ALERTS, [value[:1] + b"\x02" + value[2:]])
    reader = plant.reader("store")
    assert ids(reader.log.poll_alerts(0, 9)) == ["id-0"]
    for _ in range(2):
        with pytest.raises(SchemaError, match="record 1 of the alert log was written by a newer version"):
            reader.log.poll_alerts(1, 9)


def test_a_cursor_of_another_topic_is_none(plant: Plant, caplog: pytest.LogCaptureFixture) -> None:
    """The topic was made anew: it is read from its beginning, and a life in the middle of it ends."""
    append(plant, *map(an_alert, range(3)))
    reader = plant.reader("store")
    reader.log.advance("store", Cursor(3, {5: (2, 0)}))
    reader.member.settle(HERE)
    plant.kafka.create(ALERTS)
    append(plant, an_alert(7))
    with pytest.raises(LogReplaced, match="alerts-0: the topic was deleted and made again"):
        reader.log.poll_alerts(3, 9)

    again = plant.reader("store")
    assert again.log.cursor("store") is None
    assert "alerts-0 was read under another id, so it was made anew: reading it from its beginning" in caplog.text
    assert again.log.alert_bounds()[0] == 0
    assert ids(again.log.poll_alerts(0, 9)) == ["id-7"]


def test_a_cursor_behind_the_end_begins_anew(plant: Plant, caplog: pytest.LogCaptureFixture) -> None:
    """Alerts were lost with a broker; what was seen of each input stays known."""
    append(plant, *map(an_alert, range(3)))
    reader = plant.reader("store")
    reader.log.advance("store", Cursor(3, {5: (2, 0)}))
    reader.member.settle(HERE)
    plant.kafka.partition(ALERTS).truncate(1)

    assert plant.reader("store").log.cursor("store") == Cursor(0, {5: (2, 0)})
    assert "alerts-0 ends at 1, before the cursor 3: reading it anew" in caplog.text


def test_a_position_of_another_tool_is_read_on_from_and_told(plant: Plant, caplog: pytest.LogCaptureFixture) -> None:
    """Somebody moved the group, perhaps past alerts that nobody has seen; a newer version's commit is not guessed at."""
    append(plant, *map(an_alert, range(3)))
    reader = plant.reader("store")
    plant.kafka.groups["store"].positions[HERE] = Place(2, "moved by hand")
    assert reader.log.cursor("store") == Cursor(2)
    assert caplog.text.count("store: alerts-0: the committed position 2 is not ours: going on from there") == 1
    reader.log.advance("store", Cursor(2))
    reader.member.settle(HERE)
    assert reader.log.cursor("store") == Cursor(2)
    assert caplog.text.count("is not ours") == 1
    plant.kafka.groups["store"].positions[HERE] = Place(2, "5abc")
    with pytest.raises(SchemaError, match="newer version"):
        reader.log.cursor("store")


def test_inputs_that_have_no_room_in_a_commit_are_told_once(plant: Plant, caplog: pytest.LogCaptureFixture) -> None:
    """The cursor is kept all the same."""
    reader = plant.reader("store")
    for position in range(1, 4):
        reader.log.advance("store", Cursor(position, {number << 40: (number, 0) for number in range(900)}))
    reader.member.settle(HERE)

    assert plant.kafka.groups["store"].positions[HERE].offset == 3
    assert caplog.text.count("of 900 inputs: their repeats may be read twice") == 1


class Stage:
    """An incident stage in a life of its own."""

    def __init__(self, plant: Plant) -> None:
        """Rewind."""
        self.reading: AlertReading = plant.reader(READER, appends=True)
        self.stage = IncidentStage("default", self.reading.log, plant.revisions(), Metrics(), plant.clock)
        self.stage.open()

    def drain(self) -> None:
        """Correlate to the end, and have the cursor committed."""
        self.stage.drain()
        for _ in range(3):
            self.reading.member.hear()


def incidents(plant: Plant) -> list[tuple[str, int, bytes]]:
    """Return the incidents as they lie in the topic."""
    return [(entry.id, entry.version, entry.body) for entry in plant.entries() if entry.kind == "incident"]


@pytest.mark.parametrize("fault", ["before", "after", "cursor", ""])
def test_incidents_repeated_after_a_crash_are_the_same(plant: Plant, fault: str) -> None:
    """Between the append and the cursor, or in the append itself: the same id, version and bytes, whatever came meanwhile."""
    names = ("cam", "lock", "hub", "arm")
    for number in range(12):
        append(plant, an_alert(number, names[number % 4] + str(number // 4)))
        plant.sleep(2)
        stage = Stage(plant)
        if fault == "cursor":
            plant.kafka.commits += ["no coordinator"]
        elif fault == "before":
            plant.kafka.appends.append("before")
        elif fault:
            plant.kafka.appends.append("after")
        try:
            stage.drain()
        except LogUnavailable:
            assert fault in ("before", "after")
        plant.kafka.appends.clear()
        plant.kafka.commits.clear()
    plant.sleep(2)
    last = Stage(plant)
    last.drain()
    last.stage.close()
    last.reading.member.close()

    found = incidents(plant)
    copies: dict[tuple[str, int], set[bytes]] = {}
    for name, version, body in found:
        copies.setdefault((name, version), set()).add(body)
    assert all(len(bodies) == 1 for bodies in copies.values())
    assert max(version for _, version, _ in found) == 12
    assert (len(found) > len(copies)) == (fault in ("after", "cursor"))


def test_what_the_incident_stage_could_not_append_it_appends_next(plant: Plant) -> None:
    """Nothing is lost and nothing is evaluated a second time."""
    append(plant, an_alert(1), an_alert(2, "lock"))
    stage = Stage(plant)
    plant.kafka.appends += ["before", "after"]
    for _ in range(2):
        with pytest.raises(LogError):
            stage.stage.step()
    stage.drain()
    found = incidents(plant)
    assert len(found) == 2
    assert len(set(found)) == 1
