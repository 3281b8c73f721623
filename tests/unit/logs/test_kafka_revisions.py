"""The revisions topic: contents in pieces, numbers that stay, several publishers, and what isn't what it should be."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import msgspec
import pytest
from tests.reference.plant import REVISIONS, Plant
from tests.unit.logs.test_kafka_alerts import Counting

from spikebridge.canonical import sha256
from spikebridge.errors import LogRefused, LogUnavailable, RevisionError
from spikebridge.logs.kafka.revisions import MAX_PIECES, PIECE_BYTES, RevisionsTopic
from spikebridge.mapping.rules import RuleSet

if TYPE_CHECKING:
    from spikebridge.kafka.client import Reader

LARGE = bytes(range(256)) * (3 * PIECE_BYTES // 256) + b"end"


@pytest.fixture
def plant() -> Plant:
    """Begin with an empty topic."""
    return Plant()


def test_a_large_content_lies_in_pieces(plant: Plant) -> None:
    """No record is larger than a piece, and every follower has it whole."""
    number = plant.revisions().publish(LARGE)
    records = plant.kafka.partition(REVISIONS).records

    assert [len(record.value) for record in records[:-1]] == [PIECE_BYTES] * 3 + [3]
    assert number == records[-1].offset
    assert plant.revisions().revision(number) == LARGE


def test_each_follower_sees_what_others_publish(plant: Plant) -> None:
    """Within moments, without being asked for anything but the newest."""
    one, two = plant.revisions(), plant.revisions()
    assert two.newest() is None
    first = one.publish(b"a")
    plant.sleep(1)
    assert two.newest() == first
    second = two.publish(b"b")
    assert two.newest() == second
    plant.sleep(1)
    assert one.newest() == second
    assert [one.revision(number) for number in (first, second)] == [b"a", b"b"]


def test_a_marker_may_name_what_has_not_come_yet(plant: Plant) -> None:
    """Asked for a number it doesn't know, a follower reads to the end of now."""
    follower = plant.revisions()
    assert follower.newest() is None
    number = plant.revisions().publish(b"a")
    assert follower.revision(number) == b"a"
    assert follower.revision(number + 1) is None


def test_pieces_that_are_there_are_not_appended_again(plant: Plant) -> None:
    """Going back to an old content costs one small record; so does a publish that failed halfway."""
    publisher = plant.revisions()
    first = publisher.publish(LARGE)
    second = publisher.publish(b"b")
    third = publisher.publish(LARGE)
    assert third == second + 1
    assert plant.revisions().revision(third) == plant.revisions().revision(first) == LARGE

    other = LARGE + b"other"
    plant.kafka.appends += ["", "before"]
    with pytest.raises(LogUnavailable):
        plant.revisions().publish(other)
    before = plant.kafka.partition(REVISIONS).end
    assert plant.revisions().newest() == third
    assert plant.revisions().publish(other) == before
    plant.kafka.appends += ["", "after"]
    with pytest.raises(LogUnavailable):
        plant.revisions().publish(b"c")
    assert plant.revisions().publish(b"c") == plant.kafka.partition(REVISIONS).end - 1


def test_a_follower_holds_few_contents_and_reads_the_others(plant: Plant) -> None:
    """However often and in whatever order they are asked for."""
    publisher = plant.revisions()
    numbers = [publisher.publish(b"content %d" % at) for at in range(12)]
    follower = plant.revisions()
    for _ in range(2):
        for at, number in enumerate(numbers):
            assert follower.revision(number) == b"content %d" % at


def test_a_content_without_end_is_refused(plant: Plant) -> None:
    """Before anything is appended."""
    with pytest.raises(LogRefused, match=f"more than {MAX_PIECES * PIECE_BYTES:,}"):
        plant.revisions().publish(bytes(MAX_PIECES * PIECE_BYTES + 1))
    assert plant.kafka.partition(REVISIONS).end == 0


