"""The spikes stage over Kafka: what is acknowledged when, what a takeover repeats, and what it does where the log isn't what it was."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest
from tests.live.delivering import an_alert
from tests.reference.plant import ALERTS, HERE, REVISIONS, SPIKES, Owner, Plant, refusal
from tests.reference.simulation import LIMITS, absence, rule

from spikebridge.alerts import DeviceInfo, read_finding
from spikebridge.app.chosen import RevisionsWithoutAbsence
from spikebridge.delivery import without_repeats
from spikebridge.errors import LogMissing, LogRefused, LogReplaced, LogUnavailable, SchemaError
from spikebridge.kafka.client import Partition, Place
from spikebridge.logs import Cursor
from spikebridge.logs.kafka import sealed
from spikebridge.mapping.rules import Device, RuleSet

if TYPE_CHECKING:
    from spikebridge.alerts import AlertEntry

SPIKE = msgspec.json.encode({"device_id": "cam", "neuron_id": 5})
OTHER = msgspec.json.encode({"device_id": "cam", "neuron_id": 6})
CAMERA = Device(info=DeviceInfo(id="cam", known=True))


def rules(*neurons: int, silent: int = 0) -> RuleSet:
    """Make a rule set of one rule for each neuron, and one for silence."""
    some = [rule(f"neuron-{neuron}", (neuron, neuron), suppress=1) for neuron in neurons]
    return RuleSet(rules=[*some, *([absence("silent", silent)] if silent else [])], devices=[CAMERA], limits=LIMITS)


@pytest.fixture
def plant() -> Plant:
    """Publish a rule of one neuron."""
    plant = Plant()
    plant.publish(rules(5))
    return plant


def told(entries: list[AlertEntry]) -> list[tuple[int, str]]:
    """Return the record and rule of each alert."""
    return [(entry.source[1], read_finding(entry.body).rule.id) for entry in entries]


def test_the_first_commit_is_certain_before_the_first_alert(plant: Plant) -> None:
    """It says where the partition starts and with which revision; without it nothing is matched."""
    plant.append(SPIKE)
    plant.kafka.commits += ["no coordinator"] * 10_000
    owner = Owner(plant)
    with pytest.raises(LogUnavailable, match="could not be committed within 5 s: no coordinator"):
        owner.stage.rewind()
    assert plant.entries() == []

    plant.kafka.commits.clear()
    plant.sleep(1)
    owner.open()
    commit = plant.known()
    assert commit is not None
    assert commit.position == 0
    assert commit.pairs == ((0, owner.stage.revision.number),)
    owner.drain()
    assert told(plant.entries()) == [(0, "neuron-5")]


def test_the_position_follows_the_alerts(plant: Plant) -> None:
    """A batch with alerts commits at once, one without at most once a second; alerts carry the number of their input."""
    owner = Owner(plant).open()
    plant.append(SPIKE, SPIKE)
    owner.drain()
    plant.append(OTHER)
    plant.append(OTHER)
    owner.drain()

    commit = plant.known()
    assert commit is not None
    assert commit.position == 4
    assert commit.append_ns == plant.kafka.partition(SPIKES).records[3].append_ns
    assert [entry.source for entry in plant.entries()] == [(plant.home(SPIKES).input(0), offset, 0) for offset in (0, 1)]
    assert {record.key for record in plant.kafka.partition(ALERTS).records} == {b"default"}


@pytest.mark.parametrize("fault", ["before", "half", "after"])
def test_a_producer_that_fails_only_repeats_the_same_bytes(plant: Plant, fault: str) -> None:
    """Before, amid or after the append: nothing is lost, nothing differs, and the position never runs ahead."""
    owner = Owner(plant).open()
    plant.append(*[SPIKE] * 6)
    plant.kafka.appends.append(fault)  # type: ignore[arg-type]
    owner.intake.fill(0.0)
    assert owner.step() == 0
    with pytest.raises(LogUnavailable, match="no answer came"):
        owner.step()
    commit = plant.known()
    assert commit is not None
    assert commit.position == 0
    assert owner.stage.pending
    owner.drain()

    found = plant.bodies()
    assert [entry.source[1] for entry in found] == {"before": [], "half": [0, 1, 2], "after": [*range(6)]}[fault] + [*range(6)]
    assert len(set(found)) == 6


def test_what_a_broker_refuses_for_another_reason_than_its_size_waits(plant: Plant) -> None:
    """A clock that is a day ahead, a policy: mended, every alert is in its topic and none became a dead letter."""
    owner = Owner(plant).open()
    plant.append(*[SPIKE] * 3)
    plant.kafka.appends.append("refused")
    owner.intake.fill(0.0)
    assert owner.step() == 0
    with pytest.raises(LogRefused, match="out of acceptable range"):
        owner.step()
    commit = plant.known()
    assert (commit and commit.position, plant.refused, plant.entries()) == (0, [], [])

    owner.drain()
    assert [entry.source[1] for entry in plant.entries()] == [0, 1, 2]
    assert plant.refused == []


def test_the_neighbours_of_alerts_that_are_too_large_are_appended_once_and_in_order() -> None:
    """Those before one and behind it; each that is too large is kept, with the topic's reason."""
    plant = Plant()
    plant.kafka.create(ALERTS, configs={"max.message.bytes": "20000"})
    large = {3, 4, 9}
    entries = [an_alert(number, "acme", explanation="x" * (30_000 if number in large else 10)) for number in range(10)]
    plant.topic().append(entries)
    assert [entry.id for entry in plant.entries()] == [entry.id for number, entry in enumerate(entries) if number not in large]
    assert [entry.id for entry, _ in plant.refused] == [entries[number].id for number in sorted(large)]
    assert all("more than the topic takes" in reason for _, reason in plant.refused)


