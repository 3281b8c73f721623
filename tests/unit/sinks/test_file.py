"""The file sink: whole lines, on the disk, once."""

from __future__ import annotations

import json
import os
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spikebridge.alerts import Alert, AlertEntry, DeviceInfo, RuleInfo, alert_entry
from spikebridge.errors import SinkRefused, SinkUnavailable
from spikebridge.sinks.file import FileSink, Settings, probe

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def an_entry(number: int) -> AlertEntry:
    """Make the entry of an alert with an id of its own."""
    alert = Alert(
        id=f"alert-{number}",
        tenant="acme",
        log="spool",
        partition=0,
        offset=number,
        ordinal=0,
        revision=1,
        revision_digest="d",
        rule=RuleInfo(id="burst", kind="event_count", threat="Burst", severity="High", digest="r"),
        device=DeviceInfo(id="cam\n\x1b[31m"),
        group=["cam"],
        time_ns=1,
        time_source="device",
        append_ns=1,
        interval_start_ns=0,
        interval_ns=60,
        first_ns=1,
        last_ns=1,
        count=1,
    )
    return alert_entry(alert, ())


ENTRIES = [an_entry(number) for number in range(40)]


@contextmanager
def a_sink(path: Path, **settings: object) -> Iterator[FileSink]:
    """Make a sink, open it, close it."""
    sink = FileSink(Settings.model_validate({"path": str(path), **settings}), path.parent)
    try:
        sink.open()
        yield sink
    finally:
        sink.close()


def written(path: Path) -> list[str]:
    """Read the ids back, one a line."""
    return [json.loads(line)["id"] for line in path.read_bytes().splitlines()]


def test_a_document_is_one_line_in_the_chosen_format(tmp_path: Path) -> None:
    """Control characters of a name stay escaped."""
    path = tmp_path / "new" / "a.jsonl"
    with a_sink(path, format="ecs") as sink:
        sink.write(ENTRIES[:1])
    [line] = path.read_text().splitlines()
    assert json.loads(line)["event"]["kind"] == "alert"
    assert "\x1b" not in line


def test_a_line_that_a_crash_cut_short_is_removed_and_written_anew(tmp_path: Path) -> None:
    """No half line is left, and nothing is there twice."""
    path = tmp_path / "a.jsonl"
    with a_sink(path) as sink:
        sink.write(ENTRIES[:3])
    path.write_bytes(path.read_bytes()[:-7])
    with a_sink(path) as sink:
        assert written(path) == ["alert-0", "alert-1"]
        sink.write(ENTRIES[:4])
    assert written(path) == ["alert-0", "alert-1", "alert-2", "alert-3"]


@given(st.integers(0, 1 << 14), st.integers(0, 20), st.integers(1, 20))
def test_whatever_was_cut_the_same_batch_again_makes_the_file_whole(
    tmp_path_factory: pytest.TempPathFactory, cut: int, before: int, batch: int
) -> None:
    """A kill during a batch, at any byte, leaves each alert once after the batch is written again."""
    path = tmp_path_factory.mktemp("cut") / "a.jsonl"
    entries = ENTRIES[: before + batch]
    with a_sink(path) as sink:
        sink.write(entries[:before])
        least = path.stat().st_size
        sink.write(entries[before:])
    whole = path.read_bytes()
    path.write_bytes(whole[: max(least, len(whole) - cut)])
    with a_sink(path) as sink:
        sink.write(entries[before:])
    assert path.read_bytes() == whole


def test_a_full_file_is_rotated_and_the_oldest_is_dropped(tmp_path: Path) -> None:
    """PATH.1 is the newest of the rotated ones."""
    with a_sink(tmp_path / "a.jsonl", rotate_size="1B", keep=2) as sink:
        for entry in ENTRIES[:4]:
            sink.write([entry])
    assert {file.name: written(file) for file in tmp_path.iterdir()} == {
        "a.jsonl": ["alert-3"],
        "a.jsonl.1": ["alert-2"],
        "a.jsonl.2": ["alert-1"],
    }


@pytest.mark.parametrize("made", [False, True])
def test_a_file_that_was_renamed_or_deleted_is_begun_anew(tmp_path: Path, *, made: bool) -> None:
    """As log rotators do, whether they make the new one or leave that to us: no line goes where nobody looks."""
    path, away = tmp_path / "a.jsonl", tmp_path / "a.jsonl-20260101"
    with a_sink(path) as sink:
        sink.write(ENTRIES[:2])
        path.rename(away)
        if made:
            path.touch()
        sink.write(ENTRIES[1:3])
        assert (written(away), written(path)) == (["alert-0", "alert-1"], ["alert-2"])
        path.unlink()
        sink.write(ENTRIES[3:4])
    assert written(path) == ["alert-3"]