STRANGE = [
    b"",
    b"rubbish",
    b"[]",
    b'{"digest": "x", "pieces": 0}',
    b'{"digest": "x", "pieces": 1000000000}',
    b'{"x": ' + b"[" * 5_000,
]


def test_what_is_no_revision_is_none(plant: Plant) -> None:
    """Under whatever key somebody else has written; those that are go on."""
    for key in (
        b"revision:x",
        b"piece:",
        b"piece:x:y",
        b"piece:\xff:1",
        "piece:x:\u00b2".encode(),
        b"piece:x:" + b"9" * 5_000,
        b"other",
        None,
    ):
        for value in STRANGE:
            plant.kafka.append(REVISIONS, [value], key=key)
    follower = plant.revisions()
    assert follower.newest() is None
    number = plant.revisions().publish(b"a")
    plant.sleep(1)
    assert follower.newest() == number
    assert follower.revision(number) == b"a"
    assert [follower.revision(offset) for offset in range(number) if offset != number] == [None] * number


def test_missing_and_damaged_pieces_are_said(plant: Plant) -> None:
    """Never a content that was not published."""
    digest = sha256(b"content")
    said = msgspec.json.encode({"digest": digest, "pieces": 1})
    plant.kafka.append(REVISIONS, [said], key=b"revision:1")
    with pytest.raises(RevisionError, match="pieces of revision 0 are missing"):
        plant.revisions().revision(0)
    plant.kafka.append(REVISIONS, [b"another"], key=b"piece:%s:0" % digest.encode())
    with pytest.raises(RevisionError, match="revision 0 is damaged: its digest differs"):
        plant.revisions().revision(0)


def test_pieces_that_are_larger_than_ours_are_none(plant: Plant) -> None:
    """As many as a revision may have would be more than a call reads, and that would not be this revision's fault alone."""
    content = bytes(PIECE_BYTES + 1)
    for at in range(MAX_PIECES):
        plant.kafka.append(REVISIONS, [content], key=b"piece:x:%d" % at)
    plant.kafka.append(REVISIONS, [msgspec.json.encode({"digest": "x", "pieces": MAX_PIECES})], key=b"revision:1")
    with pytest.raises(RevisionError, match=f"pieces of revision {MAX_PIECES} are missing"):
        plant.revisions().revision(MAX_PIECES)


def test_a_topic_made_anew_is_followed_and_said(plant: Plant, caplog: pytest.LogCaptureFixture) -> None:
    """Whether it is noticed while following or when something is asked for; what is published then is seen."""
    publisher = plant.revisions()
    publisher.publish(LARGE)
    one, two = plant.revisions(), plant.revisions()
    assert one.newest() == two.newest() == 4
    plant.kafka.create(REVISIONS)
    plant.sleep(1)
    one.newest()
    assert two.revision(99) is None
    assert caplog.text.count("the topic was deleted and made again, or cut") == 2
    number = plant.revisions().publish(b"new")
    plant.sleep(1)
    for follower in (one, two):
        assert follower.newest() == number == 1
        assert follower.revision(number) == b"new"
        assert follower.revision(4) is None


def test_records_that_do_not_come_are_said(plant: Plant) -> None:
    """After some time, with the record."""
    plant.publish(RuleSet())
    deaf = cast("Reader", Counting(plant.kafka.client().reader(), deaf=True))
    with pytest.raises(LogUnavailable, match="revisions: nothing came from record 0 on within 10 s"):
        RevisionsTopic(REVISIONS, deaf, None, plant.monotonic).newest()
    plant.kafka.away = True
    with pytest.raises(LogUnavailable, match="nobody answers"):
        plant.revisions().newest()


def test_offsets_without_a_record_at_the_end_are_the_end(plant: Plant) -> None:
    """As a transaction leaves them; what is published behind them comes as ever."""
    (first,) = plant.publish(RuleSet())
    plant.kafka.partition(REVISIONS).skip(1)
    follower = plant.revisions()
    assert follower.newest() == first
    second = plant.revisions().publish(b"b")
    plant.sleep(1)
    assert follower.newest() == second > first + 1
