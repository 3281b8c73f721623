"""The audit log: what was done to it is found."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spikebridge.errors import StoreError
from spikebridge.store import Store, Verdict

if TYPE_CHECKING:
    from pathlib import Path


def record(store: Store, rows: int) -> str:
    """Write rows; return the newest hash."""
    return [store.record(number, "ada", "publish", {"revision": number, "why": "\u00fc"}) for number in range(1, rows + 1)][
        -1
    ].hash


def tamper(directory: Path, statement: str) -> None:
    """Change the file behind the store's back."""
    connection = sqlite3.connect(directory / "store.db")
    connection.execute(statement)
    connection.commit()
    connection.close()


def test_a_chain_that_nobody_touched_verifies(store: Store, tmp_path: Path) -> None:
    """The verdict gives the number of rows and the newest hash, to be noted elsewhere; reading is enough for it."""
    assert store.verify() == Verdict(0, "")
    head = record(store, 5)

    assert store.verify() == Verdict(5, head)
    assert [row.seq for row in store.audit(2)] == [5, 4]
    assert store.audit(1)[0].detail == '{"revision":5,"why":"\u00fc"}'
    with Store(tmp_path, read_only=True) as reading:
        assert reading.verify() == Verdict(5, head)


@pytest.mark.parametrize(
    ("statement", "bad", "fault"),
    [
        ("UPDATE audit SET actor = 'eve' WHERE seq = 3", 3, "row 3 was changed"),
        ("UPDATE audit SET at_ns = 'never' WHERE seq = 1", 1, "row 1 was changed"),
        ("UPDATE audit SET detail = x'00ff' WHERE seq = 5", 5, "row 5 was changed"),
        ("UPDATE audit SET previous = '' WHERE seq = 2", 2, "row 2 does not follow row 1"),
        ("DELETE FROM audit WHERE seq = 1", 1, "row 1 is missing, the next is 2"),
        ("DELETE FROM audit WHERE seq = 4", 4, "row 4 is missing, the next is 5"),
        ("DELETE FROM audit WHERE seq >= 4", 4, "the log ends after row 3, but 5 were written"),
        ("UPDATE audit_head SET hash = ''", 6, "the log ends after row 5"),
        ("DELETE FROM audit_head", 6, "the row of `audit_head`) was removed"),
        ("INSERT INTO audit SELECT 6, at_ns, actor, event, detail, hash, hash FROM audit WHERE seq = 5", 6, "row 6 was changed"),
    ],
)
def test_the_first_bad_row_is_named(store: Store, tmp_path: Path, statement: str, bad: int, fault: str) -> None:
    """Changed, removed, inserted or cut off: the verdict says where and what."""
    record(store, 5)
    tamper(tmp_path, statement)

    verdict = store.verify()
    assert verdict.bad == bad
    assert fault in verdict.fault


def test_nothing_is_written_behind_a_chain_without_its_head(store: Store, tmp_path: Path) -> None:
    """A service that starts says what is wrong, in a sentence."""
    record(store, 5)
    tamper(tmp_path, "DELETE FROM audit_head")

    with pytest.raises(StoreError, match="look with `spikebridge audit list`"):
        record(store, 1)
    assert len(store.audit()) == 5


@given(st.lists(st.tuples(st.text(), st.text(), st.dictionaries(st.text(), st.integers() | st.text())), max_size=5))
def test_any_text_can_be_recorded(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str, dict[str, int | str]]]
) -> None:
    """Whatever an actor calls itself, the chain holds."""
    with Store(tmp_path_factory.mktemp("store")) as store:
        for actor, event, detail in rows:
            store.record(0, actor, event, detail)
        assert store.verify().bad is None
        assert store.verify().rows == len(rows)
