"""Dead letters that somebody asked for, beside a log in which alerts go on coming."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.unit.delivery.test_delivery import SECOND, Fixture, an_entry, an_incident, ids

from spikebridge import metrics as numbers
from spikebridge.delivery import LETTERS_AT_ONCE, LOOK_FOR_LETTERS_S
from spikebridge.testing import FlakySink, MemorySink

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from spikebridge.alerts import AlertEntry

LOOK_NS = LOOK_FOR_LETTERS_S * SECOND


class SlowSink(FlakySink):
    """A sink for which each write takes 50 ms."""

    def __init__(self, here: Fixture, refuses: Callable[[AlertEntry], str] = lambda _: "") -> None:
        """Begin closed and empty."""
        super().__init__(refuses=refuses)
        self._here = here

    def write(self, findings: Sequence[AlertEntry]) -> int:
        """Take the time."""
        self._here.clock.advance(SECOND // 20)
        return super().write(findings)


def ask(here: Fixture, *letters: AlertEntry) -> None:
    """Keep letters of sink `a` and ask for them."""
    here.letters.keep("a", [(letter, "bad") for letter in letters])
    here.letters.asked |= {("a", letter.id) for letter in letters}


def test_letters_go_out_though_alerts_never_stop() -> None:
    """Many of them, while each poll finds an alert: all once, the alerts in their order, and most of the time is theirs."""
    here = Fixture()
    sink = SlowSink(here)
    delivery = here.delivery(sink)
    letters = [an_entry(10_000 + number) for number in range(30)]
    ask(here, *letters)
    polls = 0
    while here.letters.kept:
        here.append(an_entry(polls))
        assert delivery.step() == 1
        polls += 1
        assert polls < 1_000
    found = ids(sink.findings)
    assert sorted(found) == sorted(ids(letters) + [f"0-{offset}-0" for offset in range(polls)])
    assert [one for one in found if one not in ids(letters)] == [f"0-{offset}-0" for offset in range(polls)]
    assert polls > 5 * len(letters)


def test_all_letters_go_out_at_once_while_nothing_waits() -> None:
    """However slow the sink is."""
    here = Fixture()
    sink = SlowSink(here)
    delivery = here.delivery(sink)
    ask(here, *map(an_entry, range(30)))
    delivery.step()
    assert (len(sink.findings), here.letters.kept) == (30, {})


@pytest.mark.parametrize("refuses", [False, True])
def test_many_letters_go_out_one_portion_after_the_other(*, refuses: bool) -> None:
    """With no pause while nothing else waits, whether they are taken or refused again."""
    here = Fixture()
    sink = FlakySink(refuses=lambda _: "bad" if refuses else "")
    delivery = here.delivery(sink)
    letters = [an_entry(10_000 + number) for number in range(2 * LETTERS_AT_ONCE + 50)]
    ask(here, *letters)
    delivery.step()
    assert len(here.letters.asked) == LETTERS_AT_ONCE + 50
    delivery.step()
    delivery.step()
    assert here.letters.asked == set()
    assert len(sink.findings) == (0 if refuses else len(letters))


@pytest.mark.parametrize("refused", [False, True])
def test_an_entry_in_hand_that_is_a_letter_too_is_written_once(*, refused: bool) -> None:
    """As after a crash between its letter and the cursor; another version of an incident is another entry."""
    here = Fixture()
    sink = FlakySink(refuses=lambda entry: "still bad" if refused and entry.id == "0-2-0" else "")
    here.append(*map(an_entry, range(1, 4)), an_incident(2))
    ask(here, an_entry(2), an_incident(1))
    assert here.delivery(sink).step() == 4
    assert sorted(ids(sink.findings)) == sorted({"0-1-0", "0-3-0"} | (set() if refused else {"0-2-0"})) + ["incident"] * 2
    assert [entry.version for entry in sink.findings if entry.id == "incident"] == [1, 2]
    assert [reason for _, reason in here.letters.kept.values()] == ["still bad"] * refused
    assert here.metrics.value(numbers.DEAD_LETTERS, sink="a") == refused
    assert here.letters.asked == set()


def test_a_stop_while_a_letter_is_in_hand_begins_no_batch() -> None:
    """The cursor stays, the letter is asked for still, and whoever goes on delivers all once."""
    here, sink = Fixture(stop_after=3), FlakySink()
    here.append(an_entry(1))
    ask(here, an_entry(2))
    delivery = here.delivery(sink)
    sink.away = 100
    assert delivery.step() == 0
    assert (sink.findings, delivery.cursor.position, here.letters.asked) == ([], 0, {("a", "0-2-0")})
    assert delivery.health().oldest_ns == here.log.alerts[0].append_ns
    here.stop_after, sink.away = 1_000, 0
    assert delivery.step() == 1
    assert sorted(ids(sink.findings)) == ["0-1-0", "0-2-0"]


def test_deliveries_of_one_thread_look_for_letters_together() -> None:
    """Each partition of a topic has one, and all deliver to the same sink: many of them don't look, or write, more often."""
    here, sink = Fixture(), MemorySink()
    first = here.delivery(sink)
    second = here.delivery(sink)
    second.around = first.around
    first.step()
    ask(here, an_entry(2))
    second.step()
    assert sink.findings == []
    here.clock.advance(LOOK_NS)
    second.step()
    first.step()
    assert ids(sink.findings) == ["0-2-0"]
