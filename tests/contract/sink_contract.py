"""
What every sink promises, whatever is behind it.

A subclass says over which kinds it runs, and gives a `Place` for each: one with local files, one with real servers.
"""

from __future__ import annotations

import importlib
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from spikebridge import metrics as numbers
from spikebridge import registry
from spikebridge.alerts import Alert, AlertEntry, DeviceInfo, RuleInfo, alert_entry
from spikebridge.delivery import Delivery, Surroundings
from spikebridge.errors import SinkUnavailable
from spikebridge.logs import Commit
from spikebridge.metrics import Metrics
from spikebridge.testing import FakeClock, MemoryLetters, MemoryLog

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from spikebridge.delivery import Sink


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """
    Where a sink of one kind works, empty at the start of each test.

    `settings`: what the configuration says. `delivered` reads back the alerts' ids, in any order, as its users would.
    `blocked`: for a `with` block something stands in the sink's way, and its complaint must name what the block yields.
    `exactly_once`: a batch that is written again is there once; otherwise it may be there twice, and never less than once.
    """

    settings: dict[str, Any]
    delivered: Callable[[], list[str]]
    blocked: Callable[[], AbstractContextManager[str]]
    exactly_once: bool = True


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
def a_sink(kind: str, directory: Path, place: Place) -> Iterator[Sink]:
    """Make a sink and close it at the end."""
    sink: Sink = registry.load("sinks", kind)(settings_of(kind, directory, place.settings), directory)
    try:
        yield sink
    finally:
        sink.close()


class SinkContract:
    """Needs two fixtures: `kind`, a name in the registry, and `place`."""

    def test_it_opens_writes_and_closes_twice(self, kind: str, place: Place, tmp_path: Path) -> None:
        """What was acknowledged is there after the sink is closed; an empty batch is one too."""
        with a_sink(kind, tmp_path, place) as sink:
            sink.open()
            sink.write(ENTRIES)
            sink.write([])
            sink.close()
            sink.close()
        assert sorted(place.delivered()) == IDS

    def test_closing_what_was_never_opened_does_nothing(self, kind: str, place: Place, tmp_path: Path) -> None:
        """A start that failed can be cleaned up."""
        with a_sink(kind, tmp_path, place):
            pass
        assert list(tmp_path.iterdir()) == []

    def test_a_batch_written_again_is_there_as_often_as_promised(self, kind: str, place: Place, tmp_path: Path) -> None:
        """Within one life and after a restart: a kill between acknowledgement and cursor repeats the batch."""
        with a_sink(kind, tmp_path, place) as sink:
            sink.open()
            sink.write(ENTRIES[:3])
            sink.write(ENTRIES[:3])
        with a_sink(kind, tmp_path, place) as sink:
            sink.open()
            sink.write(ENTRIES[1:])
        delivered = sorted(place.delivered())
        assert (delivered if place.exactly_once else sorted(set(delivered))) == IDS

    def test_it_can_be_opened_again_after_it_was_closed(self, kind: str, place: Place, tmp_path: Path) -> None:
        """One object lives as long as its delivery."""
        with a_sink(kind, tmp_path, place) as sink:
            for entry in ENTRIES:
                sink.open()
                sink.write([entry])
                sink.close()
        assert sorted(place.delivered()) == IDS

    def test_what_stands_in_its_way_makes_it_unavailable_and_it_recovers(self, kind: str, place: Place, tmp_path: Path) -> None:
        """Foreign exceptions are mapped; when the trouble is over the same object goes on."""
        with a_sink(kind, tmp_path, place) as sink:
            with place.blocked() as named, pytest.raises(SinkUnavailable) as trouble:
                sink.open()
            assert named in str(trouble.value)
            sink.open()
            sink.write(ENTRIES)
        assert sorted(place.delivered()) == IDS

    def test_a_delivery_drives_it_and_counts(self, kind: str, place: Place, tmp_path: Path) -> None:
        """The host's metrics carry the sink's name."""
        clock, metrics = FakeClock(), Metrics()
        log = MemoryLog(clock)
        log.commit(ENTRIES, Commit(5, 0, ((0, 1),)))
        around = Surroundings(
            dead_letters=MemoryLetters(), metrics=metrics, clock=clock, wait=lambda seconds: seconds > 0, random=lambda: 0.0
        )
        with a_sink(kind, tmp_path, place) as sink:
            delivery = Delivery("mine", sink, log, around)
            assert delivery.open()
            assert delivery.drain()
        assert sorted(place.delivered()) == IDS
        assert metrics.value(numbers.DELIVERED, sink="mine") == 5
        assert metrics.value(numbers.WRITE_SECONDS, sink="mine") == 1
        assert metrics.value(numbers.SINK_UP, sink="mine") == 1
