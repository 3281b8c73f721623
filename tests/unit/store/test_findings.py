"""Alerts and incidents in the embedded store."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from typing import TYPE_CHECKING

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spikebridge.alerts import AlertEntry
from spikebridge.errors import StoreError
from spikebridge.store import Query, Store

if TYPE_CHECKING:
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


def test_a_decision_is_kept_though_it_is_neither_alert_nor_incident(store: Store) -> None:
    """What has no rule, time or device is still a finding."""
    decision = AlertEntry("d", "decision", 1, (0, 5, 0), b'{"action": "block"}')
    store.write([decision])

    assert store.findings(Query()) == [decision]


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
