"""Dead letters in the embedded store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from spikebridge.alerts import AlertEntry
from spikebridge.errors import StoreError
from spikebridge.store import DeadLetter, SinkLetters, Store, letter_entry, record_letter, sink_letter
from spikebridge.store.letters import RECORDS_KEPT
from spikebridge.testing import FakeClock

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ENTRY = AlertEntry("id", "alert", 1, (0, 5, 2), b"{}", (b"frame",), 7, 8)


def test_a_record_is_one_letter_however_often_it_is_read(store: Store) -> None:
    """A replay finds the same rubbish again: same id, nothing counted twice."""
    letter = record_letter("log", 0, 17, 1, ("record: truncated", b"\xff"), 5)
    store.bury([letter])
    store.bury([letter, record_letter("log", 0, 17, 2, ("another part", b""), 6)])

    assert [one.count for one in store.letters()] == [1, 1]
    assert store.letter(letter.id) == letter == store.letter(letter.id[:20])
    assert letter.place == "log/0/17"
    assert store.letter("") is None  # two begin like that
    assert store.letter("nothing") is None


def test_letters_are_listed_newest_first_by_kind_and_place(store: Store) -> None:
    """So that those of one sink, or of one log, are found."""
    store.bury([record_letter("log", 0, 17, 0, ("a", b""), 5), sink_letter("splunk", ENTRY, "b", 6)])

    assert [letter.reason for letter in store.letters()] == ["b", "a"]
    assert [letter.reason for letter in store.letters(kind="record")] == ["a"]
    assert [letter.reason for letter in store.letters(place="log/0")] == ["a"]
    assert [letter.reason for letter in store.letters(place="spl", kind="sink", limit=1)] == ["b"]
    assert store.letter_counts() == {"record": 1, "sink": 1, "lost": 0}


def test_a_sinks_letter_is_wanted_until_it_is_taken_or_refused_again(store: Store) -> None:
    """Retry asks for it, another refusal counts it and takes the wish back, success removes it."""
    letters = SinkLetters(store, FakeClock(9))
    letters.keep("splunk", [(ENTRY, "no such index")])
    (letter,) = store.letters()
    assert letter_entry(letter) == ENTRY
    assert (letter.reason, letter.first_ns, letter.count) == ("no such index", 9, 1)
    assert letters.wanted("splunk", 9) == []

    assert store.retry([letter.id, "unknown"]) == 1
    assert letters.wanted("splunk", 9) == [ENTRY]
    assert letters.wanted("elastic", 9) == []

    letters.keep("splunk", [(ENTRY, "still no such index")])
    assert letters.wanted("splunk", 9) == []
    assert [(one.reason, one.count) for one in store.letters()] == [("still no such index", 2)]

    letters.delivered("splunk", ENTRY)
    assert store.letters() == []


def test_a_letter_of_a_kind_that_only_a_newer_version_knows_is_told(store: Store) -> None:
    """It is kept for the upgrade; whoever opens it hears what to do."""
    kind: Any = "decision"
    letter = sink_letter("splunk", ENTRY._replace(kind=kind), "no such index", 6)
    store.bury([letter])

    with pytest.raises(
        StoreError, match=f"dead letter {letter.id}: expected an alert or an incident .*'decision'.*: upgrade this one"
    ):
        letter_entry(letter)
    assert store.letters() == [letter]


def test_a_letter_that_can_not_be_read_holds_up_no_other(store: Store) -> None:
    """As after going back to an older version: its neighbours are delivered, and it is wanted still."""
    kind: Any = "decision"
    unread = sink_letter("splunk", ENTRY._replace(kind=kind, id="newer"), "", 6)
    others = [sink_letter("splunk", ENTRY._replace(id=name), "", 6) for name in "abc"]
    store.bury([others[0], unread, *others[1:]])
    store.retry(store.letter_ids())

    assert [entry.id for entry in SinkLetters(store, FakeClock()).wanted("splunk", 2)] == ["a", "b"]
    store.drop([letter.id for letter in others])
    assert SinkLetters(store, FakeClock()).wanted("splunk", 2) == []
    assert [letter.wanted for letter in store.letters()] == [True]


def test_a_records_letter_can_be_dropped_but_not_delivered(store: Store) -> None:
    """No sink ever asks for it."""
    letter = record_letter("log", 0, 17, 0, ("a", b""), 5)
    store.bury([letter])

    assert store.retry([letter.id]) == 0
    assert store.drop([letter.id, letter.id]) == 1
    assert store.letters() == []


def test_a_flood_of_rubbish_keeps_the_newest_and_counts_the_rest(store: Store) -> None:
    """A sender of rubbish can't fill the disk, nor wash away what a sink refused."""
    store.bury([sink_letter("splunk", ENTRY, "b", 6)])
    for start in range(0, RECORDS_KEPT + 10, RECORDS_KEPT // 2):
        store.bury([DeadLetter(f"r{start + number}", "record", "log", "x", b"", 0) for number in range(RECORDS_KEPT // 2)])

    counts = store.letter_counts()
    assert counts == {"record": RECORDS_KEPT, "sink": 1, "lost": RECORDS_KEPT // 2}


def test_refused_records_hold_no_more_bytes_than_they_may(store: Store) -> None:
    """The oldest go, however few they are; what is dropped makes room again, and a sink's letters hold nothing of it."""
    store.bury([sink_letter("splunk", ENTRY._replace(body=b"x" * 5_000), "b", 6)])

    def flood(first: int) -> None:
        for offset in range(first, first + 5):
            store.bury([record_letter("log", 0, offset, 0, ("x", b"x" * 300), 0)], records_bytes=1_000)

    flood(0)
    assert [letter.place for letter in store.letters(kind="record")] == ["log/0/4", "log/0/3", "log/0/2"]
    assert store.letter_counts() == {"record": 3, "sink": 1, "lost": 2}

    store.drop(store.letter_ids(kind="record", place="log/0/"))
    flood(5)
    assert store.letter_counts() == {"record": 3, "sink": 1, "lost": 4}

    store.bury([record_letter("log", 0, 10, 0, ("x", b"x" * 2_000), 0)], records_bytes=1_000)
    assert store.letter_counts() == {"sink": 1, "lost": 8}


def test_a_store_of_the_first_version_counts_the_bytes_that_it_holds(tmp_path: Path, older: Callable[[int, str], None]) -> None:
    """What was refused before the upgrade is in the budget too."""
    older(1, "INSERT INTO letters (id, kind, place, reason, raw, first_ns) VALUES ('a', 'record', '', '', zeroblob(900), 0)")

    with Store(tmp_path) as store:
        store.bury([record_letter("log", 0, 1, 0, ("x", b"x" * 300), 0)], records_bytes=1_000)
        assert [letter.place for letter in store.letters()] == ["log/0/1"]
