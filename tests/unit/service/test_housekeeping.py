"""What a running service says of what its store gave up."""

from __future__ import annotations

import time
from threading import Event, Thread
from typing import TYPE_CHECKING

from spikebridge.alerts import AlertEntry
from spikebridge.app import Service, service
from spikebridge.config import load_config
from spikebridge.sinks.store import Settings, StoreSink
from spikebridge.store import DeadLetter, Query, Store

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def large(name: str) -> AlertEntry:
    """Return a finding of 600 kB."""
    return AlertEntry(name, "alert", 1, (0, 0, 0), b"{}", (bytes(600_000),))


def test_the_store_keeps_to_its_size(tmp_path: Path) -> None:
    """The sink's setting is the store's bound."""
    sink = StoreSink(Settings.model_validate({"size": "1MB"}), tmp_path)
    for name in "abc":
        sink.write([large(name)])
    sink.close()

    with Store(tmp_path, read_only=True) as store:
        assert [entry.id for entry in store.findings(Query())] == ["c"]
        assert store.findings_lost() == 2


def test_what_the_store_gave_up_is_said_and_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Once for what went since it was last said; what went before the start is in the count alone."""
    monkeypatch.setattr(service, "STATUS_EVERY_S", 0.01)
    monkeypatch.setattr(service, "TRIM_EVERY_S", 0.0)
    (tmp_path / "spikebridge.yaml").write_text("data: data\nsinks:\n  store: {type: store}\n")
    with Store(tmp_path / "data") as store:
        store.write([large("before")], max_bytes=1)

    said = "the store gave up 2 findings that came first, for newer ones"
    with Service(load_config(tmp_path / "spikebridge.yaml", {})) as running:
        thread = Thread(target=running.run, args=(stop := Event(),))
        thread.start()
        running.store.write([large("a"), large("b")], max_bytes=1)
        running.store.bury([DeadLetter("r", "record", "log", "x", b"xx", 0)], records_bytes=1)
        end = time.monotonic() + 60
        while said not in caplog.text or "the store gave up 1 record that" not in caplog.text:
            assert time.monotonic() < end, caplog.text
            time.sleep(0.01)
        stop.set()
        thread.join()
        rendered = running.metrics.render()
    assert b'spikebridge_given_up_total{what="finding"} 3.0' in rendered
    assert b'spikebridge_given_up_total{what="record"} 1.0' in rendered
    assert caplog.text.count("the store gave up") == 2