def test_a_directory_that_was_deleted_is_made_anew(tmp_path: Path) -> None:
    """With the second try, as the host makes it."""
    path = tmp_path / "logs" / "a.jsonl"
    with a_sink(path) as sink:
        sink.write(ENTRIES[:1])
        shutil.rmtree(path.parent)
        with pytest.raises(SinkUnavailable, match="No such file"):
            sink.write(ENTRIES[1:2])
        sink.write(ENTRIES[1:2])
    assert written(path) == ["alert-1"]


def test_a_repeat_right_after_a_rotation_is_known(tmp_path: Path) -> None:
    """The last lines are looked for in the file rotated before, too."""
    path = tmp_path / "a.jsonl"
    with a_sink(path, rotate_size="1B") as sink:
        sink.write(ENTRIES[:1])
        sink.write(ENTRIES[1:2])
    with a_sink(path, rotate_size="1B") as sink:
        sink.write(ENTRIES[:3])
    assert [name for file in sorted(tmp_path.iterdir(), reverse=True) for name in written(file)] == [
        "alert-0",
        "alert-1",
        "alert-2",
    ]


def test_what_lies_further_back_than_the_last_lines_is_written_again(tmp_path: Path) -> None:
    """Nothing on the spool does; on Kafka, where commits follow a moment later, something may."""
    path = tmp_path / "a.jsonl"
    entries = [an_entry(number) for number in range(2_003)]
    with a_sink(path) as sink:
        sink.write(entries)
    with a_sink(path) as sink:
        assert sink.write(entries) == 2_000
    assert written(path)[2_003:] == ["alert-0", "alert-1", "alert-2"]


def test_what_cannot_be_read_is_refused_and_its_neighbours_are_written(tmp_path: Path) -> None:
    """The refusal names the entry."""
    path = tmp_path / "a.jsonl"
    odd = AlertEntry("odd", "alert", 1, (-1, 0, 0), b'{"kind": "odd"}')
    with a_sink(path) as sink, pytest.raises(SinkRefused) as refusal:
        sink.write([ENTRIES[0], odd, ENTRIES[1]])
    assert list(refusal.value.reasons) == ["odd"]
    assert written(path) == ["alert-0", "alert-1"]


def test_a_path_that_cannot_be_written_is_a_sink_that_is_away(tmp_path: Path) -> None:
    """It is tried again: somebody may make room or mend the path."""
    (tmp_path / "file").write_text("")
    with pytest.raises(SinkUnavailable, match=r"Not a directory|File exists"), a_sink(tmp_path / "file" / "a.jsonl"):
        pass


def test_a_probe_fails_where_the_sink_could_not_open_its_file(tmp_path: Path) -> None:
    """A directory that may be written in isn't enough."""
    (tmp_path / "there").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for name, why in (("there", "a directory"), ("pipe", "no file of bytes"), ("a" * 300, "File name too long")):
        path = tmp_path / name
        directory, file = probe(Settings.model_validate({"path": str(path)}), "acme")
        assert directory.ok
        assert (file.ok, file.detail) == (False, f"{path}: {why}")


def test_a_probe_passes_a_file_that_can_be_opened_and_changes_nothing(tmp_path: Path) -> None:
    """Neither before its first line nor after it."""
    path = tmp_path / "a.jsonl"
    settings = Settings.model_validate({"path": str(path)})
    assert [(check.ok, check.detail) for check in probe(settings, "acme")][1:] == [(True, f"{path}: not there yet")]
    assert not path.exists()

    with a_sink(path) as sink:
        sink.write(ENTRIES[:1])
        assert [(check.ok, check.detail) for check in probe(settings, "acme")][1:] == [(True, f"{path}: takes lines")]
        sink.write(ENTRIES[1:2])
    assert written(path) == ["alert-0", "alert-1"]


def test_standard_output_is_written_and_stays_open(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    """A dash is no file."""
    sink = FileSink(Settings.model_validate({"path": "-"}), tmp_path)
    sink.open()
    sink.write(ENTRIES[:2])
    sink.close()
    print("still open")  # noqa: T201 -- that it can be printed is the promise
    out = capfdbinary.readouterr().out.splitlines()
    assert [json.loads(line)["id"] for line in out[:2]] == ["alert-0", "alert-1"]
    assert list(tmp_path.iterdir()) == []
