"""The service, killed with SIGKILL at every named point: nothing is lost, nothing is foreign, nothing differs by a byte."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from spikebridge.alerts import alert_entry
from spikebridge.incidents import Correlator
from spikebridge.logs.spool import Spool
from spikebridge.mapping.engine import Engine
from spikebridge.mapping.evidence import Identity
from spikebridge.mapping.rules import read_revision
from spikebridge.store import Query, Store, record_letter
from spikebridge.testing import KILL_POINTS

if TYPE_CHECKING:
    from spikebridge.alerts import AlertEntry

RUNNER = Path(__file__).with_name("runner.py")
SOONEST = ("after_append", "before_cursor", "after_sink_ack")
"""Those of `make test`: one in each stage."""

FEW, MANY = 3_000, 12_000
"""Records: each point is passed a dozen times over the few."""
EVERYTHING = 1_000_000

CONFIG = """
data: data
mappings: [mappings.yaml]
sinks:
  store: {type: store}
  lines: {type: file, path: lines.jsonl}
"""

MAPPINGS = """
mappings:
- {id: burst, neuron_id: 42, threat_type: Burst, severity: High, when: {count: 9, within: 10s}, suppress: 1s}
- {id: stray, neuron_id: 7, threat_type: Stray, severity: Low, when: {count: 5, within: 1s}, suppress: 10s}
correlations:
- id: storm
  threat_type: Storm
  severity: Critical
  type: value_count
  rules: [burst]
  timespan: 10s
  condition: {gte: 3, field: device}
"""


class Reference(NamedTuple):
    """What an uninterrupted run over the same records gives."""

    alerts: dict[str, AlertEntry]
    incidents: dict[str, int]
    letters: set[str]


def reference(directory: Path, count: int) -> Reference:
    """Match all records of the log, so many at least, in one go."""
    with Spool(directory / "data", read_only=True) as spool:
        identity = Identity("default", spool.id, spool.partition)
        revision = read_revision(1, spool.revision(1) or b"")
        found = spool.poll(0, 1 << 40)
        assert len(found) >= count
        taken = Engine(identity, revision, lambda _: None, spool.read).take(found)
    alerts = {raised.alert.id: alert_entry(raised.alert, raised.evidence) for raised in taken.alerts}
    incidents = Correlator("default", revision).feed((raised.alert, raised.alert.append_ns) for raised in taken.alerts)
    letters = {record_letter(identity.log, 0, dead.offset, dead.part, ("", b""), 0).id for dead in taken.dead}
    return Reference(alerts, {one.id: one.version for one in incidents}, letters)


def run(directory: Path, count: int, *kill: str) -> int:
    """Run to the end of so many records, or to the kill."""
    command = [sys.executable, str(RUNNER), str(directory), str(count), *kill]
    return subprocess.run(command, check=False, timeout=120).returncode


def check(directory: Path, count: int, point: str, *times: int) -> None:
    """Kill at each of these passes, counted anew after each start, run again to the end, compare."""
    (directory / "spikebridge.yaml").write_text(CONFIG)
    (directory / "mappings.yaml").write_text(MAPPINGS)

    for one in times:
        assert run(directory, count, point, str(one)) == -signal.SIGKILL
    assert run(directory, count) == 0

    expected = reference(directory, count)
    assert len(expected.alerts) > count / 80
    assert expected.incidents
    with Store(directory / "data", read_only=True) as store:
        kept = {entry.id: entry for entry in store.findings(Query(limit=EVERYTHING))}
        alerts = {key: store.finding(key) for key, entry in kept.items() if entry.kind == "alert"}
        letters = {letter.id for letter in store.letters(kind="record", limit=EVERYTHING)}
    assert alerts == expected.alerts
    assert {key: entry.version for key, entry in kept.items() if entry.kind == "incident"} == expected.incidents
    assert letters == expected.letters
    lines = Counter(
        (line["id"], line.get("version", 1)) for line in map(json.loads, (directory / "lines.jsonl").read_text().splitlines())
    )
    assert set(lines.values()) == {1}
    assert {key for key, _ in lines} == {*expected.alerts, *expected.incidents}


@pytest.mark.parametrize("point", [one if one in SOONEST else pytest.param(one, marks=pytest.mark.long) for one in KILL_POINTS])
def test_a_kill_loses_and_doubles_nothing(point: str, tmp_path: Path) -> None:
    """After a kill -9 at this point and a restart, store and file hold exactly the alerts of an uninterrupted run."""
    check(tmp_path, FEW, point, 3)


@pytest.mark.long
@pytest.mark.parametrize("point", KILL_POINTS)
def test_five_kills_lose_and_double_nothing(point: str, tmp_path: Path) -> None:
    """The same, of what was started again and again, at the first to the eleventh time that the point is passed."""
    check(tmp_path, MANY, point, 1, 2, 4, 7, 11)
