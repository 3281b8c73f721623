"""`alerts`, `deadletters` and `audit` over a store with little in it."""

from __future__ import annotations

import json
import os
import sqlite3
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from spikebridge import cli
from spikebridge.alerts import (
    Alert,
    AlertEntry,
    DeviceInfo,
    EvidenceInfo,
    EvidenceRecord,
    Incident,
    Member,
    PeerCount,
    RuleInfo,
    alert_entry,
    incident_entry,
    read_finding,
)
from spikebridge.app.status import StageStatus, Status, write_status
from spikebridge.cli import deadletters
from spikebridge.logs import Cursor
from spikebridge.logs.spool import Spool
from spikebridge.store import Store, record_letter, sink_letter

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Run = Callable[..., str]

NOON = 1_763_640_000_000_000_000
SECOND = 1_000_000_000


def alert(name: str, severity: str, device: str, after: int) -> AlertEntry:
    """Return an alert some seconds after noon."""
    rule = RuleInfo(
        id="ddos-burst",
        kind="event_count",
        threat="DDoS_Burst",
        severity=severity,  # type: ignore[arg-type]
        digest="",
        action="Block_IP",
        false_positives=["a firmware update"],
    )
    made = Alert(
        id=name,
        tenant="default",
        log="log",
        partition=0,
        offset=after,
        ordinal=0,
        revision=3,
        revision_digest="",
        rule=rule,
        device=DeviceInfo(id=device, device_class="camera", site="hall"),
        group=[device],
        time_ns=NOON + after * SECOND,
        time_source="device",
        append_ns=NOON + after * SECOND,
        interval_start_ns=NOON,
        interval_ns=60 * SECOND,
        first_ns=NOON,
        last_ns=NOON + after * SECOND,
        count=20,
        peers=[PeerCount(address="10.0.0.7", count=20)],
        evidence=EvidenceInfo(records=[EvidenceRecord(offset=17, append_ns=NOON, size=3, sha256="")], partial=True),
        explanation="20 spikes within 1 s",
    )
    return alert_entry(made, (b"abc",))


def incident() -> AlertEntry:
    """Return an incident of two alerts."""
    member = Member(id="a1b2c3d4-1", rule="r", threat="DDoS_Burst", severity="High", device="cam-1", time_ns=NOON)
    made = Incident(
        id="e5f6-incident",
        version=2,
        tenant="default",
        revision=3,
        revision_digest="",
        rule=RuleInfo(id="outbreak", kind="value_count", threat="Outbreak", severity="Critical", digest=""),
        site="hall",
        group=["hall"],
        time_ns=NOON + 9 * SECOND,
        append_ns=NOON,
        first_ns=NOON,
        last_ns=NOON,
        interval_start_ns=NOON,
        interval_ns=SECOND,
        devices=["cam-1", "evil\x1b[2J"],
        members=[member],
    )
    return incident_entry(made)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Fill a store."""
    with Store(tmp_path) as store:
        store.write([alert("a1b2c3d4-1", "High", "cam-1", 1), alert("a1b2ffff-2", "Low", "lock-1", 2), incident()])
    return tmp_path


@pytest.fixture
def run(data: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command on that store; return what it printed."""

    def command(*words: str, code: int = 0) -> str:
        assert cli.main([*words, "--data", str(data)]) == code
        out, err = capsys.readouterr()
        return err if code == cli.USAGE else out

    return command


def test_a_table_says_that_older_alerts_were_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Fifty are the default; who named a number knows."""
    with Store(tmp_path) as store:
        store.write([alert(f"{number:08d}", "High", "cam-1", number) for number in range(60)])
    for more, told in ([], "alerts: the newest 50; --limit N shows more\n"), (["--limit", "55"], ""), (["--json"], ""):
        assert cli.main(["alerts", "--data", str(tmp_path), *more]) == 0
        assert capsys.readouterr().err == told
    with Store(tmp_path) as store:
        store.write([], max_bytes=1)
    assert cli.main(["alerts", "--data", str(tmp_path)]) == 0
    assert "alerts: 60 that came first were given up for newer ones" in capsys.readouterr().err


def test_alerts_are_listed_newest_first_and_can_be_narrowed(run: Run) -> None:
    """One line each; names that others chose can't steer the terminal."""
    assert run("alerts") == (
        "ID        TIME                      SEVERITY  THREAT      DEVICE     SITE  COUNT\n"
        "e5f6-inc  2025-11-20T12:00:09.000Z  Critical  Outbreak    2 devices  hall  2\n"
        "a1b2ffff  2025-11-20T12:00:02.000Z  Low       DDoS_Burst  lock-1     hall  20\n"
        "a1b2c3d4  2025-11-20T12:00:01.000Z  High      DDoS_Burst  cam-1      hall  20\n"
    )
    assert [line[:8] for line in run("alerts", "--severity", "High", "--device", "cam-1").splitlines()[1:]] == [
        "e5f6-inc",
        "a1b2c3d4",
    ]
    assert [line[:8] for line in run("alerts", "--since", "2025-11-20T12:00:02", "--kind", "alert").splitlines()[1:]] == [
        "a1b2ffff"
    ]
    assert run("alerts", "--since", "1h").count("\n") == 1


