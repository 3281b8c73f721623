"""Alerts and incidents in the embedded store."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spikebridge.alerts import AlertEntry
from spikebridge.errors import SinkRefused, StoreError
from spikebridge.store import Query, Store, findings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def alert(name: str, time_ns: int, severity: str = "High", device: str = "cam") -> AlertEntry:
    """Return an alert of one device."""
    body = {
        "time_ns": time_ns,
        "rule": {"id": "r", "threat": "Scan", "severity": severity},
        "device": {"id": device, "site": "hall"},
    }
    return AlertEntry(name, "alert", 1, (0, time_ns, 0), msgspec.json.encode(body), (b"frame", name.encode()))


def incident(version: int, *devices: str) -> AlertEntry:
    """Return an incident of several devices."""
    body = {"time_ns": 50 + version, "rule": {"id": "i", "severity": "Critical"}, "site": "hall", "devices": devices}
    return AlertEntry("incident", "incident", version, (-1, 0, 0), msgspec.json.encode(body))


def ids(store: Store, **query: object) -> list[str]:
    """Return the ids that a query finds."""
    return [entry.id for entry in store.findings(msgspec.convert(query, Query))]


def test_queries_narrow_by_time_severity_device_and_kind(store: Store) -> None:
    """Newest first, each condition by itself, an incident under each of its devices."""
    store.write([alert("a", 10), alert("b", 20, "Low"), alert("c", 30, device="lock"), incident(2, "cam", "lock")])

    assert ids(store) == ["incident", "c", "b", "a"]
    assert ids(store, since_ns=20) == ["incident", "c", "b"]
    assert ids(store, severity=73) == ["incident", "c", "a"]
    assert ids(store, device="lock") == ["incident", "c"]
    assert ids(store, kinds=("alert",), limit=2) == ["c", "b"]
    assert ids(store, device="lo%") == []


def test_one_finding_comes_with_its_evidence(store: Store) -> None:
    """Whole as it was written; what isn't known is None."""
    store.write([alert("abc-1", 10), alert("abd-2", 20)])

    assert store.finding("abc-1") == alert("abc-1", 10)
    assert store.evidence("abc-1") == (b"frame", b"abc-1")
    assert store.finding("nothing") is None
    assert store.evidence("nothing") == ()


@pytest.mark.parametrize("wrong", ["x'00'", "'{}'", "''"])
def test_a_finding_that_somebody_changed_is_told(store: Store, tmp_path: Path, wrong: str) -> None:
    """Bytes that are no finding, or no evidence: one sentence that names it, for a person and not for a programmer."""
    store.write([alert("abc-1", 10), alert("abd-2", 20)])
    connection = sqlite3.connect(tmp_path / "store.db")
    connection.execute(f"UPDATE findings SET body = {wrong} WHERE id = 'abc-1'")  # noqa: S608 -- ours
    connection.execute(f"UPDATE findings SET evidence = {wrong} WHERE id = 'abd-2'")  # noqa: S608 -- ours
    connection.commit()
    connection.close()

    with pytest.raises(StoreError, match="alert abc-1 is not as it was written"):
        store.opened(store.find("abc-1"))
    with pytest.raises(StoreError, match="the evidence of abd-2 is not as it was written"):
        store.find("abd-2")


def test_the_beginning_of_an_id_is_enough_where_only_one_begins_so(store: Store) -> None:
    """People type the first letters; what is not clear is told with what there is."""
    store.write([alert("abc-1", 10), alert("abd-2", 20)])

    assert store.find("abc") == alert("abc-1", 10)
    with pytest.raises(
        StoreError, match="expected the id of one alert or incident, found ab: several begin like that: abc-1, abd-2"
    ):
        store.find("ab")
    with pytest.raises(StoreError, match="found a_: none begins like that"):
        store.find("a_")


@given(st.lists(st.integers(1, 9), min_size=1))
def test_the_highest_version_stays_in_whatever_order_they_come(
    tmp_path_factory: pytest.TempPathFactory, versions: list[int]
) -> None:
    """An incident is replaced only by a higher version of itself; writing again changes nothing."""
    with Store(tmp_path_factory.mktemp("store")) as store:
        for version in versions:
            store.write([incident(version, *(f"d{number}" for number in range(version))), alert("a", 1)])

        assert [entry.version for entry in store.findings(Query())] == [max(versions), 1]
        assert ids(store, device=f"d{max(versions) - 1}") == ["incident"]
        assert ids(store, device=f"d{max(versions)}") == []


def test_what_says_little_of_itself_is_kept(store: Store) -> None:
    """What has no rule, time or device is still a finding."""
    odd = AlertEntry("d", "alert", 1, (0, 5, 0), b'{"action": "block"}')
    store.write([odd])

    assert store.findings(Query()) == [odd]


@pytest.mark.parametrize("body", [
    b"", b"not JSON", b'{"time_ns": 99999999999999999999}', b'{"time_ns": 9223372036854775808}', b'{"rule": 5}',
    b'{"device": {"id": "\xff"}}', b'{"more": ' + b"[" * 100_000,
])  # fmt: skip
def test_what_can_not_be_read_is_refused_and_its_neighbours_are_kept(store: Store, body: bytes) -> None:
    """One such entry is tried no second time: it held all behind it."""
    store.write([alert("a", 10)])

    with pytest.raises(SinkRefused, match="no finding that this version can read") as refusal:
        store.write([alert("a", 10), AlertEntry("odd", "alert", 1, (0, 5, 0), body), alert("b", 20)])

    assert (set(refusal.value.reasons), refusal.value.known) == ({"odd"}, 1)
    assert ids(store) == ["b", "a"]