def test_a_commit_tried_again_appends_nothing_that_was_acknowledged(plant: Plant) -> None:
    """What failed was the position alone."""
    owner = Owner(plant).open()
    plant.append(SPIKE)
    owner.drain()
    entry = plant.bodies()[0]
    commit = plant.known()
    assert commit is not None
    later = entry._replace(id="later", source=(0, 1, 0))
    owner.member.forget(HERE)
    plant.kafka.commits += ["no coordinator"] * 10_000
    for _ in range(3):
        with pytest.raises(LogUnavailable):
            owner.commits.commit([entry._replace(source=(0, 0, 0)), later], commit, certain=True)
    plant.kafka.commits.clear()
    plant.sleep(1)
    owner.commits.commit([later, later._replace(id="last", source=(0, 1, 1))], commit, certain=True)

    assert [entry.id for entry in plant.entries()[1:]] == ["later", "last"]


def test_a_takeover_repeats_at_most_what_was_not_committed(plant: Plant) -> None:
    """The same ids with the same bytes, whoever computes them, though both append."""
    first = Owner(plant).open()
    plant.append(*[SPIKE] * 40)
    first.drain()
    second = Owner(plant).open()
    plant.append(*[SPIKE] * 10)
    first.drain()
    second.drain()

    found = plant.bodies()
    assert [entry.source[1] for entry in found] == [*range(50), *range(40, 50)]
    assert found[40:50] == found[50:]


def gaps(plant: Plant) -> list[int]:
    """Return the records at which a gap was raised."""
    return [offset for offset, name in told(plant.entries()) if name == "log_gap"]