def test_an_incident_of_one_device_names_it(run: Run, data: Path) -> None:
    """A number of devices is for several."""
    made = read_finding(incident().body)
    assert isinstance(made, Incident)
    with Store(data) as store:
        store.write([incident_entry(msgspec.structs.replace(made, version=3, devices=["cam-1"]))])

    assert run("alerts", "--kind", "incident").splitlines()[1].split()[3:] == ["Outbreak", "cam-1", "hall", "3"]


def test_explain_lists_the_alerts_of_an_incident(run: Run) -> None:
    """An incident can't be replayed, its alerts can: each with the beginning of its id; what isn't listed is counted."""
    assert run("explain", "e5f6").splitlines()[1:] == [
        "",
        "ID        TIME                      SEVERITY  THREAT      DEVICE",
        "a1b2c3d4  2025-11-20T12:00:00.000Z  High      DDoS_Burst  cam-1",
        "and 1 more: `--json` has the first 1",
        "",
        "each can be replayed: spikebridge replay a1b2c3d4",
    ]


def test_one_alert_is_told_in_full(run: Run) -> None:
    """The beginning of the id is enough where it is clear."""
    text = run("alerts", "a1b2c")
    assert "cam-1 (camera, hall)" in text
    assert "20 from 2025-11-20T12:00:00.000000000Z to 2025-11-20T12:00:01.000000000Z" in text
    assert "log/0: 17 (partial)" in text
    assert "false positive  a firmware update" in text

    text = run("alerts", "e5f6")
    assert "cam-1, evil\\x1b[2J" in text
    assert "a1b2c3d4 2025-11-20T12:00:00.000000000Z DDoS_Burst cam-1" in text
    assert "several begin like that: a1b2c3d4-1, a1b2ffff-2" in run("alerts", "a1b2", code=2)


@pytest.mark.parametrize(("name", "key"), [("json", "explanation"), ("ecs", "@timestamp"), ("stix", "objects")])
def test_alerts_come_in_every_format(run: Run, name: str, key: str) -> None:
    """One JSON document a line."""
    documents = [json.loads(line) for line in run("alerts", "--format", name).splitlines()]
    assert len(documents) == 3
    assert all(key in document for document in documents)


def test_wrong_usage_is_told(run: Run, tmp_path: Path) -> None:
    """No traceback, nothing made."""
    assert 'expected a time such as 1h, 7d or 2026-11-20T10:00:00Z, found "tomorrow"' in run(
        "alerts", "--since", "tomorrow", code=2
    )
    assert cli.main(["alerts", "--data", str(tmp_path / "nothing")]) == 2
    assert not (tmp_path / "nothing").exists()