def test_what_came_first_goes_where_there_is_no_room(store: Store, tmp_path: Path) -> None:
    """However old its own time: who makes a sensor spike must not fill the disk. What an incident grows by counts too."""

    def large(name: str, time_ns: int) -> AlertEntry:
        return alert(name, time_ns)._replace(evidence=(bytes(1_000),))

    def held() -> int:
        with closing(sqlite3.connect(tmp_path / "store.db")) as connection:
            return int(connection.execute("SELECT coalesce(sum(length(body) + length(evidence)), 0) FROM findings").fetchone()[0])

    store.write([large(name, time_ns) for name, time_ns in (("a", 90), ("b", 10), ("c", 20))], max_bytes=4_000)
    assert (ids(store), store.findings_lost()) == (["a", "c", "b"], 0)

    store.write([large("d", 30)], max_bytes=4_000)
    assert (ids(store), store.findings_lost()) == (["d", "c", "b"], 1)
    store.write([large("d", 30)], max_bytes=held())
    assert (ids(store), store.findings_lost()) == (["d", "c", "b"], 1)
    store.write([incident(1, "cam")], max_bytes=held() + 1_000)
    before = held()
    store.write([incident(2, *("x" * 50 for _ in range(60)))], max_bytes=before)
    assert (ids(store), store.findings_lost()) == (["incident"], 4)
    assert 2_000 < held() < before

    store.write([large("e", 1)], max_bytes=held())
    assert (ids(store), store.findings_lost()) == (["e"], 5)


def test_a_store_much_larger_than_its_size_shrinks_with_each_write(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """All at once would keep others waiting, and need as much room on the disk as it gives back."""
    monkeypatch.setattr(findings, "_GIVEN_UP_BYTES", 3_000)
    store.write([alert(f"{number:02}", number)._replace(evidence=(bytes(900),)) for number in range(20)])

    left = []
    for _ in range(6):
        store.write([alert("same", 99)], max_bytes=5_000)
        left.append(len(ids(store, limit=100)))
    assert left == [17, 13, 9, 5, 5, 5]
    assert ids(store, limit=100)[-1] == "16"


def test_many_are_read_a_page_at_a_time(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each once and in the same order, whatever comes, grows or goes meanwhile."""
    store.write([incident(1, "cam")])
    store.write([alert(f"{number:02}", 100 + 10 * (number // 5)) for number in range(23)])
    whole = ids(store, limit=100)
    monkeypatch.setattr(findings, "_PAGE", 4)

    assert ids(store, limit=100) == whole
    assert ids(store, limit=9) == whole[:9]
    assert ids(store, since_ns=120, limit=100) == [name for name in whole if "10" <= name < "23"]
    reading = store.each(Query(limit=100))
    read = [next(reading)]
    store.write([alert("newer", 199), incident(60, "cam", "lock")])
    read += reading
    assert [entry.id for entry in read] == whole
    assert [entry.version for entry in read if entry.id == "incident"] == [60]
    reading = store.each(Query(limit=100))
    read = [next(reading)]
    store.write([], max_bytes=1)
    assert len([*read, *reading]) == 4


def test_a_store_of_an_older_version_counts_the_bytes_that_it_holds(tmp_path: Path, older: Callable[[int, str], None]) -> None:
    """What was kept before the upgrade is in the budget too."""
    older(2, "INSERT INTO findings VALUES ('old', 'alert', 1, 0, 0, '', '', '', '', '[]', 0, 0, 0, zeroblob(600), zeroblob(300))")

    with Store(tmp_path) as store:
        store.write([alert("new", 1)._replace(evidence=(bytes(300),))], max_bytes=1_000)
        assert (ids(store), store.findings_lost()) == (["new"], 1)


FILL = """
import resource, sys
from spikebridge.alerts import AlertEntry
from spikebridge.errors import StoreError
from spikebridge.store import Query, Store

_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, hard))
store, written = Store(sys.argv[1]), 0
try:
    while written < 10_000:
        store.write([AlertEntry(str(written), "alert", 1, (0, 0, 0), b"{}", (bytes(4_000),))])
        written += 1
except StoreError as error:
    assert "the disk takes no more" in str(error), error
assert 10 < written == len(store.findings(Query(limit=100_000)))
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
store.write([AlertEntry("last", "alert", 1, (0, 0, 0), b"{}")])
assert written + 1 == len(store.findings(Query(limit=100_000)))
"""


def test_a_full_disk_is_told_and_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    """`StoreError` is for delivery to try again; with room it works again."""
    subprocess.run([sys.executable, "-c", FILL, str(tmp_path)], check=True, timeout=60)


def test_a_store_that_is_not_there_is_told(tmp_path: Path) -> None:
    """Reading creates nothing."""
    with pytest.raises(StoreError, match="there is no store at"):
        Store(tmp_path, read_only=True)
    assert list(tmp_path.iterdir()) == []
