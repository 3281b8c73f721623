"""What every sink promises, over all that the registry names: a new one can't be left out."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from pydantic import ValidationError

from spikebridge import metrics as numbers
from spikebridge import registry
from spikebridge.alerts import Alert, AlertEntry, DeviceInfo, RuleInfo, alert_entry
from spikebridge.delivery import Delivery, Surroundings
from spikebridge.errors import SinkUnavailable
from spikebridge.logs import Commit
from spikebridge.metrics import Metrics
from spikebridge.store import Query, Store
from spikebridge.testing import FakeClock, MemoryLetters, MemoryLog

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from spikebridge.delivery import Sink


def _file_lines(directory: Path) -> list[str]:
    return [re.findall(r'"id":"(alert-\d+)"', line)[0] for line in (directory / "out.jsonl").read_text().splitlines()]


def _stored(directory: Path) -> list[str]:
    with Store(directory) as store:
        return sorted(entry.id for entry in store.findings(Query()))


SETTINGS: dict[str, dict[str, Any]] = {"file": {"path": "out.jsonl"}, "store": {}}
"""Settings under which each kind of sink works without a server."""

DELIVERED: dict[str, Callable[[Path], list[str]]] = {"file": _file_lines, "store": _stored}
"""How a test reads back what each kind of sink delivered."""

BLOCKED = {"file": "out.jsonl", "store": "store.db"}
"""What stands in the way of each kind of sink when a directory has its name."""

KINDS = registry.names("sinks")


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
        device=DeviceInfo(id="cam"),
        group=["cam"],
        time_ns=number,
        time_source="device",
        append_ns=1,
        interval_start_ns=0,
        interval_ns=60,
        first_ns=1,
        last_ns=1,
        count=1,
    )
    return alert_entry(alert, ())


ENTRIES = [an_entry(number) for number in range(5)]
IDS = [entry.id for entry in ENTRIES]


def settings_of(kind: str, directory: Path, given: dict[str, Any]) -> Any:
    """Validate settings as the configuration does."""
    model = importlib.import_module(registry.SINKS[kind].partition(":")[0]).Settings
    return model.model_validate(given, context={"directory": directory})


@contextmanager
def a_sink(kind: str, directory: Path) -> Iterator[Sink]:
    """Make a sink and close it at the end."""
    sink: Sink = registry.load("sinks", kind)(settings_of(kind, directory, SETTINGS[kind]), directory)
    try:
        yield sink
    finally:
        sink.close()


def test_every_sink_is_under_this_contract() -> None:
    """Settings and a way to read back are given for each."""
    assert sorted(SETTINGS) == sorted(DELIVERED) == sorted(BLOCKED) == KINDS


@pytest.mark.parametrize("kind", KINDS)
def test_it_opens_writes_and_closes_twice(kind: str, tmp_path: Path) -> None:
    """What was acknowledged is there after the sink is closed; an empty batch is one too."""
    with a_sink(kind, tmp_path) as sink:
        sink.open()
        sink.write(ENTRIES)
        sink.write([])
        sink.close()
        sink.close()
    assert DELIVERED[kind](tmp_path) == IDS


@pytest.mark.parametrize("kind", KINDS)
def test_closing_what_was_never_opened_does_nothing(kind: str, tmp_path: Path) -> None:
    """A start that failed can be cleaned up."""
    with a_sink(kind, tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_written_again_is_there_once(kind: str, tmp_path: Path) -> None:
    """Within one life and after a restart: a kill between acknowledgement and cursor repeats the batch."""
    with a_sink(kind, tmp_path) as sink:
        sink.open()
        sink.write(ENTRIES[:3])
        sink.write(ENTRIES[:3])
    with a_sink(kind, tmp_path) as sink:
        sink.open()
        sink.write(ENTRIES[1:])
    assert DELIVERED[kind](tmp_path) == IDS


@pytest.mark.parametrize("kind", KINDS)
def test_it_can_be_opened_again_after_it_was_closed(kind: str, tmp_path: Path) -> None:
    """One object lives as long as its delivery."""
    with a_sink(kind, tmp_path) as sink:
        for entry in ENTRIES:
            sink.open()
            sink.write([entry])
            sink.close()
    assert DELIVERED[kind](tmp_path) == IDS


@pytest.mark.parametrize("kind", KINDS)
def test_what_stands_in_its_way_makes_it_unavailable_and_it_recovers(kind: str, tmp_path: Path) -> None:
    """Foreign exceptions are mapped; when the trouble is over the same object goes on."""
    (tmp_path / BLOCKED[kind]).mkdir()
    with a_sink(kind, tmp_path) as sink:
        with pytest.raises(SinkUnavailable, match=re.escape(BLOCKED[kind])):
            sink.open()
        (tmp_path / BLOCKED[kind]).rmdir()
        sink.open()
        sink.write(ENTRIES)
    assert DELIVERED[kind](tmp_path) == IDS


@pytest.mark.parametrize("kind", KINDS)
def test_a_delivery_drives_it_and_counts(kind: str, tmp_path: Path) -> None:
    """The host's metrics carry the sink's name."""
    clock, metrics = FakeClock(), Metrics()
    log = MemoryLog(clock)
    log.commit(ENTRIES, Commit(5, 0, ((0, 1),)))
    around = Surroundings(
        dead_letters=MemoryLetters(), metrics=metrics, clock=clock, wait=lambda seconds: seconds > 0, random=lambda: 0.0
    )
    with a_sink(kind, tmp_path) as sink:
        delivery = Delivery("mine", sink, log, around)
        assert delivery.open()
        assert delivery.drain()
    assert DELIVERED[kind](tmp_path) == IDS
    assert metrics.value(numbers.DELIVERED, sink="mine") == 5
    assert metrics.value(numbers.WRITE_SECONDS, sink="mine") == 1
    assert metrics.value(numbers.SINK_UP, sink="mine") == 1


@pytest.mark.parametrize("kind", KINDS)
def test_it_refuses_settings_that_it_does_not_know(kind: str, tmp_path: Path) -> None:
    """A typo is never ignored."""
    with pytest.raises(ValidationError, match="colour"):
        settings_of(kind, tmp_path, {**SETTINGS[kind], "colour": "red"})


@pytest.mark.parametrize("kind", KINDS)
def test_every_setting_is_described_and_the_example_is_valid(kind: str, tmp_path: Path) -> None:
    """The module's docstring shows YAML that works as it is, and each field says what it means."""
    module = importlib.import_module(registry.SINKS[kind].partition(":")[0])
    assert all(field.description for field in module.Settings.model_fields.values())
    example = yaml.safe_load(str(inspect.getdoc(module)).partition("::\n")[2])
    for sink in example["sinks"].values():
        assert sink.pop("type") == kind
        settings_of(kind, tmp_path, sink)


@pytest.mark.parametrize("kind", KINDS)
def test_it_has_the_shape_of_its_siblings(kind: str) -> None:
    """`Settings`, then the class with `open`, `write` and `close` first: reading one is reading all."""
    module = importlib.import_module(registry.SINKS[kind].partition(":")[0])
    classes = [node for node in ast.parse(inspect.getsource(module)).body if isinstance(node, ast.ClassDef)]
    assert [node.name for node in classes][:2] == ["Settings", registry.SINKS[kind].partition(":")[2]]
    methods = [node.name for node in classes[1].body if isinstance(node, ast.FunctionDef)]
    assert methods[:4] == ["__init__", "open", "write", "close"]
    assert all(name.startswith("_") for name in methods[4:])