def test_the_directory_comes_from_the_configuration(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--config` instead of `--data`, relative to the file."""
    (tmp_path / "spikebridge.yaml").write_text(f"data: {data}\n", encoding="utf-8")

    assert cli.main(["alerts", "--config", str(tmp_path / "spikebridge.yaml")]) == 0
    assert "a1b2c3d4" in capsys.readouterr().out


def test_dead_letters_are_listed_shown_and_dropped(run: Run, data: Path) -> None:
    """What was dropped stands in the audit log."""
    with Store(data) as store:
        letter = record_letter("log", 0, 17, 0, ("truncated", b'{"a\x1b\xff'), NOON)
        store.bury([letter, sink_letter("splunk", alert("a1b2c3d4-1", "High", "cam-1", 1), "no such index", NOON)])

    assert [line.split()[2:5] for line in run("deadletters", "list").splitlines()[1:]] == [
        ["sink", "splunk", "1"],
        ["record", "log/0/17", "1"],
    ]
    assert [json.loads(line)["kind"] for line in run("deadletters", "list", "--json", "--place", "log").splitlines()] == [
        "record"
    ]
    assert '{"a\\x1b\\xff' in run("deadletters", "show", letter.id[:12])
    assert json.loads(run("deadletters", "show", letter.id, "--json"))["raw"] == "eyJhG/8="
    assert "expected the ids of letters, or --all" in run("deadletters", "drop", code=2)
    assert "found nothing" in run("deadletters", "drop", "nothing", code=2)

    assert run("deadletters", "drop", "--all", "--kind", "record") == "1 dropped\n"
    assert run("deadletters", "list").count("\n") == 2
    assert json.loads(run("audit", "list", "--json"))["event"] == "deadletters.drop"


def test_a_record_is_retried_by_appending_it_and_an_alert_by_asking_its_sink(run: Run, data: Path) -> None:
    """A record of a recording is not put among the live ones."""
    with Store(data) as store, Spool(data) as spool:
        sinks = sink_letter("splunk", alert("a1b2c3d4-1", "High", "cam-1", 1), "no such index", NOON)
        store.bury(
            [
                record_letter(spool.id, 0, 17, 0, ("x", b"live"), NOON),
                record_letter("other", 0, 1, 0, ("x", b"past"), NOON),
                sinks,
            ]
        )

        assert run("deadletters", "retry", "--all") == (
            "1 appended to the spike log again\n"
            "1 left, of a recording or a log that is not read any more: mend what it holds and send it\n"
            "1 will be delivered again by `spikebridge run`\n"
        )
        assert [record.value for record in spool.poll(0, 1_000)] == [b"live"]
        assert [entry.id for entry in store.wanted("splunk", 9)] == ["a1b2c3d4-1"]
        assert [letter.raw for letter in store.letters(kind="record")] == [b"past"]


def test_letters_are_retried_by_their_ids(run: Run, data: Path) -> None:
    """A record and what a sink refused at once; a letter named twice is one."""
    with Store(data) as store, Spool(data) as spool:
        record = record_letter(spool.id, 0, 17, 0, ("x", b"live"), NOON)
        refused = sink_letter("splunk", alert("a1b2c3d4-1", "High", "cam-1", 1), "no such index", NOON)
        store.bury([record, refused])

        assert run("deadletters", "retry", record.id, refused.id, record.id[:12]) == (
            "1 appended to the spike log again\n1 will be delivered again by `spikebridge run`\n"
        )
        assert [one.value for one in spool.poll(0, 1_000)] == [b"live"]
        assert [entry.id for entry in store.wanted("splunk", 9)] == ["a1b2c3d4-1"]
        store.bury([record])
        assert run("deadletters", "retry", record.id) == "1 appended to the spike log again\n"


def test_records_are_retried_a_part_at_a_time_in_the_order_in_which_they_came(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """They may hold a gigabyte; here two are a part. Where the log takes no more, what it took is no letter any more, as the audit log says."""
    monkeypatch.setattr(deadletters, "PART_RECORDS", 2)
    config = tmp_path / "spikebridge.yaml"
    config.write_text(f"data: {data}\nspool: {{size: 5KB}}\n", encoding="utf-8")
    retry = ["deadletters", "retry", "--all", "--config", str(config)]
    with Store(data) as store, Spool(data) as spool:
        letters = [record_letter(spool.id, 0, offset, 0, ("x", b"%d" % offset * 1_000), NOON) for offset in range(7)]
        store.bury(letters)

        assert cli.main(retry) == cli.USAGE
        assert "full" in capsys.readouterr().err
        assert [record.value[:1] for record in spool.poll(0, 1 << 20)] == [b"0", b"1", b"2", b"3"]
        assert [letter.raw[:1] for letter in store.letters()] == [b"6", b"5", b"4"]
        assert [json.loads(row.detail) for row in store.audit(9)] == [
            {"letters": [letter.id for letter in part]} for part in (letters[2:4], letters[:2])
        ]


def test_many_bytes_are_a_part_too(run: Run, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However few records they are: the audit log has a row for each part."""
    monkeypatch.setattr(deadletters, "PART_BYTES", 10)
    with Store(data) as store, Spool(data) as spool:
        store.bury([record_letter(spool.id, 0, offset, 0, ("x", bytes(6)), NOON) for offset in range(5)])

        assert run("deadletters", "retry", "--all") == "5 appended to the spike log again\n"
        assert [len(json.loads(row.detail)["letters"]) for row in store.audit(9)] == [1, 2, 2]


def test_a_letter_that_this_version_can_not_read_is_not_asked_for(run: Run, data: Path) -> None:
    """It is named with what to do, and its neighbour is asked for."""
    known = alert("a1b2c3d4-1", "High", "cam-1", 1)
    kind: Any = "decision"
    newer = sink_letter("console", known._replace(kind=kind), "no such index", NOON)
    with Store(data) as store:
        store.bury([sink_letter("splunk", known, "no such index", NOON), newer])
        told = run("deadletters", "retry", "--all")
        assert told.startswith(
            f"left: dead letter {newer.id}: expected an alert or an incident as this version knows them, found"
        )
        assert told.endswith("upgrade this one, or drop the letter\n1 will be delivered again by `spikebridge run`\n")
        assert {letter.place: letter.wanted for letter in store.letters()} == {"splunk": True, "console": False}
    assert newer.id not in run("audit", "list", "--json")


def test_that_nobody_delivers_to_a_sink_is_told(run: Run, data: Path) -> None:
    """A letter waits in the store of one instance: a sink's stage over another store never sees it."""
    with Store(data) as store:
        store.bury(
            [sink_letter(name, alert("a1b2c3d4-1", "High", "cam-1", 1), "too large", NOON) for name in ("siem", "console")]
        )
        told = "2 will be delivered again by `spikebridge run`\n"
        assert run("deadletters", "retry", "--all") == told

        status = Status(pid=os.getpid(), started_ns=1, running=True, version="1")
        stages = ["spikes", "deliver:console"]
        named = msgspec.structs.replace(status, stages=[StageStatus(name=name, error="") for name in stages])
        write_status(data, stages, named)
        assert run("deadletters", "retry", "--all") == (
            f"{told}no service that runs over {data} has the stage deliver:siem: its letters wait for one, "
            "which may be `spikebridge run --stages deliver:siem --once` with this `data`\n"
        )


def test_no_spool_is_made_to_retry_a_record(run: Run, data: Path) -> None:
    """A new one would be another log, that no service reads: the letter stays."""
    with Store(data) as store:
        letter = record_letter("log", 0, 17, 0, ("x", b"live"), NOON)
        store.bury([letter])

    assert f"there is no spool at {data}" in run("deadletters", "retry", "--all", code=2)
    assert not (data / "spool.db").exists()
    with Store(data, read_only=True) as store:
        assert store.letters() == [letter]


def test_audit_verify_finds_what_was_changed(run: Run, data: Path) -> None:
    """Exit 0 and the newest hash, or exit 1 and the first bad row."""
    with Store(data) as store:
        row = store.record(NOON, "ada", "publish", {"revision": 1})

    assert run("audit", "verify") == f"1 rows, unchanged; newest hash {row.hash}\n"
    assert run("audit", "verify", "--head", row.hash[:16]).startswith("1 rows, unchanged")
    assert run("audit", "verify", "--head", "ffff", code=1).startswith("no row has the hash ffff")
    assert run("audit", "list").splitlines()[1].split()[2:] == ["ada", "publish", '{"revision":1}']

    connection = sqlite3.connect(data / "store.db")
    connection.execute("UPDATE audit SET actor = 'eve'")
    connection.commit()
    connection.close()
    assert run("audit", "verify", code=1) == "row 1 was changed: its hash does not match what it says\n"
    assert json.loads(run("audit", "verify", "--json", code=1))["bad_row"] == 1


def test_a_sink_that_will_not_come_back_is_forgotten(run: Run, data: Path) -> None:
    """Retention waits no longer; an unknown reader is told with those there are, and no spool is made for it."""
    assert "there is no spool at" in run("forget", "deliver:splunk", code=2)
    with Spool(data) as spool:
        spool.advance("deliver:splunk", Cursor(3))

    assert "expected one of the readers of" in run("forget", "splunk", code=2)
    assert run("forget", "deliver:splunk") == ""
    with Spool(data) as spool:
        assert spool.cursors() == {}
    assert json.loads(run("audit", "list", "--json"))["detail"] == '{"reader":"deliver:splunk"}'


def test_on_kafka_a_forgotten_sink_is_a_consumer_group(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its positions are the brokers' to remove, so the command for that is told; no spool is looked for."""
    monkeypatch.chdir(tmp_path)
    log = {"type": "kafka", "servers": ["127.0.0.1:1", "127.0.0.1:2"], "topics": ["spikes"]}
    (tmp_path / "spikebridge.yaml").write_text(json.dumps({"tenant": "acme", "logs": {"plant": log}}))

    assert cli.main(["forget", "deliver:splunk"]) == 2
    command = "--bootstrap-server 127.0.0.1:1,127.0.0.1:2 --delete --group spikebridge-acme.deliver.splunk"
    assert capsys.readouterr().err.endswith(f"kafka-consumer-groups.sh {command}\n")
