"""`init`, `check` and `publish`: from an empty directory to a revision."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from spikebridge import cli
from spikebridge.config import shipped_mappings
from spikebridge.logs.spool import Spool
from spikebridge.mapping.scenario import Stretch, parse_spikes, records_of
from spikebridge.store import Store

if TYPE_CHECKING:
    from pathlib import Path

SIX_MISTAKES = """mappings:
- neuron_id: -1
  threat_type: A
  severity: Hgih
- neuron_id: 2
  severity: High
  actoin: Block_IP
- {neuron_id: 3, threat_type: B, severity: Low, suppress: 10ms}
- {neuron_id: 4, threat_type: B, severity: Low, attack: [T14]}
"""


@pytest.fixture
def started(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """Give a directory that `init` has filled."""
    directory = tmp_path / "plant"
    assert cli.main(["init", "--dir", str(directory)]) == 0
    capsys.readouterr()
    return directory


def test_what_init_writes_passes_check_without_a_warning(started: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever begins, begins clean."""
    assert cli.main(["check", "--strict", str(started / "spikebridge.yaml")]) == 0

    assert capsys.readouterr().out.splitlines()[-1] == "0 errors, 0 warnings; 3 rules; 5 tests, 0 failed"


def test_init_overwrites_nothing(started: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One file that is there is enough to leave all as they are."""
    (started / "inventory.yaml").unlink()
    (started / "spikebridge.yaml").write_text("tenant: mine\n")

    assert cli.main(["init", "--dir", str(started)]) == 2
    assert "found spikebridge.yaml, mappings/network.yaml: nothing was written" in capsys.readouterr().err
    assert (started / "spikebridge.yaml").read_text() == "tenant: mine\n"
    assert not (started / "inventory.yaml").exists()


def test_six_mistakes_are_six_located_lines_and_exit_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each with file, line and column, what was found, what was expected, and a suggestion where there is one."""
    file = tmp_path / "network.yaml"
    file.write_text(SIX_MISTAKES)

    assert cli.main(["check", str(file)]) == 1
    *lines, last = capsys.readouterr().out.replace(f"{tmp_path}/", "").splitlines()
    assert lines == [
        "network.yaml:2:14: neuron_id: expected neurons from 0 to 4294967294, the lower number first, found -1",
        'network.yaml:4:13: severity: expected one of Low, Medium, High, Critical, found "Hgih"; did you mean "High"?',
        "network.yaml:5:3: threat_type: required, but missing",
        'network.yaml:7:3: actoin: unknown key; did you mean "action"?',
        'network.yaml:8:59: suppress: expected 1s or more, found "10ms"',
        'network.yaml:9:58: attack[0]: expected an ATT&CK technique such as T1498 or T1498.001, found "T14"',
    ]
    assert last == "6 errors, 0 warnings; 0 rules; 0 tests, 0 failed"


def test_warnings_exit_0_unless_strict(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A rule without a test is no error."""
    file = tmp_path / "a.yaml"
    file.write_text("mappings:\n- {neuron_id: 1, threat_type: A, severity: Low}\n")

    assert [cli.main(["check", str(file)]), cli.main(["check", "--strict", str(file)])] == [0, 1]
    assert capsys.readouterr().out.count("0 errors, 2 warnings; 1 rule; 0 tests, 0 failed") == 2


def test_what_a_file_is_shows_in_its_content(started: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A whole directory: configuration, inventory and mappings under any name; the problems of all of them at once."""
    (started / "spikebridge.yaml").rename(started / "z.yaml")
    (started / "more.yml").write_text("devices: [{id: x, clas: y}]\n")
    good = (started / "z.yaml").read_text()
    (started / "z.yaml").write_text(good + "log: {levl: debug}\n")
    (started / "broken.yaml").write_text("mappings: [\n")

    assert cli.main(["check", str(started)]) == 1
    *lines, _ = capsys.readouterr().out.replace(f"{started}/", "").splitlines()
    assert lines == [
        "broken.yaml:2:1: not YAML: while parsing a flow node, did not find expected node content",
        f"more.yml:1:1: expected one inventory, found another one: {started}/inventory.yaml".replace(f"{started}/", ""),
        f'z.yaml:{len(good.splitlines()) + 1}:7: log.levl: unknown key; did you mean "level"?',
    ]


def test_without_paths_the_configuration_here_is_checked_or_the_shipped_mappings(started: Path, tmp_path: Path) -> None:
    """`spikebridge check` alone does something sensible."""
    command = [sys.executable, "-m", "spikebridge", "check", "--json"]
    runs = [
        subprocess.run(command, cwd=directory, capture_output=True, text=True, check=True, timeout=60)
        for directory in (started, tmp_path)
    ]
    here, shipped = (json.loads(run.stdout) for run in runs)

    assert here["tests"] == 5
    assert shipped["tests"] > 60
    assert shipped["problems"] == []


def test_a_machine_reads_problems_costs_and_tests(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One JSON document, also when nothing loads."""
    file = tmp_path / "a.yaml"
    file.write_text("mappings:\n- {neuron_id: 1, threat_type: A, severity: Low}\n")
    assert cli.main(["check", "--json", str(file)]) == 0
    good = json.loads(capsys.readouterr().out)
    file.write_text("mappings: 3\n")
    assert cli.main(["check", "--json", str(file)]) == 1
    bad = json.loads(capsys.readouterr().out)

    assert good["rules"] == [{"rule": "a-1", "kind": "event_count", "memory_ns": 120_000_000_000, "bytes_per_device": 32}]
    assert (good["tests"], good["failed"], len(good["problems"])) == (0, 0, 2)
    assert bad["problems"] == [
        {"file": str(file), "line": 1, "column": 11, "where": "mappings", "level": "error", "message": "expected a list, found 3; write [...] around it"}
    ]  # fmt: skip


def test_a_log_shows_what_mappings_miss(started: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Neurons that fired and mean nothing; rules that never spoke."""
    records = records_of([Stretch("thermostat-7", parse_spikes("42 x25 every 2ms; 5:7 x3"))])
    with Spool(started / "data") as spool:
        spool.append([record.value for record in records])

    assert cli.main(["check", str(started / "spikebridge.yaml"), "--against", f"spool:{started / 'data'}"]) == 0
    lines = capsys.readouterr().out.splitlines()
    at = lines.index("log: 3 records, 1 alert of 1 rule")
    assert lines[at + 1 : at + 5] == [
        "fired, and no rule listens:",
        "LAYER  NEURON  SPIKES",
        "5      7       3",
        "rules that never spoke: busy-layer, device-silent",
    ]


def test_a_log_that_is_not_there_is_wrong_usage(started: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is created by looking."""
    codes = [
        cli.main(["check", str(started / "spikebridge.yaml"), "--against", log])
        for log in (f"spool:{started / 'data'}", "topic", "spool:")
    ]

    assert codes == [2, 2, 2]
    assert 'expected spool:DIR, found "topic"' in capsys.readouterr().err
    assert not (started / "data").exists()


def test_publish_makes_a_revision_of_what_differs(started: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same again is the same revision; comments make no difference, and every new one is in the audit log."""
    config = str(started / "spikebridge.yaml")
    mapping = started / "mappings" / "network.yaml"
    said = []
    for edit in ("", "# a comment\n", "- {name: added, spikes: 8, expect: []}\n"):
        mapping.write_text(mapping.read_text() + edit)
        assert cli.main(["publish", "--config", config]) == 0
        said.append(capsys.readouterr().out)
    mapping.write_text(mapping.read_text().replace("severity: High", "severity: Critical"))
    assert cli.main(["publish", "--config", config, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)

    assert said == [
        "revision 1 published: 3 rules, 1 incident rule, 2 devices\n",
        *["revision 1 already the newest: 3 rules, 1 incident rule, 2 devices\n"] * 2,
    ]
    assert (document["revision"], document["new"], document["warnings"]) == (2, True, [])
    with Store(started / "data") as store:
        assert [(row.event, json.loads(row.detail)["number"]) for row in store.audit()] == [
            ("revision published", 2),
            ("revision published", 1),
        ]


def test_a_mapping_that_is_too_large_is_refused_without_being_parsed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Only an inventory may be larger than a mapping; what can't be one is not read as one to find out."""
    (tmp_path / "large.yaml").write_text("mappings:\n" + "- {neuron_id: [\n" * 100_000)

    assert cli.main(["check", str(tmp_path / "large.yaml")]) == 1
    assert "1,048,576 bytes" in capsys.readouterr().out


def test_publish_refuses_mappings_that_fail_their_own_tests(started: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A rule that no longer does what its author wrote down never comes into force unseen."""
    mapping = started / "mappings" / "network.yaml"
    mapping.write_text(mapping.read_text().replace("count: 20,", "count: 90,"))

    assert cli.main(["publish", "--config", str(started / "spikebridge.yaml")]) == 2
    assert "a 50 ms packet burst is a DDoS burst" in capsys.readouterr().err


def test_publish_refuses_a_correlation_over_several_sites_for_kafka(started: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Alerts are spread by site there: each instance would find its own part of the incident, under the id of the whole."""
    config = started / "spikebridge.yaml"
    kafka = "logs:\n  plant: {type: kafka, servers: ['127.0.0.1:1'], topics: [spikes]}\n"
    config.write_text(config.read_text() + kafka)
    (started / "mappings" / "wide.yaml").write_text(
        "correlations:\n- {id: everywhere, type: value_count, rules: ['*'], condition: {field: device, gte: 3}, timespan: 10m,"
        " threat_type: Spread, severity: High}\n"
    )

    assert cli.main(["publish", "--config", str(config)]) == 2
    assert "correlation everywhere: group-by: expected site or device among the fields" in capsys.readouterr().err


def test_publish_takes_named_files_in_place_of_the_configured_ones(started: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The inventory stays that of the configuration."""
    assert cli.main(["publish", "--config", str(started / "spikebridge.yaml"), str(shipped_mappings())]) == 0

    assert capsys.readouterr().out == "revision 1 published: 39 rules, 8 incident rules, 2 devices\n"


def test_a_wrong_file_publishes_nothing(started: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The newest revision stays, and every problem is told."""
    config = str(started / "spikebridge.yaml")
    assert cli.main(["publish", "--config", config]) == 0
    (started / "mappings" / "more.yaml").write_text(SIX_MISTAKES)

    assert cli.main(["publish", "--config", config]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 6
    with Spool(started / "data") as spool:
        assert spool.newest() == 1


def test_a_copy_of_the_shipped_mappings_is_a_good_start(tmp_path: Path) -> None:
    """They carry all that they need."""
    shutil.copytree(shipped_mappings(), tmp_path / "mappings")

    assert cli.main(["check", "--strict", str(tmp_path / "mappings")]) == 0
