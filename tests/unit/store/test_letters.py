"""Dead letters in the embedded store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spikebridge.alerts import AlertEntry
from spikebridge.store import DeadLetter, SinkLetters, letter_entry, record_letter, sink_letter
from spikebridge.store.letters import RECORDS_KEPT
from spikebridge.testing import FakeClock

if TYPE_CHECKING:
    from spikebridge.store import Store

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
    assert letters.wanted("splunk") == []

    assert store.retry([letter.id, "unknown"]) == 1
    assert letters.wanted("splunk") == [ENTRY]
    assert letters.wanted("elastic") == []

    letters.keep("splunk", [(ENTRY, "still no such index")])
    assert letters.wanted("splunk") == []
    assert [(one.reason, one.count) for one in store.letters()] == [("still no such index", 2)]

    letters.delivered("splunk", ENTRY)
    assert store.letters() == []


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
