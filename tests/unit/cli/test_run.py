"""What `spikebridge run` sets up around the service."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

import msgspec

from spikebridge import cli
from spikebridge.cli.run import CYCLES_AFTER, cycles_looked_for_seldom
from spikebridge.logs.spool import Spool
from spikebridge.spikes.record import record

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

MANY = 200_000
MAPPINGS = "mappings: [{neuron_id: 5, threat_type: Five, severity: High}]\n"
SINK = "sinks: {file: {type: file, path: alerts.jsonl}}\n"


def test_many_records_are_seldom_looked_through_for_cycles() -> None:
    """None is in one; afterwards all is as before."""
    before, started = gc.get_threshold(), [one["collections"] for one in gc.get_stats()]
    with cycles_looked_for_seldom():
        held = [record((offset, 0, b"", None)) for offset in range(MANY)]
        passes = [one["collections"] - then for one, then in zip(gc.get_stats(), started, strict=True)]
    assert len(held) == MANY
    assert passes[0] <= MANY // CYCLES_AFTER + 2
    assert passes[1] <= 2
    assert gc.get_threshold() == before


def test_a_service_is_run_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From its start to its end."""
    (tmp_path / "mappings.yaml").write_text(MAPPINGS)
    (tmp_path / "spikebridge.yaml").write_text(f"data: data\nmappings: [mappings.yaml]\n{SINK}")
    spool = Spool(tmp_path / "data")
    spool.append([msgspec.json.encode({"device_id": "cam", "neuron_id": number}) for number in range(30_000)])
    spool.close()
    monkeypatch.chdir(tmp_path)
    seen: set[int] = set()

    def note(_phase: str, _info: dict[str, int]) -> None:
        seen.add(gc.get_threshold()[0])

    gc.callbacks.append(note)
    try:
        assert cli.main(["run", "--once", "--config", "spikebridge.yaml"]) == 0
    finally:
        gc.callbacks.remove(note)
    assert CYCLES_AFTER in seen