@pytest.mark.parametrize("metadata", ["", "of another tool", '{"cluster": 1}'])
def test_a_position_without_our_metadata_begins_anew_with_a_gap(
    plant: Plant, metadata: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Somebody set the offsets: nothing is matched in silence, and what happened is raised where alerts are new."""
    Owner(plant).open().leave()
    plant.append(*[SPIKE] * 5)
    for position, gap in ((3, 3), (4_000, 6)):
        plant.kafka.partition(ALERTS).truncate(0)
        plant.kafka.groups["stage"].positions[HERE] = Place(position, metadata)
        owner = Owner(plant).open()
        assert f"the committed position {position} is not ours or of another topic of this name" in caplog.text
        owner.drain()
        plant.append(SPIKE)
        owner.drain()
        assert {offset for offset, name in told(plant.entries()) if name == "neuron-5"} >= {0, 1, 2, 3, 4, 5}
        assert gaps(plant) == [gap]
        owner.leave()


def test_a_commit_of_a_newer_version_stops_the_partition(plant: Plant) -> None:
    """It must not be guessed at."""
    Owner(plant).open().leave()
    plant.kafka.groups["stage"].positions[HERE] = Place(0, "3abc")
    owner = Owner(plant)
    with pytest.raises(SchemaError, match="newer version"):
        owner.stage.rewind()


def test_a_topic_made_anew_is_another_log_and_begins_with_a_gap(plant: Plant) -> None:
    """Seen while reading and at a start; its first records are read, ids of alerts are its own."""
    owner = Owner(plant).open()
    plant.append(SPIKE, SPIKE, SPIKE)
    owner.drain()
    before = plant.bodies()
    plant.kafka.create(SPIKES)
    plant.append(SPIKE, SPIKE)
    plant.sleep(1)
    with pytest.raises(LogReplaced, match=r"spikes-0: the topic was deleted and made again"):
        owner.step()

    owner.intake.leave(HERE)
    owner.stage = owner.built()
    owner.open().drain()
    fresh = plant.bodies()[len(before) :]
    assert [(offset, name) for offset, name in told(fresh) if name == "neuron-5"] == [(0, "neuron-5"), (1, "neuron-5")]
    assert gaps(plant) == [0]
    assert not {entry.id for entry in before} & {entry.id for entry in fresh}
    assert len({entry.source[0] for entry in before + fresh}) == 2

    plant.kafka.create(SPIKES)
    plant.append(SPIKE)
    Owner(plant).open().drain()
    assert gaps(plant) == [0, 0]


@pytest.mark.parametrize("taken_over", [False, True])
def test_a_topic_made_anew_raises_its_gap_though_the_first_tries_fail(
    plant: Plant, caplog: pytest.LogCaptureFixture, *, taken_over: bool
) -> None:
    """Kafka deletes positions with their topic: what this process knows of the old one is kept until the new one has begun."""
    owner = Owner(plant).open()
    plant.append(SPIKE)
    owner.drain()
    if taken_over:
        owner.leave()
        owner = Owner(plant).open()
    plant.kafka.delete(SPIKES)
    plant.kafka.create(SPIKES)
    plant.append(SPIKE)
    owner.member.forget(HERE)
    plant.kafka.commits += ["no coordinator"] * 10_000
    for _ in range(2):
        owner.intake.leave(HERE)
        owner.stage = owner.built()
        assert "could not be committed" in refusal(owner.stage.rewind)
        owner.member.forget(HERE)
    plant.kafka.commits.clear()
    plant.sleep(1)
    caplog.clear()
    owner.stage = owner.built()
    owner.open().drain()

    assert "the topic was deleted and made again: reading the new one from its beginning" in caplog.text
    assert gaps(plant) == [0]


def test_a_log_that_ends_before_the_commit_begins_anew_and_says_so(plant: Plant, caplog: pytest.LogCaptureFixture) -> None:
    """As after an unclean election; the gap is raised beyond what readers have seen, in this process as in the next."""
    owner = Owner(plant).open()
    plant.append(*[SPIKE] * 9)
    owner.drain()
    plant.kafka.partition(SPIKES).truncate(4)
    assert "record 9 is not in the log" in refusal(lambda: [owner.step() for _ in range(9)])
    plant.sleep(2)
    for another in (owner, Owner(plant)):
        plant.kafka.groups["stage"].positions[HERE] = Place(9, plant.kafka.groups["stage"].positions[HERE].metadata)
        another.member.forget(HERE)
        another.stage = another.built()
        another.open().drain()
        assert "before the committed position 9: records were lost; reading anew from 0 on" in caplog.text
        caplog.clear()
    plant.append(*[SPIKE] * 9)
    Owner(plant).open().drain()

    assert set(gaps(plant)) == {9}
    assert {offset for offset, name in told(plant.entries()) if name == "neuron-5"} == set(range(14))


def read_on(plant: Plant) -> list[AlertEntry]:
    """Return what a sink is given of the rule's alerts, by the cursor that it left the last time."""
    reader = plant.reader("siem")
    cursor = reader.log.cursor("siem") or Cursor()
    polled = reader.log.poll_alerts(cursor.position, 1_000)
    fresh, seen = without_repeats(polled, cursor.seen)
    reader.log.advance("siem", Cursor(cursor.position + len(polled), seen))
    reader.member.close()
    return [entry for entry in fresh if read_finding(entry.body).rule.id == "neuron-5"]


def test_alerts_of_records_at_offsets_that_were_lost_reach_readers(plant: Plant) -> None:
    """Whoever passed the lost ones takes the new ones for no repeats, time and again; what is read anew has the id and bytes that it had."""
    Owner(plant).open().leave()
    plant.append(*[SPIKE] * 9)
    Owner(plant).open().drain().leave()
    known = {entry.id: entry.body for entry in read_on(plant)}
    assert len(known) == 9
    for end, after in ((4, 3), (5, 1), (6, 9)):
        plant.kafka.partition(SPIKES).truncate(end)
        plant.append(*[SPIKE] * after)
        Owner(plant).open().drain().leave()
        given = read_on(plant)
        new = [entry for entry in given if entry.id not in known]
        assert [entry.source[1] for entry in new] == [*range(end, end + after)]
        assert len({entry.id for entry in given}) == len(given)
        assert all(known.get(entry.id, entry.body) == entry.body for entry in given)
        known |= {entry.id: entry.body for entry in given}
    Owner(plant).open().drain().leave()
    assert read_on(plant) == []


def test_a_life_is_committed_before_its_first_alert(plant: Plant) -> None:
    """Also where the first try could not be: whoever goes on must know that offsets have begun anew."""
    Owner(plant).open().leave()
    plant.append(*[SPIKE] * 9)
    Owner(plant).open().drain().leave()
    plant.kafka.partition(SPIKES).truncate(4)
    owner = Owner(plant)
    plant.kafka.commits += ["no coordinator"] * 10_000
    many = len(plant.entries())
    for _ in range(3):
        assert "could not be committed" in refusal(owner.stage.rewind)
    assert len(plant.entries()) == many

    plant.kafka.commits.clear()
    plant.sleep(1)
    owner.open()
    commit = plant.known()
    assert commit is not None
    assert commit.life == 1
    owner.drain()
    after = plant.known()
    assert after is not None
    assert after.life == 1
    assert {entry.source[0] for entry in plant.entries()[many:]} == {plant.home(SPIKES).input(0, 1)}


@pytest.mark.parametrize(("kept", "gap"), [(55, 60), (60, 60), (70, 70)])
def test_a_rewind_that_retention_has_cut_raises_a_gap(plant: Plant, kept: int, gap: int) -> None:
    """Whether the position itself is gone or only what is before it: at the first record that readers have not seen."""
    owner = Owner(plant).open()
    plant.append(*[SPIKE] * 60)
    owner.drain()
    owner.leave()
    plant.append(*[SPIKE] * 15)
    plant.kafka.partition(SPIKES).drop_before(kept)
    Owner(plant).open().drain().leave()
    Owner(plant).open().drain()

    assert gaps(plant) == [gap]
    assert {offset for offset, name in told(plant.entries()) if name == "neuron-5"} == {*range(60), *range(kept, 75)}


def test_offsets_without_records_end_a_replay(plant: Plant) -> None:
    """Records may be gone from before the position: the replay ends at the next one that is there, and the stage goes on."""
    owner = Owner(plant).open()
    plant.append(*[SPIKE] * 4)
    owner.drain().leave()
    for offset in (1, 3):
        plant.kafka.partition(SPIKES).remove(offset)
    plant.append(SPIKE, SPIKE)
    after = Owner(plant).open()
    assert after.stage.position == 4
    after.drain()

    assert [entry.source[1] for entry in plant.entries()] == [*range(6)]


def test_a_log_whose_last_offsets_hold_no_record_is_ticked_all_the_same(plant: Plant) -> None:
    """The end of a transaction has an offset of its own: silence is found in time, and ticks don't pile up."""
    plant.publish(rules(5, silent=40))
    owner = Owner(plant).open()
    plant.append(SPIKE)
    owner.drain()
    plant.kafka.partition(SPIKES).skip(2)
    for _ in range(60):
        plant.sleep(1)
        owner.step()

    assert told(plant.entries())[-1][1] == "silent"
    assert owner.stage.lag == 0
    assert len(plant.kafka.partition(SPIKES).records) < 12


def test_a_marker_switches_whoever_reads_it(plant: Plant) -> None:
    """Owners, those that take over, and those that replay over it."""
    owner = Owner(plant).open()
    plant.append(SPIKE, OTHER)
    owner.drain()
    (number,) = plant.publish(rules(6))
    plant.sleep(1)
    owner.drain()
    plant.append(SPIKE, OTHER)
    owner.drain()
    assert owner.stage.revision.number == number
    assert told(plant.entries()) == [(0, "neuron-5"), (4, "neuron-6")]

    commit = plant.known()
    assert commit is not None
    assert [after for after, _ in commit.pairs] == [0, 3]
    old = commit._replace(position=2)
    plant.kafka.groups["stage"].positions[HERE] = Place(2, sealed.pack_commit(old, plant.home(SPIKES)))
    again = Owner(plant).open().drain()
    assert again.stage.revision.number == number
    assert told(plant.entries()) == [(0, "neuron-5"), (4, "neuron-6"), (4, "neuron-6")]
    assert plant.bodies()[1] == plant.bodies()[2]


def test_where_nothing_may_be_appended_the_pair_is_committed_before_the_switch(plant: Plant) -> None:
    """No switch without the commit, and none twice; nothing is appended to the topic."""
    owner = Owner(plant, switches="commit").open()
    plant.append(SPIKE, OTHER)
    owner.drain()
    old = owner.stage.revision.number
    (number,) = plant.publish(rules(6))
    plant.kafka.commits += ["no coordinator"] * 10_000
    plant.sleep(1)
    assert "could not be committed" in refusal(owner.step)
    assert owner.stage.revision.number == old

    plant.kafka.commits.clear()
    plant.sleep(1)
    owner.drain()
    commit = plant.known()
    assert owner.stage.revision.number == number
    assert commit is not None
    assert commit.pairs == ((0, old), (2, number))
    plant.append(SPIKE, OTHER)
    owner.drain()
    assert told(plant.entries()) == [(0, "neuron-5"), (3, "neuron-6")]
    assert len(plant.kafka.partition(SPIKES).records) == 4
    assert Owner(plant, switches="commit").open().stage.revision.number == number


def test_a_switch_before_a_gap_is_raised_keeps_the_gap(plant: Plant) -> None:
    """The pairs stay in order: a takeover knows both."""
    owner = Owner(plant, switches="commit").open()
    plant.append(*[SPIKE] * 9)
    owner.drain().leave()
    plant.kafka.groups["stage"].positions[HERE] = Place(6)
    owner = Owner(plant, switches="commit").open()
    (number,) = plant.publish(rules(6))
    plant.sleep(1)
    owner.stage.step()
    commit = plant.known()
    assert commit is not None
    assert commit.pairs == ((0, number), (6, number)) or commit.pairs[1:] == ((0, number), (6, number))
    Owner(plant, switches="commit").open().drain()

    assert gaps(plant) == [6]


def test_silence_can_not_be_watched_where_nothing_may_be_appended(caplog: pytest.LogCaptureFixture) -> None:
    """What watches for it is passed over, at the start and later; said once, with the rules and the partition."""
    plant = Plant()
    plant.publish(rules(4, silent=40))
    watching = RevisionsWithoutAbsence(plant.revisions(), HERE)
    with pytest.raises(LogMissing, match="no revision was ever published that can be in force here"):
        Owner(plant, switches="commit", revisions=watching).open()
    assert "spikes-0: revision" in caplog.text
    assert "watches for silence (silent)" in caplog.text

    good, _, _ = plant.publish(rules(5), rules(6, silent=40), rules(7, silent=40))
    plant.sleep(1)
    caplog.clear()
    owner = Owner(plant, switches="commit", revisions=RevisionsWithoutAbsence(plant.revisions(), HERE)).open()
    assert owner.stage.revision.number == good
    assert caplog.text.count("watches for silence") == 2
    plant.publish(rules(8, silent=40))
    plant.append(*[SPIKE] * 5)
    owner.drain()
    assert owner.stage.revision.number == good
    assert caplog.text.count("watches for silence") == 3
    assert len(plant.entries()) == 5

    (better,) = plant.publish(rules(6))
    plant.sleep(1)
    owner.drain()
    assert owner.stage.revision.number == better


def test_too_many_revisions_wait_until_old_ones_have_left_the_look_back(plant: Plant, caplog: pytest.LogCaptureFixture) -> None:
    """Said once; nothing that decides alerts is ever left out of a commit."""
    far = 1 << 50
    owner = Owner(plant, switches="commit").open()
    forced, number = 0, owner.stage.revision.number
    while owner.stage.revision.number == number and forced < 1_000:
        for topic in (SPIKES, REVISIONS):
            plant.kafka.partition(topic).skip(far)
            plant.kafka.append(topic, [OTHER])
        (number,) = plant.publish(rules(5) if forced % 2 else rules(5, 6))
        for _ in range(3):
            plant.sleep(0.3)
            owner.step()
        forced += 1
        assert len(plant.kafka.groups["stage"].positions[HERE].metadata) <= sealed.MAX_METADATA
    assert 100 < forced < 200
    assert caplog.text.count("too many revisions within the look-back; the newest waits") == 1

    plant.sleep(LIMITS.look_back_ns / 1e9 - 30)
    for _ in range(5):
        plant.append(OTHER)
        owner.drain()
        plant.sleep(15)
    assert owner.stage.revision.number == number


@pytest.mark.parametrize(
    ("key", "keys", "refused"), [(b"cam", True, 0), (None, True, 1), (b"lock", True, 1), (b"lock", False, 0), (None, False, 0)]
)
def test_a_record_belongs_to_the_device_that_its_key_names(plant: Plant, key: bytes | None, *, keys: bool, refused: int) -> None:
    """Without a key it is nobody's; where keys are not looked at any will do. Ticks and markers have none."""
    owner = Owner(plant, keys=keys).open()
    plant.append(SPIKE, key=key)
    owner.drain()
    plant.publish(rules(6))
    plant.sleep(20)
    owner.drain().drain()

    assert len(owner.dead_records) == refused
    assert len(plant.entries()) == 1 - refused
    assert len(plant.kafka.partition(SPIKES).records) > 1
    assert Partition(SPIKES, 0) == HERE
